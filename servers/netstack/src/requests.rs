//! What clients ask for: sockets. Each request that names an address or a port is held against the session's policy.

use crate::{
    classify::is_host,
    connection::{Connection, FlowKey},
    flow::{Entry, Flow},
    listener::{Accept, Listener, MAX_ACCEPTS, MAX_BACKLOG, overlap},
    ports,
    session::{Owner, Target},
    slab::Id,
    stack::{SessionId, Stack},
    udp::{self, Udp},
};
use alloc::{boxed::Box, collections::VecDeque};
use core::net::{IpAddr, SocketAddr};
use ipc_proto::{
    fifo::StreamEnds,
    policy::Policy,
    socket::{Buffers, Handle, NetError, Reply, Request, RequestId},
};

/// Smallest buffer of a connection.
const MIN_BUFFER: usize = 4096;

/// Where DHCP servers answer (RFC 2131 section 4.1).
const DHCP_CLIENT: u16 = 68;

/// A connection takes at most two of so many parts of what is left of a session's memory.
const BUFFER_SHARE: usize = 64;
/// The same of one with more than the usual, which is for clients with large FIFOs while more than half of the memory is left.
const LARGE_SHARE: usize = 16;

/// The answer, unless it comes later.
pub(crate) type Answer = Result<Option<Reply>, NetError>;

/// What the policy says to an address or port.
fn permit(permitted: bool) -> Result<(), NetError> {
    permitted.then_some(()).ok_or(NetError::Denied)
}

impl Stack {
    /// Does what a client asks.
    pub(crate) fn handle(&mut self, session: SessionId, request: Request) {
        let (id, answer) = self.dispatch(session, request);
        let reply = match answer {
            Ok(None) => return,
            Ok(Some(reply)) => reply,
            Err(error) => {
                if matches!(error, NetError::Denied | NetError::Exhausted) {
                    self.counters.refused = self.counters.refused.saturating_add(1);
                }
                Reply::Failed { id, error }
            }
        };
        self.sessions.reply(session, reply);
    }

    fn dispatch(&mut self, session: SessionId, request: Request) -> (RequestId, Answer) {
        match request {
            Request::TcpConnect {
                id,
                remote,
                local_port,
                buffers,
            } => (id, self.connect(session, id, remote, local_port, &buffers)),
            Request::TcpListen { id, local, backlog } => {
                (id, self.listen(session, id, local, backlog))
            }
            Request::TcpAccept {
                id,
                listener,
                buffers,
            } => (id, self.take_accept(session, id, listener, &buffers)),
            Request::UdpBind { id, local, buffers } => {
                (id, self.bind(session, id, local, &buffers))
            }
            Request::SetOption { id, socket, option } => {
                (id, self.set_option(session, id, socket, option))
            }
            Request::Shutdown { id, socket } => (id, self.shutdown(session, id, socket)),
            Request::Close { id, socket, abort } => (id, self.close(session, id, socket, abort)),
            Request::Cancel { id, target } => (id, self.cancel(session, id, target)),
            Request::Resolve {
                id,
                name,
                family,
                timeout_ms,
            } => (id, self.resolve(session, id, &name, family, timeout_ms)),
            Request::Ping {
                id,
                remote,
                sequence,
                len,
                timeout_ms,
            } => (
                id,
                self.ping(session, id, remote, (sequence, len), timeout_ms),
            ),
            Request::Interface { id } => (id, self.interface(session, id)),
            Request::Inspect { id, position } => (id, self.inspect(session, id, position)),
            Request::Counters { id } => (id, self.tell_counters(session, id)),
            Request::Ring { id, position } => (id, self.tell_ring(session, id, position)),
        }
    }

    pub(crate) fn policy(&self, session: SessionId) -> Result<&Policy, NetError> {
        self.sessions
            .get(session)
            .map(|session| &session.policy)
            .ok_or(NetError::Denied)
    }

    fn slot_and_ends(&self, id: SessionId, buffers: &Buffers) -> Result<StreamEnds, NetError> {
        let session = self.sessions.get(id).ok_or(NetError::Denied)?;
        if !session.has_slot() {
            return Err(NetError::Exhausted);
        }
        session.ends(buffers).map_err(|_| NetError::BadArgument)
    }

    /// Bytes of the buffers of a session's next connection, each way, for these FIFOs of its client if the peer is known to scale windows: the less is left of what it and all
    /// together may have, the smaller.
    pub(crate) fn buffer_size(
        &self,
        session: SessionId,
        ends: Option<&StreamEnds>,
    ) -> Result<usize, NetError> {
        let policy = self.policy(session)?;
        let (max_memory, tcp_buffer) = (self.config.max_memory, self.config.tcp_buffer);
        let all = max_memory.saturating_sub(self.memory_used);
        let left = all.min(self.memory_left(session) as usize);
        let part = |share| {
            let power = usize::checked_ilog2(left / share);
            power.map_or(0, |bits| 1usize << bits)
        };
        let usual = part(BUFFER_SHARE).min(tcp_buffer).max(MIN_BUFFER);
        // More than the client takes at once brings it nothing.
        let capacity = ends.map_or(0, |ends| ends.reader.capacity().max(ends.writer.capacity()));
        let large = capacity.min(self.config.largest_tcp_buffer);
        let may = max_memory.min(policy.max_buffer_bytes as usize);
        if large <= tcp_buffer || left <= may / 2 {
            return Ok(usual);
        }
        Ok(part(LARGE_SHARE).min(large).max(usual))
    }

