//! The request that was read last, and its bytes: what asks on a kept connection again (a status page, say) mostly does so with the same
//! ones, and those need no parsing. Only the parsing is saved; each request is answered by itself.

use super::Asked;
use alloc::vec::Vec;

/// A longer head is not kept: the connection's memory is for requests that are on their way.
const LONGEST: usize = 1024;

/// The request that was read last.
#[derive(Default)]
pub(super) struct Known {
    /// Its head. Empty: another one has to be parsed, whatever it is.
    head: Vec<u8>,
    pub(super) asked: Asked,
}

impl Known {
    /// The length of the head, if these bytes begin with the one that was read last. A head is complete in itself: what follows changes
    /// nothing.
    pub(super) fn find(&self, received: &[u8]) -> Option<usize> {
        let len = self.head.len();
        (len > 0 && received.starts_with(&self.head)).then_some(len)
    }

    /// Notes a request that was read.
    pub(super) fn note(&mut self, head: &[u8], asked: Asked) {
        self.asked = asked;
        self.head.clear();
        if head.len() <= LONGEST && asked.keep_alive {
            self.head.extend_from_slice(head);
        }
    }
}
