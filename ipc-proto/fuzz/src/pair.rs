//! A client that behaves, and its peer on another host: a connection whose bytes are checked, and a peer for the other one.

use ipc_proto::{
    policy::Policy,
    socket::{Handle, Reply, Request},
};
use netstack::testing::{Client, Network, Socket};
use std::{net::Ipv4Addr, time::Duration};

/// Where the service listens: so many ports behind the connection's.
const SERVICE: u16 = 1;
const ARENA: usize = 16 * 1024;
/// Lookups of somebody else, all repeated at the same moments as a lost segment, may fill a host's few buffers each time: it is sent again after 1, 3,
/// 7, 15, 31 and 63 s, and by then they have been given up.
const LIMIT: Duration = Duration::from_secs(100);

/// Of a socket whose handle is not known yet.
const UNKNOWN: Handle = Handle {
    index: u16::MAX,
    generation: 0,
};

/// A connection between the hosts, and a service for anybody.
pub(crate) struct Pair {
    near: (Client, Socket),
    far: (Client, Socket),
    /// Bytes sent so far, which says what the next ones are.
    sent: u32,
    /// Bytes that are written on the way there and were not waited for.
    ahead: Vec<u8>,
    service: Client,
    listener: Handle,
    visitors: Vec<Socket>,
    accepting: Option<(u32, Socket)>,
}

fn open(net: &mut Network, host: usize, badge: u64, arena: usize) -> Client {
    let stack = &mut net.hosts[host].stack;
    let policy = Policy {
        max_sockets: 16,
        ..Policy::everything()
    };
    stack.set_policy(badge, policy);
    Client::open_sized(stack, badge, arena).expect("a session")
}

fn wait(net: &mut Network, client: &mut Client, id: u32) -> Reply {
    let mut answer = None;
    net.run_until(LIMIT, |_| {
        answer = client.answer(id);
        answer.is_some()
    });
    answer.expect("an answer")
}

fn listen(net: &mut Network, client: &mut Client, port: u16) -> Handle {
    let id = client.id();
    client.send(&Request::TcpListen {
        id,
        local: (Ipv4Addr::new(10, 0, 0, 2), port).into(),
        backlog: 4,
    });
    match wait(net, client, id) {
        Reply::Opened { socket, .. } => socket,
        other => panic!("{other:?}"),
    }
}

fn connect(client: &mut Client, remote: (Ipv4Addr, u16)) -> (u32, Socket) {
    let id = client.id();
    let (buffers, ends) = client.buffers(10);
    client.send(&Request::TcpConnect {
        id,
        remote: remote.into(),
        local_port: 0,
        buffers,
    });
    (id, Socket::new(UNKNOWN, ends))
}

fn accept(client: &mut Client, listener: Handle) -> (u32, Socket) {
    let id = client.id();
    let (buffers, ends) = client.buffers(10);
    client.send(&Request::TcpAccept {
        id,
        listener,
        buffers,
    });
    (id, Socket::new(UNKNOWN, ends))
}

/// Byte `at` of the good client's stream.
fn byte(at: u32) -> u8 {
    (at.wrapping_mul(2_654_435_761) >> 24) as u8
}

impl Pair {
    /// Opens the connection, to a port of the second host where nobody listens yet.
    pub(crate) fn new(net: &mut Network, port: u16) -> Pair {
        let mut near = open(net, 0, 1, ARENA);
        let mut far = open(net, 1, 1, ARENA);
        let mut service = open(net, 1, 2, 4 * ARENA);
        let listener = listen(net, &mut far, port);
        let (accepted, mut there) = accept(&mut far, listener);
        let (opened, mut here) = connect(&mut near, (Ipv4Addr::new(10, 0, 0, 2), port));
        match wait(net, &mut near, opened) {
            Reply::Opened { socket, .. } => here.handle = socket,
            other => panic!("{other:?}"),
        }
        match wait(net, &mut far, accepted) {
            Reply::Accepted { socket, .. } => there.handle = socket,
            other => panic!("{other:?}"),
        }
        let listener = listen(net, &mut service, port + SERVICE);
        Pair {
            near: (near, here),
            far: (far, there),
            sent: 0,
            ahead: Vec::new(),
            service,
            listener,
            visitors: Vec::new(),
            accepting: None,
        }
    }

