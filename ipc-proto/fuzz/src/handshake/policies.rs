//! Policies made from another one, and whether one permits no more than another. Touches nothing but the input.

use crate::generate;
use arbitrary::Unstructured;
use ipc_proto::policy::{MAX_RULES, Policy, PortRange, Prefix};
use std::net::{IpAddr, Ipv4Addr};

/// A policy near another one, mostly narrower.
pub(super) fn narrowed(input: &mut Unstructured<'_>, policy: &Policy) -> Option<Policy> {
    let mut policy = policy.clone();
    for _ in 0..generate::byte(input) % 6 {
        let (what, value) = (generate::byte(input), generate::number(input, 4) as u32);
        let at = value as usize % MAX_RULES;
        match what % 12 {
            0 => policy.allow.tcp_connect = value & 1 != 0,
            1 => policy.allow.tcp_listen = value & 1 != 0,
            2 => policy.allow.inspect = value & 1 != 0,
            3 => policy.max_sockets = value as u16,
            4 => policy.max_buffer_bytes = value,
            5 => policy.packets_per_second = value,
            6 => {
                if let Some(prefix) = policy.remote.get_mut(at) {
                    prefix.bits = prefix.bits.wrapping_add(generate::byte(input));
                }
            }
            7 => {
                if let Some(prefix) = policy.remote.get_mut(at) {
                    prefix.address = generate::value(input)?;
                }
            }
            8 => {
                if let Some(range) = policy.remote_ports.get_mut(at) {
                    range.first = range.first.wrapping_add(value as u16);
                }
            }
            9 => {
                if let Some(range) = policy.local_ports.get_mut(at) {
                    range.last = range.last.wrapping_sub(value as u16);
                }
            }
            10 => {
                let _ = policy
                    .remote_ports
                    .push(generate::value::<PortRange>(input)?);
            }
            _ => {
                let _ = policy.remote.push(generate::value::<Prefix>(input)?);
            }
        }
    }
    Some(policy)
}

/// Whatever the narrow policy permits, the wide one does: tried on the edges of its rules and on what the input says.
pub(super) fn assert_within(input: &mut Unstructured<'_>, narrow: &Policy, wide: &Policy) {
    let noise = generate::number(input, 4) as u32;
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::from_bits(noise))];
    for prefix in narrow.remote.iter().chain(&wide.remote) {
        addresses.push(prefix.address);
        addresses.push(match prefix.address {
            IpAddr::V4(a) => Ipv4Addr::from_bits(a.to_bits() ^ noise)
                .to_ipv6_mapped()
                .into(),
            IpAddr::V6(a) => match a.to_ipv4_mapped() {
                Some(mapped) => mapped.into(),
                None => std::net::Ipv6Addr::from_bits(a.to_bits() ^ u128::from(noise)).into(),
            },
        });
        addresses.push(match prefix.address {
            IpAddr::V4(a) => Ipv4Addr::from_bits(a.to_bits() ^ 1 << (noise & 31)).into(),
            IpAddr::V6(a) => std::net::Ipv6Addr::from_bits(a.to_bits() ^ 1 << (noise & 127)).into(),
        });
    }
    let mut ports = vec![0, noise as u16, u16::MAX];
    for range in narrow.remote_ports.iter().chain(&narrow.local_ports) {
        ports.extend([range.first, range.last]);
    }
    for port in ports {
        assert!(narrow.permits_local_port(port) <= wide.permits_local_port(port));
        for address in &addresses {
            let both = [narrow, wide].map(|policy| policy.permits_remote(*address, port));
            assert!(both[0] <= both[1], "{address} port {port}");
        }
    }
    let flags = |policy: &Policy| {
        let allow = policy.allow;
        [
            allow.tcp_connect,
            allow.tcp_listen,
            allow.udp,
            allow.ping,
            allow.resolve,
            allow.inspect,
        ]
    };
    assert!(flags(narrow).iter().zip(flags(wide)).all(|(a, b)| *a <= b));
    assert!(narrow.max_sockets <= wide.max_sockets);
    assert!(narrow.max_buffer_bytes <= wide.max_buffer_bytes);
}
