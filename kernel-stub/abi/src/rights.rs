//! Kinds of kernel objects, rights on capabilities, page protections.

use bitflags::bitflags;

/// What a capability names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Frames that may be allocated.
    Budget = 1,
    /// Pages of RAM or of a device's registers.
    Memory = 2,
    /// An address space with a capability table.
    Process = 3,
    /// A flow of control in a process.
    Thread = 4,
    /// A rendezvous for call and reply.
    Endpoint = 5,
    /// A word of bits that can be signalled and waited for.
    Notification = 6,
    /// One MSI-X vector of a device.
    Interrupt = 7,
    /// One PCI function.
    Device = 8,
    /// The time since boot.
    Clock = 9,
    /// The serial console and the log.
    Console = 10,
    /// Power, counters, command line.
    Machine = 11,
}

impl Kind {
    /// Every kind, in the order of the numbers.
    pub const ALL: [Kind; 11] = [
        Kind::Budget,
        Kind::Memory,
        Kind::Process,
        Kind::Thread,
        Kind::Endpoint,
        Kind::Notification,
        Kind::Interrupt,
        Kind::Device,
        Kind::Clock,
        Kind::Console,
        Kind::Machine,
    ];

    /// The kind of a number.
    pub fn from_number(number: u64) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u64 == number)
    }

    /// The word that the tools print.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Budget => "budget",
            Kind::Memory => "memory",
            Kind::Process => "process",
            Kind::Thread => "thread",
            Kind::Endpoint => "endpoint",
            Kind::Notification => "notification",
            Kind::Interrupt => "interrupt",
            Kind::Device => "device",
            Kind::Clock => "clock",
            Kind::Console => "console",
            Kind::Machine => "machine",
        }
    }
}

bitflags! {
    /// What the holder of a capability may do. Derivation can only intersect.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Rights: u32 {
        /// Map or read: memory, console input, clock, machine counters, process status.
        const READ = 1 << 0;
        /// Map writable, write to the console.
        const WRITE = 1 << 1;
        /// Map executable.
        const EXEC = 1 << 2;
        /// Signal a notification.
        const SIGNAL = 1 << 3;
        /// Wait for a notification.
        const WAIT = 1 << 4;
        /// Call an endpoint.
        const CALL = 1 << 5;
        /// Receive from an endpoint and reply.
        const RECV = 1 << 6;
        /// Send the capability in a message or grant it to a process.
        const GRANT = 1 << 7;
        /// Give memory to a device, give a device memory.
        const DMA = 1 << 8;
        /// Allocate from a budget.
        const ALLOC = 1 << 9;
        /// Control the object itself: kill a process, start threads in it, quiesce a device,
        /// switch the machine off, bind or watch.
        const MANAGE = 1 << 10;
    }
}

bitflags! {
    /// How pages are mapped. Writable and executable together are refused.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Prot: u32 {
        /// Readable; implied by every mapping.
        const READ = 1 << 0;
        /// Writable.
        const WRITE = 1 << 1;
        /// Executable.
        const EXEC = 1 << 2;
    }
}
