//! A world: everybody in it, the events under way, and the scheduler that picks by the seed who goes next.
//!
//! Time stands still while anybody has work, but for a little now and then; when all sleep it goes on to what comes next.

use crate::{
    Options,
    bells::{Bells, Target},
    book::{Book, Party},
    client::{self, Client},
    host::Host,
    plan::Plan,
    port::Held,
    programs::Server,
    random::Random,
    trace::Note,
    wire::Wire,
};
use netstack::SessionId;
use std::{collections::BTreeMap, rc::Rc};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;
/// Steps without rest that mean that somebody is busy for ever.
const RESTLESS: u64 = 60_000;
/// One step of so many is followed by a look at everything that its stack keeps, unless each is to be.
const DEEP: u64 = 16;

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
    fn heals(&self) -> bool {
        !matches!(self, Event::Bell(_) | Event::Arrive(..))
    }
}

/// Who can take a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Actor {
    Stack(usize),
    Driver(usize),
    Client(usize),
    Event,
}

/// A world.
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) book: Book,
    pub(crate) bells: Bells,
    pub(crate) hosts: Vec<Host>,
    pub(crate) clients: Vec<Client>,
    pub(crate) wire: Wire,
    pub(crate) clock_back: Option<(usize, u64)>,
    /// A look at everything follows each such step.
    deep: u64,
    servers: Rc<Vec<Server>>,
    addresses: Rc<Vec<Vec<std::net::IpAddr>>>,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    now: u64,
    pub(crate) steps: u64,
    busy: u64,
    actors: Vec<Actor>,
}

