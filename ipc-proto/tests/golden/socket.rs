//! The socket protocol.

use super::*;
use core::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use ipc_proto::rings::RingInfo;
use ipc_proto::socket::{
    AddressSource, Counters, Family, InterfaceInfo, NetError, Reply, Request, SocketInfo,
    SocketOption, SocketState,
};

#[test]
fn socket_requests() {
    check_all(&[
        (
            Request::TcpConnect {
                id: 1,
                remote: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 2), 8080)),
                local_port: 0,
                buffers: BUFFERS,
            },
            &[
                0x00, 0x01, 0x00, 0x0a, 0x00, 0x02, 0x02, 0x90, 0x3f, 0x00, 0x40, 0x80, 0x01, 0x10,
                0x80, 0x81, 0x04, 0x0f,
            ],
        ),
        (
            Request::TcpListen {
                id: 2,
                local: SocketAddr::V6(SocketAddrV6::new(IPV6, 443, 0, 0)),
                backlog: 128,
            },
            &[
                0x01, 0x02, 0x01, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                0x00, 0x00, 0x00, 0x00, 0x01, 0xbb, 0x03, 0x80, 0x01,
            ],
        ),
        (
            Request::TcpAccept {
                id: 3,
                listener: HANDLE,
                buffers: BUFFERS,
            },
            &[
                0x02, 0x03, 0xc8, 0x01, 0x07, 0x40, 0x80, 0x01, 0x10, 0x80, 0x81, 0x04, 0x0f,
            ],
        ),
        (
            Request::UdpBind {
                id: 4,
                local: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 2), 8080)),
                buffers: BUFFERS,
            },
            &[
                0x03, 0x04, 0x00, 0x0a, 0x00, 0x02, 0x02, 0x90, 0x3f, 0x40, 0x80, 0x01, 0x10, 0x80,
                0x81, 0x04, 0x0f,
            ],
        ),
        (
            Request::SetOption {
                id: 5,
                socket: HANDLE,
                option: SocketOption::NoDelay(true),
            },
            &[0x04, 0x05, 0xc8, 0x01, 0x07, 0x00, 0x01],
        ),
        (
            Request::SetOption {
                id: 5,
                socket: HANDLE,
                option: SocketOption::KeepAlive(Some(7_200_000)),
            },
            &[
                0x04, 0x05, 0xc8, 0x01, 0x07, 0x01, 0x01, 0x80, 0xba, 0xb7, 0x03,
            ],
        ),
        (
            Request::SetOption {
                id: 5,
                socket: HANDLE,
                option: SocketOption::UserTimeout(None),
            },
            &[0x04, 0x05, 0xc8, 0x01, 0x07, 0x02, 0x00],
        ),
        (
            Request::SetOption {
                id: 5,
                socket: HANDLE,
                option: SocketOption::HopLimit(64),
            },
            &[0x04, 0x05, 0xc8, 0x01, 0x07, 0x03, 0x40],
        ),
        (
            Request::Shutdown {
                id: 6,
                socket: HANDLE,
            },
            &[0x05, 0x06, 0xc8, 0x01, 0x07],
        ),
        (
            Request::Close {
                id: 7,
                socket: HANDLE,
                abort: true,
            },
            &[0x06, 0x07, 0xc8, 0x01, 0x07, 0x01],
        ),
        (Request::Cancel { id: 8, target: 3 }, &[0x07, 0x08, 0x03]),
        (
            Request::Resolve {
                id: 9,
                name: text("example.org"),
                family: Family::Any,
                timeout_ms: 5000,
            },
            &[
                0x08, 0x09, 0x0b, 0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0x2e, 0x6f, 0x72, 0x67,
                0x02, 0x88, 0x27,
            ],
        ),
        (
            Request::Resolve {
                id: 9,
                name: text(""),
                family: Family::V4,
                timeout_ms: 0,
            },
            &[0x08, 0x09, 0x00, 0x00, 0x00],
        ),
        (
            Request::Resolve {
                id: 9,
                name: text("a"),
                family: Family::V6,
                timeout_ms: 1,
            },
            &[0x08, 0x09, 0x01, 0x61, 0x01, 0x01],
        ),
        (
            Request::Ping {
                id: 10,
                remote: IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)),
                sequence: 1,
                len: 56,
                timeout_ms: 1000,
            },
            &[
                0x09, 0x0a, 0x00, 0x0a, 0x00, 0x02, 0x02, 0x01, 0x38, 0xe8, 0x07,
            ],
        ),
        (Request::Interface { id: 11 }, &[0x0a, 0x0b]),
        (
            Request::Inspect {
                id: 12,
                position: 129,
            },
            &[0x0b, 0x0c, 0x81, 0x01],
        ),
        (
            Request::Counters { id: u32::MAX },
            &[0x0c, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ),
        (
            Request::Ring {
                id: 13,
                position: 128,
            },
            &[0x0d, 0x0d, 0x80, 0x01],
        ),
    ]);
}

