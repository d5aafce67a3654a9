//! The text of systat: the machine, one line for each process, the network's counters.

use crate::Init;
use alloc::string::String;
use core::fmt::{self, Write};
use ipc_proto::system::{MachineInfo, ProcessInfo, Reply, Request, RunState};
use libnet_client::{Counters, Error};

/// More processes than this are not believed.
const MOST_PROCESSES: usize = 256;

/// The whole text; lines end with CR LF, as everywhere on the Internet.
pub(crate) fn report(init: &dyn Init, counters: &Result<Counters, Error>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut text, init, counters);
    text
}

fn write_report(
    text: &mut String,
    init: &dyn Init,
    counters: &Result<Counters, Error>,
) -> fmt::Result {
    match init.ask(&Request::Machine) {
        Some(Reply::Machine(machine)) => write_machine(text, &machine)?,
        _ => write!(text, "init does not answer\r\n")?,
    }
    write!(
        text,
        "\r\n{:<18} {:<10} {:>8} {:>4} {:>10} {:>5} {:>6} {:>15} {:>12} {:>10}\r\n",
        "PROCESS",
        "STATE",
        "RESTARTS",
        "PRIO",
        "CPU-MS",
        "CAPS",
        "PAGES",
        "BUDGET",
        "SYSCALLS",
        "SWITCHES"
    )?;
    let mut position = 0;
    for _ in 0..MOST_PROCESSES {
        match init.ask(&Request::Process { position }) {
            Some(Reply::Process {
                next,
                process: Some(process),
            }) if next > position => {
                write_process(text, &process)?;
                position = next;
            }
            _ => break,
        }
    }
    match counters {
        Ok(counters) => write_counters(text, counters),
        Err(error) => write!(text, "\r\nnetwork: {error}\r\n"),
    }
}

fn write_machine(text: &mut String, machine: &MachineInfo) -> fmt::Result {
    let up = machine.uptime_micros;
    let idle = machine
        .idle_micros
        .saturating_mul(1000)
        .checked_div(up)
        .unwrap_or(0);
    write!(
        text,
        "Causeway: up {}.{:03} s, idle {}.{} %, {} of {} frames free\r\n\
         switches {}  syscalls {}  interrupts {}\r\n",
        up / 1_000_000,
        up / 1000 % 1000,
        idle / 10,
        idle % 10,
        machine.free_frames,
        machine.frames,
        machine.switches,
        machine.syscalls,
        machine.interrupts,
    )
}

/// In a column.
struct State(RunState);

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            RunState::Running => f.pad("running"),
            RunState::Exited(code) => f.pad(&alloc::format!("exit {code}")),
            RunState::Killed(code) => f.pad(&alloc::format!("killed {code}")),
            RunState::Faulted { vector, .. } => f.pad(&alloc::format!("fault {vector}")),
            RunState::Waiting => f.pad("waiting"),
        }
    }
}

fn write_process(text: &mut String, process: &ProcessInfo) -> fmt::Result {
    write!(
        text,
        "{:<18} {:<10} {:>8} {:>4} {:>10} {:>5} {:>6} {:>7}/{:<7} {:>12} {:>10}\r\n",
        process.name,
        State(process.state),
        process.restarts,
        process.priority,
        process.cpu_micros / 1000,
        process.caps,
        process.pages,
        process.budget_used,
        process.budget_limit,
        process.syscalls,
        process.switches,
    )
}

fn write_counters(text: &mut String, c: &Counters) -> fmt::Result {
    write!(
        text,
        "\r\nframe ring in:  {} frames, {} bytes, {} malformed, {} dropped\r\n\
         frame ring out: {} frames, {} bytes, {} dropped\r\n\
         sockets: {} open, {} connections, {} refused, {} syns dropped\r\n\
         sessions: {} open, {} ended for violations; driver violations {}\r\n",
        c.rx_frames,
        c.rx_bytes,
        c.rx_malformed,
        c.rx_dropped,
        c.tx_frames,
        c.tx_bytes,
        c.tx_dropped,
        c.sockets,
        c.connections,
        c.refused,
        c.syn_dropped,
        c.sessions,
        c.violations,
        c.driver_violations,
    )
}
