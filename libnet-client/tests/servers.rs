//! Listeners, datagrams, queries and tasks.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use ipc_proto::socket::{NetError, Request};
use libnet_client::{
    Config, Either, ErrorKind, Family, Net, Shutdown, TcpListener, TcpStream, UdpSocket, select,
    testing::FakeStack,
};
use std::{cell::Cell, rc::Rc};

const SECOND: Duration = Duration::from_secs(1);

fn start() -> (FakeStack, Net) {
    let stack = FakeStack::new();
    (stack.clone(), Net::new(stack, Config::default()))
}

/// Echoes until the peer ends its direction.
async fn echo(stream: TcpStream) {
    let mut buffer = [0; 2048];
    while let Ok(len @ 1..) = stream.read_async(&mut buffer).await {
        stream.write_all_async(&buffer[..len]).await.unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
}

#[test]
fn many_connections_in_one_thread() {
    let stack = FakeStack::new();
    stack.set_max_sockets(1000);
    stack.set_chunk(700);
    let net = Net::new(
        stack.clone(),
        Config {
            arena: 32 << 20,
            ..Config::default()
        },
    )
    .with_buffers(4096, 4096);
    let listener = TcpListener::bind(&net, "[::]:7").unwrap();
    listener.set_accepts_ahead(8);
    let tasks = net.clone();
    let _server = net.spawn(async move {
        loop {
            let (stream, _) = listener.accept_async().await.unwrap();
            tasks.spawn(echo(stream));
        }
    });
    let clients: Vec<_> = (0..300usize)
        .map(|number| {
            let net = net.clone();
            net.clone().spawn(async move {
                let stream = TcpStream::connect_async(&net, "10.0.0.1:7").await.unwrap();
                let data: Vec<u8> = (0..20_000).map(|i| (i * number) as u8).collect();
                let reader = stream.clone();
                let received = net.spawn(async move {
                    let mut all = Vec::new();
                    let mut chunk = [0; 500];
                    while let Ok(len @ 1..) = reader.read_async(&mut chunk).await {
                        all.extend_from_slice(&chunk[..len]);
                    }
                    all
                });
                stream.write_all_async(&data).await.unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                received.await == data
            })
        })
        .collect();
    net.block_on(async {
        for client in clients {
            assert!(client.await);
        }
    });
}

#[test]
fn accept_that_timed_out_loses_no_connection() {
    let (_stack, net) = start();
    let listener = TcpListener::bind(&net, "10.0.0.1:80").unwrap();
    for _ in 0..5 {
        let error = net
            .block_on(net.timeout(SECOND, listener.accept_async()))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let client = TcpStream::connect(&net, "10.0.0.1:80").unwrap();
        // Handed over while nobody accepts.
        net.block_on(net.sleep(SECOND));
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        drop(server);
    }
    assert_eq!(listener.incoming().take(0).count(), 0);
}

#[test]
fn dropped_listener_leaves_nothing() {
    let (stack, net) = start();
    let listener = TcpListener::bind(&net, "10.0.0.1:80").unwrap();
    assert!(
        net.block_on(net.timeout(SECOND, listener.accept_async()))
            .is_err()
    );
    let waiting: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect(&net, "10.0.0.1:80").unwrap())
        .collect();
    net.block_on(net.sleep(SECOND));
    drop(listener);
    for stream in &waiting {
        assert_eq!(
            stream.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    }
    drop(waiting);
    net.finish(SECOND).unwrap();
    assert_eq!(stack.sockets(), 0);
    assert!(TcpListener::bind(&net, "10.0.0.1:80").is_ok());
}

#[test]
fn connection_that_arrives_at_a_dropped_listener_is_closed() {
    let (stack, net) = start();
    let listener = TcpListener::bind(&net, "10.0.0.1:80").unwrap();
    // Asks the stack for a connection.
    assert!(
        net.block_on(net.timeout(SECOND, listener.accept_async()))
            .is_err()
    );
    let client = net.block_on(async {
        let connecting = net.spawn({
            let net = net.clone();
            async move { TcpStream::connect_async(&net, "10.0.0.1:80").await }
        });
        net.yield_now().await;
        // In one pass with the connect: the stack answers the accept before it sees the end of the listener.
        drop(listener);
        connecting.await.unwrap()
    });
    assert_eq!(
        client.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    drop(client);
    net.finish(SECOND).unwrap();
    assert_eq!(stack.sockets(), 0);
}

#[test]
fn ports_are_taken_once() {
    let (_stack, net) = start();
    let _first = TcpListener::bind(&net, "0.0.0.0:80").unwrap();
    assert_eq!(
        TcpListener::bind(&net, "0.0.0.0:80").unwrap_err().kind(),
        ErrorKind::AddrInUse
    );
}

#[test]
fn full_arena_and_quota_hold_connections_back() {
    let stack = FakeStack::new();
    stack.set_max_sockets(6);
    // Room for four sockets.
    let net = Net::new(
        stack,
        Config {
            arena: 530 << 10,
            ..Config::default()
        },
    );
    let listener = TcpListener::bind(&net, "10.0.0.1:80").unwrap();
    let connect = || TcpStream::connect(&net, "10.0.0.1:80").unwrap();
    let (one, two, three) = (connect(), connect(), connect());
    let (first, _) = listener.accept().unwrap();
    assert!(
        net.block_on(net.timeout(SECOND, listener.accept_async()))
            .is_err(),
        "no buffers"
    );
    drop(three);
    let (second, _) = listener.accept().unwrap();
    drop((one, two, first, second));
    let (third, _) = listener.accept().unwrap();
    assert_eq!(third.read(&mut [0]), Ok(0));
}

#[test]
fn many_connections_share_what_few_may_have() {
    let stack = FakeStack::new();
    stack.set_max_sockets(1000);
    let config = Config {
        arena: 9 << 20,
        ..Config::default()
    };
    let net = Net::new(stack, config);
    let listener = TcpListener::bind(&net, "10.0.0.1:80").unwrap();
    listener.set_smallest_buffers(4 << 10, 4 << 10);
    let small = net.with_buffers(1 << 10, 1 << 10);
    let mut room = Vec::new();
    let mut held = Vec::new();
    for _ in 0..200 {
        let client = TcpStream::connect(&small, "10.0.0.1:80").unwrap();
        let (server, _) = listener.accept().unwrap();
        room.push(server.write(&[0; 100_000]).unwrap());
        held.push((client, server));
    }
    assert_eq!(room[0], 64 << 10);
    assert_eq!(room[199], 4 << 10);
    assert!(room.windows(2).all(|two| two[1] <= two[0]), "{room:?}");
}

#[test]
fn datagrams_keep_their_borders() {
    let (_stack, net) = start();
    let server = UdpSocket::bind(&net, "0.0.0.0:7").unwrap();
    let client = UdpSocket::bind(&net, "0.0.0.0:0").unwrap();
    let stranger = UdpSocket::bind(&net, "0.0.0.0:0").unwrap();
    let at = |socket: &UdpSocket| {
        SocketAddr::new(
            "10.0.0.1".parse().unwrap(),
            socket.local_addr().unwrap().port(),
        )
    };
    for len in [0usize, 1, 7, 8, 1472, 9000, 65_000] {
        let datagram: Vec<u8> = (0..len).map(|i| i as u8).collect();
        assert_eq!(client.send_to(&datagram, "10.0.0.1:7"), Ok(len));
        let mut buffer = vec![0; 65_507];
        let (received, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((received, from), (len, at(&client)));
        assert!(buffer[..len] == datagram);
    }
    // Cut to the buffer.
    client.send_to(b"0123456789", "10.0.0.1:7").unwrap();
    assert_eq!(server.recv_from(&mut [0; 4]).unwrap().0, 4);
    // Only from the peer.
    client.connect("10.0.0.1:7").unwrap();
    stranger.send_to(b"spoof", at(&client)).unwrap();
    server.send_to(b"real", at(&client)).unwrap();
    let mut buffer = [0; 10];
    assert_eq!(client.recv(&mut buffer), Ok(4));
    assert_eq!(&buffer[..4], b"real");
    client.send(b"to the peer").unwrap();
    assert_eq!(server.recv_from(&mut [0; 99]).unwrap().0, 11);
    assert_eq!(
        server.recv(&mut buffer).unwrap_err().kind(),
        ErrorKind::NotConnected
    );
    let too_long = client.send_to(&[0; 65_536], "10.0.0.1:7").unwrap_err();
    assert_eq!(too_long.kind(), ErrorKind::MessageTooLong);
    client.set_read_timeout(Some(SECOND)).unwrap();
    assert_eq!(
        client.recv(&mut buffer).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    client.set_nonblocking(true).unwrap();
    assert_eq!(
        client.recv(&mut buffer).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn many_datagrams_through_a_small_buffer() {
    let (_stack, net) = start();
    let net = net.with_buffers(2048, 2048);
    let server = UdpSocket::bind(&net, "0.0.0.0:9").unwrap();
    let client = UdpSocket::bind(&net, "0.0.0.0:0").unwrap();
    // Almost as long as the buffer: each waits until the one before is gone.
    for number in 0..2000u32 {
        let mut datagram = vec![0; 1900 + number as usize % 100];
        datagram[..4].copy_from_slice(&number.to_le_bytes());
        client.send_to(&datagram, "10.0.0.1:9").unwrap();
        let mut buffer = [0; 2048];
        let (len, _) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((len, &buffer[..4]), (datagram.len(), &datagram[..4]));
    }
}

#[test]
fn names_are_looked_up() {
    let (stack, net) = start();
    let (v4, v6): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "fe80::1".parse().unwrap());
    stack.add_name("host", &[v6, v4]);
    assert_eq!(net.resolve("host", Family::Any), Ok(vec![v6, v4]));
    assert_eq!(net.resolve("host", Family::V4), Ok(vec![v4]));
    assert_eq!(
        net.resolve("::1", Family::Any),
        Ok(vec!["::1".parse().unwrap()])
    );
    assert_eq!(
        net.resolve("nobody", Family::Any).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        net.resolve("", Family::Any).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        net.resolve(&"x".repeat(254), Family::Any)
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
    let _listener = TcpListener::bind(&net, "0.0.0.0:80").unwrap();
    assert_eq!(
        TcpStream::connect(&net, ("host", 80))
            .unwrap()
            .peer_addr()
            .unwrap()
            .port(),
        80
    );
    // Dropped before its answer: taken back.
    net.block_on(net.sleep(SECOND));
    let _ = stack.take_requests();
    assert!(
        net.block_on(net.timeout(SECOND, net.resolve_async("silent", Family::Any)))
            .is_err()
    );
    net.block_on(net.sleep(SECOND));
    assert!(
        matches!(stack.take_requests()[..], [Request::Resolve { id, .. }, Request::Cancel { target, .. }] if id == target)
    );
    assert_eq!(net.resolve("host", Family::V4), Ok(vec![v4]));
}

#[test]
fn pings_and_inspection() {
    let (stack, net) = start();
    let pong = net
        .ping("10.0.0.9".parse().unwrap(), 1, 56, SECOND)
        .unwrap();
    assert_eq!(
        (pong.time, pong.len, pong.hop_limit),
        (Duration::from_micros(250), 56, 64)
    );
    assert_eq!(net.interface().unwrap().mtu, 1500);
    assert_eq!(net.sockets(), Ok(vec![]));
    assert_eq!(net.counters().unwrap().sockets, 0);
    let rings = net.rings().unwrap();
    let [ring] = rings.as_slice() else {
        panic!("{rings:?}");
    };
    // Ping, interface, sockets, counters, and this question; the answer to that was not there yet.
    assert_eq!((ring.peer, ring.slots, ring.tx_full), (1, 64, 0));
    assert_eq!((ring.rx_messages, ring.tx_messages), (5, 4));
    // A stack that never answers at all.
    stack.set_unreachable(Some(NetError::TimedOut));
    assert_eq!(
        net.ping("10.0.0.9".parse().unwrap(), 1, 56, SECOND)
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
}

#[test]
fn tasks_timers_and_foreign_events() {
    let (stack, net) = start();
    let begin = net.now();
    let order = Rc::new(Cell::new(0u32));
    let sleeper = |millis: u64| {
        let (net, order) = (net.clone(), Rc::clone(&order));
        net.clone().spawn(async move {
            net.sleep(Duration::from_millis(millis)).await;
            order.set(order.get() * 10 + millis as u32);
        })
    };
    let tasks = [sleeper(3), sleeper(1), sleeper(2)];
    net.block_on(async {
        for task in tasks {
            task.await;
        }
    });
    assert_eq!((order.get(), net.now() - begin), (123, 3_000_000));
    let first = net.block_on(select(net.sleep(SECOND), net.sleep(2 * SECOND)));
    assert_eq!(first, Either::First(()));
    assert_eq!(net.now() - begin, 1_003_000_000);
    stack.after(SECOND, FakeStack::signal_other);
    let event = net.on_event();
    net.block_on(event);
    assert_eq!(net.now() - begin, 2_003_000_000);
    // It is seen even if there is always something to do.
    stack.after(SECOND, FakeStack::signal_other);
    let busy = async {
        loop {
            net.sleep(Duration::from_micros(100)).await;
        }
    };
    let event = net.on_event();
    assert_eq!(net.block_on(select(event, busy)), Either::First(()));
}

#[test]
fn blocking_call_in_a_task_does_not_poll_the_others() {
    let (_stack, net) = start();
    let (one, two) = (net.clone(), net.clone());
    let ran = Rc::new(Cell::new(false));
    let other = Rc::clone(&ran);
    let task = net.spawn(async move {
        one.ping("10.0.0.9".parse().unwrap(), 1, 0, SECOND).unwrap();
        two.yield_now().await;
    });
    net.spawn(async move { other.set(true) });
    net.block_on(task);
    assert!(ran.get());
}

#[test]
fn one_doorbell_for_a_pass_of_many_writers() {
    let (stack, net) = start();
    let listener = TcpListener::bind(&net, "10.0.0.1:80").unwrap();
    let pairs: Vec<(TcpStream, TcpStream)> = (0..10)
        .map(|_| {
            (
                TcpStream::connect(&net, "10.0.0.1:80").unwrap(),
                listener.accept().unwrap().0,
            )
        })
        .collect();
    net.block_on(net.sleep(SECOND));
    let before = stack.rings();
    net.block_on(async {
        for (client, _) in &pairs {
            client.write_all_async(b"hello").await.unwrap();
        }
        net.yield_now().await;
        for (_, server) in &pairs {
            assert_eq!(server.read_async(&mut [0; 9]).await, Ok(5));
        }
    });
    assert_eq!(stack.rings() - before, 1);
}

/// What tasks do while others are ready is told the stack together, but not never.
#[test]
fn the_stack_is_rung_when_the_tasks_are_through() {
    let (stack, net) = start();
    let socket = UdpSocket::bind(&net, "0.0.0.0:0").unwrap();
    // How often it was rung by the end of so many passes, and then before the program slept.
    let rings = |passes: usize| {
        let before = stack.rings();
        net.block_on(async {
            for _ in 0..passes {
                socket.send_to_async(b"x", "10.0.0.1:9").await.unwrap();
                net.yield_now().await;
            }
            let working = stack.rings();
            net.sleep(Duration::from_millis(1)).await;
            [working - before, stack.rings() - working]
        })
    };
    // The stack goes to sleep.
    rings(0);
    assert_eq!([rings(1), rings(4)], [[0, 1]; 2]);
    assert_eq!(rings(100), [1, 0]);
}
