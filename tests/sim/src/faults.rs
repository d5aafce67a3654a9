//! Faults, as they are done to a world. Who may suffer from one is written into the book before it happens.

use crate::{
    bells::Target,
    book::Party,
    trace::Note,
    world::{Event, World},
};
use ipc_proto::shm::Shm;

/// What can go wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// A client dies, and is started anew.
    KillClient,
    /// A driver dies, and another one attaches.
    KillDriver,
    /// A stack dies, and another one starts.
    KillStack,
    /// A driver does nothing for a while.
    FreezeDriver,
    /// A link is down for a while.
    FlapLink,
    /// A driver breaks the protocol.
    Lie,
    /// A client's session memory is scribbled over, from now on.
    Scribble,
    /// The memory of a driver's channel is scribbled over, and the driver dies.
    ScribbleDriver,
    /// Some hosts do not hear some others for a while.
    Partition,
    /// A host's clock leaps forward.
    ClockLeap,
    /// A host's stack is told an earlier time, once.
    ClockBack,
    /// Everything derived from a client's capability is revoked.
    Revoke,
}

impl Kind {
    /// All of them; the more often one is named, the more often it happens.
    pub const ALL: [Kind; 16] = [
        Kind::KillClient,
        Kind::KillClient,
        Kind::KillClient,
        Kind::KillDriver,
        Kind::KillDriver,
        Kind::KillStack,
        Kind::KillStack,
        Kind::FreezeDriver,
        Kind::FlapLink,
        Kind::Lie,
        Kind::Scribble,
        Kind::ScribbleDriver,
        Kind::Partition,
        Kind::ClockLeap,
        Kind::ClockBack,
        Kind::Revoke,
    ];
}

const MILLISECOND: u64 = 1_000_000;

impl World {
    /// A fault happens.
    pub(crate) fn inject(&mut self, kind: Kind) {
        let host = self.random.index(self.hosts.len());
        let client = self.random.index(self.clients.len());
        let on = match kind {
            Kind::KillClient | Kind::Scribble | Kind::Revoke => client,
            _ => host,
        };
        self.book.note(&Note::Fault { kind, on });
        match kind {
            Kind::KillClient => self.kill_client(client, true),
            Kind::KillDriver => {
                self.book.count(|stats| &mut stats.drivers_killed);
                self.kill_driver(host);
            }
            Kind::KillStack => self.kill_stack(host),
            Kind::FreezeDriver => self.freeze_driver(host),
            Kind::FlapLink => self.flap_link(host),
            Kind::Lie => {
                if let Some(driver) = &mut self.hosts[host].driver {
                    self.book.count(|stats| &mut stats.drivers_lied);
                    self.book.harm_lasts(Party::Host(host), true);
                    driver.lie(&mut self.random, &self.bells);
                    // The stack may have nothing against it: then it is over with the driver's life.
                    self.later(20, Event::KillDriver(host, self.hosts[host].driver_life));
                }
            }
            Kind::Scribble => {
                if self.clients[client].running.is_some() {
                    self.book.hostile(client, true);
                    self.scribble(client);
                }
            }
            Kind::ScribbleDriver => self.scribble_driver(host),
            Kind::Partition => self.partition(host),
            Kind::ClockLeap => {
                self.book.count(|stats| &mut stats.clock_jumps);
                self.book.harm(Party::Host(host));
                let seconds = self.random.magnitude(1, 20_000);
                let skew = &self.hosts[host].skew;
                skew.set(skew.get() + seconds * 1000 * MILLISECOND);
            }
            Kind::ClockBack => {
                self.book.count(|stats| &mut stats.clock_steps_back);
                self.clock_back = Some((host, self.random.magnitude(1, 1 << 45)));
            }
            Kind::Revoke => self.revoke(client),
        }
    }

    /// Kills a client. `again`: another process is started later.
    pub(crate) fn kill_client(&mut self, client: usize, again: bool) {
        if self.clients[client].running.is_none() {
            return;
        }
        self.book.count(|stats| &mut stats.clients_killed);
        self.book.harm_lasts(Party::Client(client), true);
        let host = self.clients[client].plan.host;
        for (life, session) in self.clients[client].kill() {
            let millis = self.random.magnitude(1, 100) - 1;
            self.later(millis, Event::SessionGone(host, life, session));
        }
        if again {
            let millis = self.random.magnitude(1, 2000);
            self.later(millis, Event::StartClient(client));
        }
    }

    /// Kills a driver: the stack hears of it a little later, and then another one attaches.
    pub(crate) fn kill_driver(&mut self, host: usize) {
        if self.hosts[host].driver.take().is_none() {
            return;
        }
        self.book.harm_lasts(Party::Host(host), true);
        let life = self.hosts[host].driver_life;
        let millis = self.random.magnitude(1, 50) - 1;
        self.later(millis, Event::DriverGone(host, life));
        let millis = millis + self.random.magnitude(1, 3000);
        self.later(millis, Event::AttachDriver(host, life));
    }

