//! Small segments that go past the engine: from a frame to the client's FIFO, and from its FIFO to a frame. A request and its answer on a
//! connection that carries nothing else take a fraction of the engine's work then. Touches the connection, its FIFOs, and the engine's
//! socket through it.
//!
//! **Received** is what comes next, if nothing else is to be heard of it: it acknowledges all that was sent, or what was acknowledged before,
//! and the engine holds nothing that it could belong to. That is checked here with numbers that are either equal or not; whatever differs
//! goes to the engine. (What the engine itself has sent is acknowledged to it in a segment without the data.) The FIFO has room for all of
//! it. So what is published is what the engine would have given to the client, in that order.
//!
//! **Sent** is what the client has written, if it is a segment at most, fits in the peer's window, and nothing else is on its way: neither the
//! congestion window (of one segment at least) nor Nagle's algorithm would hold it back. And the engine must have nothing to say by
//! itself (`is_settled`): then what it would send is this segment, and no other. The data are copied aside first, for they may have to be sent
//! again. If they are acknowledged as a whole, the engine never hears of them. In any other case it is told before it does anything, as of the
//! time when they were sent ([`crate::engine`], `late`), and does what it would have done: its clock for sending them again began then,
//! and never runs out before [`LEAST_RTO`].
//!
//! **What the engine does not hear of** otherwise: how long the answers take (it learns that from those that it sends; until then it waits
//! for a second at least, and for longer if it knew better), and that its congestion window could grow (it allows less then).

use super::{Connection, turn::LEAST_RTO};
use crate::{
    Instant,
    blind::is_after,
    classify::Segment,
    engine::{Bare, FrameSink, Glance, Says, SegmentHead, TcpState, Way},
    turn::{Context, Turn},
};
use ipc_proto::fifo::PeerError;

/// How to send to the peer, as long as nothing changes.
#[derive(Clone, Copy)]
pub(super) struct Known {
    head: SegmentHead,
    epochs: (u64, u64),
    until: Instant,
}

/// What is to follow from a segment that went past the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Past {
    /// A turn.
    Turn,
    /// No more than a turn at this time, if any.
    Rest(Option<Instant>),
}

impl Connection {
    /// Whether a segment is of a kind that can go past the engine.
    #[inline]
    pub(crate) fn may_take_past(&self, segment: &Segment) -> bool {
        segment.is_plain() && (segment.len > 0 || self.tcp.flies_since().is_some())
    }

    /// A segment of such a kind came, like an earlier one, with these `headers` and data, over IPv4 without options. `None` if it is to be
    /// heard as any other.
    #[inline(never)]
    pub(crate) fn take_past(
        &mut self,
        context: &mut Context<'_>,
        segment: &Segment,
        headers: &[u8],
        data: &[u8],
    ) -> Option<Past> {
        self.hear_kept(context);
        let glance = self.tcp.glance();
        let next = self.tcp.next_at(&glance, self.peer_isn?);
        let is_plain =
            glance.state == TcpState::Established && glance.received == 0 && segment.seq == next;
        let is_held = self.held.is_some_and(|held| is_after(held, next));
        if !is_plain || is_held || self.closing.is_some() || context.frames.nothing_past() {
            return None;
        }
        let glance = match self.tcp.aloft() {
            0 => glance,
            _ if !self.land_some(segment, next, context.now) => return None,
            _ if data.is_empty() => {
                let direct = self.direct.as_ref()?;
                let rests = self.is_calm && !direct.is_to_tell(context.now);
                return Some(match rests {
                    true => Past::Rest(direct.due),
                    false => Past::Turn,
                });
            }
            _ => self.tcp.glance(),
        };
        let flies = self.tcp.flies_since().is_some();
        let acked = self.sent.wrapping_sub(glance.unacknowledged as u32);
        let lands = segment.ack == self.sent;
        // What the engine has sent it has to hear of: with the data, or without.
        let tells = glance.unacknowledged > 0 && !flies;
        if tells && (!lands || data.is_empty()) {
            return None;
        }
        // One that repeats what was acknowledged before may tell of a loss.
        if !lands && (segment.ack != acked || data.is_empty()) {
            return None;
        }
        if self.direct.is_none() && !data.is_empty() {
            self.begin_direct(headers);
        }
        let (direct, ends) = (self.direct.as_mut()?, self.ends.as_mut()?);
        let (said, window) = direct.said?;
        if !data.is_empty() {
            let beyond = direct.edge.map(|edge| edge.wrapping_sub(next) as usize);
            if beyond.is_some_and(|room| data.len() > room)
                // A FIFO that makes no sense is noticed on the other way.
                || ends.writer.free().is_ok_and(|free| data.len() > free)
                || ends.writer.write(data) != Ok(data.len())
            {
                return None;
            }
            // As the engine does it: when more than a segment has come. Several may have been joined: the peer's window may be full with them.
            let most = usize::from(context.engine.max_segment(self.key.local.ip()));
            let owed = next.wrapping_sub(self.acked) as usize;
            let at_once = owed.saturating_add(data.len()) > most;
            direct.note_passed(at_once, context.now);
        }
        self.heard = context.now;
        if next == self.acked {
            self.owes_since = context.now;
        }
        (self.shut, self.held) = (None, None);
        if tells {
            direct.said = Some((segment.ack, segment.window));
            let bare = Bare {
                headers,
                seq: next,
                ack: segment.ack,
                has_data: false,
            };
            self.note_acknowledged(segment);
            self.hear_bare(context, &bare);
        } else {
            if segment.window != window {
                direct.said = Some((said, segment.window));
                self.tcp
                    .set_window(segment.window, (next, acked), context.now);
            }
            if lands {
                self.tcp.land();
                self.acks.note_landed(self.sent);
            }
        }
        self.tcp.skip(data.len());
        #[cfg(any(test, feature = "testing"))]
        {
            context.frames.past[0] += 1;
        }
        let direct = self.direct.as_ref()?;
        let rests = self.is_calm
            && self.keep_alive.is_none()
            && (lands || !flies)
            && !tells
            && !direct.is_due;
        Some(match rests {
            true => Past::Rest(direct.due),
            false => Past::Turn,
        })
    }

