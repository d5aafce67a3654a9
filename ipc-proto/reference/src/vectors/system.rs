//! The system protocol.

use super::*;
use ipc_proto::system::{CapInfo, MachineInfo, ProcessInfo, Reply, Request, RunState, SystemError};

/// Examples.
pub(super) fn system_requests() -> Rows<Request> {
    rows(&[
        (Request::Process { position: 1 }, &[0x00, 0x01]),
        (
            Request::Caps { id: 300, from: 4 },
            &[0x01, 0xac, 0x02, 0x04],
        ),
        (
            Request::Kill {
                name: text("netstack"),
            },
            &[0x02, 0x08, 0x6e, 0x65, 0x74, 0x73, 0x74, 0x61, 0x63, 0x6b],
        ),
        (Request::Machine, &[0x03]),
        (
            Request::Log { from: 1 << 35 },
            &[0x04, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        ),
        (Request::PowerOff { status: 100 }, &[0x05, 0x64]),
    ])
}

/// Examples.
pub(super) fn system_replies() -> Rows<Reply> {
    rows(&[
        (
            Reply::Process {
                next: 2,
                process: Some(ProcessInfo {
                    id: 7,
                    name: text("virtio-net"),
                    state: RunState::Faulted {
                        vector: 14,
                        address: 0x1000,
                        instruction: 0x40_0000,
                    },
                    restarts: 1,
                    priority: 5,
                    cpu_micros: 1_000_000,
                    caps: 9,
                    pages: 40,
                    budget_used: 41,
                    budget_limit: 2048,
                    syscalls: 12_345,
                    switches: 678,
                }),
            },
            &[
                0x00, 0x02, 0x01, 0x07, 0x0a, 0x76, 0x69, 0x72, 0x74, 0x69, 0x6f, 0x2d, 0x6e, 0x65,
                0x74, 0x03, 0x0e, 0x80, 0x20, 0x80, 0x80, 0x80, 0x02, 0x01, 0x05, 0xc0, 0x84, 0x3d,
                0x09, 0x28, 0x29, 0x80, 0x10, 0xb9, 0x60, 0xa6, 0x05,
            ],
        ),
        (
            Reply::Process {
                next: 1,
                process: Some(ProcessInfo {
                    id: 1,
                    name: text("init"),
                    state: RunState::Running,
                    restarts: 0,
                    priority: 15,
                    cpu_micros: 0,
                    caps: 26,
                    pages: 0,
                    budget_used: 0,
                    budget_limit: 0,
                    syscalls: 0,
                    switches: 0,
                }),
            },
            &[
                0x00, 0x01, 0x01, 0x01, 0x04, 0x69, 0x6e, 0x69, 0x74, 0x00, 0x00, 0x0f, 0x00, 0x1a,
                0x00, 0x00, 0x00, 0x00, 0x00,
            ],
        ),
        (
            Reply::Process {
                next: 1,
                process: Some(ProcessInfo {
                    id: 1,
                    name: text("init"),
                    state: RunState::Exited(0),
                    restarts: 0,
                    priority: 15,
                    cpu_micros: 0,
                    caps: 26,
                    pages: 0,
                    budget_used: 0,
                    budget_limit: 0,
                    syscalls: 0,
                    switches: 0,
                }),
            },
            &[
                0x00, 0x01, 0x01, 0x01, 0x04, 0x69, 0x6e, 0x69, 0x74, 0x01, 0x00, 0x00, 0x0f, 0x00,
                0x1a, 0x00, 0x00, 0x00, 0x00, 0x00,
            ],
        ),
        (
            Reply::Process {
                next: 1,
                process: Some(ProcessInfo {
                    id: 1,
                    name: text("init"),
                    state: RunState::Killed(300),
                    restarts: 0,
                    priority: 15,
                    cpu_micros: 0,
                    caps: 26,
                    pages: 0,
                    budget_used: 0,
                    budget_limit: 0,
                    syscalls: 0,
                    switches: 0,
                }),
            },
            &[
                0x00, 0x01, 0x01, 0x01, 0x04, 0x69, 0x6e, 0x69, 0x74, 0x02, 0xac, 0x02, 0x00, 0x0f,
                0x00, 0x1a, 0x00, 0x00, 0x00, 0x00, 0x00,
            ],
        ),
        (
            Reply::Process {
                next: 1,
                process: Some(ProcessInfo {
                    id: 1,
                    name: text("init"),
                    state: RunState::Waiting,
                    restarts: 0,
                    priority: 15,
                    cpu_micros: 0,
                    caps: 26,
                    pages: 0,
                    budget_used: 0,
                    budget_limit: 0,
                    syscalls: 0,
                    switches: 0,
                }),
            },
            &[
                0x00, 0x01, 0x01, 0x01, 0x04, 0x69, 0x6e, 0x69, 0x74, 0x04, 0x00, 0x0f, 0x00, 0x1a,
                0x00, 0x00, 0x00, 0x00, 0x00,
            ],
        ),
        (
            Reply::Process {
                next: 0,
                process: None,
            },
            &[0x00, 0x00, 0x00],
        ),
        (
            Reply::Caps {
                next: 0,
                caps: list([CapInfo {
                    slot: 3,
                    kind: 2,
                    rights: 5,
                    badge: u64::MAX,
                    object: 17,
                }]),
            },
            &[
                0x01, 0x00, 0x01, 0x03, 0x02, 0x05, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                0xff, 0x01, 0x11,
            ],
        ),
        (
            Reply::Caps {
                next: 0,
                caps: list([]),
            },
            &[0x01, 0x00, 0x00],
        ),
        (Reply::Done, &[0x02]),
        (
            Reply::Machine(MachineInfo {
                frames: 32_768,
                free_frames: 30_000,
                uptime_micros: 5_000_000,
                idle_micros: 4_000_000,
                switches: 1,
                syscalls: 2,
                interrupts: 3,
            }),
            &[
                0x03, 0x80, 0x80, 0x02, 0xb0, 0xea, 0x01, 0xc0, 0x96, 0xb1, 0x02, 0x80, 0x92, 0xf4,
                0x01, 0x01, 0x02, 0x03,
            ],
        ),
        (
            Reply::Log {
                next: 12,
                micros: 345_678,
                level: 3,
                line: text("lease 10.0.2.15/24"),
            },
            &[
                0x04, 0x0c, 0xce, 0x8c, 0x15, 0x03, 0x12, 0x6c, 0x65, 0x61, 0x73, 0x65, 0x20, 0x31,
                0x30, 0x2e, 0x30, 0x2e, 0x32, 0x2e, 0x31, 0x35, 0x2f, 0x32, 0x34,
            ],
        ),
        (Reply::Failed(SystemError::Denied), &[0x05, 0x00]),
        (Reply::Failed(SystemError::NoSuchProcess), &[0x05, 0x01]),
        (Reply::Failed(SystemError::BadRequest), &[0x05, 0x02]),
        (Reply::Failed(SystemError::Busy), &[0x05, 0x03]),
    ])
}
