//! What a frame turns out to be. Data only.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A TCP segment's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    /// Port of the sender.
    pub(crate) src_port: u16,
    /// Port of the receiver.
    pub(crate) dst_port: u16,
    /// Sequence number.
    pub(crate) seq: u32,
    /// Acknowledgment number.
    pub(crate) ack: u32,
    /// The flags of the 14th octet.
    pub(crate) flags: u8,
    /// The window, as it stands there.
    pub(crate) window: u16,
    /// Bytes of data.
    pub(crate) len: usize,
}

impl Segment {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const PSH: u8 = 8;
    const ACK: u8 = 16;

    /// SYN without ACK, RST or FIN: the start of a connection.
    pub(crate) fn is_opening(&self) -> bool {
        self.flags & (Self::SYN | Self::ACK | Self::RST | Self::FIN) == Self::SYN
    }

    /// SYN, with or without anything else.
    pub(crate) fn is_syn(&self) -> bool {
        self.flags & Self::SYN != 0
    }

    /// RST.
    pub(crate) fn is_reset(&self) -> bool {
        self.flags & Self::RST != 0
    }

    /// ACK without SYN or RST.
    pub(crate) fn is_ack(&self) -> bool {
        self.flags & (Self::ACK | Self::SYN | Self::RST) == Self::ACK
    }

    /// ACK and nothing else.
    pub(crate) fn is_only_ack(&self) -> bool {
        self.flags == Self::ACK
    }

    /// It neither opens, ends nor resets anything, and leaves room for an answer.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.flags & !Self::PSH == Self::ACK && self.window > 0
    }

    /// FIN.
    pub(crate) fn is_fin(&self) -> bool {
        self.flags & Self::FIN != 0
    }

    /// The sequence number behind it: its data, SYN and FIN counted.
    pub(crate) fn end(&self) -> u32 {
        let flags = u32::from(self.is_syn()).wrapping_add(self.is_fin().into());
        self.seq.wrapping_add(self.len as u32).wrapping_add(flags)
    }
}

/// A TCP segment of which an ICMP message tells that it did not arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quoted {
    /// From where it went.
    pub(crate) from: SocketAddr,
    /// To where.
    pub(crate) to: SocketAddr,
    /// Its sequence number.
    pub(crate) seq: u32,
    /// The host is there, but nobody is at the port.
    pub(crate) is_refused: bool,
}

/// Names the parts of a fragmented datagram (RFC 791 section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct FragmentKey {
    pub(super) src: Ipv4Addr,
    pub(super) dst: Ipv4Addr,
    pub(super) protocol: u8,
    pub(super) id: u16,
}

/// A part of a fragmented datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Part<'a> {
    /// Of which datagram.
    pub(crate) key: FragmentKey,
    /// Where in it.
    pub(crate) offset: usize,
    /// Whether another one lies behind it.
    pub(crate) more: bool,
    /// What it carries: not nothing, and not beyond the end of the largest datagram.
    pub(crate) bytes: &'a [u8],
}

impl Part<'_> {
    /// Where it ends.
    pub(crate) fn end(&self) -> usize {
        self.offset.saturating_add(self.bytes.len())
    }
}

/// What an IP packet carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Payload<'a> {
    /// TCP.
    Tcp(Segment),
    /// UDP.
    Udp {
        /// Port of the sender.
        src_port: u16,
        /// Port of the receiver.
        dst_port: u16,
    },
    /// ICMP echo request.
    EchoRequest,
    /// ICMP echo reply.
    EchoReply {
        /// Identifier.
        ident: u16,
    },
    /// ICMP destination unreachable about an echo request of this identifier.
    EchoUnreachable {
        /// Identifier.
        ident: u16,
        /// To whom it went.
        to: IpAddr,
    },
    /// ICMP destination unreachable about a TCP segment of this host.
    TcpUnreachable(Quoted),
    /// Router advertisement, from the ICMP header on.
    RouterAdvertisement(&'a [u8]),
    /// Neighbour advertisement (RFC 4861 section 4.4), from the ICMP header on.
    NeighborAdvertisement {
        /// The message.
        message: &'a [u8],
        /// The address that it is about.
        target: Ipv6Addr,
        /// The hardware address that it tells.
        mac: Option<[u8; 6]>,
    },
    /// Neighbour solicitation (RFC 4861 section 4.3), from the ICMP header on.
    NeighborSolicitation {
        /// The message.
        message: &'a [u8],
        /// The address that is asked for.
        target: Ipv6Addr,
        /// The sender's hardware address, if it tells it.
        mac: Option<[u8; 6]>,
    },
    /// A fragment that is not the first.
    LaterFragment,
    /// Anything else.
    Other,
}

/// An IP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Packet<'a> {
    /// Sender.
    pub(crate) src: IpAddr,
    /// Receiver.
    pub(crate) dst: IpAddr,
    /// Time to live or hop limit.
    pub(crate) hop_limit: u8,
    /// Set if it is a part of a datagram.
    pub(crate) part: Option<Part<'a>>,
    /// What it carries (of a first fragment as of a whole).
    pub(crate) payload: Payload<'a>,
    /// The bytes of its IP header, without extension headers.
    pub(crate) header: &'a [u8],
    /// The bytes behind all IP headers.
    pub(crate) body: &'a [u8],
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Arp {
    /// Whether it asks; else it answers.
    pub(crate) is_request: bool,
    /// Protocol address of the sender; unspecified in a probe (RFC 5227 section 2.1.1).
    pub(crate) sender: Ipv4Addr,
    /// Hardware address of the sender.
    pub(crate) mac: [u8; 6],
    /// Protocol address that it is about.
    pub(crate) target: Ipv4Addr,
}

/// A frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Frame<'a> {
    /// ARP (RFC 826).
    Arp(Arp),
    /// IP.
    Ip(Packet<'a>),
    /// Of a kind that this host does not speak.
    Foreign,
    /// Lies about its own length, or comes from an address that can't be a sender.
    Malformed,
}
