//! Memory that frames are sent from, of which a driver sees a copy: what it writes there changes nothing for the stack, as where the
//! page tables keep it from writing.

use crate::{FramePool, SendMemory};
use core::ops::Range;
use ipc_proto::{frame::Pool, shm::Shm};
use std::{boxed::Box, vec, vec::Vec};

/// The stack's memory, and what the driver sees of it.
pub struct Shown {
    bytes: Vec<u8>,
    shown: Shm,
}

impl SendMemory for Shown {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn publish(&mut self, range: Range<usize>) {
        let bytes = &self.bytes[range.clone()];
        assert!(self.shown.write(range.start, bytes).is_ok());
    }
}

/// A pool to send from, and the driver's view of it.
pub fn send_pool(layout: Pool) -> (FramePool<Box<dyn SendMemory>>, Shm) {
    let shown = Shm::heap(layout.bytes());
    let memory = Shown {
        bytes: vec![0; layout.bytes()],
        shown: shown.clone(),
    };
    let pool = FramePool {
        memory: Box::new(memory) as Box<dyn SendMemory>,
        layout,
    };
    (pool, shown)
}
