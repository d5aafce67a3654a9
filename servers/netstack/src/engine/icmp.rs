//! Echo requests, each with a set of its own: one that waits for a neighbour delays no other.

use super::{Engine, Sockets};
use alloc::{vec, vec::Vec};
use core::net::IpAddr;
use smoltcp::{
    iface::{SocketHandle, SocketSet},
    phy::ChecksumCapabilities,
    socket::icmp,
    wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr},
};

/// One echo request.
pub(crate) struct Ping {
    set: SocketSet<'static>,
    handle: SocketHandle,
    ident: u16,
    sequence: u16,
}

/// An answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Echo {
    /// Who answered.
    pub(crate) from: IpAddr,
    /// Bytes of data.
    pub(crate) len: usize,
}

impl Sockets for Ping {
    fn set(&mut self) -> &mut SocketSet<'static> {
        &mut self.set
    }
}

/// What an echo request carries: bytes that count up, as other systems send.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| i as u8).collect()
}

impl Ping {
    /// A request to `to`, queued to be sent.
    pub(crate) fn new(engine: &Engine, to: IpAddr, ident: u16, sequence: u16, len: usize) -> Ping {
        let data = pattern(len);
        let buffer = || {
            icmp::PacketBuffer::new(
                vec![icmp::PacketMetadata::EMPTY; 2],
                vec![0; len.saturating_mul(2).saturating_add(64)],
            )
        };
        let mut socket = icmp::Socket::new(buffer(), buffer());
        // Fails for a socket that is open already, which a new one is not.
        let _ = socket.bind(icmp::Endpoint::Ident(ident));
        let room = len.saturating_add(8);
        // The buffers above hold it.
        if let Ok(packet) = socket.send(room, to.into()) {
            match (to, engine.source_for(to)) {
                (IpAddr::V6(to), Some(IpAddr::V6(from))) => Icmpv6Repr::EchoRequest {
                    ident,
                    seq_no: sequence,
                    data: &data,
                }
                .emit(
                    &from,
                    &to,
                    &mut Icmpv6Packet::new_unchecked(packet),
                    &ChecksumCapabilities::default(),
                ),
                _ => Icmpv4Repr::EchoRequest {
                    ident,
                    seq_no: sequence,
                    data: &data,
                }
                .emit(
                    &mut Icmpv4Packet::new_unchecked(packet),
                    &ChecksumCapabilities::default(),
                ),
            }
        }
        let mut set = SocketSet::new(vec![]);
        let handle = set.add(socket);
        Ping {
            set,
            handle,
            ident,
            sequence,
        }
    }

    /// The answer, if it came.
    pub(crate) fn answer(&mut self) -> Option<Echo> {
        let (ident, sequence) = (self.ident, self.sequence);
        let socket: &mut icmp::Socket<'_> = self.set.get_mut(self.handle);
        while let Ok((bytes, from)) = socket.recv() {
            // Type, code, checksum, identifier, sequence number (RFC 792, RFC 4443 section 4.2).
            let is_reply = matches!(bytes.first(), Some(0 | 129));
            let ours = crate::classify::be16(bytes, 4) == Some(ident)
                && crate::classify::be16(bytes, 6) == Some(sequence);
            if is_reply && ours {
                return Some(Echo {
                    from: from.into(),
                    len: bytes.len().saturating_sub(8),
                });
            }
        }
        None
    }
}
