//! The time since boot, from the process's `clock` capability. Safe.

use crate::{Clock, env::Env};
use core::sync::atomic::{AtomicU32, Ordering};
use kernel_abi::Slot;

/// Slot of the clock, zero for none.
static CLOCK: AtomicU32 = AtomicU32::new(0);

/// Nanoseconds in a millisecond.
pub const MILLISECOND: u64 = 1_000_000;
/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

pub(crate) fn install(env: &Env) {
    if let Ok(slot) = env.cap("clock") {
        CLOCK.store(slot.0, Ordering::Relaxed);
    }
}

/// Nanoseconds since boot; never goes back. Zero for ever in a process without a clock.
pub fn now() -> u64 {
    Clock::borrowed(Slot(CLOCK.load(Ordering::Relaxed)))
        .now()
        .unwrap_or(0)
}
