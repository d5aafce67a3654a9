//! Whether to look for frames a moment longer before a sleep. Pure.
//!
//! Where each answer is followed by the next question, a sleep is over as soon as it has begun, and what it takes (asking for
//! an interrupt, stopping the processor, being woken) is most of the time between two frames. Then the driver
//! goes on looking instead, about twice as long as frames have lately let it wait. A machine without traffic, or with a frame now
//! and then, never looks.

/// Nanoseconds in a microsecond.
const US: u64 = 1_000;
/// Frames that let wait longer than this on average are not worth looking for.
const SHORT: u64 = 100 * US;
/// A longer wait counts as this: one of them among many short ones changes nothing.
const LONG: u64 = 240 * US;
/// One over this is the weight of the last wait in the average.
const WEIGHT: u64 = 8;
/// The same if it was longer: a mixture of short and long waits is not worth looking.
const GROWTH: u64 = 4;

/// How long frames let the driver wait, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Lookout {
    /// On average.
    wait: u64,
    /// When the wait that is on now has begun.
    since: Option<u64>,
    /// It has looked in vain: it sleeps for the rest of the wait.
    is_tired: bool,
}

impl Lookout {
    /// No frame has come yet.
    pub(crate) fn new() -> Lookout {
        Lookout {
            wait: LONG,
            since: None,
            is_tired: false,
        }
    }

    /// For how long to look before the next sleep, if at all.
    #[inline]
    pub(crate) fn moment(&self) -> Option<u64> {
        (self.wait < SHORT && !self.is_tired).then_some(2 * self.wait)
    }

    /// There is nothing to do at the time `now`.
    #[inline]
    pub(crate) fn begin(&mut self, now: u64) {
        self.since.get_or_insert(now);
    }

    /// There is something to do: a frame to receive, or anything else. That tells only that no frame has come before, and nothing at all where
    /// it was the stack's turn.
    #[inline]
    pub(crate) fn end(&mut self, now: u64, by_frame: bool) {
        self.is_tired = false;
        if let Some(since) = self.since.take() {
            let last = now.saturating_sub(since).min(LONG);
            if by_frame || last > 2 * SHORT {
                let weight = if last > self.wait { GROWTH } else { WEIGHT };
                self.wait = (self.wait * (weight - 1) + last) / weight;
            }
        }
    }

    /// Nothing came while it looked.
    #[inline]
    pub(crate) fn tire(&mut self) {
        self.is_tired = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits one after the other.
    fn wait(lookout: &mut Lookout, times: u32, nanos: u64) {
        for round in 0..times {
            let now = u64::from(round) * 7 * LONG;
            lookout.begin(now);
            lookout.end(now + nanos, true);
        }
    }

    #[test]
    fn it_looks_after_many_short_waits_twice_as_long_as_they_were() {
        let mut lookout = Lookout::new();
        wait(&mut lookout, 5, SHORT / 2);
        assert_eq!(lookout.moment(), None, "not many yet");
        wait(&mut lookout, 90, SHORT / 2);
        let moment = lookout.moment().unwrap();
        assert!((SHORT..SHORT + 20).contains(&moment), "{moment}");
    }

    #[test]
    fn one_long_wait_changes_nothing_and_some_end_it() {
        let mut lookout = Lookout::new();
        wait(&mut lookout, 100, SHORT / 2);
        for (longs, looks) in [(1, true), (2, false)] {
            wait(&mut lookout, longs, u64::MAX / 2);
            assert_eq!(lookout.moment().is_some(), looks);
            wait(&mut lookout, 100, SHORT / 2);
        }
        wait(&mut lookout, 100, SHORT + 10 * WEIGHT);
        assert_eq!(lookout.moment(), None);
    }

    #[test]
    fn after_a_look_in_vain_the_same_wait_goes_on_asleep() {
        let mut lookout = Lookout::new();
        wait(&mut lookout, 100, SHORT / 2);
        let before = lookout.wait;
        lookout.begin(1_000);
        lookout.tire();
        assert_eq!(lookout.moment(), None);
        lookout.begin(1_000 + SHORT);
        lookout.end(1_000 + 2 * SHORT, true);
        assert_eq!(lookout.wait, (before * (GROWTH - 1) + 2 * SHORT) / GROWTH);
        assert!(lookout.moment().is_some());
    }

    #[test]
    fn what_the_stack_has_to_say_tells_only_that_no_frame_came_before() {
        let mut lookout = Lookout::new();
        for now in 0..1000 {
            lookout.begin(now);
            lookout.end(now, false);
        }
        assert_eq!((lookout.moment(), lookout.since), (None, None));
        wait(&mut lookout, 100, SHORT / 2);
        for _ in 0..2 {
            assert!(lookout.moment().is_some());
            lookout.begin(0);
            lookout.end(LONG, false);
        }
        assert_eq!(lookout.moment(), None);
    }
}
