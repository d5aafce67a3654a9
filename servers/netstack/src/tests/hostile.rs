//! Peers that lie: clients, drivers, and the wire.

use super::*;
use crate::{
    classify::{Frame, Payload, frame},
    testing::Nic,
};
use ipc_proto::{
    frame::ToStack,
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

fn ask(net: &mut Network, client: &mut Client, request: impl Fn(u32) -> Request) -> Reply {
    let id = client.id();
    client.send(&request(id));
    wait(net, client, id)
}

// ---- clients ----------------------------------------------------------------------------------

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
    idle.receive();
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

// ---- drivers ----------------------------------------------------------------------------------

/// A stack with a driver that says `message`, which must cost it the attachment.
fn driver_says(lie: impl Fn(&mut Nic)) {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    lie(net.hosts[0].nic.as_mut().unwrap());
    net.hosts[0].stack.poll(net.now);
    assert!(!net.hosts[0].stack.has_driver());
    assert_eq!(net.hosts[0].stack.counters().driver_violations, 1);
    // With the next driver everything goes on.
    net.set_driver(0, true);
    let bytes = pattern(10_000);
    let got = transfer(
        &mut net,
        (&mut a, &mut near),
        (&mut b, &mut far),
        &bytes,
        SECOND * 10,
    );
    assert!(got == bytes);
}

#[test]
fn a_driver_that_names_buffers_it_does_not_have_is_detached() {
    for buffer in [511, 512, u16::MAX] {
        driver_says(|nic| nic.tell(&ToStack::Received { buffer, len: 60 }));
        driver_says(|nic| nic.tell(&ToStack::Transmitted { buffer }));
    }
    driver_says(|nic| {
        // One that it was given to receive into, as if it had been sent.
        let buffer = nic.empty[0];
        nic.tell(&ToStack::Transmitted { buffer });
    });
    driver_says(|nic| {
        let buffer = nic.empty[0];
        nic.tell(&ToStack::Received { buffer, len: 60 });
        nic.tell(&ToStack::Received { buffer, len: 60 });
    });
}

#[test]
fn a_driver_that_lies_about_lengths_is_detached() {
    for len in [0, 13, 2031, 2048, u16::MAX] {
        driver_says(|nic| {
            let buffer = nic.empty[0];
            nic.tell(&ToStack::Received { buffer, len });
        });
    }
}

#[test]
fn without_a_driver_the_stack_sleeps() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, _far) = connected(&mut net, &mut a, &mut b);
    net.set_driver(0, false);
    near.writer.write(b"waits").unwrap();
    a.touch(&near);
    net.settle();
    let mut passes = 0;
    let end = net.now.after(SECOND * 60);
    while net.now < end {
        let next = net.hosts[0].stack.poll(net.now);
        passes += 1;
        net.now = next.deadline.unwrap_or(end).min(end);
    }
    assert!(passes < 100, "{passes}");
}

#[test]
fn an_idle_stack_sleeps() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let _sockets = connected(&mut net, &mut a, &mut b);
    net.run(SECOND * 30);
    let mut passes = 0;
    let end = net.now.after(SECOND * 600);
    while net.now < end {
        let next = net.hosts[0].stack.poll(net.now);
        passes += 1;
        net.now = next.deadline.unwrap_or(end).min(end);
    }
    assert!(passes < 100, "{passes}");
    assert!(net.hosts[0].stack.prepare_sleep());
}

#[test]
fn a_driver_that_completes_nothing_is_detached() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, _far) = connected(&mut net, &mut a, &mut b);
    net.hosts[0].nic.as_mut().unwrap().withholds = true;
    near.writer.write(&pattern(50_000)).unwrap();
    a.touch(&near);
    net.run(SECOND * 4);
    assert!(net.hosts[0].stack.has_driver());
    net.run(SECOND * 12);
    assert!(!net.hosts[0].stack.has_driver());
}

#[test]
fn the_device_may_be_reset_at_any_time() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    for _ in 0..20 {
        let nic = net.hosts[0].nic.as_mut().unwrap();
        nic.take();
        nic.empty.clear();
        nic.tell(&ToStack::DeviceReset);
        let bytes = pattern(20_000);
        let got = transfer(
            &mut net,
            (&mut a, &mut near),
            (&mut b, &mut far),
            &bytes,
            SECOND * 20,
        );
        assert!(got == bytes);
    }
    assert!(net.hosts[0].stack.has_driver());
}

// ---- the wire ---------------------------------------------------------------------------------

