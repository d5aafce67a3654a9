//! Connections.

use super::*;
use crate::{
    classify::{Frame, Payload, Segment, frame},
    testing::{Faults, Host},
};
use ipc_proto::socket::SocketOption;

/// The TCP segments that a host has sent.
fn segments(net: &Network, host: usize) -> Vec<Segment> {
    let log = net.log.as_ref().expect("no log");
    let sent = log.iter().filter(|(from, _)| *from == host);
    sent.filter_map(|(_, bytes)| match frame(bytes) {
        Frame::Ip(packet) => match packet.payload {
            Payload::Tcp(segment) => Some(segment),
            _ => None,
        },
        _ => None,
    })
    .collect()
}

/// Asserts that a host holds nothing of any connection.
fn assert_empty(host: &Host) {
    let stack = &host.stack;
    assert_eq!(stack.flows.len(), 0);
    assert!(stack.connections.is_empty() && stack.orphans.is_empty());
    assert_eq!((stack.memory_used, stack.half_open.len()), (0, 0));
}

#[test]
fn bytes_arrive_in_both_directions() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    let bytes = pattern(1 << 20);
    let got = transfer(
        &mut net,
        (&mut a, &mut near),
        (&mut b, &mut far),
        &bytes,
        SECOND * 20,
    );
    assert!(got == bytes);
    let got = transfer(
        &mut net,
        (&mut b, &mut far),
        (&mut a, &mut near),
        &bytes,
        SECOND * 20,
    );
    assert!(got == bytes);
}

#[test]
fn bytes_arrive_over_a_bad_wire() {
    for seed in 1..6 {
        let mut net = pair(seed);
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
        net.faults = Faults {
            loss: 20,
            reorder: 50,
            duplicate: 20,
        };
        let bytes = pattern(300_000);
        let got = transfer(
            &mut net,
            (&mut a, &mut near),
            (&mut b, &mut far),
            &bytes,
            SECOND * 300,
        );
        assert!(got == bytes, "seed {seed}: {} bytes", got.len());
    }
}

#[test]
fn connections_over_ipv6() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (listener, _) = listen(&mut net, &mut b, "[::]:80".parse().unwrap(), 8).unwrap();
    let remote = "[fe80::ff:fe00:2]:80".parse().unwrap();
    let mut near = connect(&mut net, &mut a, remote).unwrap();
    let (mut far, peer) = accept(&mut net, &mut b, listener).unwrap();
    assert!(peer.is_ipv6());
    let bytes = pattern(100_000);
    let got = transfer(
        &mut net,
        (&mut a, &mut near),
        (&mut b, &mut far),
        &bytes,
        SECOND * 5,
    );
    assert!(got == bytes);
    // The same listener takes IPv4.
    assert!(connect(&mut net, &mut a, address(2, 80)).is_ok());
}

#[test]
fn a_driver_that_dies_costs_a_pause_and_no_byte() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    let bytes = pattern(400_000);
    let mut got = Vec::new();
    for (round, part) in bytes.chunks(100_000).enumerate() {
        // Bytes under way when the driver goes.
        near.writer.write(&part[..20_000]).unwrap();
        a.touch(&near);
        net.settle();
        net.set_driver(round % 2, false);
        net.run(Duration::from_millis(500));
        net.set_driver(round % 2, true);
        let mut chunk = [0; 8192];
        let mut sent = 20_000;
        net.run_until(SECOND * 60, |_| {
            let wrote = near.writer.write(&part[sent..]).unwrap();
            sent += wrote;
            if wrote > 0 {
                a.touch(&near);
            }
            let len = far.reader.read(&mut chunk).unwrap();
            got.extend_from_slice(&chunk[..len]);
            b.touch(&far);
            got.len() >= (round + 1) * 100_000
        });
    }
    assert!(got == bytes, "{} bytes", got.len());
    assert_eq!(net.hosts[0].stack.attachments(), 3);
    assert_eq!(near.status.load().error, None);
}

