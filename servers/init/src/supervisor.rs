//! Keeps the processes of the manifest running: starts them, learns of their ends, starts them again by policy.
//!
//! A state machine without a clock: [`Supervisor::run`] is called with the time whenever something may have changed, does
//! all that is due, and says when it wants to be called again.

use crate::{
    archive,
    backoff::Backoff,
    command_line::CommandLine,
    ending::Ending,
    endow,
    kernel::Kernel,
    machine::mebibytes,
    spawn::{Order, SpawnError, spawn},
};
use alloc::vec::Vec;
use core::fmt;
use manifest::{Manifest, Process, Restart};
use rt::{Error, ProcessState};

/// Log level of a process when the command line names none: info.
const DEFAULT_LEVEL: u8 = 3;
/// Code with which a driver is killed whose device strayed.
const KILL_STRAYED: u64 = 2;
/// Shown on the console once a process has it: warnings and errors.
const QUIET_LEVEL: u8 = 2;

/// What a process of the manifest is doing.
#[derive(Debug)]
pub(crate) enum State<C> {
    /// It will be started at this time.
    Due { at: u64 },
    /// It runs.
    Running { process: C, started: u64 },
    /// It has ended for good.
    Ended,
    /// The machine lacks a device that it drives.
    NoDevice,
    /// Its program can't be loaded.
    Broken,
}

/// A process of the manifest.
#[derive(Debug)]
pub(crate) struct Child<C> {
    pub(crate) state: State<C>,
    /// Number of the process that ran last, 0 before the first.
    pub(crate) id: u64,
    /// How it ended last.
    pub(crate) ended: Option<ProcessState>,
    pub(crate) restarts: u32,
    /// Its devices, as positions in [`Kernel::devices`], and how often each had strayed when it was last looked.
    devices: Vec<(usize, u64)>,
    backoff: Backoff,
}

/// All processes.
pub struct Supervisor<'a, K: Kernel> {
    pub(crate) kernel: K,
    pub(crate) manifest: Manifest,
    pub(crate) children: Vec<Child<K::Cap>>,
    archive: &'a [u8],
    command_line: CommandLine,
    endpoints: Vec<K::Cap>,
    quiet: bool,
}

impl<'a, K: Kernel> Supervisor<'a, K> {
    /// Takes stock: makes the endpoints, finds the devices. [`Supervisor::run`] then starts everything.
    ///
    /// # Errors
    /// Those of the kernel when an endpoint can't be made.
    pub fn new(
        kernel: K,
        manifest: Manifest,
        archive: &'a [u8],
        command_line: CommandLine,
    ) -> Result<Self, Error> {
        for word in &command_line.unknown {
            log::warn!("kernel command line: `{word}` is not understood");
        }
        for (name, key, _) in &command_line.args {
            if !manifest
                .processes
                .iter()
                .any(|process| process.name == *name)
            {
                log::warn!("kernel command line: `{name}.{key}=`: there is no process `{name}`");
            }
        }
        let endpoints = endow::endpoints(&manifest)
            .iter()
            .map(|_| kernel.endpoint())
            .collect::<Result<_, _>>()?;
        let mut free: Vec<usize> = (0..kernel.devices().len()).collect();
        let children = manifest
            .processes
            .iter()
            .map(|process| adopt(&kernel, process, &mut free))
            .collect();
        Ok(Supervisor {
            kernel,
            manifest,
            children,
            archive,
            command_line,
            endpoints,
            quiet: false,
        })
    }

    /// Says so if the machine has too little memory for all budgets together. `false` if it has too little for even one
    /// of the processes.
    pub fn memory_suffices(&self) -> bool {
        let free = self.kernel.free_pages().unwrap_or(u64::MAX);
        let startable = self.children.iter().zip(&self.manifest.processes);
        let budgets = startable
            .filter(|(child, _)| matches!(child.state, State::Due { .. }))
            .map(|(_, process)| process.budget);
        let needed: u64 = budgets.clone().sum();
        if needed > free {
            log::error!(
                "too little memory: the budgets of the processes are {} MiB, but only {} MiB are free",
                mebibytes(needed),
                mebibytes(free)
            );
        }
        budgets.min().is_none_or(|least| least <= free)
    }

