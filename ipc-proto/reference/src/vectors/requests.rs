//! Requests of the socket protocol.

use super::*;
use core::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use ipc_proto::socket::{Family, Request, SocketOption};

/// Examples.
pub(super) fn socket_requests() -> Rows<Request> {
    rows(&[
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
                option: SocketOption::KeepAlive(None),
            },
            &[0x04, 0x05, 0xc8, 0x01, 0x07, 0x01, 0x00],
        ),
        (
            Request::SetOption {
                id: 5,
                socket: HANDLE,
                option: SocketOption::UserTimeout(Some(30_000)),
            },
            &[0x04, 0x05, 0xc8, 0x01, 0x07, 0x02, 0x01, 0xb0, 0xea, 0x01],
        ),
        (
            Request::SetOption {
                id: 5,
                socket: HANDLE,
                option: SocketOption::NoDelay(false),
            },
            &[0x04, 0x05, 0xc8, 0x01, 0x07, 0x00, 0x00],
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
    ])
}
