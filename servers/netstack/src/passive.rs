//! Connections that others open: SYN, handshake, backlog, accept.

use crate::{
    classify::Segment,
    connection::{Connection, FlowKey},
    engine::{Completed, Headers, Offer, SYN_ACK, Way},
    flow::{Entry, Flow},
    listener::HalfOpen,
    session::{Owner, Target},
    slab::Id,
    stack::Stack,
};
use alloc::boxed::Box;
use core::net::SocketAddr;
use ipc_proto::socket::Reply;

/// SYNs whose answer waits for a neighbour. The others are answered when they come again.
pub(crate) const MAX_UNANSWERED: usize = 64;

impl Stack {
    pub(crate) fn listener_at(&self, local: SocketAddr) -> Option<Id> {
        let users = self.tcp_ports.get(&local.port())?;
        let covering = |exact: bool| {
            users.iter().copied().find(|id| {
                self.listeners.get(*id).is_some_and(|listener| {
                    listener.covers(local.ip()) && (!exact || listener.local.ip() == local.ip())
                })
            })
        };
        covering(true).or_else(|| covering(false))
    }

    fn syn_dropped(&mut self) {
        self.counters.syn_dropped = self.counters.syn_dropped.saturating_add(1);
    }

    /// A SYN came to a listener, in the body of a packet.
    pub(crate) fn syn(&mut self, id: Id, key: FlowKey, segment: Segment, body: &[u8]) {
        let Some(listener) = self.listeners.get(id) else {
            return;
        };
        let session = listener.owner.session;
        let permitted = self
            .sessions
            .get(session)
            .is_some_and(|session| session.policy.permits_address(key.remote.ip()));
        if !permitted {
            self.counters.refused = self.counters.refused.saturating_add(1);
            return;
        }
        let room = listener.has_room();
        let offer = Offer::of(body);
        // A peer that cannot be told of a larger window is nothing for a larger buffer. Who waits first now is likely to get the connection.
        let scales = offer.is_some_and(|offer| offer.shift.is_some());
        let next = listener.accepts.front().filter(|_| scales);
        let Ok(buffer) = self.buffer_size(session, next.map(|accept| &accept.ends)) else {
            return;
        };
        let memory = (buffer as u32).saturating_mul(2);
        if !room || segment.len > 0 || !self.has_memory(session, memory) {
            return self.syn_dropped();
        }
        let Some(offer) = offer else {
            return self.malformed();
        };
        let entry = HalfOpen {
            listener: id,
            isn: self.random.u32(),
            peer_isn: segment.seq,
            offer,
            buffer,
            born: self.now,
            resent: 0,
        };
        self.answer(&key, &entry);
        self.ages_anew = true;
        if self.half_open.insert(key, entry) {
            self.syn_dropped();
        }
    }

    /// Sends the SYN-ACK of a handshake under way, once more.
    pub(crate) fn answer_syn(&mut self, key: &FlowKey) {
        // Aside meanwhile, for what answers is all of the stack.
        if let Some(entry) = self.half_open.remove(key) {
            self.answer(key, &entry);
            self.half_open.put_back(*key, entry);
        }
    }

    /// Sends the SYN-ACK of a handshake.
    fn answer(&mut self, key: &FlowKey, entry: &HalfOpen) {
        let Some(hop) = self.engine.next_hop(key.remote.ip()) else {
            return;
        };
        // With the neighbour unknown, the answer comes as soon as it is known.
        let Some((mac, _)) = self.neighbors.find(hop, self.now) else {
            if self.unanswered.len() < MAX_UNANSWERED {
                self.unanswered.push(*key);
                self.solicit(hop);
            }
            return;
        };
        let way = Way {
            mac,
            from: key.local,
            to: key.remote,
            hops: 0,
        };
        let numbers = (entry.isn, entry.peer_isn.wrapping_add(1));
        // Never scaled in a SYN (RFC 7323 section 2.2).
        let window = u16::try_from(entry.buffer).unwrap_or(u16::MAX);
        let segment = self.engine.max_segment(key.local.ip());
        let offer = entry.offer.answer(segment, entry.buffer);
        if let Some(answer) =
            Headers::new(&way, self.engine.mac(), numbers, (SYN_ACK, window), &offer)
        {
            self.frames
                .send_unfinished(answer.bytes(), answer.unfinished());
        }
    }

