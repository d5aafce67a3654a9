//! Tests of what policies permit and which is within which.

use super::*;
use proptest::prelude::*;
use std::{vec, vec::Vec as StdVec};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn prefix(text: &str) -> Prefix {
    let (address, bits) = text.split_once('/').unwrap();
    Prefix {
        address: ip(address),
        bits: bits.parse().unwrap(),
    }
}

fn ports(first: u16, last: u16) -> PortRange {
    PortRange { first, last }
}

fn list<T: Clone>(items: &[T]) -> Vec<T, MAX_RULES> {
    Vec::from_slice(items).unwrap()
}

#[test]
fn a_prefix_contains_what_shares_its_bits() {
    for (text, inside, outside) in [
        (
            "10.0.2.15/24",
            vec!["10.0.2.0", "10.0.2.255", "::ffff:10.0.2.9"],
            vec!["10.0.3.0", "::10.0.2.9", "::a00:209"],
        ),
        ("10.0.2.2/32", vec!["10.0.2.2"], vec!["10.0.2.3"]),
        (
            "1.2.3.4/0",
            vec!["0.0.0.0", "255.255.255.255", "::ffff:9.9.9.9"],
            vec!["::", "2001:db8::1"],
        ),
        ("1.2.3.4/33", vec![], vec!["1.2.3.4"]),
        ("1.2.3.4/255", vec![], vec!["1.2.3.4", "::"]),
        (
            "2001:db8::/32",
            vec!["2001:db8:ffff::1"],
            vec!["2001:db9::1", "32.1.13.184"],
        ),
        ("::1/128", vec!["::1"], vec!["::2", "0.0.0.1"]),
        (
            "::/0",
            vec!["::", "ffff::1"],
            vec!["1.2.3.4", "::ffff:1.2.3.4"],
        ),
        ("::/129", vec![], vec!["::"]),
        // A mapped prefix is its IPv4 prefix.
        (
            "::ffff:10.0.2.0/120",
            vec!["10.0.2.7", "::ffff:10.0.2.7"],
            vec!["10.0.3.7", "::"],
        ),
        (
            "::ffff:0.0.0.0/96",
            vec!["8.8.8.8", "::ffff:8.8.8.8"],
            vec!["::1"],
        ),
        (
            "::ffff:0.0.0.0/95",
            vec!["::fffe:1.2.3.4"],
            vec!["1.2.3.4", "::ffff:1.2.3.4"],
        ),
    ] {
        for address in inside {
            assert!(prefix(text).contains(ip(address)), "{address} in {text}");
        }
        for address in outside {
            assert!(
                !prefix(text).contains(ip(address)),
                "{address} not in {text}"
            );
        }
    }
}

#[test]
fn a_prefix_is_within_a_shorter_one() {
    for (narrow, wide, within) in [
        ("10.0.2.0/24", "10.0.0.0/16", true),
        ("10.0.0.0/16", "10.0.2.0/24", false),
        ("10.1.2.0/24", "10.0.0.0/16", false),
        ("::ffff:10.0.2.0/120", "10.0.0.0/16", true),
        ("10.0.2.0/24", "::/0", false),
        ("::/0", "0.0.0.0/0", false),
        ("10.0.0.0/33", "::/128", true),
        ("10.0.0.0/24", "10.0.0.0/33", false),
    ] {
        assert_eq!(
            prefix(narrow).within(&prefix(wide)),
            within,
            "{narrow} within {wide}"
        );
    }
}

#[test]
fn everything_permits_all_and_nothing_none() {
    let (all, none) = (Policy::everything(), Policy::nothing());
    for address in [
        "10.0.0.1",
        "255.255.255.255",
        "::1",
        "::ffff:1.2.3.4",
        "ff02::1",
    ] {
        for port in [0, 1, 443, u16::MAX] {
            assert!(all.permits_remote(ip(address), port));
            assert!(!none.permits_remote(ip(address), port));
        }
        assert!(all.permits_address(ip(address)));
        assert!(!none.permits_address(ip(address)));
    }
    assert!(all.permits_local_port(22) && !none.permits_local_port(22));
    assert!(
        none.permits_local_port(0),
        "an ephemeral port is always possible"
    );
    assert!(none.within(&all) && !all.within(&none));
}

#[test]
fn each_field_can_make_a_policy_wider() {
    let base = Policy {
        allow: Allow {
            udp: true,
            ..Allow::default()
        },
        remote: list(&[prefix("10.0.0.0/8")]),
        remote_ports: list(&[ports(53, 53), ports(80, 443)]),
        local_ports: list(&[ports(1000, 2000)]),
        max_sockets: 4,
        max_buffer_bytes: 4096,
        packets_per_second: 10,
    };
    let mut allow = base.clone();
    allow.allow.ping = true;
    let cases = [
        allow,
        Policy {
            remote: list(&[prefix("10.0.0.0/8"), prefix("11.0.0.0/8")]),
            ..base.clone()
        },
        Policy {
            remote_ports: list(&[ports(79, 90)]),
            ..base.clone()
        },
        Policy {
            local_ports: list(&[ports(1000, 2001)]),
            ..base.clone()
        },
        Policy {
            max_sockets: 5,
            ..base.clone()
        },
        Policy {
            max_buffer_bytes: 4097,
            ..base.clone()
        },
        Policy {
            packets_per_second: 11,
            ..base.clone()
        },
        Policy {
            packets_per_second: 0,
            ..base.clone()
        },
    ];
    for wider in cases {
        assert!(base.within(&base));
        assert!(!wider.within(&base), "{wider:?}");
    }
    let empty = Policy {
        remote: list(&[prefix("9.9.9.9/200")]),
        remote_ports: list(&[ports(9, 8)]),
        ..base.clone()
    };
    assert!(empty.within(&base), "what matches nothing is in everything");
}