    /// Whether the engine has nothing to say or to hear of, so that what the client writes now may be sent without it.
    #[inline]
    pub(super) fn may_send_past(&self, glance: &Glance, context: &Context<'_>) -> bool {
        glance.unacknowledged == 0
            && self.status == self.told
            && context.may_send
            && self.is_plain(glance, context)
    }

    /// Whether the engine has nothing to say or to hear of but what the peer acknowledges.
    #[inline]
    pub(super) fn is_plain(&self, glance: &Glance, context: &Context<'_>) -> bool {
        self.direct.is_some()
            && self.is_settled
            && glance.state == TcpState::Established
            && glance.received == 0
            && self.keep_alive.is_none()
            && self.closing.is_none()
            && !self.shutdown
            && self.epoch == context.engine.epoch()
            && !context.frames.nothing_past()
    }

    /// Sends what the client has written, if it [may](Self::may_send_past) and that is all that there is. When to look again, if it was done.
    ///
    /// # Errors
    /// [`PeerError`] if the client's FIFO indices make no sense.
    #[inline(never)]
    pub(super) fn send_past(
        &mut self,
        context: &mut Context<'_>,
        turn: &mut Turn,
        glance: &Glance,
    ) -> Result<Option<Instant>, PeerError> {
        let (Some((_, window)), Some(peer_isn)) =
            (self.direct.as_ref().and_then(|it| it.said), self.peer_isn)
        else {
            return Ok(None);
        };
        let window = usize::from(window) << self.peer.shift.unwrap_or(0);
        // The least that every host takes (RFC 9293 section 3.7.1).
        let segment = self.peer.segment.unwrap_or(536);
        let most = segment.min(context.engine.max_segment(self.key.local.ip()));
        let most = window.min(most.min(SegmentHead::MOST).into());
        let Some(ends) = &mut self.ends else {
            return Ok(None);
        };
        let len = ends.reader.available()?;
        if len == 0 || len > most || !context.frames.has_room() || !self.tcp.may_fly() {
            return Ok(None);
        }
        let Some(head) = self.head(context) else {
            return Ok(None);
        };
        if self
            .direct
            .as_ref()
            .is_some_and(|direct| direct.edge.is_some())
        {
            self.look_for_room()?;
        }
        let (Some(direct), Some(ends)) = (&mut self.direct, &mut self.ends) else {
            return Ok(None);
        };
        let len = ends.reader.read(self.tcp.room_to_fly(len))?;
        let next = self.tcp.next_at(glance, peer_isn);
        let window = self.tcp.whole_window(direct.shift);
        let window = self.tcp.unknown_window(next, window);
        let data = self.tcp.data_to_fly(len);
        // Without a place it is as lost as on its way.
        let says = Says {
            seq: self.sent,
            ack: next,
            window,
            is_last: true,
        };
        head.send(says, (len, None), context.frames, |place| {
            place.copy_from_slice(data);
            true
        });
        self.tcp.fly(len, context.now);
        direct.note_acked(next, window);
        self.sent = self.sent.wrapping_add(len as u32);
        self.acked = next;
        if !self.pending {
            self.heard = context.now;
        }
        self.pending = true;
        #[cfg(any(test, feature = "testing"))]
        {
            context.frames.past[1] += 1;
        }
        turn.frames = turn.frames.saturating_add(1);
        turn.raise |= ends.reader.tells_room();
        let again = context.now.after(LEAST_RTO);
        Ok(Some(self.give_up_at().map_or(again, |at| at.min(again))))
    }

    /// The headers of segments to the peer, if its neighbour is known.
    pub(super) fn head(&mut self, context: &Context<'_>) -> Option<SegmentHead> {
        let epochs = (context.engine.epoch(), context.neighbors.epoch());
        let direct = self.direct.as_mut()?;
        if let Some(known) = &direct.way
            && known.epochs == epochs
            && context.now < known.until
        {
            return Some(known.head);
        }
        let hop = context.engine.next_hop(self.key.remote.ip())?;
        let (mac, until) = context.neighbors.find(hop, context.now)?;
        let way = Way {
            mac,
            from: self.key.local,
            to: self.key.remote,
            hops: self.tcp.hop_limit(),
        };
        let head = SegmentHead::new(&way, context.engine.mac())?;
        direct.way = Some(Known {
            head,
            epochs,
            until,
        });
        Some(head)
    }

    /// Whether the turn has left nothing to look at before the deadline but what goes past the engine.
    pub(super) fn rests(&self, context: &Context<'_>, turn: &Turn, state: TcpState) -> bool {
        context.may_send
            && self.is_settled
            && !turn.more
            && !turn.starved
            && turn.stalled.is_empty()
            && self.keep_alive.is_none()
            && self.closing.is_none()
            && state == TcpState::Established
    }
}