    fn kill_stack(&mut self, host: usize) {
        let life = {
            let mut machine = self.hosts[host].machine.borrow_mut();
            if machine.stack.take().is_none() {
                return;
            }
            machine.sessions.clear();
            machine.life
        };
        self.book.count(|stats| &mut stats.stacks_killed);
        self.book.harm_lasts(Party::Host(host), true);
        self.hosts[host].driver = None;
        for index in 0..self.clients.len() {
            if self.clients[index].plan.host != host {
                continue;
            }
            if self.clients[index].plan.derived.is_some() {
                // The new stack knows only the badges of the manifest.
                self.cut_off(index);
            }
            let held = self.session_of(index);
            if held.is_some_and(|(its, _)| its == life) {
                let millis = self.random.magnitude(1, 50) - 1;
                let client_life = self.clients[index].life;
                self.later(millis, Event::StackGone(index, client_life, held));
            }
        }
        let millis = self.random.magnitude(1, 3000);
        self.later(millis, Event::Boot(host));
        let millis = millis + self.random.magnitude(1, 500);
        let driver_life = self.hosts[host].driver_life;
        self.later(millis, Event::AttachDriver(host, driver_life));
    }

    fn freeze_driver(&mut self, host: usize) {
        let millis = self.random.magnitude(10, 20_000);
        let until = self.now() + millis * MILLISECOND;
        if let Some(driver) = &mut self.hosts[host].driver {
            self.book.count(|stats| &mut stats.drivers_frozen);
            self.book.harm_lasts(Party::Host(host), true);
            driver.frozen_till = until;
            let life = self.hosts[host].driver_life;
            self.later(millis, Event::Thaw(host, life));
        }
    }

    fn flap_link(&mut self, host: usize) {
        if let Some(driver) = &mut self.hosts[host].driver {
            self.book.count(|stats| &mut stats.links_flapped);
            self.book.harm_lasts(Party::Host(host), true);
            driver.link(false);
            let life = self.hosts[host].driver_life;
            let millis = self.random.magnitude(1, 5000);
            self.later(millis, Event::LinkUp(host, life));
        }
    }

    fn partition(&mut self, host: usize) {
        self.book.count(|stats| &mut stats.partitions);
        let both = self.random.chance(700);
        for other in 0..self.hosts.len() {
            if other == host {
                continue;
            }
            self.wire.cut.insert((host, other));
            if both {
                self.wire.cut.insert((other, host));
            }
        }
        self.book.harm_lasts(Party::Host(host), true);
        let millis = self.random.magnitude(10, 200_000);
        self.later(millis, Event::Join(host));
    }

    fn revoke(&mut self, client: usize) {
        let host = self.clients[client].plan.host;
        for index in 0..self.clients.len() {
            if self.is_derived_from(index, client) {
                self.cut_off(index);
            }
        }
        self.book.count(|stats| &mut stats.revoked);
        let badge = self.clients[client].badge;
        let mut machine = self.hosts[host].machine.borrow_mut();
        machine.wake_up();
        if let Some(stack) = &mut machine.stack {
            stack.revoke_derived(badge);
        }
    }

    fn is_derived_from(&self, client: usize, ancestor: usize) -> bool {
        let mut at = client;
        while let Some((parent, _)) = self.clients[at].plan.derived {
            if parent == ancestor {
                return true;
            }
            at = parent;
        }
        false
    }

    /// A client's capability is worth nothing any more.
    fn cut_off(&mut self, client: usize) {
        self.book.harm_lasts(Party::Client(client), true);
        self.clients[client].is_cut_off = true;
    }

    /// Writes nonsense into the session memory of a client.
    pub(crate) fn scribble(&mut self, client: usize) {
        let Some(running) = &self.clients[client].running else {
            return;
        };
        let process = running.port.0.borrow();
        let Some(memory) = process.memory.clone() else {
            return;
        };
        let host = process.host;
        let (life, bell) = process
            .session
            .map_or((0, 0), |(life, session)| (life, 1 << session.bell()));
        let me = process.life;
        drop(process);
        let count = self.random.magnitude(1, 40);
        for _ in 0..count {
            self.scribble_on(&memory);
        }
        self.book.add(count, |stats| &mut stats.scribbles);
        if self.random.chance(500) {
            self.bells.ring(Target::Stack(host, life, bell));
        }
        if self.random.chance(500) {
            self.bells.ring(Target::Client(client, me));
        }
    }

    fn scribble_on(&mut self, memory: &Shm) {
        use core::sync::atomic::Ordering::Relaxed;
        let random = &mut self.random;
        // The words of channel and FIFOs are in the beginning: those often, and everything else now and then.
        let limit = match random.below(3) {
            0 => 512,
            1 => 48 * 1024,
            _ => memory.len() as u64,
        };
        let offset = (random.below(limit.min(memory.len() as u64 - 4)) & !3) as usize;
        let old = memory.load(offset, Relaxed).unwrap_or(0);
        let delta = random.magnitude(1, 1 << 17) as u32;
        let value = match random.below(6) {
            0 => random.number() as u32,
            1 => 0,
            2 => u32::MAX,
            3 => old.wrapping_add(delta),
            4 => old.wrapping_sub(delta),
            _ => old ^ 1 << random.below(32),
        };
        let _ = memory.store(offset, value, Relaxed);
    }

    fn scribble_driver(&mut self, host: usize) {
        let life = self.hosts[host].driver_life;
        let Some(driver) = &mut self.hosts[host].driver else {
            return;
        };
        self.book.harm_lasts(Party::Host(host), true);
        driver.rogue = true;
        driver.rung = true;
        let memory = driver.memory.clone();
        let count = self.random.magnitude(1, 20);
        for _ in 0..count {
            self.scribble_on(&memory);
        }
        self.book.add(count, |stats| &mut stats.scribbles);
        self.later(100, Event::KillDriver(host, life));
    }
}