    /// Whether a packet can leave for an address: from where.
    pub(crate) fn route(&self, to: IpAddr) -> Result<IpAddr, NetError> {
        if !self.frames.is_attached() {
            return Err(NetError::NetworkDown);
        }
        let source = self.engine.source_for(to).ok_or(NetError::NetworkDown)?;
        self.engine.next_hop(to).ok_or(NetError::Unreachable)?;
        Ok(source)
    }

    fn connect(
        &mut self,
        session_id: SessionId,
        id: RequestId,
        remote: SocketAddr,
        local_port: u16,
        buffers: &Buffers,
    ) -> Answer {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let policy = self.policy(session_id)?;
        permit(policy.allow.tcp_connect)?;
        permit(policy.permits_remote(remote.ip(), remote.port()))?;
        permit(local_port == 0 || policy.permits_local_port(local_port))?;
        if remote.port() == 0 || remote.ip().is_unspecified() {
            return Err(NetError::BadArgument);
        }
        // There is no loopback: a host that could be reached only through itself is not.
        let reachable = is_host(remote.ip())
            && !self.engine.is_group(remote.ip())
            && !self.engine.has_address(remote.ip());
        if !reachable {
            return Err(NetError::Unreachable);
        }
        let ends = self.slot_and_ends(session_id, buffers)?;
        let buffer = self.buffer_size(session_id, None)?;
        let memory = (buffer as u32).saturating_mul(2);
        if !self.has_memory(session_id, memory) {
            return Err(NetError::Exhausted);
        }
        let source = self.route(remote.ip())?;
        let start = self.random.u16();
        let key_for = |port| FlowKey {
            local: SocketAddr::new(source, port),
            remote,
        };
        let is_used = |port: u16| {
            let key = key_for(port);
            self.connections.contains_key(&key)
                || self.half_open.get(&key).is_some()
                || self.time_waits.get(&key).is_some()
        };
        let port = if local_port == 0 {
            let listening = |port| self.tcp_ports.contains_key(&port);
            ports::ephemeral(start, |port| is_used(port) || listening(port))
                .ok_or(NetError::Exhausted)?
        } else if is_used(local_port) {
            return Err(NetError::AddressInUse);
        } else {
            local_port
        };
        let key = key_for(port);
        let isn = self.random.u32();
        let root = self.sessions.get(session_id).map(|session| session.root);
        let mut socket = self.spares.take(root, buffer);
        socket
            .connect(&self.engine, self.now, key.local, remote, isn)
            .map_err(|_| NetError::BadArgument)?;
        let epoch = self.engine.epoch();
        let connection = Connection::new(socket, key, (isn, None), epoch, self.now);
        let flow = self.add_flow(Flow::Tcp(Box::new(connection)), session_id, memory);
        self.connections.insert(key, flow);
        self.counters.connections = self.counters.connections.saturating_add(1);
        let socket = self.give_socket(session_id, flow, ends)?;
        self.wake(flow);
        Ok(Some(Reply::Opened {
            id,
            socket,
            local: key.local,
        }))
    }

    /// Gives a connection to its client.
    fn give_socket(
        &mut self,
        session_id: SessionId,
        flow: Id,
        ends: StreamEnds,
    ) -> Result<Handle, NetError> {
        let socket = self
            .sessions
            .get_mut(session_id)
            .and_then(|session| session.allocate(Target::Flow(flow)));
        let Some(socket) = socket else {
            self.remove_flow(flow);
            return Err(NetError::Exhausted);
        };
        if let Some(Entry {
            flow: Flow::Tcp(tcp),
            ..
        }) = self.flows.get_mut(flow)
        {
            let owner = Owner {
                session: session_id,
                index: socket.index,
            };
            tcp.adopt(owner, ends);
        }
        Ok(socket)
    }

    /// Checks the local address of a bind, and finds a port.
    fn local(
        &mut self,
        session: SessionId,
        local: SocketAddr,
        users: fn(&Stack, u16, IpAddr) -> bool,
    ) -> Result<SocketAddr, NetError> {
        let address = local.ip().to_canonical();
        let policy = self.policy(session)?;
        permit(local.port() == 0 || policy.permits_local_port(local.port()))?;
        if !address.is_unspecified() && !self.engine.has_address(address) {
            return Err(NetError::AddressNotAvailable);
        }
        let port = if local.port() == 0 {
            let start = self.random.u16();
            ports::ephemeral(start, |port| users(self, port, address)).ok_or(NetError::Exhausted)?
        } else if users(self, local.port(), address) {
            return Err(NetError::AddressInUse);
        } else {
            local.port()
        };
        Ok(SocketAddr::new(address, port))
    }

