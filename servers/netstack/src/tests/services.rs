//! DHCP and DNS, against servers that are clients of another stack.

use super::*;
use crate::dns::{Kind, Name, question};
use core::net::IpAddr;
use ipc_proto::{
    policy::Policy,
    socket::{AddressSource, Family},
};

/// An answer, to whom it may be not to go where the question came from.
type Sent = (Option<SocketAddr>, Vec<u8>);

/// A server: a UDP socket on host 1.
struct Server {
    client: Client,
    socket: Socket,
}

impl Server {
    fn new(net: &mut Network, badge: u64, port: u16) -> Server {
        let mut client = net.hosts[1].client(badge);
        let (buffers, ends) = client.buffers(16);
        let id = client.id();
        let local = ("0.0.0.0".parse::<IpAddr>().unwrap(), port).into();
        client.send(&Request::UdpBind { id, local, buffers });
        let (handle, _) = opened(wait(net, &mut client, id)).unwrap();
        Server {
            client,
            socket: Socket::new(handle, ends),
        }
    }

    /// Answers what has come.
    fn serve(&mut self, answer: &mut dyn FnMut(&[u8]) -> Option<Sent>) {
        let mut bytes = [0; 1500];
        while let Some(record) = self.socket.reader.read_record(&mut bytes).unwrap() {
            self.client.touch(&self.socket);
            if let Some((to, reply)) = answer(&bytes[..record.len]) {
                let to = to.unwrap_or(record.peer);
                assert!(self.socket.writer.write_record(to, &reply).unwrap());
                self.client.touch(&self.socket);
            }
        }
    }
}

/// What a DHCP server answers (RFC 2131).
fn dhcp(message: &[u8], lease: u32, offer: [u8; 4]) -> Option<(Option<SocketAddr>, Vec<u8>)> {
    let mut options = &message[240..];
    let mut kind = 0;
    while let [code, len, rest @ ..] = options {
        if *code == 255 {
            break;
        }
        if *code == 53 {
            kind = rest[0];
        }
        options = &rest[usize::from(*len)..];
    }
    let answer = match kind {
        1 => 2,
        3 => 5,
        _ => return None,
    };
    let mut reply = message[..240].to_vec();
    reply[0] = 2;
    reply[16..20].copy_from_slice(&offer);
    reply.extend([53, 1, answer, 54, 4, 10, 0, 0, 2]);
    reply.extend([1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 0, 2, 6, 4, 10, 0, 0, 2]);
    reply.extend([51, 4]);
    reply.extend(lease.to_be_bytes());
    reply.push(255);
    Some((Some("255.255.255.255:68".parse().unwrap()), reply))
}

fn dhcp_client() -> Network {
    let mut net = Network::new(7);
    net.add(Config::default());
    net.add(config(2));
    net
}

fn run_dhcp(net: &mut Network, server: &mut Server, lease: u32, offer: [u8; 4], time: Duration) {
    net.run_until(time, |_| {
        server.serve(&mut |message| dhcp(message, lease, offer));
        false
    });
}

fn v4_of(net: &Network) -> Option<IpAddr> {
    let info = net.hosts[0].stack.interface_info();
    let mut addresses = info.addresses.iter().map(|(address, _)| *address);
    addresses.find(IpAddr::is_ipv4)
}

/// As large as the client's own, for as long as much is left; then the usual, and less and less.
#[test]
fn buffers_are_as_large_as_the_clients_while_much_is_left() {
    const M: usize = 1 << 20;
    let mut net = Network::new(1);
    net.add(Config {
        max_memory: 32 * M,
        ..config(1)
    });
    let mut policy = Policy::everything();
    policy.max_buffer_bytes = 12 * M as u32;
    let stack = &mut net.hosts[0].stack;
    let mut client = Client::open(stack, 1, policy).unwrap();
    let session = stack.sessions.ids()[0];
    let ends = [16, 17, 18].map(|log2| client.buffers(log2).1);
    let mut size = |used: usize, ends| {
        stack.sessions.get_mut(session).unwrap().memory_used = used as u32;
        let size = stack.buffer_size(session, ends).unwrap();
        stack.sessions.get_mut(session).unwrap().memory_used = 0;
        size >> 10
    };
    let [small, usual, large] = &ends;
    assert_eq!(
        [None, Some(small), Some(usual)].map(|ends| size(0, ends)),
        [128; 3]
    );
    for (used, sizes) in [
        (0, [128, 256]),
        (5 * M, [64, 256]),
        (6 * M, [64, 64]),
        (10 * M, [32, 32]),
        (12 * M, [4, 4]),
    ] {
        let got = [usual, large].map(|ends| size(used, Some(ends)));
        assert_eq!(got, sizes, "{used} used");
    }
}