    /// The peer's ACK came: the connection is there.
    pub(crate) fn complete(
        &mut self,
        key: FlowKey,
        segment: &Segment,
        is_bare: bool,
        frame: &[u8],
    ) {
        let Some(entry) = self.half_open.remove(&key) else {
            return;
        };
        let listener_id = entry.listener;
        let Some(listener) = self.listeners.get(listener_id) else {
            return;
        };
        let (session, buffer) = (listener.owner.session, entry.buffer);
        let memory = (buffer as u32).saturating_mul(2);
        if !listener.has_room() || !self.has_memory(session, memory) {
            // The peer sends again, and may find room then.
            self.half_open.put_back(key, entry);
            return self.syn_dropped();
        }
        let root = self.sessions.get(session).map(|session| session.root);
        let numbers = (entry.isn, entry.peer_isn);
        let completed = Completed {
            local: key.local,
            remote: key.remote,
            numbers,
            offer: entry.offer,
            ack: frame,
            window: segment.window,
            is_bare,
        };
        let socket = self.spares.take(root, buffer);
        let socket = completed.bring_up(&mut self.engine, self.now, socket, &mut self.frames);
        let Some(socket) = socket else {
            self.half_open.put_back(key, entry);
            return self.dropped();
        };
        let numbers = (entry.isn, Some(entry.peer_isn));
        let epoch = self.engine.epoch();
        let mut connection = Connection::new(socket, key, numbers, epoch, self.now);
        connection.note_offer(&entry.offer);
        connection.note_handshake(self.now.since(entry.born));
        if is_bare {
            connection.note_begun(segment);
        }
        connection.backlog_of = Some(listener_id);
        let id = self.add_flow(Flow::Tcp(Box::new(connection)), session, memory);
        self.connections.insert(key, id);
        self.recent.note(frame, id, self.engine.epoch(), self.now);
        self.counters.connections = self.counters.connections.saturating_add(1);
        if let Some(listener) = self.listeners.get_mut(listener_id) {
            listener.ready.push_back(id);
            self.sessions.raise(session, listener.owner.index);
        }
        self.accept(listener_id);
        self.wake(id);
    }

    /// Brings connections and clients that wait at a listener together.
    pub(crate) fn accept(&mut self, id: Id) {
        loop {
            let Some(listener) = self.listeners.get_mut(id) else {
                return;
            };
            if listener.ready.is_empty() || listener.accepts.is_empty() {
                return;
            }
            let (Some(flow), Some(accept)) =
                (listener.ready.pop_front(), listener.accepts.pop_front())
            else {
                return;
            };
            let session_id = listener.owner.session;
            let Some(session) = self.sessions.get_mut(session_id) else {
                return;
            };
            session.accepts = session.accepts.saturating_sub(1);
            let Some(Entry {
                flow: Flow::Tcp(tcp),
                ..
            }) = self.flows.get_mut(flow)
            else {
                continue;
            };
            // The accept has held a place for it.
            let Some(socket) = session.allocate(Target::Flow(flow)) else {
                continue;
            };
            let owner = Owner {
                session: session_id,
                index: socket.index,
            };
            tcp.adopt(owner, accept.ends);
            let reply = Reply::Accepted {
                id: accept.id,
                socket,
                local: tcp.key.local,
                remote: tcp.key.remote,
            };
            self.sessions.reply(session_id, reply);
            self.wake(flow);
        }
    }
}
