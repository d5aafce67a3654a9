//! Flows: whatever has sockets of its own in the engine. How they begin and end, and what they wait for.

mod turns;

use crate::{
    accounts::Charge,
    connection::Connection,
    engine::{FrameSink, solicit},
    ping::Ping,
    ports,
    resolver::Lookup,
    session::{Owner, Target},
    slab::{Id, Slab},
    stack::{SessionId, Stack},
    udp::Udp,
};
use alloc::{boxed::Box, collections::VecDeque};
use core::net::IpAddr;
use ipc_proto::{
    fifo::PeerError,
    socket::{NetError, Reply},
};

/// Flows without a client that are kept. Beyond that the oldest goes.
pub(crate) const MAX_ORPHANS: usize = 256;

/// A flow.
pub(crate) enum Flow {
    /// A TCP connection.
    Tcp(Box<Connection>),
    /// A UDP socket.
    Udp(Box<Udp>),
    /// An echo request.
    Ping(Box<Ping>),
    /// A lookup.
    Lookup(Box<Lookup>),
}

impl Flow {
    fn owner(&self) -> Option<Owner> {
        match self {
            Flow::Tcp(tcp) => tcp.owner,
            Flow::Udp(udp) => udp.owner,
            Flow::Ping(_) | Flow::Lookup(_) => None,
        }
    }

    /// The session that it works for.
    pub(crate) fn session(&self) -> Option<SessionId> {
        match self {
            Flow::Tcp(_) | Flow::Udp(_) => self.owner().map(|owner| owner.session),
            Flow::Ping(ping) => Some(ping.session),
            Flow::Lookup(lookup) => Some(lookup.session),
        }
    }
}

/// A flow with what the stack notes of it.
pub(crate) struct Entry {
    /// The flow.
    pub(crate) flow: Flow,
    /// It waits for its turn.
    pub(crate) queued: bool,
    /// Who pays for it.
    pub(crate) charge: Option<Charge>,
}

/// Puts a flow behind those that are `ready` for a turn, if it is not among them.
pub(crate) fn wake(flows: &mut Slab<Entry>, ready: &mut VecDeque<Id>, id: Id) {
    if let Some(entry) = flows.get_mut(id)
        && !entry.queued
    {
        entry.queued = true;
        ready.push_back(id);
    }
}

impl Stack {
    /// Adds a flow that takes `bytes` of buffers on a session's account.
    pub(crate) fn add_flow(&mut self, flow: Flow, session: SessionId, bytes: u32) -> Id {
        let charge = self.charge(session, bytes);
        self.flows.insert(Entry {
            flow,
            queued: false,
            charge,
        })
    }

    /// Gives a flow a turn soon.
    pub(crate) fn wake(&mut self, id: Id) {
        wake(&mut self.flows, &mut self.ready, id);
    }

    /// Asks for the neighbour on the way to an address, unless that was done a moment ago.
    fn look_for(&mut self, to: IpAddr, id: Id) {
        let Some(hop) = self.engine.next_hop(to) else {
            return;
        };
        if self.engine.is_group(hop) {
            return;
        }
        self.neighbors.wait(id);
        self.solicit(hop);
    }

    /// Asks for a neighbour, unless that was done a moment ago.
    pub(crate) fn solicit(&mut self, neighbor: IpAddr) {
        if self.engine.take_forgot() {
            self.neighbors.forgotten();
        }
        if self.neighbors.should_ask(neighbor, self.now)
            && let Some(frame) = solicit(&self.engine, neighbor)
        {
            self.frames.send(&frame);
        }
    }

    /// A neighbour said where it is.
    pub(crate) fn neighbor_heard(&mut self, neighbor: IpAddr) {
        if let Some(waiting) = self.neighbors.heard(neighbor, self.now) {
            for id in waiting {
                self.wake(id);
            }
            for key in core::mem::take(&mut self.unanswered) {
                self.answer_syn(&key);
            }
        }
    }

    /// A flow has no client any more. It ends by itself; if there are too many such, the oldest ends now.
    fn abandon(&mut self, id: Id) {
        if let Some(entry) = self.flows.get_mut(id) {
            match &mut entry.flow {
                Flow::Tcp(tcp) => tcp.owner = None,
                Flow::Udp(udp) => udp.owner = None,
                Flow::Ping(_) | Flow::Lookup(_) => {}
            }
        }
        self.orphans.push_back(id);
        while self.orphans.len() > MAX_ORPHANS {
            if let Some(oldest) = self.orphans.pop_front() {
                self.remove_flow(oldest);
            }
        }
    }

