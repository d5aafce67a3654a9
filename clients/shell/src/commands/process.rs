//! Processes and the machine: ps, caps, kill, log, uptime, free, poweroff.

use super::{
    Failure,
    options::Options,
    table::{Align, Table},
};
use crate::{platform::Platform, race::yield_now, shell::Shell};
use alloc::{collections::VecDeque, format, string::String, vec::Vec};
use ipc_proto::system::{CapInfo, MachineInfo, ProcessInfo, Reply, Request, RunState, SystemError};

/// Highest exit status of the machine.
pub(crate) const MAX_STATUS: u8 = 100;
/// KiB of a frame.
const FRAME_KIB: u64 = 4;
/// Most rows asked for: init's own tables are smaller, and an init gone mad must not hold the shell.
const MAX_ROWS: usize = 100_000;

/// What the kernel calls the kinds of objects, by number.
const KINDS: [&str; 12] = [
    "-",
    "budget",
    "memory",
    "process",
    "thread",
    "endpoint",
    "notification",
    "interrupt",
    "device",
    "clock",
    "console",
    "machine",
];
/// What the kernel calls the rights, by bit.
const RIGHTS: [&str; 11] = [
    "read", "write", "exec", "signal", "wait", "call", "recv", "grant", "dma", "alloc", "manage",
];

/// Says what init refused, in the words of `errno`.
fn refused(error: SystemError) -> Failure {
    match error {
        SystemError::Denied => failure!("Operation not permitted"),
        SystemError::NoSuchProcess => failure!("no such process"),
        SystemError::BadRequest => failure!("Invalid argument"),
        SystemError::Busy => failure!("Resource temporarily unavailable"),
    }
}

fn unexpected() -> Failure {
    failure!("unexpected answer from init")
}

/// All processes in the manifest's order.
pub(super) fn processes<P: Platform>(shell: &Shell<P>) -> Result<Vec<ProcessInfo>, Failure> {
    let mut processes = Vec::new();
    let mut position = 0;
    while processes.len() < MAX_ROWS {
        match shell.ask(&Request::Process { position })? {
            Reply::Process {
                next,
                process: Some(process),
            } if next > position => {
                processes.push(process);
                position = next;
            }
            Reply::Process { process: None, .. } => break,
            Reply::Failed(error) => return Err(refused(error)),
            _ => return Err(unexpected()),
        }
    }
    Ok(processes)
}

fn machine<P: Platform>(shell: &Shell<P>) -> Result<MachineInfo, Failure> {
    match shell.ask(&Request::Machine)? {
        Reply::Machine(machine) => Ok(machine),
        Reply::Failed(error) => Err(refused(error)),
        _ => Err(unexpected()),
    }
}

fn state(state: RunState) -> String {
    match state {
        RunState::Running => String::from("running"),
        RunState::Exited(code) => format!("exited {code}"),
        RunState::Killed(code) => format!("killed {code}"),
        RunState::Faulted {
            vector,
            address,
            instruction,
        } => {
            format!(
                "{} at {instruction:#x} (address {address:#x})",
                fault(vector)
            )
        }
        RunState::Waiting => String::from("waiting"),
    }
}

/// Names of the exceptions (Intel SDM volume 3, table 6-1) that a process can cause.
fn fault(vector: u8) -> String {
    let name = match vector {
        0 => "divide error",
        1 => "debug exception",
        3 => "breakpoint",
        6 => "invalid opcode",
        7 => "device not available",
        12 => "stack fault",
        13 => "general protection fault",
        14 => "page fault",
        16 => "x87 error",
        17 => "alignment fault",
        19 => "SIMD error",
        _ => return format!("exception {vector}"),
    };
    String::from(name)
}

