//! What an active connection pays for others that are open and idle: two stacks in this process, on a wire of no length, and
//! an echo of 100 bytes over one connection, with 10 and with 10,000 open at both. No guest takes part.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement that goes wrong has no result"
)]

use crate::{results::Micro, stats::Samples};
use ipc_proto::{
    policy::Policy,
    socket::{Handle, Reply, Request},
};
use netstack::{
    Addressing, Config, DRIVER_BELL,
    testing::{Client, Network, Socket},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

const GROUP: &str = "An echo over one of many connections, both stacks on the host";
/// Connections of a session. Each has FIFOs of the smallest size.
const IN_SESSION: usize = 1000;
const LOG2: u8 = 10;
const ARENA: usize = IN_SESSION * 2304 + 4096;
/// Echoes of a sample, and samples of each number of connections.
const ECHOES: u32 = 4000;
const SAMPLES: usize = 9;

/// Measures it.
///
/// # Panics
/// If the two stacks do not do what they should.
pub fn connections() -> Vec<Micro> {
    let mut few = World::new(10);
    let mut many = World::new(10_000);
    let (mut with_few, mut with_many) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        with_few.push(few.sample());
        with_many.push(many.sample());
    }
    let ratios = with_few
        .iter()
        .zip(&with_many)
        .map(|(few, many)| many / few)
        .collect();
    let micro = |title: &str, unit: &str, samples| Micro {
        group: GROUP.into(),
        title: title.into(),
        unit: unit.into(),
        samples: Samples(samples),
    };
    vec![
        micro("10 connections open", "us/echo", with_few),
        micro("10,000 connections open", "us/echo", with_many),
        micro(
            "the second beside the first (goal: at most 1.2)",
            "times",
            ratios,
        ),
    ]
}

/// Two hosts with connections between them.
struct World {
    net: Network,
    /// Sessions of both hosts, in pairs.
    pairs: Vec<(Client, Client)>,
    /// The connection that is used; all others are idle.
    near: Socket,
    far: Socket,
    _idle: Vec<Socket>,
}

impl World {
    fn new(connections: usize) -> World {
        let mut net = Network::new(1);
        for last in 1..=2 {
            net.add(Config {
                ipv4: Addressing::Static {
                    address: Ipv4Addr::new(10, 0, 0, last),
                    bits: 24,
                    router: None,
                },
                tcp_buffer: 4096,
                largest_tcp_buffer: 4096,
                max_memory: 1 << 30,
                ..Config::default()
            });
        }
        net.run(Duration::from_secs(1));
        let (mut pairs, mut idle, mut active) = (Vec::new(), Vec::new(), None);
        let mut left = connections;
        for badge in 1.. {
            let here = left.min(IN_SESSION);
            if here == 0 {
                break;
            }
            let mut sessions = net.hosts.iter_mut().map(|host| {
                host.stack.set_policy(badge, Policy::everything());
                Client::open_sized(&mut host.stack, badge, ARENA).unwrap()
            });
            let mut pair = (sessions.next().unwrap(), sessions.next().unwrap());
            drop(sessions);
            let local = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), 1000 + badge as u16));
            let id = pair.1.id();
            let backlog = 8;
            pair.1.send(&Request::TcpListen { id, local, backlog });
            let listener = handle(answer(&mut net, &mut pair.1, id));
            for _ in 0..here {
                let (near, far) = connect(&mut net, &mut pair, local, listener);
                match active {
                    None => active = Some((near, far)),
                    Some(_) => idle.extend([near, far]),
                }
            }
            pairs.push(pair);
            left -= here;
        }
        let (near, far) = active.unwrap();
        net.settle();
        let (a, b) = pairs.first().unwrap();
        for (host, client) in net.hosts.iter_mut().zip([a, b]) {
            // As in a server that has slept: it looks at those that have rung since.
            assert!(host.stack.prepare_sleep(), "not at rest");
            host.stack.heard(1 << client.session.bell() | DRIVER_BELL);
        }
        World {
            net,
            pairs,
            near,
            far,
            _idle: idle,
        }
    }

    /// Microseconds of an echo.
    fn sample(&mut self) -> f64 {
        let message = [7; 100];
        let start = Instant::now();
        for _ in 0..ECHOES {
            let (a, b) = self.pairs.first_mut().unwrap();
            assert_eq!(self.near.writer.write(&message).unwrap(), message.len());
            a.touch(&self.near);
            arrive(&mut self.net, &mut self.far);
            assert_eq!(self.far.writer.write(&message).unwrap(), message.len());
            b.touch(&self.far);
            arrive(&mut self.net, &mut self.near);
            a.receive();
            b.receive();
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(ECHOES)
    }
}

/// Runs the wire until the message is there, and takes it.
fn arrive(net: &mut Network, socket: &mut Socket) {
    let mut message = [0; 100];
    let mut got = 0;
    for _ in 0..100 {
        let limit = net.now.after(Duration::from_millis(1));
        net.step(limit);
        got += socket.reader.read(message.get_mut(got..).unwrap()).unwrap();
        if got == message.len() {
            assert_eq!(message, [7; 100]);
            return;
        }
    }
    panic!("the message did not come");
}

fn answer(net: &mut Network, client: &mut Client, id: u32) -> Reply {
    for _ in 0..10_000 {
        if let Some(reply) = client.answer(id) {
            return reply;
        }
        let limit = net.now.after(Duration::from_millis(10));
        net.step(limit);
    }
    panic!("no answer")
}

fn handle(reply: Reply) -> Handle {
    match reply {
        Reply::Opened { socket, .. } | Reply::Accepted { socket, .. } => socket,
        other => panic!("{other:?}"),
    }
}

fn connect(
    net: &mut Network,
    (a, b): &mut (Client, Client),
    remote: SocketAddr,
    listener: Handle,
) -> (Socket, Socket) {
    let (id, accept) = (a.id(), b.id());
    let (buffers, near) = a.buffers(LOG2);
    let (theirs, far) = b.buffers(LOG2);
    b.send(&Request::TcpAccept {
        id: accept,
        listener,
        buffers: theirs,
    });
    a.send(&Request::TcpConnect {
        id,
        remote,
        local_port: 0,
        buffers,
    });
    let near = Socket::new(handle(answer(net, a, id)), near);
    let far = Socket::new(handle(answer(net, b, accept)), far);
    (near, far)
}
