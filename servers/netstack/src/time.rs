//! Points in time, as the caller counts them: nanoseconds since some start, never going back.
//!
//! Nothing in this library reads a clock.

use core::time::Duration;

/// A point in time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Instant(u64);

impl Instant {
    /// The start.
    pub const ZERO: Instant = Instant(0);

    /// So many nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// So many milliseconds after the start (saturating).
    pub const fn from_millis(millis: u64) -> Instant {
        Instant(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the start.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// This much later; the end of time if it would be beyond.
    #[must_use]
    pub fn after(self, delay: Duration) -> Instant {
        let seconds = delay.as_secs().saturating_mul(1_000_000_000);
        let nanos = seconds.saturating_add(delay.subsec_nanos().into());
        Instant(self.0.saturating_add(nanos))
    }

    /// Time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
