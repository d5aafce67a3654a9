//! Hosts on a wire under virtual time. Everything follows from the seed.

use super::{BUFFERS, Client, Nic};
use crate::{Config, Instant, Stack};
use ipc_proto::{
    frame::{Offloads, Pool},
    policy::Policy,
};
use std::{collections::BTreeMap, time::Duration, vec::Vec};

/// What the wire does to frames, in thousandths.
#[derive(Clone, Copy, Default, Debug)]
pub struct Faults {
    /// Frames lost.
    pub loss: u64,
    /// Frames that come late.
    pub reorder: u64,
    /// Frames that come twice.
    pub duplicate: u64,
}

/// A host.
pub struct Host {
    /// Its stack.
    pub stack: Stack,
    /// Its driver, unless it died.
    pub nic: Option<Nic>,
    /// Its card's address, and that of the next one.
    pub(crate) mac: [u8; 6],
    deadline: Option<Instant>,
}

impl Host {
    /// Opens a session with a new badge.
    ///
    /// # Panics
    /// If the stack refuses.
    pub fn client(&mut self, badge: u64) -> Client {
        Client::open(&mut self.stack, badge, Policy::everything())
            .unwrap_or_else(|error| panic!("{error:?}"))
    }
}

/// Hosts on a wire.
pub struct Network {
    /// The hosts.
    pub hosts: Vec<Host>,
    /// The time.
    pub now: Instant,
    /// What the wire does to frames.
    pub faults: Faults,
    /// Time that a frame takes.
    pub latency: Duration,
    /// Buffers in a driver's pool.
    pub buffers: [Pool; 2],
    /// What the devices can do.
    pub offloads: Offloads,
    /// Passes in which everything that happens at one time must come to an end.
    pub patience: u32,
    /// Every frame that was sent, with its sender, if they are kept.
    pub log: Option<Vec<(usize, Vec<u8>)>>,
    in_flight: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    sent: u64,
    random: u64,
}

impl Network {
    /// An empty wire.
    pub fn new(seed: u64) -> Network {
        Network {
            hosts: Vec::new(),
            now: Instant::from_millis(1),
            faults: Faults::default(),
            latency: Duration::from_micros(100),
            buffers: BUFFERS,
            offloads: Offloads::default(),
            patience: 100_000,
            log: None,
            in_flight: BTreeMap::new(),
            sent: 0,
            // Small seeds would begin with small numbers.
            random: (seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }

    /// Adds a host.
    pub fn add(&mut self, config: Config) -> usize {
        let number = self.hosts.len() as u8 + 1;
        let mac = [2, 0, 0, 0, 0, number];
        let mut stack = Stack::new(config, [number; 32], self.now);
        let nic = Nic::attach_with(&mut stack, mac, self.buffers, self.offloads, self.now);
        self.hosts.push(Host {
            stack,
            nic: Some(nic),
            mac,
            deadline: Some(self.now),
        });
        self.hosts.len() - 1
    }

    /// The driver of a host dies, or a new one comes.
    pub fn set_driver(&mut self, host: usize, alive: bool) {
        let host = &mut self.hosts[host];
        host.stack.detach();
        host.nic = alive.then(|| {
            let stack = &mut host.stack;
            Nic::attach_with(stack, host.mac, self.buffers, self.offloads, self.now)
        });
        host.deadline = Some(self.now);
    }

    fn random(&mut self) -> u64 {
        // xorshift64*.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Puts a frame on the wire for all hosts but the sender.
    pub fn transmit(&mut self, from: usize, frame: &[u8]) {
        if let Some(log) = &mut self.log {
            log.push((from, frame.to_vec()));
        }
        for to in 0..self.hosts.len() {
            let unicast = frame[0] & 1 == 0;
            if to == from || unicast && frame[..6] != self.hosts[to].mac {
                continue;
            }
            if self.random() % 1000 < self.faults.loss {
                continue;
            }
            let copies = 1 + u64::from(self.random() % 1000 < self.faults.duplicate);
            for _ in 0..copies {
                let late = self.random() % 1000 < self.faults.reorder;
                let delay = self.latency * if late { 5 } else { 1 };
                self.sent += 1;
                let key = (self.now.after(delay), self.sent);
                self.in_flight.insert(key, (to, frame.to_vec()));
            }
        }
    }

    /// Lets everything happen that happens now.
    ///
    /// # Panics
    /// If there is no end to it.
    pub fn settle(&mut self) {
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < self.patience, "busy for ever at {:?}", self.now);
            let mut quiet = true;
            let mut arrived = BTreeMap::<usize, Vec<Vec<u8>>>::new();
            while let Some(entry) = self.in_flight.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let (to, frame) = entry.remove();
                arrived.entry(to).or_default().push(frame);
            }
            for (to, frames) in arrived {
                if let Some(nic) = &mut self.hosts[to].nic {
                    nic.put_all(frames);
                }
            }
            let mut frames = Vec::new();
            for (index, host) in self.hosts.iter_mut().enumerate() {
                let next = host.stack.poll(self.now);
                host.deadline = next.deadline;
                quiet &= !next.work_left;
                if let Some(nic) = &mut host.nic {
                    frames.extend(nic.take().into_iter().map(|frame| (index, frame)));
                }
            }
            quiet &= frames.is_empty();
            for (from, frame) in frames {
                self.transmit(from, &frame);
            }
            if quiet {
                return;
            }
        }
    }

    /// Goes on to the next thing that happens, at most until `limit`.
    pub fn step(&mut self, limit: Instant) {
        self.settle();
        let arrival = self.in_flight.keys().next().map(|(at, _)| *at);
        let deadline = self.hosts.iter().filter_map(|host| host.deadline).min();
        let next = arrival.into_iter().chain(deadline).min();
        // A deadline that has passed is one microsecond away: no test hangs for it.
        let soon = self.now.after(Duration::from_micros(1));
        self.now = next.unwrap_or(limit).max(soon).min(limit);
    }

    /// Runs for some time.
    pub fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Runs until something is so, at most for some time. False if it did not come about.
    ///
    /// # Panics
    /// If what a stack keeps does not fit together in the end ([`Stack::check_invariants`]).
    pub fn run_until(
        &mut self,
        time: Duration,
        mut done: impl FnMut(&mut Network) -> bool,
    ) -> bool {
        let limit = self.now.after(time);
        let came_about = loop {
            self.settle();
            if done(self) {
                break true;
            }
            if self.now >= limit {
                break false;
            }
            self.step(limit);
        };
        for host in &self.hosts {
            host.stack.check_invariants();
        }
        came_about
    }
}
