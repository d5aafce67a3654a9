//! Datagrams, echo requests and what delays them.

use super::*;
use ipc_proto::{fifo::Record, socket::Buffers};

/// Binds a socket.
pub(super) fn bind(
    net: &mut Network,
    client: &mut Client,
    local: SocketAddr,
) -> Result<Socket, NetError> {
    let (buffers, ends): (Buffers, _) = client.buffers(17);
    let id = client.id();
    client.send(&Request::UdpBind { id, local, buffers });
    let (handle, _) = opened(wait(net, client, id))?;
    Ok(Socket::new(handle, ends))
}

fn send(client: &mut Client, socket: &mut Socket, to: SocketAddr, bytes: &[u8]) {
    assert!(socket.writer.write_record(to, bytes).unwrap());
    client.touch(socket);
}

pub(super) fn receive(socket: &mut Socket) -> Option<(Record, Vec<u8>)> {
    let mut bytes = [0; 2000];
    let record = socket.reader.read_record(&mut bytes).unwrap()?;
    Some((record, bytes[..record.len].to_vec()))
}

#[test]
fn datagrams_of_all_sizes_come_back() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let mut near = bind(&mut net, &mut a, address(1, 5000)).unwrap();
    let mut far = bind(&mut net, &mut b, "[::]:7".parse().unwrap()).unwrap();
    for len in (0..=1472).step_by(23).chain([1472]) {
        let bytes = pattern(len);
        send(&mut a, &mut near, address(2, 7), &bytes);
        let mut got = None;
        net.run_until(SECOND, |_| {
            got = receive(&mut far);
            got.is_some()
        });
        let (record, got) = got.expect("lost");
        assert_eq!(record.peer, address(1, 5000));
        assert!(got == bytes);
        b.touch(&far);
        send(&mut b, &mut far, record.peer, &got);
        let mut back = None;
        net.run_until(SECOND, |_| {
            back = receive(&mut near);
            back.is_some()
        });
        a.touch(&near);
        assert!(back.expect("lost").1 == bytes, "{len}");
    }
}

#[test]
fn a_datagram_too_long_is_an_error_and_the_next_one_goes() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let mut near = bind(&mut net, &mut a, address(1, 5000)).unwrap();
    let mut far = bind(&mut net, &mut b, address(2, 7)).unwrap();
    send(&mut a, &mut near, address(2, 7), &pattern(1473));
    net.run(SECOND);
    assert_eq!(near.status.load().error, Some(NetError::MessageTooLong));
    send(&mut a, &mut near, address(2, 7), b"x");
    net.run(SECOND);
    assert_eq!(near.status.load().error, None);
    assert_eq!(receive(&mut far).unwrap().1, b"x");
}

#[test]
fn a_dead_neighbour_delays_nobody_else() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let mut near = bind(&mut net, &mut a, address(1, 5000)).unwrap();
    let mut far = bind(&mut net, &mut b, address(2, 7)).unwrap();
    // More dead neighbours than lanes, each with more datagrams than a lane holds.
    for dead in 50..70 {
        for _ in 0..20 {
            send(&mut a, &mut near, address(dead, 7), b"dead");
        }
    }
    send(&mut a, &mut near, address(2, 7), b"alive");
    let start = net.now;
    let mut got = None;
    net.run_until(SECOND * 30, |_| {
        got = receive(&mut far);
        got.is_some()
    });
    assert_eq!(got.expect("lost").1, b"alive");
    assert!(
        net.now.since(start) < SECOND * 2,
        "{:?}",
        net.now.since(start)
    );
}

#[test]
fn ping_works_and_tells_failures_apart() {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(1);
    let mut ping = |net: &mut Network, remote: &str, len| {
        let id = a.id();
        a.send(&Request::Ping {
            id,
            remote: remote.parse().unwrap(),
            sequence: 3,
            len,
            timeout_ms: 1000,
        });
        wait(net, &mut a, id)
    };
    for remote in ["10.0.0.2", "fe80::ff:fe00:2", "::ffff:10.0.0.2"] {
        for len in [0, 1, 56, 1452] {
            match ping(&mut net, remote, len) {
                Reply::Pong {
                    len: got,
                    hop_limit,
                    micros,
                    ..
                } => {
                    assert_eq!((got, hop_limit), (len, 64));
                    assert!(micros >= 200, "two trips over the wire: {micros}");
                }
                other => panic!("{remote} {len}: {other:?}"),
            }
        }
    }
    let failed = |reply| match reply {
        Reply::Failed { error, .. } => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(ping(&mut net, "10.0.0.99", 8)), NetError::TimedOut);
    assert_eq!(failed(ping(&mut net, "8.8.8.8", 8)), NetError::Unreachable);
    assert_eq!(
        failed(ping(&mut net, "10.0.0.2", 1453)),
        NetError::MessageTooLong
    );
}

