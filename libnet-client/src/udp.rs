//! UDP sockets.

use crate::{
    addr::{Target, ToSocketAddrs},
    error::{Error, ErrorKind, Result},
    net::Net,
    owned::{Direction, Owned, hop_limit, not_zero},
    sockets::Kind,
};
use core::{cell::Cell, net::SocketAddr, time::Duration};
use ipc_proto::socket::{Request, SocketOption};

/// A UDP socket.
///
/// Datagrams that arrive while the receive buffer is full are lost, as anywhere. If the network stack is restarted, the socket comes
/// back by itself on the same port; what was in its buffers is lost.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Owned,
    peer: Cell<Option<SocketAddr>>,
}

impl UdpSocket {
    /// Opens a socket on an address (`0.0.0.0`: IPv4 on all addresses, `[::]`: both families) and a port (0: a free one).
    ///
    /// # Errors
    /// [`ErrorKind::AddrInUse`], [`ErrorKind::AddrNotAvailable`], [`ErrorKind::PermissionDenied`].
    pub fn bind(net: &Net, address: impl ToSocketAddrs) -> Result<UdpSocket> {
        net.wait(UdpSocket::bind_async(net, address))
    }

    /// [`UdpSocket::bind`] for tasks.
    ///
    /// # Errors
    /// As [`UdpSocket::bind`].
    pub async fn bind_async(net: &Net, address: impl ToSocketAddrs) -> Result<UdpSocket> {
        let socket = Owned::bind(net, address.to_target()?, || Kind::Udp).await?;
        Ok(UdpSocket {
            socket,
            peer: Cell::new(None),
        })
    }

    /// Sends a datagram, as a whole.
    ///
    /// # Errors
    /// [`ErrorKind::MessageTooLong`] if it does not fit in the transmit buffer; [`ErrorKind::TimedOut`] after the write timeout;
    /// [`ErrorKind::WouldBlock`] if non-blocking.
    pub fn send_to(&self, datagram: &[u8], to: impl ToSocketAddrs) -> Result<usize> {
        let to = match to.to_target()? {
            Target::Address(address) => address,
            other => self.socket.net.wait(self.choose(other))?,
        };
        self.socket.blocking(Direction::Write, |engine, key| {
            engine.try_send(key, datagram, &to)
        })
    }

    /// Receives a datagram: its length and sender. What does not fit in `buffer` is lost.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] after the read timeout; [`ErrorKind::WouldBlock`] if non-blocking.
    pub fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        let only = self.peer.get();
        self.socket.blocking(Direction::Read, |engine, key| {
            engine.try_receive(key, buffer, only)
        })
    }

    /// [`UdpSocket::send_to`] for tasks.
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`].
    pub async fn send_to_async(&self, datagram: &[u8], to: impl ToSocketAddrs) -> Result<usize> {
        let to = match to.to_target()? {
            Target::Address(address) => address,
            other => self.choose(other).await?,
        };
        self.reply_async(datagram, &to).await
    }

    /// [`UdpSocket::send_to_async`] to one address, which stays where it is: for answers.
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`].
    pub fn reply_async(
        &self,
        datagram: &[u8],
        to: &SocketAddr,
    ) -> impl Future<Output = Result<usize>> {
        self.socket.wait(Direction::Write, move |engine, key| {
            engine.try_send(key, datagram, to)
        })
    }

    /// [`UdpSocket::recv_from`] for tasks.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    pub fn recv_from_async(
        &self,
        buffer: &mut [u8],
    ) -> impl Future<Output = Result<(usize, SocketAddr)>> {
        let only = self.peer.get();
        self.socket.wait(Direction::Read, move |engine, key| {
            engine.try_receive(key, buffer, only)
        })
    }

    /// Makes `to` the peer of [`UdpSocket::send`] and [`UdpSocket::recv`]; datagrams of others are dropped from now on. No packet
    /// is sent.
    ///
    /// # Errors
    /// Those of looking up a name.
    pub fn connect(&self, to: impl ToSocketAddrs) -> Result<()> {
        self.peer.set(Some(self.socket.net.wait(self.target(to))?));
        Ok(())
    }

    /// Sends a datagram to the peer.
    ///
    /// # Errors
    /// [`ErrorKind::NotConnected`] without a peer, and as [`UdpSocket::send_to`].
    pub fn send(&self, datagram: &[u8]) -> Result<usize> {
        self.send_to(datagram, self.peer_addr()?)
    }

    /// Receives a datagram of the peer.
    ///
    /// # Errors
    /// [`ErrorKind::NotConnected`] without a peer, and as [`UdpSocket::recv_from`].
    pub fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        self.peer_addr()?;
        self.recv_from(buffer).map(|(len, _)| len)
    }

    /// [`UdpSocket::send`] for tasks.
    ///
    /// # Errors
    /// As [`UdpSocket::send`].
    pub async fn send_async(&self, datagram: &[u8]) -> Result<usize> {
        self.send_to_async(datagram, self.peer_addr()?).await
    }

    /// [`UdpSocket::recv`] for tasks.
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    pub async fn recv_async(&self, buffer: &mut [u8]) -> Result<usize> {
        self.peer_addr()?;
        self.recv_from_async(buffer).await.map(|(len, _)| len)
    }

    /// The address of this end.
    ///
    /// # Errors
    /// None.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The peer.
    ///
    /// # Errors
    /// [`ErrorKind::NotConnected`] before [`UdpSocket::connect`].
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        self.peer.get().ok_or(ErrorKind::NotConnected.into())
    }

    /// Time to live, or hop limit, of what is sent; 64 in the beginning.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] unless 1 to 255, [`ErrorKind::NotConnected`] while the network stack restarts.
    pub fn set_ttl(&self, ttl: u32) -> Result<()> {
        let option = SocketOption::HopLimit(hop_limit(ttl)?);
        self.socket.net.with(|engine| {
            engine.tell(self.socket.key, |id, socket| Request::SetOption {
                id,
                socket,
                option,
            })
        })
    }

    /// How long a blocking receive may take; `None`, as in the beginning, is for ever. It then fails with [`ErrorKind::TimedOut`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.socket.read_timeout.set(not_zero(timeout)?);
        Ok(())
    }

    /// How long a blocking send may take; `None`, as in the beginning, is for ever. It then fails with [`ErrorKind::TimedOut`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.socket.write_timeout.set(not_zero(timeout)?);
        Ok(())
    }

    /// Makes calls that would have to wait fail with [`ErrorKind::WouldBlock`]. The `_async` twins wait anyway.
    ///
    /// # Errors
    /// None.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        self.socket.nonblocking.set(nonblocking);
        Ok(())
    }

    /// The error that waits to be told, if there is one. It is then told.
    ///
    /// # Errors
    /// None.
    pub fn take_error(&self) -> Result<Option<Error>> {
        Ok(self.socket.take_error())
    }

    async fn target(&self, to: impl ToSocketAddrs) -> Result<SocketAddr> {
        match to.to_target()? {
            Target::Address(address) => Ok(address),
            other => self.choose(other).await,
        }
    }

    /// One of several addresses: a name may have some of both families.
    async fn choose(&self, target: Target) -> Result<SocketAddr> {
        let addresses = self.socket.net.addresses(target).await?;
        let v4 = self.local_addr()?.is_ipv4();
        let fitting = addresses.iter().find(|address| address.is_ipv4() == v4);
        fitting
            .or(addresses.first())
            .copied()
            .ok_or(ErrorKind::InvalidInput.into())
    }
}
