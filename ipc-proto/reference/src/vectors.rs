//! Examples of every message with their bytes: what the tests hold the wire format to, and what the page shows. Touches nothing.
//!
//! The bytes are written down, not computed. A change here is a change of the wire format, and needs a new version of the
//! protocol ([`ipc_proto::hello`]).

mod replies;
mod requests;
mod setup;
mod system;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use heapless::{String, Vec as List};
use ipc_proto::{
    codec::Message,
    hello::{Hello, Protocol},
    policy::{Allow, Policy, PortRange, Prefix},
    socket::{Buffers, Handle},
};
use postcard_schema::Schema;

/// Messages of one type and their bytes.
pub type Rows<M> = Vec<(M, &'static [u8])>;

/// Looks at the examples of every type.
pub trait Visitor {
    /// `module` and `name` are those of the type.
    fn visit<M>(&mut self, module: &'static str, name: &'static str, rows: Rows<M>)
    where
        M: Message + Schema + PartialEq + core::fmt::Debug;
}

/// Shows `visitor` every message type, in the order of the page.
pub fn visit_all(visitor: &mut impl Visitor) {
    visitor.visit("setup", "NetRequest", setup::net_requests());
    visitor.visit("setup", "NetReply", setup::net_replies());
    visitor.visit("setup", "DevRequest", setup::dev_requests());
    visitor.visit("setup", "DevReply", setup::dev_replies());
    visitor.visit("socket", "Request", requests::socket_requests());
    visitor.visit("socket", "Reply", replies::socket_replies());
    visitor.visit("frame", "ToDriver", setup::to_driver());
    visitor.visit("frame", "ToStack", setup::to_stack());
    visitor.visit("system", "Request", system::system_requests());
    visitor.visit("system", "Reply", system::system_replies());
}

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

fn rows<M: Clone>(rows: &[(M, &'static [u8])]) -> Rows<M> {
    rows.to_vec()
}

/// Shorter than `N`, or an example would be missing and the tests say so.
fn text<const N: usize>(text: &str) -> String<N> {
    text.try_into().unwrap_or_default()
}

/// As [`text`].
fn list<T: Clone, const N: usize, const M: usize>(items: [T; M]) -> List<T, N> {
    List::from_slice(&items).unwrap_or_default()
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
