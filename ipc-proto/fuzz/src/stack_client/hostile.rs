//! A client that does anything that its own memory and its own channel let it do.

use crate::input::Input;
use core::sync::atomic::Ordering;
use ipc_proto::{
    channel::{Channel, SOCKET_CHANNEL},
    codec,
    fifo::{CONTROL_SIZE, End, StreamEnds, ends},
    socket::{Buffers, Family, Handle, Reply, Request, SocketOption},
};
use netstack::{SessionId, Stack, testing::Client};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const ARENA: usize = 16 * 1024;
/// Memory of sockets, of which the hostile client uses any for any socket.
const PLACES: usize = 4;

/// A hostile client's session.
pub(super) struct Hostile {
    pub(super) session: SessionId,
    client: Client,
    places: Vec<(Buffers, StreamEnds)>,
    handles: Vec<Handle>,
    /// Messages sent, which says where on the ring the last one lies.
    sent: usize,
}

fn address(input: &mut Input<'_>) -> IpAddr {
    match input.below(10) {
        0..=3 => Ipv4Addr::new(10, 0, 0, 2).into(),
        4 => Ipv4Addr::new(10, 0, 0, input.u8()).into(),
        5 => Ipv4Addr::UNSPECIFIED.into(),
        6 => Ipv6Addr::UNSPECIFIED.into(),
        7 => "fe80::ff:fe00:2".parse().expect("an address"),
        8 => Ipv4Addr::from(input.u32()).to_ipv6_mapped().into(),
        _ if input.flag() => Ipv4Addr::from(input.u32()).into(),
        _ => Ipv6Addr::from_bits(u128::from(input.u32()) << 96 | u128::from(input.u32())).into(),
    }
}

fn port(input: &mut Input<'_>) -> u16 {
    match input.below(8) {
        0..=2 => 7,
        3 => 80,
        4 => 81,
        5 => 0,
        6 => 6,
        _ => input.u16(),
    }
}

fn socket_address(input: &mut Input<'_>) -> SocketAddr {
    (address(input), port(input)).into()
}

fn number(input: &mut Input<'_>) -> u32 {
    match input.below(4) {
        0 => u32::MAX,
        1 => input.u32(),
        _ => input.u8().into(),
    }
}

impl Hostile {
    pub(super) fn open(stack: &mut Stack, badge: u64) -> Option<Hostile> {
        let mut client = Client::open_sized(stack, badge, ARENA).ok()?;
        let places = (0..PLACES).map(|_| client.buffers(10)).collect();
        Some(Hostile {
            session: client.session,
            client,
            places,
            handles: Vec::new(),
            sent: 0,
        })
    }

    /// Does one thing.
    pub(super) fn step(&mut self, input: &mut Input<'_>) {
        match input.below(16) {
            0..=5 => {
                let request = self.request(input);
                self.send(&request);
                if input.below(8) == 0 {
                    self.flip(input);
                }
                let _ = self.client.channel.flush();
            }
            6 => self.say(input),
            7 => self.scribble(input),
            8 => self.scribble_control(input),
            9 | 10 => self.write(input),
            11 => {
                let place = input.below(PLACES);
                let mut bytes = [0; 512];
                let _ = self.places[place].1.reader.read(&mut bytes);
            }
            12 => {
                let index = match input.below(4) {
                    0 => input.u16(),
                    _ => input.below(8) as u16,
                };
                self.client.channel.raise(index);
                let _ = self.client.channel.flush();
            }
            13 => {
                // Many at once, as fast as it can.
                let request = self.request(input);
                for _ in 0..input.u8() {
                    if !self.send(&request) {
                        break;
                    }
                }
                let _ = self.client.channel.flush();
            }
            _ => self.receive(),
        }
    }

    fn send(&mut self, request: &Request) -> bool {
        let sent = self.client.channel.send(request).is_ok();
        self.sent += usize::from(sent);
        sent
    }

