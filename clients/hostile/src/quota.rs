//! All that a session may have, and more: sockets, listeners, lookups, echo requests, sessions, derived sessions. Safe.

use crate::{
    campaign::{Attack, Outcome},
    clients,
    random::Random,
    scribble,
};
use alloc::{format, rc::Rc, vec::Vec};
use core::time::Duration;
use ipc_proto::policy::{Allow, Policy, Prefix};
use libnet_client::{Config, Family, Net, TcpListener, TcpStream, UdpSocket};
use rt::Error;

/// What it does with one session at most, and how long each task of it tries.
const LIFE: Duration = Duration::from_millis(500);
const TASK: Duration = Duration::from_millis(250);
/// Sockets that it tries to have: more than its policy allows.
const SOCKETS: u16 = 200;
/// Lookups and echo requests that it tries to have under way.
const ASKS: u16 = 100;
/// Sessions that it tries to have, and capabilities for narrower ones.
const SESSIONS: usize = 24;
const DERIVED: usize = 80;

/// Sockets and questions, then sessions.
pub(crate) fn run(attack: &mut Attack<'_>) -> Outcome {
    let system = rt::net::open(attack.env, "net").map_err(|_| Error::BadSlot)?;
    let config = Config {
        arena: 1 << 20,
        ..clients::config()
    };
    let net = Net::new(system, config);
    attack.tally.sessions += 1;
    let seed = attack.random.word();
    let tasks = Rc::new(());
    net.block_on(async {
        let taken = take_all(&net, Random::new(seed), &tasks);
        let _ = net.timeout(LIFE, taken).await;
        // A task that is left over would keep the session for ever: each gives up by itself, on a busy machine later.
        while Rc::strong_count(&tasks) > 1 {
            net.sleep(TASK).await;
        }
    });
    drop(net);
    let mut held = Vec::with_capacity(SESSIONS);
    while held.len() < SESSIONS {
        match scribble::open(attack.env) {
            Ok(Some(session)) => held.push(session),
            Ok(None) => {
                attack.tally.refused += 1;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    attack.tally.sessions += held.len() as u64;
    if held.len() == SESSIONS {
        attack.surprise(format!("{SESSIONS} sessions at once were opened"));
    }
    Ok(())
}

/// All sockets and questions that there are, each attempt a task that holds a share of `tasks`.
async fn take_all(net: &Net, mut random: Random, tasks: &Rc<()>) {
    let peer = clients::peer(net).await;
    let peer = peer.unwrap_or(core::net::IpAddr::from([10, 77, 0, 1]));
    for number in 0..ASKS {
        let (task, running) = (net.clone(), Rc::clone(tasks));
        net.spawn(async move {
            let name = format!("n{number}.lab");
            let nobody = [10, 77, 0, 99].into();
            if number % 2 == 0 {
                let ping = task.ping_async(nobody, number, 8, TASK);
                let _ = task.timeout(TASK, ping).await;
            } else {
                let _ = task
                    .timeout(TASK, task.resolve_async(&name, Family::Any))
                    .await;
            }
            drop(running);
        });
    }
    let (mut listeners, mut sockets) = (Vec::new(), Vec::new());
    for _ in 0..SOCKETS {
        match random.below(3) {
            0 => listeners.push(TcpListener::bind_async(net, "0.0.0.0:0").await),
            1 => sockets.push(UdpSocket::bind_async(net, "0.0.0.0:0").await),
            _ => {
                let (task, running) = (net.clone(), Rc::clone(tasks));
                let port = 1 + random.below(65_000) as u16;
                net.spawn(async move {
                    let _ = task
                        .timeout(TASK, TcpStream::connect_async(&task, (peer, port)))
                        .await;
                    drop(running);
                });
            }
        }
    }
    net.sleep(LIFE).await;
}

/// Capabilities for narrower sessions, in number and in chains; attempts at wider ones; and all of it revoked.
pub(crate) fn derive(attack: &mut Attack<'_>) -> Outcome {
    let Ok(endpoint) = attack.env.endpoint("net") else {
        return Ok(());
    };
    let mut wide = Policy {
        allow: Allow {
            udp: true,
            ping: true,
            ..Allow::default()
        },
        remote: [Prefix {
            address: [10, 77, 0, 0].into(),
            bits: 24,
        }]
        .into_iter()
        .collect(),
        remote_ports: Default::default(),
        local_ports: Default::default(),
        max_sockets: 4,
        max_buffer_bytes: 64 << 10,
        packets_per_second: 100,
    };
    let mut held = Vec::with_capacity(DERIVED);
    while held.len() < DERIVED {
        let parent = held
            .last()
            .filter(|_| attack.random.once_in(3))
            .unwrap_or(&endpoint);
        match rt::net::derive(parent, &wide) {
            Ok(narrower) => held.push(narrower),
            Err(_) => {
                attack.tally.refused += 1;
                break;
            }
        }
    }
    attack.tally.objects += held.len() as u64;
    wide.max_sockets = 5;
    if let Some(narrow) = held.first() {
        match rt::net::derive(narrow, &wide) {
            Ok(_) => attack.surprise("a session was widened".into()),
            Err(_) => attack.tally.refused += 1,
        }
        if let Ok(system) = rt::net::open_on(attack.env, rt::Endpoint::borrowed(narrow.slot())) {
            let net = Net::new(system, clients::config());
            let _ = net.block_on(net.timeout(LIFE / 8, UdpSocket::bind_async(&net, "0.0.0.0:0")));
            attack.tally.sessions += 1;
            let _ = rt::net::revoke_derived(&endpoint);
            let _ = net.block_on(net.timeout(LIFE / 8, UdpSocket::bind_async(&net, "0.0.0.0:0")));
        }
    }
    let _ = rt::net::revoke_derived(&endpoint);
    Ok(())
}
