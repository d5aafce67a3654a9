//! UDP sockets, each alone in its set.

use super::Sockets;
use alloc::vec;
use core::net::{IpAddr, SocketAddr};
use smoltcp::{
    iface::{SocketHandle, SocketSet},
    socket::udp,
    wire::{IpEndpoint, IpListenEndpoint},
};

/// A UDP socket.
pub(crate) struct UdpSocket {
    set: SocketSet<'static>,
    handle: SocketHandle,
}

impl Sockets for UdpSocket {
    fn set(&mut self) -> &mut SocketSet<'static> {
        &mut self.set
    }
}

/// A datagram does not fit in what is left of the buffer, now or ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoRoom;

impl UdpSocket {
    /// A socket on a port (not zero) with room for so many datagrams and bytes each way.
    pub(crate) fn new(
        address: Option<IpAddr>,
        port: u16,
        receive: (usize, usize),
        transmit: (usize, usize),
    ) -> UdpSocket {
        let buffer = |(packets, bytes): (usize, usize)| {
            udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; packets], vec![0; bytes])
        };
        let mut socket = udp::Socket::new(buffer(receive), buffer(transmit));
        let endpoint = IpListenEndpoint {
            addr: address.map(Into::into),
            port,
        };
        // Fails for port zero only, and leaves a socket that receives nothing.
        let _ = socket.bind(endpoint);
        let mut set = SocketSet::new(vec![]);
        let handle = set.add(socket);
        UdpSocket { set, handle }
    }

    fn socket(&mut self) -> &mut udp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// Bytes waiting to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.set.get::<udp::Socket<'_>>(self.handle).send_queue()
    }

    /// Queues a datagram.
    ///
    /// # Errors
    /// [`NoRoom`] if it does not fit.
    pub(crate) fn send(&mut self, to: SocketAddr, bytes: &[u8]) -> Result<(), NoRoom> {
        self.socket()
            .send_slice(bytes, IpEndpoint::from(to))
            .map_err(|_| NoRoom)
    }

    /// Takes a datagram: sender, address that it was sent to, and bytes.
    pub(crate) fn receive(&mut self) -> Option<(SocketAddr, Option<IpAddr>, &[u8])> {
        let (bytes, meta) = self.socket().recv().ok()?;
        Some((
            meta.endpoint.into(),
            meta.local_address.map(Into::into),
            bytes,
        ))
    }

    /// Whether nothing was received that is still here.
    pub(crate) fn is_empty(&self) -> bool {
        !self.set.get::<udp::Socket<'_>>(self.handle).can_recv()
    }

    /// Looks at the next datagram.
    pub(crate) fn peek(&mut self) -> Option<(SocketAddr, &[u8])> {
        let (bytes, meta) = self.socket().peek().ok()?;
        Some((meta.endpoint.into(), bytes))
    }

    /// Time to live of what is sent; 0 is the default of 64.
    pub(crate) fn set_hop_limit(&mut self, hops: u8) {
        self.socket().set_hop_limit((hops != 0).then_some(hops));
    }
}