#[test]
fn a_connection_to_a_new_neighbour_takes_three_trips() {
    for remote in ["10.0.0.2:80", "[fe80::ff:fe00:2]:80"] {
        let mut net = pair(1);
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        listen(&mut net, &mut b, "[::]:80".parse().unwrap(), 8).unwrap();
        let start = net.now;
        connect(&mut net, &mut a, remote.parse().unwrap()).unwrap();
        let took = net.now.since(start);
        assert!(took < Duration::from_millis(1), "{remote} {took:?}");
    }
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(1);
    assert_eq!(
        connect(&mut net, &mut a, address(2, 9)).err(),
        Some(NetError::ConnectionRefused)
    );
}

#[test]
fn a_host_that_is_not_there_times_out() {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(1);
    let start = net.now;
    assert_eq!(
        connect(&mut net, &mut a, address(77, 9)).err(),
        Some(NetError::TimedOut)
    );
    let took = net.now.since(start);
    assert!(took >= SECOND * 29 && took <= SECOND * 31, "{took:?}");
    let socket = start_with_timeout(&mut net, &mut a);
    let start = net.now;
    net.run_until(SECOND * 60, |_| socket.status.load().error.is_some());
    assert!(net.now.since(start) <= SECOND * 3);
}

fn start_with_timeout(net: &mut Network, client: &mut Client) -> Socket {
    let socket = start(net, client, address(77, 9)).unwrap();
    let id = client.id();
    client.send(&Request::SetOption {
        id,
        socket: socket.handle,
        option: SocketOption::UserTimeout(Some(2000)),
    });
    assert_eq!(wait(net, client, id), Reply::Done { id });
    socket
}

#[test]
fn a_peer_that_vanishes_ends_the_connection_in_time() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, _far) = connected(&mut net, &mut a, &mut b);
    // Idle is no reason to give up.
    net.run(SECOND * 1000);
    assert_eq!(near.status.load().error, None);
    net.set_driver(1, false);
    near.writer.write(b"hello").unwrap();
    a.touch(&near);
    net.run(SECOND * 119);
    assert_eq!(near.status.load().error, None);
    net.run(SECOND * 3);
    assert_eq!(near.status.load().error, Some(NetError::TimedOut));
}

#[test]
fn keep_alive_finds_out_that_an_idle_peer_is_gone() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (near, _far) = connected(&mut net, &mut a, &mut b);
    for option in [
        SocketOption::KeepAlive(Some(1000)),
        SocketOption::UserTimeout(Some(5000)),
    ] {
        let id = a.id();
        let socket = near.handle;
        a.send(&Request::SetOption { id, socket, option });
        assert_eq!(wait(&mut net, &mut a, id), Reply::Done { id });
    }
    net.run(SECOND * 100);
    assert_eq!(near.status.load().error, None);
    net.set_driver(1, false);
    net.run(SECOND * 10);
    assert_eq!(near.status.load().error, Some(NetError::TimedOut));
}

/// A client that ends its direction at once says so in the segment that answers the peer's FIN; one that does not holds up nobody.
#[test]
fn a_fin_is_answered_by_the_client_or_soon() {
    for answers in [true, false] {
        let mut net = pair(1);
        net.log = Some(Vec::new());
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        let (near, far) = connected(&mut net, &mut a, &mut b);
        net.run(SECOND);
        let before = segments(&net, 1).len();
        let id = a.id();
        let (socket, abort) = (near.handle, false);
        a.send(&Request::Close { id, socket, abort });
        net.run_until(SECOND, |_| far.status.load().peer_closed);
        let began = net.now;
        if answers {
            close(&mut net, &mut b, far.handle, false);
        } else {
            net.run_until(SECOND, |net| segments(net, 1).len() > before);
            assert!(net.now.since(began) <= Duration::from_millis(20));
        }
        net.run(SECOND);
        let sent: Vec<bool> = segments(&net, 1)
            .iter()
            .skip(before)
            .map(Segment::is_fin)
            .collect();
        assert_eq!(sent, [answers]);
    }
}

