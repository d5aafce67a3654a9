//! Values of the messages of set-up, frames and system.

use core::net::{IpAddr, SocketAddr};
use heapless::{String, Vec};
use ipc_proto::{
    frame::{Checksum, Offload, Offloads, Pool, Run, ToDriver, ToStack},
    hello::{Hello, Protocol},
    policy::{Allow, MAX_RULES, Policy, PortRange, Prefix},
    setup::{DevReply, DevRequest, NetReply, NetRequest, Refusal},
    system::{self, CapInfo, MachineInfo, ProcessInfo, RunState, SystemError},
};
use proptest::{prelude::*, sample::select};

pub(crate) fn address() -> impl Strategy<Value = SocketAddr> {
    // Flow information and scope do not travel.
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

pub(crate) fn list<T: core::fmt::Debug + Clone, const N: usize>(
    item: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<T, N>> {
    prop::collection::vec(item, 0..=N).prop_map(|items| Vec::from_slice(&items).unwrap())
}

pub(crate) fn text<const N: usize>() -> impl Strategy<Value = String<N>> {
    (prop::collection::vec(any::<char>(), 0..=N), 0..=N).prop_map(|(chars, len)| {
        let mut text = String::new();
        for c in chars.into_iter().take(len) {
            let _ = text.push(c); // A character that does not fit.
        }
        text
    })
}

/// Numbers of every length.
pub(crate) fn wide() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift)
}

pub(crate) fn word() -> impl Strategy<Value = u32> {
    (any::<u32>(), 0..32_u32).prop_map(|(number, shift)| number >> shift)
}

pub(crate) fn hello() -> impl Strategy<Value = Hello> {
    let protocol = select(vec![Protocol::Socket, Protocol::Frame, Protocol::System]);
    (protocol, any::<u16>(), any::<[u8; 8]>()).prop_map(|(protocol, version, schema)| Hello {
        protocol,
        version,
        schema,
    })
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let prefix =
        (any::<IpAddr>(), any::<u8>()).prop_map(|(address, bits)| Prefix { address, bits });
    let ports = || {
        list::<_, MAX_RULES>(
            any::<(u16, u16)>().prop_map(|(first, last)| PortRange { first, last }),
        )
    };
    (
        any::<[bool; 6]>(),
        list(prefix),
        ports(),
        ports(),
        any::<u16>(),
        word(),
        word(),
    )
        .prop_map(
            |(allow, remote, remote_ports, local_ports, max_sockets, max_buffer_bytes, rate)| {
                let [tcp_connect, tcp_listen, udp, ping, resolve, inspect] = allow;
                Policy {
                    allow: Allow {
                        tcp_connect,
                        tcp_listen,
                        udp,
                        ping,
                        resolve,
                        inspect,
                    },
                    remote,
                    remote_ports,
                    local_ports,
                    max_sockets,
                    max_buffer_bytes,
                    packets_per_second: rate,
                }
            },
        )
}

pub(crate) fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        hello().prop_map(Refusal::Mismatch),
        select(vec![
            Refusal::BadRequest,
            Refusal::Denied,
            Refusal::Exhausted
        ]),
    ]
}

pub(crate) fn net_request() -> impl Strategy<Value = NetRequest> {
    prop_oneof![
        (hello(), word()).prop_map(|(hello, len)| NetRequest::Open { hello, len }),
        policy().prop_map(|policy| NetRequest::Derive { policy }),
        Just(NetRequest::RevokeDerived),
    ]
}

pub(crate) fn net_reply() -> impl Strategy<Value = NetReply> {
    prop_oneof![
        any::<u16>().prop_map(|max_sockets| NetReply::Opened { max_sockets }),
        select(vec![NetReply::Derived, NetReply::Done]),
        refusal().prop_map(NetReply::Refused),
    ]
}

pub(crate) fn dev_request() -> impl Strategy<Value = DevRequest> {
    (
        hello(),
        any::<[u8; 6]>(),
        any::<u16>(),
        any::<bool>(),
        offloads(),
    )
        .prop_map(|(hello, mac, mtu, link_up, offloads)| DevRequest::Attach {
            hello,
            mac,
            mtu,
            link_up,
            offloads,
        })
}

fn offloads() -> impl Strategy<Value = Offloads> {
    any::<[bool; 4]>().prop_map(
        |[
            transmit_checksum,
            receive_checksum,
            transmit_segments,
            receive_segments,
        ]| Offloads {
            transmit_checksum,
            receive_checksum,
            transmit_segments,
            receive_segments,
        },
    )
}

fn pool() -> impl Strategy<Value = Pool> {
    any::<[u16; 2]>().prop_map(|[small, large]| Pool { small, large })
}

