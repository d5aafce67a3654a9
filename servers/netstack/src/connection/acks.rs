//! Acknowledgments without anything else, each of which says more than the one before: of those that come together the engine hears the last. They
//! are cumulative (RFC 9293 section 3.4), and a peer that answers each segment sends as many as it gets. Touches the connection, and the engine through it.
//!
//! One that is believed waits for the connection's turn, in the same pass, or until anything else of the peer's comes. It is left
//! out if the next one has come by then that is believed and acknowledges more; repeated ones, of which a loss is told, are all heard.
//!
//! **The congestion window** grows with each acknowledgment that the engine hears (smoltcp 0.14, as RFC 5681 section 3.1). So none is left out
//! before as many have been heard as make it larger than all that may ever be on its way, and none after a loss.

use super::{Connection, ingress::Arrived, turn::LEAST_RTO};
use crate::{Instant, blind::is_after, classify::Segment, engine::TcpState, turn::Context};
use alloc::boxed::Box;

/// Room for a segment without data: Ethernet, IPv6, TCP with a few options.
const ROOM: usize = 96;

/// What the peer has acknowledged.
#[derive(Default)]
pub(super) struct Acks {
    /// The last one that the engine has heard of.
    last: u32,
    /// The largest window that it has heard of, in bytes: it makes its congestion window no wider.
    widest: u32,
    /// How wide the congestion window is at least, or the peer's, in bytes; none if something had to be sent again.
    grown: Option<u32>,
    /// By how much the window of what is [aloft](super::flight) has grown beyond the first flight, and when it did last; none if something had to be
    /// sent again.
    wide: Option<u32>,
    wide_at: Instant,
    /// One waits in `kept`, whose place stays.
    waits: bool,
    kept: Option<Box<Kept>>,
}

/// An acknowledgment that waits.
struct Kept {
    segment: Segment,
    frame: [u8; ROOM],
    len: usize,
}

impl Acks {
    /// Of a connection that begins with this number.
    pub(super) fn new(sent: u32) -> Acks {
        Acks {
            last: sent,
            // What the engine takes for it in the beginning.
            widest: 1 << 16,
            grown: Some(0),
            wide: Some(0),
            ..Acks::default()
        }
    }

    /// The engine hears an acknowledgment, with a window of so many bytes, of a peer whose segments have `most` bytes.
    pub(super) fn note_heard(&mut self, ack: u32, window: u32, most: u16, now: Instant) {
        if window > self.widest {
            self.grown = self.grown.map(|grown| grown.min(self.widest));
            self.widest = window;
        }
        if is_after(ack, self.last) {
            let bytes = ack.wrapping_sub(self.last).min(most.into());
            self.grown = self.grown.map(|grown| grown.saturating_add(bytes));
            self.wide = self.wide.map(|wide| wide.saturating_add(bytes));
            self.wide_at = now;
            self.last = ack;
        }
    }

    /// The peer has acknowledged all up to here, and the engine has not heard of it.
    pub(super) fn note_landed(&mut self, sent: u32) {
        self.last = sent;
    }

    /// The peer has acknowledged so many bytes that [were aloft](super::flight).
    pub(super) fn note_flown(&mut self, bytes: usize, now: Instant) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.wide = self.wide.map(|wide| wide.saturating_add(bytes));
        self.wide_at = now;
    }

    /// How much may be aloft besides the first flight, as far as the network is known; `None` if something was lost.
    pub(super) fn allow(&mut self, now: Instant) -> Option<usize> {
        if now.since(self.wide_at) > LEAST_RTO {
            self.wide = self.wide.map(|_| 0);
        }
        usize::try_from(self.wide?).ok()
    }

    /// Whether something was lost.
    pub(super) fn has_lost(&self) -> bool {
        self.wide.is_none()
    }

    /// Nobody is there any more to hear the one that waits.
    pub(super) fn forget(&mut self) {
        self.waits = false;
    }

    /// Something was sent again.
    pub(super) fn note_lost(&mut self) {
        (self.grown, self.wide) = (None, None);
    }
}

impl Connection {
    /// Whether a segment that is believed waits. One that waited is left out then.
    pub(super) fn puts_off(
        &mut self,
        context: &mut Context<'_>,
        segment: &Segment,
        frame: &[u8],
    ) -> bool {
        // The last one that can come is heard at once.
        if !segment.is_only_ack() || segment.len > 0 || segment.ack == self.sent {
            return false;
        }
        let before = match &self.acks.kept {
            Some(kept) if self.acks.waits => kept.segment.ack,
            _ => self.acks.last,
        };
        // Both buffers are of one size, and no more is ever under way.
        let flies = self.tcp.receive_capacity() as u32;
        let is_plain = is_after(segment.ack, before)
            && segment.window > 0
            && self.window_of(segment) <= self.acks.widest
            && self.shut.is_none()
            && self.acks.grown.is_some_and(|grown| grown >= flies)
            && self.tcp.state() == TcpState::Established
            && !self.tcp.has_more_to_hear()
            && self.peer_isn.map(|isn| self.tcp.receive_next(isn)) == Some(segment.seq);
        let mut bytes = [0; ROOM];
        let Some(place) = bytes.get_mut(..frame.len()).filter(|_| is_plain) else {
            return false;
        };
        place.copy_from_slice(frame);
        let kept = Kept {
            segment: *segment,
            frame: bytes,
            len: frame.len(),
        };
        #[cfg(any(test, feature = "testing"))]
        {
            context.frames.acks_left_out += u64::from(self.acks.waits);
        }
        self.heard = context.now;
        match &mut self.acks.kept {
            Some(place) => **place = kept,
            None => self.acks.kept = Some(Box::new(kept)),
        }
        self.acks.waits = true;
        true
    }

    /// The window that a segment of the peer's tells, in bytes.
    fn window_of(&self, segment: &Segment) -> u32 {
        u32::from(segment.window) << self.peer.shift.unwrap_or(0).min(14)
    }

    /// The engine hears a segment.
    pub(super) fn note_acknowledged(&mut self, segment: &Segment) {
        if segment.is_ack() {
            let window = self.window_of(segment);
            let most = self.peer.segment.unwrap_or(536);
            self.acks.note_heard(segment.ack, window, most, self.heard);
        }
    }

    /// The engine hears each from now on.
    #[cfg(test)]
    pub(crate) fn hear_all_acks(&mut self) {
        self.acks.note_lost();
    }

    /// Whether one waits.
    #[inline]
    pub(super) fn has_kept(&self) -> bool {
        self.acks.waits
    }

    /// The engine hears the one that waits, if one does.
    #[inline]
    pub(super) fn hear_kept(&mut self, context: &mut Context<'_>) {
        if self.acks.waits {
            self.hear_all(context);
        }
    }

    #[inline(never)]
    fn hear_all(&mut self, context: &mut Context<'_>) {
        self.acks.waits = false;
        if let Some(mut kept) = self.acks.kept.take() {
            let segment = kept.segment;
            if let Some(frame) = kept.frame.get_mut(..kept.len) {
                self.hear(context, &segment, Arrived::Last(frame));
            }
            self.acks.kept = Some(kept);
        }
    }
}