    /// Takes answers, unless it has spoiled its own view of them.
    fn receive(&mut self) {
        while let Ok(Some(reply)) = self.client.channel.receive() {
            if let Reply::Opened { socket, .. } | Reply::Accepted { socket, .. } = reply {
                self.handles.push(socket);
            }
        }
        self.client.channel.take_events(&mut |_| {});
        let _ = self.client.channel.flush();
    }

    fn handle(&mut self, input: &mut Input<'_>) -> Handle {
        match input.below(8) {
            0 => Handle {
                index: input.u16(),
                generation: input.u16(),
            },
            1 => Handle {
                index: input.below(8) as u16,
                generation: input.below(4) as u16,
            },
            _ if !self.handles.is_empty() => {
                let from_last = input.below(self.handles.len().min(8));
                self.handles[self.handles.len() - 1 - from_last]
            }
            _ => Handle {
                index: 0,
                generation: 0,
            },
        }
    }

    fn buffers(&mut self, input: &mut Input<'_>) -> Buffers {
        if input.below(8) != 0 {
            let place = input.below(PLACES);
            let (buffers, stream) = &mut self.places[place];
            // As the protocol wants it: a new control block.
            let control = buffers.control as usize;
            let _ = self.client.memory.write(control, &[0; CONTROL_SIZE]);
            if let Ok(fresh) = ends(&self.client.memory, buffers, End::Client, 0) {
                *stream = fresh;
            }
            return *buffers;
        }
        let base = Channel::<Request, Reply>::bytes(SOCKET_CHANNEL) as u32;
        let offset = |input: &mut Input<'_>| match input.below(4) {
            0 => input.u32(),
            1 => u32::from(input.u8()) * 64,
            _ => base.wrapping_add(u32::from(input.u8()) * 64),
        };
        Buffers {
            control: offset(input),
            rx: offset(input),
            rx_log2: input.u8() % 32,
            tx: offset(input),
            tx_log2: input.u8() % 32,
        }
    }

    fn request(&mut self, input: &mut Input<'_>) -> Request {
        let id = input.below(16) as u32;
        match input.below(18) {
            0 | 1 => Request::TcpConnect {
                id,
                remote: socket_address(input),
                local_port: if input.flag() { 0 } else { port(input) },
                buffers: self.buffers(input),
            },
            2 | 3 => Request::TcpListen {
                id,
                local: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port(input)),
                backlog: input.u8().into(),
            },
            4 => Request::TcpListen {
                id,
                local: socket_address(input),
                backlog: input.u16(),
            },
            5 | 6 => Request::TcpAccept {
                id,
                listener: self.handle(input),
                buffers: self.buffers(input),
            },
            7 => Request::UdpBind {
                id,
                local: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port(input)),
                buffers: self.buffers(input),
            },
            8 => Request::UdpBind {
                id,
                local: socket_address(input),
                buffers: self.buffers(input),
            },
            9 => {
                let (on, millis) = (input.flag(), number(input));
                let option = match input.below(4) {
                    0 => SocketOption::NoDelay(on),
                    1 => SocketOption::KeepAlive(on.then_some(millis)),
                    2 => SocketOption::UserTimeout(on.then_some(millis)),
                    _ => SocketOption::HopLimit(millis as u8),
                };
                Request::SetOption {
                    id,
                    socket: self.handle(input),
                    option,
                }
            }
            10 => Request::Shutdown {
                id,
                socket: self.handle(input),
            },
            11 | 12 => Request::Close {
                id,
                socket: self.handle(input),
                abort: input.flag(),
            },
            13 => Request::Cancel {
                id,
                target: input.below(16) as u32,
            },
            14 => {
                let len = input.below(64);
                let name = String::from_utf8_lossy(input.bytes(len)).into_owned();
                Request::Resolve {
                    id,
                    name: name.as_str().try_into().unwrap_or_default(),
                    family: input.pick(&[Family::V4, Family::V6, Family::Any]),
                    timeout_ms: number(input),
                }
            }
            15 => Request::Ping {
                id,
                remote: address(input),
                sequence: input.u16(),
                len: input.u16() % 1500,
                timeout_ms: number(input),
            },
            16 => match input.below(3) {
                0 => Request::Interface { id },
                1 => Request::Counters { id },
                _ => Request::Ring {
                    id,
                    position: number(input),
                },
            },
            _ => Request::Inspect {
                id,
                position: number(input),
            },
        }
    }

    /// Where the slot of the message before the last `back` ones lies.
    fn slot(&self, back: usize) -> usize {
        let geometry = SOCKET_CHANNEL;
        let ring = geometry.slot_size * geometry.slots as usize;
        let start = geometry.bytes() - 2 * ring;
        let number = self.sent.wrapping_sub(1 + back) % geometry.slots as usize;
        start + number * geometry.slot_size
    }

    /// Changes a message that lies on the ring.
    fn flip(&mut self, input: &mut Input<'_>) {
        for _ in 0..=input.below(4) {
            let at = self.slot(0) + usize::from(input.u8());
            let mut byte = [0];
            let _ = self.client.memory.read(at, &mut byte);
            byte[0] ^= 1 << input.below(8);
            let _ = self.client.memory.write(at, &byte);
        }
    }

    /// Puts bytes on the ring that are a message, or not.
    fn say(&mut self, input: &mut Input<'_>) {
        // Something valid moves the index; what is in the slot is exchanged behind its back.
        self.send(&Request::Counters { id: 1 });
        let len = input.below(64);
        let bytes = input.bytes(len);
        let claimed = match input.below(8) {
            0 => input.u16(),
            _ => bytes.len() as u16,
        };
        let slot = self.slot(0);
        let _ = self.client.memory.write(slot, &claimed.to_le_bytes());
        let _ = self.client.memory.write(slot + 2, bytes);
        let _ = codec::decode::<Request>(bytes);
        let _ = self.client.channel.flush();
    }

    /// Writes any word of the memory.
    fn scribble(&mut self, input: &mut Input<'_>) {
        let words = self.client.memory.len() / 4;
        let at = match input.below(4) {
            // Indices and wake words.
            0 => input.pick(&[0, 4, 64, 68, 128, 192]),
            // Events.
            1 => 256 + usize::from(input.u8()) * 4,
            _ => usize::from(input.u16()) % words * 4,
        };
        let old = self.client.memory.load(at, Ordering::Relaxed);
        let value = match input.below(4) {
            0 => input.u32(),
            1 => u32::MAX,
            _ => old.unwrap_or(0).wrapping_add(input.u8() as i8 as u32),
        };
        let _ = self.client.memory.store(at, value, Ordering::Relaxed);
    }

    /// Writes an index of a socket's FIFOs.
    fn scribble_control(&mut self, input: &mut Input<'_>) {
        let place = input.below(PLACES);
        let at = self.places[place].0.control as usize + input.pick(&[0, 4, 8, 64, 68]);
        let old = self.client.memory.load(at, Ordering::Relaxed).unwrap_or(0);
        let value = match input.below(4) {
            0 => input.u32(),
            1 => old.wrapping_add(u32::from(input.u16())),
            _ => old.wrapping_add(input.u8() as i8 as u32),
        };
        let _ = self.client.memory.store(at, value, Ordering::Relaxed);
    }

    /// Writes bytes or a datagram to a FIFO, and says so.
    fn write(&mut self, input: &mut Input<'_>) {
        let place = input.below(PLACES);
        let len = usize::from(input.u8()) * 3;
        let writer = &mut self.places[place].1.writer;
        if input.flag() {
            let _ = writer.write(&[0x61; 768][..len]);
        } else {
            let _ = writer.write_record(socket_address(input), &[0x62; 768][..len]);
        }
        for index in 0..8 {
            self.client.channel.raise(index);
        }
        let _ = self.client.channel.flush();
    }
}