pub(super) fn ps<P: Platform>(
    shell: &Shell<P>,
    arguments: &[&str],
    usage: Failure,
) -> Result<(), Failure> {
    if !arguments.is_empty() {
        return Err(usage);
    }
    let right = |heading| (heading, Align::Right);
    let mut table = Table::new(&[
        right("PID"),
        ("NAME", Align::Left),
        right("PRI"),
        right("CPU"),
        right("MEMORY"),
        right("BUDGET"),
        right("CAPS"),
        right("SYSCALLS"),
        right("RESTARTS"),
        ("STATE", Align::Left),
    ]);
    for process in processes(shell)? {
        table.row([
            process.id.cell(),
            String::from(process.name.as_str()),
            process.priority.cell(),
            format!(
                "{}.{:03}",
                process.cpu_micros / 1_000_000,
                process.cpu_micros / 1000 % 1000
            ),
            format!(
                "{}K",
                u64::from(process.budget_used).saturating_mul(FRAME_KIB)
            ),
            format!(
                "{}K",
                u64::from(process.budget_limit).saturating_mul(FRAME_KIB)
            ),
            process.caps.cell(),
            process.syscalls.cell(),
            process.restarts.cell(),
            state(process.state),
        ]);
    }
    table.print(shell);
    Ok(())
}

/// Text of a cell.
trait Cell {
    fn cell(&self) -> String;
}

impl<T: core::fmt::Display> Cell for T {
    fn cell(&self) -> String {
        format!("{self}")
    }
}

pub(super) fn caps<P: Platform>(
    shell: &Shell<P>,
    arguments: &[&str],
    usage: Failure,
) -> Result<(), Failure> {
    let [wanted] = arguments else {
        return Err(usage);
    };
    let number: Option<u64> = wanted.parse().ok();
    let process = processes(shell)?
        .into_iter()
        .find(|process| process.name == *wanted || Some(process.id) == number)
        .ok_or_else(|| failure!("{wanted}: no such process"))?;
    let right = |heading| (heading, Align::Right);
    let mut table = Table::new(&[
        right("SLOT"),
        ("KIND", Align::Left),
        right("OBJECT"),
        right("BADGE"),
        ("RIGHTS", Align::Left),
    ]);
    let mut from = 0;
    for _ in 0..MAX_ROWS {
        let (next, caps) = match shell.ask(&Request::Caps {
            id: process.id,
            from,
        })? {
            Reply::Caps { next, caps } => (next, caps),
            Reply::Failed(error) => return Err(refused(error)),
            _ => return Err(unexpected()),
        };
        for cap in &caps {
            table.row(cap_row(cap));
        }
        if next <= from {
            break;
        }
        from = next;
    }
    table.print(shell);
    Ok(())
}

fn cap_row(cap: &CapInfo) -> [String; 5] {
    let kind = KINDS.get(usize::from(cap.kind)).copied().unwrap_or("?");
    let rights: Vec<&str> = RIGHTS
        .iter()
        .enumerate()
        .filter(|(bit, _)| cap.rights.checked_shr(*bit as u32).unwrap_or(0) & 1 == 1)
        .map(|(_, name)| *name)
        .collect();
    let badge = match cap.badge {
        0 => String::from("-"),
        badge => format!("{badge:#x}"),
    };
    [
        cap.slot.cell(),
        String::from(kind),
        cap.object.cell(),
        badge,
        rights.join(","),
    ]
}

pub(super) fn kill<P: Platform>(
    shell: &Shell<P>,
    arguments: &[&str],
    usage: Failure,
) -> Result<(), Failure> {
    let [name] = arguments else {
        return Err(usage);
    };
    // A number is turned into a name: init knows its processes by name, so that a kill can't hit a successor.
    let name = match name.parse::<u64>() {
        Err(_) => String::from(*name),
        Ok(id) => processes(shell)?
            .iter()
            .find(|process| process.id == id)
            .map(|process| String::from(process.name.as_str()))
            .ok_or_else(|| failure!("{id}: no such process"))?,
    };
    let Ok(wire) = heapless::String::try_from(name.as_str()) else {
        return Err(failure!("{name}: no such process"));
    };
    match shell.ask(&Request::Kill { name: wire })? {
        Reply::Done => Ok(()),
        Reply::Failed(SystemError::NoSuchProcess) => Err(failure!("{name}: no such process")),
        Reply::Failed(SystemError::Denied) => Err(failure!("{name}: Operation not permitted")),
        Reply::Failed(error) => Err(refused(error)),
        _ => Err(unexpected()),
    }
}

