//! Datagrams that come in parts (RFC 791 section 3.2), put together before anybody looks at them.
//!
//! Bounded in number, parts and bytes; the oldest makes room for the newest, so that parts without end keep nobody from
//! getting his together. Parts that overlap spoil their datagram: what one filter saw would not be what arrives (RFC 5722
//! says the same of IPv6). Touches nothing.

use crate::{
    Instant,
    classify::{FragmentKey, Part},
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::time::Duration;

/// Most datagrams under way.
const MAX_DATAGRAMS: usize = 64;
/// Most bytes of them together: four of the largest.
const MAX_BYTES: usize = 256 * 1024;
/// Most parts of one. The largest datagram has 45 over Ethernet.
const MAX_PARTS: usize = 64;
/// What is not complete by then is forgotten. RFC 1122 section 3.3.2 says 60 seconds at least, Linux 30.
const TIMEOUT: Duration = Duration::from_secs(30);

struct Datagram {
    key: FragmentKey,
    born: Instant,
    /// Its first part's headers, once that has come.
    header: Option<Vec<u8>>,
    /// Parts by offset.
    parts: BTreeMap<usize, Vec<u8>>,
    /// Where it ends, once the last part has come.
    end: Option<usize>,
    /// Nothing will come of it.
    spoilt: bool,
}

/// Datagrams under way.
#[derive(Default)]
pub(crate) struct Reassembly {
    /// In order of birth.
    datagrams: VecDeque<Datagram>,
    bytes: usize,
}

impl Reassembly {
    /// Takes a part, with the headers in front of it. Headers and body of the datagram if it is the last one missing.
    pub(crate) fn add(
        &mut self,
        part: &Part<'_>,
        header: &[u8],
        now: Instant,
    ) -> Option<(Vec<u8>, Vec<u8>)> {
        self.age(now);
        let index = self.find(part.key, now);
        let datagram = self.datagrams.get_mut(index)?;
        let before = datagram.bytes();
        datagram.add(part, header);
        let whole = datagram.whole();
        self.bytes = self
            .bytes
            .saturating_sub(before)
            .saturating_add(datagram.bytes());
        if whole.is_some() {
            self.remove(index);
            return whole;
        }
        while self.bytes > MAX_BYTES {
            self.remove(0);
        }
        None
    }

    /// Datagrams and their bytes.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.datagrams.len(), self.bytes)
    }

    /// Whether it keeps its bounds.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_bounded(&self) -> bool {
        let (datagrams, bytes) = self.size();
        let counted = self.datagrams.iter().map(Datagram::bytes).sum::<usize>();
        datagrams <= MAX_DATAGRAMS && bytes <= MAX_BYTES && bytes == counted
    }

    /// When the oldest one is forgotten.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.datagrams
            .front()
            .map(|oldest| oldest.born.after(TIMEOUT))
    }

    /// Forgets what is not complete in time.
    pub(crate) fn age(&mut self, now: Instant) {
        while self
            .datagrams
            .front()
            .is_some_and(|oldest| now.since(oldest.born) >= TIMEOUT)
        {
            self.remove(0);
        }
    }

    /// The place of a datagram, which may be a new one.
    fn find(&mut self, key: FragmentKey, now: Instant) -> usize {
        if let Some(index) = self.datagrams.iter().position(|one| one.key == key) {
            return index;
        }
        if self.datagrams.len() >= MAX_DATAGRAMS {
            self.remove(0);
        }
        self.datagrams.push_back(Datagram {
            key,
            born: now,
            header: None,
            parts: BTreeMap::new(),
            end: None,
            spoilt: false,
        });
        self.datagrams.len().saturating_sub(1)
    }

    fn remove(&mut self, index: usize) {
        if let Some(gone) = self.datagrams.remove(index) {
            self.bytes = self.bytes.saturating_sub(gone.bytes());
        }
    }
}

impl Datagram {
    fn bytes(&self) -> usize {
        let parts = self.parts.values().map(Vec::len).sum::<usize>();
        parts.saturating_add(self.header.as_ref().map_or(0, Vec::len))
    }

    fn add(&mut self, part: &Part<'_>, header: &[u8]) {
        if self.spoilt
            || self
                .parts
                .get(&part.offset)
                .is_some_and(|known| *known == part.bytes)
        {
            return;
        }
        if !self.fits(part) {
            self.spoilt = true;
            self.parts.clear();
            self.header = None;
            return;
        }
        if !part.more {
            self.end = Some(part.end());
        }
        if part.offset == 0 {
            self.header = Some(header.into());
        }
        self.parts.insert(part.offset, part.bytes.into());
    }

    /// Whether a part overlaps no other, and lies before the end.
    fn fits(&self, part: &Part<'_>) -> bool {
        let before = self.parts.range(..=part.offset).next_back();
        let behind = self.parts.range(part.offset..).next();
        let clear = before.is_none_or(|(at, bytes)| at.saturating_add(bytes.len()) <= part.offset)
            && behind.is_none_or(|(at, _)| part.end() <= *at);
        let ends = if part.more {
            self.end.is_none_or(|end| part.end() <= end)
        } else {
            self.end.is_none() && behind.is_none()
        };
        clear && ends && self.parts.len() < MAX_PARTS
    }

    /// Headers and body, if nothing is missing.
    fn whole(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        let end = self.end?;
        let body = self.parts.values().map(Vec::len).sum::<usize>();
        if body != end {
            return None;
        }
        let header = self.header.take()?;
        Some((header, self.parts.values().flatten().copied().collect()))
    }
}
