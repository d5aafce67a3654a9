//! TCP connections.

use crate::{
    addr::ToSocketAddrs,
    engine::{Engine, Link},
    error::{Error, ErrorKind, Result},
    net::Net,
    options::Settings,
    owned::{Direction, Owned, not_zero},
    requests::Pending,
    sockets::{Key, Kind, Phase, Socket},
};
use alloc::{rc::Rc, vec::Vec};
use core::{future::poll_fn, net::SocketAddr, time::Duration};
use ipc_proto::socket::Request;

/// Which direction of a connection is ended, as in `std::net`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// Reads return 0 from now on.
    Read,
    /// The peer reads the end of the stream behind what was written.
    Write,
    /// Both.
    Both,
}

/// A TCP connection.
///
/// What `write` has accepted is sent, even if the stream is dropped at once; bytes that the peer sent before it reset the connection
/// can be read before the error. The error is told once; then reads return 0, writes [`ErrorKind::BrokenPipe`]. If the network
/// stack is restarted, the connection is reset, and unread bytes are lost.
///
/// Dropping the last clone closes the connection.
#[derive(Clone, Debug)]
pub struct TcpStream {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    socket: Owned,
    settings: Settings,
}

impl TcpStream {
    pub(crate) fn new(socket: Owned) -> TcpStream {
        TcpStream {
            shared: Rc::new(Shared {
                socket,
                settings: Settings::default(),
            }),
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(crate) fn owned(&self) -> &Owned {
        &self.shared.socket
    }

    /// Opens a connection. Several addresses are tried in turn.
    ///
    /// # Errors
    /// That of the last address tried.
    pub fn connect(net: &Net, to: impl ToSocketAddrs) -> Result<TcpStream> {
        net.wait(TcpStream::connect_async(net, to))
    }

    /// [`TcpStream::connect`] to one address, for at most `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], [`ErrorKind::NetworkDown`] if there was no network stack to ask, and as [`TcpStream::connect`].
    pub fn connect_timeout(net: &Net, to: &SocketAddr, timeout: Duration) -> Result<TcpStream> {
        net.wait(connect_one(net, *to, timeout))
    }

    /// [`TcpStream::connect`] for tasks.
    ///
    /// # Errors
    /// As [`TcpStream::connect`].
    pub async fn connect_async(net: &Net, to: impl ToSocketAddrs) -> Result<TcpStream> {
        let mut last = Error::from(ErrorKind::InvalidInput);
        for address in net.addresses(to.to_target()?).await? {
            match connect_one(net, address, net.config().connect_timeout).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Reads what is there, at least one byte. 0: the peer has ended its direction, or `buffer` is empty.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] after the read timeout; [`ErrorKind::WouldBlock`] if non-blocking.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        self.owned()
            .blocking(Direction::Read, |engine, key| engine.try_read(key, buffer))
    }

    /// Reads without taking the bytes away.
    ///
    /// # Errors
    /// As [`TcpStream::read`].
    pub fn peek(&self, buffer: &mut [u8]) -> Result<usize> {
        self.owned()
            .blocking(Direction::Read, |engine, key| engine.try_peek(key, buffer))
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    /// [`ErrorKind::UnexpectedEof`] if the stream ends before, and as [`TcpStream::read`].
    pub fn read_exact(&self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            let len = self.read(buffer)?;
            buffer = rest(buffer, len)?;
        }
        Ok(())
    }

    /// Appends everything up to the end of the stream to `buffer`; how much it was.
    ///
    /// # Errors
    /// As [`TcpStream::read`]; what was read before is in `buffer`.
    pub fn read_to_end(&self, buffer: &mut Vec<u8>) -> Result<usize> {
        let start = buffer.len();
        let mut chunk = [0; 2048];
        loop {
            match self.read(&mut chunk)? {
                0 => return Ok(buffer.len() - start),
                len => buffer.extend(chunk.iter().take(len)),
            }
        }
    }

    /// Writes as much as there is room for, at least one byte (unless `bytes` is empty), and returns how much it was.
    ///
    /// # Errors
    /// [`ErrorKind::BrokenPipe`] after [`TcpStream::shutdown`] or after an error was told; [`ErrorKind::TimedOut`] after the write
    /// timeout; [`ErrorKind::WouldBlock`] if non-blocking.
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        self.owned()
            .blocking(Direction::Write, |engine, key| engine.try_write(key, bytes))
    }

    /// Writes everything.
    ///
    /// # Errors
    /// As [`TcpStream::write`]; an unknown part was written before.
    pub fn write_all(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let len = self.write(bytes)?;
            bytes = bytes.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// Does nothing: written bytes are on their way already.
    ///
    /// # Errors
    /// None.
    pub fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// [`TcpStream::read`] for tasks. Timeouts do not apply: see [`Net::timeout`].
    ///
    /// # Errors
    /// Why the connection ended.
    pub fn read_async(&self, buffer: &mut [u8]) -> impl Future<Output = Result<usize>> {
        self.owned().wait(Direction::Read, move |engine, key| {
            engine.try_read(key, buffer)
        })
    }

    /// [`TcpStream::peek`] for tasks.
    ///
    /// # Errors
    /// Why the connection ended.
    pub fn peek_async(&self, buffer: &mut [u8]) -> impl Future<Output = Result<usize>> {
        self.owned().wait(Direction::Read, move |engine, key| {
            engine.try_peek(key, buffer)
        })
    }

    /// [`TcpStream::read_exact`] for tasks.
    ///
    /// # Errors
    /// As [`TcpStream::read_exact`].
    pub async fn read_exact_async(&self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            let len = self.read_async(buffer).await?;
            buffer = rest(buffer, len)?;
        }
        Ok(())
    }

    /// [`TcpStream::write`] for tasks.
    ///
    /// # Errors
    /// Why the connection ended.
    pub fn write_async(&self, bytes: &[u8]) -> impl Future<Output = Result<usize>> {
        self.owned().wait(Direction::Write, move |engine, key| {
            engine.try_write(key, bytes)
        })
    }

    /// [`TcpStream::write_async`] of several runs, one behind the other, as with `write_vectored` of `std`.
    ///
    /// # Errors
    /// Why the connection ended.
    pub fn write_vectored_async(&self, parts: &[&[u8]]) -> impl Future<Output = Result<usize>> {
        self.owned().wait(Direction::Write, move |engine, key| {
            engine.try_write_parts(key, parts)
        })
    }

    /// [`TcpStream::write_all`] for tasks.
    ///
    /// # Errors
    /// As [`TcpStream::write_all`].
    pub async fn write_all_async(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let len = self.write_async(bytes).await?;
            bytes = bytes.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// Whether a read would return at once.
    ///
    /// # Errors
    /// Why the connection ended.
    pub fn is_readable(&self) -> Result<bool> {
        self.owned()
            .net
            .with(|engine| engine.is_readable(self.owned().key))
    }

    /// Whether a write would return at once.
    ///
    /// # Errors
    /// Why the connection ended.
    pub fn is_writable(&self) -> Result<bool> {
        self.owned()
            .net
            .with(|engine| engine.is_writable(self.owned().key))
    }

    /// Ends one or both directions.
    ///
    /// # Errors
    /// [`ErrorKind::NotConnected`] if the connection has ended already.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        let key = self.owned().key;
        self.owned().net.with(|engine| {
            let Some(socket) = engine.sockets.get_mut(key) else {
                return Err(ErrorKind::NotConnected.into());
            };
            if socket.phase == Phase::Dead {
                return Err(ErrorKind::NotConnected.into());
            }
            if how != Shutdown::Write {
                socket.read_shut = true;
                socket.readers.wake(&mut engine.woken);
            }
            if how != Shutdown::Read && !core::mem::replace(&mut socket.write_shut, true) {
                socket.writers.wake(&mut engine.woken);
                return engine.tell(key, |id, socket| Request::Shutdown { id, socket });
            }
            Ok(())
        })
    }

    /// Drops the connection and what is unsent: the peer is told by a reset.
    pub fn abort(self) {
        self.owned().abort.set(true);
    }

    /// The address of this end.
    ///
    /// # Errors
    /// None.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.owned().local_addr()
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// None.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        self.owned().look(|socket| socket.remote)
    }

