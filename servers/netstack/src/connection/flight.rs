//! Many bytes that go past the engine: from the client's FIFO to frames, where they stay until the peer has acknowledged them. They are copied once
//! on their way, and not three or four times. Touches the connection, its FIFOs, and the engine's socket through it.
//!
//! **The FIFO is the buffer to send from.** What was sent and not acknowledged is *aloft*: it lies at the front of the FIFO, and gives no room
//! back before the peer has it. A client that changes it meanwhile garbles its own data, and what it says in the indices is checked as ever.
//!
//! **When.** The engine has nothing to say, as for [small segments](super::past), and nothing unacknowledged; if the client has written much,
//! it is given no more until that is so.
//!
//! **How much** is aloft: no more than fits in the engine's buffer and the peer's window, and in a congestion window that begins with ten segments
//! (RFC 6928) and doubles each round trip, since as many bytes are sent as have arrived ([`super::acks`] counts).
//!
//! **What is heard** meanwhile is that the first bytes have arrived, in segments that say nothing else, or bring data that [goes past the engine
//! too](super::direct). With anything else, and when the peer is silent for [`LEAST_RTO`], or the client ends its direction, the connection is
//! *grounded*: before the engine hears of it, it is given all that is aloft, as if it had sent that ([`crate::engine`], `late`). So it is the
//! engine that finds losses and repeats. After one, nothing is aloft any more on that connection.
//!
//! **What is sent** is a segment for the device to cut, or segments, as the engine would cut them: with Nagle's algorithm (RFC 9293 section 3.7.4), and
//! none of less than a segment because the window ends there (section 3.8.6.2.1).

use super::{
    Connection,
    turn::{LEAST_RTO, TURN_FRAMES},
};
use crate::{
    Instant,
    blind::is_after,
    classify::Segment,
    engine::{FrameSink, Glance, Headers, Heard, Offer, Says, SegmentHead, Way},
    turn::{Context, Turn},
};
use ipc_proto::fifo::PeerError;

/// The engine is given no more when it has so much, or so much more waits.
const MUCH: usize = 64 << 10;
/// Segments of the first flight, and bytes if those are large: two in any case (RFC 6928 section 2).
const FIRST: usize = 10;
const FIRST_BYTES: usize = 14_600;
/// Least bytes of a segment: so many fit in that of any peer that tells none (RFC 9293 section 3.7.1), and what is aloft is in few of them.
const LEAST: u16 = 536;
const ACK: u8 = 16;

impl Connection {
    /// Whether data may be aloft as soon as all that the engine has sent is acknowledged.
    #[inline]
    pub(super) fn may_be_aloft(&mut self, glance: &Glance, context: &Context<'_>) -> bool {
        let next = self.peer_isn.map(|isn| self.tcp.next_at(glance, isn));
        !self.acks.has_lost()
            && self.shut.is_none()
            && next.is_some_and(|next| !self.has_gap(next))
            && self.is_plain(glance, context)
            && self.tcp.may_fly()
    }

    /// Whether the engine, on a connection that [may](Self::may_be_aloft), is to have sent and heard all before it is given more.
    ///
    /// # Errors
    /// [`PeerError`] if the client's FIFO indices make no sense.
    pub(super) fn drains(
        &mut self,
        context: &Context<'_>,
        glance: &Glance,
    ) -> Result<bool, PeerError> {
        let engine_has = glance.unacknowledged;
        let (true, Some(limits)) = (engine_has > 0, self.limits(context)) else {
            return Ok(false);
        };
        let Some(ends) = &mut self.ends else {
            return Ok(false);
        };
        let is_much = engine_has >= MUCH || ends.reader.available()? >= MUCH;
        Ok(is_much && limits.aloft >= limits.segment.into())
    }

    /// Data may go past the engine from now on, if the client has written more than a segment, and what the peer said last is known.
    pub(super) fn begin_to_fly(&mut self, context: &Context<'_>) {
        let waiting = self.ends.as_ref().map_or(0, |ends| ends.reader.seen());
        let (Some((ack, window)), Some(peer_isn)) = (self.begun, self.peer_isn) else {
            return;
        };
        let may = !self.acks.has_lost() && !context.frames.nothing_past();
        if may && self.key.local.is_ipv4() && waiting > usize::from(SegmentHead::MOST) {
            let way = Way {
                mac: context.engine.mac(),
                from: self.key.remote,
                to: self.key.local,
                hops: 0,
            };
            let numbers = (self.tcp.receive_next(peer_isn), ack);
            let headers = Headers::new(&way, [0; 6], numbers, (ACK, window), &Offer::default());
            if let Some(headers) = headers {
                self.begin_direct(headers.bytes());
                // That of a SYN was rounded.
                if self.tcp.quiet().is_none() {
                    self.tcp.set_window(window, numbers, context.now);
                }
            }
        }
    }

