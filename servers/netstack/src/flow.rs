//! Flows: whatever has sockets of its own in the engine. Their turns, and what follows from them.

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
    turn::{Context, Turn},
    udp::{Udp, earlier},
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

    /// A flow's turn.
    pub(crate) fn run_flow(&mut self, id: Id) {
        let Some(entry) = self.flows.get_mut(id) else {
            return;
        };
        entry.queued = false;
        let owner = entry.flow.owner();
        let session_id = match &entry.flow {
            Flow::Tcp(_) | Flow::Udp(_) => owner.map(|owner| owner.session),
            other => other.session(),
        };
        let mut session = session_id.and_then(|id| self.sessions.get_mut(id));
        let rate = session
            .as_mut()
            .map_or(Ok(()), |session| session.bucket.check(self.now));
        let account = entry
            .charge
            .filter(|charge| charge.is_limited)
            .and_then(|charge| self.accounts.get_mut(&charge.root));
        // Both have to allow it; the later of two times is found when the first has come.
        let rate = rate.and(account.map_or(Ok(()), |account| account.bucket.check(self.now)));
        let policy = session.map(|session| &session.policy);
        let mut context = Context {
            engine: &mut self.engine,
            frames: &mut self.frames,
            neighbors: &self.neighbors,
            now: self.now,
            may_send: rate.is_ok(),
        };
        let mut turn = Turn::default();
        let done = match &mut entry.flow {
            Flow::Tcp(tcp) => {
                let done = tcp.turn(&mut context, &mut turn);
                // Nobody will ask for it any more.
                turn.finished |= tcp.backlog_of.is_some() && tcp.is_dead();
                done
            }
            Flow::Udp(udp) => {
                let dropped = udp.dropped;
                let done = udp.turn(&mut context, policy, &mut turn);
                let dropped = udp.dropped.saturating_sub(dropped);
                // Also those that were received since the last turn.
                let refused = core::mem::take(&mut udp.refused);
                self.counters.tx_dropped = self.counters.tx_dropped.saturating_add(dropped);
                self.counters.refused = self.counters.refused.saturating_add(refused);
                done
            }
            Flow::Ping(ping) => {
                turn = ping.turn(&mut context);
                Ok(())
            }
            Flow::Lookup(lookup) => {
                turn = lookup.turn(&mut context);
                Ok(())
            }
        };
        let charge = entry.charge;
        match done {
            Ok(()) => {
                if let Err(at) = rate {
                    turn.deadline = earlier(turn.deadline, Some(at));
                }
                self.follow_up(id, (owner, session_id, charge), &mut turn);
            }
            Err(error) => {
                if let Some(session) = session_id {
                    self.violation(session, &error);
                }
            }
        }
    }

    fn follow_up(
        &mut self,
        id: Id,
        (owner, session_id, charge): (Option<Owner>, Option<SessionId>, Option<Charge>),
        turn: &mut Turn,
    ) {
        if turn.frames > 0 {
            self.pay(session_id, charge, turn.frames);
        }
        if let Some(owner) = owner
            && turn.raise
        {
            self.sessions.raise(owner.session, owner.index);
        }
        if turn.released.is_some() || !turn.replies.is_empty() || !turn.stalled.is_empty() {
            self.answer_flow(id, owner, session_id, turn);
        }
        if turn.finished {
            self.remove_flow(id);
            return;
        }
        if turn.more {
            self.wake(id);
        }
        if turn.starved && !self.starved.contains(&id) {
            self.starved.push(id);
        }
        self.timers.set(id, turn.deadline);
    }

    /// Counts frames against the rates of a session and its account.
    fn pay(&mut self, session: Option<SessionId>, charge: Option<Charge>, frames: u32) {
        let charge = charge.filter(|charge| charge.is_limited);
        if let Some(account) = charge.and_then(|charge| self.accounts.get_mut(&charge.root)) {
            account.bucket.take(frames);
        }
        if let Some(session) = session.and_then(|id| self.sessions.get_mut(id)) {
            session.bucket.take(frames);
        }
    }

    /// What few turns lead to: answers, the end of a client's handle, and a neighbour to be found.
    #[inline(never)]
    fn answer_flow(
        &mut self,
        id: Id,
        owner: Option<Owner>,
        session: Option<SessionId>,
        turn: &mut Turn,
    ) {
        if let Some(session) = session {
            for reply in turn.replies.drain(..) {
                self.sessions.reply(session, reply);
            }
        }
        if let Some(request) = turn.released {
            if let Some(owner) = owner
                && let Some(session) = self.sessions.get_mut(owner.session)
            {
                session.free(owner.index);
                let reply = Reply::Closed { id: request };
                self.sessions.reply(owner.session, reply);
            }
            self.abandon(id);
        }
        for to in &turn.stalled {
            self.look_for(*to, id);
        }
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
