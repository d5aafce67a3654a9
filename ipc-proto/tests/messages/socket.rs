//! Values of the messages of the socket protocol.

use crate::strategies::{address, list, text, wide, word};
use core::net::IpAddr;
use ipc_proto::{
    rings::RingInfo,
    socket::{
        AddressSource, Buffers, Counters, Family, Handle, InterfaceInfo, NetError, Reply, Request,
        SocketInfo, SocketOption, SocketState,
    },
};
use proptest::{prelude::*, sample::select};

pub(crate) fn handle() -> impl Strategy<Value = Handle> {
    any::<(u16, u16)>().prop_map(|(index, generation)| Handle { index, generation })
}

pub(crate) fn buffers() -> impl Strategy<Value = Buffers> {
    (word(), word(), any::<u8>(), word(), any::<u8>()).prop_map(
        |(control, rx, rx_log2, tx, tx_log2)| Buffers {
            control,
            rx,
            rx_log2,
            tx,
            tx_log2,
        },
    )
}

pub(crate) fn option() -> impl Strategy<Value = SocketOption> {
    prop_oneof![
        any::<bool>().prop_map(SocketOption::NoDelay),
        prop::option::of(word()).prop_map(SocketOption::KeepAlive),
        prop::option::of(word()).prop_map(SocketOption::UserTimeout),
        any::<u8>().prop_map(SocketOption::HopLimit),
    ]
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    let family = select(vec![Family::V4, Family::V6, Family::Any]);
    prop_oneof![
        (word(), address(), any::<u16>(), buffers()).prop_map(
            |(id, remote, local_port, buffers)| Request::TcpConnect {
                id,
                remote,
                local_port,
                buffers
            }
        ),
        (word(), address(), any::<u16>()).prop_map(|(id, local, backlog)| Request::TcpListen {
            id,
            local,
            backlog
        }),
        (word(), handle(), buffers()).prop_map(|(id, listener, buffers)| Request::TcpAccept {
            id,
            listener,
            buffers
        }),
        (word(), address(), buffers()).prop_map(|(id, local, buffers)| Request::UdpBind {
            id,
            local,
            buffers
        }),
        (word(), handle(), option()).prop_map(|(id, socket, option)| Request::SetOption {
            id,
            socket,
            option
        }),
        (word(), handle()).prop_map(|(id, socket)| Request::Shutdown { id, socket }),
        (word(), handle(), any::<bool>()).prop_map(|(id, socket, abort)| Request::Close {
            id,
            socket,
            abort
        }),
        (word(), word()).prop_map(|(id, target)| Request::Cancel { id, target }),
        (word(), text(), family, word()).prop_map(|(id, name, family, timeout_ms)| {
            Request::Resolve {
                id,
                name,
                family,
                timeout_ms,
            }
        }),
        (word(), any::<IpAddr>(), any::<u16>(), any::<u16>(), word()).prop_map(
            |(id, remote, sequence, len, timeout_ms)| Request::Ping {
                id,
                remote,
                sequence,
                len,
                timeout_ms
            }
        ),
        word().prop_map(|id| Request::Interface { id }),
        (word(), word()).prop_map(|(id, position)| Request::Inspect { id, position }),
        word().prop_map(|id| Request::Counters { id }),
        (word(), word()).prop_map(|(id, position)| Request::Ring { id, position }),
    ]
}

pub(crate) fn counters() -> impl Strategy<Value = Counters> {
    (
        prop::array::uniform10(wide()),
        prop::array::uniform4(word()),
    )
        .prop_map(|(wide, word)| {
            let [
                rx_frames,
                rx_bytes,
                tx_frames,
                tx_bytes,
                rx_malformed,
                rx_dropped,
                tx_dropped,
                syn_dropped,
                connections,
                refused,
            ] = wide;
            let [sessions, violations, sockets, driver_violations] = word;
            Counters {
                rx_frames,
                rx_bytes,
                tx_frames,
                tx_bytes,
                rx_malformed,
                rx_dropped,
                tx_dropped,
                syn_dropped,
                connections,
                refused,
                sessions,
                violations,
                sockets,
                driver_violations,
            }
        })
}

