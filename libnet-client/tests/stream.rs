//! Connections through the library and the fake stack: what arrives, what waits, what fails and how.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use core::{net::SocketAddr, time::Duration};
use embedded_io_async::{Read, Write};
use ipc_proto::socket::{NetError, Request, SocketOption};
use libnet_client::{
    Config, ErrorKind, Net, Shutdown, TcpListener, TcpStream, join, testing::FakeStack,
};

const SECOND: Duration = Duration::from_secs(1);

fn start() -> (FakeStack, Net) {
    let stack = FakeStack::new();
    (stack.clone(), Net::new(stack, Config::default()))
}

/// Two ends of a connection.
fn pair(net: &Net) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(net, "10.0.0.1:0").unwrap();
    let client = TcpStream::connect(net, listener.local_addr().unwrap()).unwrap();
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
    assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
    (client, server)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

#[test]
fn bytes_arrive_in_order_whatever_the_pieces() {
    for (buffers, chunk) in [
        (1 << 10, 1),
        (1 << 10, 777),
        (64 << 10, 10_000),
        (4 << 10, 1 << 20),
    ] {
        let (stack, net) = start();
        let net = net.with_buffers(buffers, buffers);
        stack.set_chunk(chunk);
        let (client, server) = pair(&net);
        let data = pattern(if chunk == 1 { 5_000 } else { 300_000 });
        let sent = data.clone();
        let (written, received) = net.block_on(join(
            async move {
                client.write_all_async(&sent).await?;
                client.shutdown(Shutdown::Write)
            },
            async {
                let mut received = Vec::new();
                let mut chunk = [0; 999];
                loop {
                    match server.read_async(&mut chunk).await.unwrap() {
                        0 => return received,
                        len => received.extend_from_slice(&chunk[..len]),
                    }
                }
            },
        ));
        assert_eq!(written, Ok(()));
        assert!(received == data, "buffers {buffers}, chunk {chunk}");
    }
}

