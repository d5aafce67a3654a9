//! How often each caller of the endpoint `system` is answered. Init runs at the highest priority, so that whoever keeps it busy
//! takes time from everybody; what a caller asks beyond its rate therefore waits.
//!
//! A state machine without a clock, like the supervisor. Callers are untrusted; memory is bounded by the number of processes.

use alloc::{collections::VecDeque, vec, vec::Vec};

/// Answers to a caller go at this distance on average, in nanoseconds: 500 a second.
const INTERVAL: u64 = 2_000_000;
/// Answers that a caller may have at once after a pause: the longest list that a tool asks for.
const BURST: u64 = 512;
/// Calls of one caller that may wait. More come only from one that gives up and calls again, or has many threads.
const MAX_WAITING: usize = 4;
/// Calls are taken at this distance on average, whoever they come from: 2,000 a second, so that calls that end in no answer
/// are bounded too.
const INTAKE_INTERVAL: u64 = 500_000;
/// Calls that may be taken at once after a pause.
const INTAKE_BURST: u64 = 1024;

/// A rate, with a burst: the time at which all of it would be used up if it were used evenly (ITU-T I.371, the generic cell rate
/// algorithm).
#[derive(Clone, Copy, Default, Debug)]
struct Rate {
    used_up: u64,
}

impl Rate {
    /// The earliest time for the next use.
    fn next(self, interval: u64, burst: u64) -> u64 {
        let slack = interval.saturating_mul(burst.saturating_sub(1));
        self.used_up.saturating_sub(slack)
    }

    fn count(&mut self, now: u64, interval: u64) {
        self.used_up = self.used_up.max(now).saturating_add(interval);
    }
}

/// What to do with a call that has arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival<T> {
    /// Answer it.
    Answer(T),
    /// It waits: [`Gate::ready`] returns it.
    Waits,
    /// It waits, and this older one of the same caller does not any more: refuse that.
    Displaces(T),
}

/// Lets calls through at the rates that callers have.
#[derive(Debug)]
pub struct Gate<T> {
    /// By badge; the last is for badges that the manifest does not know.
    callers: Vec<Rate>,
    intake: Rate,
    /// Caller, badge and call, in the order of arrival.
    waiting: VecDeque<(usize, u64, T)>,
}

impl<T> Gate<T> {
    /// A gate for badges up to `badges`.
    pub fn new(badges: usize) -> Gate<T> {
        Gate {
            callers: vec![Rate::default(); badges.saturating_add(2)],
            intake: Rate::default(),
            waiting: VecDeque::new(),
        }
    }

    /// When the next call may be taken from the endpoint.
    pub fn opens(&self) -> u64 {
        self.intake.next(INTAKE_INTERVAL, INTAKE_BURST)
    }

    /// A call was taken from the endpoint.
    pub fn arrive(&mut self, badge: u64, call: T, now: u64) -> Arrival<T> {
        self.intake.count(now, INTAKE_INTERVAL);
        let last = self.callers.len().saturating_sub(1);
        let caller = usize::try_from(badge).map_or(last, |badge| badge.min(last));
        let mut waiting = self.waiting.iter().filter(|(other, ..)| *other == caller);
        match waiting.by_ref().count() {
            0 if self.may_answer(caller, now) => {
                self.count(caller, now);
                Arrival::Answer(call)
            }
            MAX_WAITING.. => {
                let oldest = self.waiting.iter().position(|(other, ..)| *other == caller);
                let oldest = oldest.and_then(|at| self.waiting.remove(at));
                self.waiting.push_back((caller, badge, call));
                oldest.map_or(Arrival::Waits, |(_, _, call)| Arrival::Displaces(call))
            }
            _ => {
                self.waiting.push_back((caller, badge, call));
                Arrival::Waits
            }
        }
    }

    /// A call whose time has come, with its badge.
    pub fn ready(&mut self, now: u64) -> Option<(u64, T)> {
        let at = self
            .waiting
            .iter()
            .position(|(caller, ..)| self.may_answer(*caller, now))?;
        let (caller, badge, call) = self.waiting.remove(at)?;
        self.count(caller, now);
        Some((badge, call))
    }

    /// When [`Gate::ready`] has something next; `None`: nothing waits.
    pub fn next(&self) -> Option<u64> {
        let times = self.waiting.iter().map(|(caller, ..)| {
            self.callers
                .get(*caller)
                .map_or(0, |rate| rate.next(INTERVAL, BURST))
        });
        times.min()
    }

