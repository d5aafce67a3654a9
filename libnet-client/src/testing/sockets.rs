//! The fake stack's sockets: connections inside the one host, and its echo.

use super::{
    pipe,
    stack::{ECHO, Stack},
};
use alloc::{collections::VecDeque, rc::Rc};
use core::net::SocketAddr;
use ipc_proto::{
    fifo::{Status, StreamEnds},
    socket::{Buffers, Reply, RequestId},
};

pub(super) struct Stream {
    pub(super) ends: StreamEnds,
    pub(super) incoming: pipe::Shared,
    pub(super) outgoing: pipe::Shared,
    pub(super) status: Status,
    pub(super) shut: bool,
    /// Still knocking here: the backlog was full.
    pub(super) knocking: Option<SocketAddr>,
}

pub(super) struct Waiting {
    pub(super) remote: SocketAddr,
    pub(super) incoming: pipe::Shared,
    pub(super) outgoing: pipe::Shared,
}

pub(super) struct Listener {
    pub(super) backlog: usize,
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) accepts: VecDeque<(RequestId, Buffers)>,
}

pub(super) enum Kind {
    Stream(Stream),
    Listener(Listener),
    Udp(StreamEnds),
}

pub(super) struct Socket {
    pub(super) kind: Kind,
    pub(super) local: SocketAddr,
    /// The client said that it has written: only then its FIFO is looked at.
    pub(super) is_poked: bool,
    /// The client's receive FIFO was full: only an event changes that.
    pub(super) is_blocked: bool,
}

impl Socket {
    pub(super) fn new(kind: Kind, local: SocketAddr) -> Socket {
        Socket {
            kind,
            local,
            is_poked: false,
            is_blocked: false,
        }
    }
}

impl Stack {
    /// Puts a new connection in the backlog of its listener, if there is room.
    pub(super) fn knock(&mut self, index: usize) -> bool {
        let Some((
            _,
            Some(Socket {
                kind: Kind::Stream(stream),
                local,
                ..
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
    pub(super) fn serve(&mut self, index: usize) -> bool {
        let chunk = self.settings.chunk;
        if self.knock(index) {
            return true;
        }
        let Some((_, Some(socket))) = self.sockets.get_mut(index) else {
            return false;
        };
        match &mut socket.kind {
            Kind::Stream(stream) => {
                let moved = stream.serve(chunk, &mut socket.is_poked, &mut socket.is_blocked);
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
                if !socket.is_poked {
                    return false;
                }
                let Ok(Some(record)) = ends.reader.peek_record().map(Option::<&_>::copied) else {
                    socket.is_poked = false;
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

    pub(super) fn accept(
        &mut self,
        id: RequestId,
        buffers: &Buffers,
        waiting: Waiting,
        local: SocketAddr,
    ) {
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
            self.insert(Socket::new(kind, local))
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
        let (from, to) = if to.ip() == ECHO {
            (to, from)
        } else {
            (from, to)
        };
        for (index, (_, socket)) in self.sockets.iter_mut().enumerate() {
            if let Some(Socket {
                kind: Kind::Udp(ends),
                local,
                ..
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
    /// Moves bytes in both directions. The two may be one pipe: an echo.
    fn serve(&mut self, chunk: usize, is_poked: &mut bool, is_blocked: &mut bool) -> bool {
        let mut moved = false;
        let waiting = self.ends.reader.available().unwrap_or(0);
        if self.status.error.is_none() {
            let unread = self.outgoing.borrow().unread;
            if unread && waiting > 0 {
                // Written to a peer that is gone.
                self.incoming.borrow_mut().reset = true;
            } else if *is_poked {
                let filled = self.outgoing.borrow_mut().fill(&mut self.ends, chunk);
                moved |= filled.is_ok_and(|len| len > 0);
                *is_poked = self.ends.reader.available() != Ok(0);
            }
            if self.shut && self.ends.reader.available() == Ok(0) {
                moved |= !core::mem::replace(&mut self.outgoing.borrow_mut().fin, true);
            }
            if !*is_blocked {
                let drained = self.incoming.borrow_mut().drain(&mut self.ends, chunk);
                moved |= drained.is_ok_and(|len| len > 0);
                *is_blocked = self.ends.writer.free() == Ok(0);
            }
        }
        let incoming = self.incoming.borrow();
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
