//! DHCP servers that lie, leave out, exaggerate, or were not asked (RFC 2131).

use super::{
    forge::{packet, put},
    *,
};
use crate::classify::{be16, be32};
use core::net::IpAddr;

const SERVER: [u8; 4] = [10, 0, 0, 1];
const ROGUE: [u8; 4] = [10, 0, 0, 66];
const OFFERED: [u8; 4] = [10, 0, 0, 2];
const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// A server's message.
#[derive(Clone)]
struct Told {
    kind: u8,
    from: [u8; 4],
    address: [u8; 4],
    lease: Option<u32>,
    mask: Option<[u8; 4]>,
    router: [u8; 4],
    server: Option<[u8; 4]>,
    more: Vec<u8>,
}

impl Default for Told {
    fn default() -> Told {
        Told {
            kind: OFFER,
            from: SERVER,
            address: OFFERED,
            lease: Some(1000),
            mask: Some([255, 255, 255, 0]),
            router: SERVER,
            server: Some(SERVER),
            more: Vec::new(),
        }
    }
}

impl Told {
    fn frame(&self, asked: &[u8]) -> Vec<u8> {
        let mut message = asked[..240].to_vec();
        message[0] = 2;
        message[16..20].copy_from_slice(&self.address);
        message.extend([53, 1, self.kind, 3, 4]);
        message.extend(self.router);
        let lease = self.lease.map(u32::to_be_bytes);
        for (code, value) in [(54, self.server), (1, self.mask), (51, lease)] {
            if let Some(value) = value {
                message.extend([code, 4]);
                message.extend(value);
            }
        }
        message.extend(&self.more);
        message.push(255);
        let mut body = std::vec![0, 67, 0, 68];
        body.extend((8 + message.len() as u16).to_be_bytes());
        body.extend([0, 0]);
        body.extend(message);
        let mut frame = packet(self.from, [255; 4], 17, &body);
        frame[..6].fill(0xff);
        frame
    }
}

fn network() -> Network {
    let mut net = Network::new(7);
    net.add(config(1));
    net.add(Config::default());
    net.log = Some(Vec::new());
    net
}

/// The DHCP messages that the second host has sent since it was last asked.
fn asked(net: &mut Network) -> Vec<Vec<u8>> {
    let log = net.log.replace(Vec::new()).unwrap();
    let ours = log.into_iter().filter(|(host, _)| *host == 1);
    ours.filter(|(_, bytes)| {
        let is_udp = bytes[12..14] == [8, 0] && bytes[23] == 17;
        is_udp && be16(bytes, 36) == Some(67)
    })
    .map(|(_, bytes)| bytes[42..].to_vec())
    .collect()
}

/// The next message, within two minutes.
fn next(net: &mut Network) -> Vec<u8> {
    for _ in 0..1200 {
        net.run(Duration::from_millis(100));
        if let Some(message) = asked(net).pop() {
            return message;
        }
    }
    panic!("nothing was asked");
}

fn address_of(net: &Network) -> Option<IpAddr> {
    let info = net.hosts[1].stack.interface_info();
    let mut addresses = info.addresses.iter().map(|(address, _)| *address);
    addresses.find(IpAddr::is_ipv4)
}

/// Offers, and acknowledges, whatever is said.
fn offer(net: &mut Network, told: &Told) -> Vec<u8> {
    let discover = next(net);
    put(net, &told.frame(&discover));
    net.run(Duration::from_millis(100));
    asked(net).pop().unwrap_or(discover)
}

fn acknowledge(net: &mut Network, request: &[u8], told: &Told) {
    let told = Told {
        kind: ACK,
        ..told.clone()
    };
    put(net, &told.frame(request));
    net.run(Duration::from_millis(100));
}

fn leased(told: &Told) -> Network {
    let mut net = network();
    let request = offer(&mut net, told);
    acknowledge(&mut net, &request, told);
    net
}

#[test]
fn an_honest_server_is_believed() {
    assert_eq!(address_of(&leased(&Told::default())), Some(OFFERED.into()));
}