#[test]
fn an_address_is_leased_renewed_kept_over_a_new_driver_and_lost_at_its_end() {
    let mut net = dhcp_client();
    let mut server = Server::new(&mut net, 2, 67);
    run_dhcp(&mut net, &mut server, 100, [10, 0, 0, 5], SECOND * 5);
    let info = net.hosts[0].stack.interface_info();
    assert_eq!(v4_of(&net), Some([10, 0, 0, 5].into()));
    assert_eq!(info.source, AddressSource::Dhcp);
    assert_eq!(info.routers[..], [IpAddr::from([10, 0, 0, 2])]);
    assert_eq!(info.name_servers[..], [IpAddr::from([10, 0, 0, 2])]);
    assert!((44..=50).contains(&info.lease_seconds), "{info:?}");
    // Renewed for ten minutes.
    run_dhcp(&mut net, &mut server, 100, [10, 0, 0, 5], SECOND * 600);
    assert_eq!(v4_of(&net), Some([10, 0, 0, 5].into()));
    // A new driver: the address stays, and is confirmed.
    net.set_driver(0, false);
    run_dhcp(&mut net, &mut server, 100, [10, 0, 0, 5], SECOND);
    net.set_driver(0, true);
    assert_eq!(v4_of(&net), Some([10, 0, 0, 5].into()));
    run_dhcp(&mut net, &mut server, 100, [10, 0, 0, 5], SECOND * 5);
    assert_eq!(v4_of(&net), Some([10, 0, 0, 5].into()));
    // The server is gone: the lease ends.
    net.run(SECOND * 120);
    assert_eq!(v4_of(&net), None);
    assert_eq!(
        net.hosts[0].stack.interface_info().source,
        AddressSource::None
    );
}

#[test]
fn a_lease_of_no_time_is_not_taken_and_not_asked_for_without_end() {
    let mut net = dhcp_client();
    let mut server = Server::new(&mut net, 2, 67);
    net.log = Some(Vec::new());
    run_dhcp(&mut net, &mut server, 0, [10, 0, 0, 5], SECOND * 60);
    assert_eq!(v4_of(&net), None);
    let asked = net.log.take().unwrap();
    let asked = asked.iter().filter(|(host, _)| *host == 0).count();
    assert!((3..100).contains(&asked), "{asked}");
}

#[test]
fn a_lease_of_no_hosts_address_is_not_taken() {
    for bad in [
        [224, 0, 0, 1],
        [0, 0, 0, 0],
        [255, 255, 255, 255],
        [127, 0, 0, 1],
    ] {
        let mut net = dhcp_client();
        let mut server = Server::new(&mut net, 2, 67);
        run_dhcp(&mut net, &mut server, 100, bad, SECOND * 20);
        assert_eq!(v4_of(&net), None, "{bad:?}");
    }
}

/// A resolver host whose servers are 10.0.0.9 (nobody) and 10.0.0.2.
fn resolving() -> (Network, Client, Server) {
    let mut net = Network::new(3);
    net.add(Config {
        name_servers: [[10, 0, 0, 2].into()].into(),
        ..config(1)
    });
    net.add(config(2));
    net.run(SECOND);
    let client = net.hosts[0].client(1);
    let server = Server::new(&mut net, 2, 53);
    (net, client, server)
}

fn ask(client: &mut Client, name: &str, family: Family, timeout_ms: u32) -> u32 {
    let id = client.id();
    client.send(&Request::Resolve {
        id,
        name: name.try_into().unwrap(),
        family,
        timeout_ms,
    });
    id
}

/// Answers `host.test` with an address of each kind, everything else with what its name says.
fn dns(message: &[u8]) -> Option<(Option<SocketAddr>, Vec<u8>)> {
    let id = u16::from_be_bytes([message[0], message[1]]);
    let kind = if message[message.len() - 3] == 28 {
        Kind::Aaaa
    } else {
        Kind::A
    };
    let mut reply = message.to_vec();
    reply[2] = 0x81;
    let asks = |name: &str| question(id, &Name::new(name).unwrap(), kind) == message;
    if asks("host.test") {
        reply[7] = 1;
        reply.extend([0xc0, 12, 0]);
        match kind {
            Kind::A => reply.extend([1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 42]),
            Kind::Aaaa => {
                reply.extend([28, 0, 1, 0, 0, 0, 9, 0, 16]);
                reply.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 42]);
            }
        }
    } else if asks("empty.test") {
    } else if asks("broken.test") {
        reply[3] = 2;
    } else if asks("silent.test") {
        return None;
    } else {
        reply[3] = 3;
    }
    Some((None, reply))
}

