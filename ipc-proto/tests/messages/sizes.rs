//! The longest values.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use heapless::{String, Vec};
use ipc_proto::{
    codec::{Message, encode},
    frame::{self, Checksum, Offload, Offloads, Pool, ToDriver, ToStack},
    hello::{Hello, Protocol},
    policy::{Allow, Policy, PortRange, Prefix},
    rings::RingInfo,
    setup::{DevReply, DevRequest, NetReply, NetRequest, Refusal},
    socket::{
        self, AddressSource, Buffers, Family, Handle, InterfaceInfo, MAX_ADDRESSES, MAX_NAME,
        Reply, Request, SocketInfo, SocketOption, SocketState,
    },
    system::{self, CapInfo, MAX_LINE, MAX_PROCESS_NAME, ProcessInfo, RunState},
};

const V6: IpAddr = IpAddr::V6(Ipv6Addr::from_bits(u128::MAX));
const ADDRESS: SocketAddr = SocketAddr::new(V6, u16::MAX);
const HELLO: Hello = Hello {
    protocol: Protocol::System,
    version: u16::MAX,
    schema: [255; 8],
};
const HANDLE: Handle = Handle {
    index: u16::MAX,
    generation: u16::MAX,
};

fn full<T: Clone, const N: usize>(item: T) -> Vec<T, N> {
    core::iter::repeat_n(item, N).collect()
}

fn long<const N: usize>() -> String<N> {
    core::iter::repeat_n('x', N).collect()
}

fn size<M: Message>(message: &M) -> usize {
    encode(message, &mut [0; 512]).unwrap()
}

/// The bound of each type is the size of its longest value.
#[test]
fn sizes_are_tight() {
    let all = Allow {
        tcp_connect: true,
        tcp_listen: true,
        udp: true,
        ping: true,
        resolve: true,
        inspect: true,
    };
    let ports = || {
        full(PortRange {
            first: u16::MAX,
            last: u16::MAX,
        })
    };
    let policy = Policy {
        allow: all,
        remote: full(Prefix {
            address: V6,
            bits: 128,
        }),
        remote_ports: ports(),
        local_ports: ports(),
        max_sockets: u16::MAX,
        max_buffer_bytes: u32::MAX,
        packets_per_second: u32::MAX,
    };
    assert_eq!(size(&NetRequest::Derive { policy }), NetRequest::MAX_SIZE);
    assert_eq!(
        size(&NetReply::Refused(Refusal::Mismatch(HELLO))),
        NetReply::MAX_SIZE
    );
    let attach = DevRequest::Attach {
        hello: HELLO,
        mac: [255; 6],
        mtu: u16::MAX,
        link_up: true,
        offloads: Offloads::default(),
    };
    assert_eq!(size(&attach), DevRequest::MAX_SIZE);
    let most = Pool {
        small: u16::MAX,
        large: u16::MAX,
    };
    let attached = DevReply::Attached {
        generation: u32::MAX,
        receive: most,
        send: most,
        offloads: Offloads::default(),
    };
    assert_eq!(size(&attached), DevReply::MAX_SIZE);
    assert_eq!(
        size(&ToDriver::Transmit {
            buffer: u16::MAX,
            len: u16::MAX,
            offload: Offload::Segment {
                start: u8::MAX,
                offset: u8::MAX,
                header: u8::MAX,
                size: u16::MAX,
            },
        }),
        ToDriver::MAX_SIZE
    );
    assert_eq!(
        size(&ToStack::Received {
            buffer: u16::MAX,
            len: u32::MAX,
            checksum: Checksum::Partial,
        }),
        ToStack::MAX_SIZE
    );
    let resolve = Request::Resolve {
        id: u32::MAX,
        name: long::<MAX_NAME>(),
        family: Family::Any,
        timeout_ms: u32::MAX,
    };
    assert_eq!(size(&resolve), Request::MAX_SIZE);
    let interface = InterfaceInfo {
        mac: [255; 6],
        link_up: true,
        mtu: u16::MAX,
        addresses: full((V6, 128)),
        routers: full(V6),
        name_servers: full(V6),
        source: AddressSource::Static,
        lease_seconds: u32::MAX,
        attachments: u32::MAX,
    };
    assert_eq!(
        size(&Reply::Interface {
            id: u32::MAX,
            interface
        }),
        Reply::MAX_SIZE
    );
    assert_eq!(
        size(&system::Request::Kill {
            name: long::<MAX_PROCESS_NAME>()
        }),
        system::Request::MAX_SIZE
    );
    let line = system::Reply::Log {
        next: u64::MAX,
        micros: u64::MAX,
        level: 255,
        line: long::<MAX_LINE>(),
    };
    assert_eq!(size(&line), system::Reply::MAX_SIZE);
}