    fn may_answer(&self, caller: usize, now: u64) -> bool {
        self.callers
            .get(caller)
            .is_some_and(|rate| rate.next(INTERVAL, BURST) <= now)
    }

    fn count(&mut self, caller: usize, now: u64) {
        if let Some(rate) = self.callers.get_mut(caller) {
            rate.count(now, INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    /// Answers to a caller that calls again as soon as it is answered.
    fn flood(gate: &mut Gate<u32>, badge: u64, from: u64, to: u64) -> u64 {
        let (mut now, mut answers) = (from, 0);
        while now < to {
            match gate.arrive(badge, 0, now) {
                Arrival::Answer(_) => answers += 1,
                Arrival::Waits => {
                    now = now.max(gate.next().unwrap());
                    assert_eq!(gate.ready(now), Some((badge, 0)));
                    answers += 1;
                }
                Arrival::Displaces(_) => panic!("only one call at a time"),
            }
        }
        answers
    }

    #[test]
    fn a_flood_is_answered_at_its_rate_and_after_a_pause_at_once_again() {
        let mut gate = Gate::new(3);
        let answers = flood(&mut gate, 1, SECOND, 11 * SECOND);
        assert!((5500..=5520).contains(&answers), "{answers}");
        let answers = flood(&mut gate, 1, 21 * SECOND, 21 * SECOND + 1);
        assert!((512..=514).contains(&answers), "{answers}");
    }

    #[test]
    fn others_are_answered_at_once() {
        let mut gate = Gate::new(3);
        flood(&mut gate, 1, SECOND, 2 * SECOND);
        assert_eq!(gate.arrive(1, 7, 2 * SECOND), Arrival::Waits);
        for badge in [0, 2, 3, 4] {
            assert_eq!(gate.arrive(badge, 8, 2 * SECOND), Arrival::Answer(8));
        }
    }

    #[test]
    fn badges_that_nobody_has_share_a_rate() {
        let mut gate = Gate::new(3);
        for number in 0..BURST {
            let badge = u64::MAX - number;
            assert_eq!(gate.arrive(badge, 1, SECOND), Arrival::Answer(1));
        }
        assert_eq!(gate.arrive(4000, 1, SECOND), Arrival::Waits);
    }

    #[test]
    fn calls_that_pile_up_displace_the_oldest() {
        let mut gate = Gate::new(3);
        let now = SECOND;
        while gate.arrive(2, 0, now) == Arrival::Answer(0) {}
        for call in 1..MAX_WAITING as u32 {
            assert_eq!(gate.arrive(2, call, now), Arrival::Waits);
        }
        for call in 4..100 {
            assert_eq!(gate.arrive(2, call, now), Arrival::Displaces(call - 4));
        }
        assert_eq!(gate.waiting.len(), MAX_WAITING);
        assert_eq!(gate.ready(now), None);
        let next = gate.next().unwrap();
        assert_eq!((next, gate.ready(next)), (now + INTERVAL, Some((2, 96))));
    }

    #[test]
    fn the_intake_closes_for_a_flood_of_calls() {
        let mut gate = Gate::new(1);
        let mut now = SECOND;
        let mut taken = 0;
        while now < 2 * SECOND {
            now = now.max(gate.opens());
            gate.arrive(1, 0, now);
            taken += 1;
        }
        assert!((3000..3100).contains(&taken), "{taken}");
    }

    proptest! {
        /// Every call is answered or refused, once; none waits longer than its caller's rate demands.
        #[test]
        fn no_call_is_lost(steps in proptest::collection::vec((0..5u64, 0..3_000_000u64), 1..3000)) {
            let mut gate = Gate::new(3);
            let mut now = SECOND;
            let mut open = std::collections::BTreeSet::new();
            for (number, (badge, pause)) in steps.into_iter().enumerate() {
                now += pause / 64;
                while let Some((_, call)) = gate.ready(now) {
                    prop_assert!(open.remove(&call));
                }
                open.insert(number);
                match gate.arrive(badge, number, now) {
                    Arrival::Answer(call) | Arrival::Displaces(call) => prop_assert!(open.remove(&call)),
                    Arrival::Waits => {}
                }
                prop_assert_eq!(open.len(), gate.waiting.len());
                prop_assert!(open.len() <= 5 * MAX_WAITING);
            }
            while let Some(next) = gate.next() {
                prop_assert!(next <= now + INTERVAL);
                now = now.max(next);
                let (_, call) = gate.ready(now).unwrap();
                prop_assert!(open.remove(&call));
            }
            prop_assert!(open.is_empty());
        }
    }
}
