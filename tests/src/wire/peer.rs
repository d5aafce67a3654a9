//! The well-behaved peer: a real TCP/IP stack (smoltcp) on this side of the cable, which moves data with the guest's services
//! without a pause and compares every byte. Touches nothing but the frames in its queues.

use super::{
    GUEST_MAC, PEER_MAC,
    flows::{Flow, Kind},
};
use crate::lab::{GUEST, HOST};
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::{icmp, tcp, udp},
    time::Instant,
    wire::{EthernetAddress, IpAddress, IpCidr, Ipv6Address},
};
use std::collections::VecDeque;

/// Connections that do one transfer after the other.
const TRANSFERS: &[Kind] = &[Kind::Echo, Kind::Echo6, Kind::Http, Kind::Echo];
/// Ports that programs of the guest may connect to, with an echo behind.
const SERVED: u16 = 7;
/// Connections served there at once.
const SERVERS: usize = 4;
/// Milliseconds between two datagrams to the guest's UDP echo.
const UDP_INTERVAL: i64 = 100;
/// Buffers of a connection.
const BUFFER: usize = 64 << 10;

/// Frames in memory.
#[derive(Default)]
pub struct Queues {
    /// On their way to the peer.
    pub inward: VecDeque<Vec<u8>>,
    /// On their way to the guest.
    pub outward: VecDeque<Vec<u8>>,
}

