//! The time since boot, from the process's `clock` capability. `unsafe` to read the processor's counter.

use crate::{Clock, env::Env};
use core::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds in a millisecond.
pub const MILLISECOND: u64 = 1_000_000;
/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// How often [`linger`] reads the counter.
const LINGER: u32 = 48;

/// The counter at boot.
static START: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds a tick with 32 bits after the point; zero without a clock.
static SCALE: AtomicU64 = AtomicU64::new(0);
/// What [`now`] said last: the counter of a virtual machine may step back.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Takes the clock that this process was given, if it was.
pub(crate) fn install(env: &Env) {
    if let Ok(slot) = env.cap("clock")
        && let Ok((start, scale)) = Clock::borrowed(slot).scale()
    {
        START.store(start, Ordering::Relaxed);
        SCALE.store(scale, Ordering::Relaxed);
    }
}

/// Nanoseconds since boot; never goes back. Zero for ever in a process without a clock. No system call.
pub fn now() -> u64 {
    let scale = SCALE.load(Ordering::Relaxed);
    if scale == 0 {
        return 0;
    }
    let ticks = counter().saturating_sub(START.load(Ordering::Relaxed));
    let last = LAST.load(Ordering::Relaxed);
    let now = nanos(ticks, scale);
    if now <= last {
        return last;
    }
    LAST.store(now, Ordering::Relaxed);
    now
}

/// Lets a moment pass in which nothing is to be done: some tenths of a microsecond, or two microseconds with emulation. For who looks for
/// something in memory, again and again: the hypervisor does not end it, as it may end `pause`, and it takes few instructions for its time.
pub fn linger() {
    if SCALE.load(Ordering::Relaxed) != 0 {
        for _ in 0..LINGER {
            counter();
        }
    }
}

/// Five centuries fit.
fn nanos(ticks: u64, scale: u64) -> u64 {
    ((u128::from(ticks) * u128::from(scale)) >> 32) as u64
}

/// The processor's counter. Only after the kernel let this process read it: it faults otherwise.
fn counter() -> u64 {
    // SAFETY: every 64-bit processor has the counter; reading has no effect but the fault that ends a process.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_nanoseconds() {
        let gigahertz = 1 << 32;
        assert_eq!(nanos(1_000, gigahertz), 1_000);
        assert_eq!(nanos(3, gigahertz / 2), 1);
        let century = 100 * 366 * 86_400 * SECOND;
        assert_eq!(nanos(century * 4, gigahertz / 4), century);
    }

    #[test]
    fn there_is_no_time_without_a_clock() {
        assert_eq!(now(), 0);
    }
}
