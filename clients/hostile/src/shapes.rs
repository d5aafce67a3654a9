//! What arguments each system call takes, for processes that make calls which are mostly right. Safe.

use crate::wild::{CODE, DATA, FIELD};
use rt::kernel_abi::Syscall;

/// Bytes of a call's row: a kind for each of six arguments, and two of padding.
const ROW: usize = 8;
/// Rows.
const ROWS: usize = 128;
/// Kinds of arguments.
const KINDS: usize = 16;

const ANY: u8 = 0;
const BUDGET: u8 = 1;
const PROCESS: u8 = 2;
const ENDPOINT: u8 = 3;
const NOTIFICATION: u8 = 4;
const MEMORY: u8 = 5;
const THREAD: u8 = 6;
const POINTER: u8 = 7;
const SMALL: u8 = 8;
const ADDRESS: u8 = 9;
const RIGHTS: u8 = 10;
const TIME: u8 = 11;
const ENTRY: u8 = 12;
const LENGTH: u8 = 13;
const SLOT: u8 = 14;
const CLOCK: u8 = 15;

/// For each kind the lowest value, and the bits that a random number adds. Slots as `wild::prepare` deals them out.
pub(crate) const VALUES: [[u64; 2]; KINDS] = [
    [0, u64::MAX],
    [2, 0],
    [1, 8],
    [3, 0],
    [4, 2],
    [5, 3],
    [10, 3],
    [DATA, 0xff8],
    [0, 15],
    [FIELD, 0x3_f000],
    [0, 0x7ff],
    [0, 0xfff],
    [CODE, 0],
    [0, 0x1ff],
    [1, 15],
    [14, 0],
];

const fn shape(call: Syscall) -> [u8; 6] {
    match call {
        Syscall::CapDerive => [SLOT, RIGHTS, SMALL, 0, 0, 0],
        Syscall::CapDelete | Syscall::CapRevoke => [ANY; 6],
        Syscall::CapInfo => [SLOT, 0, 0, 0, 0, 0],
        Syscall::CapWatch => [SLOT, NOTIFICATION, ANY, 0, 0, 0],
        Syscall::BudgetCreate | Syscall::MemoryCreate => [BUDGET, SMALL, SMALL, 0, 0, 0],
        Syscall::BudgetInfo | Syscall::EndpointCreate | Syscall::NotificationCreate => {
            [BUDGET, 0, 0, 0, 0, 0]
        }
        Syscall::MemoryMap => [PROCESS, MEMORY, ADDRESS, SMALL, SMALL, SMALL],
        Syscall::MemoryUnmap => [PROCESS, ADDRESS, SMALL, 0, 0, 0],
        Syscall::MemoryInfo => [MEMORY, 0, 0, 0, 0, 0],
        Syscall::ProcessCreate => [BUDGET, ANY, 0, 0, 0, 0],
        Syscall::ProcessGrant => [PROCESS, SLOT, LENGTH, RIGHTS, SMALL, 0],
        Syscall::ProcessKill | Syscall::ProcessExit | Syscall::ThreadExit => [ANY; 6],
        Syscall::ProcessWatch => [PROCESS, NOTIFICATION, ANY, 0, 0, 0],
        Syscall::ProcessStatus => [PROCESS, POINTER, 0, 0, 0, 0],
        Syscall::ProcessCaps => [PROCESS, SMALL, POINTER, SMALL, 0, 0],
        Syscall::ThreadCreate => [PROCESS, ENTRY, ANY, ANY, SMALL, 0],
        Syscall::ThreadYield => [0; 6],
        Syscall::ThreadPriority | Syscall::ThreadPatience => [THREAD, SMALL, 0, 0, 0, 0],
        Syscall::EndpointCall | Syscall::EndpointRecv => [ENDPOINT, POINTER, TIME, 0, 0, 0],
        Syscall::EndpointReply => [ENDPOINT, ANY, POINTER, 0, 0, 0],
        Syscall::EndpointBind => [ENDPOINT, NOTIFICATION, ANY, 0, 0, 0],
        Syscall::NotificationSignal => [NOTIFICATION, ANY, 0, 0, 0, 0],
        Syscall::NotificationWait => [NOTIFICATION, ANY, TIME, NOTIFICATION, SLOT, 0],
        Syscall::ClockNow | Syscall::ClockScale => [CLOCK, 0, 0, 0, 0, 0],
        // Devices, console, machine: nothing that is held would do.
        _ => [SLOT, POINTER, LENGTH, POINTER, SMALL, SMALL],
    }
}

/// The rows of all calls, by number; numbers without a call take anything.
pub(crate) const SHAPES: [u8; ROWS * ROW] = rows();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where an error would be a build error"
)]
const fn rows() -> [u8; ROWS * ROW] {
    let mut rows = [ANY; ROWS * ROW];
    let mut number = 0;
    while number < ROWS {
        if let Some(call) = Syscall::from_number(number as u64) {
            let shape = shape(call);
            let mut argument = 0;
            while argument < shape.len() {
                rows[number * ROW + argument] = shape[argument];
                argument += 1;
            }
        }
        number += 1;
    }
    rows
}