    /// Sends what waits on a connection that [may](Self::may_be_aloft). False if the engine is to do that, or whatever else there is to do.
    ///
    /// # Errors
    /// [`PeerError`] if the client's FIFO indices make no sense.
    #[inline(never)]
    pub(super) fn fly(
        &mut self,
        context: &mut Context<'_>,
        turn: &mut Turn,
        glance: &Glance,
    ) -> Result<bool, PeerError> {
        let since = self.tcp.flies_since();
        let is_late = since.is_some_and(|since| since.after(LEAST_RTO) <= context.now);
        if is_late || glance.unacknowledged > self.tcp.aloft() {
            return Ok(false);
        }
        let Some(limits) = self.limits(context) else {
            return Ok(false);
        };
        let Some(head) = self.head(context) else {
            return Ok(false);
        };
        if self.tells_room() {
            self.look_for_room()?;
        }
        let Some(peer_isn) = self.peer_isn else {
            return Ok(false);
        };
        let next = self.tcp.next_at(glance, peer_isn);
        let sent = self.send_aloft(context, turn, &head, &limits, next)?;
        if self.tcp.aloft() == 0 {
            return Ok(false);
        }
        if !sent && context.may_send && self.is_to_tell(context.now) {
            turn.starved |= !context.frames.has_room();
            if !turn.starved {
                self.say(context, turn, (&head, limits.shift), next);
            }
        }
        self.tell(turn);
        if !self.pending {
            self.heard = context.now;
        }
        self.pending = true;
        self.is_calm = context.may_send && !turn.more && !turn.starved && self.is_all_aloft();
        let again = since.unwrap_or(context.now).after(LEAST_RTO);
        let others = [self.give_up_at(), self.acknowledges_by(context.now)];
        let at = others.into_iter().flatten().fold(again, Instant::min);
        turn.deadline = Some(at);
        Ok(true)
    }

    fn is_to_tell(&self, now: Instant) -> bool {
        let direct = self.direct.as_ref();
        direct.is_some_and(|direct| direct.is_to_tell(now))
    }

    /// Whether nothing waits in the FIFO but what is aloft.
    fn is_all_aloft(&self) -> bool {
        let ends = self.ends.as_ref();
        ends.is_some_and(|ends| ends.reader.seen() == self.tcp.aloft())
    }

    /// How much may be sent, and in which pieces.
    fn limits(&mut self, context: &Context<'_>) -> Option<Limits> {
        let direct = self.direct.as_ref()?;
        let (shift, (_, window)) = (direct.shift, direct.said?);
        let buffer = self.tcp.receive_capacity();
        let is_large = self.ends.as_ref()?.reader.capacity() >= buffer;
        let window = usize::from(window) << self.peer.shift.unwrap_or(0).min(14);
        let segment = self.peer.segment.unwrap_or(LEAST);
        let segment = segment.min(context.engine.max_segment(self.key.local.ip()));
        let size = usize::from(segment);
        let allowed = self
            .acks
            .allow(context.now)?
            .saturating_add((FIRST * size).min(FIRST_BYTES.max(2 * size)));
        let is_cut = context.frames.cuts_segments();
        if !is_large || !(LEAST..=SegmentHead::MOST).contains(&segment) {
            return None;
        }
        Some(Limits {
            shift,
            aloft: window.min(buffer).min(allowed),
            segment,
            at_once: match is_cut {
                true => SegmentHead::MOST_TO_CUT - SegmentHead::MOST_TO_CUT % size,
                false => size,
            },
        })
    }

    /// True if something was sent.
    fn send_aloft(
        &mut self,
        context: &mut Context<'_>,
        turn: &mut Turn,
        head: &SegmentHead,
        limits: &Limits,
        next: u32,
    ) -> Result<bool, PeerError> {
        let Some(ends) = &mut self.ends else {
            return Ok(false);
        };
        let waiting = ends.reader.available()?;
        let size = usize::from(limits.segment);
        // What was written while nothing was aloft goes as a whole, its last bytes with the segments in front of them.
        let waits = self.tcp.is_nagle() && self.tcp.aloft() > 0;
        let mut sent = false;
        while context.may_send {
            let aloft = self.tcp.aloft();
            let rest = waiting.saturating_sub(aloft);
            let mut len = rest
                .min(limits.aloft.saturating_sub(aloft))
                .min(limits.at_once);
            if len < rest || waits {
                len -= len % size;
            }
            if len == 0 {
                break;
            }
            if turn.frames >= TURN_FRAMES {
                turn.more = true;
                break;
            }
            if !context.frames.has_room() {
                turn.starved = true;
                break;
            }
            let says = Says {
                is_last: len == rest,
                ..self.says(next, limits.shift)
            };
            let cut = (len > size).then_some(limits.segment);
            let Some(ends) = &mut self.ends else { break };
            let reader = &mut ends.reader;
            let fill = |place: &mut [u8]| reader.peek_behind(aloft, place) == Ok(len);
            // Without a place it is as lost as on its way.
            head.send(says, (len, cut), context.frames, fill);
            self.tcp.lift(len, context.now);
            self.sent = self.sent.wrapping_add(len as u32);
            self.note_said(&says);
            #[cfg(any(test, feature = "testing"))]
            {
                context.frames.flown += len as u64;
            }
            turn.frames = turn.frames.saturating_add(len.div_ceil(size) as u32);
            sent = true;
        }
        Ok(sent)
    }