#[test]
fn a_closed_socket_sends_what_was_written_and_gives_its_port_back() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let mut far = bind(&mut net, &mut b, address(2, 7)).unwrap();
    let mut near = bind(&mut net, &mut a, address(1, 5000)).unwrap();
    assert_eq!(
        bind(&mut net, &mut a, "0.0.0.0:5000".parse().unwrap()).err(),
        Some(NetError::AddressInUse)
    );
    for i in 0..6u8 {
        send(&mut a, &mut near, address(2, 7), &[i]);
    }
    let reply = close(&mut net, &mut a, near.handle, false);
    assert!(matches!(reply, Reply::Closed { .. }));
    net.run(SECOND * 5);
    let got: Vec<_> = core::iter::from_fn(|| receive(&mut far).map(|got| got.1[0])).collect();
    assert_eq!(got, [0, 1, 2, 3, 4, 5]);
    assert!(bind(&mut net, &mut a, address(1, 5000)).is_ok());
    assert_eq!(net.hosts[0].stack.flows.len(), 1);
}

#[test]
fn the_policy_rules_datagrams_both_ways() {
    let mut net = pair(1);
    let mut b = net.hosts[1].client(2);
    let mut policy = ipc_proto::policy::Policy::everything();
    policy.remote.clear();
    let only = ipc_proto::policy::Prefix {
        address: "10.0.0.77".parse().unwrap(),
        bits: 32,
    };
    policy.remote.push(only).unwrap();
    let mut a = Client::open(&mut net.hosts[0].stack, 9, policy).unwrap();
    let mut near = bind(&mut net, &mut a, address(1, 5000)).unwrap();
    let mut far = bind(&mut net, &mut b, address(2, 7)).unwrap();
    for to in ["10.0.0.2:7", "[::ffff:10.0.0.2]:7", "255.255.255.255:7"] {
        send(&mut a, &mut near, to.parse().unwrap(), b"out");
        net.run(SECOND);
        assert_eq!(near.status.load().error, Some(NetError::Denied), "{to}");
    }
    send(&mut b, &mut far, address(1, 5000), b"in");
    net.run(SECOND);
    assert!(receive(&mut near).is_none());
    assert!(receive(&mut far).is_none());
    assert_eq!(net.hosts[0].stack.counters().refused, 3);
}

#[test]
fn a_rate_of_packets_holds() {
    let mut net = pair(1);
    let mut b = net.hosts[1].client(2);
    let mut policy = ipc_proto::policy::Policy::everything();
    policy.packets_per_second = 10;
    let mut a = Client::open(&mut net.hosts[0].stack, 9, policy).unwrap();
    let mut near = bind(&mut net, &mut a, address(1, 5000)).unwrap();
    let mut far = bind(&mut net, &mut b, address(2, 7)).unwrap();
    for _ in 0..200 {
        send(&mut a, &mut near, address(2, 7), &[1; 100]);
    }
    net.run(SECOND * 5);
    let got = core::iter::from_fn(|| receive(&mut far)).count();
    // A second's worth at once, ten a second then; a turn may overdraw by what it sends, and pays it back.
    assert!((40..=130).contains(&got), "{got}");
}

#[test]
fn a_client_that_dies_while_its_socket_closes_leaves_one_orphan() {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(1);
    let mut near = bind(&mut net, &mut a, address(1, 5000)).unwrap();
    // More than a lane holds, for a neighbour that is not there: the socket can't be closed at once.
    for _ in 0..20 {
        send(&mut a, &mut near, address(77, 7), b"nobody");
    }
    let id = a.id();
    a.send(&Request::Close {
        id,
        socket: near.handle,
        abort: false,
    });
    net.run(Duration::from_millis(10));
    assert_eq!(a.answer(id), None);
    net.hosts[0].stack.close_session(a.session);
    for _ in 0..100 {
        net.run(Duration::from_millis(50));
        net.hosts[0].stack.check_invariants();
    }
    assert_eq!(net.hosts[0].stack.holdings().flows, 0);
}
