//! A program with an event loop of its own: it sleeps where it likes, and [`Net::step`] does the network's part.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use core::time::Duration;
use libnet_client::{
    Config, ErrorKind, Net, System, TcpListener, TcpStream, UdpSocket, testing::FakeStack,
};

fn start() -> (FakeStack, Net) {
    let stack = FakeStack::new();
    (stack.clone(), Net::new(stack, Config::default()))
}

/// The program's loop: it sleeps only if the step says so, and only till then. What wakes it is not the network's to collect, so the
/// stack has rung before the program looks.
fn run(stack: &FakeStack, net: &Net, mut is_done: impl FnMut() -> bool) -> u32 {
    let mut sleeps = 0;
    for _ in 0..10_000 {
        let may_sleep = net.step();
        if is_done() {
            return sleeps;
        }
        if let Some(deadline) = may_sleep {
            sleeps += 1;
            let _ = stack.clone().wait(deadline);
        }
    }
    panic!("the program never ends");
}

#[test]
fn a_loop_of_ones_own_serves_connections() {
    let (stack, net) = start();
    stack.set_chunk(1000);
    let (server, client) = (net.clone(), net.clone());
    let _echo = net.spawn(async move {
        let listener = TcpListener::bind_async(&server, "0.0.0.0:7").await.unwrap();
        let (stream, _) = listener.accept_async().await.unwrap();
        let mut buffer = [0; 500];
        while let len @ 1.. = stream.read_async(&mut buffer).await.unwrap() {
            stream.write_all_async(&buffer[..len]).await.unwrap();
        }
    });
    let task = net.spawn(async move {
        client.sleep(Duration::from_millis(5)).await;
        let stream = TcpStream::connect_async(&client, "10.0.0.1:7")
            .await
            .unwrap();
        let sent: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
        let mut got = vec![0; sent.len()];
        let (writer, reader) = (stream.try_clone().unwrap(), stream);
        let (wrote, read) = libnet_client::join(
            writer.write_all_async(&sent),
            reader.read_exact_async(&mut got),
        )
        .await;
        wrote.unwrap();
        read.unwrap();
        assert_eq!(got, sent);
    });
    let sleeps = run(&stack, &net, || task.is_finished());
    assert!(sleeps > 3, "it sleeps whenever it can: {sleeps}");
    assert!(net.now() >= 5_000_000);
}

#[test]
fn a_sleeping_program_is_rung_and_one_that_steps_is_not() {
    let (stack, net) = start();
    let socket = UdpSocket::bind(&net, "0.0.0.0:53").unwrap();
    let received = net.clone();
    let task = net.spawn(async move {
        let mut buffer = [0; 100];
        let got = socket.recv_from_async(&mut buffer).await.unwrap();
        socket.send_to_async(&buffer[..got.0], got.1).await.unwrap();
        // Open till the stack has taken the answer.
        received.sleep(Duration::from_millis(1)).await;
    });
    while net.step().is_none() {}
    // Called without need: nothing happens, nobody is rung.
    let rings = stack.rings();
    assert_eq!(net.step(), Some(u64::MAX));
    assert_eq!(stack.rings(), rings);
    let other = UdpSocket::bind(&net, "0.0.0.0:0").unwrap();
    other.send_to(b"hello", "10.0.0.1:53").unwrap();
    run(&stack, &net, || task.is_finished());
    let mut buffer = [0; 100];
    assert_eq!(other.recv_from(&mut buffer).unwrap().0, 5);
}

#[test]
fn timers_and_death_of_the_stack_come_through_steps() {
    let (stack, net) = start();
    let sleeper = net.clone();
    let slept = net.spawn(async move { sleeper.sleep(Duration::from_secs(3)).await });
    let reader = net.clone();
    let read = net.spawn(async move {
        let stream = TcpStream::connect_async(&reader, "10.0.0.7:7")
            .await
            .unwrap();
        stream
            .read_async(&mut [0; 10])
            .await
            .map_err(|error| error.kind())
    });
    run(&stack, &net, || slept.is_finished());
    assert!(net.now() >= 3_000_000_000 && net.now() < 3_100_000_000);
    assert!(!read.is_finished());
    stack.kill();
    while net.step().is_none() {}
    assert!(read.is_finished());
    assert_eq!(net.block_on(read), Err(ErrorKind::ConnectionReset));
}
