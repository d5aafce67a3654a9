//! What clients ask for: names, echoes, and how things are.

use crate::{
    classify::is_host,
    dns::{Kind, Name},
    engine::Ping as Socket,
    flow::Flow,
    ping::Ping,
    ports,
    requests::Answer,
    resolver::Lookup,
    session::MAX_ASKS,
    stack::{SessionId, Stack},
};
use alloc::boxed::Box;
use core::{net::IpAddr, time::Duration};
use ipc_proto::{
    rings::RingInfo,
    socket::{Family, InterfaceInfo, NetError, Reply, RequestId, SocketInfo, SocketState},
};

/// Most data of an echo request.
const MAX_ECHO: u16 = 1452;
/// Longest wait that a client may ask for.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// Positions of flows in the list of sockets start here; below are listeners.
const FLOWS: u32 = 1 << 31;

impl Stack {
    fn may_ask(&mut self, session: SessionId) -> Result<(), NetError> {
        let session = self.sessions.get_mut(session).ok_or(NetError::Denied)?;
        if session.asks >= MAX_ASKS {
            return Err(NetError::Exhausted);
        }
        Ok(())
    }

    fn note_ask(&mut self, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.asks = session.asks.saturating_add(1);
        }
    }

    pub(crate) fn resolve(
        &mut self,
        session: SessionId,
        id: RequestId,
        name: &str,
        family: Family,
        timeout_ms: u32,
    ) -> Answer {
        if !self.policy(session)?.allow.resolve {
            return Err(NetError::Denied);
        }
        let kinds: &[Kind] = match family {
            Family::V4 => &[Kind::A],
            Family::V6 => &[Kind::Aaaa],
            Family::Any => &[Kind::A, Kind::Aaaa],
        };
        if let Ok(address) = name.parse::<IpAddr>() {
            let kind = if address.is_ipv4() {
                Kind::A
            } else {
                Kind::Aaaa
            };
            if !kinds.contains(&kind) {
                return Err(NetError::NameNotFound);
            }
            let addresses = [address].into_iter().collect();
            return Ok(Some(Reply::Resolved { id, addresses }));
        }
        let name = Name::new(name).ok_or(NetError::BadArgument)?;
        self.may_ask(session)?;
        let servers = self.addressing.name_servers();
        if servers.is_empty() {
            return Err(NetError::NameServerFailed);
        }
        let wait = Duration::from_millis(timeout_ms.into()).min(MAX_WAIT);
        let deadline = self.now.after(wait);
        let mut lookup = Lookup::new(session, id, name, servers, deadline);
        for kind in kinds {
            let port = self.unused_udp_port().ok_or(NetError::Exhausted)?;
            lookup.ask(*kind, port, self.random.u16(), self.now);
        }
        let used: alloc::vec::Vec<u16> = lookup.ports().collect();
        let flow = self.add_flow(Flow::Lookup(Box::new(lookup)), session, 0);
        for port in used {
            ports::add(&mut self.udp_ports, port, flow);
        }
        self.note_ask(session);
        self.wake(flow);
        Ok(None)
    }

    pub(crate) fn ping(
        &mut self,
        session: SessionId,
        id: RequestId,
        remote: IpAddr,
        (sequence, len): (u16, u16),
        timeout_ms: u32,
    ) -> Answer {
        let remote = remote.to_canonical();
        let policy = self.policy(session)?;
        if !policy.allow.ping || !policy.permits_address(remote) {
            return Err(NetError::Denied);
        }
        if len > MAX_ECHO || usize::from(len) > self.engine.max_payload(remote, 8) {
            return Err(NetError::MessageTooLong);
        }
        if self.engine.has_address(remote) {
            // Nothing that leaves the host would come back.
            return Ok(Some(Reply::Pong {
                id,
                from: remote,
                micros: 0,
                hop_limit: 64,
                len,
            }));
        }
        if !is_host(remote) || self.engine.is_group(remote) {
            return Err(NetError::BadArgument);
        }
        self.route(remote)?;
        self.may_ask(session)?;
        let mut ident = self.random.u16();
        // Fewer are under way than there are identifiers.
        while self.echoes.contains_key(&ident) {
            ident = ident.wrapping_add(1);
        }
        let socket = Socket::new(&self.engine, remote, ident, sequence, len.into());
        let wait = Duration::from_millis(timeout_ms.into()).min(MAX_WAIT);
        let ping = Ping::new(
            session,
            id,
            (ident, remote),
            socket,
            self.now,
            self.now.after(wait),
        );
        let flow = self.add_flow(Flow::Ping(Box::new(ping)), session, 0);
        self.echoes.insert(ident, flow);
        self.note_ask(session);
        self.wake(flow);
        Ok(None)
    }

    fn may_inspect(&self, session: SessionId) -> Result<(), NetError> {
        let allowed = self.policy(session)?.allow.inspect;
        allowed.then_some(()).ok_or(NetError::Denied)
    }

    pub(crate) fn interface(&mut self, session: SessionId, id: RequestId) -> Answer {
        self.may_inspect(session)?;
        Ok(Some(Reply::Interface {
            id,
            interface: self.interface_info(),
        }))
    }

    /// Addresses, routes and servers.
    pub fn interface_info(&self) -> InterfaceInfo {
        InterfaceInfo {
            mac: self.engine.mac(),
            link_up: self.frames.link_up(),
            mtu: self.engine.mtu(),
            addresses: self
                .addressing
                .addresses()
                .iter()
                .copied()
                .take(6)
                .collect(),
            routers: self.addressing.routers().iter().copied().take(2).collect(),
            name_servers: self.addressing.name_servers().into_iter().take(3).collect(),
            source: self.addressing.source(),
            lease_seconds: self.addressing.lease_seconds(self.now),
            attachments: self.attachments(),
        }
    }

    pub(crate) fn tell_counters(&mut self, session: SessionId, id: RequestId) -> Answer {
        self.may_inspect(session)?;
        Ok(Some(Reply::Counters {
            id,
            counters: self.counters(),
        }))
    }

    pub(crate) fn tell_ring(&mut self, session: SessionId, id: RequestId, position: u32) -> Answer {
        self.may_inspect(session)?;
        let (next, ring) = match self.ring_at(position) {
            Some((next, ring)) => (next, Some(ring)),
            None => (position, None),
        };
        Ok(Some(Reply::Ring { id, next, ring }))
    }

    /// The driver's rings are at position 0, those of the sessions behind it.
    fn ring_at(&self, position: u32) -> Option<(u32, RingInfo)> {
        if position == 0
            && let Some(ring) = self.frames.ring_info()
        {
            return Some((1, ring));
        }
        let (id, session) = self.sessions.at_or_after(position.saturating_sub(1))?;
        Some((id.index().saturating_add(2), session.ring_info()))
    }

    pub(crate) fn inspect(&mut self, session: SessionId, id: RequestId, position: u32) -> Answer {
        self.may_inspect(session)?;
        let (next, socket) = match self.socket_at(position) {
            Some((next, socket)) => (next, Some(socket)),
            None => (position, None),
        };
        Ok(Some(Reply::Socket { id, next, socket }))
    }

    fn badge(&self, session: SessionId) -> u64 {
        self.sessions
            .get(session)
            .map_or(0, |session| session.badge)
    }

    fn socket_at(&self, position: u32) -> Option<(u32, SocketInfo)> {
        if position < FLOWS
            && let Some((id, listener)) = self.listeners.at_or_after(position)
        {
            let info = SocketInfo {
                session: self.badge(listener.owner.session),
                state: SocketState::Listen,
                local: listener.local,
                remote: None,
                rx_queued: listener.ready.len() as u32,
                tx_queued: 0,
            };
            return Some((id.index().saturating_add(1), info));
        }
        let mut index = position.saturating_sub(FLOWS);
        loop {
            let (id, entry) = self.flows.at_or_after(index)?;
            index = id.index().saturating_add(1);
            let next = FLOWS.saturating_add(index);
            match &entry.flow {
                Flow::Tcp(tcp) => {
                    let info = SocketInfo {
                        session: tcp.owner.map_or(0, |owner| self.badge(owner.session)),
                        state: tcp.socket().public_state(),
                        local: tcp.key.local,
                        remote: Some(tcp.key.remote),
                        rx_queued: tcp.socket().received() as u32,
                        tx_queued: tcp.socket().unacknowledged() as u32,
                    };
                    return Some((next, info));
                }
                Flow::Udp(udp) => {
                    let info = SocketInfo {
                        session: udp.owner.map_or(0, |owner| self.badge(owner.session)),
                        state: SocketState::Udp,
                        local: udp.local,
                        remote: None,
                        rx_queued: 0,
                        tx_queued: udp.queued() as u32,
                    };
                    return Some((next, info));
                }
                Flow::Ping(_) | Flow::Lookup(_) => {}
            }
        }
    }
}