#[test]
fn half_close_ends_one_direction_behind_its_bytes() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    near.writer.write(&pattern(30_000)).unwrap();
    let id = a.id();
    a.send(&Request::Shutdown {
        id,
        socket: near.handle,
    });
    assert_eq!(wait(&mut net, &mut a, id), Reply::Done { id });
    let mut got = Vec::new();
    net.run_until(SECOND * 5, |_| {
        let status = far.status.load();
        let mut chunk = [0; 4096];
        let len = far.reader.read(&mut chunk).unwrap();
        got.extend_from_slice(&chunk[..len]);
        b.touch(&far);
        status.peer_closed && len == 0
    });
    assert!(got == pattern(30_000));
    // The other direction is open.
    assert!(!near.status.load().peer_closed);
    let got = transfer(
        &mut net,
        (&mut b, &mut far),
        (&mut a, &mut near),
        &pattern(50_000),
        SECOND * 5,
    );
    assert!(got == pattern(50_000));
}

#[test]
fn close_loses_nothing_and_leaves_nothing() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (listener, local) = listen(&mut net, &mut b, address(2, 80), 8).unwrap();
    for _ in 0..20 {
        let mut near = connect(&mut net, &mut a, local).unwrap();
        let (mut far, _) = accept(&mut net, &mut b, listener).unwrap();
        let bytes = pattern(60_000);
        assert_eq!(near.writer.write(&bytes).unwrap(), bytes.len());
        let reply = close(&mut net, &mut a, near.handle, false);
        assert!(matches!(reply, Reply::Closed { .. }));
        let mut got = Vec::new();
        net.run_until(SECOND * 10, |_| {
            let status = far.status.load();
            let mut chunk = [0; 4096];
            let len = far.reader.read(&mut chunk).unwrap();
            got.extend_from_slice(&chunk[..len]);
            b.touch(&far);
            status.peer_closed && len == 0
        });
        assert!(got == bytes);
        close(&mut net, &mut b, far.handle, false);
        // A closed handle is worth nothing.
        let again = close(&mut net, &mut b, far.handle, false);
        assert!(matches!(
            again,
            Reply::Failed {
                error: NetError::BadHandle,
                ..
            }
        ));
    }
    close(&mut net, &mut b, listener, false);
    net.run(SECOND * 15);
    assert_empty(&net.hosts[0]);
    assert_empty(&net.hosts[1]);
}

#[test]
fn abort_resets_the_peer() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (near, far) = connected(&mut net, &mut a, &mut b);
    close(&mut net, &mut a, near.handle, true);
    net.run(SECOND);
    let status = far.status.load();
    assert_eq!(status.error, Some(NetError::ConnectionReset));
    assert!(status.peer_closed);
}

#[test]
fn a_client_that_dies_leaves_nothing_and_its_peers_are_told() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let mut peers = Vec::new();
    for _ in 0..10 {
        let (mut near, far) = connected(&mut net, &mut a, &mut b);
        near.writer.write(&pattern(5000)).unwrap();
        peers.push(far);
    }
    listen(&mut net, &mut a, address(1, 99), 5).unwrap();
    let session = a.session;
    net.hosts[0].stack.close_session(session);
    net.run(SECOND);
    for far in &mut peers {
        let mut chunk = [0; 8192];
        let mut got = 0;
        net.run_until(SECOND, |_| {
            got += far.reader.read(&mut chunk).unwrap();
            far.status.load().peer_closed
        });
        // What was written before the end arrives.
        assert_eq!(got, 5000);
        close(&mut net, &mut b, far.handle, false);
    }
    net.run(SECOND * 70);
    assert_empty(&net.hosts[0]);
    assert_eq!(net.hosts[0].stack.sessions.len(), 0);
    assert_eq!(net.hosts[0].stack.counters().sockets, 0);
}

#[test]
fn a_backlog_holds_what_it_says_and_a_full_one_never_resets() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (listener, local) = listen(&mut net, &mut b, address(2, 80), 3).unwrap();
    net.log = Some(Vec::new());
    let sockets: Vec<_> = (0..5)
        .map(|_| start(&mut net, &mut a, local).unwrap())
        .collect();
    net.run(SECOND * 5);
    let established = |sockets: &[Socket]| {
        let all = sockets.iter().map(|socket| socket.status.load());
        all.filter(|status| status.established).count()
    };
    let waiting = |net: &Network| {
        let mut listeners = net.hosts[1].stack.listeners.iter();
        listeners.next().map(|(_, listener)| listener.ready.len())
    };
    assert_eq!(waiting(&net), Some(3));
    assert!(net.hosts[1].stack.counters().syn_dropped > 0);
    for _ in 0..5 {
        accept(&mut net, &mut b, listener).unwrap();
        net.run(SECOND * 10);
        assert!(waiting(&net) <= Some(3));
    }
    assert_eq!(established(&sockets), 5);
    assert!(!segments(&net, 1).iter().any(Segment::is_reset));
}