/// Values of the other long variants, all numbers at their longest, stay within the bound.
#[test]
fn every_long_value_is_within_the_bound() {
    let buffers = Buffers {
        control: u32::MAX,
        rx: u32::MAX,
        rx_log2: 255,
        tx: u32::MAX,
        tx_log2: 255,
    };
    let id = u32::MAX;
    for request in [
        Request::TcpConnect {
            id,
            remote: ADDRESS,
            local_port: u16::MAX,
            buffers,
        },
        Request::TcpAccept {
            id,
            listener: HANDLE,
            buffers,
        },
        Request::UdpBind {
            id,
            local: ADDRESS,
            buffers,
        },
        Request::SetOption {
            id,
            socket: HANDLE,
            option: SocketOption::KeepAlive(Some(u32::MAX)),
        },
        Request::Ping {
            id,
            remote: V6,
            sequence: u16::MAX,
            len: u16::MAX,
            timeout_ms: u32::MAX,
        },
    ] {
        assert!(size(&request) <= Request::MAX_SIZE, "{request:?}");
    }
    let info = SocketInfo {
        session: u64::MAX,
        state: SocketState::Closed,
        local: ADDRESS,
        remote: Some(ADDRESS),
        rx_queued: u32::MAX,
        tx_queued: u32::MAX,
    };
    let ring = RingInfo {
        peer: u64::MAX,
        slots: u32::MAX,
        rx_queued: u32::MAX,
        tx_queued: u32::MAX,
        rx_messages: u64::MAX,
        tx_messages: u64::MAX,
        rx_doorbells: u64::MAX,
        tx_doorbells: u64::MAX,
        tx_full: u64::MAX,
    };
    let addresses: Vec<IpAddr, MAX_ADDRESSES> = full(V6);
    for reply in [
        Reply::Accepted {
            id,
            socket: HANDLE,
            local: ADDRESS,
            remote: ADDRESS,
        },
        Reply::Resolved { id, addresses },
        Reply::Socket {
            id,
            next: u32::MAX,
            socket: Some(info),
        },
        Reply::Ring {
            id,
            next: u32::MAX,
            ring: Some(ring),
        },
    ] {
        assert!(size(&reply) <= Reply::MAX_SIZE, "{reply:?}");
    }
    let process = ProcessInfo {
        id: u64::MAX,
        name: long(),
        state: RunState::Faulted {
            vector: 255,
            address: u64::MAX,
            instruction: u64::MAX,
        },
        restarts: u32::MAX,
        priority: 255,
        cpu_micros: u64::MAX,
        caps: u32::MAX,
        pages: u32::MAX,
        budget_used: u32::MAX,
        budget_limit: u32::MAX,
        syscalls: u64::MAX,
        switches: u64::MAX,
    };
    let cap = CapInfo {
        slot: u32::MAX,
        kind: 255,
        rights: u32::MAX,
        badge: u64::MAX,
        object: u64::MAX,
    };
    for reply in [
        system::Reply::Process {
            next: u16::MAX,
            process: Some(process),
        },
        system::Reply::Caps {
            next: u32::MAX,
            caps: full(cap),
        },
    ] {
        assert!(size(&reply) <= system::Reply::MAX_SIZE, "{reply:?}");
    }
}

#[test]
fn ip_headers_are_aligned_in_frame_buffers() {
    const ETHERNET_HEADER: usize = 14;
    const { assert!(frame::HEADROOM + 1514 <= frame::BUFFER_SIZE) };
    assert_eq!((frame::HEADROOM + ETHERNET_HEADER) % 4, 0);
    // With the device's header of 12 bytes in front (VIRTIO 1.2 section 5.1.6.3.1).
    const { assert!(frame::HEADROOM - 12 + 65_562 <= frame::LARGE_BUFFER_SIZE) };
    assert!(ToDriver::MAX_SIZE.max(ToStack::MAX_SIZE) + 2 <= frame::SLOT_SIZE);
    assert!(Request::MAX_SIZE.max(Reply::MAX_SIZE) + 2 <= socket::SLOT_SIZE);
}

#[test]
fn buffers_lie_one_behind_the_other() {
    let pool = Pool { small: 3, large: 2 };
    let mut end = 0;
    for buffer in 0..5 {
        let (start, len) = pool.place(buffer).unwrap();
        assert_eq!(start, end);
        end = start + len;
    }
    assert_eq!((end, pool.count()), (pool.bytes(), 5));
    assert_eq!(pool.place(5), None);
    // More than numbers can name: the numbers end first.
    let most = Pool {
        small: u16::MAX,
        large: u16::MAX,
    };
    assert_eq!(most.place(u16::MAX).unwrap().1, frame::LARGE_BUFFER_SIZE);
}

#[test]
fn what_lacks_what_it_needs_is_not_agreed_on() {
    let all = Offloads {
        transmit_checksum: true,
        receive_checksum: true,
        transmit_segments: true,
        receive_segments: true,
    };
    let without = |checksum: bool| Offloads {
        transmit_checksum: checksum,
        receive_checksum: !checksum,
        ..all
    };
    for checksum in [false, true] {
        let agreed = without(checksum).and(all);
        assert_eq!(agreed, all.and(without(checksum)));
        assert_eq!(agreed.transmit_segments, checksum);
        assert_eq!(agreed.receive_segments, !checksum);
    }
    assert_eq!(all.and(Offloads::default()), Offloads::default());
}
