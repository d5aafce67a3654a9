//! A world: everybody in it, the events under way, and the scheduler that picks by the seed who goes next.
//!
//! Time stands still while anybody has work, but for a little now and then; when all sleep it goes on to what comes next.

mod actors;
mod ending;
mod events;

use crate::{
    Options,
    bells::{Bells, Target},
    book::Book,
    client::{self, Client},
    host::Host,
    plan::Plan,
    port::Held,
    programs::Server,
    random::Random,
    trace::Note,
    wire::Wire,
};
pub(crate) use events::Event;
use std::{collections::BTreeMap, rc::Rc};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;
/// Steps without rest that mean that somebody is busy for ever.
const RESTLESS: u64 = 60_000;
/// One step of so many is followed by a look at everything that its stack keeps, unless each is to be.
const DEEP: u64 = 16;

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
}
