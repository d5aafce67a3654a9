//! Sessions at the console and under `exec`, and what each command prints, against the made-up world.

use super::*;
use crate::fake::{Fake, SECOND};
use ipc_proto::{
    socket::{SocketInfo, SocketState},
    system::{CapInfo, MachineInfo, ProcessInfo, Reply, Request, RunState, SystemError},
};

mod console;
mod network;
mod system;
mod transfers;

fn process(id: u64, name: &str, state: RunState) -> ProcessInfo {
    ProcessInfo {
        id,
        name: name.try_into().unwrap(),
        state,
        restarts: 2,
        priority: 10,
        cpu_micros: 1_234_567,
        caps: 12,
        pages: 100,
        budget_used: 64,
        budget_limit: 256,
        syscalls: 999,
        switches: 77,
    }
}

/// An init with three processes and a log of five lines.
fn init(request: &Request) -> Result<Reply, crate::platform::NoAnswer> {
    let fault = RunState::Faulted {
        vector: 14,
        address: 0x10,
        instruction: 0x40_1000,
    };
    let processes = [
        process(1, "init", RunState::Running),
        process(4, "netstack", RunState::Running),
        process(9, "probe", fault),
    ];
    Ok(match request {
        Request::Process { position } => Reply::Process {
            next: position + 1,
            process: processes.get(usize::from(*position)).cloned(),
        },
        Request::Caps { id: 4, from: 0 } => Reply::Caps {
            next: 2,
            caps: [CapInfo {
                slot: 1,
                kind: 5,
                rights: 0x60,
                badge: 0,
                object: 11,
            }]
            .into_iter()
            .collect(),
        },
        Request::Caps { id: 4, .. } => Reply::Caps {
            next: 0,
            caps: [CapInfo {
                slot: 2,
                kind: 99,
                rights: !0,
                badge: 0x20,
                object: 12,
            }]
            .into_iter()
            .collect(),
        },
        Request::Caps { .. } => Reply::Failed(SystemError::NoSuchProcess),
        Request::Kill { name } => match name.as_str() {
            "netstack" => Reply::Done,
            "init" => Reply::Failed(SystemError::Denied),
            _ => Reply::Failed(SystemError::NoSuchProcess),
        },
        Request::Machine => Reply::Machine(MachineInfo {
            frames: 32768,
            free_frames: 16384,
            uptime_micros: 3_725_000_000,
            idle_micros: 3_600_000_000,
            switches: 10,
            syscalls: 20,
            interrupts: 30,
        }),
        Request::Log { from: from @ 0..5 } => Reply::Log {
            next: from + 1,
            micros: 1_000_001 * from,
            level: 3,
            line: alloc::format!("line {from}").as_str().try_into().unwrap(),
        },
        Request::Log { from } => Reply::Log {
            next: *from,
            micros: 0,
            level: 0,
            line: heapless::String::new(),
        },
        Request::PowerOff { .. } => Reply::Done,
    })
}

fn world() -> Fake {
    let fake = Fake::new();
    *fake.0.init.borrow_mut() = Box::new(init);
    fake
}

/// Runs a line as `exec` would; what it printed and its status.
fn exec_in(fake: &Fake, line: &str) -> (String, u8) {
    let shell = Shell::new(fake.clone(), false);
    fake.0.shown.borrow_mut().clear();
    let status = fake.block_on(shell.run_line(line)).expect("stuck");
    (fake.text(), status)
}

fn exec(line: &str) -> (String, u8) {
    exec_in(&world(), line)
}

/// A session at the console: what was typed when, and what the console shows in the end.
fn session(fake: &Fake, typed: &[(f64, &str)]) -> String {
    for (at, keys) in typed {
        fake.type_at(*at, keys);
    }
    let shell = Shell::new(fake.clone(), true);
    assert_eq!(fake.block_on(shell.run(&Start::default())), None);
    fake.text()
}