#[test]
fn socket_replies() {
    check_all(&[
        (
            Reply::Opened {
                id: 1,
                socket: HANDLE,
                local: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 2), 8080)),
            },
            &[
                0x00, 0x01, 0xc8, 0x01, 0x07, 0x00, 0x0a, 0x00, 0x02, 0x02, 0x90, 0x3f,
            ],
        ),
        (
            Reply::Accepted {
                id: 2,
                socket: HANDLE,
                local: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 2), 8080)),
                remote: SocketAddr::V6(SocketAddrV6::new(IPV6, 443, 0, 0)),
            },
            &[
                0x01, 0x02, 0xc8, 0x01, 0x07, 0x00, 0x0a, 0x00, 0x02, 0x02, 0x90, 0x3f, 0x01, 0x20,
                0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                0x01, 0xbb, 0x03,
            ],
        ),
        (Reply::Done { id: 3 }, &[0x02, 0x03]),
        (Reply::Closed { id: 4 }, &[0x03, 0x04]),
        (
            Reply::Resolved {
                id: 5,
                addresses: list([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(IPV6)]),
            },
            &[
                0x04, 0x05, 0x02, 0x00, 0x7f, 0x00, 0x00, 0x01, 0x01, 0x20, 0x01, 0x0d, 0xb8, 0x00,
                0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
            ],
        ),
        (
            Reply::Pong {
                id: 6,
                from: IpAddr::V6(IPV6),
                micros: 250,
                hop_limit: 64,
                len: 56,
            },
            &[
                0x05, 0x06, 0x01, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                0x00, 0x00, 0x00, 0x00, 0x01, 0xfa, 0x01, 0x40, 0x38,
            ],
        ),
        (
            Reply::Interface {
                id: 7,
                interface: InterfaceInfo {
                    mac: [2, 0, 0, 0, 0, 1],
                    link_up: true,
                    mtu: 1500,
                    addresses: list([(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15)), 24)]),
                    routers: list([IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2))]),
                    name_servers: list([]),
                    source: AddressSource::Dhcp,
                    lease_seconds: 86_400,
                    attachments: 2,
                },
            },
            &[
                0x06, 0x07, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x01, 0xdc, 0x0b, 0x01, 0x00, 0x0a,
                0x00, 0x02, 0x0f, 0x18, 0x01, 0x00, 0x0a, 0x00, 0x02, 0x02, 0x00, 0x01, 0x80, 0xa3,
                0x05, 0x02,
            ],
        ),
        (
            Reply::Socket {
                id: 8,
                next: 9,
                socket: Some(SocketInfo {
                    session: 1 << 40,
                    state: SocketState::Established,
                    local: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 2), 8080)),
                    remote: Some(SocketAddr::V6(SocketAddrV6::new(IPV6, 443, 0, 0))),
                    rx_queued: 0,
                    tx_queued: 1 << 20,
                }),
            },
            &[
                0x07, 0x08, 0x09, 0x01, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0x04, 0x00, 0x0a, 0x00,
                0x02, 0x02, 0x90, 0x3f, 0x01, 0x01, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00,
                0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xbb, 0x03, 0x00, 0x80, 0x80, 0x40,
            ],
        ),
        (
            Reply::Socket {
                id: 8,
                next: 0,
                socket: None,
            },
            &[0x07, 0x08, 0x00, 0x00],
        ),
        (
            Reply::Counters {
                id: 9,
                counters: Counters {
                    rx_frames: 1,
                    rx_bytes: 2,
                    tx_frames: 3,
                    tx_bytes: 4,
                    rx_malformed: 5,
                    rx_dropped: 6,
                    tx_dropped: 7,
                    syn_dropped: 8,
                    sessions: 9,
                    violations: 10,
                    sockets: 11,
                    connections: 12,
                    refused: 13,
                    driver_violations: 300,
                },
            },
            &[
                0x08, 0x09, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c,
                0x0d, 0xac, 0x02,
            ],
        ),
        (
            Reply::Failed {
                id: 10,
                error: NetError::Denied,
            },
            &[0x09, 0x0a, 0x00],
        ),
        (
            Reply::Failed {
                id: 10,
                error: NetError::MessageTooLong,
            },
            &[0x09, 0x0a, 0x11],
        ),
        (
            Reply::Ring {
                id: 11,
                next: 2,
                ring: Some(RingInfo {
                    peer: 4,
                    slots: 64,
                    rx_queued: 1,
                    tx_queued: 2,
                    rx_messages: 300,
                    tx_messages: 5,
                    rx_doorbells: 6,
                    tx_doorbells: 7,
                    tx_full: 8,
                }),
            },
            &[
                0x0a, 0x0b, 0x02, 0x01, 0x04, 0x40, 0x01, 0x02, 0xac, 0x02, 0x05, 0x06, 0x07, 0x08,
            ],
        ),
        (
            Reply::Ring {
                id: 11,
                next: 3,
                ring: None,
            },
            &[0x0a, 0x0b, 0x03, 0x00],
        ),
    ]);
}
