//! The ends of connections that the engine need not hear of: of those that have carried nothing (`engine::quiet`), and the last acknowledgment
//! of any. Touches the connection.

use super::{ANSWER_DELAY, Connection, turn::LEAST_RTO};
use crate::{
    Instant,
    classify::Segment,
    engine::{FIN_ACK, FrameSink, TcpState},
    turn::{Context, Turn},
};

impl Connection {
    /// Whether a segment is the last of a connection without a client: it acknowledges the FIN, all else was acknowledged and received before,
    /// and it says nothing more (RFC 9293 section 3.10.7.4, LAST-ACK).
    pub(super) fn is_last(&self, segment: &Segment) -> bool {
        self.sent_fin
            && self.owner.is_none()
            && self.backlog_of.is_none()
            && self.tcp.state() == TcpState::LastAck
            && self.tcp.unacknowledged() == 0
            && self.tcp.received() == 0
            && segment.is_only_ack()
            && segment.len == 0
            && segment.ack == self.sent
            && self.peer_isn.map(|isn| self.tcp.receive_next(isn)) == Some(segment.seq)
    }

    /// Whether the peer of a connection that has carried nothing ends its direction, and says nothing more.
    pub(super) fn is_quiet_end(&self, segment: &Segment) -> bool {
        self.tcp.quiet().is_some()
            && self.tcp.state() == TcpState::Established
            && segment.flags == FIN_ACK
            && segment.len == 0
            && segment.window > 0
            && segment.ack == self.sent
            && self.peer_isn.map(|isn| self.tcp.receive_next(isn)) == Some(segment.seq)
    }

    pub(super) fn end_quietly(&mut self, segment: &Segment, now: Instant) {
        self.heard = now;
        self.note_window(segment, now);
        self.tcp.land();
        self.acks.note_landed(self.sent);
        self.tcp.end_quietly(segment.window, now);
        self.answer_at = Some(now.after(ANSWER_DELAY));
        self.before = self.tcp.state();
        self.note_state(true);
    }

    /// Sends the FIN of a connection that has carried nothing. When it wants to be looked at again; `None` if the engine has to look at it
    /// now, which is told of all that then.
    pub(super) fn quiet_egress(
        &mut self,
        context: &mut Context<'_>,
        turn: &mut Turn,
    ) -> Option<Option<Instant>> {
        let quiet = self.tcp.quiet()?;
        match self.tcp.state() {
            TcpState::Established => return Some(None),
            TcpState::LastAck => {}
            // The peer's FIN is to be acknowledged.
            _ => return None,
        }
        if let Some(at) = quiet.closed() {
            // What is lost is sent again by the engine.
            let at = at.after(LEAST_RTO);
            return (at > context.now).then_some(Some(at));
        }
        let hop = context.engine.next_hop(self.key.remote.ip())?;
        let (to, _) = context.neighbors.find(hop, context.now)?;
        if !context.frames.has_room() {
            return None;
        }
        let fin = self.tcp.quiet_fin(context.engine.mac(), to, context.now)?;
        context
            .frames
            .send_unfinished(fin.bytes(), fin.unfinished());
        self.sent = self.sent.wrapping_add(1);
        self.sent_fin = true;
        if let Some(direct) = &mut self.direct {
            direct.note_all_acked();
        }
        turn.frames = turn.frames.saturating_add(1);
        Some(Some(context.now.after(LEAST_RTO)))
    }
}
