//! What the shell needs from outside: console, time, init and the network, as one trait.
//!
//! `main.rs` implements it over the kernel's capabilities and `libnet-client`, the tests over a made-up world.

use alloc::vec::Vec;
use core::{
    fmt,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll},
    time::Duration,
};
use ipc_proto::{
    rings::RingInfo,
    socket::{Counters, Family, InterfaceInfo, NetError, SocketInfo},
    system,
};

/// Init did not answer: it, or the shell's capability for it, is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer from init")
    }
}

impl core::error::Error for NoAnswer {}

/// The answer to an echo request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pong {
    /// Who answered.
    pub from: IpAddr,
    /// Round-trip time in microseconds.
    pub micros: u32,
    /// Time to live of the answer.
    pub hop_limit: u8,
    /// Bytes of data.
    pub len: u16,
}

/// The shell's outside.
pub trait Platform {
    /// A TCP connection.
    type Stream: Stream;
    /// A TCP listener.
    type Listener: Listener<Stream = Self::Stream>;
    /// A UDP socket.
    type Datagrams: Datagrams;

    /// Nanoseconds since boot.
    fn now(&self) -> u64;
    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
    /// Writes all bytes to the console.
    fn write(&self, bytes: &[u8]);
    /// Reads typed bytes from the console; `Pending` (and a wake-up later) if there are none. Never zero bytes.
    fn poll_console(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<usize>;
    /// Asks init.
    ///
    /// # Errors
    /// [`NoAnswer`].
    fn system(&self, request: &system::Request) -> Result<system::Reply, NoAnswer>;
    /// State of the network interface.
    fn interface(&self) -> impl Future<Output = Result<InterfaceInfo, NetError>>;
    /// The stack's counters.
    fn counters(&self) -> impl Future<Output = Result<Counters, NetError>>;
    /// The rings of driver and clients.
    fn rings(&self) -> impl Future<Output = Result<Vec<RingInfo>, NetError>>;
    /// Everybody's sockets.
    fn sockets(&self) -> impl Future<Output = Result<Vec<SocketInfo>, NetError>>;
    /// Looks a name up.
    fn resolve(
        &self,
        name: &str,
        family: Family,
        timeout: Duration,
    ) -> impl Future<Output = Result<Vec<IpAddr>, NetError>>;
    /// Sends one ICMP echo request with `len` bytes of data.
    fn ping(
        &self,
        to: IpAddr,
        sequence: u16,
        len: u16,
        timeout: Duration,
    ) -> impl Future<Output = Result<Pong, NetError>>;
    /// Opens a TCP connection.
    fn connect(
        &self,
        to: SocketAddr,
        timeout: Duration,
    ) -> impl Future<Output = Result<Self::Stream, NetError>>;
    /// Listens on a TCP port of all addresses.
    fn listen(&self, port: u16) -> impl Future<Output = Result<Self::Listener, NetError>>;
    /// Opens a UDP socket; port 0 is an ephemeral one.
    fn udp(&self, port: u16) -> impl Future<Output = Result<Self::Datagrams, NetError>>;
}

/// A TCP connection. Dropping it closes it behind what was written.
pub trait Stream {
    /// Reads at least one byte; zero at the end of the peer's data.
    fn read(&self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, NetError>>;
    /// Writes at least one byte of a `data` that is not empty.
    fn write(&self, data: &[u8]) -> impl Future<Output = Result<usize, NetError>>;
    /// Ends the sending direction.
    fn finish(&self) -> impl Future<Output = Result<(), NetError>>;
    /// Who is at the other end.
    fn peer(&self) -> SocketAddr;
}

/// A TCP listener.
pub trait Listener {
    /// What it accepts.
    type Stream;
    /// Waits for a connection.
    fn accept(&self) -> impl Future<Output = Result<Self::Stream, NetError>>;
}

/// A UDP socket.
pub trait Datagrams {
    /// Waits for a datagram; what does not fit in `buffer` is cut off.
    fn receive(
        &self,
        buffer: &mut [u8],
    ) -> impl Future<Output = Result<(usize, SocketAddr), NetError>>;
    /// Sends a datagram.
    fn send(&self, to: SocketAddr, data: &[u8]) -> impl Future<Output = Result<(), NetError>>;
}

/// What the C library's `strerror` says of a failure: the words that people know.
pub fn strerror(error: NetError) -> &'static str {
    match error {
        NetError::Denied => "Operation not permitted",
        NetError::Exhausted => "No buffer space available",
        NetError::BadHandle => "Bad file descriptor",
        NetError::BadState => "Operation not supported",
        NetError::BadArgument => "Invalid argument",
        NetError::AddressInUse => "Address already in use",
        NetError::AddressNotAvailable => "Cannot assign requested address",
        NetError::ConnectionRefused => "Connection refused",
        NetError::ConnectionReset => "Connection reset by peer",
        NetError::ConnectionAborted => "Software caused connection abort",
        NetError::NotConnected => "Transport endpoint is not connected",
        NetError::TimedOut => "Connection timed out",
        NetError::Unreachable => "No route to host",
        NetError::NetworkDown => "Network is down",
        NetError::NameNotFound => "Name or service not known",
        NetError::NameServerFailed => "Temporary failure in name resolution",
        NetError::Cancelled => "Operation canceled",
        NetError::MessageTooLong => "Message too long",
    }
}
