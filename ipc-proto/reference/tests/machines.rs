//! The state machines of the page against a real stack: two hosts on an in-memory wire do at random what a client can do, and no step
//! is taken that the tables do not have. Touches nothing.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use core::{net::SocketAddr, time::Duration};
use ipc_proto::{
    channel::{Channel, SOCKET_CHANNEL},
    fifo::{Status, StatusCell},
    hello::Hello,
    policy::Policy,
    setup::Refusal,
    shm::Shm,
    socket::{Handle, NetError, Reply, Request, SocketInfo, SocketState},
};
use netstack::{
    Addressing, Config,
    testing::{Bell, Client, Network, Socket},
};
use postcard_schema::{Schema, schema::DataModelType};
use protocol_reference::machines::{Machine, SESSION, STREAM, TCP};
use std::collections::BTreeSet;

const PATIENCE: Duration = Duration::from_secs(400);

fn network(seed: u64) -> Network {
    let mut net = Network::new(seed);
    for last in [1, 2] {
        net.add(Config {
            ipv4: Addressing::Static {
                address: [10, 0, 0, last].into(),
                bits: 24,
                router: None,
            },
            ..Config::default()
        });
    }
    net.run(Duration::from_secs(1));
    net
}

fn wait(net: &mut Network, client: &mut Client, id: u32) -> Reply {
    let mut answer = None;
    net.run_until(PATIENCE, |_| {
        answer = client.answer(id);
        answer.is_some()
    });
    answer.expect("no answer")
}

/// All sockets of a host, as anybody may ask for them.
fn inspect(net: &mut Network, client: &mut Client) -> Vec<SocketInfo> {
    let (mut position, mut sockets) = (0, Vec::new());
    loop {
        let id = client.id();
        client.send(&Request::Inspect { id, position });
        match wait(net, client, id) {
            Reply::Socket {
                next,
                socket: Some(socket),
                ..
            } => {
                position = next;
                sockets.push(socket);
            }
            Reply::Socket { .. } => return sockets,
            other => panic!("{other:?}"),
        }
    }
}

/// The steps that were seen, checked against a table.
struct Seen {
    machine: &'static Machine,
    steps: BTreeSet<(String, String)>,
}

impl Seen {
    fn new(machine: &'static Machine) -> Self {
        Self {
            machine,
            steps: BTreeSet::new(),
        }
    }

    /// Between two looks, up to `most` steps may have been taken.
    fn step(&mut self, from: &mut String, to: &str, most: usize) {
        if from != to {
            assert!(
                self.machine.leads(from, to, most),
                "{}: {from} to {to} in {most} steps is not in the table",
                self.machine.name
            );
            self.steps.insert((from.clone(), to.into()));
            *from = to.into();
        }
    }
}

fn name_of(status: Status) -> &'static str {
    match (status.established, status.peer_closed, status.error) {
        (false, false, None) => "connecting",
        (true, false, None) => "established",
        (true, true, None) => "established, peer closed",
        (false, _, Some(_)) => "failed",
        (true, _, Some(_)) => "ended",
        (false, true, None) => panic!("closed by nobody"),
    }
}

/// One end of a connection: what its status word and `Inspect` said last.
struct End {
    host: usize,
    local: SocketAddr,
    handle: Handle,
    status: StatusCell,
    stream: String,
    state: String,
}

impl End {
    fn look(&mut self, infos: &[SocketInfo], streams: &mut Seen, states: &mut Seen) {
        streams.step(&mut self.stream, name_of(self.status.load()), 2);
        let info = infos
            .iter()
            .find(|info| info.local == self.local && info.state != SocketState::Listen);
        let now = info.map_or("none".into(), |info| format!("{:?}", info.state));
        // A reset leads to `Closed` from everywhere, and what is closed may be gone.
        if now == "none" || now == "Closed" {
            self.state = now;
        } else {
            states.step(&mut self.state, &now, 3);
        }
    }
}

fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// A connection whose ends are used at random until both are gone.
fn one_life(seed: u64, streams: &mut Seen, states: &mut Seen) {
    let mut net = network(seed);
    let mut clients = [net.hosts[0].client(1), net.hosts[1].client(2)];
    let id = clients[1].id();
    clients[1].send(&Request::TcpListen {
        id,
        local: "0.0.0.0:80".parse().unwrap(),
        backlog: 4,
    });
    let Reply::Opened {
        socket: listener, ..
    } = wait(&mut net, &mut clients[1], id)
    else {
        panic!("no listener");
    };
    let id = clients[0].id();
    let (buffers, ends) = clients[0].buffers(12);
    // Now and then nobody listens there.
    let port = if seed.is_multiple_of(8) { 81 } else { 80 };
    clients[0].send(&Request::TcpConnect {
        id,
        remote: ([10, 0, 0, 2], port).into(),
        local_port: 0,
        buffers,
    });
    let Reply::Opened { socket, local, .. } = wait(&mut net, &mut clients[0], id) else {
        panic!("no connection");
    };
    let mut sockets = vec![Socket::new(socket, ends)];
    let end = |host, local, socket: &Socket, stream: &str, state: &str| End {
        host,
        local,
        handle: socket.handle,
        status: socket.status.clone(),
        stream: stream.into(),
        state: state.into(),
    };
    let mut lives = vec![end(0, local, &sockets[0], "connecting", "SynSent")];
    let accept = clients[1].id();
    let (buffers, accepted) = clients[1].buffers(12);
    let mut accepted = Some(accepted);
    clients[1].send(&Request::TcpAccept {
        id: accept,
        listener,
        buffers,
    });
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for _ in 0..40 {
        let pause = [1, 50, 120, 1_000, 20_000, 2_000_000][random(&mut dice) as usize % 6];
        net.run(Duration::from_micros(pause));
        if let Some(Reply::Accepted { socket, local, .. }) = accepted
            .is_some()
            .then(|| clients[1].answer(accept))
            .flatten()
        {
            let socket = Socket::new(socket, accepted.take().unwrap());
            lives.push(end(1, local, &socket, "established", "Established"));
            sockets.push(socket);
        }
        for (host, client) in clients.iter_mut().enumerate() {
            let infos = inspect(&mut net, client);
            for end in lives.iter_mut().filter(|end| end.host == host) {
                end.look(&infos, streams, states);
            }
        }
        let which = random(&mut dice) as usize % lives.len();
        let (host, handle) = (lives[which].host, lives[which].handle);
        let client = &mut clients[host];
        match random(&mut dice) % 12 {
            0 => {
                let id = client.id();
                client.send(&Request::Shutdown { id, socket: handle });
            }
            1 => {
                let id = client.id();
                let abort = random(&mut dice).is_multiple_of(4);
                client.send(&Request::Close {
                    id,
                    socket: handle,
                    abort,
                });
            }
            2..6 => {
                let _ = sockets[which].writer.write(&[7; 100]);
                client.touch(&sockets[which]);
            }
            6 => {
                let _ = sockets[which].reader.read(&mut [0; 4096]);
                client.touch(&sockets[which]);
            }
            _ => {}
        }
    }
}

#[test]
fn streams_take_only_the_steps_of_the_page() {
    let (mut streams, mut states) = (Seen::new(&STREAM), Seen::new(&TCP));
    for seed in 1..80 {
        one_life(seed, &mut streams, &mut states);
    }
    // What was seen is enough to say that the check looks.
    let reached = |seen: &Seen, state: &str| seen.steps.iter().any(|(_, to)| to == state);
    for state in ["established", "established, peer closed", "failed", "ended"] {
        assert!(
            reached(&streams, state),
            "never {state}: {:?}",
            streams.steps
        );
    }
    for state in [
        "Established",
        "FinWait1",
        "FinWait2",
        "CloseWait",
        "TimeWait",
        "LastAck",
    ] {
        assert!(reached(&states, state), "never {state}: {:?}", states.steps);
    }
}