    /// The endpoint that init serves.
    pub fn system_endpoint(&self) -> Option<&K::Cap> {
        self.endpoints.first()
    }

    /// How many processes the manifest has.
    pub fn processes(&self) -> usize {
        self.children.len()
    }

    /// The kernel that was given to [`Supervisor::new`].
    pub const fn kernel(&self) -> &K {
        &self.kernel
    }

    /// Notices what has ended, starts what is due. Returns when to call again at the latest (nanoseconds since boot; `None`:
    /// when a process ends).
    pub fn run(&mut self, now: u64) -> Option<u64> {
        for position in 0..self.children.len() {
            self.call_to_account(position);
            self.reap(position, now);
        }
        for position in 0..self.children.len() {
            self.start_if_due(position, now);
        }
        let due = self.children.iter().filter_map(|child| match child.state {
            State::Due { at } => Some(at),
            _ => None,
        });
        due.min()
    }

    /// Ends a process whose device was stopped because it tried to reach memory that it was not given: whether the driver
    /// meant that or the device did, neither can be relied on.
    fn call_to_account(&mut self, position: usize) {
        let (Some(child), Some(spec)) = (
            self.children.get_mut(position),
            self.manifest.processes.get(position),
        ) else {
            return;
        };
        for (number, seen) in &mut child.devices {
            let device = self.kernel.devices().get(*number);
            let info = device.and_then(|device| self.kernel.device_info(device).ok());
            let Some(strays) = info.map(|info| info.strays).filter(|strays| strays != seen) else {
                continue;
            };
            *seen = strays;
            if let State::Running { process, .. } = &child.state {
                log::error!("{}: its device strayed; it is killed", spec.name);
                // If it has ended by itself meanwhile, that is found next.
                let _ = self.kernel.kill(process, KILL_STRAYED);
            }
        }
    }

    /// Deals with the end of a process, if it has ended.
    fn reap(&mut self, position: usize, now: u64) {
        let (Some(child), Some(spec)) = (
            self.children.get_mut(position),
            self.manifest.processes.get(position),
        ) else {
            return;
        };
        let State::Running { process, started } = &child.state else {
            return;
        };
        let started = *started;
        let how = match self.kernel.status(process) {
            Ok(status) if status.state == ProcessState::Running => return,
            Ok(status) => status.state,
            // Can't be: init holds the capability. Whatever runs there is not known any more.
            Err(error) => {
                log::error!("{}: its state is unknown: {error}", spec.name);
                ProcessState::Killed(0)
            }
        };
        // First of all: what it drove must not touch memory that is about to be used again.
        quiesce(&self.kernel, &spec.name, &child.devices);
        child.ended = Some(how);
        let again = match spec.restart {
            Restart::Always => true,
            Restart::OnFailure => how != ProcessState::Exited(0),
            Restart::Never => false,
        };
        let (name, id) = (&spec.name, child.id);
        let what = Ending::new(how, spec.stack);
        if !again {
            child.state = State::Ended;
            log::info!("{name} (process {id}) {what}");
            return;
        }
        let at = child.backoff.died(started, now);
        child.state = State::Due { at };
        let wait = Seconds(at.saturating_sub(now));
        if child.backoff.is_degraded() {
            let deaths = child.backoff.deaths();
            log::error!(
                "{name} (process {id}) {what}, {deaths} times in a row; degraded, next start in {wait}"
            );
        } else {
            log::warn!("{name} (process {id}) {what}; next start in {wait}");
        }
    }

