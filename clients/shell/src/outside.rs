//! The shell's outside in the image: system calls for the console and init, `libnet-client` for the network.

use alloc::vec::Vec;
use core::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};
use ipc_proto::{
    rings::RingInfo,
    socket::{Counters, Family, InterfaceInfo, NetError, SocketInfo},
    system,
};
use libnet_client::{ErrorKind, Net, Shutdown, TcpListener, TcpStream, UdpSocket};
use rt::{Console, Endpoint};
use shell::platform::{Datagrams, Listener, NoAnswer, Platform, Pong, Stream};

/// How long init may take to answer, in nanoseconds: it never waits for anybody.
const INIT_PATIENCE: u64 = 2 * rt::time::SECOND;

/// Console, init and network.
pub(crate) struct Outside {
    net: Net,
    console: Console,
    init: Endpoint,
}

impl Outside {
    pub(crate) fn new(net: Net, console: Console, init: Endpoint) -> Outside {
        Outside { net, console, init }
    }

    /// The result of a call of the network, which may not take longer than `timeout`.
    async fn within<T>(
        &self,
        timeout: Duration,
        call: impl Future<Output = libnet_client::Result<T>>,
    ) -> Result<T, NetError> {
        let result = self.net.timeout(timeout, call).await;
        result.and_then(|result| result).map_err(net_error)
    }
}

/// The shell's word for an error of a socket call.
fn net_error(error: libnet_client::Error) -> NetError {
    match error.kind() {
        ErrorKind::NotFound => NetError::NameNotFound,
        ErrorKind::PermissionDenied => NetError::Denied,
        ErrorKind::ConnectionRefused => NetError::ConnectionRefused,
        ErrorKind::ConnectionReset => NetError::ConnectionReset,
        ErrorKind::ConnectionAborted => NetError::ConnectionAborted,
        ErrorKind::NotConnected | ErrorKind::BrokenPipe => NetError::NotConnected,
        ErrorKind::AddrInUse => NetError::AddressInUse,
        ErrorKind::AddrNotAvailable => NetError::AddressNotAvailable,
        ErrorKind::NetworkUnreachable => NetError::Unreachable,
        ErrorKind::NetworkDown => NetError::NetworkDown,
        ErrorKind::TimedOut => NetError::TimedOut,
        ErrorKind::QuotaExceeded | ErrorKind::OutOfMemory => NetError::Exhausted,
        ErrorKind::Interrupted => NetError::Cancelled,
        ErrorKind::MessageTooLong => NetError::MessageTooLong,
        ErrorKind::NameServerFailed => NetError::NameServerFailed,
        ErrorKind::InvalidInput => NetError::BadArgument,
        _ => NetError::BadState,
    }
}

/// The same for questions that the stack itself answers, at once: if it does not, it is not there.
fn local_error(error: libnet_client::Error) -> NetError {
    match net_error(error) {
        NetError::TimedOut => NetError::NetworkDown,
        error => error,
    }
}

impl Platform for Outside {
    type Stream = Connection;
    type Listener = Port;
    type Datagrams = Udp;

    fn now(&self) -> u64 {
        self.net.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.net.sleep(duration).await;
    }

    fn write(&self, bytes: &[u8]) {
        // There is no other place to say that the console is gone.
        let _ = self.console.write(bytes);
    }

    fn poll_console(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<usize> {
        loop {
            // Taken before the look, so that what is typed in between is not missed.
            let event = pin!(self.net.on_event());
            match self.console.read(buffer) {
                Ok(len) if len > 0 => return Poll::Ready(len),
                _ if event.poll(context).is_pending() => return Poll::Pending,
                _ => {}
            }
        }
    }

    fn system(&self, request: &system::Request) -> Result<system::Reply, NoAnswer> {
        let deadline = rt::time::now().saturating_add(INIT_PATIENCE);
        match rt::message::call(&self.init, request, &[], deadline) {
            Ok((reply, _)) => Ok(reply),
            Err(_) => Err(NoAnswer),
        }
    }

    async fn interface(&self) -> Result<InterfaceInfo, NetError> {
        self.net.interface_async().await.map_err(local_error)
    }

    async fn counters(&self) -> Result<Counters, NetError> {
        self.net.counters_async().await.map_err(local_error)
    }

    async fn rings(&self) -> Result<Vec<RingInfo>, NetError> {
        self.net.rings_async().await.map_err(local_error)
    }

    async fn sockets(&self) -> Result<Vec<SocketInfo>, NetError> {
        self.net.sockets_async().await.map_err(local_error)
    }

    async fn resolve(
        &self,
        name: &str,
        family: Family,
        timeout: Duration,
    ) -> Result<Vec<IpAddr>, NetError> {
        self.within(timeout, self.net.resolve_async(name, family))
            .await
    }

    async fn ping(
        &self,
        to: IpAddr,
        sequence: u16,
        len: u16,
        timeout: Duration,
    ) -> Result<Pong, NetError> {
        let pong = self
            .net
            .ping_async(to, sequence, len, timeout)
            .await
            .map_err(net_error)?;
        Ok(Pong {
            from: pong.from,
            micros: u32::try_from(pong.time.as_micros()).unwrap_or(u32::MAX),
            hop_limit: pong.hop_limit,
            len: pong.len,
        })
    }

    async fn connect(&self, to: SocketAddr, timeout: Duration) -> Result<Connection, NetError> {
        self.within(timeout, TcpStream::connect_async(&self.net, to))
            .await
            .map(Connection)
    }

    async fn listen(&self, port: u16) -> Result<Port, NetError> {
        // Both families.
        let bound = TcpListener::bind_async(&self.net, (Ipv6Addr::UNSPECIFIED, port)).await;
        bound.map(Port).map_err(net_error)
    }

    async fn udp(&self, port: u16) -> Result<Udp, NetError> {
        let bound = UdpSocket::bind_async(&self.net, (Ipv6Addr::UNSPECIFIED, port)).await;
        bound.map(Udp).map_err(net_error)
    }
}

/// A TCP connection.
pub(crate) struct Connection(TcpStream);

impl Stream for Connection {
    async fn read(&self, buffer: &mut [u8]) -> Result<usize, NetError> {
        self.0.read_async(buffer).await.map_err(net_error)
    }

    async fn write(&self, data: &[u8]) -> Result<usize, NetError> {
        self.0.write_async(data).await.map_err(net_error)
    }

    async fn finish(&self) -> Result<(), NetError> {
        self.0.shutdown(Shutdown::Write).map_err(net_error)
    }

    fn peer(&self) -> SocketAddr {
        self.0
            .peer_addr()
            .unwrap_or(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0))
    }
}

/// A TCP listener.
pub(crate) struct Port(TcpListener);

impl Listener for Port {
    type Stream = Connection;

    async fn accept(&self) -> Result<Connection, NetError> {
        let (stream, _) = self.0.accept_async().await.map_err(net_error)?;
        Ok(Connection(stream))
    }
}

/// A UDP socket.
pub(crate) struct Udp(UdpSocket);

impl Datagrams for Udp {
    async fn receive(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), NetError> {
        self.0.recv_from_async(buffer).await.map_err(net_error)
    }

    async fn send(&self, to: SocketAddr, data: &[u8]) -> Result<(), NetError> {
        self.0
            .send_to_async(data, to)
            .await
            .map(drop)
            .map_err(net_error)
    }
}
