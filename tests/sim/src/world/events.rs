//! What happens in a world at a certain time, and what comes of it: doorbells, frames, and the ends of faults. Touches whoever it happens
//! to, and the book.

use super::World;
use crate::{bells::Target, book::Party, driver::Driver, port::Held, trace::Note};
use netstack::SessionId;

/// Something that happens at a certain time.
pub(crate) enum Event {
    /// A doorbell is heard.
    Bell(Target),
    /// A frame comes to a host.
    Arrive(usize, Vec<u8>),
    /// A client hears that its session is over: the client and its life, and the session.
    StackGone(usize, u64, Option<Held>),
    /// A stack hears that a client is gone: the host and the stack's life, and the session.
    SessionGone(usize, u64, SessionId),
    /// A stack hears that its driver is gone.
    DriverGone(usize, u64),
    /// A stack starts.
    Boot(usize),
    /// A driver attaches, if there is none since that life.
    AttachDriver(usize, u64),
    /// A driver dies that had a reason to.
    KillDriver(usize, u64),
    /// A driver goes on.
    Thaw(usize, u64),
    /// A link comes up.
    LinkUp(usize, u64),
    /// A client starts.
    StartClient(usize),
    /// A partition ends.
    Join(usize),
}

impl Event {
    /// Whether it is the end of a fault.
    pub(super) fn heals(&self) -> bool {
        !matches!(self, Event::Bell(_) | Event::Arrive(..))
    }
}

impl World {
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Bell(target) => self.ring(target),
            Event::Arrive(host, frame) => self.arrive(host, frame),
            Event::StackGone(client, life, session) => {
                if let Some(running) = &self.clients[client].running {
                    let mut process = running.port.0.borrow_mut();
                    if process.life == life && process.session == session {
                        process.stack_gone = true;
                    }
                }
            }
            Event::SessionGone(host, life, session) => {
                let mut machine = self.hosts[host].machine.borrow_mut();
                if machine.life == life && machine.stack.is_some() {
                    machine.gone.push(session);
                    machine.rung = true;
                }
            }
            Event::DriverGone(host, life) => {
                if self.hosts[host].driver_life == life && self.hosts[host].driver.is_none() {
                    let mut machine = self.hosts[host].machine.borrow_mut();
                    machine.driver_gone = true;
                    machine.rung = true;
                }
            }
            Event::Boot(host) => {
                let seed = self.random.number();
                self.hosts[host].boot(seed, self.now);
            }
            Event::AttachDriver(host, life) => {
                let is_due = self.hosts[host].driver.is_none();
                if is_due && !self.attach(host) {
                    return self.later(50, Event::AttachDriver(host, life));
                }
                self.book.harm_lasts(Party::Host(host), false);
            }
            Event::KillDriver(host, life) => {
                if self.hosts[host].driver_life == life {
                    self.kill_driver(host);
                }
                self.book.harm_lasts(Party::Host(host), false);
            }
            Event::Thaw(host, life) => {
                if let Some(driver) = self.driver_of(host, life) {
                    driver.frozen_till = 0;
                    driver.rung = true;
                }
                self.book.harm_lasts(Party::Host(host), false);
            }
            Event::LinkUp(host, life) => {
                if let Some(driver) = self.driver_of(host, life) {
                    driver.link(true);
                }
                self.book.harm_lasts(Party::Host(host), false);
            }
            Event::StartClient(client) => {
                self.book.hostile(client, false);
                self.book.harm_lasts(Party::Client(client), false);
                self.start(client);
            }
            Event::Join(host) => {
                self.wire.cut.retain(|(a, b)| *a != host && *b != host);
                self.book.harm_lasts(Party::Host(host), false);
            }
        }
    }

    fn driver_of(&mut self, host: usize, life: u64) -> Option<&mut Driver> {
        let host = &mut self.hosts[host];
        host.driver.as_mut().filter(|_| host.driver_life == life)
    }

    fn ring(&mut self, target: Target) {
        match target {
            Target::Stack(host, life, bells) => {
                let mut machine = self.hosts[host].machine.borrow_mut();
                if machine.life == life {
                    machine.rung = true;
                    machine.heard |= bells;
                }
            }
            Target::Driver(host, life) => {
                if let Some(driver) = self.driver_of(host, life) {
                    driver.rung = true;
                }
            }
            Target::Client(client, life) => {
                if let Some(running) = &self.clients[client].running {
                    let mut process = running.port.0.borrow_mut();
                    process.doorbell |= process.life == life;
                }
            }
        }
    }

    fn arrive(&mut self, host: usize, frame: Vec<u8>) {
        self.book.note(&Note::Arrived {
            host,
            len: frame.len(),
            hash: crate::trace::hash_of(&frame),
        });
        let taken = match &mut self.hosts[host].driver {
            Some(driver) => driver.arrive(frame),
            None => false,
        };
        if !taken {
            self.book.count(|stats| &mut stats.frames_overrun);
            self.book.note(&Note::Wire { host, what: 4 });
        }
    }
}
