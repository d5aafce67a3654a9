//! The system protocol: what tools ask init, by synchronous call on the endpoint `system`.
//!
//! The badge of the caller's capability tells whether it may only look or also act.
#![forbid(unsafe_code)]

use crate::codec::{Message, size};
use heapless::{String, Vec};
use postcard::experimental::max_size::MaxSize;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// Longest line of the log in one answer, in bytes.
pub const MAX_LINE: usize = 190;
/// Longest name of a process.
pub const MAX_PROCESS_NAME: usize = 24;

/// Tool to init.
///
/// Variant order is the wire discriminant: append new variants, never reorder or remove one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Schema)]
pub enum Request {
    /// The process at or after this position. Answer: `Process`. Position 0 is init; the processes of the manifest follow, and the
    /// position of each is the badge of its sessions.
    Process {
        /// 0 to start, then `next` of the last answer.
        position: u16,
    },
    /// Up to four capabilities of process `id` from a slot index on. Answer: `Caps`.
    Caps {
        /// Number of the process ([`ProcessInfo::id`]).
        id: u64,
        /// 0 to start, then `next` of the last answer.
        from: u32,
    },
    /// Ends a process by name; its restart policy applies. Answer: `Done`. Needs the right to act.
    Kill {
        /// Its name.
        name: String<MAX_PROCESS_NAME>,
    },
    /// The machine's counters. Answer: `Machine`.
    Machine,
    /// Log text at or after sequence number `from`. Answer: `Log`.
    Log {
        /// 0 to start, then `next` of the last answer.
        from: u64,
    },
    /// Ends the machine with an exit status (0..=100). No answer. Needs the right to act.
    PowerOff {
        /// The status.
        status: u8,
    },
}

/// Init to tool.
///
/// Variant order is the wire discriminant: append new variants, never reorder or remove one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Schema)]
pub enum Reply {
    /// One process; `None` at the end.
    Process {
        /// Position to ask for next.
        next: u16,
        /// The process.
        process: Option<ProcessInfo>,
    },
    /// Some capabilities.
    Caps {
        /// Slot index to ask for next; 0 at the end.
        next: u32,
        /// The capabilities.
        caps: Vec<CapInfo, 4>,
    },
    /// Done.
    Done,
    /// The machine's counters.
    Machine(MachineInfo),
    /// One line of the log; empty at the end.
    Log {
        /// Sequence number to ask for next.
        next: u64,
        /// Microseconds since boot.
        micros: u64,
        /// Level: 1 error .. 5 trace.
        level: u8,
        /// The line (long ones are cut).
        line: String<MAX_LINE>,
    },
    /// The request failed.
    Failed(SystemError),
}

/// Why init refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum SystemError {
    /// The caller's capability does not permit this.
    Denied,
    /// There is no such process.
    NoSuchProcess,
    /// The message makes no sense.
    BadRequest,
    /// The caller asks too much at once. Asking again later helps.
    Busy,
}

/// One process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Schema)]
pub struct ProcessInfo {
    /// Number, unique since boot (a restarted process has a new one).
    pub id: u64,
    /// Its name in the manifest.
    pub name: String<MAX_PROCESS_NAME>,
    /// Whether it runs, or how it ended.
    pub state: RunState,
    /// How often it was started again.
    pub restarts: u32,
    /// Priority.
    pub priority: u8,
    /// Microseconds of processor time.
    pub cpu_micros: u64,
    /// Capabilities held.
    pub caps: u32,
    /// Pages mapped.
    pub pages: u32,
    /// Frames of its budget in use.
    pub budget_used: u32,
    /// Frames of its budget.
    pub budget_limit: u32,
    /// System calls made.
    pub syscalls: u64,
    /// Times that it was switched to.
    pub switches: u64,
}

/// Whether a process runs, or how it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum RunState {
    /// It runs.
    Running,
    /// It ended itself.
    Exited(u32),
    /// It was ended.
    Killed(u32),
    /// It faulted: exception vector, address, instruction.
    Faulted {
        /// Exception vector.
        vector: u8,
        /// Address accessed.
        address: u64,
        /// Address of the instruction.
        instruction: u64,
    },
    /// It ended and waits to be started again.
    Waiting,
}

/// One capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub struct CapInfo {
    /// Index in the table.
    pub slot: u32,
    /// Number of its kind in the kernel's list (1 budget, 2 memory, ...).
    pub kind: u8,
    /// Rights as the kernel numbers them.
    pub rights: u32,
    /// Badge.
    pub badge: u64,
    /// Number of the object.
    pub object: u64,
}

/// Counters of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub struct MachineInfo {
    /// Frames of memory.
    pub frames: u64,
    /// Frames that are free.
    pub free_frames: u64,
    /// Microseconds since boot.
    pub uptime_micros: u64,
    /// Microseconds with nothing to run.
    pub idle_micros: u64,
    /// Switches of address space.
    pub switches: u64,
    /// System calls.
    pub syscalls: u64,
    /// Interrupts.
    pub interrupts: u64,
}

impl Message for Request {
    const MAX_SIZE: usize =
        size::TAG + size::largest(&[size::U64 + size::U32, size::TAG + MAX_PROCESS_NAME]);
}

impl ProcessInfo {
    const MAX_SIZE: usize = size::U64
        + size::TAG
        + MAX_PROCESS_NAME
        + RunState::POSTCARD_MAX_SIZE
        + size::U8
        + 5 * size::U32
        + 3 * size::U64;
}

impl Message for Reply {
    const MAX_SIZE: usize = size::TAG
        + size::largest(&[
            size::U16 + size::TAG + ProcessInfo::MAX_SIZE,
            size::U32 + size::TAG + 4 * CapInfo::POSTCARD_MAX_SIZE,
            MachineInfo::POSTCARD_MAX_SIZE,
            2 * size::U64 + size::U8 + 2 + MAX_LINE,
        ]);
}

const _: () = assert!(Request::MAX_SIZE <= crate::setup::MAX_INLINE);
const _: () = assert!(Reply::MAX_SIZE <= crate::setup::MAX_INLINE);