    /// The error that waits to be told, if there is one. It is then told.
    ///
    /// # Errors
    /// None.
    pub fn take_error(&self) -> Result<Option<Error>> {
        Ok(self.owned().take_error())
    }

    /// How long a blocking read may take; `None`, as in the beginning, is for ever. It then fails with [`ErrorKind::TimedOut`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.owned().read_timeout.set(not_zero(timeout)?);
        Ok(())
    }

    /// How long a blocking write may take; `None`, as in the beginning, is for ever. It then fails with [`ErrorKind::TimedOut`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.owned().write_timeout.set(not_zero(timeout)?);
        Ok(())
    }

    /// Makes calls that would have to wait fail with [`ErrorKind::WouldBlock`]. The `_async` twins wait anyway.
    ///
    /// # Errors
    /// None.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        self.owned().nonblocking.set(nonblocking);
        Ok(())
    }

    /// Another handle of the same connection.
    ///
    /// # Errors
    /// None.
    pub fn try_clone(&self) -> Result<TcpStream> {
        Ok(self.clone())
    }
}

/// What is behind the `len` bytes just read; the end of the stream is an error.
fn rest(buffer: &mut [u8], len: usize) -> Result<&mut [u8]> {
    match buffer.get_mut(len..) {
        Some(rest) if len > 0 => Ok(rest),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}

async fn connect_one(net: &Net, to: SocketAddr, timeout: Duration) -> Result<TcpStream> {
    if timeout.is_zero() || to.port() == 0 {
        return Err(ErrorKind::InvalidInput.into());
    }
    let connected = async {
        net.session().await?;
        let sizes = net.sizes();
        let key = net.with(|engine| engine.connect(to, sizes))?;
        let stream = TcpStream::new(Owned::new(net.clone(), key));
        poll_fn(|context| net.with(|engine| engine.poll_connect(key, context.waker()))).await?;
        Ok(stream)
    };
    match net.timeout(timeout, connected).await {
        Ok(connected) => connected,
        // Without a session nobody was asked: then it is not the peer that took too long.
        Err(late) => Err(net.why_down().unwrap_or(late)),
    }
}

impl Engine {
    /// Asks the stack for a connection.
    fn connect(&mut self, remote: SocketAddr, sizes: crate::arena::Sizes) -> Result<Key> {
        let Link::Up(session) = &mut self.link else {
            return Err(ErrorKind::ConnectionReset.into());
        };
        let area = session.alloc(sizes).ok_or(ErrorKind::OutOfMemory)?;
        let buffers = area.buffers();
        let mut socket = Socket::new(Kind::Stream, Phase::Dead, sizes);
        socket.remote = Some(remote);
        (socket.ends, socket.area) = (session.ends(&area), Some(area));
        let key = self.sockets.insert(socket);
        let id = session.submit(Pending::Open(key), |id| Request::TcpConnect {
            id,
            remote,
            local_port: 0,
            buffers,
        });
        if let Some(socket) = self.sockets.get_mut(key) {
            socket.phase = Phase::Opening(id);
        }
        self.flush_soon();
        Ok(key)
    }
}
