//! One direction of a connection inside the fake stack.

use alloc::{collections::VecDeque, rc::Rc};
use core::cell::RefCell;
use ipc_proto::{error::PeerError, fifo::StreamEnds, socket::NetError};

/// Bytes on their way.
const CAPACITY: usize = 64 << 10;

/// One direction of a connection.
#[derive(Default)]
pub(super) struct Pipe {
    bytes: VecDeque<u8>,
    /// Nothing more comes behind the bytes.
    pub(super) fin: bool,
    /// The sender reset the connection.
    pub(super) reset: bool,
    /// The receiver is gone.
    pub(super) unread: bool,
}

pub(super) type Shared = Rc<RefCell<Pipe>>;

impl Pipe {
    pub(super) fn new() -> Shared {
        Rc::default()
    }

    /// Takes over what was written, up to `limit` bytes; how much it was.
    pub(super) fn fill(&mut self, ends: &mut StreamEnds, limit: usize) -> Result<usize, PeerError> {
        let mut chunk = alloc::vec![0; limit.min(CAPACITY.saturating_sub(self.bytes.len()))];
        let len = ends.reader.read(&mut chunk)?;
        self.bytes.extend(chunk.iter().take(len));
        Ok(len)
    }

    /// Takes over everything that was written.
    pub(super) fn fill_all(&mut self, ends: &mut StreamEnds) -> Result<(), PeerError> {
        let mut chunk = alloc::vec![0; ends.reader.available()?];
        let len = ends.reader.read(&mut chunk)?;
        self.bytes.extend(chunk.iter().take(len));
        Ok(())
    }

    /// Hands up to `limit` bytes to the receiver; how many.
    pub(super) fn drain(
        &mut self,
        ends: &mut StreamEnds,
        limit: usize,
    ) -> Result<usize, PeerError> {
        let (first, _) = self.bytes.as_slices();
        let first = first.get(..limit.min(first.len())).unwrap_or_default();
        let len = ends.writer.write(first)?;
        self.bytes.drain(..len);
        Ok(len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What the receiver is told of the end of the connection.
    pub(super) fn error(&self) -> Option<NetError> {
        self.reset.then_some(NetError::ConnectionReset)
    }
}