    /// Starts a process, if its time has come.
    fn start_if_due(&mut self, position: usize, now: u64) {
        let (Some(child), Some(spec)) = (
            self.children.get_mut(position),
            self.manifest.processes.get(position),
        ) else {
            return;
        };
        match child.state {
            State::Due { at } if at <= now => {}
            _ => return,
        }
        let program = match archive::find(self.archive, &spec.program) {
            Ok(Some(program)) => program,
            Ok(None) => {
                log::error!(
                    "{}: the boot archive has no program `{}`",
                    spec.name,
                    spec.program
                );
                child.state = State::Broken;
                return;
            }
            Err(error) => {
                log::error!("{}: the boot archive is {error}", spec.name);
                child.state = State::Broken;
                return;
            }
        };
        let result = if quiesce(&self.kernel, &spec.name, &child.devices) {
            let order = Order {
                manifest: &self.manifest,
                position,
                program,
                args: self.command_line.args_of(&spec.name, &spec.args),
                log_level: self.command_line.log_level.unwrap_or(DEFAULT_LEVEL),
                endpoints: &self.endpoints,
                devices: &child.devices,
            };
            spawn(&self.kernel, order)
        } else {
            Err(SpawnError::Kernel(
                "a device can't be stopped",
                Error::BadState,
            ))
        };
        match result {
            Ok(process) => {
                let status = self.kernel.status(&process);
                let first = child.id == 0;
                child.id = status.map_or(child.id, |status| status.id);
                if !first {
                    child.restarts = child.restarts.saturating_add(1);
                }
                let id = child.id;
                log::info!("{} started (process {id})", spec.name);
                child.state = State::Running {
                    process,
                    started: now,
                };
                if spec.caps.console {
                    self.hush();
                }
            }
            Err(error @ SpawnError::Kernel(..)) => {
                let at = child.backoff.died(now, now);
                child.state = State::Due { at };
                let wait = Seconds(at.saturating_sub(now));
                log::error!(
                    "{} can't be started: {error}; next try in {wait}",
                    spec.name
                );
            }
            Err(error) => {
                child.state = State::Broken;
                log::error!("{} can't be started: {error}", spec.name);
            }
        }
    }

    /// A process uses the console now: only what matters interrupts it, unless the command line says otherwise.
    fn hush(&mut self) {
        if !self.quiet && self.command_line.log_level.is_none() {
            if let Err(error) = self.kernel.echo(QUIET_LEVEL) {
                log::warn!("the console can't be made quiet: {error}");
            }
            self.quiet = true;
        }
    }
}

/// A process before its first start: finds its devices among those that are free.
fn adopt<K: Kernel>(kernel: &K, spec: &Process, free: &mut Vec<usize>) -> Child<K::Cap> {
    let mut devices = Vec::new();
    let mut state = State::Due { at: 0 };
    for wanted in &spec.devices {
        let matches = |number: &usize| {
            kernel
                .devices()
                .get(*number)
                .and_then(|device| kernel.device_info(device).ok())
                .is_some_and(|info| (info.vendor, info.device) == (wanted.vendor, wanted.device))
        };
        match free.iter().position(matches) {
            Some(at) => {
                let number = free.remove(at);
                let device = kernel.devices().get(number);
                if let Some(Err(error)) = device.map(|device| kernel.watch_device(device)) {
                    log::error!("{}: its device can't be watched: {error}", spec.name);
                }
                devices.push((number, 0));
            }
            None => {
                log::error!(
                    "{}: there is no device {:04x}:{:04x} for it in this machine; it is not started",
                    spec.name,
                    wanted.vendor,
                    wanted.device
                );
                state = State::NoDevice;
            }
        }
    }
    Child {
        state,
        id: 0,
        ended: None,
        restarts: 0,
        devices,
        backoff: Backoff::default(),
    }
}

/// Stops the devices of a process; `false` if one goes on.
fn quiesce<K: Kernel>(kernel: &K, name: &str, devices: &[(usize, u64)]) -> bool {
    let mut all = true;
    for (number, _) in devices {
        let result = kernel
            .devices()
            .get(*number)
            .map_or(Err(Error::BadSlot), |device| kernel.quiesce(device));
        if let Err(error) = result {
            log::error!("{name}: its device can't be stopped: {error}");
            all = false;
        }
    }
    all
}

/// Nanoseconds, shown as seconds with two decimals.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = self.0.div_ceil(10_000_000);
        write!(f, "{}.{:02} s", hundredths / 100, hundredths % 100)
    }
}

#[cfg(test)]
mod tests;