pub(crate) fn dev_reply() -> impl Strategy<Value = DevReply> {
    prop_oneof![
        (word(), pool(), pool(), offloads()).prop_map(|(generation, receive, send, offloads)| {
            DevReply::Attached {
                generation,
                receive,
                send,
                offloads,
            }
        }),
        refusal().prop_map(DevReply::Refused),
    ]
}

pub(crate) fn to_driver() -> impl Strategy<Value = ToDriver> {
    prop_oneof![
        run().prop_map(|buffers| ToDriver::Receive { buffers }),
        (any::<(u16, u16)>(), offload()).prop_map(|((buffer, len), offload)| {
            ToDriver::Transmit {
                buffer,
                len,
                offload,
            }
        }),
    ]
}

fn run() -> impl Strategy<Value = Run> {
    any::<(u16, u16)>().prop_map(|(first, count)| Run { first, count })
}

fn offload() -> impl Strategy<Value = Offload> {
    prop_oneof![
        Just(Offload::Nothing),
        any::<(u8, u8)>().prop_map(|(start, offset)| Offload::Checksum { start, offset }),
        any::<(u8, u8, u8, u16)>().prop_map(|(start, offset, header, size)| Offload::Segment {
            start,
            offset,
            header,
            size,
        }),
    ]
}

pub(crate) fn to_stack() -> impl Strategy<Value = ToStack> {
    prop_oneof![
        (
            any::<u16>(),
            word(),
            select(vec![Checksum::Unknown, Checksum::Valid, Checksum::Partial])
        )
            .prop_map(|(buffer, len, checksum)| ToStack::Received {
                buffer,
                len,
                checksum,
            }),
        run().prop_map(|buffers| ToStack::Transmitted { buffers }),
        any::<bool>().prop_map(|up| ToStack::Link { up }),
    ]
}

pub(crate) fn system_request() -> impl Strategy<Value = system::Request> {
    prop_oneof![
        any::<u16>().prop_map(|position| system::Request::Process { position }),
        (wide(), word()).prop_map(|(id, from)| system::Request::Caps { id, from }),
        text().prop_map(|name| system::Request::Kill { name }),
        Just(system::Request::Machine),
        wide().prop_map(|from| system::Request::Log { from }),
        any::<u8>().prop_map(|status| system::Request::PowerOff { status }),
    ]
}

pub(crate) fn run_state() -> impl Strategy<Value = RunState> {
    prop_oneof![
        select(vec![RunState::Running, RunState::Waiting]),
        word().prop_map(RunState::Exited),
        word().prop_map(RunState::Killed),
        (any::<u8>(), wide(), wide()).prop_map(|(vector, address, instruction)| {
            RunState::Faulted {
                vector,
                address,
                instruction,
            }
        }),
    ]
}

pub(crate) fn process() -> impl Strategy<Value = ProcessInfo> {
    let words = prop::array::uniform5(word());
    (
        wide(),
        text(),
        run_state(),
        words,
        any::<u8>(),
        wide(),
        wide(),
        wide(),
    )
        .prop_map(
            |(id, name, state, words, priority, cpu_micros, syscalls, switches)| {
                let [restarts, caps, pages, budget_used, budget_limit] = words;
                ProcessInfo {
                    id,
                    name,
                    state,
                    restarts,
                    priority,
                    cpu_micros,
                    caps,
                    pages,
                    budget_used,
                    budget_limit,
                    syscalls,
                    switches,
                }
            },
        )
}

pub(crate) fn cap() -> impl Strategy<Value = CapInfo> {
    (word(), any::<u8>(), word(), wide(), wide()).prop_map(|(slot, kind, rights, badge, object)| {
        CapInfo {
            slot,
            kind,
            rights,
            badge,
            object,
        }
    })
}

pub(crate) fn machine() -> impl Strategy<Value = MachineInfo> {
    prop::array::uniform7(wide()).prop_map(
        |[
            frames,
            free_frames,
            uptime_micros,
            idle_micros,
            switches,
            syscalls,
            interrupts,
        ]| MachineInfo {
            frames,
            free_frames,
            uptime_micros,
            idle_micros,
            switches,
            syscalls,
            interrupts,
        },
    )
}

pub(crate) fn system_reply() -> impl Strategy<Value = system::Reply> {
    prop_oneof![
        (any::<u16>(), prop::option::of(process()))
            .prop_map(|(next, process)| system::Reply::Process { next, process }),
        (word(), list(cap())).prop_map(|(next, caps)| system::Reply::Caps { next, caps }),
        Just(system::Reply::Done),
        machine().prop_map(system::Reply::Machine),
        (wide(), wide(), any::<u8>(), text()).prop_map(|(next, micros, level, line)| {
            system::Reply::Log {
                next,
                micros,
                level,
                line,
            }
        }),
        select(vec![
            SystemError::Denied,
            SystemError::NoSuchProcess,
            SystemError::BadRequest,
            SystemError::Busy
        ])
        .prop_map(system::Reply::Failed),
    ]
}
