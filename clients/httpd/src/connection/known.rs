//! The request before, by its bytes: what asks on a kept connection again (a status page, say) mostly does so with the same ones, and those
//! need no parsing. Only the parsing is saved; each request is answered by itself.

use super::Asked;
use alloc::vec::Vec;

/// A longer head is not kept: the connection's memory is for requests that are on their way.
const LONGEST: usize = 1024;

/// The head that was parsed last.
#[derive(Default)]
pub(super) struct Known {
    head: Vec<u8>,
    asked: Option<Asked>,
}

impl Known {
    /// What these bytes ask for, and the length of the head, if they begin with the head that was parsed last. A head is complete
    /// in itself: what follows changes nothing.
    pub(super) fn find(&self, received: &[u8]) -> Option<(Asked, usize)> {
        let asked = self.asked?;
        received
            .starts_with(&self.head)
            .then_some((asked, self.head.len()))
    }

    /// Notes a head, and what it asks for.
    pub(super) fn note(&mut self, head: &[u8], asked: Asked) {
        self.asked = None;
        if head.len() <= LONGEST {
            self.head.clear();
            self.head.extend_from_slice(head);
            self.asked = Some(asked);
        }
    }
}
