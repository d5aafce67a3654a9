//! A host: its stack, the server loop around it as the kernel would drive it, and its clock.

use crate::{bells::Bells, driver::Driver};
use ipc_proto::policy::Policy;
use netstack::{Addressing, Config, Instant, SessionId, Stack};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    rc::Rc,
};

/// Where the server loop is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Its next step is a pass.
    Awake,
    /// A pass is done; its next step is to go to sleep, if it may.
    Polled(netstack::Next),
    /// It sleeps till a doorbell, or till then.
    Asleep(Option<Instant>),
}

/// The process of a stack.
pub struct Machine {
    /// The stack, if it lives.
    pub stack: Option<Stack>,
    /// How many there were before.
    pub life: u64,
    /// Where its loop is.
    pub state: State,
    /// Its notification has bits.
    pub rung: bool,
    /// The doorbells that it was rung by.
    pub heard: u64,
    /// Sessions that it has, as the world sees it.
    pub sessions: BTreeSet<SessionId>,
    /// Sessions whose clients the kernel has reported as gone.
    pub gone: Vec<SessionId>,
    /// The kernel has reported the driver as gone.
    pub driver_gone: bool,
    /// What the manifest says.
    pub policies: BTreeMap<u64, Policy>,
}

/// A host.
pub struct Host {
    /// Its stack.
    pub machine: Rc<RefCell<Machine>>,
    /// Its driver, if it lives.
    pub driver: Option<Driver>,
    /// How many there were before.
    pub driver_life: u64,
    /// What its stack was started with.
    seed: u64,
    /// How far its clock is ahead of the world's.
    pub skew: Rc<Cell<u64>>,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    config: Config,
}

/// What a step of a stack did.
pub struct Stepped {
    /// 0: a pass. 1: it went to sleep, or not. 2: it woke up.
    pub kind: u8,
    /// Sessions that it has ended by itself.
    pub ended: Vec<SessionId>,
    /// It has let its driver go.
    pub lost_driver: bool,
    /// Frames whose data went straight to its client.
    pub passed_on: u64,
    /// Small segments that went past the engine: received, and sent.
    pub past: [u64; 2],
}