/// The table has each state that the type can tell, and no other.
#[test]
fn states_of_the_table_are_those_of_the_type() {
    let DataModelType::Enum(variants) = SocketState::SCHEMA.ty else {
        panic!("no enum");
    };
    let types: BTreeSet<_> = variants.iter().map(|variant| variant.name).collect();
    let mut table: BTreeSet<_> = TCP.states().into_iter().collect();
    assert!(table.remove("none"));
    assert_eq!(table, types);
}

/// A session: refused with another protocol, open, ended by nonsense on the ring; the one beside it lives.
#[test]
fn a_session_takes_the_steps_of_the_page() {
    let mut net = network(1);
    let mut seen = Seen::new(&SESSION);
    let mut state = String::from("closed");
    let theirs = Hello {
        version: 1000,
        ..Hello::SOCKET
    };
    let memory = Shm::heap(Channel::<Request, Reply>::bytes(SOCKET_CHANNEL) + 4096);
    let bell = Box::new(Bell::default());
    net.hosts[0].stack.set_policy(1, Policy::everything());
    let refused = net.hosts[0].stack.open(1, &theirs, memory, bell);
    assert_eq!(refused.err(), Some(Refusal::Mismatch(Hello::SOCKET)));
    let (mut client, mut other) = (net.hosts[0].client(1), net.hosts[0].client(2));
    seen.step(&mut state, "open", 1);
    // More messages than the ring has slots.
    let tail = SOCKET_CHANNEL.client().tail;
    let release = core::sync::atomic::Ordering::Release;
    client
        .memory
        .store(tail, SOCKET_CHANNEL.slots + 1, release)
        .unwrap();
    net.run(Duration::from_secs(1));
    let id = other.id();
    other.send(&Request::Counters { id });
    let Reply::Counters { counters, .. } = wait(&mut net, &mut other, id) else {
        panic!("no counters");
    };
    assert_eq!((counters.sessions, counters.violations), (1, 1));
    seen.step(&mut state, "gone", 2);
    client.receive();
    assert!(client.replies.is_empty());
}

/// A handle is worth something from `Opened` to `Close`, and nothing before and after.
#[test]
fn a_handle_takes_the_steps_of_the_page() {
    let mut net = network(1);
    let mut client = net.hosts[0].client(1);
    let never = Handle {
        index: 0,
        generation: 0,
    };
    let mut ask = |request: fn(u32, Handle) -> Request, handle| {
        let id = client.id();
        client.send(&request(id, handle));
        wait(&mut net, &mut client, id)
    };
    let close: fn(u32, Handle) -> Request = |id, socket| Request::Close {
        id,
        socket,
        abort: false,
    };
    let is_bad = |reply: &Reply| {
        matches!(
            reply,
            Reply::Failed {
                error: NetError::BadHandle,
                ..
            }
        )
    };
    assert!(is_bad(&ask(close, never)));
    let listen = |id, _| Request::TcpListen {
        id,
        local: "0.0.0.0:80".parse().unwrap(),
        backlog: 1,
    };
    let Reply::Opened { socket: first, .. } = ask(listen, never) else {
        panic!("not opened");
    };
    assert!(matches!(
        ask(listen, never),
        Reply::Failed {
            error: NetError::AddressInUse,
            ..
        }
    ));
    assert!(matches!(ask(close, first), Reply::Closed { .. }));
    assert!(is_bad(&ask(close, first)));
    let Reply::Opened { socket: second, .. } = ask(listen, never) else {
        panic!("not opened");
    };
    assert_eq!(second.index, first.index);
    assert_ne!(second.generation, first.generation);
    assert!(is_bad(&ask(close, first)), "of an earlier generation");
    assert!(matches!(ask(close, second), Reply::Closed { .. }));
}
