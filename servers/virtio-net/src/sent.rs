//! Buffers whose frames were sent, on their way back to the stack: neighbours go in one message. Touches nothing.
#![forbid(unsafe_code)]

use alloc::collections::VecDeque;
use ipc_proto::frame::{Pool, Run};

/// Buffers to be returned, in the order in which they were sent.
pub(crate) struct Sent {
    layout: Pool,
    runs: VecDeque<Run>,
    /// The last run, which may still grow.
    last: Option<Run>,
    count: usize,
}

impl Sent {
    /// None, of a pool with this layout. Memory for all of them is taken here.
    pub(crate) fn new(layout: Pool) -> Sent {
        Sent {
            layout,
            runs: VecDeque::with_capacity(layout.count()),
            last: None,
            count: 0,
        }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds one.
    #[inline]
    pub(crate) fn push(&mut self, buffer: u16) {
        self.count = self.count.saturating_add(1);
        if let Some(last) = &mut self.last {
            if last.extend(buffer, self.layout) {
                return;
            }
            self.runs.push_back(*last);
        }
        self.last = Some(Run::one(buffer));
    }

    /// Takes the first run.
    pub(crate) fn pop(&mut self) -> Option<Run> {
        let run = self.runs.pop_front().or_else(|| self.last.take())?;
        self.count = self.count.saturating_sub(run.count.into());
        Some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn neighbours_go_together_and_sizes_apart() {
        let mut sent = Sent::new(Pool { small: 4, large: 4 });
        for buffer in [2, 3, 4, 5, 7, 6, 0] {
            sent.push(buffer);
        }
        assert_eq!(sent.len(), 7);
        let runs: Vec<_> = core::iter::from_fn(|| sent.pop()).collect();
        let runs: Vec<_> = runs.iter().map(|run| (run.first, run.count)).collect();
        assert_eq!(runs, [(2, 2), (4, 2), (7, 1), (6, 1), (0, 1)]);
        assert_eq!(sent.len(), 0);
    }
}