pub(super) async fn log<P: Platform>(
    shell: &Shell<P>,
    arguments: &[&str],
    usage: Failure,
) -> Result<(), Failure> {
    let options = Options::parse(arguments, &[], &["-n"])?;
    if !options.operands.is_empty() {
        return Err(usage);
    }
    let last: Option<usize> = options.number("-n")?;
    let mut kept: VecDeque<String> = VecDeque::new();
    let mut from = 0;
    // The log grows while it is read: what was there at the beginning is what is meant, as the limit makes sure of.
    for _ in 0..MAX_ROWS {
        let (next, micros, line) = match shell.ask(&Request::Log { from })? {
            Reply::Log {
                next, micros, line, ..
            } => (next, micros, line),
            Reply::Failed(error) => return Err(refused(error)),
            _ => return Err(unexpected()),
        };
        if line.is_empty() || next <= from {
            break;
        }
        from = next;
        let line = format!(
            "[{:>5}.{:06}] {line}",
            micros / 1_000_000,
            micros % 1_000_000
        );
        match last {
            None => say!(shell, "{line}"),
            Some(last) => {
                kept.push_back(line);
                if kept.len() > last {
                    kept.pop_front();
                }
            }
        }
        yield_now().await;
    }
    for line in kept {
        say!(shell, "{line}");
    }
    Ok(())
}

pub(super) fn uptime<P: Platform>(
    shell: &Shell<P>,
    arguments: &[&str],
    usage: Failure,
) -> Result<(), Failure> {
    if !arguments.is_empty() {
        return Err(usage);
    }
    let machine = machine(shell)?;
    let seconds = machine.uptime_micros / 1_000_000;
    let busy = machine.uptime_micros.saturating_sub(machine.idle_micros);
    let percent = busy
        .saturating_mul(100)
        .checked_div(machine.uptime_micros)
        .unwrap_or(0);
    say!(
        shell,
        "up {}:{:02}:{:02}, {percent}% busy, {} address space switches, {} system calls, {} interrupts",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        machine.switches,
        machine.syscalls,
        machine.interrupts,
    );
    Ok(())
}

pub(super) fn free<P: Platform>(
    shell: &Shell<P>,
    arguments: &[&str],
    usage: Failure,
) -> Result<(), Failure> {
    if !arguments.is_empty() {
        return Err(usage);
    }
    let machine = machine(shell)?;
    let kib = |frames: u64| frames.saturating_mul(FRAME_KIB);
    say!(shell, "{:>16} {:>11} {:>11}", "total", "used", "free");
    say!(
        shell,
        "Mem: {:>11} {:>11} {:>11}   (KiB)",
        kib(machine.frames),
        kib(machine.frames.saturating_sub(machine.free_frames)),
        kib(machine.free_frames),
    );
    Ok(())
}

pub(super) fn poweroff<P: Platform>(
    shell: &Shell<P>,
    arguments: &[&str],
    usage: Failure,
) -> Result<(), Failure> {
    let status = match arguments {
        [] => 0,
        [status] => status
            .parse()
            .ok()
            .filter(|status| *status <= MAX_STATUS)
            .ok_or_else(|| failure!("invalid status '{status}': 0 to {MAX_STATUS}"))?,
        _ => return Err(usage),
    };
    power_off(shell, status)
}

/// Switches the machine off.
pub(crate) fn power_off<P: Platform>(shell: &Shell<P>, status: u8) -> Result<(), Failure> {
    match shell.ask(&Request::PowerOff { status })? {
        Reply::Failed(error) => Err(refused(error)),
        _ => Ok(()),
    }
}
