//! The stack server with a client that does anything: valid requests with arbitrary fields, bytes on the ring that are
//! none, words of the shared memory changed at any time, sessions that open, derive, are revoked and die.
//!
//! On the same stack a client that behaves has a connection. Nothing may panic, every burst of work ends, every table
//! of the stack stays sound, the good client's bytes arrive unchanged, and when the other one is gone nothing is left of it.

mod hostile;

use crate::{input::Input, pair::Pair};
use hostile::Hostile;
use ipc_proto::policy::{Policy, PortRange, Prefix};
use netstack::{Addressing, Config, testing::Network};
use std::{net::Ipv4Addr, time::Duration};

/// What is said in one input, at most.
const MAX_STEPS: usize = 150;
/// Sessions of the hostile client at once.
const MAX_HOSTILE: usize = 3;
/// Its badges: one that may do everything, one that may do little.
const BADGES: [u64; 2] = [20, 21];

fn config(last: u8) -> Config {
    Config {
        ipv4: Addressing::Static {
            address: Ipv4Addr::new(10, 0, 0, last),
            bits: 24,
            router: None,
        },
        name_servers: vec![Ipv4Addr::new(10, 0, 0, 2).into()],
        tcp_buffer: 4096,
        max_memory: 512 * 1024,
        ..Config::default()
    }
}

fn wide() -> Policy {
    Policy {
        max_sockets: 16,
        ..Policy::everything()
    }
}

fn narrow() -> Policy {
    let mut policy = Policy::everything();
    policy.remote = [Prefix {
        address: Ipv4Addr::new(10, 0, 0, 2).into(),
        bits: 32,
    }]
    .into_iter()
    .collect();
    policy.remote_ports = [PortRange { first: 7, last: 80 }].into_iter().collect();
    policy.local_ports = [PortRange {
        first: 80,
        last: 81,
    }]
    .into_iter()
    .collect();
    policy.max_sockets = 3;
    policy.max_buffer_bytes = 32 * 1024;
    policy.packets_per_second = 100;
    policy.allow.inspect = false;
    policy
}

/// Plays an input.
pub fn run(data: &[u8]) {
    let mut net = Network::new(1);
    let [receive, send] = &mut net.buffers;
    (receive.small, send.small) = (48, 80);
    net.patience = 1000;
    net.add(config(1));
    net.add(config(2));
    net.hosts[0].stack.set_policy(BADGES[0], wide());
    net.hosts[0].stack.set_policy(BADGES[1], narrow());
    net.run(Duration::from_millis(1));
    let mut pair = Pair::new(&mut net, 6);
    pair.transfer(&mut net, 700);
    net.run(Duration::from_secs(5));
    let before = net.hosts[0].stack.holdings();

    let mut input = Input::new(data);
    let mut badges = BADGES.to_vec();
    let mut hostile: Vec<Hostile> = Vec::new();
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        let what = input.u8();
        match what % 16 {
            0 | 1 if hostile.len() < MAX_HOSTILE => {
                let badge = input.pick(&badges);
                hostile.extend(Hostile::open(&mut net.hosts[0].stack, badge));
            }
            2 => {
                let badge = input.pick(&badges);
                let policy = if input.flag() { narrow() } else { wide() };
                badges.extend(net.hosts[0].stack.derive(badge, &policy));
                badges.truncate(8);
            }
            3 if input.u8() & 3 == 0 => {
                let badge = input.pick(&badges);
                net.hosts[0].stack.revoke_derived(badge);
            }
            4 if input.u8() & 3 == 0 && !hostile.is_empty() => {
                // Dies.
                let gone = hostile.swap_remove(input.below(hostile.len()));
                net.hosts[0].stack.close_session(gone.session);
            }
            5 => {
                let time = input.pick(&[1, 20, 300, 1000, 4000, 30_000]);
                net.run(Duration::from_millis(time));
                pair.serve(&mut net);
            }
            6 => pair.transfer(&mut net, input.u8().into()),
            7 => pair.visit(&mut net, input.u8()),
            _ => {
                if let Some(last) = hostile.len().checked_sub(1) {
                    let which = usize::from(what >> 4) % (last + 1);
                    hostile[last - which].step(&mut input);
                }
            }
        }
        net.settle();
        net.hosts[0].stack.check_invariants();
        for ended in net.hosts[0].stack.take_ended() {
            hostile.retain(|hostile| hostile.session != ended);
        }
    }
    pair.transfer(&mut net, 300);
    for gone in hostile.drain(..) {
        net.hosts[0].stack.close_session(gone.session);
    }
    for badge in BADGES {
        net.hosts[0].stack.revoke_derived(badge);
    }
    pair.forget_visits(&mut net);
    // Connections without a client linger for a minute, then for the time that old segments take to die out.
    net.run(Duration::from_secs(100));
    assert_eq!(
        net.hosts[0].stack.holdings(),
        before,
        "something was left behind"
    );
    pair.transfer(&mut net, 700);
    assert!(net.hosts[0].stack.has_driver(), "the driver was blamed");
}