impl World {
    /// The world of a seed, with its stacks, drivers and clients started.
    #[must_use]
    pub fn new(seed: u64, options: &Options) -> World {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random, options.steps);
        let names = plan.clients.iter().position(|client| client.names);
        let mut hosts: Vec<Host> = Vec::new();
        for index in 0..plan.hosts {
            let server = names.map(|_| std::net::Ipv4Addr::new(10, 0, 0, 1).into());
            hosts.push(Host::new(index, plan.ipv6, server, plan.tcp_buffer));
        }
        let clients = plan.clients.iter().enumerate();
        let servers: Vec<Server> = clients
            .filter(|(_, client)| client.serves)
            .map(|(index, client)| Server {
                client: index,
                host: client.host,
                tcp: 80 + index as u16,
                udp: 1000 + index as u16,
            })
            .collect();
        let addresses: Vec<_> = hosts.iter().map(|host| host.addresses.clone()).collect();
        let mut world = World {
            wire: Wire {
                links: plan.links.clone(),
                cut: Default::default(),
            },
            clients: plan.clients.iter().cloned().map(Client::new).collect(),
            plan,
            random,
            book: Book::new(options.text),
            bells: Bells::default(),
            hosts,
            clock_back: None,
            deep: if options.strict { 1 } else { DEEP },
            servers: Rc::new(servers),
            addresses: Rc::new(addresses),
            events: BTreeMap::new(),
            sequence: 0,
            now: SECOND,
            steps: 0,
            busy: 0,
            actors: Vec::new(),
        };
        world.book.set_now(world.now);
        world.populate();
        world
    }

    fn populate(&mut self) {
        for index in 0..self.clients.len() {
            let plan = &self.clients[index].plan;
            self.book.settle(index, plan.host);
            if plan.derived.is_none() {
                let mut machine = self.hosts[plan.host].machine.borrow_mut();
                machine.policies.insert(plan.badge, plan.policy.clone());
            }
        }
        for index in 0..self.hosts.len() {
            for address in self.addresses[index].clone() {
                self.book.address(address, index);
            }
            let seed = self.random.number();
            self.hosts[index].boot(seed, self.now);
            self.attach(index);
        }
        for index in 0..self.clients.len() {
            if self.clients[index].plan.derived.is_none() {
                self.start(index);
            }
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Something will happen.
    pub(crate) fn later(&mut self, millis: u64, event: Event) {
        self.at(self.now + millis * MILLISECOND, event);
    }

    fn at(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    pub(crate) fn session_of(&self, client: usize) -> Option<Held> {
        let running = self.clients[client].running.as_ref()?;
        running.port.0.borrow().session
    }

    fn attach(&mut self, host: usize) -> bool {
        self.hosts[host].attach(&self.bells, host, self.now)
    }

    fn start(&mut self, index: usize) {
        let shared = client::World {
            bells: &self.bells,
            book: &self.book,
            servers: &self.servers,
            addresses: &self.addresses,
        };
        let client = &mut self.clients[index];
        let host = &self.hosts[client.plan.host];
        client.start(index, host, &shared, &mut self.random);
    }

    /// Goes on till `done`, but not beyond a time. False if it did not come about.
    pub fn run_until(&mut self, limit: u64, mut done: impl FnMut(&World) -> bool) -> bool {
        while !done(self) {
            if self.book.finding().is_some() || self.now >= limit || !self.step(limit) {
                return self.book.finding().is_none() && done(self);
            }
        }
        true
    }

    /// One step of somebody. False if nothing will ever happen again, or the time has come.
    pub fn step(&mut self, limit: u64) -> bool {
        self.steps += 1;
        self.book.count(|stats| &mut stats.steps);
        while let Some((step, kind)) = self.plan.faults.last().copied()
            && step <= self.steps
        {
            self.plan.faults.pop();
            self.inject(kind);
        }
        self.mischief();
        self.hear();
        if !self.find_actors() {
            self.busy = 0;
            return self.pass_time(limit);
        }
        self.busy += 1;
        if self.busy > RESTLESS {
            self.book.fail(format!("nobody rests: {:?}", self.actors));
        }
        if self.random.chance(self.plan.restless) {
            let nanos = self.random.magnitude(1, 100_000);
            self.set_now(self.now + nanos);
        }
        match self.actors[self.random.index(self.actors.len())] {
            Actor::Stack(host) => self.step_stack(host),
            Actor::Driver(host) => self.step_driver(host),
            Actor::Client(client) => self.step_client(client),
            Actor::Event => self.step_event(),
        }
        true
    }

    fn set_now(&mut self, now: u64) {
        self.now = now;
        self.book.set_now(now);
    }

    /// What happens beside the faults of the plan, in any step.
    fn mischief(&mut self) {
        for client in 0..self.clients.len() {
            if self.book.is_hostile(client) && self.random.chance(30) {
                self.scribble(client);
            }
            if let Some((parent, step)) = self.clients[client].plan.derived
                && step == self.steps
            {
                self.derive(client, parent);
            }
        }
        if self.random.chance(self.plan.bells.spurious) {
            let host = self.random.index(self.hosts.len());
            let client = self.random.index(self.clients.len());
            let bell = 1 << self.random.below(64);
            let stack_life = self.hosts[host].machine.borrow().life;
            let target = match self.random.below(3) {
                0 => Target::Stack(host, stack_life, bell),
                1 => Target::Driver(host, self.hosts[host].driver_life),
                _ => Target::Client(client, self.clients[client].life),
            };
            self.book.count(|stats| &mut stats.doorbells_spurious);
            self.at(self.now, Event::Bell(target));
        }
    }

    /// A client gets a capability from another one, and starts.
    fn derive(&mut self, client: usize, parent: usize) {
        let plan = &self.clients[client].plan;
        let (host, policy) = (plan.host, plan.policy.clone());
        let badge = self.clients[parent].badge;
        let derived = {
            let mut machine = self.hosts[host].machine.borrow_mut();
            machine.wake_up();
            let Some(stack) = &mut machine.stack else {
                return;
            };
            stack.derive(badge, &policy)
        };
        match derived {
            Ok(badge) => {
                self.book.count(|stats| &mut stats.derived);
                self.clients[client].badge = badge;
                self.start(client);
            }
            // Wider than that of a hog; or the parent's is gone itself.
            Err(_) => self.book.count(|stats| &mut stats.denied),
        }
    }

    /// Decides about the doorbells that were rung.
    fn hear(&mut self) {
        for target in self.bells.take() {
            let bells = self.plan.bells;
            self.book.count(|stats| &mut stats.doorbells);
            let (fate, millis) = if self.random.chance(bells.lost) {
                self.book.count(|stats| &mut stats.doorbells_lost);
                (1, self.random.magnitude(100, 4000))
            } else if self.random.chance(bells.late) {
                self.book.count(|stats| &mut stats.doorbells_late);
                (2, self.random.magnitude(1, 100))
            } else {
                (0, 0)
            };
            self.book.note(&Note::Bell { to: target, fate });
            if self.random.chance(bells.double) {
                let millis = self.random.magnitude(1, 1000);
                self.later(millis, Event::Bell(target));
            }
            self.later(millis, Event::Bell(target));
        }
    }

    /// Finds out who can take a step. False if nobody can.
    fn find_actors(&mut self) -> bool {
        let now = self.now;
        self.actors.clear();
        for (index, host) in self.hosts.iter().enumerate() {
            if host.is_runnable(now) {
                self.actors.push(Actor::Stack(index));
            }
            if host.driver.as_ref().is_some_and(|it| it.is_runnable(now)) {
                self.actors.push(Actor::Driver(index));
            }
        }
        for (index, client) in self.clients.iter().enumerate() {
            let time = self.hosts[client.plan.host].time(now).nanos();
            if client.is_runnable(time) {
                self.actors.push(Actor::Client(index));
            }
        }
        if self.events.keys().next().is_some_and(|(at, _)| *at <= now) {
            self.actors.push(Actor::Event);
        }
        !self.actors.is_empty()
    }

    /// All sleep: time goes on to the next thing that happens. False if there is none before the limit.
    fn pass_time(&mut self, limit: u64) -> bool {
        let event = self.events.keys().next().map(|(at, _)| *at);
        let stacks = self.hosts.iter().filter_map(|host| host.deadline(self.now));
        let clients = self.clients.iter().filter_map(|client| {
            let until = client.running.as_ref()?.until?;
            let skew = self.hosts[client.plan.host].skew.get();
            (until != u64::MAX).then(|| until.saturating_sub(skew))
        });
        let Some(next) = stacks.chain(clients).chain(event).min() else {
            self.set_now(limit);
            return false;
        };
        let next = next.max(self.now + 1).min(limit);
        self.set_now(next);
        next < limit
    }

    fn step_stack(&mut self, index: usize) {
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

    fn step_driver(&mut self, index: usize) {
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

    fn step_client(&mut self, index: usize) {
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

    fn step_event(&mut self) {
        let Some((_, event)) = self.events.pop_first() else {
            return;
        };
        self.happen(event);
    }

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
}

impl World {
    fn happen(&mut self, event: Event) {
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

    fn driver_of(&mut self, host: usize, life: u64) -> Option<&mut crate::driver::Driver> {
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

impl World {
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
