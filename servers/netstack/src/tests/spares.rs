//! Sockets that serve one connection after the other.

use super::*;
use crate::testing::Host;
use ipc_proto::socket::SocketOption;

/// A client's connection to the second host, through a listener that is closed again.
fn open(net: &mut Network, a: &mut Client, b: &mut Client) -> (Socket, Socket) {
    let (listener, local) = listen(net, b, address(2, 80), 8).unwrap();
    let near = connect(net, a, local).unwrap();
    let (far, _) = accept(net, b, listener).unwrap();
    close(net, b, listener, false);
    (near, far)
}

/// Two hosts; the second has so many bytes for connections.
fn pair_with_memory(max_memory: usize) -> Network {
    let mut net = Network::new(1);
    net.add(config(1));
    net.add(Config {
        max_memory,
        ..config(2)
    });
    net.run(SECOND);
    net
}

fn end(net: &mut Network, a: &mut Client, b: &mut Client, (near, far): (Socket, Socket)) {
    close(net, a, near.handle, false);
    net.run(SECOND);
    close(net, b, far.handle, false);
    net.run(SECOND);
}

fn spares(host: &Host) -> usize {
    host.stack.check_invariants();
    host.stack.spares.len()
}

/// The TCP segments that were sent: from which host, and with what time to live.
fn sent(net: &Network) -> Vec<(usize, u8)> {
    let log = net.log.as_ref().unwrap().iter();
    let segments = log.filter(|(_, bytes)| forge::segment(bytes).is_some());
    segments.map(|(from, bytes)| (*from, bytes[22])).collect()
}

fn hops(net: &Network, host: usize) -> u8 {
    sent(net).iter().rfind(|(from, _)| *from == host).unwrap().1
}

#[test]
fn a_socket_that_is_used_again_is_as_good_as_new() {
    let mut net = pair(1);
    net.log = Some(Vec::new());
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    for round in 0..4 {
        let (mut near, mut far) = open(&mut net, &mut a, &mut b);
        assert_eq!([spares(&net.hosts[0]), spares(&net.hosts[1])], [0, 0]);
        let bytes = pattern(300_000);
        let bytes = bytes.get(round * 1000..).unwrap();
        let got = transfer(
            &mut net,
            (&mut a, &mut near),
            (&mut b, &mut far),
            bytes,
            SECOND * 9,
        );
        assert!(got == bytes, "round {round}");
        let got = transfer(
            &mut net,
            (&mut b, &mut far),
            (&mut a, &mut near),
            bytes,
            SECOND * 9,
        );
        assert!(got == bytes, "round {round}");
        // Nobody probes, and the last connection's time to live is forgotten.
        assert_eq!([hops(&net, 0), hops(&net, 1)], [64, 64]);
        net.run(SECOND);
        let segments = sent(&net).len();
        net.run(SECOND * 5);
        assert_eq!(sent(&net).len(), segments);
        let socket = near.handle;
        for option in [
            SocketOption::HopLimit(9),
            SocketOption::NoDelay(true),
            SocketOption::KeepAlive(Some(1000)),
        ] {
            let done = ask(&mut net, &mut a, |id| Request::SetOption {
                id,
                socket,
                option,
            });
            assert!(matches!(done, Reply::Done { .. }), "{done:?}");
        }
        net.run(SECOND * 3);
        assert_eq!(hops(&net, 0), 9);
        end(&mut net, &mut a, &mut b, (near, far));
        assert_eq!([spares(&net.hosts[0]), spares(&net.hosts[1])], [1, 1]);
    }
    net.run(SECOND * 30);
    assert_eq!([spares(&net.hosts[0]), spares(&net.hosts[1])], [0, 0]);
}

#[test]
fn a_socket_serves_one_account_only() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut other, mut another) = (net.hosts[0].client(3), net.hosts[1].client(4));
    let first = open(&mut net, &mut a, &mut b);
    end(&mut net, &mut a, &mut b, first);
    let second = open(&mut net, &mut other, &mut another);
    assert_eq!([spares(&net.hosts[0]), spares(&net.hosts[1])], [1, 1]);
    end(&mut net, &mut other, &mut another, second);
    assert_eq!([spares(&net.hosts[0]), spares(&net.hosts[1])], [2, 2]);
}

#[test]
fn a_connection_that_was_reset_leaves_no_socket() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, far) = open(&mut net, &mut a, &mut b);
    near.writer.write(&pattern(1000)).unwrap();
    a.touch(&near);
    close(&mut net, &mut b, far.handle, true);
    net.run(SECOND);
    close(&mut net, &mut a, near.handle, false);
    net.run(SECOND * 5);
    assert_eq!(spares(&net.hosts[0]), 0);
}

#[test]
fn memory_is_for_connections_first() {
    let mut net = pair_with_memory(160 << 10);
    for round in 0..3 {
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        let (listener, local) = listen(&mut net, &mut b, address(2, 80 + round), 20).unwrap();
        let mut ends = Vec::new();
        // The smallest buffers: only without spare sockets do so many fit.
        for _ in 0..20 {
            let near = connect(&mut net, &mut a, local).unwrap();
            let (far, _) = accept(&mut net, &mut b, listener).unwrap();
            net.hosts[1].stack.check_invariants();
            ends.push((near, far));
        }
        assert_eq!(spares(&net.hosts[1]), 0);
        for socket in ends {
            end(&mut net, &mut a, &mut b, socket);
        }
        assert_eq!(spares(&net.hosts[1]), 5, "round {round}");
    }
}

#[test]
fn a_crowd_finds_as_many_sockets_as_the_last_one_left() {
    const CROWD: usize = 18;
    let max_memory = 2 << 20;
    let mut net = pair_with_memory(max_memory);
    for round in 0..3 {
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        let (listener, local) = listen(&mut net, &mut b, address(2, 80 + round), 20).unwrap();
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            let near = connect(&mut net, &mut a, local).unwrap();
            let (far, _) = accept(&mut net, &mut b, listener).unwrap();
            crowd.push((near, far));
        }
        assert_eq!(spares(&net.hosts[1]), 0, "round {round}");
        for socket in crowd.into_iter().rev() {
            close(&mut net, &mut a, socket.0.handle, false);
            close(&mut net, &mut b, socket.1.handle, false);
        }
        net.run(SECOND);
        assert_eq!(spares(&net.hosts[1]), CROWD, "round {round}");
        let bytes = net.hosts[1].stack.spares.bytes();
        assert!(bytes > max_memory / 5, "{bytes} are not much");
    }
}
