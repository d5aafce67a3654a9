//! How much of the log somebody may fill: a quarter of it at once, then a little all the time, so that nobody pushes the lines of all
//! others out of it. What is left out is counted. Touches nothing.
#![forbid(unsafe_code)]

use crate::log::RING;

/// Bytes of the log at once.
const MOST: u64 = RING / 4;
/// Nanoseconds until a byte more may be filled: 64 bytes a second.
const PER_BYTE: u64 = 15_625_000;
/// Who has filled all has to wait for so many bytes, some lines: else each line would stand alone among those that are left out.
const RESUME: u64 = 1024;

/// What is to be done with a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is logged.
    Log,
    /// It is logged, behind the news that so many were left out before it.
    LogAfter(u64),
    /// It is left out, the first one.
    Stop,
    /// It is left out.
    LeaveOut,
}

/// What is left of what somebody may fill.
#[derive(Clone, Copy)]
pub(crate) struct Allowance {
    left: u64,
    /// Up to when it was counted.
    since: u64,
    /// Lines left out since the last one that was not.
    out: u64,
}

impl Allowance {
    /// All of it.
    pub(crate) const fn new() -> Allowance {
        Allowance {
            left: MOST,
            since: 0,
            out: 0,
        }
    }

    /// Asks for so many bytes of the log, at a time in nanoseconds.
    pub(crate) fn take(&mut self, bytes: u64, now: u64) -> Verdict {
        let more = now.saturating_sub(self.since) / PER_BYTE;
        self.since += more * PER_BYTE;
        self.left = self.left.saturating_add(more).min(MOST);
        let wanted = if self.out == 0 { bytes } else { RESUME };
        if self.left < wanted.max(bytes) {
            self.out += 1;
            return match self.out {
                1 => Verdict::Stop,
                _ => Verdict::LeaveOut,
            };
        }
        self.left -= bytes;
        match core::mem::take(&mut self.out) {
            0 => Verdict::Log,
            out => Verdict::LogAfter(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_flood_fills_a_quarter_and_then_a_little_and_every_line_is_counted() {
        let mut allowance = Allowance::new();
        let (mut logged, mut told, mut stops) = (0, 0, 0);
        let hour = 3600;
        for step in 0..hour * 100 {
            match allowance.take(100, step * SECOND / 100) {
                Verdict::Log => logged += 1,
                Verdict::LogAfter(out) => {
                    logged += 1;
                    told += out;
                }
                Verdict::Stop => stops += 1,
                Verdict::LeaveOut => {}
            }
            if step == 162 {
                assert_eq!((logged, stops), (163, 0), "a quarter at once");
            }
        }
        assert!(logged * 100 <= MOST + hour * 64, "{logged}");
        assert!(logged * 100 + RESUME >= MOST + hour * 64, "{logged}");
        // Those told, and those since.
        assert_eq!(logged + told + allowance.out, hour * 100);
        assert!(stops <= hour * 64 / (RESUME - 100) + 1, "{stops}");
    }

    #[test]
    fn who_is_silent_gets_all_of_it_again() {
        let mut allowance = Allowance::new();
        assert_eq!(allowance.take(MOST, 0), Verdict::Log);
        assert_eq!(allowance.take(1, 0), Verdict::Stop);
        assert_eq!(allowance.take(1, SECOND), Verdict::LeaveOut);
        assert_eq!(allowance.take(1, 1000 * SECOND), Verdict::LogAfter(2));
        assert_eq!(allowance.take(MOST - 1, 1000 * SECOND), Verdict::Log);
        // A clock that goes back gives nothing.
        assert_eq!(allowance.take(1, 0), Verdict::Stop);
        assert_eq!(allowance.take(MOST, u64::MAX), Verdict::LogAfter(1));
    }
}