/// A frame that came.
pub struct Came(Vec<u8>);
/// A frame to be sent.
pub struct Goes<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Came {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Goes<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl Device for Queues {
    type RxToken<'a> = Came;
    type TxToken<'a> = Goes<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Came, Goes<'_>)> {
        let frame = self.inward.pop_front()?;
        Some((Came(frame), Goes(&mut self.outward)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Goes<'_>> {
        // The cable takes some, then the stack has to wait.
        (self.outward.len() < 256).then_some(Goes(&mut self.outward))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// What the peer has done.
#[derive(Clone, Default, Debug)]
pub struct Moved {
    /// Transfers that finished whole.
    pub transfers: u64,
    /// Bytes that came back or were fetched, all of them compared.
    pub bytes: u64,
    /// Datagrams sent to the echo, and those that came back as they were.
    pub datagrams: (u64, u64),
    /// Connections that the guest's programs opened to the peer.
    pub served: u64,
    /// What went wrong.
    pub failures: Vec<String>,
}

/// The peer.
pub struct Peer {
    /// Its end of the cable.
    pub queues: Queues,
    interface: Interface,
    sockets: SocketSet<'static>,
    flows: Vec<(SocketHandle, Flow)>,
    servers: Vec<SocketHandle>,
    udp: SocketHandle,
    icmp: SocketHandle,
    next_udp: i64,
    next_port: u16,
    next_seed: u64,
    /// New transfers are begun.
    pub is_busy: bool,
    /// What it has done.
    pub moved: Moved,
}

fn tcp_socket() -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
    tcp::Socket::new(buffer(), buffer())
}

impl Peer {
    /// A peer that is still.
    pub fn new(seed: u64) -> Peer {
        let mut queues = Queues::default();
        let mut config = Config::new(EthernetAddress(PEER_MAC).into());
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut queues, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            let [v4, v6] = [(peer_address(), 24), (IpAddress::Ipv6(peer_address6()), 64)];
            for (address, prefix) in [v4, v6] {
                // There is room for two.
                let _ = addresses.push(IpCidr::new(address, prefix));
            }
        });
        let mut sockets = SocketSet::new(Vec::new());
        let buffer = || {
            let metadata = vec![udp::PacketMetadata::EMPTY; 16];
            udp::PacketBuffer::new(metadata, vec![0; 16 << 10])
        };
        let udp = sockets.add(udp::Socket::new(buffer(), buffer()));
        // Its address is the interface's, its port is free.
        let _ = sockets.get_mut::<udp::Socket<'_>>(udp).bind(4007);
        let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 512]);
        let icmp = sockets.add(icmp::Socket::new(buffer(), buffer()));
        let servers = (0..SERVERS).map(|_| sockets.add(tcp_socket())).collect();
        Peer {
            queues,
            interface,
            sockets,
            flows: Vec::new(),
            servers,
            udp,
            icmp,
            next_udp: 0,
            next_port: 30_000,
            next_seed: seed,
            is_busy: false,
            moved: Moved::default(),
        }
    }

    /// Whether all transfers are over.
    pub fn is_still(&self) -> bool {
        self.flows.is_empty()
    }

    /// Opens a connection for one more transfer.
    pub fn begin(&mut self, kind: Kind) {
        let handle = self.sockets.add(tcp_socket());
        self.next_port = if self.next_port >= 60_000 {
            30_000
        } else {
            self.next_port + 1
        };
        self.next_seed += 1;
        let guest = match kind {
            Kind::Echo6 => IpAddress::Ipv6(super::frames::link_local(GUEST_MAC)),
            _ => guest_address(),
        };
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        let to = (guest, kind.port());
        if let Err(error) = socket.connect(self.interface.context(), to, self.next_port) {
            self.moved.failures.push(format!("{kind:?}: {error}"));
        }
        self.flows
            .push((handle, Flow::new(kind, self.next_port, self.next_seed)));
    }

    /// Does all that can be done now.
    pub fn turn(&mut self, millis: i64) {
        let now = Instant::from_millis(millis);
        self.interface
            .poll(now, &mut self.queues, &mut self.sockets);
        let mut ended = Vec::new();
        for (at, (handle, flow)) in self.flows.iter_mut().enumerate() {
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(*handle);
            let bytes = flow.checked;
            let verdict = flow.turn(socket, millis, !self.is_busy);
            self.moved.bytes += flow.checked - bytes;
            match verdict {
                None => continue,
                Some(Ok(())) => self.moved.transfers += 1,
                Some(Err(what)) => {
                    socket.abort();
                    self.moved.failures.push(what);
                }
            }
            ended.push(at);
        }
        for at in ended.into_iter().rev() {
            let (handle, _) = self.flows.swap_remove(at);
            self.sockets.remove(handle);
        }
        if self.is_busy {
            for kind in TRANSFERS.iter().chain(&[Kind::Long]) {
                let wanted = TRANSFERS
                    .iter()
                    .filter(|other| *other == kind)
                    .count()
                    .max(1);
                let there = self
                    .flows
                    .iter()
                    .filter(|(_, flow)| flow.kind == *kind)
                    .count();
                if there < wanted {
                    self.begin(*kind);
                }
            }
        }
        self.serve();
        self.datagrams(millis);
        self.interface
            .poll(now, &mut self.queues, &mut self.sockets);
    }

    /// The guest's programs may talk to an echo here.
    fn serve(&mut self) {
        for handle in &self.servers {
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(*handle);
            if !socket.is_open() {
                // The port is not zero and the socket is closed.
                let _ = socket.listen(SERVED);
                continue;
            }
            let mut bytes = [0; 4096];
            if socket.can_recv()
                && socket.can_send()
                && let Ok(len) = socket.peek_slice(&mut bytes)
                && let Ok(len) = socket.send_slice(&bytes[..len])
            {
                let _ = socket.recv_slice(&mut bytes[..len]);
            }
            if socket.state() == tcp::State::CloseWait && !socket.can_recv() {
                self.moved.served += 1;
                socket.close();
            }
        }
    }

    fn datagrams(&mut self, millis: i64) {
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.udp);
        if self.is_busy && millis >= self.next_udp {
            self.next_udp = millis + UDP_INTERVAL;
            let number = self.moved.datagrams.0;
            if socket
                .send_slice(&datagram(number), (guest_address(), 7))
                .is_ok()
            {
                self.moved.datagrams.0 += 1;
            }
        }
        let mut bytes = [0; 2048];
        while let Ok((len, from)) = socket.recv_slice(&mut bytes) {
            let number = bytes
                .first_chunk()
                .map_or(u64::MAX, |number| u64::from_be_bytes(*number));
            if from.endpoint.port == 7 && bytes[..len] == datagram(number) {
                self.moved.datagrams.1 += 1;
            } else {
                self.moved
                    .failures
                    .push(format!("{len} other bytes in a datagram from {from}"));
            }
        }
        let socket = self.sockets.get_mut::<icmp::Socket<'_>>(self.icmp);
        while socket.recv().is_ok() {}
    }
}

/// A datagram for the echo: its number, then as many bytes as the number says.
fn datagram(number: u64) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((0..number % 1400).map(|at| (number + at) as u8));
    bytes
}

fn address(text: &str) -> IpAddress {
    text.parse().unwrap_or(IpAddress::v4(0, 0, 0, 0))
}

/// The guest's address.
pub fn guest_address() -> IpAddress {
    address(GUEST)
}

fn peer_address() -> IpAddress {
    address(HOST)
}

/// The peer's IPv6 address.
pub fn peer_address6() -> Ipv6Address {
    super::frames::link_local(PEER_MAC)
}
