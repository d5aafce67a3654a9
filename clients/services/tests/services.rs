//! The services, as their clients see them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use core::time::Duration;
use ipc_proto::{
    socket::{Request as Asked, SocketOption},
    system::{MachineInfo, ProcessInfo, Reply, Request, RunState},
};
use libnet_client::{Config, ErrorKind, Net, Shutdown, TcpStream, UdpSocket, testing::FakeStack};
use std::rc::Rc;

const SECOND: Duration = Duration::from_secs(1);

struct Init;

impl services::Init for Init {
    fn ask(&self, request: &Request) -> Option<Reply> {
        match request {
            Request::Machine => Some(Reply::Machine(MachineInfo {
                frames: 32_768,
                free_frames: 30_000,
                uptime_micros: 12_345_678,
                idle_micros: 6_172_839,
                switches: 1,
                syscalls: 2,
                interrupts: 3,
            })),
            Request::Process {
                position: position @ 0..2,
            } => Some(Reply::Process {
                next: position + 1,
                process: Some(ProcessInfo {
                    id: 7,
                    name: ["netstack", "virtio-net"][usize::from(*position)]
                        .try_into()
                        .unwrap(),
                    state: if *position == 0 {
                        RunState::Running
                    } else {
                        RunState::Exited(4)
                    },
                    restarts: 1,
                    priority: 10,
                    cpu_micros: 5000,
                    caps: 12,
                    pages: 100,
                    budget_used: 50,
                    budget_limit: 8192,
                    syscalls: 99,
                    switches: 9,
                }),
            }),
            Request::Process { position } => Some(Reply::Process {
                next: *position,
                process: None,
            }),
            _ => None,
        }
    }
}

/// The services run as tasks whenever the test waits.
fn start() -> (FakeStack, Net) {
    start_with(64 << 20)
}

/// The same with an arena of so many bytes.
fn start_with(arena: usize) -> (FakeStack, Net) {
    let stack = FakeStack::new();
    stack.set_max_sockets(1000);
    let config = Config {
        arena,
        ..services::CONFIG
    };
    let net = Net::new(stack.clone(), config);
    let server = net.clone();
    net.spawn(async move { services::run(&server, Rc::new(Init)).await });
    net.block_on(net.sleep(SECOND));
    (stack, net)
}

async fn read_all(stream: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut chunk = [0; 3000];
    while let Ok(len @ 1..) = stream.read_async(&mut chunk).await {
        all.extend_from_slice(&chunk[..len]);
    }
    all
}

#[test]
fn echo_sends_everything_back_on_many_connections() {
    let (stack, net) = start();
    stack.set_chunk(3000);
    let clients: Vec<_> = (0..400usize)
        .map(|number| {
            let net = net.clone();
            net.clone().spawn(async move {
                let stream = TcpStream::connect_async(&net, "10.0.0.1:7").await.unwrap();
                let data: Vec<u8> = (0..50_000).map(|i| (i * (number + 1)) as u8).collect();
                let reader = stream.clone();
                let received = net.spawn(async move { read_all(&reader).await });
                stream.write_all_async(&data).await.unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                assert!(received.await == data);
            })
        })
        .collect();
    net.block_on(async {
        for client in clients {
            client.await;
        }
    });
}

/// Whatever came first and took large buffers.
#[test]
fn there_is_room_for_all_connections_that_the_services_take_at_once() {
    const ECHO: (u16, usize) = (7, 160);
    const DISCARD: (u16, usize) = (9, 24);
    const CHARGEN: (u16, usize) = (19, 24);
    let orders = [
        [ECHO, DISCARD, CHARGEN],
        [ECHO, CHARGEN, DISCARD],
        [CHARGEN, DISCARD, ECHO],
        [CHARGEN, ECHO, DISCARD],
        [DISCARD, ECHO, CHARGEN],
        [DISCARD, CHARGEN, ECHO],
    ];
    for order in orders {
        let connections: usize = order.iter().map(|(_, count)| count).sum();
        // The clients' buffers lie in the same memory.
        let (_stack, net) = start_with(services::CONFIG.arena + connections * 2300);
        net.block_on(async {
            let clients = net.with_buffers(1024, 1024);
            let mut streams = Vec::new();
            for (port, count) in order {
                for _ in 0..count {
                    let address = ("10.0.0.1", port);
                    let stream = TcpStream::connect_async(&clients, address).await.unwrap();
                    streams.push((port, stream));
                }
            }
            for (port, stream) in &streams {
                if *port != CHARGEN.0 {
                    stream.write_all_async(b"?").await.unwrap();
                }
                if *port == DISCARD.0 {
                    stream.shutdown(Shutdown::Write).unwrap();
                }
                let answer = net.timeout(SECOND, async { stream.read_async(&mut [0; 1]).await });
                let expected = if *port == DISCARD.0 { 0 } else { 1 };
                assert_eq!(answer.await, Ok(Ok(expected)), "port {port} of {order:?}");
            }
        });
    }
}