/// Frames of every kind that the stack speaks.
fn corpus() -> Vec<Vec<u8>> {
    let mut net = pair(3);
    net.log = Some(Vec::new());
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    transfer(
        &mut net,
        (&mut a, &mut near),
        (&mut b, &mut far),
        &pattern(3000),
        SECOND,
    );
    close(&mut net, &mut a, near.handle, false);
    close(&mut net, &mut b, far.handle, false);
    connect(&mut net, &mut a, address(2, 9)).err();
    connect(&mut net, &mut a, "[fe80::ff:fe00:2]:9".parse().unwrap()).err();
    for remote in ["10.0.0.2", "fe80::ff:fe00:2"] {
        ask(&mut net, &mut a, |id| Request::Ping {
            id,
            remote: remote.parse().unwrap(),
            sequence: 1,
            len: 60,
            timeout_ms: 500,
        });
    }
    net.set_driver(0, true);
    net.run(SECOND);
    let log = net.log.unwrap();
    let mut frames: Vec<_> = log.into_iter().map(|(_, frame)| frame).collect();
    frames.dedup();
    frames
}

#[test]
fn no_frame_panics_whatever_was_changed_in_it() {
    let corpus = corpus();
    assert!(corpus.len() > 20, "{}", corpus.len());
    let mut net = pair(4);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (_near, _far) = connected(&mut net, &mut a, &mut b);
    listen(&mut net, &mut b, "[::]:9".parse().unwrap(), 8).unwrap();
    let mut random = crate::random::Random::new([9; 32]);
    for round in 0..30_000u32 {
        let mut frame = corpus[random.u32() as usize % corpus.len()].clone();
        for _ in 0..random.u32() % 4 {
            let at = random.u32() as usize % frame.len();
            frame[at] = match random.u32() % 3 {
                0 => 0,
                1 => 0xff,
                _ => random.u32() as u8,
            };
        }
        if random.u32() % 8 == 0 {
            frame.truncate(14 + random.u32() as usize % frame.len());
        }
        repair(&mut frame);
        // Some are truncated below what a driver may deliver.
        if frame.len() >= 14 {
            let nic = net.hosts[1].nic.as_mut().unwrap();
            nic.put(&frame);
        }
        net.hosts[1].stack.poll(net.now);
        net.hosts[1].nic.as_mut().unwrap().take();
        if round % 500 == 0 {
            net.run(SECOND);
        }
    }
    net.run(SECOND * 100);
    // Whatever happened, a new connection works.
    let (mut c, mut d) = (net.hosts[0].client(11), net.hosts[1].client(12));
    net.run(SECOND * 60);
    connected(&mut net, &mut c, &mut d);
}

/// Puts checksums right, so that changed frames get further. Half of the changes are in headers that have none.
fn repair(frame: &mut [u8]) {
    let sum = |bytes: &[u8], start: u32| {
        let mut sum = start;
        for pair in bytes.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !(sum as u16)
    };
    let set = |frame: &mut [u8], at: usize, value: u16| {
        if let Some(place) = frame.get_mut(at..at + 2) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    };
    let v4 = frame.get(12..14) == Some(&[8, 0]) && frame.len() >= 34;
    let v6 = frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.len() >= 54;
    let (addresses, body, protocol) = if v4 {
        let header = usize::from(frame[14] & 15) * 4;
        if header < 20 || 14 + header > frame.len() {
            return;
        }
        set(frame, 24, 0);
        let value = sum(&frame[14..14 + header], 0);
        set(frame, 24, value);
        (26..34, 14 + header, frame[23])
    } else if v6 {
        (22..54, 54, frame[20])
    } else {
        return;
    };
    let Some(at) = (match protocol {
        6 => Some(body + 16),
        17 => Some(body + 6),
        1 | 58 => Some(body + 2),
        _ => None,
    }) else {
        return;
    };
    set(frame, at, 0);
    let len = frame.len().saturating_sub(body) as u32;
    let pseudo = if protocol == 1 {
        0
    } else {
        u32::from(!sum(&frame[addresses], u32::from(protocol) + len))
    };
    let value = sum(frame.get(body..).unwrap_or_default(), pseudo);
    set(frame, at, value);
}

