//! The fake stack: requests and what becomes of them.

use super::{
    Settings,
    pipe::Pipe,
    sockets::{Kind, Listener, Socket, Stream},
};
use alloc::{collections::VecDeque, rc::Rc, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use ipc_proto::{
    channel::{Channel, SOCKET_CHANNEL, SendError, Side},
    fifo::{self, End, Status, StreamEnds},
    rings::RingInfo,
    shm::Shm,
    socket::{Buffers, Handle, NetError, Reply, Request, RequestId},
};

/// The only address.
pub(super) const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// A host that sends everything back, on every port.
pub(super) const ECHO: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

/// The stack's end of the session.
pub(super) struct Stack {
    pub(super) channel: Channel<Reply, Request>,
    pub(super) memory: Shm,
    pub(super) settings: Settings,
    pub(super) sockets: Vec<(u16, Option<Socket>)>,
    pub(super) answers: VecDeque<Reply>,
    /// Resolves and pings that are never answered by themselves.
    pub(super) open_questions: Vec<RequestId>,
    pub(super) next_port: u16,
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

    /// Its session has badge 1.
    pub(super) fn ring_info(&self) -> RingInfo {
        self.channel.ring_info(1)
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
        let sockets = &mut self.sockets;
        self.channel.take_events(&mut |index| {
            if let Some((_, Some(socket))) = sockets.get_mut(usize::from(index)) {
                (socket.is_poked, socket.is_blocked) = (true, false);
            }
        });
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

    pub(super) fn reply(&mut self, reply: Reply) {
        if self.answers.is_empty() {
            match self.channel.send(&reply) {
                Ok(()) => return,
                Err(SendError::Full) => {}
                Err(SendError::Peer(_)) => self.broken = true,
            }
        }
        self.answers.push_back(reply);
    }

    pub(super) fn ends(&self, buffers: &Buffers) -> Result<StreamEnds, NetError> {
        let start = Channel::<Reply, Request>::bytes(SOCKET_CHANNEL);
        fifo::ends(&self.memory, buffers, End::Stack, start).map_err(|_| NetError::BadArgument)
    }

    pub(super) fn insert(&mut self, socket: Socket) -> Result<Handle, NetError> {
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

    pub(super) fn listener(&mut self, port: u16) -> Option<&mut Listener> {
        self.sockets
            .iter_mut()
            .find_map(|(_, socket)| match socket {
                Some(Socket {
                    kind: Kind::Listener(listener),
                    local,
                    ..
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
                    .insert(Socket::new(kind, local))
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
                    .insert(Socket::new(Kind::Udp(ends), local))
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
        let echoes = remote.ip() == ECHO;
        let incoming = if echoes {
            Rc::clone(&outgoing)
        } else {
            incoming
        };
        let error = match unreachable {
            None if echoes => None,
            None if self.listener(remote.port()).is_none() => Some(NetError::ConnectionRefused),
            error => error.filter(|error| *error != NetError::TimedOut),
        };
        let knocking = (unreachable.is_none() && !echoes).then_some(remote);
        let status = Status {
            error,
            established: unreachable.is_none() && echoes,
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
        let socket = self.insert(Socket::new(kind, local))?;
        self.reply(Reply::Opened { id, socket, local });
        self.channel.raise(socket.index);
        self.knock(usize::from(socket.index));
        Ok(())
    }

    fn close(&mut self, handle: Handle, abort: bool) {
        let Some((_, place)) = self.sockets.get_mut(usize::from(handle.index)) else {
            return;
        };
        let closed = place.take();
        let local = closed.as_ref().map(|socket| socket.local);
        match closed.map(|socket| socket.kind) {
            Some(Kind::Stream(mut stream)) => {
                let mut outgoing = stream.outgoing.borrow_mut();
                if !abort {
                    let _ = outgoing.fill_all(&mut stream.ends);
                }
                outgoing.reset |= abort;
                outgoing.fin = true;
                drop(outgoing);
                stream.incoming.borrow_mut().unread = true;
            }
            Some(Kind::Listener(mut listener)) => {
                // Those that met before the end: their answers are on the way.
                while let (false, Some((id, buffers)), Some(local)) = (
                    listener.waiting.is_empty(),
                    listener.accepts.pop_front(),
                    local,
                ) {
                    if let Some(waiting) = listener.waiting.pop_front() {
                        self.accept(id, &buffers, waiting, local);
                    }
                }
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
}
