//! How a world comes to its end: it heals, everybody tries to reach everybody, all leave, and nothing may be left of them. Touches everybody.

use super::{Event, MILLISECOND, World};
use crate::{bells::Target, programs::Server};

impl World {
    /// From now on nothing goes wrong any more; what is broken is repaired soon.
    pub fn heal(&mut self) {
        self.plan.faults.clear();
        self.plan.bells = Default::default();
        self.plan.restless = 0;
        self.wire.heal();
        self.clock_back = None;
        let events = core::mem::take(&mut self.events);
        for ((at, sequence), event) in events {
            let soon = self.now + MILLISECOND;
            let at = if event.heals() { at.min(soon) } else { at };
            self.events.insert((at, sequence), event);
        }
        for client in 0..self.clients.len() {
            if self.book.is_hostile(client) {
                self.kill_client(client, true);
            }
            self.clients[client].plan.derived = None;
            // Whoever was not told in time is told now.
            let life = self.clients[client].life;
            self.at(self.now, Event::Bell(Target::Client(client, life)));
        }
        for host in 0..self.hosts.len() {
            let life = self.hosts[host].machine.borrow().life;
            self.at(self.now, Event::Bell(Target::Stack(host, life, u64::MAX)));
            let life = self.hosts[host].driver_life;
            self.at(self.now, Event::Bell(Target::Driver(host, life)));
        }
    }

    /// Everybody who was not cut off tries to reach everybody who serves.
    pub fn probe(&mut self) {
        let reachable: Vec<Server> = self
            .servers
            .iter()
            .filter(|server| !self.clients[server.client].is_cut_off)
            .copied()
            .collect();
        for client in &mut self.clients {
            if !client.is_cut_off {
                client.probe(&reachable);
            }
            if let Some(running) = &mut client.running {
                running.until = None;
            }
        }
    }

    /// All programs end, some of them as they should.
    pub fn wind_down(&mut self) {
        for client in 0..self.clients.len() {
            if self.random.chance(500) {
                self.kill_client(client, false);
            } else {
                self.clients[client].finish();
            }
        }
    }

    /// No process is left.
    pub fn end(&mut self) {
        for client in 0..self.clients.len() {
            self.kill_client(client, false);
        }
    }

    /// Nothing must be left of any client, and every buffer must be where it belongs.
    pub fn check_empty(&self) {
        for (index, host) in self.hosts.iter().enumerate() {
            let machine = host.machine.borrow();
            let Some(stack) = &machine.stack else {
                self.book.fail(format!("host {index} has no stack"));
                continue;
            };
            let held = stack.holdings();
            let left = [
                held.sessions,
                held.flows,
                held.listeners,
                held.half_open,
                held.time_waits,
                held.ports,
                held.accounts,
                held.memory,
                held.transmitting,
            ];
            if left != [0; 9] {
                self.book.fail(format!("host {index} still holds {held:?}"));
            }
            let driver = host.driver.as_ref();
            // Both say the same; the stack hands buffers over an eighth of them at a time.
            let receiving = stack.receiving();
            if !driver.is_some_and(|driver| driver.is_at_rest(receiving)) {
                self.book
                    .fail(format!("driver of host {index} has not its buffers"));
            }
        }
    }
}