#[test]
fn names_are_resolved_and_failures_told_apart() {
    let (mut net, mut client, mut server) = resolving();
    let mut resolve = |name: &str, family| {
        let id = ask(&mut client, name, family, 3000);
        let mut reply = None;
        net.run_until(SECOND * 10, |_| {
            server.serve(&mut dns);
            reply = client.answer(id);
            reply.is_some()
        });
        match reply.expect("no answer") {
            Reply::Resolved { addresses, .. } => Ok(addresses.to_vec()),
            Reply::Failed { error, .. } => Err(error),
            other => panic!("{other:?}"),
        }
    };
    let (v4, v6) = (
        IpAddr::from([10, 0, 0, 42]),
        "2001:db8::2a".parse::<IpAddr>().unwrap(),
    );
    assert_eq!(resolve("host.test", Family::V4), Ok([v4].into()));
    assert_eq!(resolve("HOST.test.", Family::V6), Ok([v6].into()));
    assert_eq!(resolve("host.test", Family::Any), Ok([v4, v6].into()));
    assert_eq!(resolve("no.test", Family::Any), Err(NetError::NameNotFound));
    assert_eq!(
        resolve("empty.test", Family::V4),
        Err(NetError::NameNotFound)
    );
    assert_eq!(
        resolve("broken.test", Family::V4),
        Err(NetError::NameServerFailed)
    );
    assert_eq!(resolve("silent.test", Family::V4), Err(NetError::TimedOut));
    assert_eq!(resolve("10.1.2.3", Family::V4).unwrap().len(), 1);
    assert_eq!(resolve("a..b", Family::V4), Err(NetError::BadArgument));
    assert_eq!(net.hosts[0].stack.flows.len(), 0);
    assert!(net.hosts[0].stack.udp_ports.is_empty());
}

#[test]
fn many_questions_are_under_way_at_once_and_the_rest_is_refused() {
    let (mut net, mut client, mut server) = resolving();
    let ids: Vec<u32> = (0..40)
        .map(|_| ask(&mut client, "host.test", Family::V4, 3000))
        .collect();
    let mut done = (0, 0);
    net.run_until(SECOND * 10, |_| {
        server.serve(&mut dns);
        for id in &ids {
            match client.answer(*id) {
                Some(Reply::Resolved { .. }) => done.0 += 1,
                Some(Reply::Failed {
                    error: NetError::Exhausted,
                    ..
                }) => done.1 += 1,
                Some(other) => panic!("{other:?}"),
                None => {}
            }
        }
        done.0 + done.1 == ids.len()
    });
    assert_eq!(done, (32, 8));
}

#[test]
fn identifiers_and_ports_have_no_pattern() {
    let (mut net, mut client, mut server) = resolving();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        for _ in 0..20 {
            ask(&mut client, "silent.test", Family::V4, 10);
        }
        net.run_until(SECOND, |_| {
            server.serve(&mut |message| {
                seen.insert((message[0], message[1]));
                None
            });
            false
        });
        client.receive();
    }
    assert!(seen.len() > 190, "{}", seen.len());
}

#[test]
fn a_question_can_be_taken_back() {
    let (mut net, mut client, _server) = resolving();
    let id = ask(&mut client, "silent.test", Family::V4, 60_000);
    net.run(SECOND);
    let cancel = client.id();
    client.send(&Request::Cancel {
        id: cancel,
        target: id,
    });
    assert_eq!(
        wait(&mut net, &mut client, cancel),
        Reply::Done { id: cancel }
    );
    assert_eq!(
        wait(&mut net, &mut client, id),
        Reply::Failed {
            id,
            error: NetError::Cancelled
        }
    );
}

#[test]
fn counters_sockets_and_addresses_are_told_to_those_who_may_know() {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(1);
    listen(&mut net, &mut a, "[::]:80".parse().unwrap(), 4).unwrap();
    let id = a.id();
    a.send(&Request::Inspect { id, position: 0 });
    let Reply::Socket {
        next,
        socket: Some(info),
        ..
    } = wait(&mut net, &mut a, id)
    else {
        panic!("no socket");
    };
    assert_eq!((info.session, info.local.port()), (1, 80));
    let id = a.id();
    a.send(&Request::Inspect { id, position: next });
    assert!(matches!(
        wait(&mut net, &mut a, id),
        Reply::Socket { socket: None, .. }
    ));
    let id = a.id();
    a.send(&Request::Counters { id });
    let Reply::Counters { counters, .. } = wait(&mut net, &mut a, id) else {
        panic!("no counters");
    };
    assert_eq!((counters.sessions, counters.sockets), (1, 1));
    let mut policy = Policy::everything();
    policy.allow.inspect = false;
    let mut b = Client::open(&mut net.hosts[0].stack, 5, policy).unwrap();
    let questions: [fn(u32) -> Request; 4] = [
        |id| Request::Interface { id },
        |id| Request::Inspect { id, position: 0 },
        |id| Request::Counters { id },
        |id| Request::Ring { id, position: 0 },
    ];
    for question in questions {
        assert!(matches!(
            super::ask(&mut net, &mut b, question),
            Reply::Failed {
                error: NetError::Denied,
                ..
            }
        ));
    }
}