#[test]
fn times_that_make_no_sense_are_replaced_and_short_ones_not_taken() {
    let times = |t1: u32, t2: u32| {
        let mut more = std::vec![58, 4];
        more.extend(t1.to_be_bytes());
        more.extend([59, 4]);
        more.extend(t2.to_be_bytes());
        more
    };
    // Not in order, beyond the lease, for ever: the defaults.
    for (lease, t1, t2) in [
        (100, 90, 60),
        (100, 200, 300),
        (100, u32::MAX, u32::MAX),
        (u32::MAX, 100, 50),
        (u32::MAX, u32::MAX, u32::MAX),
    ] {
        let mut net = leased(&Told {
            lease: Some(lease),
            more: times(t1, t2),
            ..Told::default()
        });
        assert_eq!(address_of(&net), Some(OFFERED.into()), "{lease} {t1} {t2}");
        asked(&mut net);
        net.run(SECOND * 60);
        let count = asked(&mut net).len();
        assert_eq!(count, usize::from(lease == 100), "{lease} {t1} {t2}");
    }
    for (lease, t1, t2) in [(100, 0, 1), (100, 1, 50), (u32::MAX, 0, 0)] {
        let net = leased(&Told {
            lease: Some(lease),
            more: times(t1, t2),
            ..Told::default()
        });
        assert_eq!(address_of(&net), None, "{lease} {t1} {t2}");
    }
}

#[test]
fn what_is_left_out_or_makes_no_sense_is_not_taken() {
    let honest = Told::default();
    for (name, told) in [
        (
            "no server",
            Told {
                server: None,
                ..honest.clone()
            },
        ),
        (
            "no mask",
            Told {
                mask: None,
                ..honest.clone()
            },
        ),
        (
            "mask with holes",
            Told {
                mask: Some([255, 0, 255, 0]),
                ..honest.clone()
            },
        ),
        (
            "loopback",
            Told {
                address: [127, 0, 0, 1],
                ..honest.clone()
            },
        ),
        (
            "this network",
            Told {
                address: [0, 0, 0, 5],
                ..honest.clone()
            },
        ),
        (
            "its own broadcast",
            Told {
                address: [10, 0, 0, 255],
                ..honest.clone()
            },
        ),
        (
            "the network itself",
            Told {
                address: [10, 0, 0, 0],
                ..honest.clone()
            },
        ),
        (
            "two kinds",
            Told {
                more: std::vec![53, 1, NAK],
                ..honest.clone()
            },
        ),
        (
            "two servers",
            Told {
                more: std::vec![54, 4, 10, 0, 0, 66],
                ..honest.clone()
            },
        ),
        (
            "longer than there is",
            Told {
                more: std::vec![6, 200, 1],
                ..honest.clone()
            },
        ),
    ] {
        assert_eq!(address_of(&leased(&told)), None, "{name}");
    }
    // What is odd only about the rest leaves the address.
    for told in [
        Told {
            lease: None,
            ..honest.clone()
        },
        Told {
            router: [224, 0, 0, 1],
            ..honest.clone()
        },
        Told {
            router: [0; 4],
            ..honest.clone()
        },
        Told {
            mask: Some([0; 4]),
            ..honest.clone()
        },
        Told {
            more: std::vec![6, 8, 0, 0, 0, 0, 255, 255, 255, 255],
            ..honest.clone()
        },
        Told {
            more: (200..250).flat_map(|code| [code, 1, 0]).collect(),
            ..honest.clone()
        },
    ] {
        let net = leased(&told);
        assert_eq!(address_of(&net), Some(OFFERED.into()));
        assert!(net.hosts[1].stack.interface_info().name_servers.is_empty());
    }
}

