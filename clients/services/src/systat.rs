//! The text of systat: the machine, one line for each process and for each pair of rings, the network's counters.

use crate::Init;
use alloc::{string::String, vec::Vec};
use core::fmt::{self, Write};
use ipc_proto::system::{MachineInfo, ProcessInfo, Reply, Request, RunState};
use libnet_client::{Counters, Error, RingInfo};

/// More processes than this are not believed.
const MOST_PROCESSES: usize = 256;

/// What the stack says.
pub(crate) struct Network {
    /// Its counters.
    pub(crate) counters: Result<Counters, Error>,
    /// Its rings; none if it does not say.
    pub(crate) rings: Vec<RingInfo>,
}

/// The whole text; lines end with CR LF, as everywhere on the Internet.
pub(crate) fn report(init: &dyn Init, network: &Network) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut text, init, network);
    text
}

fn write_report(text: &mut String, init: &dyn Init, network: &Network) -> fmt::Result {
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
    let processes = processes(init);
    for process in &processes {
        write_process(text, process)?;
    }
    if !network.rings.is_empty() {
        write_rings(text, &network.rings, &processes)?;
    }
    match &network.counters {
        Ok(counters) => write_counters(text, counters),
        Err(error) => write!(text, "\r\nnetwork: {error}\r\n"),
    }
}

fn processes(init: &dyn Init) -> Vec<ProcessInfo> {
    let (mut processes, mut position) = (Vec::new(), 0);
    while processes.len() < MOST_PROCESSES {
        match init.ask(&Request::Process { position }) {
            Some(Reply::Process {
                next,
                process: Some(process),
            }) if next > position => {
                processes.push(process);
                position = next;
            }
            _ => break,
        }
    }
    processes
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

/// As the stack sees them: IN is towards it.
fn write_rings(text: &mut String, rings: &[RingInfo], processes: &[ProcessInfo]) -> fmt::Result {
    write!(
        text,
        "\r\n{:<18} {:>6} {:>5} {:>5} {:>12} {:>12} {:>10} {:>10} {:>6}\r\n",
        "RING", "SLOTS", "IN-Q", "OUT-Q", "MESSAGES-IN", "MESSAGES-OUT", "RUNG-BY", "RUNG", "FULL"
    )?;
    for ring in rings {
        write!(
            text,
            "{:<18} {:>6} {:>5} {:>5} {:>12} {:>12} {:>10} {:>10} {:>6}\r\n",
            alloc::format!("{}", ring.peer_name(processes)),
            ring.slots,
            ring.rx_queued,
            ring.tx_queued,
            ring.rx_messages,
            ring.tx_messages,
            ring.rx_doorbells,
            ring.tx_doorbells,
            ring.tx_full,
        )?;
    }
    Ok(())
}

fn write_counters(text: &mut String, c: &Counters) -> fmt::Result {
    write!(
        text,
        "\r\nreceived: {} frames, {} bytes, {} malformed, {} dropped\r\n\
         sent: {} frames, {} bytes, {} dropped\r\n\
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
