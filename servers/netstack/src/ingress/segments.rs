//! Where a TCP segment goes: to a connection, a handshake under way, what is left of a connection, or a listener; and what is made of word
//! that one did not arrive. Touches the tables of those, and flows through them.

use crate::{
    blind::is_after,
    classify::{self, Packet, Quoted, Segment},
    connection::FlowKey,
    engine::FrameSink,
    flow::{Entry, Flow},
    listener::MAX_HALF_OPEN,
    stack::Stack,
};
use core::net::SocketAddr;
use ipc_proto::socket::NetError;

/// The connection that a segment names.
pub(super) fn flow_key(packet: &Packet<'_>, segment: Segment) -> FlowKey {
    FlowKey {
        local: SocketAddr::new(packet.dst, segment.dst_port),
        remote: SocketAddr::new(packet.src, segment.src_port),
    }
}

impl Stack {
    pub(super) fn segment(&mut self, packet: &Packet<'_>, segment: Segment, frame: &[u8]) {
        let to_us = frame.get(..6) == Some(self.engine.mac().as_slice());
        if !to_us
            || !self.engine.has_address(packet.dst)
            || segment.src_port == 0
            || segment.dst_port == 0
        {
            return self.dropped();
        }
        let key = flow_key(packet, segment);
        if let Some(id) = self.connections.get(&key).copied() {
            let has_ended = match self.flows.get(id).map(|entry| &entry.flow) {
                Some(Flow::Tcp(tcp)) => tcp.has_ended(),
                _ => true,
            };
            // A client may not have seen yet that its connection has ended; the peer need not wait for that to open another.
            if !(has_ended && segment.is_opening()) {
                return self.give_flow(id, packet, frame);
            }
            self.connections.remove(&key);
        }
        if let Some(entry) = self.half_open.get(&key) {
            let expected = segment.seq == entry.peer_isn.wrapping_add(1);
            if segment.is_opening() {
                // With another number it may be anybody's. A peer that has started anew answers this by a reset with the number
                // that is expected, and then tries again (RFC 5961 section 4.2, RFC 9293 section 3.10.7.3).
                return self.answer_syn(&key);
            } else if segment.is_reset() {
                if expected {
                    self.half_open.remove(&key);
                }
                return;
            } else if segment.is_ack() && expected && segment.ack == entry.isn.wrapping_add(1) {
                let is_bare = packet.body.len() == classify::TCP && segment.is_only_ack();
                return self.complete(key, &segment, is_bare, frame);
            } else {
                return self.dropped();
            }
        }
        if let Some(ack) = self.time_waits.get(&key) {
            // A SYN beyond what was acknowledged is of a new time (RFC 9293 section 3.6.1, MAY-2).
            let last = classify::tcp(ack);
            if segment.is_opening() && last.is_some_and(|last| is_after(segment.seq, last.ack)) {
                self.time_waits.remove(&key);
            } else {
                // Not for resets (RFC 1337), nor for what needs no answer.
                if !segment.is_reset() && (segment.len > 0 || segment.is_fin() || segment.is_syn())
                {
                    self.frames.send(ack);
                }
                return;
            }
        }
        let listener = self.listener_at(key.local);
        match listener {
            Some(listener) if segment.is_opening() => self.syn(listener, key, segment, packet.body),
            // The handshake may have been pushed out by others: a reset would end what only has to be tried again.
            Some(_) if self.half_open.len() >= MAX_HALF_OPEN / 2 => self.dropped(),
            _ => self.in_vain(packet, frame),
        }
    }

    /// Somebody says that a segment did not arrive. That ends an attempt to connect, if the quote is of its SYN, whose sequence
    /// number nobody can guess; an established connection knows better (RFC 5927 section 5.2).
    pub(super) fn segment_lost(&mut self, quoted: &Quoted) {
        let key = FlowKey {
            local: quoted.from,
            remote: quoted.to,
        };
        let error = if quoted.is_refused {
            NetError::ConnectionRefused
        } else {
            NetError::Unreachable
        };
        let now = self.now;
        if let Some(id) = self.connections.get(&key).copied()
            && let Some(Entry {
                flow: Flow::Tcp(tcp),
                ..
            }) = self.flows.get_mut(id)
            && tcp.fail_to_connect(quoted.seq, error, now)
        {
            self.wake(id);
        } else {
            self.dropped();
        }
    }
}