#[test]
fn echo_answers_datagrams_but_not_other_echo_servers() {
    let (_stack, net) = start();
    net.block_on(async {
        let net = net.with_buffers(64 << 10, 64 << 10);
        let socket = UdpSocket::bind_async(&net, "0.0.0.0:0").await.unwrap();
        for len in [0usize, 1, 1472, 40_000] {
            socket
                .send_to_async(&vec![5; len], "10.0.0.1:7")
                .await
                .unwrap();
            let mut buffer = vec![0; 65_507];
            let (received, from) = socket.recv_from_async(&mut buffer).await.unwrap();
            assert_eq!((received, from), (len, "10.0.0.1:7".parse().unwrap()));
            assert!(buffer[..len].iter().all(|byte| *byte == 5));
        }
        let chargen = UdpSocket::bind_async(&net, "0.0.0.0:19").await.unwrap();
        chargen.send_to_async(b"loop?", "10.0.0.1:7").await.unwrap();
        let answer = net
            .timeout(SECOND, chargen.recv_from_async(&mut [0; 9]))
            .await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn discard_takes_everything_and_says_nothing() {
    let (_stack, net) = start();
    net.block_on(async {
        let stream = TcpStream::connect_async(&net, "10.0.0.1:9").await.unwrap();
        for _ in 0..100 {
            stream.write_all_async(&[1; 10_000]).await.unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(read_all(&stream).await.is_empty());
    });
}

#[test]
fn chargen_sends_until_the_peer_closes() {
    let (stack, net) = start();
    net.block_on(async {
        let stream = TcpStream::connect_async(&net, "10.0.0.1:19").await.unwrap();
        stream.write_all_async(b"ignored").await.unwrap();
        // The end of our direction does not end it.
        stream.shutdown(Shutdown::Write).unwrap();
        let mut data = vec![0; 500_000];
        stream.read_exact_async(&mut data).await.unwrap();
        for (number, line) in data.chunks_exact(74).enumerate() {
            let wanted: Vec<u8> = (0..72)
                .map(|column| b' ' + ((number + column) % 95) as u8)
                .collect();
            assert_eq!((&line[..72], &line[72..]), (&wanted[..], &b"\r\n"[..]));
        }
        let before = stack.sockets();
        stream.abort();
        net.sleep(SECOND).await;
        assert_eq!(stack.sockets(), before - 2, "both ends are closed");
    });
}

#[test]
fn systat_has_a_line_for_each_process() {
    let (_stack, net) = start();
    net.block_on(async {
        let stream = TcpStream::connect_async(&net, "10.0.0.1:11").await.unwrap();
        let text = String::from_utf8(read_all(&stream).await).unwrap();
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(
            lines[0],
            "Causeway: up 12.345 s, idle 50.0 %, 30000 of 32768 frames free"
        );
        assert!(
            lines[4].starts_with("netstack           running           1   10          5    12"),
            "{text}"
        );
        assert!(lines[5].starts_with("virtio-net         exit 4"), "{text}");
        assert!(text.contains("sockets: "), "{text}");
    });
}

#[test]
fn systat_has_a_line_for_each_pair_of_rings() {
    let (_stack, net) = start();
    net.block_on(async {
        let stream = TcpStream::connect_async(&net, "10.0.0.1:11").await.unwrap();
        let text = String::from_utf8(read_all(&stream).await).unwrap();
        let mut lines = text
            .split("\r\n")
            .skip_while(|line| !line.starts_with("RING "));
        let headings = lines.next().unwrap().split_whitespace().count();
        // The only session has badge 1, which is that of the process at position 1.
        let line: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
        assert_eq!((headings, line.len()), (9, 9), "{text}");
        assert_eq!(line[..4], ["virtio-net", "64", "0", "0"], "{text}");
        assert!(line[4].parse::<u64>().unwrap() > 5, "{text}");
        assert_eq!(lines.next(), Some(""));
    });
}

#[test]
fn idle_connections_end() {
    let (_stack, net) = start();
    net.block_on(async {
        let stream = TcpStream::connect_async(&net, "10.0.0.1:7").await.unwrap();
        let begin = net.now();
        assert!(read_all(&stream).await.is_empty());
        assert_eq!((net.now() - begin) / 1_000_000_000, 300);
    });
}

/// Opens a connection to the echo service and says something.
async fn greet(net: &Net) -> TcpStream {
    let stream = TcpStream::connect_async(net, "10.0.0.1:7").await.unwrap();
    say(&stream).await;
    stream
}

async fn say(stream: &TcpStream) {
    stream.write_all_async(b"hello").await.unwrap();
    stream.read_exact_async(&mut [0; 5]).await.unwrap();
}

#[test]
fn the_longest_idle_connection_makes_room() {
    let (_stack, net) = start();
    net.block_on(async {
        let mut held = Vec::new();
        for _ in 0..160 {
            held.push(greet(&net).await);
        }
        // Nobody is idle for long enough: the next one waits, until number 7 is, since all others say something again.
        let begin = net.now();
        net.sleep(10 * SECOND).await;
        for (number, stream) in held.iter().enumerate() {
            if number != 7 {
                say(stream).await;
            }
        }
        let _next = greet(&net).await;
        assert_eq!((net.now() - begin) / 1_000_000_000, 20);
        let gone = held[7].read_async(&mut [0; 9]).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::ConnectionReset);
        // One after the other makes room, the longest idle one first.
        net.sleep(20 * SECOND).await;
        let begin = net.now();
        let mut later = Vec::new();
        for _ in 0..3 {
            later.push(greet(&net).await);
        }
        assert!(net.now() - begin < 1_000_000_000, "nobody has to wait");
        for number in [0, 1, 2] {
            let gone = held[number].read_async(&mut [0; 9]).await.unwrap_err();
            assert_eq!(gone.kind(), ErrorKind::ConnectionReset, "{number}");
        }
        say(&held[3]).await;
        for stream in &later {
            say(stream).await;
        }
    });
}

#[test]
fn one_that_reads_nothing_makes_room_too() {
    let (_stack, net) = start();
    net.block_on(async {
        let mut held = Vec::new();
        for _ in 0..24 {
            held.push(TcpStream::connect_async(&net, "10.0.0.1:19").await.unwrap());
        }
        net.sleep(10 * SECOND).await;
        // One reads on and stays.
        let mut some = vec![0; 300_000];
        held[0].read_exact_async(&mut some).await.unwrap();
        let begin = net.now();
        let next = TcpStream::connect_async(&net, "10.0.0.1:19").await.unwrap();
        next.read_exact_async(&mut some).await.unwrap();
        assert_eq!((net.now() - begin) / 1_000_000_000, 10);
        held[0].read_exact_async(&mut some).await.unwrap();
    });
}

#[test]
fn services_survive_the_death_of_the_stack() {
    let (stack, net) = start();
    for _ in 0..3 {
        net.block_on(async {
            let stream = TcpStream::connect_async(&net, "10.0.0.1:7").await.unwrap();
            stream.write_all_async(b"hello").await.unwrap();
            stream.read_exact_async(&mut [0; 5]).await.unwrap();
            stack.kill();
            net.sleep(SECOND).await;
            stack.restart();
            net.sleep(SECOND).await;
        });
    }
}

/// A connection that lasts is probed, so that it ends if its peer is gone; one that ends at once is not.
#[test]
fn connections_that_last_are_probed() {
    let (stack, net) = start();
    let probes = || {
        let requests = stack.take_requests();
        let is_probe = |request: &&Asked| {
            matches!(
                request,
                Asked::SetOption {
                    option: SocketOption::KeepAlive(Some(60_000)),
                    ..
                }
            )
        };
        requests.iter().filter(is_probe).count()
    };
    net.block_on(async {
        let short = TcpStream::connect_async(&net, "10.0.0.1:7").await.unwrap();
        let mut got = [0; 5];
        short.write_all_async(b"hello").await.unwrap();
        short.read_exact_async(&mut got).await.unwrap();
        net.sleep(SECOND / 10).await;
        drop(short);
        net.sleep(SECOND * 3).await;
        assert_eq!(probes(), 0);
        let _long = TcpStream::connect_async(&net, "10.0.0.1:7").await.unwrap();
        net.sleep(SECOND * 3).await;
        assert_eq!(probes(), 1);
    });
}