    fn is_listening(&self, port: u16, address: IpAddr) -> bool {
        self.tcp_ports.get(&port).is_some_and(|users| {
            users.iter().any(|id| {
                self.listeners
                    .get(*id)
                    .is_some_and(|listener| overlap(listener.local.ip(), address))
            })
        })
    }

    fn is_bound(&self, port: u16, address: IpAddr) -> bool {
        // What DHCP servers answer is for the stack alone.
        let is_own = port == DHCP_CLIENT && self.addressing.control.is_client();
        is_own
            || self.udp_ports.get(&port).is_some_and(|users| {
                users
                    .iter()
                    .any(|id| match self.flows.get(*id).map(|entry| &entry.flow) {
                        Some(Flow::Udp(udp)) => overlap(udp.local.ip(), address),
                        Some(_) => true,
                        None => false,
                    })
            })
    }

    /// A UDP port that nobody uses, and nobody can guess.
    pub(crate) fn unused_udp_port(&mut self) -> Option<u16> {
        let used = &self.udp_ports;
        ports::unpredictable(|| self.random.u16(), |port| used.contains_key(&port))
    }

    fn listen(
        &mut self,
        session_id: SessionId,
        id: RequestId,
        local: SocketAddr,
        backlog: u16,
    ) -> Answer {
        permit(self.policy(session_id)?.allow.tcp_listen)?;
        let local = self.local(session_id, local, Stack::is_listening)?;
        let session = self.sessions.get_mut(session_id).ok_or(NetError::Denied)?;
        if !session.has_slot() {
            return Err(NetError::Exhausted);
        }
        let listener = self.listeners.insert(Listener {
            local,
            owner: Owner {
                session: session_id,
                index: 0,
            },
            backlog: backlog.clamp(1, MAX_BACKLOG).into(),
            ready: VecDeque::new(),
            accepts: VecDeque::new(),
        });
        let Some(socket) = session.allocate(Target::Listener(listener)) else {
            self.listeners.remove(listener);
            return Err(NetError::Exhausted);
        };
        if let Some(listener) = self.listeners.get_mut(listener) {
            listener.owner.index = socket.index;
        }
        ports::add(&mut self.tcp_ports, local.port(), listener);
        Ok(Some(Reply::Opened { id, socket, local }))
    }

    fn take_accept(
        &mut self,
        session_id: SessionId,
        id: RequestId,
        listener: Handle,
        buffers: &Buffers,
    ) -> Answer {
        let session = self.sessions.get(session_id).ok_or(NetError::Denied)?;
        let Target::Listener(listener_id) = session.target(listener)? else {
            return Err(NetError::BadState);
        };
        let ends = self.slot_and_ends(session_id, buffers)?;
        let listener = self
            .listeners
            .get_mut(listener_id)
            .ok_or(NetError::BadHandle)?;
        if listener.accepts.len() >= MAX_ACCEPTS {
            return Err(NetError::Exhausted);
        }
        listener.accepts.push_back(Accept { id, ends });
        if let Some(session) = self.sessions.get_mut(session_id) {
            session.accepts = session.accepts.saturating_add(1);
        }
        self.accept(listener_id);
        Ok(None)
    }

    fn bind(
        &mut self,
        session_id: SessionId,
        id: RequestId,
        local: SocketAddr,
        buffers: &Buffers,
    ) -> Answer {
        permit(self.policy(session_id)?.allow.udp)?;
        let local = self.local(session_id, local, Stack::is_bound)?;
        let ends = self.slot_and_ends(session_id, buffers)?;
        if !self.has_memory(session_id, udp::MEMORY) {
            return Err(NetError::Exhausted);
        }
        let owner = Owner {
            session: session_id,
            index: 0,
        };
        let flow = Flow::Udp(Box::new(Udp::new(local, owner, ends)));
        let flow = self.add_flow(flow, session_id, udp::MEMORY);
        ports::add(&mut self.udp_ports, local.port(), flow);
        let socket = self
            .sessions
            .get_mut(session_id)
            .and_then(|session| session.allocate(Target::Flow(flow)));
        let Some(socket) = socket else {
            self.remove_flow(flow);
            return Err(NetError::Exhausted);
        };
        if let Some(Entry {
            flow: Flow::Udp(udp),
            ..
        }) = self.flows.get_mut(flow)
        {
            udp.owner = Some(Owner {
                session: session_id,
                index: socket.index,
            });
        }
        Ok(Some(Reply::Opened { id, socket, local }))
    }
}
