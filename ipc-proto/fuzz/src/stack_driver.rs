//! The stack server with a driver that does anything, and with any frames: right ones, right ones with some bytes changed,
//! answers to what the stack has sent, noise; messages, indices and frame buffers of its own choice; at any time a new
//! driver, or none.
//!
//! Behind the stack are a connection, a listener, a UDP socket, lookups, echo requests, and a DHCP client in place of a static
//! address. Nothing may panic, every burst of work ends, every table of the stack stays sound and each buffer has one owner.
//! With a driver that behaves a new connection works, and the old one too if no frame was forged.

mod driver;

use crate::{
    frames::{answer, change, complaint, make, repair},
    input::Input,
    pair::Pair,
};
use driver::Driver;
use ipc_proto::{
    frame::{Checksum, Run, ToStack},
    policy::Policy,
    socket::{Family, Reply, Request},
};
use netstack::{
    Addressing, Config, Instant,
    testing::{Client, Network},
};
use std::{
    collections::VecDeque,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// What happens in one input, at most.
const MAX_STEPS: usize = 100;
/// Frames that are kept to be used again.
const KEPT: usize = 16;
/// A connection lives through silence of less than this.
const SILENCE: Duration = Duration::from_secs(60);

fn config(last: u8, dhcp: bool) -> Config {
    let address = Addressing::Static {
        address: Ipv4Addr::new(10, 0, 0, last),
        bits: 24,
        router: Some(Ipv4Addr::new(10, 0, 0, 2)),
    };
    Config {
        ipv4: if dhcp { Addressing::Dhcp } else { address },
        name_servers: vec![Ipv4Addr::new(10, 0, 0, 2).into()],
        tcp_buffer: 4096,
        max_memory: 512 * 1024,
        ..Config::default()
    }
}

/// The sockets of the stack that the frames are for.
fn sockets(net: &mut Network) -> Client {
    let policy = Policy {
        max_sockets: 16,
        ..Policy::everything()
    };
    let stack = &mut net.hosts[0].stack;
    let mut client = Client::open(stack, 3, policy).expect("a session");
    let any = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let (listen, bind) = (client.id(), client.id());
    client.send(&Request::TcpListen {
        id: listen,
        local: any(80),
        backlog: 3,
    });
    let (buffers, _) = client.buffers(10);
    client.send(&Request::UdpBind {
        id: bind,
        local: any(5000),
        buffers,
    });
    net.settle();
    if let Some(Reply::Opened { socket, .. }) = client.answer(listen) {
        for _ in 0..2 {
            let id = client.id();
            let (buffers, _) = client.buffers(10);
            client.send(&Request::TcpAccept {
                id,
                listener: socket,
                buffers,
            });
        }
    }
    client
}

struct World {
    net: Network,
    driver: Option<Driver>,
    client: Client,
    /// What the stack has sent, newest last.
    sent: VecDeque<Vec<u8>>,
    /// What the other host has sent.
    heard: VecDeque<Vec<u8>>,
    /// Something was done that a wire and a driver would not do to the connection.
    forged: bool,
}

fn keep(list: &mut VecDeque<Vec<u8>>, frame: Vec<u8>) {
    if list.len() >= KEPT {
        list.pop_front();
    }
    list.push_back(frame);
}

/// Plays an input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let dhcp = input.u8() & 3 == 3;
    let mut net = Network::new(1);
    let [receive, send] = &mut net.buffers;
    (receive.small, send.small) = (48, 80);
    net.patience = 1000;
    net.add(config(1, dhcp));
    net.add(config(2, false));
    net.run(Duration::from_millis(1));
    let mut pair = (!dhcp).then(|| Pair::new(&mut net, 6));
    let client = sockets(&mut net);
    net.run(Duration::from_millis(500));
    net.hosts[0].nic = None;
    let now = net.now;
    let driver = Driver::attach(&mut net.hosts[0].stack, None, now);
    let mut world = World {
        net,
        driver,
        client,
        sent: VecDeque::new(),
        heard: VecDeque::new(),
        forged: false,
    };
    world.net.log = Some(Vec::new());
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input, pair.as_mut());
        world.settle();
    }
    let (mut net, forged) = (world.net, world.forged);
    net.log = None;
    net.set_driver(0, true);
    let silent = net.now.since(now) >= SILENCE;
    net.hosts[0].stack.close_session(world.client.session);
    if let Some(pair) = &mut pair {
        if !forged && !silent {
            net.run(Duration::from_secs(20));
            pair.transfer(&mut net, 300);
        }
        // What was believed of neighbours is over by then.
        net.run(Duration::from_secs(70));
        Pair::new(&mut net, 16).transfer(&mut net, 300);
    }
    net.run(Duration::from_secs(1));
    assert!(net.hosts[0].stack.has_driver(), "a good driver was blamed");
}

impl World {
    /// Lets the stack work, looks at it, and keeps what was sent.
    fn settle(&mut self) {
        self.net.settle();
        self.net.hosts[0].stack.check_invariants();
        if let Some(driver) = &mut self.driver {
            for frame in driver.take() {
                keep(&mut self.sent, frame);
            }
        }
        for (from, frame) in self.net.log.iter_mut().flat_map(|log| log.drain(..)) {
            if from == 1 {
                keep(&mut self.heard, frame);
            }
        }
    }