#[test]
fn other_transactions_and_machines_are_not_answered_for() {
    let mut net = network();
    let discover = next(&mut net);
    for at in [4, 7, 28, 33] {
        let mut other = discover.clone();
        other[at] ^= 1;
        put(&mut net, &Told::default().frame(&other));
        net.run(Duration::from_millis(100));
        assert!(asked(&mut net).is_empty(), "{at}");
    }
    // Nor is an acknowledgment of what was not requested.
    acknowledge(&mut net, &discover, &Told::default());
    assert_eq!(address_of(&net), None);
}

#[test]
fn a_rogue_ends_or_changes_no_lease() {
    let rogue = Told {
        from: ROGUE,
        server: Some(ROGUE),
        router: ROGUE,
        address: [10, 0, 0, 99],
        ..Told::default()
    };
    // Between request and answer.
    let mut net = network();
    let request = offer(&mut net, &Told::default());
    for kind in [NAK, ACK] {
        put(
            &mut net,
            &Told {
                kind,
                ..rogue.clone()
            }
            .frame(&request),
        );
    }
    net.run(Duration::from_millis(100));
    assert!(asked(&mut net).is_empty());
    acknowledge(&mut net, &request, &Told::default());
    let router = |net: &Network| net.hosts[1].stack.interface_info().routers[0];
    assert_eq!(address_of(&net), Some(OFFERED.into()));
    // Behind it: nothing was asked, so nobody is heard, whatever name he gives.
    for kind in [OFFER, NAK, ACK] {
        for server in [SERVER, ROGUE] {
            let told = Told {
                kind,
                server: Some(server),
                ..rogue.clone()
            };
            put(&mut net, &told.frame(&request));
            net.run(Duration::from_millis(100));
        }
        assert_eq!(address_of(&net), Some(OFFERED.into()), "{kind}");
        assert_eq!(router(&net), IpAddr::from(SERVER));
    }
    // While it is renewed, only the server of the lease.
    net.run(SECOND * 480);
    asked(&mut net);
    let renewal = next(&mut net);
    assert_ne!(be32(&renewal, 4), be32(&request, 4));
    put(
        &mut net,
        &Told {
            kind: NAK,
            ..rogue.clone()
        }
        .frame(&renewal),
    );
    acknowledge(&mut net, &renewal, &rogue);
    assert_eq!(address_of(&net), Some(OFFERED.into()));
    let nak = Told {
        kind: NAK,
        ..Told::default()
    };
    put(&mut net, &nak.frame(&renewal));
    net.run(Duration::from_millis(100));
    assert_eq!(address_of(&net), None);
}

#[test]
fn a_lease_that_cannot_be_used_is_followed_by_another_question() {
    let mut net = leased(&Told {
        address: [10, 0, 0, 255],
        ..Told::default()
    });
    asked(&mut net);
    let request = offer(&mut net, &Told::default());
    acknowledge(&mut net, &request, &Told::default());
    assert_eq!(address_of(&net), Some(OFFERED.into()));
}

#[test]
fn a_server_that_always_refuses_is_not_asked_without_end() {
    let mut net = network();
    let mut count = 0;
    let end = net.now.after(SECOND * 60);
    while net.now < end {
        net.run(Duration::from_millis(10));
        let mut messages = asked(&mut net);
        while let Some(message) = messages.pop() {
            count += 1;
            for kind in [OFFER, NAK] {
                let told = Told {
                    kind,
                    ..Told::default()
                };
                let answers = put(&mut net, &told.frame(&message));
                messages.extend(answers.iter().map(|frame| frame[42..].to_vec()));
            }
            assert!(count < 1000, "at {:?}", net.now);
        }
    }
    assert!((5..200).contains(&count), "{count}");
}

#[test]
fn no_client_takes_the_port_of_dhcp() {
    let mut net = network();
    let mut b = net.hosts[1].client(2);
    let (buffers, _) = b.buffers(12);
    let reply = ask(&mut net, &mut b, |id| Request::UdpBind {
        id,
        local: "0.0.0.0:68".parse().unwrap(),
        buffers,
    });
    assert_eq!(opened(reply).err(), Some(NetError::AddressInUse));
}
