//! Data that goes straight to the client's FIFO, and past the engine. Touches the connection, the engine through it, the FIFO, and the
//! driver's buffer through `frames`.
//!
//! Of a long frame that the device vouches for only the headers have been copied and looked at. Its data is not looked at by anybody here,
//! so a copy that the driver can't change any more is not needed: what it changes now it could have changed before. Segments that were
//! joined here have been copied and added up before, and go from that copy.
//!
//! **The stream.** The segment begins with the byte that comes next, lies within the window that the peer was told of, and there is room for
//! all of it. The engine holds nothing, neither to be read nor behind a gap. So the bytes that come next in the stream are the segment's,
//! all of them. They are published, and by the peer's true numbers, which all else here goes by, they have been taken; what the engine makes of
//! that is the business of [`crate::engine`] (`behind`).
//!
//! **What the segment says else.** What it acknowledges and the window in it are told to the engine, unless it has just heard the same. Only a
//! segment whose acknowledgment it takes goes this way, so its rules for what is believed stay.
//!
//! **The window.** If the peer may send more than there is room for in the FIFO, the engine has to hold that, and all that follows has to
//! queue behind it. So from the first such segment on the peer is told of the FIFO's room, and not of the engine's, which is never
//! used up. It never shrinks below what the peer was told, and opens by a quarter of the engine's buffer at least (RFC 9293 section 3.8.6.2.2).
//! The client tells when it has read half of its FIFO ([`ipc_proto::fifo`]). That is often enough: as long as the window has not opened, more
//! than half of the FIFO is full, or a quarter of it is left to the peer.
//!
//! **Acknowledgments.** One for more than a segment, or after [`DELAY`], or when the window opens (RFC 9293 section 3.8.6.3), as the engine does it.

use super::{Connection, past::Known};
use crate::{
    Instant,
    blind::{Verdict, is_after},
    classify::Segment,
    engine::{Acknowledging, Bare, FrameSink, TcpState},
    frames::{Frames, HEAD},
    turn::{Context, Turn},
};
use alloc::boxed::Box;
use core::time::Duration;
use ipc_proto::fifo::{PeerError, Writer};

/// A segment waits so long for a second one to be acknowledged with it: as long as in the engine.
const DELAY: Duration = Duration::from_millis(10);
/// Where the engine has said nothing for no known reason, it is asked again after so long. The peer asks by itself, too.
const AGAIN: Duration = Duration::from_millis(100);

/// Where the data of a segment is whose headers have been copied and looked at.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// In a buffer of the pool to receive into. The device vouches for the checksum.
    Buffer(u16),
    /// In a frame that is here, and whose checksums are right.
    Frame(&'a [u8]),
}

impl Source<'_> {
    /// Appends `len` bytes of the frame, from byte `at` of it on, to a client's FIFO. False if they are not there, or there is no room.
    fn give(
        self,
        frames: &Frames,
        (at, len): (usize, usize),
        writer: &mut Writer,
    ) -> Result<bool, PeerError> {
        match self {
            Source::Buffer(id) => {
                let staged = frames.stage(id, (at, len), writer)?;
                Ok(staged && writer.publish_staged(len) == len)
            }
            Source::Frame(frame) => match frame.get(at..at.saturating_add(len)) {
                Some(data) if writer.free()? >= len => Ok(writer.write(data)? == len),
                _ => Ok(false),
            },
        }
    }
}

/// What is noted of a connection some of whose data goes past the engine. All numbers are the peer's true ones.
pub(super) struct Direct {
    /// How far windows are shifted.
    pub(super) shift: u8,
    /// That behind the last byte that the peer was told there is room for, if that is as much as in the FIFO.
    pub(super) edge: Option<u32>,
    /// The acknowledgment that the engine heard last, if it took it, and the window that the peer told last: the engine knows it, or hears of it
    /// before it does anything.
    pub(super) said: Option<(u32, u16)>,
    /// Something went past the engine since the peer was last told what came.
    owes: bool,
    /// When it is to be told at the latest.
    pub(super) due: Option<Instant>,
    /// That is now.
    pub(super) is_due: bool,
    /// The window opens.
    opens: bool,
    /// The headers of a segment.
    headers: [u8; HEAD],
    len: usize,
    /// How segments are sent to the peer without the engine, as long as nothing changes.
    pub(super) way: Option<Known>,
}

impl Direct {
    /// Learns from a segment that was sent what the peer was told.
    pub(super) fn note_told(&mut self, segment: &Segment) {
        if segment.is_ack() {
            self.note_acked(segment.ack, segment.window);
        }
    }

    /// The peer was told what has come, and the window.
    pub(super) fn note_acked(&mut self, ack: u32, window: u16) {
        self.note_all_acked();
        if let Some(edge) = &mut self.edge {
            let told = ack.wrapping_add(u32::from(window) << self.shift);
            if is_after(told, *edge) {
                *edge = told;
            }
        }
    }

    /// The way to the peer is to be found anew.
    pub(super) fn forget_way(&mut self) {
        self.way = None;
    }

