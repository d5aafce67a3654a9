//! What a connection makes of the peer's segments: whether they are believed, and what the engine must be told in other words. Touches the
//! connection, and the engine through it.
//!
//! smoltcp is given each segment that passes [`Position::judge`]; where it is known to draw the wrong conclusion, it gets one that says the
//! same in a way that it understands (`engine::challenge`).

use super::{ANSWER_DELAY, Connection};
use crate::{
    Instant,
    blind::{Position, Verdict, is_after},
    classify::{self, Segment},
    engine::{
        Acknowledging, Engine, FrameSink, Offer, Sent, TcpState, ajar, bare, challenging,
        with_other_window,
    },
    split,
    turn::Context,
};

/// A frame that came.
pub(crate) enum Arrived<'a> {
    /// Nobody will look at it any more, so it may be changed.
    Last(&'a mut [u8]),
    /// Somebody may.
    Shared(&'a [u8]),
}

impl Arrived<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Arrived::Last(bytes) => bytes,
            Arrived::Shared(bytes) => bytes,
        }
    }
}

/// What the SYN in a frame offers.
fn offered(frame: &[u8]) -> Option<Offer> {
    Offer::of(frame.get(classify::header(frame)?.len()..)?)
}

impl Connection {
    /// A segment came. False if it was not believed.
    pub(crate) fn ingress(
        &mut self,
        context: &mut Context<'_>,
        segment: &Segment,
        frame: Arrived<'_>,
    ) -> bool {
        let mut verdict = self.judge(segment);
        if verdict == Verdict::Hear && self.tcp.aloft() > 0 {
            let next = self.peer_isn.map(|isn| self.tcp.receive_next(isn));
            let is_plain = segment.is_only_ack() && segment.len == 0;
            if let Some(next) = next.filter(|_| is_plain)
                && self.land_some(segment, next, context.now)
            {
                return true;
            }
        }
        if verdict != Verdict::Drop {
            self.ground();
        }
        if verdict == Verdict::Hear && self.puts_off(context, segment, frame.bytes()) {
            return true;
        }
        if self.has_kept() {
            self.hear_kept(context);
            verdict = self.judge(segment);
        }
        match verdict {
            // The engine need not hear what ends the connection, and it with that.
            Verdict::Hear if self.is_last(segment) => self.tcp.forget(),
            Verdict::Hear if self.is_quiet_end(segment) => self.end_quietly(segment, context.now),
            Verdict::Hear => self.hear(context, segment, frame),
            Verdict::Challenge => {
                // Half of the circle ahead would be behind.
                let never_sent = self.sent.wrapping_add(1 << 30);
                if let Some(mut frame) = challenging(frame.bytes(), never_sent) {
                    let engine = &mut *context.engine;
                    engine.ingress_last(context.now, &mut frame, &mut self.tcp, context.frames);
                }
                return false;
            }
            Verdict::Drop => return false,
        }
        true
    }

    pub(super) fn judge(&self, segment: &Segment) -> Verdict {
        let Some(peer_isn) = self.peer_isn else {
            return Verdict::Hear;
        };
        let position = Position {
            state: self.tcp.state(),
            receive_next: self.tcp.receive_next(peer_isn),
            window: self.tcp.receive_capacity() as u32,
            sent: self.sent,
        };
        position.judge(segment)
    }

    pub(super) fn hear(
        &mut self,
        context: &mut Context<'_>,
        segment: &Segment,
        frame: Arrived<'_>,
    ) {
        let next = self.begin_to_hear(context.now, segment);
        self.note_acknowledged(segment);
        // What comes now, the engine has to acknowledge.
        self.is_settled &= segment.len == 0;
        // Behind the FIN, no window is needed: the engine, which goes on asking for one, would do so without a pause.
        let is_last = self.sent_fin && segment.ack == self.sent;
        let is_shut = segment.is_ack()
            && segment.window == 0
            && (is_last || is_after(self.sent, segment.ack));
        let mut opened = is_shut.then(|| ajar(frame.bytes())).flatten();
        let frame = opened.as_deref_mut().map_or(frame, Arrived::Last);
        let retold = self.waits_for_fin(segment).then(|| {
            self.told_twice = !self.told_twice;
            with_other_window(frame.bytes(), self.told_twice)
        });
        let mut retold = retold.flatten();
        let frame = retold.as_deref_mut().map_or(frame, Arrived::Last);
        let offer = match self.before {
            TcpState::SynSent => offered(frame.bytes()),
            _ => None,
        };
        let mut sink = Acknowledging {
            sink: context.frames,
            next: self.acknowledges_at(),
        };
        if let Some(seq) = self.shut_at(segment)
            && let Some(mut frame) = bare(frame.bytes(), seq)
        {
            context
                .engine
                .ingress_last(context.now, &mut frame, &mut self.tcp, &mut sink);
        }
        let (engine, tcp) = (&mut *context.engine, &mut self.tcp);
        let sent = match frame {
            Arrived::Last(frame) => engine.ingress_last(context.now, frame, tcp, &mut sink),
            Arrived::Shared(frame) => engine.ingress(context.now, frame, tcp, &mut sink),
        };
        if self.before == TcpState::SynSent && self.tcp.state() != self.before {
            self.peer_isn = Some(segment.seq);
            self.note_handshake(context.now.since(self.began));
            if let Some(offer) = offer {
                self.note_offer(&offer);
                // The window of a SYN is not shifted (RFC 7323 section 2.2).
                let window = segment.window >> offer.shift.unwrap_or(0).min(14);
                self.begun = (segment.len == 0).then_some((segment.ack, window));
            }
        }
        if self.before != self.tcp.state() && self.tcp.state() == TcpState::CloseWait {
            self.answer_at = Some(context.now.after(ANSWER_DELAY));
        }
        if let Some(next) = next {
            if self.direct.is_some() {
                self.note_heard(segment, next);
            }
            let acked = self.sent.wrapping_sub(self.tcp.unacknowledged() as u32);
            let is_bare = segment.is_only_ack() && segment.len == 0 && segment.seq == next;
            let is_all = is_bare && segment.ack == acked;
            self.begun = is_all.then_some((segment.ack, segment.window));
        }
        self.end_to_hear(context.engine, context.frames, sent);
    }

