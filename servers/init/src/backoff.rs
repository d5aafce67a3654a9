//! When a process that ended is started again: at once, unless it keeps dying. Pure; time comes in.

/// Between two starts of a process lie at least this many nanoseconds (20 starts a second at most).
pub const MIN_INTERVAL: u64 = 50_000_000;
/// A process that ran this long (nanoseconds) has recovered from what it died of before.
pub const STABLE: u64 = 10_000_000_000;
/// That many deaths in a row are met with a quick start; each one more doubles the wait.
pub const PATIENCE: u32 = 5;
/// The longest wait, in nanoseconds.
pub const MAX_DELAY: u64 = 10_000_000_000;

/// How often a process died in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backoff {
    deaths: u32,
}

impl Backoff {
    /// A process started at `started` died at `now`: returns the time to start it again (all nanoseconds).
    pub fn died(&mut self, started: u64, now: u64) -> u64 {
        if now.saturating_sub(started) >= STABLE {
            self.deaths = 0;
        }
        self.deaths = self.deaths.saturating_add(1);
        let soonest = started.saturating_add(MIN_INTERVAL).max(now);
        match self.deaths.checked_sub(PATIENCE) {
            None | Some(0) => soonest,
            Some(extra) => {
                let delay = MIN_INTERVAL << extra.min(16);
                soonest.max(now.saturating_add(delay.min(MAX_DELAY)))
            }
        }
    }

    /// Deaths in a row, each after less than [`STABLE`].
    pub const fn deaths(&self) -> u32 {
        self.deaths
    }

    /// It keeps dying: starts are delayed more and more.
    pub const fn is_degraded(&self) -> bool {
        self.deaths > PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_death_of_a_process_that_ran_is_met_at_once() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.died(0, STABLE), STABLE);
        assert!(!backoff.is_degraded());
    }

    #[test]
    fn one_that_dies_at_once_is_started_at_most_20_times_a_second_then_ever_slower() {
        let mut backoff = Backoff::default();
        let mut now = 0;
        let mut starts = vec![0];
        for _ in 0..40 {
            now = backoff.died(now, now + 1);
            starts.push(now);
        }
        let gaps: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap >= MIN_INTERVAL));
        assert!(gaps.is_sorted());
        assert!(
            gaps[..PATIENCE as usize]
                .iter()
                .all(|gap| *gap == MIN_INTERVAL)
        );
        assert_eq!(gaps.last(), Some(&(MAX_DELAY + 1)));
        assert!(backoff.is_degraded());
    }

    #[test]
    fn a_long_run_ends_the_degraded_state() {
        let mut backoff = Backoff::default();
        for _ in 0..50 {
            backoff.died(0, 1);
        }
        assert_eq!(backoff.died(5, 5 + STABLE), 5 + STABLE);
        assert_eq!(backoff.deaths(), 1);
    }

    #[test]
    fn times_at_the_end_of_the_range_do_not_overflow() {
        let mut backoff = Backoff::default();
        for _ in 0..50 {
            assert_eq!(backoff.died(u64::MAX, u64::MAX), u64::MAX);
        }
    }
}
