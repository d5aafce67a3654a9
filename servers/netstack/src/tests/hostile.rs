//! Clients that lie, ask for too much, or ask for what they may not have.

use super::*;
use ipc_proto::{
    hello::Hello,
    policy::{Policy, PortRange, Prefix},
    setup::Refusal,
    shm::Shm,
    socket::{Buffers, Family, SocketOption},
};
use std::boxed::Box;

fn failed(reply: Reply) -> NetError {
    match reply {
        Reply::Failed { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

// ---- clients ----------------------------------------------------------------------------------

#[test]
fn who_is_refused_all_the_time_fills_only_his_own_lines() {
    let mut net = pair(1);
    let now = net.now;
    let stack = &mut net.hosts[0].stack;
    for badge in [1, 2] {
        stack.set_policy(badge, Policy::everything());
    }
    let derived = stack.derive(1, &Policy::everything()).unwrap();
    let memory = Shm::heap(1 << 16);
    let other = Hello {
        version: 9,
        ..Hello::SOCKET
    };
    for round in 0..1000 {
        // Narrower sessions of one's own, and badges that nobody knows, are not more lines.
        for badge in [1, derived, 1000 + round] {
            let bell = Box::new(crate::testing::Bell::default());
            let opened = stack.open(badge, &other, memory.clone(), bell);
            assert!(matches!(opened, Err(Refusal::Mismatch(_))));
        }
    }
    assert_eq!(stack.complaints.len(), 2);
    stack.check_invariants();
    stack.complain(2, &"the first about this one");
    let mut admitted = |badge, now| stack.complaints.get_mut(&badge).unwrap().admit(now);
    assert_eq!(admitted(1, now), None);
    assert_eq!(admitted(2, now), Some(0));
    assert_eq!(admitted(1, now.after(SECOND * 60)), Some(1993));
}

#[test]
fn another_protocol_or_an_unknown_badge_opens_nothing() {
    let mut net = pair(1);
    let stack = &mut net.hosts[0].stack;
    assert_eq!(Client::open_badge(stack, 77).err(), Some(Refusal::Denied));
    stack.set_policy(77, Policy::everything());
    let bell = || Box::new(crate::testing::Bell::default());
    let other = Hello {
        version: 9,
        ..Hello::SOCKET
    };
    let memory = Shm::heap(1 << 20);
    assert_eq!(
        stack.open(77, &other, memory.clone(), bell()),
        Err(Refusal::Mismatch(Hello::SOCKET))
    );
    let small = memory.part(0, 4096).unwrap();
    assert_eq!(
        stack.open(77, &Hello::SOCKET, small, bell()),
        Err(Refusal::BadRequest)
    );
    for badge in 100..300 {
        stack.set_policy(badge, Policy::everything());
        let opened = stack.open(badge, &Hello::SOCKET, memory.clone(), bell());
        if opened.is_err() {
            assert_eq!(opened, Err(Refusal::Exhausted));
            return;
        }
    }
    panic!("sessions without end");
}

#[test]
fn garbage_on_the_channel_ends_that_session_alone() {
    // Any word of the channel may hold anything.
    for offset in (0..2048).step_by(4) {
        let mut net = Network::new(1);
        net.add(config(1));
        let (mut good, bad) = (net.hosts[0].client(1), net.hosts[0].client(2));
        for value in [1, 0x7fff_ffff, u32::MAX] {
            bad.memory.write(offset, &value.to_le_bytes()).unwrap();
            net.settle();
        }
        let reply = ask(&mut net, &mut good, |id| Request::Counters { id });
        assert!(matches!(reply, Reply::Counters { .. }));
        let counters = net.hosts[0].stack.counters();
        assert_eq!(counters.sessions + counters.violations, 2);
    }
}

#[test]
fn messages_that_are_none_end_the_session() {
    let mut net = Network::new(1);
    net.add(config(1));
    for first in 13..=255u8 {
        let mut client = net.hosts[0].client(u64::from(first));
        // A request that is sent whole, then changed where it lies.
        client.send(&Request::Counters { id: 0x55 });
        let mut memory = std::vec![0; 4096];
        client.memory.read(0, &mut memory).unwrap();
        let at = memory.windows(2).position(|pair| pair == [12, 0x55]);
        client.memory.write(at.unwrap(), &[first]).unwrap();
        net.settle();
        assert_eq!(net.hosts[0].stack.take_ended(), [client.session]);
    }
}

#[test]
fn handles_and_buffers_that_are_not_the_clients_are_refused() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (near, _far) = connected(&mut net, &mut a, &mut b);
    let mut other = net.hosts[0].client(3);
    let mut handles = std::vec![near.handle];
    for index in [0, 1, 5, 1023, 1024, u16::MAX] {
        for generation in [0, 1, u16::MAX] {
            handles.push(Handle { index, generation });
        }
    }
    for socket in handles {
        let close = ask(&mut net, &mut other, |id| Request::Close {
            id,
            socket,
            abort: true,
        });
        assert_eq!(failed(close), NetError::BadHandle);
        let option = ask(&mut net, &mut other, |id| Request::SetOption {
            id,
            socket,
            option: SocketOption::NoDelay(true),
        });
        assert_eq!(failed(option), NetError::BadHandle);
    }
    let good = Buffers {
        control: 1 << 20,
        rx: 2 << 20,
        rx_log2: 12,
        tx: 3 << 20,
        tx_log2: 12,
    };
    let bad = [
        Buffers { control: 0, ..good },
        Buffers { rx: 64, ..good },
        Buffers {
            tx: (3 << 20) + 4,
            ..good
        },
        Buffers {
            tx: u32::MAX - 63,
            ..good
        },
        Buffers {
            rx: 24 << 20,
            rx_log2: 22,
            ..good
        },
        Buffers { rx_log2: 9, ..good },
        Buffers {
            tx_log2: 255,
            ..good
        },
    ];
    for buffers in bad {
        let reply = ask(&mut net, &mut other, |id| Request::TcpConnect {
            id,
            remote: address(2, 80),
            local_port: 0,
            buffers,
        });
        assert_eq!(failed(reply), NetError::BadArgument, "{buffers:?}");
    }
    assert_eq!(net.hosts[0].stack.counters().sessions, 2);
}

#[test]
fn fifo_indices_that_lie_end_the_session_and_harm_nobody() {
    for (word, value) in [(64, 1u32 << 31), (68, 1 << 30), (68, 70_000), (64, 9)] {
        let mut net = pair(1);
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        let (_, local) = listen(&mut net, &mut b, address(2, 80), 8).unwrap();
        let near = connect(&mut net, &mut a, local).unwrap();
        // The first socket's control block is the first thing in the arena.
        let control = a.memory.len() - crate::testing::ARENA;
        a.memory
            .write(control + word, &value.to_le_bytes())
            .unwrap();
        a.touch(&near);
        net.run(SECOND);
        let ended = net.hosts[0].stack.take_ended();
        // An index within the capacity is not a lie that can be told.
        assert_eq!(ended.is_empty(), word == 64, "{word} {value}");
        net.run(SECOND * 80);
        let mut again = net.hosts[0].client(5);
        assert!(connect(&mut net, &mut again, local).is_ok());
    }
}

#[test]
fn wrong_states_are_typed_errors() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (listener, local) = listen(&mut net, &mut b, address(2, 80), 8).unwrap();
    assert_eq!(
        listen(&mut net, &mut b, address(2, 80), 8).err(),
        Some(NetError::AddressInUse)
    );
    assert_eq!(
        listen(&mut net, &mut b, address(9, 81), 8).err(),
        Some(NetError::AddressNotAvailable)
    );
    let near = connect(&mut net, &mut a, local).unwrap();
    let accept_on = |client: &mut Client, listener| {
        let (buffers, _) = client.buffers(12);
        move |id| Request::TcpAccept {
            id,
            listener,
            buffers,
        }
    };
    let request = accept_on(&mut a, near.handle);
    assert_eq!(failed(ask(&mut net, &mut a, request)), NetError::BadState);
    let shutdown = |socket| move |id| Request::Shutdown { id, socket };
    assert_eq!(
        failed(ask(&mut net, &mut b, shutdown(listener))),
        NetError::BadState
    );
    let connecting = start(&mut net, &mut a, address(77, 9)).unwrap();
    assert_eq!(
        failed(ask(&mut net, &mut a, shutdown(connecting.handle))),
        NetError::NotConnected
    );
    for (remote, error) in [
        ("10.0.0.2:0", NetError::BadArgument),
        ("0.0.0.0:80", NetError::BadArgument),
        ("127.0.0.1:80", NetError::Unreachable),
        ("10.0.0.1:80", NetError::Unreachable),
        ("10.0.0.255:80", NetError::Unreachable),
        ("224.0.0.1:80", NetError::Unreachable),
        ("8.8.8.8:80", NetError::Unreachable),
        ("[::]:80", NetError::BadArgument),
        ("[ff02::1]:80", NetError::Unreachable),
    ] {
        let got = start(&mut net, &mut a, remote.parse().unwrap()).err();
        assert_eq!(got, Some(error), "{remote}");
    }
}

#[test]
fn the_policy_rules_every_call() {
    let mut net = pair(1);
    let mut policy = Policy::everything();
    policy.allow.tcp_connect = false;
    policy.allow.udp = false;
    policy.allow.ping = false;
    policy.allow.resolve = false;
    policy.local_ports.clear();
    policy
        .local_ports
        .push(PortRange {
            first: 80,
            last: 81,
        })
        .unwrap();
    let mut a = Client::open(&mut net.hosts[0].stack, 9, policy).unwrap();
    let denied = |reply: Reply| assert_eq!(failed(reply), NetError::Denied);
    let (buffers, _) = a.buffers(12);
    denied(ask(&mut net, &mut a, |id| Request::TcpConnect {
        id,
        remote: address(2, 80),
        local_port: 0,
        buffers,
    }));
    denied(ask(&mut net, &mut a, |id| Request::UdpBind {
        id,
        local: address(1, 80),
        buffers,
    }));
    denied(ask(&mut net, &mut a, |id| Request::Ping {
        id,
        remote: "10.0.0.2".parse().unwrap(),
        sequence: 0,
        len: 0,
        timeout_ms: 1000,
    }));
    denied(ask(&mut net, &mut a, |id| Request::Resolve {
        id,
        name: "a.b".try_into().unwrap(),
        family: Family::Any,
        timeout_ms: 1000,
    }));
    assert_eq!(
        listen(&mut net, &mut a, address(1, 82), 1).err(),
        Some(NetError::Denied)
    );
    assert!(listen(&mut net, &mut a, address(1, 80), 1).is_ok());
    assert!(listen(&mut net, &mut a, address(1, 0), 1).is_ok());
    assert_eq!(net.hosts[0].stack.counters().refused, 5);
}

#[test]
fn peers_outside_the_policy_are_not_accepted() {
    let mut net = pair(1);
    let mut policy = Policy::everything();
    policy.remote.clear();
    policy
        .remote
        .push(Prefix {
            address: "192.168.0.0".parse().unwrap(),
            bits: 16,
        })
        .unwrap();
    let mut b = Client::open(&mut net.hosts[1].stack, 9, policy).unwrap();
    let mut a = net.hosts[0].client(1);
    let (_, local) = listen(&mut net, &mut b, address(2, 80), 1).unwrap();
    assert_eq!(
        connect(&mut net, &mut a, local).err(),
        Some(NetError::TimedOut)
    );
    // Outgoing ones neither, not even in the other family's clothes.
    for remote in ["10.0.0.1:80", "[::ffff:10.0.0.1]:80"] {
        assert_eq!(
            start(&mut net, &mut b, remote.parse().unwrap()).err(),
            Some(NetError::Denied)
        );
    }
}

#[test]
fn quotas_hold_and_come_back() {
    let mut net = pair(1);
    let mut policy = Policy::everything();
    policy.max_sockets = 4;
    let mut a = Client::open(&mut net.hosts[0].stack, 9, policy.clone()).unwrap();
    let mut open = Vec::new();
    for port in 80..84 {
        open.push(listen(&mut net, &mut a, address(1, port), 1).unwrap().0);
    }
    let full = Some(NetError::Exhausted);
    assert_eq!(listen(&mut net, &mut a, address(1, 90), 1).err(), full);
    assert_eq!(start(&mut net, &mut a, address(2, 90)).err(), full);
    close(&mut net, &mut a, open[0], false);
    assert!(listen(&mut net, &mut a, address(1, 90), 1).is_ok());

    policy.max_sockets = 100;
    policy.max_buffer_bytes = 64 * 1024;
    let mut b = Client::open(&mut net.hosts[0].stack, 10, policy).unwrap();
    let mut sockets = Vec::new();
    let error = loop {
        match start(&mut net, &mut b, address(77, 90)) {
            Ok(socket) => sockets.push(socket),
            Err(error) => break error,
        }
    };
    assert_eq!((error, sockets.len()), (NetError::Exhausted, 8));
    for socket in sockets {
        close(&mut net, &mut b, socket.handle, true);
    }
    net.run(SECOND * 5);
    assert_eq!(net.hosts[0].stack.memory_used, 0);
}

#[test]
fn a_client_that_reads_no_answers_takes_no_memory_and_no_time_of_others() {
    let mut net = pair(1);
    let (mut idle, mut other) = (net.hosts[0].client(1), net.hosts[0].client(2));
    let mut sent = 0;
    for _ in 0..1000 {
        let id = idle.id();
        if idle.channel.send(&Request::Counters { id }).is_ok() {
            sent += 1;
        }
        let _ = idle.channel.flush();
        net.settle();
    }
    // Both rings are full, and one answer may wait.
    assert!((64..=130).contains(&sent), "{sent}");
    let reply = ask(&mut net, &mut other, |id| Request::Counters { id });
    assert!(matches!(reply, Reply::Counters { .. }));
    net.run(SECOND);
    // What it asks and can't be answered does not keep the stack awake, and room does wake it.
    assert!(net.hosts[0].stack.prepare_sleep());
    while idle
        .channel
        .receive()
        .unwrap()
        .map(|reply| idle.replies.push(reply))
        .is_some()
    {}
    assert!(idle.channel.flush());
    net.hosts[0].stack.heard(u64::MAX);
    net.run(SECOND);
    idle.receive();
    assert_eq!(idle.replies.len(), sent);
}

#[test]
fn revoking_ends_derived_sessions_and_their_connections() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let stack = &mut net.hosts[0].stack;
    let derived = stack.derive(1, &Policy::everything()).unwrap();
    let mut c = Client::open_badge(stack, derived).unwrap();
    let (_, far) = connected(&mut net, &mut c, &mut b);
    let (_, kept) = connected(&mut net, &mut a, &mut b);
    net.hosts[0].stack.revoke_derived(1);
    assert_eq!(net.hosts[0].stack.take_ended(), [c.session]);
    net.run(SECOND);
    assert!(far.status.load().peer_closed);
    assert!(!kept.status.load().peer_closed);
    assert_eq!(
        Client::open_badge(&mut net.hosts[0].stack, derived).err(),
        Some(Refusal::Denied)
    );
}

