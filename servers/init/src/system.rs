//! Answers the `system` protocol (`ipc_proto::system`): lists, counters, log; kill and power-off for those who may act.
//!
//! Callers are untrusted: the badge that the kernel delivers tells who asks, the manifest what he may.

use crate::{
    endow,
    kernel::Kernel,
    supervisor::{State, Supervisor},
};
use heapless::{String, Vec};
use ipc_proto::system::{CapInfo, MachineInfo, ProcessInfo, Reply, Request, RunState, SystemError};
use rt::{CapRecord, ProcessState, ProcessStatus};

/// Exit code of a process that was ended by `kill`.
const KILLED: u64 = 1;
/// Priority that is shown for init, which the kernel starts with the highest.
const INIT_PRIORITY: u8 = 15;
/// Highest exit status of a machine.
const MAX_STATUS: u8 = 100;

/// What to do about a request.
#[expect(
    clippy::large_enum_variant,
    reason = "made once a request and taken apart at once; a box would cost an allocation"
)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Send this.
    Reply(Reply),
    /// End the machine with this status.
    PowerOff(u8),
}

impl<K: Kernel> Supervisor<'_, K> {
    /// Answers a request that came with `badge`; `None` stands for bytes that are no request.
    pub fn answer(&mut self, badge: u64, request: Option<Request>) -> Answer {
        let act =
            endow::position(badge).and_then(|position| endow::may_act(&self.manifest, position));
        let result = match (act, request) {
            (None, _) => Err(SystemError::Denied),
            (_, None) => Err(SystemError::BadRequest),
            (_, Some(Request::Process { position })) => Ok(self.process(position)),
            (_, Some(Request::Caps { id, from })) => self.caps(id, from),
            (_, Some(Request::Machine)) => self.machine(),
            (_, Some(Request::Log { from })) => self.log_line(from),
            (Some(true), Some(Request::Kill { name })) => self.kill(&name),
            (Some(true), Some(Request::PowerOff { status })) if status <= MAX_STATUS => {
                return Answer::PowerOff(status);
            }
            (Some(true), Some(Request::PowerOff { .. })) => Err(SystemError::BadRequest),
            (Some(false), Some(_)) => Err(SystemError::Denied),
        };
        Answer::Reply(result.unwrap_or_else(Reply::Failed))
    }

    /// Position 0 is init, then come the processes of the manifest.
    fn process(&self, position: u16) -> Reply {
        let process = match position.checked_sub(1) {
            None => Some(self.init_info()),
            Some(child) => self.child_info(child.into()),
        };
        Reply::Process {
            next: position.saturating_add(1),
            process,
        }
    }

    fn init_info(&self) -> ProcessInfo {
        let mut status = self.kernel.status(self.kernel.this_process()).ok();
        if let Some(status) = &mut status {
            // What was split off for the others is theirs, not init's.
            let theirs = self.children.iter().zip(&self.manifest.processes);
            let theirs = theirs.filter(|(child, _)| matches!(child.state, State::Running { .. }));
            let theirs: u64 = theirs.map(|(_, process)| process.budget).sum();
            status.budget_used = status.budget_used.saturating_sub(theirs);
        }
        info("init", INIT_PRIORITY, 0, RunState::Running, 0, status)
    }

    fn child_info(&self, position: usize) -> Option<ProcessInfo> {
        let spec = self.manifest.processes.get(position)?;
        let child = self.children.get(position)?;
        let (state, status) = match &child.state {
            State::Running { process, .. } => {
                let status = self.kernel.status(process).ok();
                let state = status.map_or(ProcessState::Running, |status| status.state);
                (run_state(state), status)
            }
            State::Ended => (child.ended.map_or(RunState::Waiting, run_state), None),
            State::Due { .. } | State::NoDevice | State::Broken => (RunState::Waiting, None),
        };
        Some(info(
            &spec.name,
            spec.priority,
            child.id,
            state,
            child.restarts,
            status,
        ))
    }

    fn caps(&self, id: u64, from: u32) -> Result<Reply, SystemError> {
        let own = self.kernel.this_process();
        let is_own = self.kernel.status(own).is_ok_and(|status| status.id == id);
        let process = if is_own {
            Some(own)
        } else {
            self.children.iter().find_map(|child| match &child.state {
                State::Running { process, .. } if child.id == id => Some(process),
                _ => None,
            })
        };
        let process = process.ok_or(SystemError::NoSuchProcess)?;
        let (records, next) = self
            .kernel
            .caps(process, from)
            .map_err(|_| SystemError::NoSuchProcess)?;
        let mut caps = Vec::new();
        for record in records.into_iter().flatten() {
            // There is room for as many as one call returns.
            let _ = caps.push(cap_info(record));
        }
        Ok(Reply::Caps { next, caps })
    }

    fn kill(&self, name: &str) -> Result<Reply, SystemError> {
        if name == "init" {
            return Err(SystemError::Denied);
        }
        let position = self
            .manifest
            .processes
            .iter()
            .position(|process| process.name == name);
        let child = position.and_then(|position| self.children.get(position));
        match child.map(|child| &child.state) {
            Some(State::Running { process, .. }) => self
                .kernel
                .kill(process, KILLED)
                .map(|()| Reply::Done)
                .map_err(|_| SystemError::NoSuchProcess),
            _ => Err(SystemError::NoSuchProcess),
        }
    }

    fn machine(&self) -> Result<Reply, SystemError> {
        let info = self
            .kernel
            .machine_info()
            .map_err(|_| SystemError::BadRequest)?;
        Ok(Reply::Machine(MachineInfo {
            frames: info.frames,
            free_frames: info.free_frames,
            uptime_micros: info.uptime_ns / 1000,
            idle_micros: info.idle_ns / 1000,
            switches: info.switches,
            syscalls: info.syscalls,
            interrupts: info.interrupts,
        }))
    }

    fn log_line(&self, from: u64) -> Result<Reply, SystemError> {
        let line = self
            .kernel
            .read_log(from)
            .map_err(|_| SystemError::BadRequest)?;
        Ok(match line {
            Some(line) => Reply::Log {
                next: line.next,
                micros: line.time / 1000,
                level: line.level,
                line: cut(&line.text),
            },
            None => Reply::Log {
                next: from,
                micros: 0,
                level: 0,
                line: String::new(),
            },
        })
    }
}