impl Host {
    /// A host without a stack; see [`Host::boot`].
    pub fn new(index: usize, ipv6: bool, name_server: Option<IpAddr>, tcp_buffer: usize) -> Host {
        let number = index as u8 + 1;
        let v4 = Ipv4Addr::new(10, 0, 0, number);
        let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into());
        let mut addresses = vec![IpAddr::V4(v4)];
        if ipv6 {
            addresses.push(v6.into());
        }
        Host {
            machine: Rc::new(RefCell::new(Machine {
                stack: None,
                life: 0,
                state: State::Awake,
                rung: false,
                heard: 0,
                sessions: BTreeSet::new(),
                gone: Vec::new(),
                driver_gone: false,
                policies: BTreeMap::new(),
            })),
            driver: None,
            driver_life: 0,
            seed: 0,
            skew: Rc::default(),
            mac: [2, 0, 0, 0, 0, number],
            addresses,
            config: Config {
                ipv4: Addressing::Static {
                    address: v4,
                    bits: 24,
                    router: None,
                },
                ipv6,
                ipv6_static: ipv6.then_some((v6, 64)),
                name_servers: name_server.into_iter().collect(),
                tcp_buffer,
                // More for clients with large ones on some hosts; the memory of some sessions has no room for that.
                largest_tcp_buffer: tcp_buffer << (2 * index),
                ..Config::default()
            },
        }
    }

    /// The host's time.
    pub fn time(&self, now: u64) -> Instant {
        Instant::from_nanos(now + self.skew.get())
    }

    /// A stack starts.
    pub fn boot(&mut self, seed: u64, now: u64) {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        self.seed = seed;
        let mut stack = Stack::new(self.config.clone(), key, self.time(now));
        let mut machine = self.machine.borrow_mut();
        for (badge, policy) in &machine.policies {
            stack.set_policy(*badge, policy.clone());
        }
        machine.life += 1;
        machine.stack = Some(stack);
        machine.state = State::Awake;
        machine.rung = false;
        machine.heard = 0;
        machine.gone.clear();
        machine.sessions.clear();
        machine.driver_gone = false;
    }

    /// A driver attaches, in place of any other. False if there is no stack.
    pub fn attach(&mut self, bells: &Bells, index: usize, now: u64) -> bool {
        let time = self.time(now);
        let mut machine = self.machine.borrow_mut();
        if machine.stack.is_none() {
            return false;
        }
        machine.wake_up();
        self.driver_life += 1;
        let target = crate::bells::Target::Driver(index, self.driver_life);
        let life = machine.life;
        let Some(stack) = &mut machine.stack else {
            return false;
        };
        stack.detach();
        // What was reported was an earlier one.
        machine.driver_gone = false;
        let Some(stack) = &mut machine.stack else {
            return false;
        };
        let ring = crate::bells::Target::Stack(index, life, netstack::DRIVER_BELL);
        // Another device each time: what it can do with frames.
        let can = self.seed.rotate_right((4 * self.driver_life % 64) as u32);
        self.driver = Driver::attach(stack, (self.mac, can), time, bells, target, ring);
        self.driver.is_some()
    }

    /// Whether the stack has something to do.
    pub fn is_runnable(&self, now: u64) -> bool {
        let machine = self.machine.borrow();
        machine.stack.is_some()
            && match machine.state {
                State::Awake | State::Polled(_) => true,
                State::Asleep(deadline) => {
                    machine.rung || deadline.is_some_and(|deadline| deadline <= self.time(now))
                }
            }
    }

    /// When the stack wants to be woken, in the world's time.
    pub fn deadline(&self, now: u64) -> Option<u64> {
        let machine = self.machine.borrow();
        machine.stack.as_ref()?;
        match machine.state {
            State::Awake | State::Polled(_) => Some(now),
            State::Asleep(_) if machine.rung => Some(now),
            State::Asleep(deadline) => {
                deadline.map(|deadline| deadline.nanos().saturating_sub(self.skew.get()))
            }
        }
    }

    /// One step of the server loop. `back`: how far the clock has gone back, which the kernel promises not to do.
    pub fn step(&mut self, now: u64, back: u64) -> Stepped {
        let time = Instant::from_nanos(self.time(now).nanos().saturating_sub(back));
        let mut machine = self.machine.borrow_mut();
        let mut stepped = Stepped {
            kind: 0,
            ended: Vec::new(),
            lost_driver: false,
            passed_on: 0,
            past: [0; 2],
        };
        match machine.state {
            State::Asleep(_) => {
                stepped.kind = 2;
                machine.wake_up();
                machine.collect();
            }
            State::Awake => {
                let Some(stack) = &mut machine.stack else {
                    return stepped;
                };
                let (before, past) = (stack.passed_on(), stack.past());
                let next = stack.poll(time);
                stepped.passed_on = stack.passed_on().saturating_sub(before);
                let [received, sent] = stack.past();
                stepped.past = [received - past[0], sent - past[1]];
                stepped.ended = stack.take_ended();
                for session in &stepped.ended {
                    machine.sessions.remove(session);
                }
                machine.state = State::Polled(next);
            }
            State::Polled(next) => {
                stepped.kind = 1;
                let Some(stack) = &mut machine.stack else {
                    return stepped;
                };
                if !next.work_left && stack.prepare_sleep() {
                    machine.state = State::Asleep(next.deadline);
                } else {
                    machine.state = State::Awake;
                    machine.collect();
                }
            }
        }
        let has = machine.stack.as_ref().is_some_and(Stack::has_driver);
        stepped.lost_driver = self.driver.is_some() && !has;
        stepped
    }
}

impl Machine {
    /// Its wait returns.
    pub fn wake_up(&mut self) {
        self.state = State::Awake;
    }

    /// Takes the bits of its notification, and does what they ask for.
    fn collect(&mut self) {
        self.rung = false;
        let gone = core::mem::take(&mut self.gone);
        let driver_gone = core::mem::take(&mut self.driver_gone);
        let heard = core::mem::take(&mut self.heard);
        if let Some(stack) = &mut self.stack {
            stack.heard(heard);
            for session in gone {
                stack.close_session(session);
                self.sessions.remove(&session);
            }
            if driver_gone {
                stack.detach();
            }
        }
    }
}