/// A SYN to 10.0.0.2:80 from anywhere.
fn syn(from: [u8; 4], port: u16, seq: u32) -> Vec<u8> {
    let mut frame = std::vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
    frame.extend(from);
    frame.extend([10, 0, 0, 2]);
    frame.extend(port.to_be_bytes());
    frame.extend([0, 80]);
    frame.extend(seq.to_be_bytes());
    frame.extend([0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    repair(&mut frame);
    frame
}

#[test]
fn a_flood_of_syns_takes_little_and_real_clients_still_connect() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (listener, local) = listen(&mut net, &mut b, address(2, 80), 8).unwrap();
    let mut random = crate::random::Random::new([1; 32]);
    let flood = |net: &mut Network, random: &mut crate::random::Random, count| {
        for _ in 0..count {
            let from = [10, 0, 0, 100 + (random.u32() % 100) as u8];
            let frame = syn(from, random.u16() | 1, random.u32());
            net.hosts[1].nic.as_mut().unwrap().put(&frame);
            net.hosts[1].stack.poll(net.now);
            for frame in net.hosts[1].nic.as_mut().unwrap().take() {
                net.transmit(1, &frame);
            }
        }
    };
    flood(&mut net, &mut random, 5000);
    let stack = &net.hosts[1].stack;
    assert_eq!(
        (stack.half_open.len(), stack.flows.len(), stack.memory_used),
        (crate::listener::MAX_HALF_OPEN, 0, 0)
    );
    // A few came from the same place.
    assert!(stack.counters().syn_dropped >= 2900);
    let start_at = net.now;
    let near = start(&mut net, &mut a, local).unwrap();
    net.run_until(SECOND * 10, |net| {
        flood(net, &mut random, 20);
        near.status.load().established
    });
    assert!(near.status.load().established);
    assert!(net.now.since(start_at) < SECOND * 3);
    accept(&mut net, &mut b, listener).unwrap();
    // The rest ages.
    net.run(SECOND * 30);
    assert_eq!(net.hosts[1].stack.half_open.len(), 0);
}

#[test]
fn senders_that_cannot_be_get_nothing() {
    let mut net = pair(1);
    let mut b = net.hosts[1].client(2);
    listen(&mut net, &mut b, address(2, 80), 8).unwrap();
    for from in [
        [0, 0, 0, 0],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [255, 255, 255, 255],
        [10, 0, 0, 2],
    ] {
        let before = net.hosts[1].stack.counters();
        net.hosts[1].nic.as_mut().unwrap().put(&syn(from, 5, 1));
        net.hosts[1].stack.poll(net.now);
        assert!(net.hosts[1].nic.as_mut().unwrap().take().is_empty());
        let after = net.hosts[1].stack.counters();
        let refused = |one: &ipc_proto::socket::Counters| one.rx_malformed + one.rx_dropped;
        assert_eq!(refused(&after), refused(&before) + 1, "{from:?}");
        assert_eq!(net.hosts[1].stack.half_open.len(), 0);
    }
}

#[test]
fn answers_to_those_who_ask_in_vain_are_limited() {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(1);
    // So that they know each other.
    assert!(connect(&mut net, &mut a, address(2, 81)).is_err());
    let mut answers = 0;
    for port in 0..2000 {
        let mut frame = syn([10, 0, 0, 1], port | 1, 1);
        frame[37] = 81;
        repair(&mut frame);
        net.hosts[1].nic.as_mut().unwrap().put(&frame);
        net.hosts[1].stack.poll(net.now);
        answers += net.hosts[1].nic.as_mut().unwrap().take().len();
    }
    assert!((100..=250).contains(&answers), "{answers}");
}

#[test]
fn nobody_takes_the_hosts_own_address() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    // An ARP reply that claims 10.0.0.2 for another machine, to 10.0.0.2 itself.
    let mut lie = std::vec![2, 0, 0, 0, 0, 2, 2, 9, 9, 9, 9, 9, 8, 6];
    lie.extend([0, 1, 8, 0, 6, 4, 0, 2, 2, 9, 9, 9, 9, 9, 10, 0, 0, 2]);
    lie.extend([2, 0, 0, 0, 0, 2, 10, 0, 0, 2]);
    net.hosts[1].nic.as_mut().unwrap().put(&lie);
    let got = transfer(
        &mut net,
        (&mut a, &mut near),
        (&mut b, &mut far),
        &pattern(5000),
        SECOND,
    );
    assert!(got == pattern(5000));
    assert!(matches!(frame(&lie), Frame::Arp { .. }));
    let unreachable: &[u8] = &[0; 20];
    assert!(matches!(frame(unreachable), Frame::Foreign));
    assert!(!matches!(
        frame(&syn([10, 0, 0, 1], 1, 1)),
        Frame::Ip(packet) if packet.payload == Payload::Other
    ));
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
                    abort: random.u32() % 2 == 0,
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
            if client.channel.send(&request).is_ok() && random.u32() % 4 == 0 {
                client.channel.raise(random.u16() % 8);
            }
            let _ = client.channel.flush();
            net.settle();
            client.receive();
            if random.u32() % 50 == 0 {
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
