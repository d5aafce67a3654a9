//! The stack's turns.

use crate::link::Flag;
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use ipc_proto::policy::{Allow, Policy, PortRange, Prefix};
use netstack::{Config, Instant, SessionId, Stack};
use rt::{Env, PAGE_SIZE};

/// Badges that may open sessions.
const BADGES: core::ops::RangeInclusive<u64> = 1..=2;

/// The stack, and whether it sleeps.
pub(crate) struct Server {
    pub(crate) stack: Stack,
    /// Driver and programs ring it.
    pub(crate) bell: Flag,
    /// Until when it sleeps, if it does.
    asleep: Option<u64>,
    /// What to raise when the stack ends a session.
    watched: Vec<(SessionId, [Flag; 2])>,
}

/// The present.
pub(crate) fn now() -> Instant {
    Instant::from_nanos(rt::time::now())
}

/// Everything.
fn policy() -> Policy {
    let mut policy = Policy {
        allow: Allow {
            tcp_connect: true,
            tcp_listen: true,
            udp: true,
            ping: true,
            resolve: true,
            inspect: true,
        },
        remote: Default::default(),
        remote_ports: Default::default(),
        local_ports: Default::default(),
        max_sockets: 300,
        max_buffer_bytes: 12 << 20,
        packets_per_second: 0,
    };
    let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    policy
        .remote
        .extend(any.map(|address| Prefix { address, bits: 0 }));
    let ports = PortRange {
        first: 1,
        last: u16::MAX,
    };
    policy.remote_ports.extend([ports]);
    policy.local_ports.extend([ports]);
    policy
}

impl Server {
    /// A stack as the arguments say.
    pub(crate) fn new(env: &Env) -> Result<Server, String> {
        let mut config =
            Config::from_args(env.arg("ip"), env.arg("ip6")).map_err(|error| error.to_string())?;
        let mut seed = [0; 32];
        rt::entropy::fill(&mut seed).map_err(|error| error.to_string())?;
        let usage = env.budget().usage().map_err(|error| error.to_string())?;
        // About as much as in the standard image: the rest is for the sessions' memory, frames and the heap.
        config.max_memory = (usage.limit as usize).saturating_mul(PAGE_SIZE) / 3;
        let mut stack = Stack::new(config, seed, now());
        for badge in BADGES {
            stack.set_policy(badge, policy());
        }
        Ok(Server {
            stack,
            bell: Flag::default(),
            asleep: None,
            watched: Vec::new(),
        })
    }

    /// Raises `flags` when the stack ends that session by itself.
    pub(crate) fn watch(&mut self, session: SessionId, flags: [Flag; 2]) {
        self.watched.push((session, flags));
    }

    /// A pass, unless it sleeps. Returns until when it sleeps then.
    pub(crate) fn turn(&mut self) -> Option<u64> {
        if let Some(deadline) = self.asleep {
            if !self.bell.is_up() && rt::time::now() < deadline {
                return Some(deadline);
            }
            self.stack.heard(u64::MAX);
        }
        self.bell.take();
        let next = self.stack.poll(now());
        for ended in self.stack.take_ended() {
            self.watched.retain(|(session, flags)| {
                let ends = *session == ended;
                if ends {
                    flags.iter().for_each(Flag::raise);
                }
                !ends
            });
        }
        let sleeps = !next.work_left && self.stack.prepare_sleep();
        self.asleep = sleeps.then(|| next.deadline.map_or(rt::FOREVER, Instant::nanos));
        self.asleep
    }
}