#[test]
fn accepts_that_wait_are_answered_or_taken_back() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (listener, local) = listen(&mut net, &mut b, address(2, 80), 3).unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = b.id();
        let (buffers, _) = b.buffers(12);
        b.send(&Request::TcpAccept {
            id,
            listener,
            buffers,
        });
        ids.push(id);
    }
    connect(&mut net, &mut a, local).unwrap();
    assert!(matches!(
        wait(&mut net, &mut b, ids[0]),
        Reply::Accepted { .. }
    ));
    let cancel = b.id();
    b.send(&Request::Cancel {
        id: cancel,
        target: ids[1],
    });
    let failed = |reply| match reply {
        Reply::Failed { error, .. } => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(wait(&mut net, &mut b, ids[1])), NetError::Cancelled);
    close(&mut net, &mut b, listener, false);
    assert_eq!(
        failed(wait(&mut net, &mut b, ids[2])),
        NetError::NotConnected
    );
}

#[test]
fn initial_sequence_numbers_and_ports_have_no_pattern() {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(1);
    net.log = Some(Vec::new());
    for _ in 0..150 {
        let socket = start(&mut net, &mut a, address(2, 9)).unwrap();
        net.run(Duration::from_millis(10));
        close(&mut net, &mut a, socket.handle, true);
        a.forget_buffers();
    }
    let syns = segments(&net, 0);
    let syns: Vec<_> = syns.iter().filter(|one| one.is_opening()).collect();
    let mut ports: Vec<_> = syns.iter().map(|syn| syn.src_port).collect();
    let mut isns: Vec<_> = syns.iter().map(|syn| syn.seq).collect();
    let rising = isns.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!((50..100).contains(&rising), "{rising}");
    ports.sort_unstable();
    ports.dedup();
    isns.sort_unstable();
    isns.dedup();
    assert!(
        ports.len() > 140 && isns.len() > 140,
        "{} {}",
        ports.len(),
        isns.len()
    );
    assert!(ports.iter().all(|port| *port >= 49152));
}

#[test]
fn a_lost_answer_to_a_syn_is_sent_again() {
    for seed in 1..20 {
        let mut net = pair(seed);
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        let (listener, local) = listen(&mut net, &mut b, address(2, 80), 3).unwrap();
        net.faults.loss = 150;
        let near = connect(&mut net, &mut a, local);
        let Ok(mut near) = near else {
            panic!("seed {seed}: {:?}", near.err());
        };
        let id = b.id();
        let (buffers, ends) = b.buffers(16);
        b.send(&Request::TcpAccept {
            id,
            listener,
            buffers,
        });
        let accepted = net.run_until(SECOND * 30, |_| {
            b.receive();
            !b.replies.is_empty()
        });
        assert!(accepted, "seed {seed}");
        let Some(Reply::Accepted { socket, .. }) = b.replies.pop() else {
            panic!("seed {seed}");
        };
        let mut far = Socket::new(socket, ends);
        // The accepting side speaks first: it must not depend on bytes from the other.
        let bytes = pattern(2000);
        let got = transfer(
            &mut net,
            (&mut b, &mut far),
            (&mut a, &mut near),
            &bytes,
            SECOND * 100,
        );
        assert!(got == bytes, "seed {seed}");
    }
}

