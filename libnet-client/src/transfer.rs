//! Moves bytes and datagrams through the FIFOs that a socket shares with the stack, and takes connections from listeners.
//!
//! `try_` calls never wait: `None` is "not now". `poll_` calls leave a waker. What is read of the stack's words is
//! checked by [`ipc_proto::fifo`]; an error there ends the session.
//!
//! The stack is told of written bytes at once, and of read ones as [`ipc_proto::fifo`] says.

use crate::{
    engine::Engine,
    error::{Error, ErrorKind, Result},
    owned::Direction,
    session::Violation,
    sockets::{Key, Phase, Socket},
};
use core::{
    net::{IpAddr, SocketAddr},
    task::{Poll, Waker},
};
use ipc_proto::{
    error::PeerError,
    fifo::{Record, StreamEnds},
    socket::{Handle, NetError},
};

/// Datagrams from others than the peer that one call passes over before it lets others run.
const FOREIGN_BATCH: u32 = 64;

fn gone() -> Error {
    ErrorKind::NotConnected.into()
}

impl Socket {
    /// The error to tell now, if there is one: each is told once.
    fn take_error(&mut self) -> Option<Error> {
        // Looked at before it is taken: nearly always there is none.
        if self.error.is_some() {
            return self.error.take();
        }
        let error = self.ends.as_ref()?.status.load().error;
        if error == self.told {
            return None;
        }
        self.told = error;
        error.map(Error::from)
    }

    #[inline]
    fn ends(&mut self) -> Option<(&mut StreamEnds, Handle)> {
        match (self.phase, &mut self.ends) {
            (Phase::Open(handle), Some(ends)) => Some((ends, handle)),
            _ => None,
        }
    }
}

/// What a look at the receiving side of a stream found.
enum Receive {
    Bytes(usize),
    End,
    Nothing,
}