    /// Tells the peer what has come, without the engine, if that has nothing to say besides. There is room for a frame.
    pub(super) fn acknowledge_past(
        &mut self,
        context: &mut Context<'_>,
        turn: &mut Turn,
        next: u32,
    ) -> bool {
        let glance = self.tcp.glance();
        let may = self.shut.is_none() && !self.has_gap(next) && self.is_plain(&glance, context);
        let shift = self.direct.as_ref().map(|direct| direct.shift);
        let (true, Some(shift), Some(head)) = (may, shift, self.head(context)) else {
            return false;
        };
        self.say(context, turn, (&head, shift), next)
    }

    /// Sends a segment without data. False if it could not.
    fn say(
        &mut self,
        context: &mut Context<'_>,
        turn: &mut Turn,
        (head, shift): (&SegmentHead, u8),
        next: u32,
    ) -> bool {
        let says = Says {
            is_last: false,
            ..self.says(next, shift)
        };
        let sent = head.send(says, (0, None), context.frames, |_| true);
        if sent {
            self.note_said(&says);
            turn.frames = turn.frames.saturating_add(1);
        }
        sent
    }

    /// Whether something has come that does not follow what comes `next`.
    fn has_gap(&self, next: u32) -> bool {
        self.held.is_some_and(|held| is_after(held, next))
    }

    /// What the next segment says, if nothing follows it yet.
    fn says(&self, next: u32, shift: u8) -> Says {
        let window = self.tcp.whole_window(shift);
        Says {
            seq: self.sent,
            ack: next,
            window: self.tcp.unknown_window(next, window),
            is_last: true,
        }
    }

    fn note_said(&mut self, says: &Says) {
        self.acked = says.ack;
        if let Some(direct) = &mut self.direct {
            direct.note_acked(says.ack, says.window);
        }
    }

    /// What is aloft has arrived up to where a segment says, which has the number that comes `next`. False, and nothing has changed, if the engine is to
    /// hear of it.
    pub(super) fn land_some(&mut self, segment: &Segment, next: u32, now: Instant) -> bool {
        let aloft = self.tcp.aloft();
        let acked = self.sent.wrapping_sub(aloft as u32);
        let landed = segment.ack.wrapping_sub(acked) as usize;
        let (Some(direct), Some(ends)) = (&mut self.direct, &mut self.ends) else {
            return false;
        };
        let Some((_, before)) = direct.said else {
            return false;
        };
        let left = aloft.saturating_sub(landed);
        let shift = self.peer.shift.unwrap_or(0).min(14);
        let window = usize::from(segment.window) << shift;
        // The same once more tells of a loss (RFC 5681 section 2), and room that is taken back is the engine's business: more than what a
        // peer may lose that rounds its window down.
        let is_new = landed > 0 || segment.len > 0 || segment.window > before;
        if segment.seq != next || landed > aloft || !is_new || window + (1 << shift) <= left {
            return false;
        }
        ends.reader.skip(landed);
        self.tcp.land_first(landed, now);
        direct.said = Some((segment.ack, segment.window));
        if segment.window != before {
            self.tcp
                .set_window(segment.window, (next, segment.ack), now);
        }
        self.is_calm &= left == 0 && !ends.reader.owes_room();
        self.acks.note_landed(segment.ack);
        if landed > 0 {
            self.acks.note_flown(landed, now);
        }
        self.heard = now;
        // It is the engine that asks whether there is room again.
        self.shut = (window == 0).then_some(segment.ack);
        if next == self.acked {
            self.owes_since = now;
        }
        true
    }

    /// The engine is given what is aloft, if anything is.
    #[inline]
    pub(super) fn ground(&mut self) {
        if self.tcp.aloft() > 0 {
            self.ground_all();
        }
    }

    #[cold]
    #[inline(never)]
    fn ground_all(&mut self) {
        let said = self.direct.as_ref().and_then(|direct| direct.said);
        let (Some(ends), Some(peer_isn), Some((_, window))) = (&mut self.ends, self.peer_isn, said)
        else {
            return;
        };
        let heard = Heard {
            next: self.tcp.receive_next(peer_isn),
            acked: self.sent.wrapping_sub(self.tcp.aloft() as u32),
            window,
            segment: self.peer.segment.unwrap_or(LEAST),
            trip: self.trip,
        };
        let reader = &mut ends.reader;
        // All of it was seen to wait: no index of the client's is looked at.
        self.tcp
            .ground(&heard, |place| reader.read(place).unwrap_or(0));
    }
}

/// How much may be sent, and in which pieces.
struct Limits {
    /// How far windows are shifted.
    shift: u8,
    /// Bytes that may be aloft.
    aloft: usize,
    /// Bytes in a segment, and in what is sent at once.
    segment: u16,
    at_once: usize,
}
