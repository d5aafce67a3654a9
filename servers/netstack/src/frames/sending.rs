//! Frames on their way out: as they are, with checksums filled in here or by the device, and TCP segments cut here or by it. Touches free
//! buffers of the pool to send from, and the channel.
//!
//! The engine builds a frame where it is sent from, if there is a buffer and nothing is cut here; else it builds it elsewhere, and what
//! becomes of it is decided when it is done.

use super::{
    Driver, Frames,
    buffers::{Place, Size},
};
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
            let place = driver.buffers.next_to_send(len)?;
            let frame = driver.buffers.frame(place)?;
            let (head, body) = frame.split_at_mut_checked(headers.len())?;
            head.copy_from_slice(headers);
            body.copy_from_slice(data);
            driver.transmit(place, offload, now)
        };
        let may =
            |driver: &&mut Driver| driver.link_up && driver.buffers.sendable(Size::Small) > RESERVE;
        Some((len, driver.filter(may).and_then(submit)))
    }

    /// Sends a frame of which it is known what has to be filled in.
    pub(crate) fn send_unfinished(&mut self, frame: &[u8], unfinished: Unfinished) {
        self.send_copied(frame, Some(unfinished));
    }

    /// Sends a frame that was built elsewhere.
    fn send_copied(&mut self, frame: &[u8], unfinished: Option<Unfinished>) {
        match self.place(frame.len(), None) {
            Some(place) => {
                place.copy_from_slice(frame);
                self.send_placed(unfinished, None);
            }
            None => self.count(frame.len(), None),
        }
    }

    /// Sends the frame that was built in a place, with what is `unfinished` in it filled in here or by the device, cut by the
    /// device to segments of a size.
    fn submit(
        &mut self,
        place: Place,
        unfinished: Option<Unfinished>,
        size: Option<u16>,
    ) -> Option<()> {
        let driver = self.driver.as_mut()?;
        let frame = driver.buffers.frame(place)?;
        let mut offload = Offload::Nothing;
        if let Some(unfinished) = unfinished.or_else(|| Unfinished::find(frame)) {
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
            *frame.get_mut(unfinished.place()..)?.first_chunk_mut()? = bytes;
        }
        driver.transmit(place, offload, self.now)
    }
}

impl Driver {
    /// Most pieces of a segment that is cut here: a quarter of what there is to send from.
    pub(super) fn pieces(&self) -> usize {
        (self.buffers.for_sending() / 4).min(MAX_PIECES)
    }

    /// Hands a buffer with a frame over, to be sent.
    fn transmit(&mut self, place: Place, offload: Offload, now: Instant) -> Option<()> {
        self.buffers.publish(place);
        let len = u16::try_from(place.len).ok()?;
        if self.buffers.transmitting() == 0 {
            self.progress = now;
        }
        let message = ToDriver::Transmit {
            buffer: place.buffer,
            len,
            offload,
        };
        if !self.tell(&message) {
            return None;
        }
        self.buffers.give_to_send(place.buffer);
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

    fn place(&mut self, len: usize, size: Option<u16>) -> Option<&mut [u8]> {
        let driver = self.driver.as_mut().filter(|driver| driver.link_up)?;
        if size.is_some() && !driver.offloads.transmit_segments {
            return None;
        }
        let place = driver.buffers.next_to_send(len)?;
        self.placed = Some(place);
        driver.buffers.frame(place)
    }

    fn send_placed(&mut self, unfinished: Option<Unfinished>, size: Option<u16>) {
        // Once only: from here on the buffer is the driver's.
        if let Some(place) = self.placed.take() {
            self.last = place;
            let sent = self.submit(place, unfinished, size);
            self.count(place.len, sent);
        }
    }

    fn last_placed(&self) -> &[u8] {
        let driver = self.driver.as_ref();
        let frame = driver.and_then(|driver| driver.buffers.sent_frame(self.last));
        frame.unwrap_or_default()
    }

    fn send(&mut self, frame: &[u8]) {
        self.send_copied(frame, None);
    }

    fn send_segments(&mut self, frame: &[u8], size: u16) {
        let driver = self.driver.as_ref();
        if driver.is_some_and(|driver| driver.offloads.transmit_segments) {
            // For the device to cut, but there was no place for it.
            return self.count(frame.len(), None);
        }
        let Some(mut pieces) = Pieces::new(frame, size.into()) else {
            return self.count(frame.len(), None);
        };
        while let Some((len, sent)) = self.submit_piece(&mut pieces) {
            self.count(len, sent);
        }
    }
}