impl Engine {
    /// Whether a connection is established; the error if it never will be.
    pub(crate) fn poll_connect(&mut self, key: Key, waker: &Waker) -> Poll<Result<()>> {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Poll::Ready(Err(gone()));
        };
        if let Some(error) = socket.take_error() {
            return Poll::Ready(Err(error));
        }
        match (socket.phase, &socket.ends) {
            (Phase::Open(_), Some(ends)) if ends.status.load().established => Poll::Ready(Ok(())),
            (Phase::Dead, _) => Poll::Ready(Err(gone())),
            _ => {
                socket.writers.add(waker);
                Poll::Pending
            }
        }
    }

    /// Whether a listener or UDP socket is open; the error if it could not be opened.
    pub(crate) fn poll_open(&mut self, key: Key, waker: &Waker) -> Poll<Result<()>> {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Poll::Ready(Err(gone()));
        };
        match socket.phase {
            Phase::Open(_) => Poll::Ready(Ok(())),
            Phase::Dead => Poll::Ready(Err(socket.error.take().unwrap_or_else(gone))),
            Phase::Opening(_) | Phase::Lost { .. } => match socket.error.take() {
                // Its session went for good while the request was on its way.
                Some(error) => Poll::Ready(Err(error)),
                None => {
                    socket.writers.add(waker);
                    Poll::Pending
                }
            },
        }
    }

    /// Runs `receive` on the receiving side of a stream, in the order that finds the end of the stream and errors behind the
    /// bytes in front of them.
    fn receive(
        &mut self,
        key: Key,
        receive: impl FnOnce(&mut StreamEnds) -> core::result::Result<usize, PeerError>,
    ) -> Result<Receive> {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Err(gone());
        };
        if socket.read_shut {
            return Ok(Receive::End);
        }
        if socket.is_quiet() {
            return Ok(Receive::Nothing);
        }
        if let Some((ends, _)) = socket.ends() {
            // All that was seen is taken: then this look finds whatever the events so far were raised for.
            let is_fresh = ends.reader.seen() == 0;
            // Before the FIFO: bytes that came before the end was told are then seen.
            let status = ends.status.load();
            let received = match receive(ends) {
                Ok(received) => received,
                Err(error) => return Err(self.broken(error)),
            };
            let goes_on = status.error.is_none() && !status.peer_closed;
            if is_fresh && goes_on {
                socket.has_news = false;
            }
            if received > 0 {
                return Ok(Receive::Bytes(received));
            }
            if goes_on {
                return Ok(Receive::Nothing);
            }
            if status.error.is_none() {
                return Ok(Receive::End);
            }
        }
        match socket.take_error() {
            Some(error) => Err(error),
            None => Ok(Receive::End),
        }
    }

    /// Reads what is there. `Some(0)` is the end of the stream (or an empty buffer).
    pub(crate) fn try_read(&mut self, key: Key, buffer: &mut [u8]) -> Result<Option<usize>> {
        if buffer.is_empty() {
            return Ok(Some(0));
        }
        match self.receive(key, |ends| ends.reader.read(buffer))? {
            Receive::Bytes(len) => {
                let ends = self.sockets.get_mut(key).and_then(Socket::ends);
                if let Some((ends, handle)) = ends
                    && ends.reader.tells_room()
                {
                    self.raise(handle);
                }
                Ok(Some(len))
            }
            Receive::End => Ok(Some(0)),
            Receive::Nothing => Ok(None),
        }
    }

    /// Like [`Engine::try_read`], but the bytes stay.
    pub(crate) fn try_peek(&mut self, key: Key, buffer: &mut [u8]) -> Result<Option<usize>> {
        match self.receive(key, |ends| ends.reader.peek(buffer))? {
            Receive::Bytes(len) => Ok(Some(len)),
            Receive::End => Ok(Some(0)),
            Receive::Nothing => Ok(None),
        }
    }

    /// Whether a read would not have to wait.
    pub(crate) fn is_readable(&mut self, key: Key) -> Result<bool> {
        let found = self.receive(key, |ends| ends.reader.available())?;
        Ok(!matches!(found, Receive::Nothing))
    }

    /// Writes as much as there is room for.
    pub(crate) fn try_write(&mut self, key: Key, bytes: &[u8]) -> Result<Option<usize>> {
        self.send(key, bytes.is_empty(), |ends| ends.writer.write(bytes))
    }

    /// [`Engine::try_write`] of several runs, one behind the other.
    pub(crate) fn try_write_parts(&mut self, key: Key, parts: &[&[u8]]) -> Result<Option<usize>> {
        let is_empty = parts.iter().all(|part| part.is_empty());
        self.send(key, is_empty, |ends| ends.writer.write_parts(parts))
    }

    /// Runs `send` on the sending side of a stream.
    #[inline]
    fn send(
        &mut self,
        key: Key,
        is_empty: bool,
        send: impl FnOnce(&mut StreamEnds) -> core::result::Result<usize, PeerError>,
    ) -> Result<Option<usize>> {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Err(gone());
        };
        if let Some(error) = socket.take_error() {
            return Err(error);
        }
        if socket.write_shut || socket.told.is_some() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let Some((ends, handle)) = socket.ends() else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        if is_empty {
            return Ok(Some(0));
        }
        match send(ends) {
            Ok(0) => Ok(None),
            Ok(len) => {
                self.raise(handle);
                Ok(Some(len))
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Whether a write would not have to wait.
    pub(crate) fn is_writable(&mut self, key: Key) -> Result<bool> {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Err(gone());
        };
        if socket.write_shut || socket.error.is_some() {
            return Ok(true);
        }
        let Some((ends, _)) = socket.ends() else {
            return Ok(true);
        };
        if ends.status.load().error.is_some() {
            return Ok(true);
        }
        ends.writer
            .free()
            .map(|free| free > 0)
            .map_err(|error| self.broken(error))
    }

    /// Receives a datagram, of which as much is kept as fits. With `only`, others than that peer's are dropped.
    #[inline]
    pub(crate) fn try_receive(
        &mut self,
        key: Key,
        buffer: &mut [u8],
        only: Option<SocketAddr>,
    ) -> Result<Option<(usize, SocketAddr)>> {
        if self.sockets.get(key).is_some_and(Socket::is_quiet) {
            return Ok(None);
        }
        self.receive_next(key, buffer, only)
    }

    /// Not inlined, nor is [`Engine::try_send`]: inside of a task's code, addresses are taken apart and put together at each step.
    #[inline(never)]
    fn receive_next(
        &mut self,
        key: Key,
        buffer: &mut [u8],
        only: Option<SocketAddr>,
    ) -> Result<Option<(usize, SocketAddr)>> {
        for _ in 0..FOREIGN_BATCH {
            let Some(socket) = self.sockets.get_mut(key) else {
                return Err(gone());
            };
            if let Some(error) = socket.take_error() {
                return Err(error);
            }
            let Some((ends, handle)) = socket.ends() else {
                return Ok(None);
            };
            let is_fresh = ends.reader.seen() == 0;
            let taken = ends
                .reader
                .read_record(buffer)
                .and_then(|record| Ok((record, ends.reader.tells_room_for_record()?)));
            if is_fresh {
                socket.has_news = false;
            }
            match taken {
                Ok((Some(Record { peer, len }), tells)) => {
                    if tells {
                        self.raise(handle);
                    }
                    if only.is_none_or(|only| same(only, peer)) {
                        return Ok(Some((len.min(buffer.len()), peer)));
                    }
                }
                Ok((None, _)) => return Ok(None),
                Err(error) => return Err(self.broken(error)),
            }
        }
        // More may be there: look again after the others.
        if let Some(socket) = self.sockets.get_mut(key) {
            socket.readers.wake(&mut self.woken);
        }
        Ok(None)
    }

    /// Sends a datagram, as a whole or not at all.
    #[inline(never)]
    pub(crate) fn try_send(
        &mut self,
        key: Key,
        bytes: &[u8],
        to: &SocketAddr,
    ) -> Result<Option<usize>> {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Err(gone());
        };
        if let Some(error) = socket.take_error() {
            return Err(error);
        }
        // Without a session: it waits for the next one.
        let Some((ends, handle)) = socket.ends() else {
            return Ok(None);
        };
        if bytes.len() > ends.writer.largest_record() {
            return Err(ErrorKind::MessageTooLong.into());
        }
        match ends.writer.write_record(*to, bytes) {
            Ok(true) => {
                self.raise(handle);
                Ok(Some(bytes.len()))
            }
            Ok(false) => Ok(None),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// The pending error of a socket, which is then forgotten.
    pub(crate) fn take_error(&mut self, key: Key) -> Option<Error> {
        self.sockets.get_mut(key)?.take_error()
    }

    /// Tells the stack to look at a socket.
    fn raise(&mut self, handle: Handle) {
        if let Some(session) = self.session() {
            session.raise(handle);
        }
        self.flush_soon();
    }

    /// The stack broke the protocol in a FIFO.
    fn broken(&mut self, error: PeerError) -> Error {
        if let Some(session) = self.session() {
            session.broken = Some(Violation::Peer(error));
        }
        NetError::ConnectionReset.into()
    }

    /// Counts an operation that succeeded at once. False: others come first; the caller is woken in the next turn.
    pub(crate) fn may_go_on(&mut self, waker: &Waker) -> bool {
        match self.operations_left.checked_sub(1) {
            Some(left) => {
                self.operations_left = left;
                true
            }
            None => {
                self.woken.push(waker.clone());
                false
            }
        }
    }

    /// Leaves a waker for when an operation may go on.
    pub(crate) fn wait_for(&mut self, key: Key, direction: Direction, waker: &Waker) {
        if let Some(socket) = self.sockets.get_mut(key) {
            match direction {
                Direction::Read => socket.readers.add(waker),
                Direction::Write => socket.writers.add(waker),
            }
        }
    }
}

/// Whether two addresses are the same host and port; an IPv4-mapped IPv6 address is its IPv4 address.
#[inline(never)]
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    let ip = |address: SocketAddr| -> IpAddr { address.ip().to_canonical() };
    ip(a) == ip(b) && a.port() == b.port()
}
