//! A client of the stack that asks for anything at random, writes random bytes over its own memory, and dies in the middle of it.

use ipc_proto::{
    policy::Policy,
    socket::{Family, Handle, Reply, Request},
};
use netstack::{
    Stack,
    testing::{Client, Socket},
};
use std::net::{Ipv4Addr, SocketAddr};
use system_tests::wire::attack::Random;

/// Badges of clients that may do everything. What they have together is one account each.
pub(crate) const BADGES: [u64; 2] = [100, 101];
/// Bytes of session memory behind the channel.
const ARENA: usize = 512 << 10;
/// Requests that one makes at most.
const REQUESTS: u64 = 400;

/// Such a client.
pub(crate) struct Hostile {
    pub(crate) client: Client,
    left: u64,
    handles: Vec<Handle>,
    sockets: Vec<Socket>,
}

impl Hostile {
    /// Opens a session, which may be that of a narrower capability made for it.
    pub(crate) fn open(stack: &mut Stack, random: &mut Random) -> Option<Hostile> {
        let mut badge = random.pick(&BADGES);
        if random.once_in(2) {
            let narrow = Policy {
                max_buffer_bytes: 256 << 10,
                packets_per_second: 100,
                ..Policy::everything()
            };
            badge = stack.derive(badge, &narrow).ok()?;
        }
        Some(Hostile {
            client: Client::open_sized(stack, badge, ARENA).ok()?,
            left: random.below(REQUESTS),
            handles: Vec::new(),
            sockets: Vec::new(),
        })
    }

    /// Does something. False: it dies.
    pub(crate) fn step(&mut self, random: &mut Random) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        match random.below(40) {
            0 => {
                let at = random.below(self.client.memory.len() as u64 - 8) as usize;
                let len = random.below(8);
                let _ = self.client.memory.write(at, &random.bytes(len));
            }
            1..=9 => {
                while let Ok(Some(reply)) = self.client.channel.receive() {
                    if let Reply::Opened { socket, .. } | Reply::Accepted { socket, .. } = reply {
                        self.handles.push(socket);
                    }
                }
            }
            10..=19 => {
                let bytes = random.bytes(3000);
                for (at, socket) in self.sockets.iter_mut().enumerate() {
                    let _ = socket.writer.write(&bytes);
                    let to = SocketAddr::from(([10, 77, 0, 1], 7));
                    let _ = socket.writer.write_record(to, &bytes[..500]);
                    self.client.channel.raise(at as u16);
                }
            }
            _ => {
                let request = self.request(random);
                let _ = self.client.channel.send(&request);
            }
        }
        let _ = self.client.channel.flush();
        true
    }

    fn request(&mut self, random: &mut Random) -> Request {
        let id = self.client.id();
        let socket = match random.below(4) {
            0 => Handle {
                index: random.below(8) as u16,
                generation: 0,
            },
            _ if !self.handles.is_empty() => random.pick(&self.handles),
            _ => Handle {
                index: 0,
                generation: 0,
            },
        };
        let remote = SocketAddr::from(match random.below(4) {
            0 => ([10, 77, 0, 99], 7),
            1 => (random_address(random), 80),
            _ => ([10, 77, 0, 1], random.pick(&[7, 81])),
        });
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        if !self.client.has_buffers(12) {
            self.client.forget_buffers();
            self.sockets.clear();
        }
        let (buffers, ends) = self.client.buffers(12);
        let timeout_ms = random.below(8000) as u32;
        match random.below(12) {
            0 => Request::TcpListen {
                id,
                local: any(random.pick(&[0, 20_001])),
                backlog: 8,
            },
            1 | 2 => Request::TcpAccept {
                id,
                listener: socket,
                buffers,
            },
            3..=5 => {
                self.sockets.push(Socket::new(socket, ends));
                Request::TcpConnect {
                    id,
                    remote,
                    local_port: 0,
                    buffers,
                }
            }
            6 => {
                self.sockets.push(Socket::new(socket, ends));
                Request::UdpBind {
                    id,
                    local: any(0),
                    buffers,
                }
            }
            7 => Request::Resolve {
                id,
                name: random.pick(&["a.lab", "bc.lab"]).try_into().unwrap(),
                family: Family::Any,
                timeout_ms,
            },
            8 => Request::Ping {
                id,
                remote: remote.ip(),
                sequence: 1,
                len: 100,
                timeout_ms,
            },
            9 => Request::Shutdown { id, socket },
            _ => Request::Close {
                id,
                socket,
                abort: random.once_in(2),
            },
        }
    }
}

fn random_address(random: &mut Random) -> [u8; 4] {
    [10, 77, 0, 3 + random.below(240) as u8]
}
