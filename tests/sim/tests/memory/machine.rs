//! The stack of one machine with the real services on it, a wire with the peer and the attacker of the system tests, and hostile
//! clients. All under virtual time.

use crate::hostile::{BADGES, Hostile};
use ipc_proto::{hello::Hello, policy::Policy, shm::Shm, system};
use libnet_client::{Config as NetConfig, Net, OpenError, Opened, System, TcpListener, Wake};
use netstack::{
    Addressing, Config, Instant, SessionId, Stack,
    testing::{Bell, Nic},
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};
use system_tests::wire::{
    GUEST_MAC, RATE,
    attack::{Attacker, Random},
    peer::Peer,
    shadow,
};

/// What the stack server of the image has: half of its budget.
const MEMORY: usize = 24 << 20;
/// Badges of the services and of the web server.
const SERVICES: u64 = 1;
const WEB: u64 = 2;
/// Hostile clients at once.
const HOSTILE: usize = 6;
/// Bytes of a frame.
const FRAME: std::ops::RangeInclusive<usize> = 14..=1514;
/// Milliseconds in which stack and peer find each other.
const ACQUAINTANCE: u64 = 200;
/// Milliseconds of one step of the world, in a storm and in the quiet behind it.
const STEP: u64 = 2;
const QUIET_STEP: u64 = 50;

type Clock = Rc<Cell<u64>>;

/// A program's access to the stack.
struct Port {
    stack: Rc<RefCell<Stack>>,
    clock: Clock,
    badge: u64,
    session: Option<SessionId>,
}

impl System for Port {
    fn now(&self) -> u64 {
        self.clock.get()
    }

    fn open(&mut self, len: usize) -> Result<Opened, OpenError> {
        assert!(self.session.is_none(), "the stack has ended a session");
        let memory = Shm::heap(len);
        let bell = Box::new(Bell::default());
        let mut stack = self.stack.borrow_mut();
        let (session, max_sockets) = stack
            .open(self.badge, &Hello::SOCKET, memory.clone(), bell)
            .map_err(OpenError::Refused)?;
        self.session = Some(session);
        Ok(Opened {
            memory,
            max_sockets,
        })
    }

    fn ring(&mut self) {}

    fn wait(&mut self, _deadline: u64) -> Wake {
        Wake {
            doorbell: true,
            ..Wake::default()
        }
    }
}

/// Init, which says nothing.
struct Init;

impl services::Init for Init {
    fn ask(&self, _: &system::Request) -> Option<system::Reply> {
        None
    }
}

/// Answers every request with the megabyte that the peer expects; the attacker never asks for anything else.
async fn web(net: Net) -> libnet_client::Result<()> {
    let listener = TcpListener::bind_async(&net, "0.0.0.0:80").await?;
    loop {
        let (stream, _) = listener.accept_async().await?;
        let serving = net.clone();
        net.spawn(async move {
            let mut request = [0; 256];
            let asked = stream.read_async(&mut request);
            if !matches!(
                serving.timeout(Duration::from_secs(20), asked).await,
                Ok(Ok(1..))
            ) {
                return;
            }
            let body: Vec<u8> = (0..1 << 20).map(|at| (at % 251) as u8).collect();
            let answer = [
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
                &body,
            ]
            .concat();
            let _ = serving
                .timeout(Duration::from_secs(20), stream.write_all_async(&answer))
                .await;
        });
    }
}

/// What has happened.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Happened {
    /// Frames of the attacker.
    pub(crate) frames: u64,
    /// Hostile sessions.
    pub(crate) sessions: u64,
}