    /// Lets go of a flow whose client is gone.
    pub(crate) fn orphan_flow(&mut self, id: Id) {
        let now = self.now;
        match self.flows.get_mut(id).map(|entry| &mut entry.flow) {
            Some(Flow::Tcp(tcp)) => tcp.orphan(now),
            Some(Flow::Udp(udp)) => udp.orphan(now),
            _ => return,
        }
        self.abandon(id);
        self.wake(id);
    }

    /// Forgets a flow and gives back what it took.
    pub(crate) fn remove_flow(&mut self, id: Id) {
        let Some(entry) = self.flows.remove(id) else {
            return;
        };
        self.timers.remove(id);
        self.starved.retain(|starved| *starved != id);
        self.orphans.retain(|orphan| *orphan != id);
        if let Some(charge) = entry.charge {
            self.discharge(charge);
        }
        match entry.flow {
            Flow::Tcp(mut tcp) => {
                self.connections.remove_if(&tcp.key, |known| *known == id);
                if let Some(ack) = tcp.time_wait() {
                    self.time_waits.insert(tcp.key, ack, self.now);
                    self.ages_anew = true;
                }
                if let Some(listener) = tcp.backlog_of.and_then(|id| self.listeners.get_mut(id)) {
                    listener.ready.retain(|ready| *ready != id);
                }
                if let Some(owner) = tcp.owner
                    && let Some(session) = self.sessions.get_mut(owner.session)
                {
                    session.free(owner.index);
                }
                if let Some(charge) = entry.charge
                    && let Some(socket) = tcp.into_spare()
                {
                    let memory = self.config.max_memory;
                    self.spares.put(charge.root, socket, memory, self.now);
                    self.ages_anew = true;
                }
            }
            Flow::Udp(udp) => {
                ports::remove(&mut self.udp_ports, udp.local.port(), id);
                if let Some(owner) = udp.owner
                    && let Some(session) = self.sessions.get_mut(owner.session)
                {
                    session.free(owner.index);
                }
            }
            Flow::Ping(ping) => {
                self.echoes.remove(&ping.ident);
                self.end_ask(ping.session);
            }
            Flow::Lookup(lookup) => {
                for port in lookup.ports() {
                    ports::remove(&mut self.udp_ports, port, id);
                }
                self.end_ask(lookup.session);
            }
        }
    }

    fn end_ask(&mut self, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.asks = session.asks.saturating_sub(1);
        }
    }

    /// Ends a client's session because it broke the protocol.
    #[inline(never)]
    pub(crate) fn violation(&mut self, id: SessionId, error: &PeerError) {
        if let Some(session) = self.sessions.get(id) {
            self.complain(session.badge, &format_args!("broke the protocol: {error}"));
            self.counters.violations = self.counters.violations.saturating_add(1);
            self.end_session(id);
        }
    }

    /// Ends a session and tells the caller of the library.
    pub(crate) fn end_session(&mut self, id: SessionId) {
        self.drop_session(id);
        self.ended.push(id);
    }

    /// Ends a session: listeners and lookups go, connections and datagrams on their way end by themselves.
    pub(crate) fn drop_session(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(id) else {
            return;
        };
        for target in session.targets() {
            match target {
                Target::Listener(listener) => self.remove_listener(listener),
                Target::Flow(flow) => self.orphan_flow(flow),
            }
        }
        let asks: alloc::vec::Vec<Id> = self
            .flows
            .iter()
            .filter(|(_, entry)| {
                matches!(entry.flow, Flow::Ping(_) | Flow::Lookup(_))
                    && entry.flow.session() == Some(id)
            })
            .map(|(flow, _)| flow)
            .collect();
        for flow in asks {
            self.remove_flow(flow);
        }
        if let Some(session) = self.sessions.remove(id) {
            self.close_account(session.root);
        }
    }

    /// Closes a listener: clients that wait are told, connections that wait are reset.
    pub(crate) fn remove_listener(&mut self, id: Id) {
        let Some(listener) = self.listeners.remove(id) else {
            return;
        };
        ports::remove(&mut self.tcp_ports, listener.local.port(), id);
        self.half_open.forget(id);
        let owner = listener.owner;
        if let Some(session) = self.sessions.get_mut(owner.session) {
            session.free(owner.index);
            session.accepts = session.accepts.saturating_sub(listener.accepts.len());
        }
        for accept in listener.accepts {
            let reply = Reply::Failed {
                id: accept.id,
                error: NetError::NotConnected,
            };
            self.sessions.reply(owner.session, reply);
        }
        let now = self.now;
        for flow in listener.ready {
            if let Some(Entry {
                flow: Flow::Tcp(tcp),
                ..
            }) = self.flows.get_mut(flow)
            {
                tcp.reset(now);
                tcp.backlog_of = None;
            }
            self.abandon(flow);
            self.wake(flow);
        }
    }
}
