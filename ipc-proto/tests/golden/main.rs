//! The bytes of every variant of every message: a change here is a change of the wire format, and needs a new version of the
//! protocol ([`ipc_proto::hello`]). Touches nothing.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod setup;
mod socket;
mod system;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use heapless::{String, Vec};
use ipc_proto::{
    codec::{Message, decode, encode},
    hello::{Hello, Protocol},
    policy::{Allow, Policy, PortRange, Prefix},
    socket::{Buffers, Handle},
};
use postcard_schema::{Schema, schema::DataModelType};
use std::collections::BTreeSet;

const HELLO: Hello = Hello {
    protocol: Protocol::Socket,
    version: 1,
    schema: [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7],
};
const IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const HANDLE: Handle = Handle {
    index: 200,
    generation: 7,
};
const BUFFERS: Buffers = Buffers {
    control: 64,
    rx: 128,
    rx_log2: 16,
    tx: 65_664,
    tx_log2: 15,
};

fn text<const N: usize>(text: &str) -> String<N> {
    text.try_into().unwrap()
}

fn list<T: Clone, const N: usize, const M: usize>(items: [T; M]) -> Vec<T, N> {
    Vec::from_slice(&items).unwrap()
}

fn policy() -> Policy {
    Policy {
        allow: Allow {
            tcp_connect: true,
            udp: true,
            ..Allow::default()
        },
        remote: list([Prefix {
            address: IpAddr::V4(Ipv4Addr::new(10, 0, 2, 0)),
            bits: 24,
        }]),
        remote_ports: list([PortRange {
            first: 80,
            last: 443,
        }]),
        local_ports: list([]),
        max_sockets: 16,
        max_buffer_bytes: 1 << 20,
        packets_per_second: 1000,
    }
}

/// Both ways, and nothing shorter or longer is the message.
fn check<M: Message + PartialEq + core::fmt::Debug>(message: &M, golden: &[u8]) {
    let mut buffer = [0xff; 512];
    let len = encode(message, &mut buffer).unwrap();
    assert_eq!(&buffer[..len], golden, "{message:?}");
    assert!(len <= M::MAX_SIZE, "{message:?}");
    assert_eq!(decode::<M>(golden).as_ref(), Ok(message));
    assert!(
        decode::<M>(&golden[..len - 1]).is_err(),
        "{message:?} without its end"
    );
    assert!(
        decode::<M>(&buffer[..=len]).is_err(),
        "{message:?} with another byte"
    );
    assert!(encode(message, &mut buffer[..len - 1]).is_err());
}

/// Checks messages of one type, which together have to show every variant of it.
fn check_all<M: Message + Schema + PartialEq + core::fmt::Debug>(golden: &[(M, &[u8])]) {
    for (message, bytes) in golden {
        check(message, bytes);
    }
    let DataModelType::Enum(variants) = M::SCHEMA.ty else {
        panic!("{} is no enum", M::SCHEMA.name);
    };
    let seen: BTreeSet<u8> = golden.iter().map(|(_, bytes)| bytes[0]).collect();
    let all: BTreeSet<u8> = (0..variants.len() as u8).collect();
    assert_eq!(seen, all, "variants of {}", M::SCHEMA.name);
    let unknown = [variants.len() as u8; 64];
    assert!(decode::<M>(&unknown).is_err());
}

/// The hashes cover all types down to the last field. When one changes, raise that protocol's version.
#[test]
fn schemas_are_those_of_their_version() {
    let ours = [Hello::SOCKET, Hello::FRAME, Hello::SYSTEM];
    assert_eq!(ours.map(|hello| hello.version), [2, 1, 1]);
    assert_eq!(
        ours.map(|hello| u64::from_be_bytes(hello.schema)),
        [0x661f8be8f38f5288, 0x5c48e847640a6a2c, 0xf733b64a5fb2d0db,]
    );
}