#[test]
fn runs_are_written_together() {
    let (_stack, net) = start();
    let net = net.with_buffers(1 << 10, 1 << 10);
    let (client, server) = pair(&net);
    let data = pattern(1500);
    let parts = [&data[..10], &[], &data[10..700], &data[700..]];
    net.block_on(async {
        assert_eq!(client.write_vectored_async(&[&[], &[]]).await, Ok(0));
        let written = client.write_vectored_async(&parts).await.unwrap();
        assert_eq!(written, 1024);
        let mut received = vec![0; 1024];
        server.read_exact_async(&mut received).await.unwrap();
        assert_eq!(received, data[..1024]);
        client.shutdown(Shutdown::Write).unwrap();
        let refused = client.write_vectored_async(&parts).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn blocking_calls_read_and_write_partially() {
    let (_stack, net) = start();
    let (client, server) = pair(&net.with_buffers(1024, 1024));
    server.set_read_timeout(Some(SECOND)).unwrap();
    assert_eq!(client.write(&[1; 5000]), Ok(1024));
    let mut buffer = [0; 600];
    assert_eq!(server.read(&mut buffer), Ok(600));
    assert_eq!(server.peek(&mut buffer[..100]), Ok(100));
    assert_eq!(server.read(&mut buffer), Ok(424));
    assert_eq!(
        server.read(&mut buffer).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    assert_eq!(server.read(&mut []), Ok(0));
    assert_eq!(client.write(&[]), Ok(0));
    client.write_all(b"0123456789").unwrap();
    server.read_exact(&mut buffer[..10]).unwrap();
    assert_eq!(&buffer[..10], b"0123456789");
    client.write_all(b"rest").unwrap();
    drop(client);
    let mut rest = Vec::new();
    assert_eq!(server.read_to_end(&mut rest), Ok(4));
    assert_eq!(
        server.read_exact(&mut buffer).unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
}

#[test]
fn reading_tells_the_stack_that_there_is_room_again() {
    for step in [1, 100, 511, 512, 1023, 1024] {
        let (_stack, net) = start();
        // An echo: what was written waits in the stack until there is room for it.
        let echo = TcpStream::connect(&net.with_buffers(1024, 64 << 10), "10.0.0.7:7").unwrap();
        let data = pattern(40_000);
        echo.write_all(&data).unwrap();
        let mut received = vec![0; data.len()];
        for part in received.chunks_mut(step) {
            echo.read_exact(part).unwrap();
        }
        assert!(received == data);
    }
}

#[test]
fn calls_that_do_not_wait_reach_a_sleeping_stack_at_once() {
    let (stack, net) = start();
    let (client, server) = pair(&net);
    let doorbell_rung_by = |call: &dyn Fn()| {
        net.block_on(net.sleep(SECOND));
        let before = stack.rings();
        call();
        stack.rings() - before
    };
    assert_eq!(doorbell_rung_by(&|| client.write_all(b"one").unwrap()), 1);
    assert_eq!(doorbell_rung_by(&|| client.set_nodelay(true).unwrap()), 1);
    assert_eq!(
        doorbell_rung_by(&|| client.shutdown(Shutdown::Write).unwrap()),
        1
    );
    let server = core::cell::Cell::new(Some(server));
    assert_eq!(doorbell_rung_by(&|| drop(server.take())), 1);
}

#[test]
fn timeouts_take_as_long_as_they_say() {
    let (stack, net) = start();
    let (client, _server) = pair(&net.with_buffers(1024, 1024));
    let begin = net.now();
    client.set_read_timeout(Some(SECOND)).unwrap();
    assert_eq!(
        client.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    assert_eq!(net.now() - begin, 1_000_000_000);
    client.set_write_timeout(Some(2 * SECOND)).unwrap();
    stack.set_frozen(true);
    assert_eq!(client.write(&[0; 2000]), Ok(1024));
    assert_eq!(
        client.write(&[0; 2000]).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    assert_eq!(net.now() - begin, 3_000_000_000);
    assert_eq!(
        client
            .set_read_timeout(Some(Duration::ZERO))
            .unwrap_err()
            .kind(),
        ErrorKind::InvalidInput
    );
}

#[test]
fn nonblocking_calls_would_block() {
    let (_stack, net) = start();
    let listener = TcpListener::bind(&net, "0.0.0.0:80").unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let client = TcpStream::connect(&net, "10.0.0.1:80").unwrap();
    let server = loop {
        match listener.accept() {
            Ok((server, _)) => break server,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        net.block_on(net.sleep(SECOND));
    };
    server.set_nonblocking(true).unwrap();
    assert_eq!(
        server.read(&mut [0; 9]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    assert!(!server.is_readable().unwrap() && server.is_writable().unwrap());
    client.write_all(b"now").unwrap();
    net.block_on(net.sleep(SECOND));
    assert!(server.is_readable().unwrap());
    assert_eq!(server.read(&mut [0; 9]), Ok(3));
    let mut total = 0;
    let error = loop {
        match server.write(&[0; 10_000]) {
            Ok(len) => total += len,
            Err(error) => break error,
        }
        assert!(total < 10 << 20);
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(total >= 64 << 10);
}

#[test]
fn connecting_fails_as_the_network_says() {
    let (stack, net) = start();
    assert_eq!(
        TcpStream::connect(&net, "10.0.0.1:81").unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    stack.set_unreachable(Some(NetError::Unreachable));
    assert_eq!(
        TcpStream::connect(&net, "10.0.0.9:80").unwrap_err().kind(),
        ErrorKind::NetworkUnreachable
    );
    stack.set_unreachable(Some(NetError::TimedOut));
    let begin = net.now();
    let nobody: SocketAddr = "10.0.0.9:80".parse().unwrap();
    let error = TcpStream::connect_timeout(&net, &nobody, SECOND).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "Connection timed out");
    assert_eq!(net.now() - begin, 1_000_000_000);
    net.finish(SECOND).unwrap();
    assert_eq!(stack.sockets(), 0, "given up connections are closed");
    assert_eq!(
        TcpStream::connect(&net, "10.0.0.9:0").unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
}

#[test]
fn connect_tries_all_addresses() {
    let (_stack, net) = start();
    let _listener = TcpListener::bind(&net, "10.0.0.1:80").unwrap();
    let addresses: [SocketAddr; 2] = [
        "10.0.0.1:79".parse().unwrap(),
        "10.0.0.1:80".parse().unwrap(),
    ];
    let stream = TcpStream::connect(&net, &addresses[..]).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
}

#[test]
fn end_of_stream_comes_behind_the_bytes_and_the_other_direction_lives_on() {
    let (_stack, net) = start();
    let (client, server) = pair(&net);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        client.write(b"more").unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    let mut buffer = [0; 100];
    assert_eq!(server.read(&mut buffer), Ok(8));
    assert_eq!(server.read(&mut buffer), Ok(0));
    assert_eq!(server.read(&mut buffer), Ok(0));
    server.write_all(b"answer").unwrap();
    assert_eq!(client.read(&mut buffer), Ok(6));
    client.shutdown(Shutdown::Read).unwrap();
    assert_eq!(client.read(&mut buffer), Ok(0));
}

#[test]
fn dropping_loses_nothing_that_was_accepted() {
    let (stack, net) = start();
    stack.set_chunk(1000);
    let (client, server) = pair(&net);
    let data = pattern(64 << 10);
    client.write_all(&data).unwrap();
    drop(client);
    let mut received = Vec::new();
    server.read_to_end(&mut received).unwrap();
    assert!(received == data);
}

#[test]
fn reset_is_told_once_behind_the_bytes() {
    let (stack, net) = start();
    let (client, server) = pair(&net);
    client.write_all(b"last words").unwrap();
    net.block_on(net.sleep(SECOND));
    stack.reset_connections();
    net.block_on(net.sleep(SECOND));
    let mut buffer = [0; 100];
    assert_eq!(server.read(&mut buffer), Ok(10));
    assert_eq!(
        server.read(&mut buffer).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(server.read(&mut buffer), Ok(0));
    assert_eq!(
        server.write(b"x").unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    assert_eq!(
        client.take_error().unwrap().unwrap().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(client.take_error().unwrap(), None);
    assert_eq!(
        client.write(b"x").unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
}

#[test]
fn abort_resets_the_peer() {
    let (_stack, net) = start();
    let (client, server) = pair(&net);
    client.abort();
    assert_eq!(
        server.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn clones_share_the_connection() {
    let (stack, net) = start();
    let (client, server) = pair(&net);
    let clone = client.try_clone().unwrap();
    drop(client);
    clone.write_all(b"still here").unwrap();
    assert_eq!(server.read(&mut [0; 99]), Ok(10));
    drop(clone);
    assert_eq!(server.read(&mut [0; 99]), Ok(0));
    drop(server);
    net.finish(SECOND).unwrap();
    assert_eq!(stack.sockets(), 0);
}

#[test]
fn buffers_come_back_and_want_of_them_is_an_error() {
    let stack = FakeStack::new();
    let net = Net::new(
        stack,
        Config {
            arena: 600 << 10,
            ..Config::default()
        },
    );
    let listener = TcpListener::bind(&net, "10.0.0.1:80").unwrap();
    for _ in 0..50 {
        let one = TcpStream::connect(&net, "10.0.0.1:80").unwrap();
        let two = TcpStream::connect(&net, "10.0.0.1:80").unwrap();
        let (_accepted, _) = listener.accept().unwrap();
        let three = TcpStream::connect(&net, "10.0.0.1:80").unwrap();
        assert_eq!(
            TcpStream::connect(&net, "10.0.0.1:80").unwrap_err().kind(),
            ErrorKind::OutOfMemory
        );
        drop((one, two, three));
        net.finish(SECOND).unwrap();
        // What was not accepted above.
        while net
            .block_on(net.timeout(SECOND, listener.accept_async()))
            .is_ok()
        {}
        net.finish(SECOND).unwrap();
    }
}

#[test]
fn options_reach_the_stack() {
    let (stack, net) = start();
    let (client, _server) = pair(&net);
    let _ = stack.take_requests();
    client.set_nodelay(true).unwrap();
    client.set_keepalive(Some(Duration::from_secs(75))).unwrap();
    client.set_ttl(9).unwrap();
    client.set_user_timeout(None).unwrap();
    assert_eq!(
        client.set_ttl(256).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        client
            .set_keepalive(Some(Duration::ZERO))
            .unwrap_err()
            .kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!((client.nodelay(), client.ttl()), (Ok(true), Ok(9)));
    net.block_on(net.sleep(SECOND));
    let options: Vec<SocketOption> = stack
        .take_requests()
        .iter()
        .filter_map(|request| match request {
            Request::SetOption { option, .. } => Some(*option),
            _ => None,
        })
        .collect();
    let wanted = [
        SocketOption::NoDelay(true),
        SocketOption::KeepAlive(Some(75_000)),
        SocketOption::HopLimit(9),
        SocketOption::UserTimeout(None),
    ];
    assert_eq!(options, wanted);
}

/// Moves everything from one to the other, as a crate would that knows only the traits.
async fn pump<R: Read, W: Write>(mut from: R, mut to: W) -> usize {
    let (mut chunk, mut total) = ([0; 300], 0);
    while let Ok(len @ 1..) = from.read(&mut chunk).await {
        to.write_all(&chunk[..len]).await.unwrap();
        to.flush().await.unwrap();
        total += len;
    }
    total
}

#[test]
fn streams_are_readers_and_writers_for_other_crates() {
    let (_stack, net) = start();
    let (client, mut server) = pair(&net);
    client.write_all(&pattern(10_000)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let (reader, writer) = server.split();
    assert_eq!(net.block_on(pump(reader, writer)), 10_000);
    drop(server);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(answer == pattern(10_000));
    let error: &dyn embedded_io_async::Error = &client.write(b"x").unwrap_err();
    assert_eq!(error.kind(), embedded_io_async::ErrorKind::BrokenPipe);
}
