//! A client's process: the real client library and programs on it. It can be killed between any two steps: then nothing of it happens any
//! more, no destructor and no last message.

use crate::{
    bells::Bells,
    book::Book,
    host::Host,
    plan::ClientPlan,
    port::{Held, Identity, Port},
    programs::{Env, Programs, Server, ask, hog, names, stream, udp},
    random::Random,
};
use libnet_client::{Config, Net};
use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
};

/// A process.
pub struct Running {
    net: Net,
    /// Its access to the kernel.
    pub port: Port,
    programs: Programs,
    env: Env,
    /// It may sleep till then, in its host's time; `None`: it has work.
    pub until: Option<u64>,
}

/// A client, and its process if it lives.
pub struct Client {
    /// What it is.
    pub plan: ClientPlan,
    /// The process.
    pub running: Option<Running>,
    /// How many processes there were.
    pub life: u64,
    /// The badge of its capability now.
    pub badge: u64,
    /// It will never have a session again: its capability was revoked, or forgotten by a new stack.
    pub is_cut_off: bool,
}

/// What all clients share.
pub struct World<'a> {
    /// The doorbells.
    pub bells: &'a Bells,
    /// The book.
    pub book: &'a Book,
    /// Everybody who serves.
    pub servers: &'a Rc<Vec<Server>>,
    /// The addresses of all hosts.
    pub addresses: &'a Rc<Vec<Vec<IpAddr>>>,
}

impl Client {
    /// A client that does not run yet.
    pub fn new(plan: ClientPlan) -> Client {
        Client {
            badge: plan.badge,
            plan,
            running: None,
            life: 0,
            is_cut_off: false,
        }
    }

    /// Starts its process.
    pub fn start(&mut self, index: usize, host: &Host, world: &World<'_>, random: &mut Random) {
        self.life += 1;
        let identity = Identity {
            client: index,
            life: self.life,
            host: self.plan.host,
            badge: self.badge,
        };
        let port = Port::new(
            identity,
            Rc::clone(&host.skew),
            Rc::clone(&host.machine),
            world.bells.clone(),
            world.book.clone(),
        );
        let config = Config {
            arena: self.plan.arena,
            receive_buffer: self.plan.buffers.0,
            transmit_buffer: self.plan.buffers.1,
            ..Config::default()
        };
        let net = Net::new(port.clone(), config);
        let programs = Programs::default();
        let env = Env {
            net: net.clone(),
            book: world.book.clone(),
            random: Rc::new(RefCell::new(random.fork())),
            me: index,
            servers: Rc::clone(world.servers),
            addresses: Rc::clone(world.addresses),
            datagram: self.plan.buffers.1 as u64 / 2 - 64,
            programs: programs.clone(),
        };
        self.running = Some(Running {
            net,
            port,
            programs,
            env,
            until: None,
        });
        self.serve();
        self.work();
    }

    fn serve(&self) {
        let Some(Running { env, .. }) = &self.running else {
            return;
        };
        if self.plan.names {
            env.spawn(names::serve(env.clone()));
        }
        if !self.plan.serves {
            return;
        }
        for server in env.servers.iter().filter(|server| server.client == env.me) {
            // `::` is both families, if the stack speaks both.
            let both = env.addresses[server.host].len() > 1;
            let any: IpAddr = if both {
                Ipv6Addr::UNSPECIFIED.into()
            } else {
                Ipv4Addr::UNSPECIFIED.into()
            };
            let backlog = env.random(|random| random.magnitude(1, 16)) as u16;
            env.spawn(stream::serve(env.clone(), server.tcp, any, backlog));
            env.spawn(udp::serve(env.clone(), server.udp, any));
        }
    }

    fn work(&self) {
        let Some(Running { env, .. }) = &self.running else {
            return;
        };
        let remote: Vec<Server> = env
            .servers
            .iter()
            .filter(|server| server.host != self.plan.host)
            .copied()
            .collect();
        if self.plan.hog {
            let may_have = self.plan.policy.max_sockets.into();
            let forbidden = SocketAddr::new(env.addresses[remote[0].host][0], hog::FORBIDDEN);
            let rounds = env.random(|random| random.range(1, 3));
            return env.spawn_job(hog::take(env.clone(), may_have, rounds, forbidden));
        }
        for _ in 0..self.plan.rows {
            let plan = self.plan.clone();
            env.spawn_job(row(env.clone(), remote.clone(), plan));
        }
    }

    /// Starts what has to work now: a stream and a datagram to everybody who can be reached.
    pub fn probe(&self, servers: &[Server]) {
        let Some(Running { env, .. }) = &self.running else {
            return;
        };
        if self.plan.hog {
            return;
        }
        for server in servers
            .iter()
            .filter(|server| server.host != self.plan.host)
        {
            env.book.count(|stats| &mut stats.probes);
            env.spawn_job(stream::connect(env.clone(), *server, 2000, true));
            env.spawn_job(udp::ask(env.clone(), *server, 60, true));
        }
    }

    /// Whether the process has something to do.
    pub fn is_runnable(&self, time: u64) -> bool {
        self.running.as_ref().is_some_and(|running| {
            let process = running.port.0.borrow();
            process.doorbell
                || process.stack_gone
                || running.until.is_none_or(|until| until <= time)
        })
    }

    /// One pass of the process.
    pub fn step(&mut self) -> Option<u64> {
        let running = self.running.as_mut()?;
        running.until = running.net.step();
        running.until
    }

    /// Ends all programs as programs end: what they hold is closed.
    pub fn finish(&mut self) {
        if let Some(running) = &mut self.running {
            running.programs.end();
            running.until = None;
        }
    }

    /// Kills the process. Its sessions, of which the kernel will tell the stack.
    pub fn kill(&mut self) -> Vec<Held> {
        let Some(running) = self.running.take() else {
            return Vec::new();
        };
        let memory = running.port.0.borrow().memory.clone();
        let image = memory.as_ref().map(|memory| {
            let mut image = vec![0; memory.len()];
            let _ = memory.read(0, &mut image);
            image
        });
        running.port.0.borrow_mut().muted = true;
        running.programs.end();
        let Running { net, port, env, .. } = running;
        drop(env);
        drop(net);
        // Destructors have run, which a kill would not: nothing of what they wrote was there.
        if let (Some(memory), Some(image)) = (memory, image) {
            let _ = memory.write(0, &image);
        }
        let mut process = port.0.borrow_mut();
        let mut held = core::mem::take(&mut process.given_up);
        held.extend(process.session.take());
        held
    }
}

/// A row of jobs.
async fn row(env: Env, servers: Vec<Server>, plan: ClientPlan) {
    for _ in 0..plan.jobs {
        let millis = env.random(|random| random.magnitude(1, 2000) - 1);
        env.pause(millis).await;
        let server = env.random(|random| random.pick(&servers));
        match env.random(|random| random.below(10)) {
            0 => {
                let remote = env.address_of(&server, 0).ip();
                ask::ping(env.clone(), remote).await;
            }
            1 if plan.host != 0 => ask::resolve(env.clone()).await,
            2 | 3 => {
                let requests = env.random(|random| random.magnitude(1, 30));
                udp::ask(env.clone(), server, requests, false).await;
            }
            4 => {
                // Many at once: as many as the smallest backlog holds, and more.
                for _ in 0..env.random(|random| random.range(2, 5)) {
                    env.spawn_job(stream::connect(env.clone(), server, 300, false));
                }
            }
            _ => stream::connect(env.clone(), server, plan.size, false).await,
        }
    }
}