    /// What is noted of each segment before the engine gets it. The number of the byte that comes next, if the peer's are known.
    pub(super) fn begin_to_hear(&mut self, now: Instant, segment: &Segment) -> Option<u32> {
        self.heard = now;
        self.before = self.tcp.state();
        self.note_window(segment, now)
    }

    /// What is noted behind each segment, and of what the engine `sent` for it.
    pub(super) fn end_to_hear(&mut self, engine: &Engine, sink: &dyn FrameSink, sent: Sent) {
        self.note_state(true);
        if sent.frames > 0 {
            // It has told a window, too.
            let received = self.tcp.received();
            self.is_settled &= received == 0;
            self.was_roomy &= received <= self.tcp.receive_capacity() / 8;
            if let Some(direct) = &mut self.direct
                && let Some(segment) = classify::own_tcp(engine.last_frame(sink))
            {
                direct.note_told(&segment);
            }
            self.note_ack(engine, sink);
        }
    }

    /// Whether the peer says once more that all has come but the FIN.
    pub(super) fn waits_for_fin(&self, segment: &Segment) -> bool {
        let has_ended = matches!(
            self.tcp.state(),
            TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck
        );
        has_ended
            && self.tcp.unacknowledged() == 0
            && segment.is_ack()
            && segment.ack.wrapping_add(1) == self.sent
    }

    /// Notes whether the peer has room, of which a segment out of order says nothing, and whether there is a gap.
    pub(super) fn note_window(&mut self, segment: &Segment, now: Instant) -> Option<u32> {
        let next = self.tcp.receive_next(self.peer_isn?);
        if next == self.acked {
            self.owes_since = now;
        }
        let ahead = segment.seq.wrapping_sub(next);
        if ahead != 0 && segment.len > 0 {
            self.note_gap(segment, next);
        }
        if segment.is_ack() && ahead as usize <= self.tcp.receive_capacity() {
            self.shut = (segment.window == 0).then_some(segment.ack);
        } else if let Some(shut) = &mut self.shut
            && segment.is_ack()
            && is_after(segment.ack, *shut)
        {
            // Two that probe each other's shut windows may both have taken the byte: then each still speaks with the number before it, and
            // neither hears the other. But what it has taken, the peer expects no more.
            *shut = segment.ack;
        }
        Some(next)
    }

    /// The number that a bare acknowledgment carries: that of what comes next, but none beyond the window of a peer that has taken
    /// it back, who would not hear it (RFC 9293 section 3.10.7.4).
    pub(super) fn acknowledges_at(&self) -> u32 {
        self.shut
            .filter(|shut| is_after(self.sent, *shut))
            .unwrap_or(self.sent)
    }

    /// The number of the next byte from the peer, if there is no room for any and this segment is beyond it.
    fn shut_at(&self, segment: &Segment) -> Option<u32> {
        let (next, capacity) = (
            self.tcp.receive_next(self.peer_isn?),
            self.tcp.receive_capacity(),
        );
        let ahead = segment.seq.wrapping_sub(next);
        let is_beyond = ahead > 0 || segment.end() != segment.seq;
        let free = capacity.saturating_sub(self.tcp.received());
        let is_shut = free < self.tcp.window_unit() && ahead as usize <= capacity;
        (is_shut && is_beyond && segment.is_ack()).then_some(next)
    }

    /// Learns from a frame that was sent how far the peer may acknowledge, and what it may believe.
    pub(super) fn note_sent(&mut self, engine: &Engine, sink: &dyn FrameSink) {
        let Some(segment) = classify::own_tcp(engine.last_frame(sink)) else {
            return;
        };
        // Some of it was sent before, though new bytes may follow; and it is no probe of a silent peer.
        let begins_before = segment.len > 0 && is_after(self.sent, segment.seq);
        if begins_before && self.tcp.unacknowledged() > 0 {
            self.acks.note_lost();
        }
        if is_after(segment.end(), self.sent) {
            self.sent = segment.end();
            self.sent_fin |= segment.is_fin();
        }
        // A SYN acknowledges nothing, and the zero that stands there may be next to where the peer begins.
        if segment.is_ack() {
            self.acked = segment.ack;
            let received = self.tcp.received();
            self.was_roomy = received <= self.tcp.receive_capacity() / 8;
            self.is_settled = received == 0;
        }
        if let Some(direct) = &mut self.direct {
            direct.note_told(&segment);
        }
    }

    pub(super) fn note_ack(&mut self, engine: &Engine, sink: &dyn FrameSink) {
        // In the state before, FIN has been acknowledged too. One with data may have been cut to several packets behind the engine.
        if matches!(self.tcp.state(), TcpState::Closing | TcpState::TimeWait) {
            let frame = engine.last_frame(sink);
            // If it is no segment, the neighbour was asked for, and is again.
            self.last_ack = split::without_data(frame).or_else(|| Some(frame.into()));
        }
    }
}
