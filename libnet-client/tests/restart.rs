//! A stack that dies, refuses, comes back, or is hostile.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use core::time::Duration;
use ipc_proto::{hello::Hello, setup::Refusal};
use libnet_client::{
    Config, ErrorKind, Family, Net, OpenError, TcpListener, TcpStream, UdpSocket, select,
    testing::FakeStack,
};
use std::{cell::Cell, rc::Rc};

const SECOND: Duration = Duration::from_secs(1);

fn start() -> (FakeStack, Net) {
    let stack = FakeStack::new();
    (stack.clone(), Net::new(stack, Config::default()))
}

#[test]
fn a_stack_that_comes_up_late_is_waited_for() {
    let (stack, net) = start();
    stack.kill();
    stack.after(3 * SECOND, FakeStack::restart);
    assert!(TcpListener::bind(&net, "0.0.0.0:80").is_ok());
    assert!(
        net.now() >= 3_000_000_000 && net.now() < 3_600_000_000,
        "{}",
        net.now()
    );
    assert!(stack.opens() < 30, "{} attempts", stack.opens());
}

#[test]
fn a_stack_that_never_comes_up_is_an_error_in_time() {
    let (stack, net) = start();
    stack.kill();
    let error = TcpStream::connect(&net, "10.0.0.1:80").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkDown);
    assert_eq!(
        error.to_string(),
        "Network is down: the network stack is not running"
    );
    assert_eq!(net.now(), 10_000_000_000);
    let error =
        TcpStream::connect_timeout(&net, &"10.0.0.1:80".parse().unwrap(), SECOND).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkDown);
    assert_eq!(net.now(), 11_000_000_000);
}

#[test]
fn a_stack_that_has_no_room_for_a_session_is_told_as_such() {
    let (stack, net) = start();
    stack.refuse(&[OpenError::Refused(Refusal::Exhausted); 1000]);
    let address = "10.0.0.1:80".parse().unwrap();
    let error = TcpStream::connect_timeout(&net, &address, SECOND).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    assert_eq!(net.now(), 1_000_000_000);
}

#[test]
fn refusals_that_cannot_change_are_told_at_once() {
    let (stack, net) = start();
    let mismatch = OpenError::Refused(Refusal::Mismatch(Hello::FRAME));
    stack.refuse(&[
        mismatch,
        OpenError::Refused(Refusal::Denied),
        OpenError::NoMemory,
    ]);
    for kind in [
        ErrorKind::Unsupported,
        ErrorKind::PermissionDenied,
        ErrorKind::OutOfMemory,
    ] {
        assert_eq!(net.counters().unwrap_err().kind(), kind);
    }
    assert!(net.counters().is_ok(), "a later call tries again");
    assert!(net.now() < 2_000_000_000);
}

#[test]
fn who_waits_on_a_revoked_session_learns_it() {
    let (stack, net) = start();
    let listener = TcpListener::bind(&net, "0.0.0.0:80").unwrap();
    let udp = UdpSocket::bind(&net, "0.0.0.0:0").unwrap();
    stack.after(SECOND, |stack| {
        stack.refuse(&[OpenError::Refused(Refusal::Denied)]);
        stack.kill();
        stack.restart();
    });
    let denied = ErrorKind::PermissionDenied;
    assert_eq!(listener.accept().unwrap_err().kind(), denied);
    assert_eq!(udp.recv_from(&mut [0]).unwrap_err().kind(), denied);
    assert!(net.now() < 3_000_000_000);
    // Permitted again after all: they are back.
    let client = TcpStream::connect(&net, "10.0.0.1:80").unwrap();
    let (server, _) = listener.accept().unwrap();
    server.write_all(b"x").unwrap();
    assert_eq!(client.read(&mut [0]), Ok(1));
}