    /// Whether the peer is to be told now of what the engine does not know.
    pub(super) fn is_to_tell(&self, now: Instant) -> bool {
        self.is_due || self.opens || self.due.is_some_and(|due| due <= now)
    }

    /// The peer was told what has come.
    pub(super) fn note_all_acked(&mut self) {
        (self.owes, self.due, self.is_due, self.opens) = (false, None, false, false);
    }

    /// Data went past the engine. They are to be acknowledged at once, or soon.
    pub(super) fn note_passed(&mut self, at_once: bool, now: Instant) {
        self.owes = true;
        self.is_due |= at_once;
        self.due.get_or_insert(now.after(DELAY));
    }

    /// Learns from a segment that the engine has heard, where the peer's next number was `before` it and is `next` now.
    /// All up to `acked` has been acknowledged by now.
    fn note_heard(&mut self, segment: &Segment, (before, next): (u32, u32), acked: u32) {
        let says = (segment.ack, segment.window);
        let is_bare = segment.is_ack() && segment.len == 0 && segment.seq == before;
        self.said = match self.said {
            // Data was taken, and with it what the segment says.
            _ if segment.is_ack() && next != before => Some(says),
            // An old one, which is not taken.
            Some(said) if segment.is_ack() && is_after(said.0, segment.ack) => Some(said),
            Some(_) if is_bare => Some(says),
            None if is_bare && segment.ack == acked => Some(says),
            _ => None,
        };
    }
}

impl Connection {
    /// Whether the peer is told of the FIFO's room.
    #[inline]
    pub(super) fn tells_room(&self) -> bool {
        let direct = self.direct.as_ref();
        direct.is_some_and(|direct| direct.edge.is_some())
    }

    /// Whether the peer is to be told of something that the engine does not know, now or later.
    #[inline]
    pub(super) fn owes(&self) -> bool {
        let direct = self.direct.as_ref();
        direct.is_some_and(|direct| direct.owes || direct.opens)
    }

    fn next(&self) -> Option<u32> {
        Some(self.tcp.receive_next(self.peer_isn?))
    }

    /// Whether the peer may send data.
    fn receives(&self) -> bool {
        matches!(
            self.tcp.state(),
            TcpState::Established | TcpState::FinWait1 | TcpState::FinWait2
        )
    }

    /// The engine has heard a segment, before which that number was the next one.
    #[inline(never)]
    pub(super) fn note_heard(&mut self, segment: &Segment, before: u32) {
        let next = self.next();
        let acked = self.sent.wrapping_sub(self.tcp.unacknowledged() as u32);
        if let (Some(direct), Some(next)) = (&mut self.direct, next) {
            direct.note_heard(segment, (before, next), acked);
        }
    }

    /// A segment with data came that does not begin with the byte that comes `next`: some of it may be held.
    #[cold]
    pub(super) fn note_gap(&mut self, segment: &Segment, next: u32) {
        let end = segment.end();
        if is_after(end, next) && self.held.is_none_or(|held| is_after(end, held)) {
            self.held = Some(end);
        }
    }

    /// A segment came, with the `headers` of IPv4 without options. False if it is to be heard as any other.
    pub(crate) fn pass_on(
        &mut self,
        context: &mut Context<'_>,
        segment: &Segment,
        headers: &[u8],
        source: Source<'_>,
    ) -> bool {
        self.try_to_pass_on(context, segment, headers, source)
            .is_some()
    }

    #[inline(never)]
    fn try_to_pass_on(
        &mut self,
        context: &mut Context<'_>,
        segment: &Segment,
        headers: &[u8],
        source: Source<'_>,
    ) -> Option<()> {
        self.hear_kept(context);
        let next = self.next()?;
        if !segment.is_plain()
            || segment.seq != next
            || self.tcp.received() > 0
            || !self.receives()
            || self.closing.is_some()
            || self.waits_for_fin(segment)
            || self.judge(segment) != Verdict::Hear
        {
            return None;
        }
        let capacity = self.tcp.receive_capacity();
        if self.ends.as_ref()?.writer.capacity() < capacity
            || self.tcp.aloft() > 0 && !self.land_some(segment, next, context.now)
        {
            return None;
        }
        self.begin_direct(headers);
        let (direct, ends) = (self.direct.as_mut()?, self.ends.as_mut()?);
        // No window was larger.
        let no_further = next.wrapping_add(self.tcp.largest_window(direct.shift) as u32);
        let edge = *direct.edge.get_or_insert(no_further);
        let said = direct.said?;
        let holds = self.held.is_some_and(|held| is_after(held, next));
        let room = edge.wrapping_sub(next);
        if holds || is_after(said.0, segment.ack) || segment.len > room as usize {
            return None;
        }
        // A FIFO that makes no sense is noticed on the other way.
        let place = (headers.len(), segment.len);
        if source.give(context.frames, place, &mut ends.writer) != Ok(true) {
            return None;
        }
        #[cfg(any(test, feature = "testing"))]
        {
            context.frames.passed_on += 1;
        }
        let says = (segment.ack, segment.window);
        // The engine need not hear of what was sent past it and has arrived.
        let lands = self.tcp.flies_since().is_some() && segment.ack == self.sent;
        direct.said = Some(if lands {
            (said.0, segment.window)
        } else {
            says
        });
        self.held = None;
        self.begin_to_hear(context.now, segment);
        if lands {
            if segment.window != said.1 {
                let acked = self.sent.wrapping_sub(self.tcp.unacknowledged() as u32);
                self.tcp
                    .set_window(segment.window, (next, acked), context.now);
            }
            self.tcp.land();
            self.acks.note_landed(self.sent);
        } else if says != said {
            let bare = Bare {
                headers,
                seq: next,
                ack: segment.ack,
                has_data: false,
            };
            self.note_acknowledged(segment);
            self.hear_bare(context, &bare);
        }
        self.tcp.skip(segment.len);
        let direct = self.direct.as_mut()?;
        // More than a segment at once were joined.
        let most = usize::from(context.engine.max_segment(self.key.local.ip()));
        let owed = next.wrapping_sub(self.acked) as usize;
        direct.note_passed(owed.saturating_add(segment.len) > most, context.now);
        Some(())
    }

