//! One step of a stack, a driver or a client, or one event, and what follows from it for the others. Touches the one whose turn it is, and
//! what is to happen later.

use super::{Event, World};
use crate::{book::Party, trace::Note};

impl World {
    pub(super) fn step_stack(&mut self, index: usize) {
        let back = match self.clock_back {
            Some((host, back)) if host == index => {
                self.clock_back = None;
                back
            }
            _ => 0,
        };
        let life = self.hosts[index].machine.borrow().life;
        let stepped = self.hosts[index].step(self.now, back);
        self.book.note(&Note::Stack {
            host: index,
            state: stepped.kind,
        });
        self.book
            .add(stepped.passed_on, |stats| &mut stats.frames_passed_on);
        let [received, sent] = stepped.past;
        self.book.add(received, |stats| &mut stats.segments_past);
        self.book.add(sent, |stats| &mut stats.answers_past);
        for session in stepped.ended {
            self.book.count(|stats| &mut stats.sessions_ended);
            let held = Some((life, session));
            for client in 0..self.clients.len() {
                if self.clients[client].plan.host == index && self.session_of(client) == held {
                    let innocent = !self.book.is_hostile(client);
                    if innocent && !self.clients[client].is_cut_off {
                        self.book
                            .fail(format!("session of client {client} was ended"));
                    }
                    let millis = self.random.magnitude(1, 20) - 1;
                    let life = self.clients[client].life;
                    self.later(millis, Event::StackGone(client, life, held));
                }
            }
        }
        if stepped.lost_driver {
            let rogue = self.hosts[index].driver.take();
            let harmed = self.book.was_harmed(Party::Host(index));
            if rogue.is_some_and(|driver| !driver.rogue) && !harmed {
                self.book
                    .fail(format!("driver of host {index} was detached"));
            }
            self.book.harm_lasts(Party::Host(index), true);
            let millis = self.random.magnitude(1, 3000);
            let life = self.hosts[index].driver_life;
            self.later(millis, Event::AttachDriver(index, life));
        }
        self.check(index);
    }

    /// What must be so between any two steps; a look at everything that a stack keeps takes longer than a step, so not behind each
    /// unless that is asked for.
    fn check(&mut self, index: usize) {
        if !self.steps.is_multiple_of(self.deep) {
            return;
        }
        self.book.count(|stats| &mut stats.deep_checks);
        let machine = self.hosts[index].machine.borrow();
        if let Some(stack) = &machine.stack {
            stack.check_invariants();
            let holdings = stack.holdings();
            if holdings.sessions != machine.sessions.len() {
                self.book.fail(format!(
                    "host {index} has {} sessions, {} are open",
                    holdings.sessions,
                    machine.sessions.len()
                ));
            }
        }
    }

    pub(super) fn step_driver(&mut self, index: usize) {
        let Some(driver) = &mut self.hosts[index].driver else {
            return;
        };
        let moved = driver.step(&mut self.random, &self.bells);
        self.book.note(&Note::Driver {
            host: index,
            taken: moved.taken,
            given: moved.given,
            asleep: driver.asleep,
        });
        if let Some(finding) = moved.finding {
            self.book.fail(format!("host {index}: {finding}"));
        }
        let macs: Vec<[u8; 6]> = self.hosts.iter().map(|host| host.mac).collect();
        for frame in moved.frames {
            let flights = self
                .wire
                .transmit(index, &frame, &macs, &mut self.random, &self.book);
            for flight in flights {
                let at = self.now + flight.micros * 1000;
                self.at(at, Event::Arrive(flight.to, flight.frame));
            }
        }
    }

    pub(super) fn step_client(&mut self, index: usize) {
        let until = self.clients[index].step();
        self.book.note(&Note::Client {
            client: index,
            until,
        });
        let host = self.clients[index].plan.host;
        let given_up = match &self.clients[index].running {
            Some(running) => core::mem::take(&mut running.port.0.borrow_mut().given_up),
            None => Vec::new(),
        };
        for (life, session) in given_up {
            let millis = self.random.magnitude(1, 20) - 1;
            self.later(millis, Event::SessionGone(host, life, session));
        }
    }

    pub(super) fn step_event(&mut self) {
        let Some((_, event)) = self.events.pop_first() else {
            return;
        };
        self.happen(event);
    }
}
