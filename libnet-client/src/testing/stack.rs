//! The fake stack's sockets and its answers.

use super::{
    Settings,
    pipe::{self, Pipe},
};
use alloc::{collections::VecDeque, rc::Rc, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use ipc_proto::{
    channel::{Channel, SOCKET_CHANNEL, SendError, Side},
    fifo::{self, End, Status, StreamEnds},
    shm::Shm,
    socket::{
        AddressSource, Buffers, Counters, Family, Handle, InterfaceInfo, NetError, Reply, Request,
        RequestId,
    },
};

/// The only address.
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

struct Stream {
    ends: StreamEnds,
    incoming: pipe::Shared,
    outgoing: pipe::Shared,
    status: Status,
    shut: bool,
    /// Still knocking here: the backlog was full.
    knocking: Option<SocketAddr>,
}

struct Waiting {
    remote: SocketAddr,
    incoming: pipe::Shared,
    outgoing: pipe::Shared,
}

struct Listener {
    backlog: usize,
    waiting: VecDeque<Waiting>,
    accepts: VecDeque<(RequestId, Buffers)>,
}

enum Kind {
    Stream(Stream),
    Listener(Listener),
    Udp(StreamEnds),
}

struct Socket {
    kind: Kind,
    local: SocketAddr,
}

/// The stack's end of the session.
pub(super) struct Stack {
    channel: Channel<Reply, Request>,
    memory: Shm,
    pub(super) settings: Settings,
    sockets: Vec<(u16, Option<Socket>)>,
    answers: VecDeque<Reply>,
    /// Resolves and pings that are never answered by themselves.
    open_questions: Vec<RequestId>,
    next_port: u16,
    /// The client broke the protocol.
    pub(super) broken: bool,
}

impl Stack {
    pub(super) fn new(memory: Shm, settings: Settings) -> Option<Stack> {
        Some(Stack {
            channel: Channel::new(memory.clone(), Side::Stack, SOCKET_CHANNEL).ok()?,
            memory,
            sockets: (0..settings.max_sockets).map(|_| (0, None)).collect(),
            settings,
            answers: VecDeque::new(),
            open_questions: Vec::new(),
            next_port: 50_000,
            broken: false,
        })
    }

    pub(super) fn sockets(&self) -> usize {
        self.sockets
            .iter()
            .filter(|(_, socket)| socket.is_some())
            .count()
    }

    pub(super) fn flush(&mut self) -> bool {
        self.channel.flush()
    }

    pub(super) fn prepare_sleep(&mut self) -> bool {
        self.channel.prepare_sleep()
    }

    pub(super) fn reset_connections(&mut self) {
        for (_, socket) in &mut self.sockets {
            if let Some(Socket {
                kind: Kind::Stream(stream),
                ..
            }) = socket
            {
                stream.incoming.borrow_mut().reset = true;
            }
        }
    }

    /// Answers requests and moves bytes. True if anything moved.
    pub(super) fn step(&mut self, log: &mut Vec<Request>) -> bool {
        self.channel.awake();
        if self.settings.frozen {
            return false;
        }
        let mut progress = false;
        self.channel.take_events(&mut |_| {});
        while let Some(answer) = self.answers.front() {
            match self.channel.send(answer) {
                Ok(()) => {}
                Err(SendError::Full) => break,
                Err(SendError::Peer(_)) => self.broken = true,
            }
            self.answers.pop_front();
            progress = true;
        }
        while self.answers.is_empty() {
            let request = match self.channel.receive() {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(_) => {
                    self.broken = true;
                    break;
                }
            };
            log.push(request.clone());
            progress = true;
            if let Err((id, error)) = self.answer(request) {
                self.reply(Reply::Failed { id, error });
            }
        }
        for index in 0..self.sockets.len() {
            progress |= self.serve(index);
        }
        progress
    }

    fn reply(&mut self, reply: Reply) {
        if self.answers.is_empty() {
            match self.channel.send(&reply) {
                Ok(()) => return,
                Err(SendError::Full) => {}
                Err(SendError::Peer(_)) => self.broken = true,
            }
        }
        self.answers.push_back(reply);
    }

    fn ends(&self, buffers: &Buffers) -> Result<StreamEnds, NetError> {
        let start = Channel::<Reply, Request>::bytes(SOCKET_CHANNEL);
        fifo::ends(&self.memory, buffers, End::Stack, start).map_err(|_| NetError::BadArgument)
    }

    fn insert(&mut self, socket: Socket) -> Result<Handle, NetError> {
        let free = self
            .sockets
            .iter_mut()
            .enumerate()
            .find(|(_, (_, socket))| socket.is_none());
        let (index, (generation, place)) = free.ok_or(NetError::Exhausted)?;
        *generation = generation.wrapping_add(1);
        *place = Some(socket);
        Ok(Handle {
            index: index as u16,
            generation: *generation,
        })
    }

    fn socket(&mut self, handle: Handle) -> Result<&mut Socket, NetError> {
        match self.sockets.get_mut(usize::from(handle.index)) {
            Some((generation, Some(socket))) if *generation == handle.generation => Ok(socket),
            _ => Err(NetError::BadHandle),
        }
    }

    fn port(&mut self, wanted: SocketAddr) -> SocketAddr {
        if wanted.port() != 0 {
            return SocketAddr::new(HOST, wanted.port());
        }
        self.next_port = self.next_port.wrapping_add(1).max(1024);
        SocketAddr::new(HOST, self.next_port)
    }

    fn listener(&mut self, port: u16) -> Option<&mut Listener> {
        self.sockets
            .iter_mut()
            .find_map(|(_, socket)| match socket {
                Some(Socket {
                    kind: Kind::Listener(listener),
                    local,
                }) if local.port() == port => Some(listener),
                _ => None,
            })
    }

    fn answer(&mut self, request: Request) -> Result<(), (RequestId, NetError)> {
        match request {
            Request::TcpConnect {
                id,
                remote,
                buffers,
                ..
            } => self.connect(id, remote, &buffers).map_err(|e| (id, e)),
            Request::TcpListen { id, local, backlog } => {
                if local.port() != 0 && self.listener(local.port()).is_some() {
                    return Err((id, NetError::AddressInUse));
                }
                let local = self.port(local);
                let kind = Kind::Listener(Listener {
                    backlog: usize::from(backlog.max(1)),
                    waiting: VecDeque::new(),
                    accepts: VecDeque::new(),
                });
                let socket = self
                    .insert(Socket { kind, local })
                    .map_err(|error| (id, error))?;
                self.reply(Reply::Opened { id, socket, local });
                Ok(())
            }
            Request::TcpAccept {
                id,
                listener,
                buffers,
            } => match self.socket(listener).map(|socket| &mut socket.kind) {
                Ok(Kind::Listener(listener)) => {
                    listener.accepts.push_back((id, buffers));
                    Ok(())
                }
                Ok(_) => Err((id, NetError::BadState)),
                Err(error) => Err((id, error)),
            },
            Request::UdpBind { id, local, buffers } => {
                let ends = self.ends(&buffers).map_err(|error| (id, error))?;
                let local = self.port(local);
                let socket = self
                    .insert(Socket {
                        kind: Kind::Udp(ends),
                        local,
                    })
                    .map_err(|error| (id, error))?;
                self.reply(Reply::Opened { id, socket, local });
                Ok(())
            }
            Request::SetOption { id, socket, .. } => {
                self.socket(socket).map_err(|error| (id, error))?;
                self.reply(Reply::Done { id });
                Ok(())
            }
            Request::Shutdown { id, socket } => {
                match &mut self.socket(socket).map_err(|error| (id, error))?.kind {
                    Kind::Stream(stream) => stream.shut = true,
                    _ => return Err((id, NetError::BadState)),
                }
                self.reply(Reply::Done { id });
                Ok(())
            }
            Request::Close { id, socket, abort } => {
                self.socket(socket).map_err(|error| (id, error))?;
                self.close(socket, abort);
                self.reply(Reply::Closed { id });
                Ok(())
            }
            Request::Cancel { id, target } => {
                let known = self
                    .open_questions
                    .iter()
                    .position(|question| *question == target);
                if let Some(at) = known {
                    self.open_questions.swap_remove(at);
                    self.reply(Reply::Failed {
                        id: target,
                        error: NetError::Cancelled,
                    });
                }
                self.reply(Reply::Done { id });
                Ok(())
            }
            other => self.answer_question(other),
        }
    }

    fn answer_question(&mut self, request: Request) -> Result<(), (RequestId, NetError)> {
        match request {
            Request::Resolve {
                id, name, family, ..
            } => {
                if name.as_str() == "silent" {
                    self.open_questions.push(id);
                    return Ok(());
                }
                let known = self
                    .settings
                    .names
                    .iter()
                    .find(|(known, _)| known == name.as_str());
                let addresses = known
                    .map(|(_, addresses)| addresses.clone())
                    .unwrap_or_default();
                let wanted = |address: &IpAddr| match family {
                    Family::V4 => address.is_ipv4(),
                    Family::V6 => address.is_ipv6(),
                    Family::Any => true,
                };
                let found: Vec<IpAddr> = addresses.into_iter().filter(wanted).take(8).collect();
                if found.is_empty() {
                    return Err((id, NetError::NameNotFound));
                }
                self.reply(Reply::Resolved {
                    id,
                    addresses: found.into_iter().collect(),
                });
            }
            Request::Ping {
                id, remote, len, ..
            } => {
                if self.settings.unreachable.is_some() {
                    self.open_questions.push(id);
                    return Ok(());
                }
                self.reply(Reply::Pong {
                    id,
                    from: remote,
                    micros: 250,
                    hop_limit: 64,
                    len,
                });
            }
            Request::Interface { id } => {
                let interface = InterfaceInfo {
                    mac: [2, 0, 0, 0, 0, 1],
                    link_up: true,
                    mtu: 1500,
                    addresses: core::iter::once((HOST, 24)).collect(),
                    routers: core::iter::empty::<IpAddr>().collect(),
                    name_servers: core::iter::empty::<IpAddr>().collect(),
                    source: AddressSource::Static,
                    lease_seconds: 0,
                    attachments: 1,
                };
                self.reply(Reply::Interface { id, interface });
            }
            Request::Inspect { id, position } => self.reply(Reply::Socket {
                id,
                next: position,
                socket: None,
            }),
            Request::Counters { id } => {
                let counters = Counters {
                    sockets: self.sockets() as u32,
                    ..Counters::default()
                };
                self.reply(Reply::Counters { id, counters });
            }
            _ => {}
        }
        Ok(())
    }

    fn connect(
        &mut self,
        id: RequestId,
        remote: SocketAddr,
        buffers: &Buffers,
    ) -> Result<(), NetError> {
        let ends = self.ends(buffers)?;
        let local = self.port(SocketAddr::new(HOST, 0));
        let (incoming, outgoing) = (Pipe::new(), Pipe::new());
        let unreachable = self.settings.unreachable;
        let error = match unreachable {
            None if self.listener(remote.port()).is_none() => Some(NetError::ConnectionRefused),
            error => error.filter(|error| *error != NetError::TimedOut),
        };
        let knocking = if self.settings.unreachable.is_none() {
            Some(remote)
        } else {
            None
        };
        let status = Status {
            error,
            ..Status::default()
        };
        ends.status.store(status);
        let kind = Kind::Stream(Stream {
            ends,
            incoming,
            outgoing,
            status,
            shut: false,
            knocking,
        });
        let socket = self.insert(Socket { kind, local })?;
        self.reply(Reply::Opened { id, socket, local });
        self.channel.raise(socket.index);
        Ok(())
    }

    fn close(&mut self, handle: Handle, abort: bool) {
        let Some((_, place)) = self.sockets.get_mut(usize::from(handle.index)) else {
            return;
        };
        match place.take().map(|socket| socket.kind) {
            Some(Kind::Stream(mut stream)) => {
                let mut outgoing = stream.outgoing.borrow_mut();
                if !abort {
                    let _ = outgoing.fill_all(&mut stream.ends);
                }
                outgoing.reset |= abort;
                outgoing.fin = true;
                stream.incoming.borrow_mut().unread = true;
            }
            Some(Kind::Listener(listener)) => {
                for waiting in listener.waiting {
                    waiting.outgoing.borrow_mut().reset = true;
                }
                for (id, _) in listener.accepts {
                    self.reply(Reply::Failed {
                        id,
                        error: NetError::NotConnected,
                    });
                }
            }
            Some(Kind::Udp(_)) | None => {}
        }
    }

    /// Puts a new connection in the backlog of its listener, if there is room.
    fn knock(&mut self, index: usize) -> bool {
        let Some((
            _,
            Some(Socket {
                kind: Kind::Stream(stream),
                local,
            }),
        )) = self.sockets.get(index)
        else {
            return false;
        };
        let Some(to) = stream.knocking else {
            return false;
        };
        let (incoming, outgoing) = (Rc::clone(&stream.outgoing), Rc::clone(&stream.incoming));
        let waiting = Waiting {
            remote: *local,
            incoming,
            outgoing,
        };
        match self.listener(to.port()) {
            Some(listener) if listener.waiting.len() < listener.backlog => {
                listener.waiting.push_back(waiting)
            }
            _ => return false,
        }
        if let Some((
            _,
            Some(Socket {
                kind: Kind::Stream(stream),
                ..
            }),
        )) = self.sockets.get_mut(index)
        {
            stream.knocking = None;
            stream.status.established = true;
            stream.ends.status.store(stream.status);
        }
        self.channel.raise(index as u16);
        true
    }

    /// Moves bytes of one socket. True if any moved.
    fn serve(&mut self, index: usize) -> bool {
        let chunk = self.settings.chunk;
        if self.knock(index) {
            return true;
        }
        let Some((_, Some(socket))) = self.sockets.get_mut(index) else {
            return false;
        };
        match &mut socket.kind {
            Kind::Stream(stream) => {
                let moved = stream.serve(chunk);
                if moved {
                    self.channel.raise(index as u16);
                }
                moved
            }
            Kind::Listener(listener) => {
                if listener.accepts.is_empty() || listener.waiting.is_empty() {
                    return false;
                }
                let local = socket.local;
                let (accept, waiting) =
                    (listener.accepts.pop_front(), listener.waiting.pop_front());
                if let (Some((id, buffers)), Some(waiting)) = (accept, waiting) {
                    self.accept(id, &buffers, waiting, local);
                }
                true
            }
            Kind::Udp(ends) => {
                let Ok(Some(record)) = ends.reader.peek_record() else {
                    return false;
                };
                let mut datagram = alloc::vec![0; record.len];
                if ends.reader.read_record(&mut datagram).is_err() {
                    return false;
                }
                let from = socket.local;
                self.channel.raise(index as u16);
                self.deliver(from, record.peer, &datagram);
                true
            }
        }
    }

    fn accept(&mut self, id: RequestId, buffers: &Buffers, waiting: Waiting, local: SocketAddr) {
        let Waiting {
            remote,
            incoming,
            outgoing,
        } = waiting;
        let status = Status {
            established: true,
            ..Status::default()
        };
        let made = self.ends(buffers).and_then(|ends| {
            ends.status.store(status);
            let kind = Kind::Stream(Stream {
                ends,
                incoming,
                outgoing,
                status,
                shut: false,
                knocking: None,
            });
            self.insert(Socket { kind, local })
        });
        match made {
            Ok(socket) => self.reply(Reply::Accepted {
                id,
                socket,
                local,
                remote,
            }),
            Err(error) => self.reply(Reply::Failed { id, error }),
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        for (index, (_, socket)) in self.sockets.iter_mut().enumerate() {
            if let Some(Socket {
                kind: Kind::Udp(ends),
                local,
            }) = socket
                && local.port() == to.port()
            {
                let _ = ends.writer.write_record(from, datagram);
                self.channel.raise(index as u16);
            }
        }
    }
}

impl Stream {
    fn serve(&mut self, chunk: usize) -> bool {
        let mut outgoing = self.outgoing.borrow_mut();
        let mut incoming = self.incoming.borrow_mut();
        let mut moved = false;
        if self.status.error.is_none() {
            if outgoing.unread
                && self
                    .ends
                    .reader
                    .available()
                    .is_ok_and(|waiting| waiting > 0)
            {
                // Written to a peer that is gone.
                incoming.reset = true;
            } else {
                moved |= outgoing
                    .fill(&mut self.ends, chunk)
                    .is_ok_and(|len| len > 0);
            }
            if self.shut && !outgoing.fin && self.ends.reader.available() == Ok(0) {
                outgoing.fin = true;
                moved = true;
            }
            moved |= incoming
                .drain(&mut self.ends, chunk)
                .is_ok_and(|len| len > 0);
        }
        let status = Status {
            error: self.status.error.or(incoming.error()),
            peer_closed: incoming.fin && incoming.is_empty(),
            ..self.status
        };
        if status != self.status {
            self.status = status;
            self.ends.status.store(status);
            moved = true;
        }
        moved
    }
}
