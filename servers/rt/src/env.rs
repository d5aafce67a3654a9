//! What a process was given: capabilities by name, arguments, and the sessions that a server hands out. Safe.

use crate::{Budget, Clock, Console, Device, Endpoint, Machine, Notification};
use alloc::{string::String, vec::Vec};
use core::fmt;
use kernel_abi::{SLOT_BUDGET, Slot, boot_slots};
use manifest::{NamedCap, Session, StartInfo};

/// Name, capabilities and arguments of this process.
///
/// Capabilities asked for by name belong to the process: dropping the value that a method returns does not
/// delete them.
#[derive(Clone, Debug)]
pub struct Env {
    info: StartInfo,
}

/// The process was not given a capability of this name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingCap {
    /// The name.
    pub name: String,
}

impl fmt::Display for MissingCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no capability `{}` was given to this process", self.name)
    }
}

impl core::error::Error for MissingCap {}

impl Env {
    /// Made from the start record.
    pub fn new(info: StartInfo) -> Env {
        Env { info }
    }

    /// That of the first process, which the kernel starts without a record.
    pub fn first_process() -> Env {
        let caps = [
            ("console", boot_slots::CONSOLE),
            ("log", boot_slots::CONSOLE),
            ("clock", boot_slots::CLOCK),
            ("machine", boot_slots::MACHINE),
        ];
        Env::new(StartInfo {
            name: "init".into(),
            log_level: 3,
            caps: caps
                .map(|(name, slot)| NamedCap {
                    name: name.into(),
                    slot: slot.0,
                })
                .into(),
            args: Vec::new(),
            sessions: Vec::new(),
        })
    }

    /// Name of the process.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// Log lines up to this level are worth sending: 1 error .. 5 trace.
    pub fn log_level(&self) -> u8 {
        self.info.log_level
    }

    /// The slot of a capability.
    ///
    /// # Errors
    /// [`MissingCap`].
    pub fn cap(&self, name: &str) -> Result<Slot, MissingCap> {
        match self.info.caps.iter().find(|cap| cap.name == name) {
            Some(cap) => Ok(Slot(cap.slot)),
            None => Err(MissingCap { name: name.into() }),
        }
    }

    /// An endpoint, to serve or to call.
    ///
    /// # Errors
    /// [`MissingCap`].
    pub fn endpoint(&self, name: &str) -> Result<Endpoint, MissingCap> {
        self.cap(name).map(Endpoint::borrowed)
    }

    /// A notification.
    ///
    /// # Errors
    /// [`MissingCap`].
    pub fn notification(&self, name: &str) -> Result<Notification, MissingCap> {
        self.cap(name).map(Notification::borrowed)
    }

    /// A device.
    ///
    /// # Errors
    /// [`MissingCap`].
    pub fn device(&self, name: &str) -> Result<Device, MissingCap> {
        self.cap(name).map(Device::borrowed)
    }

    /// The console.
    ///
    /// # Errors
    /// [`MissingCap`].
    pub fn console(&self) -> Result<Console, MissingCap> {
        self.cap("console").map(Console::borrowed)
    }

    /// The machine.
    ///
    /// # Errors
    /// [`MissingCap`].
    pub fn machine(&self) -> Result<Machine, MissingCap> {
        self.cap("machine").map(Machine::borrowed)
    }

    /// The clock. Without one every use fails; [`crate::time::now`] is then zero for ever.
    pub fn clock(&self) -> Clock {
        Clock::borrowed(self.cap("clock").unwrap_or(Slot::NULL))
    }

    /// The budget that the process's memory comes from.
    pub fn budget(&self) -> Budget {
        Budget::borrowed(SLOT_BUDGET)
    }

    /// The argument `key`.
    pub fn arg(&self, key: &str) -> Option<&str> {
        self.info
            .args
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// All arguments, key and value.
    pub fn args(&self) -> &[(String, String)] {
        &self.info.args
    }

    /// Who may open sessions at the endpoints that this process provides.
    pub fn sessions(&self) -> &[Session] {
        &self.info.sessions
    }
}