/// As much of the text as fits.
fn cut<const N: usize>(text: &str) -> String<N> {
    let mut short = String::new();
    for char in text.chars() {
        if short.push(char).is_err() {
            break;
        }
    }
    short
}

fn run_state(state: ProcessState) -> RunState {
    match state {
        ProcessState::Running => RunState::Running,
        ProcessState::Exited(code) => RunState::Exited(small(code)),
        ProcessState::Killed(code) => RunState::Killed(small(code)),
        ProcessState::Faulted {
            vector,
            address,
            instruction,
            ..
        } => RunState::Faulted {
            vector,
            address,
            instruction,
        },
    }
}

fn info(
    name: &str,
    priority: u8,
    id: u64,
    state: RunState,
    restarts: u32,
    status: Option<ProcessStatus>,
) -> ProcessInfo {
    ProcessInfo {
        id: status.map_or(id, |status| status.id),
        name: cut(name),
        state,
        restarts,
        priority,
        cpu_micros: status.map_or(0, |status| status.cpu_ns / 1000),
        caps: status.map_or(0, |status| small(status.caps)),
        pages: status.map_or(0, |status| small(status.pages)),
        budget_used: status.map_or(0, |status| small(status.budget_used)),
        budget_limit: status.map_or(0, |status| small(status.budget_limit)),
        syscalls: status.map_or(0, |status| status.syscalls),
        switches: status.map_or(0, |status| status.switches),
    }
}

fn cap_info(record: CapRecord) -> CapInfo {
    CapInfo {
        slot: record.slot.index().into(),
        kind: record.kind as u8,
        rights: record.rights.bits(),
        badge: record.badge,
        object: record.object,
    }
}

/// The number, or the largest that fits.
fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