#[test]
fn a_session_of_every_request_in_every_order_never_breaks_the_stack() {
    let mut net = pair(1);
    let mut random = crate::random::Random::new([5; 32]);
    for badge in 1..4 {
        let mut client = net.hosts[0].client(badge);
        let (buffers, _) = client.buffers(12);
        for _ in 0..3000 {
            let id = random.u32() % 16;
            let socket = Handle {
                index: random.u16() % 6,
                generation: random.u16() % 8,
            };
            let remote = address(random.u16() as u8 % 4, random.u16() % 3 + 80);
            let request = match random.u32() % 12 {
                0 => Request::TcpConnect {
                    id,
                    remote,
                    local_port: random.u16() % 3,
                    buffers,
                },
                1 => Request::TcpListen {
                    id,
                    local: address(random.u16() as u8 % 2, random.u16() % 3 + 80),
                    backlog: random.u16(),
                },
                2 => Request::TcpAccept {
                    id,
                    listener: socket,
                    buffers,
                },
                3 => Request::UdpBind {
                    id,
                    local: remote,
                    buffers,
                },
                4 => Request::Shutdown { id, socket },
                5 | 6 => Request::Close {
                    id,
                    socket,
                    abort: random.u32().is_multiple_of(2),
                },
                7 => Request::Cancel {
                    id,
                    target: random.u32() % 16,
                },
                8 => Request::Ping {
                    id,
                    remote: remote.ip(),
                    sequence: 0,
                    len: random.u16() % 1500,
                    timeout_ms: random.u32() % 100,
                },
                9 => Request::Inspect {
                    id,
                    position: random.u32(),
                },
                10 => Request::SetOption {
                    id,
                    socket,
                    option: SocketOption::KeepAlive(Some(random.u32() % 3)),
                },
                _ => Request::Resolve {
                    id,
                    name: "x.y".try_into().unwrap(),
                    family: Family::Any,
                    timeout_ms: 1,
                },
            };
            if client.channel.send(&request).is_ok() && random.u32().is_multiple_of(4) {
                client.channel.raise(random.u16() % 8);
            }
            let _ = client.channel.flush();
            net.settle();
            client.receive();
            if random.u32().is_multiple_of(50) {
                net.run(Duration::from_millis(100));
            }
        }
        let session = client.session;
        net.hosts[0].stack.close_session(session);
        net.run(SECOND * 70);
        let stack = &net.hosts[0].stack;
        assert_eq!((stack.flows.len(), stack.memory_used), (0, 0));
        assert!(stack.tcp_ports.is_empty() && stack.udp_ports.is_empty());
        assert!(stack.echoes.is_empty() && stack.listeners.len() == 0);
    }
}

