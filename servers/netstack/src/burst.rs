//! Lines of the log that somebody else can cause: some a minute, the others are counted. Touches nothing.

use crate::time::Instant;
use core::time::Duration;

/// Lines in a period.
const LINES: u32 = 8;
/// A period.
const PERIOD: Duration = Duration::from_secs(60);

/// The lines about one thing.
#[derive(Default)]
pub(crate) struct Burst {
    /// When the period began.
    since: Option<Instant>,
    lines: u32,
    out: u64,
}

impl Burst {
    /// Whether a line is to be logged now. If so, how many before it were not.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.since(since) >= PERIOD) {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines >= LINES {
            self.out = self.out.saturating_add(1);
            return None;
        }
        self.lines = self.lines.saturating_add(1);
        Some(core::mem::take(&mut self.out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_of_a_minute_are_logged_and_the_others_counted() {
        let mut burst = Burst::default();
        let mut told = 0;
        let mut logged = std::vec::Vec::new();
        for second in 0..300 {
            if let Some(out) = burst.admit(Instant::from_millis(second * 1000)) {
                told += out;
                logged.push(second);
            }
        }
        let expected = (0..5).flat_map(|minute| minute * 60..minute * 60 + 8);
        assert!(logged.iter().copied().eq(expected), "{logged:?}");
        assert_eq!(told, 4 * 52);
        // One now and then is always logged, and the last of the flood are told with it.
        assert_eq!(burst.admit(Instant::from_millis(3_600_000)), Some(52));
        assert_eq!(burst.admit(Instant::from_millis(3_700_000)), Some(0));
    }
}