#[test]
fn unreachable_ends_an_attempt_to_connect_and_nothing_else() {
    for (code, error, guess) in [
        (1, Some(NetError::Unreachable), 0),
        (3, Some(NetError::ConnectionRefused), 0),
        (3, None, 1),
        (4, None, 0),
    ] {
        let mut net = pair(1);
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        let (_near, far) = connected(&mut net, &mut a, &mut b);
        net.log = Some(Vec::new());
        // 10.0.0.2 knows where 10.0.0.1 is, and is told nothing by it.
        net.faults.loss = 1000;
        let trying = start(&mut net, &mut b, address(1, 9)).unwrap();
        net.settle();
        let log = net.log.take().unwrap();
        let is_syn = |bytes: &&(usize, Vec<u8>)| bytes.1.get(47) == Some(&2);
        let (_, syn) = log.iter().find(is_syn).unwrap();
        let tell = |net: &mut Network, quoted: &[u8]| {
            let mut frame = std::vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
            frame.extend([
                0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
            ]);
            frame.extend([3, code, 0, 0, 0, 0, 0, 0]);
            frame.extend(&quoted[14..42]);
            super::wire::repair(&mut frame);
            net.hosts[1].nic.as_mut().unwrap().put(&frame);
            net.settle();
        };
        let mut quoted = syn.clone();
        quoted[41] ^= guess;
        tell(&mut net, &quoted);
        assert_eq!(trying.status.load().error, error);
        for (_, bytes) in log
            .iter()
            .filter(|(host, bytes)| *host == 1 && bytes[13] == 0)
        {
            tell(&mut net, bytes);
        }
        assert_eq!(far.status.load().error, None);
    }
}

#[test]
fn a_peer_may_open_again_what_the_client_has_not_seen_end() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (listener, remote) = listen(&mut net, &mut b, address(2, 80), 8).unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        let id = a.id();
        let (buffers, ends) = a.buffers(12);
        a.send(&Request::TcpConnect {
            id,
            remote,
            local_port: 5555,
            buffers,
        });
        let (handle, _) = opened(wait(&mut net, &mut a, id)).unwrap();
        let near = Socket::new(handle, ends);
        net.run(SECOND);
        assert_eq!(near.status.load().error, None);
        assert!(near.status.load().established);
        let (far, _) = accept(&mut net, &mut b, listener).unwrap();
        // The peer ends it with a reset; the client keeps its socket.
        close(&mut net, &mut a, near.handle, true);
        net.run(SECOND * 5);
        assert_eq!(far.status.load().error, Some(NetError::ConnectionReset));
        held.push(far);
    }
    for far in held {
        close(&mut net, &mut b, far.handle, false);
    }
    net.run(SECOND * 70);
    let stack = &net.hosts[1].stack;
    assert!(stack.connections.is_empty());
    assert_eq!((stack.flows.len(), stack.memory_used), (0, 0));
}

#[test]
fn bytes_that_wait_for_a_slow_client_outlive_time_wait() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (listener, local) = listen(&mut net, &mut b, address(2, 0), 8).unwrap();
    // The client's FIFO holds a small part of what comes; the rest waits in the stack.
    let id = a.id();
    let (buffers, ends) = a.buffers(10);
    a.send(&Request::TcpConnect {
        id,
        remote: local,
        local_port: 0,
        buffers,
    });
    let (handle, _) = opened(wait(&mut net, &mut a, id)).unwrap();
    let mut near = Socket::new(handle, ends);
    let (mut far, _) = accept(&mut net, &mut b, listener).unwrap();
    // The slow side ends its direction first: it is the one that waits for old segments to die out.
    let socket = near.handle;
    let reply = ask(&mut net, &mut a, |id| Request::Shutdown { id, socket });
    assert!(matches!(reply, Reply::Done { .. }));
    let bytes = pattern(30_000);
    assert_eq!(far.writer.write(&bytes).unwrap(), bytes.len());
    close(&mut net, &mut b, far.handle, false);
    // Longer than that takes.
    net.run(SECOND * 50);
    let mut got = Vec::new();
    loop {
        let status = near.status.load();
        let mut chunk = [0; 500];
        let len = near.reader.read(&mut chunk).unwrap();
        got.extend_from_slice(&chunk[..len]);
        a.touch(&near);
        net.settle();
        if status.peer_closed && len == 0 {
            break;
        }
    }
    assert_eq!(got.len(), bytes.len());
    assert!(got == bytes);
    close(&mut net, &mut a, near.handle, false);
    close(&mut net, &mut b, listener, false);
    net.run(SECOND * 70);
    assert_empty(&net.hosts[0]);
}