#[test]
fn nobody_gets_more_by_opening_often_or_by_dividing() {
    let mut net = pair(1);
    let mut policy = Policy::everything();
    policy.max_buffer_bytes = 64 * 1024;
    policy.packets_per_second = 50;
    let stack = &mut net.hosts[0].stack;
    stack.set_policy(9, policy.clone());
    stack.set_policy(10, Policy::everything());
    let derived = stack.derive(9, &policy).unwrap();
    let grandchild = stack.derive(derived, &policy).unwrap();
    let mut clients = Vec::new();
    let refusal = loop {
        let badge = [9, derived, grandchild][clients.len() % 3];
        match Client::open_badge(&mut net.hosts[0].stack, badge) {
            Ok(client) => clients.push(client),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!((refusal, clients.len()), (Refusal::Exhausted, 16));
    let mut other = Client::open_badge(&mut net.hosts[0].stack, 10).unwrap();
    let mut count = 0;
    for client in &mut clients {
        while start(&mut net, client, address(77, 90)).is_ok() {
            count += 1;
        }
    }
    assert_eq!(count, 8);
    assert!(start(&mut net, &mut other, address(77, 90)).is_ok());
    // Nor by leaving what he had opened behind.
    let session = clients.remove(0).session;
    net.hosts[0].stack.close_session(session);
    clients.push(Client::open_badge(&mut net.hosts[0].stack, 9).unwrap());
    // Echo requests of all together keep to the rate, after a second's worth at once.
    net.run(SECOND * 10);
    net.log = Some(Vec::new());
    for client in &mut clients {
        for _ in 0..30 {
            let id = client.id();
            client.send(&Request::Ping {
                id,
                remote: [10, 0, 0, 2].into(),
                sequence: 1,
                len: 8,
                timeout_ms: 1000,
            });
        }
    }
    net.run(SECOND);
    let log = net.log.take().unwrap();
    let sent = log
        .iter()
        .filter(|(host, bytes)| *host == 0 && bytes[23] == 1)
        .count();
    assert!((50..=130).contains(&sent), "{sent}");
    for client in clients {
        net.hosts[0].stack.close_session(client.session);
    }
    net.hosts[0].stack.close_session(other.session);
    net.run(SECOND * 80);
    assert!(net.hosts[0].stack.accounts.is_empty());
    assert_eq!(net.hosts[0].stack.memory_used, 0);
    // Badges are not without end either, and not at the cost of others.
    let stack = &mut net.hosts[0].stack;
    assert!((0..100).any(|_| stack.derive(9, &policy) == Err(Refusal::Exhausted)));
    assert!(stack.derive(10, &policy).is_ok());
}
