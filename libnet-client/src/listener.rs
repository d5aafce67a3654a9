//! TCP listeners.

use crate::{
    addr::ToSocketAddrs,
    arena::Sizes,
    error::{Error, ErrorKind, Result},
    net::Net,
    owned::Owned,
    sockets::{Kind, Listener, Socket},
    tcp::TcpStream,
};
use alloc::{collections::VecDeque, vec::Vec};
use core::{future::poll_fn, net::SocketAddr, task::Poll};

/// Connections that may wait to be accepted, as in `std::net`.
const BACKLOG: u16 = 128;

/// Waits for connections on a port.
///
/// An accepted connection takes its buffers from the session's memory, with the sizes of the [`Net`] that the listener was
/// bound with. While there is no room for another one, connections wait in the backlog.
///
/// A server that takes crowds of short connections asks for several ahead: see [`TcpListener::set_accepts_ahead`].
///
/// If the network stack is restarted, the listener comes back by itself, on the same port.
#[derive(Debug)]
pub struct TcpListener {
    socket: Owned,
}

impl TcpListener {
    /// Listens on an address (`0.0.0.0`: IPv4 on all addresses, `[::]`: both families) and a port (0: a free one).
    ///
    /// # Errors
    /// [`ErrorKind::AddrInUse`], [`ErrorKind::AddrNotAvailable`], [`ErrorKind::PermissionDenied`].
    pub fn bind(net: &Net, address: impl ToSocketAddrs) -> Result<TcpListener> {
        net.wait(TcpListener::bind_async(net, address))
    }

    /// [`TcpListener::bind`] for tasks.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub async fn bind_async(net: &Net, address: impl ToSocketAddrs) -> Result<TcpListener> {
        TcpListener::bind_with_backlog(net, address, BACKLOG).await
    }

    /// [`TcpListener::bind_async`] with another number of connections that may wait to be accepted (1 to 128).
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub async fn bind_with_backlog(
        net: &Net,
        address: impl ToSocketAddrs,
        backlog: u16,
    ) -> Result<TcpListener> {
        let kind = || {
            Kind::Listener(Listener {
                backlog,
                smallest: net.sizes(),
                ahead: 1,
                asked: Vec::new(),
                ready: VecDeque::new(),
                hold_until: 0,
            })
        };
        let socket = Owned::bind(net, address.to_target()?, kind).await?;
        Ok(TcpListener { socket })
    }

    /// Takes the next connection.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if non-blocking and none is there; [`ErrorKind::PermissionDenied`] if the policy no longer permits
    /// the port.
    pub fn accept(&self) -> Result<(TcpStream, SocketAddr)> {
        let net = &self.socket.net;
        if !self.socket.nonblocking.get() {
            return net.wait(self.accept_async());
        }
        net.pump();
        net.drive(net.now(), self.accept_async())
            .unwrap_or(Err(ErrorKind::WouldBlock.into()))
    }

    /// [`TcpListener::accept`] for tasks.
    ///
    /// Dropping the future loses no connection: the next accept gets it.
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    pub async fn accept_async(&self) -> Result<(TcpStream, SocketAddr)> {
        let accepted = poll_fn(|context| {
            self.socket.net.with(|engine| {
                if !engine.may_go_on(context.waker()) {
                    return Poll::Pending;
                }
                engine.poll_accept(self.socket.key, context.waker())
            })
        });
        let key = accepted.await?;
        let stream = TcpStream::new(Owned::new(self.socket.net.clone(), key));
        let peer = stream.peer_addr()?;
        Ok((stream, peer))
    }

    /// The connections, one after the other.
    pub fn incoming(&self) -> impl Iterator<Item = Result<TcpStream>> + '_ {
        core::iter::repeat_with(|| self.accept().map(|(stream, _)| stream))
    }

    /// Lets connections have smaller buffers, down to these, the less room is left: a few connections are fast, and many fit.
    /// Without this, all have those of the [`Net`] that the listener was bound with.
    pub fn set_smallest_buffers(&self, receive: usize, transmit: usize) {
        let sizes = Sizes::holding(receive, transmit);
        self.socket.net.with(|engine| {
            if let Some(listener) = engine
                .sockets
                .get_mut(self.socket.key)
                .and_then(Socket::listener)
            {
                listener.smallest = sizes;
            }
        });
    }

    /// How many connections the stack may hand over ahead of [`TcpListener::accept`] (1 in the beginning). More save wake-ups when
    /// connections come in crowds (`docs/performance.md` has figures); each takes buffers while it waits, the largest first, and a place among
    /// the session's sockets.
    pub fn set_accepts_ahead(&self, count: usize) {
        self.socket.net.with(|engine| {
            if let Some(listener) = engine
                .sockets
                .get_mut(self.socket.key)
                .and_then(Socket::listener)
            {
                listener.ahead = count.max(1);
            }
        });
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// None.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The error that waits to be told, if there is one. It is then told.
    ///
    /// # Errors
    /// None.
    pub fn take_error(&self) -> Result<Option<Error>> {
        Ok(self.socket.take_error())
    }

    /// Makes [`TcpListener::accept`] fail with [`ErrorKind::WouldBlock`] where it would have to wait.
    ///
    /// # Errors
    /// None.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        self.socket.nonblocking.set(nonblocking);
        Ok(())
    }
}