    /// Data may go past the engine from now on, if there are `headers` of a segment to tell it by.
    pub(super) fn begin_direct(&mut self, headers: &[u8]) {
        let (None, Some(shift)) = (&self.direct, self.shift) else {
            return;
        };
        let mut copy = [0; HEAD];
        let Some(place) = copy.get_mut(..headers.len()) else {
            return;
        };
        place.copy_from_slice(headers);
        self.direct = Some(Box::new(Direct {
            shift,
            edge: None,
            said: self.begun,
            owes: false,
            due: None,
            is_due: false,
            opens: false,
            headers: copy,
            len: headers.len(),
            way: None,
        }));
    }

    /// Gives the engine a segment without its data.
    pub(super) fn hear_bare(&mut self, context: &mut Context<'_>, bare: &Bare<'_>) -> u32 {
        self.ground();
        self.before = self.tcp.state();
        let mut sink = Acknowledging {
            sink: context.frames,
            next: self.acknowledges_at(),
        };
        let sent = context
            .engine
            .ingress_bare(context.now, bare, &mut self.tcp, &mut sink);
        self.end_to_hear(context.engine, context.frames, sent);
        sent.frames
    }

    /// Finds out how much room there is, before something is sent.
    ///
    /// # Errors
    /// [`PeerError`] if the client's FIFO indices make no sense.
    #[inline(never)]
    pub(super) fn look_for_room(&mut self) -> Result<(), PeerError> {
        let next = self.next();
        let (Some(direct), Some(next)) = (&mut self.direct, next) else {
            return Ok(());
        };
        let Some(told) = direct.edge else {
            return Ok(());
        };
        // More is never told: what only looks larger would repeat the last segment, which is how losses are told of.
        let capacity = self.tcp.largest_window(direct.shift);
        let room = match &mut self.ends {
            Some(ends) => {
                let free = ends.writer.free()?.min(capacity);
                free.saturating_sub(self.tcp.received())
            }
            // Nobody reads it, but it is thrown away.
            None => capacity,
        };
        let reach = next.wrapping_add(room as u32);
        let gain = reach.wrapping_sub(told);
        direct.opens = is_after(reach, told) && gain as usize >= capacity / 4;
        let edge = if direct.opens { reach } else { told };
        self.tcp.set_edge(Some((edge, direct.shift)));
        Ok(())
    }

    /// Tells the peer what went past the engine, if it is time to.
    #[inline(never)]
    pub(super) fn acknowledge(&mut self, context: &mut Context<'_>, turn: &mut Turn) {
        let next = self.next();
        let (Some(direct), Some(next)) = (&self.direct, next) else {
            return;
        };
        let is_due = direct.is_to_tell(context.now);
        if !self.receives() || !is_due || !context.may_send {
            return;
        }
        if !context.frames.has_room() {
            turn.starved = true;
            return;
        }
        if self.acknowledge_past(context, turn, next) {
            return;
        }
        let Some(direct) = &self.direct else {
            return;
        };
        let mut headers = direct.headers;
        // The card may be another one by now.
        if let Some(to) = headers.first_chunk_mut() {
            *to = context.engine.mac();
        }
        let bare = Bare {
            headers: headers.get(..direct.len).unwrap_or_default(),
            // One that came before all that it says has come.
            seq: next.wrapping_sub(1),
            ack: self.sent,
            has_data: true,
        };
        let frames = self.hear_bare(context, &bare);
        turn.frames = turn.frames.saturating_add(frames);
        if frames > 0 && context.engine.asked_for_neighbor() {
            turn.stalled.push(self.key.remote.ip());
        }
        match &mut self.direct {
            Some(direct) if direct.owes => {
                direct.is_due = false;
                direct.due = Some(context.now.after(AGAIN));
            }
            // It was told.
            _ => self.acked = next,
        }
    }

    /// When the peer is to be told at the latest what went past the engine.
    pub(super) fn acknowledges_by(&self, now: Instant) -> Option<Instant> {
        let due = self.direct.as_ref()?.due;
        due.filter(|due| *due > now)
    }
}