fn some_prefix() -> impl Strategy<Value = Prefix> {
    // Few different bits, so that prefixes are often within each other.
    let address = prop_oneof![
        (0_u32..4).prop_map(|top| IpAddr::V4(Ipv4Addr::from_bits(top << 30))),
        (0_u128..4).prop_map(|top| IpAddr::V6(Ipv6Addr::from_bits(top << 126))),
        (0_u32..4).prop_map(|top| IpAddr::V6(Ipv4Addr::from_bits(top << 30).to_ipv6_mapped())),
        any::<IpAddr>(),
    ];
    let bits = prop_oneof![0_u8..4, 94_u8..100, 30_u8..35, any::<u8>()];
    (address, bits).prop_map(|(address, bits)| Prefix { address, bits })
}

fn some_ports() -> impl Strategy<Value = PortRange> {
    (0_u16..8, 0_u16..8).prop_map(|(first, last)| ports(first, last))
}

fn some_policy() -> impl Strategy<Value = Policy> {
    let lists = (
        prop::collection::vec(some_prefix(), 0..=MAX_RULES),
        prop::collection::vec(some_ports(), 0..=MAX_RULES),
        prop::collection::vec(some_ports(), 0..=MAX_RULES),
    );
    (any::<[bool; 2]>(), lists, 0_u16..3, 0_u32..3, 0_u32..3).prop_map(
        |(
            [udp, ping],
            (remote, remote_ports, local_ports),
            max_sockets,
            max_buffer_bytes,
            rate,
        )| Policy {
            allow: Allow {
                udp,
                ping,
                ..Allow::default()
            },
            remote: list(&remote),
            remote_ports: list(&remote_ports),
            local_ports: list(&local_ports),
            max_sockets,
            max_buffer_bytes,
            packets_per_second: rate,
        },
    )
}

/// A policy and one derived from it by taking away, so that "within" holds often.
fn narrower(wide: &Policy, seed: u64) -> Policy {
    let mut narrow = wide.clone();
    for prefix in &mut narrow.remote {
        // A mapped address with fewer bits than its fixed part is IPv6; with more it would be IPv4.
        if prefix.address.to_canonical() == prefix.address || prefix.bits >= 96 {
            prefix.bits = prefix.bits.saturating_add((seed % 5) as u8);
        }
    }
    if seed & 8 != 0 {
        narrow.remote.pop();
    }
    for range in &mut narrow.remote_ports {
        range.first = range.first.saturating_add((seed >> 8) as u16 % 2);
    }
    narrow.allow.udp &= seed & 16 != 0;
    narrow.max_sockets /= 2;
    if narrow.packets_per_second == 0 {
        narrow.packets_per_second = 1;
    }
    narrow
}

/// Addresses at the edges of what policies of these tests speak of.
fn addresses(policies: &[&Policy], any: IpAddr) -> StdVec<IpAddr> {
    let mut addresses = vec![any];
    for prefix in policies.iter().flat_map(|policy| &policy.remote) {
        addresses.push(prefix.address);
        addresses.push(prefix.address.to_canonical());
        if let IpAddr::V4(address) = prefix.address {
            addresses.push(address.to_ipv6_mapped().into());
        }
    }
    addresses
}

proptest! {
    #![proptest_config(crate::property_tests(500))]

    #[test]
    fn within_means_that_no_more_is_permitted(
        narrow in some_policy(), wide in some_policy(), seed in any::<u64>(), derive in any::<bool>(), other in any::<IpAddr>(),
    ) {
        let narrow = if derive { narrower(&wide, seed) } else { narrow };
        if derive {
            prop_assert!(narrow.within(&wide));
        }
        if narrow.within(&wide) {
            for address in addresses(&[&narrow, &wide], other) {
                prop_assert!(!narrow.permits_address(address) || wide.permits_address(address));
                for port in 0..9 {
                    prop_assert!(!narrow.permits_remote(address, port) || wide.permits_remote(address, port));
                    prop_assert!(!narrow.permits_local_port(port) || wide.permits_local_port(port));
                }
            }
            prop_assert!(narrow.max_sockets <= wide.max_sockets);
            prop_assert!(narrow.allow.udp <= wide.allow.udp && narrow.allow.ping <= wide.allow.ping);
        }
    }

    #[test]
    fn within_is_an_order(
        a in some_policy(), b in some_policy(), c in some_policy(), seed in any::<u64>(),
    ) {
        prop_assert!(a.within(&a));
        prop_assert!(a.within(&Policy::everything()));
        prop_assert!(Policy::nothing().within(&a));
        let chain = [narrower(&narrower(&a, seed), seed >> 16), narrower(&a, seed), a.clone(), b, c];
        for x in &chain {
            for y in &chain {
                for z in &chain {
                    prop_assert!(!(x.within(y) && y.within(z)) || x.within(z));
                }
            }
        }
    }

    #[test]
    fn a_mapped_address_is_its_address(prefix in some_prefix(), bits in any::<u32>()) {
        let address = Ipv4Addr::from_bits(bits);
        prop_assert_eq!(prefix.contains(address.into()), prefix.contains(address.to_ipv6_mapped().into()));
    }
}