pub(crate) fn ring_info() -> impl Strategy<Value = RingInfo> {
    (prop::array::uniform6(wide()), prop::array::uniform3(word())).prop_map(|(wide, word)| {
        let [
            peer,
            rx_messages,
            tx_messages,
            rx_doorbells,
            tx_doorbells,
            tx_full,
        ] = wide;
        let [slots, rx_queued, tx_queued] = word;
        RingInfo {
            peer,
            slots,
            rx_queued,
            tx_queued,
            rx_messages,
            tx_messages,
            rx_doorbells,
            tx_doorbells,
            tx_full,
        }
    })
}

pub(crate) fn socket_state() -> impl Strategy<Value = SocketState> {
    use SocketState::*;
    select(vec![
        Udp,
        Listen,
        SynSent,
        SynReceived,
        Established,
        FinWait1,
        FinWait2,
        CloseWait,
        Closing,
        LastAck,
        TimeWait,
        Closed,
    ])
}

pub(crate) fn socket_info() -> impl Strategy<Value = SocketInfo> {
    (
        wide(),
        socket_state(),
        address(),
        prop::option::of(address()),
        word(),
        word(),
    )
        .prop_map(
            |(session, state, local, remote, rx_queued, tx_queued)| SocketInfo {
                session,
                state,
                local,
                remote,
                rx_queued,
                tx_queued,
            },
        )
}

pub(crate) fn interface() -> impl Strategy<Value = InterfaceInfo> {
    let source = select(vec![
        AddressSource::None,
        AddressSource::Dhcp,
        AddressSource::Static,
    ]);
    let hardware = (any::<[u8; 6]>(), any::<bool>(), any::<u16>());
    let ip = any::<IpAddr>;
    (
        hardware,
        list(any::<(IpAddr, u8)>()),
        list(ip()),
        list(ip()),
        source,
        word(),
        word(),
    )
        .prop_map(
            |(
                (mac, link_up, mtu),
                addresses,
                routers,
                name_servers,
                source,
                lease_seconds,
                attachments,
            )| InterfaceInfo {
                mac,
                link_up,
                mtu,
                addresses,
                routers,
                name_servers,
                source,
                lease_seconds,
                attachments,
            },
        )
}

pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        (word(), handle(), address()).prop_map(|(id, socket, local)| Reply::Opened {
            id,
            socket,
            local
        }),
        (word(), handle(), address(), address()).prop_map(|(id, socket, local, remote)| {
            Reply::Accepted {
                id,
                socket,
                local,
                remote,
            }
        }),
        word().prop_map(|id| Reply::Done { id }),
        word().prop_map(|id| Reply::Closed { id }),
        (word(), list(any::<IpAddr>()))
            .prop_map(|(id, addresses)| Reply::Resolved { id, addresses }),
        (word(), any::<IpAddr>(), word(), any::<u8>(), any::<u16>()).prop_map(
            |(id, from, micros, hop_limit, len)| Reply::Pong {
                id,
                from,
                micros,
                hop_limit,
                len
            }
        ),
        (word(), interface()).prop_map(|(id, interface)| Reply::Interface { id, interface }),
        (word(), word(), prop::option::of(socket_info()))
            .prop_map(|(id, next, socket)| Reply::Socket { id, next, socket }),
        (word(), counters()).prop_map(|(id, counters)| Reply::Counters { id, counters }),
        (word(), select(NetError::ALL.to_vec()))
            .prop_map(|(id, error)| Reply::Failed { id, error }),
        (word(), word(), prop::option::of(ring_info())).prop_map(|(id, next, ring)| Reply::Ring {
            id,
            next,
            ring
        }),
    ]
}
