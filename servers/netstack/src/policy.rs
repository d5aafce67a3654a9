//! What each session may do: policies by badge, and the rate of packets.

use crate::time::Instant;
use alloc::collections::BTreeMap;
use core::time::Duration;
use ipc_proto::policy::Policy;

/// Most badges known.
pub(crate) const MAX_POLICIES: usize = 1024;

/// Most badges derived, directly or not, from one of the manifest.
pub(crate) const MAX_DERIVED: usize = 64;

struct Entry {
    policy: Policy,
    parent: Option<u64>,
}

/// Policies by badge.
#[derive(Default)]
pub(crate) struct Policies {
    entries: BTreeMap<u64, Entry>,
    next: u64,
}

/// Badges of derived policies start here: below are those of the manifest.
const FIRST_DERIVED: u64 = 1 << 32;

/// Why a policy was not derived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DeriveError {
    /// The caller's badge is unknown or revoked, or the policy asked for is wider than the caller's.
    Denied,
    /// There are too many.
    Exhausted,
}

impl Policies {
    /// Sets the policy of a badge from the manifest.
    pub(crate) fn set(&mut self, badge: u64, policy: Policy) {
        self.entries.insert(
            badge,
            Entry {
                policy,
                parent: None,
            },
        );
    }

    /// The policy of a badge.
    pub(crate) fn get(&self, badge: u64) -> Option<&Policy> {
        self.entries.get(&badge).map(|entry| &entry.policy)
    }

    /// The badge of the manifest from which a badge was derived, or itself, and its policy.
    pub(crate) fn root(&self, badge: u64) -> Option<(u64, &Policy)> {
        let mut badge = badge;
        loop {
            let entry = self.entries.get(&badge)?;
            match entry.parent {
                // Smaller than what is derived from it: the walk ends.
                Some(parent) => badge = parent,
                None => return Some((badge, &entry.policy)),
            }
        }
    }

    /// A new badge for a narrower policy.
    ///
    /// # Errors
    /// [`DeriveError`].
    pub(crate) fn derive(&mut self, badge: u64, policy: &Policy) -> Result<u64, DeriveError> {
        let wider = self.get(badge).ok_or(DeriveError::Denied)?;
        if !policy.within(wider) {
            return Err(DeriveError::Denied);
        }
        let root = self.root(badge).map(|(root, _)| root);
        let derived = self.entries.keys().filter(|badge| **badge >= FIRST_DERIVED);
        let relatives = derived.filter(|badge| self.root(**badge).map(|(root, _)| root) == root);
        if self.entries.len() >= MAX_POLICIES || relatives.count() >= MAX_DERIVED {
            return Err(DeriveError::Exhausted);
        }
        let derived = FIRST_DERIVED.saturating_add(self.next);
        self.next = self.next.saturating_add(1);
        self.entries.insert(
            derived,
            Entry {
                policy: policy.clone(),
                parent: Some(badge),
            },
        );
        Ok(derived)
    }

    /// Badges known.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Panics unless what every badge was derived from is known, and not narrower.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) {
        assert!(self.entries.len() <= MAX_POLICIES, "badges");
        for (badge, entry) in &self.entries {
            if let Some(parent) = entry.parent {
                let wider = self.get(parent);
                let within = wider.is_some_and(|wider| entry.policy.within(wider));
                assert!(parent < *badge && within, "badge {badge}");
            }
        }
    }

    /// Forgets everything derived from a badge, and tells which badges those were.
    pub(crate) fn revoke(&mut self, badge: u64) -> alloc::vec::Vec<u64> {
        let mut gone = alloc::vec![badge];
        // A derived badge is larger than what it was derived from: one walk in order finds all.
        for (derived, entry) in &self.entries {
            if entry.parent.is_some_and(|parent| gone.contains(&parent)) {
                gone.push(*derived);
            }
        }
        gone.retain(|derived| *derived != badge);
        for derived in &gone {
            self.entries.remove(derived);
        }
        gone
    }
}

/// A rate of packets: so many a second, and a second's worth at once.
pub(crate) struct Bucket {
    rate: u32,
    /// Packets left, in millionths: a packet takes a million. Below zero after a turn that sent more than was left.
    level: i64,
    at: Instant,
}

const PACKET: i64 = 1_000_000;

impl Bucket {
    /// A full bucket; rate 0 is unlimited.
    pub(crate) fn new(rate: u32, now: Instant) -> Bucket {
        Bucket {
            rate,
            level: i64::from(rate).saturating_mul(PACKET),
            at: now,
        }
    }

    /// Whether there is a limit at all.
    pub(crate) fn is_limited(&self) -> bool {
        self.rate != 0
    }

    /// Whether a packet may go now. If not, when one may.
    #[inline]
    pub(crate) fn check(&mut self, now: Instant) -> Result<(), Instant> {
        match self.rate {
            0 => Ok(()),
            _ => self.check_rate(now),
        }
    }

    #[inline(never)]
    fn check_rate(&mut self, now: Instant) -> Result<(), Instant> {
        let rate = i64::from(self.rate);
        let micros = i64::try_from(now.since(self.at).as_micros()).unwrap_or(i64::MAX);
        if micros > 0 {
            let full = rate.saturating_mul(PACKET);
            self.level = self
                .level
                .saturating_add(micros.saturating_mul(rate))
                .min(full);
            self.at = now;
        }
        if self.level >= PACKET {
            return Ok(());
        }
        let missing = PACKET.saturating_sub(self.level);
        let micros = missing.checked_div(rate).unwrap_or(0).saturating_add(1);
        Err(now.after(Duration::from_micros(micros.unsigned_abs())))
    }

    /// Takes packets; they may be more than there are, and the next ones wait longer.
    pub(crate) fn take(&mut self, packets: u32) {
        self.level = self
            .level
            .saturating_sub(i64::from(packets).saturating_mul(PACKET));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revoking_takes_everything_derived_and_nothing_else() {
        let mut policies = Policies::default();
        policies.set(1, Policy::everything());
        policies.set(2, Policy::everything());
        let child = policies.derive(1, &Policy::everything()).unwrap();
        let grandchild = policies.derive(child, &Policy::nothing()).unwrap();
        let other = policies.derive(2, &Policy::nothing()).unwrap();
        assert_eq!(
            policies.derive(grandchild, &Policy::everything()),
            Err(DeriveError::Denied)
        );
        assert_eq!(policies.revoke(1), [child, grandchild]);
        assert!(policies.get(grandchild).is_none());
        assert!(policies.get(1).is_some() && policies.get(other).is_some());
        assert_eq!(
            policies.derive(child, &Policy::nothing()),
            Err(DeriveError::Denied)
        );
    }

    #[test]
    fn a_bucket_gives_its_rate_over_time() {
        let mut bucket = Bucket::new(10, Instant::ZERO);
        let mut now = Instant::ZERO;
        let mut sent = 0;
        while now < Instant::from_millis(2000) {
            match bucket.check(now) {
                Ok(()) => {
                    bucket.take(1);
                    sent += 1;
                }
                Err(at) => {
                    assert!(at > now);
                    now = at;
                }
            }
        }
        // A full bucket and two seconds.
        assert!((29..=31).contains(&sent), "{sent}");
    }
}