#[test]
fn death_resets_streams_and_brings_listeners_and_datagrams_back() {
    let (stack, net) = start();
    let listener = TcpListener::bind(&net, "0.0.0.0:0").unwrap();
    let udp = UdpSocket::bind(&net, "0.0.0.0:0").unwrap();
    let (port, udp_port) = (
        listener.local_addr().unwrap().port(),
        udp.local_addr().unwrap().port(),
    );
    for _ in 0..3 {
        let client = TcpStream::connect(&net, ("10.0.0.1", port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        stack.after(SECOND, FakeStack::kill);
        stack.after(2 * SECOND, FakeStack::restart);
        assert_eq!(
            server.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        assert_eq!(server.read(&mut [0]), Ok(0));
        assert_eq!(
            client.write(b"x").unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        assert_eq!(
            client.write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        assert!(
            client.set_nodelay(true).is_err()
                && client.shutdown(libnet_client::Shutdown::Both).is_err()
        );
        // An accept that waits meanwhile goes on by itself.
        let next = net.spawn({
            let net = net.clone();
            async move {
                net.sleep(3 * SECOND).await;
                TcpStream::connect_async(&net, ("10.0.0.1", port)).await
            }
        });
        let (again, _) = net.block_on(listener.accept_async()).unwrap();
        assert_eq!(listener.local_addr().unwrap().port(), port);
        drop(again);
        net.block_on(next).unwrap();
        let sender = UdpSocket::bind(&net, "0.0.0.0:0").unwrap();
        sender
            .send_to(b"still there?", ("10.0.0.1", udp_port))
            .unwrap();
        assert_eq!(udp.recv_from(&mut [0; 99]).unwrap().0, 12);
    }
    assert!(stack.opens() > 3);
}

#[test]
fn questions_are_asked_again_and_connects_fail() {
    let (stack, net) = start();
    stack.add_name("host", &["10.0.0.1".parse().unwrap()]);
    stack.set_frozen(true);
    stack.after(SECOND, FakeStack::kill);
    stack.after(2 * SECOND, |stack| {
        stack.restart();
        stack.set_frozen(false);
    });
    assert_eq!(net.resolve("host", Family::Any).unwrap().len(), 1);
    stack.set_frozen(true);
    stack.after(SECOND, FakeStack::kill);
    assert_eq!(
        TcpStream::connect(&net, "10.0.0.1:9").unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn sending_waits_for_the_stack_to_come_back() {
    let (stack, net) = start();
    let udp = UdpSocket::bind(&net, "0.0.0.0:99").unwrap();
    stack.kill();
    stack.after(SECOND, FakeStack::restart);
    net.block_on(net.sleep(Duration::from_millis(1)));
    udp.send_to(b"to myself", "10.0.0.1:99").unwrap();
    assert_eq!(udp.recv_from(&mut [0; 99]).unwrap().0, 9);
    assert!(net.now() >= 1_000_000_000);
}

/// A generator of numbers, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// Everything that a program may do, while somebody writes random words all over the session memory.
#[test]
fn nonsense_in_shared_memory_never_panics_and_ends_with_the_session() {
    for seed in 0..if cfg!(miri) { 1 } else { 40 } {
        let stack = FakeStack::new();
        stack.set_chunk(500);
        let config = Config {
            arena: 200 << 10,
            stack_timeout: SECOND,
            ..Config::default()
        };
        let net = Net::new(stack.clone(), config).with_buffers(4096, 4096);
        let numbers = Rc::new(Cell::new(seed * 7919 + 1));
        scribble_later(&stack, Rc::clone(&numbers), 200);
        let work = async {
            for round in 0..40u16 {
                let _ = net.timeout(SECOND, work_once(&net, round)).await;
            }
        };
        let _ = net.block_on(select(work, net.sleep(600 * SECOND)));
        // The writer has stopped: everything works again, after a while.
        stack.kill();
        stack.restart();
        let listener = TcpListener::bind(&net, "0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(&net, ("10.0.0.1", port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.write_all(b"well again").unwrap();
        assert_eq!(server.read(&mut [0; 99]), Ok(10), "seed {seed}");
    }
}

fn scribble_later(stack: &FakeStack, numbers: Rc<Cell<u64>>, rounds: u32) {
    stack.after(Duration::from_millis(rounds as u64 % 7), move |stack| {
        let mut random = Numbers(numbers.get());
        if let Some(memory) = stack.memory() {
            // Mostly where the channel's words, the first slots and the first control blocks are.
            let limit = if random.below(2) == 0 {
                1024.min(memory.len())
            } else {
                memory.len()
            };
            for _ in 0..=random.below(4) {
                let offset = random.below(limit / 4) * 4;
                let value = match random.below(3) {
                    0 => random.below(300) as u32,
                    1 => u32::MAX - random.below(300) as u32,
                    _ => random.below(usize::MAX) as u32,
                };
                memory
                    .store(offset, value, core::sync::atomic::Ordering::Relaxed)
                    .unwrap();
            }
        }
        numbers.set(random.0);
        if rounds > 0 {
            scribble_later(stack, numbers, rounds - 1);
        }
    });
}

async fn work_once(net: &Net, round: u16) {
    let port = 1000 + round;
    let Ok(listener) = TcpListener::bind_async(net, ("0.0.0.0", port)).await else {
        return;
    };
    let Ok(udp) = UdpSocket::bind_async(net, ("0.0.0.0", port)).await else {
        return;
    };
    let Ok(client) = TcpStream::connect_async(net, ("10.0.0.1", port)).await else {
        return;
    };
    let Ok((server, _)) = listener.accept_async().await else {
        return;
    };
    let _ = net.counters_async().await;
    let _ = udp.send_to_async(&[1; 1000], ("10.0.0.1", port)).await;
    let mut buffer = [0; 3000];
    for _ in 0..20 {
        let _ = client.write_async(&[7; 2000]).await;
        let _ = net
            .timeout(Duration::from_millis(20), server.read_async(&mut buffer))
            .await;
        let _ = net
            .timeout(Duration::from_millis(20), udp.recv_from_async(&mut buffer))
            .await;
        let _ = (
            server.is_readable(),
            client.is_writable(),
            client.peer_addr(),
            udp.take_error(),
        );
    }
}

/// The request to open was on its way when the session went.
#[test]
fn who_opens_on_a_session_that_is_revoked_learns_it() {
    let (stack, net) = start();
    let _up = TcpListener::bind(&net, "0.0.0.0:80").unwrap();
    stack.set_frozen(true);
    stack.after(SECOND, |stack| {
        stack.refuse(&[OpenError::Refused(Refusal::Denied)]);
        stack.kill();
        stack.restart();
    });
    let error = TcpListener::bind(&net, "0.0.0.0:81").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(net.now() < 3_000_000_000);
}
