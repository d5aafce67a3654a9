//! Frames on their way out: as they are, with checksums filled in here or by the device, and TCP segments cut here or by it. Touches free
//! buffers of the pool, and the channel.

use super::{Driver, Frames, buffers::Size};
use crate::{
    checksum::Unfinished,
    engine::FrameSink,
    split::{CHECKSUM, Pieces},
    time::Instant,
};
use ipc_proto::frame::{Offload, ToDriver};

/// Buffers that answers to received frames may take when sockets may send no more.
const RESERVE: usize = 16;
/// Most pieces of a segment that is cut here: enough to make the way through the engine worth little for each. Where the peer wants
/// smaller ones there are more, of which some may be lost, and sent again.
const MAX_PIECES: usize = 22;

impl Frames {
    fn count(&mut self, len: usize, sent: Option<()>) {
        match sent {
            Some(()) => {
                self.counters.tx_frames = self.counters.tx_frames.saturating_add(1);
                self.counters.tx_bytes = self.counters.tx_bytes.saturating_add(len as u64);
            }
            None => self.counters.tx_dropped = self.counters.tx_dropped.saturating_add(1),
        }
    }

    /// Sends the next piece of a TCP segment that is cut here: its length, if there is one, and whether it was sent.
    fn submit_piece(&mut self, pieces: &mut Pieces<'_>) -> Option<(usize, Option<()>)> {
        let now = self.now;
        let driver = self.driver.as_mut();
        let completes = driver
            .as_ref()
            .is_some_and(|driver| driver.offloads.transmit_checksum);
        let offload = match completes {
            true => Offload::Checksum {
                start: pieces.start(),
                offset: CHECKSUM as u8,
            },
            false => Offload::Nothing,
        };
        let (headers, data) = pieces.next(completes)?;
        let len = headers.len().saturating_add(data.len());
        let submit = |driver: &mut Driver| {
            let id = driver.buffers.next_to_send(len)?;
            let written = driver.buffers.write(id, 0, headers)
                && driver.buffers.write(id, headers.len(), data);
            let len = u16::try_from(len).ok().filter(|_| written)?;
            driver.transmit(id, len, offload, now)
        };
        let may =
            |driver: &&mut Driver| driver.link_up && driver.buffers.sendable(Size::Small) > RESERVE;
        Some((len, driver.filter(may).and_then(submit)))
    }

    /// Sends a frame, with what is `unfinished` in it filled in here or by the device, cut by the device to segments of a size.
    fn submit(
        &mut self,
        frame: &[u8],
        unfinished: Option<Unfinished>,
        size: Option<u16>,
    ) -> Option<()> {
        let driver = self.driver.as_mut().filter(|driver| driver.link_up)?;
        let len = u16::try_from(frame.len()).ok()?;
        let id = driver.buffers.next_to_send(frame.len())?;
        if !driver.buffers.write(id, 0, frame) {
            return None;
        }
        let mut offload = Offload::Nothing;
        if let Some(unfinished) = unfinished {
            let bytes = if driver.offloads.transmit_checksum {
                let Unfinished { start, offset, .. } = unfinished;
                offload = match size {
                    None => Offload::Checksum { start, offset },
                    Some(size) => Offload::Segment {
                        start,
                        offset,
                        header: unfinished.header(frame)?,
                        size,
                    },
                };
                unfinished.pseudo()
            } else {
                unfinished.checksum(frame)
            };
            if !driver.buffers.write(id, unfinished.place(), &bytes) {
                return None;
            }
        }
        driver.transmit(id, len, offload, self.now)
    }
}

impl Driver {
    /// Most pieces of a segment that is cut here: a quarter of what there is to send from.
    pub(super) fn pieces(&self) -> usize {
        (self.buffers.for_sending() / 4).min(MAX_PIECES)
    }

    /// Hands a buffer with a frame over, to be sent.
    fn transmit(&mut self, id: u16, len: u16, offload: Offload, now: Instant) -> Option<()> {
        if self.buffers.transmitting() == 0 {
            self.progress = now;
        }
        let message = ToDriver::Transmit {
            buffer: id,
            len,
            offload,
        };
        if !self.tell(&message) {
            return None;
        }
        self.buffers.give_to_send(id);
        Some(())
    }
}

impl FrameSink for Frames {
    fn has_room(&self) -> bool {
        self.driver.as_ref().is_some_and(|driver| {
            let large = driver.buffers.sendable(Size::Large);
            driver.link_up
                && match driver.offloads.transmit_segments {
                    true => large > 0 && driver.buffers.sendable(Size::Small) > RESERVE,
                    // A segment that is cut here takes many.
                    false => driver.buffers.sendable(Size::Small) > RESERVE + driver.pieces(),
                }
        })
    }

    fn send(&mut self, frame: &[u8]) {
        let sent = self.submit(frame, Unfinished::find(frame), None);
        self.count(frame.len(), sent);
    }

    fn send_unfinished(&mut self, frame: &[u8], unfinished: Unfinished) {
        let sent = self.submit(frame, Some(unfinished), None);
        self.count(frame.len(), sent);
    }

    fn send_segments(&mut self, frame: &[u8], size: u16) {
        let driver = self.driver.as_ref();
        if driver.is_some_and(|driver| driver.offloads.transmit_segments) {
            let sent = self.submit(frame, Unfinished::find(frame), Some(size));
            return self.count(frame.len(), sent);
        }
        let Some(mut pieces) = Pieces::new(frame, size.into()) else {
            return self.count(frame.len(), None);
        };
        while let Some((len, sent)) = self.submit_piece(&mut pieces) {
            self.count(len, sent);
        }
    }
}