/// The world.
pub(crate) struct Machine {
    pub(crate) stack: Rc<RefCell<Stack>>,
    pub(crate) peer: Peer,
    pub(crate) attacker: Attacker,
    pub(crate) happened: Happened,
    nic: Nic,
    clock: Clock,
    programs: [Net; 2],
    hostile: Vec<Hostile>,
    random: Random,
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Machine {
        let clock = Rc::new(Cell::new(1_000_000));
        let now = Instant::from_nanos(clock.get());
        let config = Config {
            ipv4: Addressing::Static {
                address: [10, 77, 0, 2].into(),
                bits: 24,
                router: Some([10, 77, 0, 1].into()),
            },
            name_servers: vec![[10, 77, 0, 1].into()],
            max_memory: MEMORY,
            ..Config::default()
        };
        let mut stack = Stack::new(config, [7; 32], now);
        let hostile = Policy {
            max_sockets: 64,
            max_buffer_bytes: 4 << 20,
            ..Policy::everything()
        };
        for (badge, policy) in [
            (SERVICES, Policy::everything()),
            (WEB, Policy::everything()),
            (BADGES[0], hostile.clone()),
            (BADGES[1], hostile),
        ] {
            stack.set_policy(badge, policy);
        }
        let nic = Nic::attach(&mut stack, GUEST_MAC, now);
        let stack = Rc::new(RefCell::new(stack));
        let program = |badge, config| {
            let port = Port {
                stack: Rc::clone(&stack),
                clock: Rc::clone(&clock),
                badge,
                session: None,
            };
            Net::new(port, config)
        };
        let serving = program(SERVICES, services::CONFIG);
        let net = serving.clone();
        serving.spawn(async move { services::run(&net, Rc::new(Init)).await });
        let config = NetConfig {
            arena: 10 << 20,
            ..NetConfig::default()
        };
        let asked = program(WEB, config);
        asked.spawn(web(asked.clone()));
        Machine {
            stack,
            peer: Peer::new(seed),
            attacker: Attacker::new(seed),
            happened: Happened::default(),
            nic,
            clock,
            programs: [serving, asked],
            hostile: Vec::new(),
            random: Random::new(seed),
        }
    }

    fn millis(&self) -> u64 {
        self.clock.get() / 1_000_000
    }

    /// Attacks for so many seconds.
    pub(crate) fn storm(&mut self, seconds: u64) {
        self.peer.is_busy = true;
        // The two know each other before anybody lies about where the peer is: who comes first is believed.
        let start = self.millis() + ACQUAINTANCE;
        while self.millis() < start {
            self.step(STEP, 0);
        }
        self.attacker.is_attacking = true;
        let end = start + seconds * 1000;
        while self.millis() < end {
            self.clients();
            self.step(STEP, (RATE * STEP / 1000) as usize);
        }
    }

    /// Ends all that was begun, and waits until nothing of it is remembered.
    pub(crate) fn quiet(&mut self, seconds: u64) {
        self.peer.is_busy = false;
        self.attacker.is_attacking = false;
        for hostile in self.hostile.drain(..) {
            let mut stack = self.stack.borrow_mut();
            stack.close_session(hostile.client.session);
        }
        for badge in BADGES {
            self.stack.borrow_mut().revoke_derived(badge);
        }
        let end = self.millis() + seconds * 1000;
        while self.millis() < end {
            self.step(QUIET_STEP, 0);
        }
        assert!(self.peer.is_still(), "some transfers do not end");
    }

    /// Hostile clients come, do something, and go.
    fn clients(&mut self) {
        let mut stack = self.stack.borrow_mut();
        if self.hostile.len() < HOSTILE
            && let Some(hostile) = Hostile::open(&mut stack, &mut self.random)
        {
            self.happened.sessions += 1;
            self.hostile.push(hostile);
        }
        if self.random.once_in(500) {
            stack.revoke_derived(self.random.pick(&BADGES));
        }
        self.hostile.retain_mut(|hostile| {
            let lives = hostile.step(&mut self.random);
            if !lives {
                stack.close_session(hostile.client.session);
            }
            lives
        });
    }

    /// Lets some milliseconds pass, in which the attacker sends so many frames.
    fn step(&mut self, millis: u64, frames: usize) {
        self.clock.set(self.clock.get() + millis * 1_000_000);
        let millis = self.millis();
        self.peer.turn(millis as i64);
        while let Some(frame) = self.peer.queues.outward.pop_front() {
            if let Some(segment) = shadow::read(&frame) {
                self.attacker.shadow.from_peer(&segment);
            }
            self.nic.put(&frame);
        }
        self.attacker.turn(millis, frames);
        for frame in self.attacker.outward.drain(..) {
            // A driver drops what is no frame.
            if FRAME.contains(&frame.len()) {
                self.happened.frames += u64::from(self.nic.put(&frame));
            }
        }
        let now = Instant::from_nanos(self.clock.get());
        let mut stack = self.stack.borrow_mut();
        while stack.poll(now).work_left {}
        assert!(stack.has_driver(), "the driver was blamed");
        for ended in stack.take_ended() {
            self.hostile
                .retain(|hostile| hostile.client.session != ended);
        }
        drop(stack);
        for program in &self.programs {
            let _ = program.step();
        }
        self.stack.borrow_mut().poll(now);
        for frame in self.nic.take() {
            if let Some(segment) = shadow::read(&frame) {
                self.attacker.shadow.from_guest(&segment);
            }
            self.attacker.hear(&frame);
            self.peer.queues.inward.push_back(frame);
        }
    }
}