    fn step(&mut self, input: &mut Input<'_>, pair: Option<&mut Pair>) {
        let what = input.u8();
        match what % 20 {
            0..=4 => {
                let mut frame = make(input);
                self.forge(&mut frame, input);
            }
            5..=7 => {
                if let Some(sent) = pick(&self.sent, input)
                    && let Some(mut frame) = answer(&sent, input)
                {
                    self.forge(&mut frame, input);
                }
            }
            8 => {
                if let Some(sent) = pick(&self.sent, input)
                    && let Some(mut frame) = complaint(&sent, input)
                {
                    self.forge(&mut frame, input);
                }
            }
            9 => {
                // As it came, perhaps again or late.
                if let Some(frame) = pick(&self.heard, input) {
                    self.put(&frame);
                }
            }
            10 => {
                if let Some(mut frame) = pick(&self.heard, input) {
                    change(&mut frame, input);
                    self.forge(&mut frame, input);
                }
            }
            11 | 12 => self.exchange(),
            13 => {
                let time = input.pick(&[1, 20, 500, 1000, 3000, 10_000, 40_000]);
                self.net.run(Duration::from_millis(time));
            }
            14 => self.ask(input),
            15 => {
                if let Some(pair) = pair {
                    pair.write(usize::from(input.u8()));
                }
            }
            16 => self.lie(input),
            17 => self.spoil(input),
            18 => {
                if let Some(driver) = &mut self.driver {
                    driver.complete(input.u8().into());
                }
            }
            _ => self.exchange_driver(input),
        }
    }

    fn now(&self) -> Instant {
        self.net.now
    }

    /// Delivers a frame that is made up.
    fn forge(&mut self, frame: &mut Vec<u8>, input: &mut Input<'_>) {
        if input.below(3) == 0 {
            change(frame, input);
        }
        if input.below(16) != 0 {
            repair(frame);
        }
        self.forged = true;
        match &mut self.driver {
            Some(driver) if input.below(8) == 0 => driver.put_joined(frame),
            _ => self.put(frame),
        }
    }

    fn put(&mut self, frame: &[u8]) {
        if let Some(driver) = &mut self.driver {
            driver.put(frame);
        }
    }

    /// Wire and driver work for a moment as they should.
    fn exchange(&mut self) {
        for _ in 0..4 {
            self.settle();
            let Some(driver) = &mut self.driver else {
                return;
            };
            driver.complete(usize::MAX);
            for frame in std::mem::take(&mut driver.outgoing) {
                self.net.transmit(0, &frame);
            }
            self.net.run(Duration::from_micros(200));
            let log = self.net.log.iter_mut().flat_map(|log| log.drain(..));
            let heard: Vec<_> = log.filter(|(from, _)| *from == 1).collect();
            for (_, frame) in heard {
                self.put(&frame);
                keep(&mut self.heard, frame);
            }
        }
    }

    /// The client asks for something that needs the network.
    fn ask(&mut self, input: &mut Input<'_>) {
        self.client.receive();
        let id = self.client.id();
        let request = match input.below(3) {
            0 => Request::Resolve {
                id,
                name: "a.example".try_into().unwrap_or_default(),
                family: input.pick(&[Family::V4, Family::V6, Family::Any]),
                timeout_ms: 5000,
            },
            1 => Request::Ping {
                id,
                remote: Ipv4Addr::new(10, 0, 0, 2).into(),
                sequence: 1,
                len: input.u8().into(),
                timeout_ms: 3000,
            },
            _ => {
                self.client.forget_buffers();
                let (buffers, _) = self.client.buffers(10);
                Request::TcpConnect {
                    id,
                    remote: (Ipv4Addr::new(10, 0, 0, 2), 7).into(),
                    local_port: 0,
                    buffers,
                }
            }
        };
        let _ = self.client.channel.send(&request);
        let _ = self.client.channel.flush();
    }

    /// The driver says what is not so.
    fn lie(&mut self, input: &mut Input<'_>) {
        let Some(driver) = &mut self.driver else {
            return;
        };
        let buffer = driver.any_buffer(input);
        let message = match input.below(4) {
            0 => ToStack::Link { up: input.flag() },
            1 => ToStack::Transmitted {
                buffers: Run {
                    first: buffer,
                    count: input.pick(&[1, 0, 2, 3, 64, 65, 512, u16::MAX]),
                },
            },
            _ => ToStack::Received {
                buffer,
                len: match input.below(8) {
                    0 => input.u32(),
                    1 => 65_536 + u32::from(input.u8()),
                    2 | 3 => input.u16().into(),
                    _ => input.u8().into(),
                },
                checksum: input.pick(&[Checksum::Unknown, Checksum::Valid, Checksum::Partial]),
            },
        };
        self.forged = true;
        for _ in 0..=input.u8() % 3 {
            driver.tell(&message);
        }
    }

    /// The driver writes to what it shares.
    fn spoil(&mut self, input: &mut Input<'_>) {
        if let Some(driver) = &mut self.driver {
            driver.scribble(input);
            self.forged = true;
        }
    }

    /// The driver dies, or another comes.
    fn exchange_driver(&mut self, input: &mut Input<'_>) {
        let now = self.now();
        let stack = &mut self.net.hosts[0].stack;
        match input.below(4) {
            0 => {
                stack.detach();
                self.driver = None;
            }
            1 | 2 => self.driver = Driver::attach(stack, None, now),
            _ => {
                self.driver = Driver::attach(stack, Some(input), now);
                self.forged = true;
            }
        }
    }
}

/// One of the frames, more likely a late one.
fn pick(list: &VecDeque<Vec<u8>>, input: &mut Input<'_>) -> Option<Vec<u8>> {
    let back = input.below(list.len().clamp(1, 8));
    list.get(list.len().checked_sub(1 + back)?).cloned()
}