    /// Sends so many bytes there and back, and compares.
    pub(crate) fn transfer(&mut self, net: &mut Network, len: usize) {
        let bytes = self.next(len);
        let mut expected = core::mem::take(&mut self.ahead);
        expected.extend(&bytes);
        let there = send(net, &mut self.near, &mut self.far, &bytes, expected.len());
        assert_eq!(there, expected, "on the way there");
        let back = send(net, &mut self.far, &mut self.near, &bytes, bytes.len());
        assert_eq!(back, bytes, "on the way back");
    }

    fn next(&mut self, len: usize) -> Vec<u8> {
        let bytes = (self.sent..).take(len).map(byte).collect();
        self.sent += len as u32;
        bytes
    }

    /// Writes so many bytes, as far as there is room, and waits for nothing.
    pub(crate) fn write(&mut self, len: usize) {
        let bytes = self.next(len);
        let (client, socket) = &mut self.near;
        let wrote = socket.writer.write(&bytes).expect("sound indices");
        client.touch(socket);
        self.ahead.extend(&bytes[..wrote]);
    }

    /// Answers whoever came to the service: some get an echo, all are closed when they are at their end.
    pub(crate) fn serve(&mut self, net: &mut Network) {
        self.service.receive();
        if self.visitors.len() < 8 && self.accepting.is_none() && self.service.has_buffers(10) {
            self.accepting = Some(accept(&mut self.service, self.listener));
            net.settle();
        }
        if let Some((id, mut socket)) = self.accepting.take() {
            match self.service.answer(id) {
                Some(Reply::Accepted { socket: handle, .. }) => {
                    socket.handle = handle;
                    self.visitors.push(socket);
                }
                Some(_) => {}
                None => self.accepting = Some((id, socket)),
            }
        }
        let service = &mut self.service;
        let mut chunk = [0; 256];
        self.visitors.retain_mut(|socket| {
            let len = socket.reader.read(&mut chunk).expect("sound indices");
            let _ = socket.writer.write(&chunk[..len]).expect("sound indices");
            service.touch(socket);
            let stays = !socket.status.load().peer_closed;
            if !stays {
                let id = service.id();
                let request = Request::Close {
                    id,
                    socket: socket.handle,
                    abort: len > 200,
                };
                let _ = service.channel.send(&request);
            }
            stays
        });
        let _ = self.service.channel.flush();
        net.settle();
    }

    /// Somebody from the other host tries a port of the first.
    pub(crate) fn visit(&mut self, net: &mut Network, which: u8) {
        if self.visitors.len() < 8 && self.service.has_buffers(10) {
            let port = [80, 81, 82, 49152][usize::from(which & 3)];
            let (id, mut socket) = connect(&mut self.service, (Ipv4Addr::new(10, 0, 0, 1), port));
            net.settle();
            if let Some(Reply::Opened { socket: handle, .. }) = self.service.answer(id) {
                socket.handle = handle;
                let len = usize::from(which);
                let _ = socket.writer.write(&[which; 256][..len]);
                self.service.touch(&socket);
                self.visitors.push(socket);
            }
        }
        if self.visitors.is_empty() && self.accepting.is_none() {
            self.service.forget_buffers();
        }
    }

    /// Ends what others opened with the service.
    pub(crate) fn forget_visits(&mut self, net: &mut Network) {
        let session = self.service.session;
        net.hosts[1].stack.close_session(session);
    }
}

fn send(
    net: &mut Network,
    (from, sender): &mut (Client, Socket),
    (to, receiver): &mut (Client, Socket),
    bytes: &[u8],
    expected: usize,
) -> Vec<u8> {
    let (mut sent, mut got) = (0, Vec::new());
    let mut chunk = [0; 512];
    let arrived = net.run_until(LIMIT, |_| {
        from.receive();
        to.receive();
        let wrote = sender.writer.write(&bytes[sent..]).expect("sound indices");
        sent += wrote;
        if wrote > 0 {
            from.touch(sender);
        }
        loop {
            let len = receiver.reader.read(&mut chunk).expect("sound indices");
            if len == 0 {
                break;
            }
            got.extend_from_slice(&chunk[..len]);
            to.touch(receiver);
        }
        got.len() >= expected && sent == bytes.len()
    });
    assert!(arrived, "the good client waits for its bytes");
    got
}
