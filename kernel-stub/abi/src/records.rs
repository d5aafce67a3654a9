//! Records that cross the boundary in memory. All but [`Message`] are arrays of 64-bit words, so that
//! neither side needs `unsafe` to read them.

use crate::{Kind, MESSAGE_BYTES, MESSAGE_CAPS, Rights, Slot};

/// A record that travels as `N` words.
pub trait Words<const N: usize>: Sized {
    /// How it is written.
    fn to_words(&self) -> [u64; N];
    /// How it is read; `None` if a field has no meaning.
    fn from_words(words: &[u64; N]) -> Option<Self>;
}

/// What `call`, `recv` and `reply` exchange: a little inline data and up to four capabilities.
///
/// In memory: `len` (u32), `cap_count` (u32), four slots (u32 each), then the bytes: 256 in all, 8-aligned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Message {
    /// Bytes of `data` in use, at most [`MESSAGE_BYTES`].
    pub len: u32,
    /// Slots of `caps` in use, at most [`MESSAGE_CAPS`].
    pub cap_count: u32,
    /// Sending: slots of the sender. Received: slots of the receiver.
    pub caps: [Slot; MESSAGE_CAPS],
    /// The bytes.
    pub data: [u8; MESSAGE_BYTES],
}

const _: () = assert!(size_of::<Message>() == 256);

impl Message {
    /// An empty message.
    pub const fn new() -> Message {
        Message {
            len: 0,
            cap_count: 0,
            caps: [Slot::NULL; MESSAGE_CAPS],
            data: [0; MESSAGE_BYTES],
        }
    }

    /// The bytes in use; a length beyond the buffer counts as the whole buffer.
    pub fn bytes(&self) -> &[u8] {
        self.data.get(..self.len as usize).unwrap_or(&self.data)
    }

    /// The capabilities in use; a count beyond the array counts as the whole array.
    pub fn slots(&self) -> &[Slot] {
        self.caps
            .get(..self.cap_count as usize)
            .unwrap_or(&self.caps)
    }
}

impl Default for Message {
    fn default() -> Self {
        Message::new()
    }
}

/// Whether and how a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProcessState {
    /// It has threads, or was not started yet.
    Running,
    /// It ended itself with this code.
    Exited(u64),
    /// Somebody with the right to do so ended it, with this code.
    Killed(u64),
    /// The processor refused an instruction.
    Faulted {
        /// Vector of the exception (SDM vol. 3, table 6-1: 14 is a page fault, 13 #GP, 6 #UD...).
        vector: u8,
        /// Error code that the processor pushed, else zero.
        error: u64,
        /// Address that was accessed (page faults), else zero.
        address: u64,
        /// Address of the instruction.
        instruction: u64,
    },
}

/// State and use of resources of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProcessStatus {
    /// Whether it runs.
    pub state: ProcessState,
    /// Number of the process, unique since boot.
    pub id: u64,
    /// Processor time used.
    pub cpu_ns: u64,
    /// Capabilities held.
    pub caps: u64,
    /// Threads.
    pub threads: u64,
    /// Pages mapped.
    pub pages: u64,
    /// System calls made.
    pub syscalls: u64,
    /// Times that it was switched to.
    pub switches: u64,
    /// Frames used of its budget.
    pub budget_used: u64,
    /// Frames of its budget.
    pub budget_limit: u64,
}

impl Words<16> for ProcessStatus {
    fn to_words(&self) -> [u64; 16] {
        let (kind, a, b, c, d) = match self.state {
            ProcessState::Running => (0, 0, 0, 0, 0),
            ProcessState::Exited(code) => (1, code, 0, 0, 0),
            ProcessState::Killed(code) => (2, code, 0, 0, 0),
            ProcessState::Faulted {
                vector,
                error,
                address,
                instruction,
            } => (3, vector as u64, error, address, instruction),
        };
        [
            kind,
            a,
            b,
            c,
            d,
            self.id,
            self.cpu_ns,
            self.caps,
            self.threads,
            self.pages,
            self.syscalls,
            self.switches,
            self.budget_used,
            self.budget_limit,
            0,
            0,
        ]
    }

    fn from_words(words: &[u64; 16]) -> Option<Self> {
        let [
            kind,
            a,
            b,
            c,
            d,
            id,
            cpu_ns,
            caps,
            threads,
            pages,
            syscalls,
            switches,
            budget_used,
            budget_limit,
            ..,
        ] = *words;
        let state = match kind {
            0 => ProcessState::Running,
            1 => ProcessState::Exited(a),
            2 => ProcessState::Killed(a),
            3 => ProcessState::Faulted {
                vector: u8::try_from(a).ok()?,
                error: b,
                address: c,
                instruction: d,
            },
            _ => return None,
        };
        Some(ProcessStatus {
            state,
            id,
            cpu_ns,
            caps,
            threads,
            pages,
            syscalls,
            switches,
            budget_used,
            budget_limit,
        })
    }
}

/// One capability of a process, as [`crate::Syscall::ProcessCaps`] lists it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapRecord {
    /// Where it is.
    pub slot: Slot,
    /// What it names.
    pub kind: Kind,
    /// What it allows.
    pub rights: Rights,
    /// Its badge, zero for none.
    pub badge: u64,
    /// Number of the object, equal for capabilities to the same object while that lives.
    pub object: u64,
}

impl Words<4> for CapRecord {
    fn to_words(&self) -> [u64; 4] {
        [
            self.slot.0 as u64 | (self.kind as u64) << 32,
            self.rights.bits() as u64,
            self.badge,
            self.object,
        ]
    }

    fn from_words(words: &[u64; 4]) -> Option<Self> {
        let [slot_kind, rights, badge, object] = *words;
        Some(CapRecord {
            slot: Slot(slot_kind as u32),
            kind: Kind::from_number(slot_kind >> 32)?,
            rights: Rights::from_bits(u32::try_from(rights).ok()?)?,
            badge,
            object,
        })
    }
}

/// One base address register.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BarInfo {
    /// Bytes, zero if the register is unused or names I/O ports.
    pub len: u64,
}

/// What a PCI function is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceInfo {
    /// PCI vendor.
    pub vendor: u16,
    /// PCI device.
    pub device: u16,
    /// Bus, device, function as `bus << 8 | device << 3 | function`.
    pub address: u16,
    /// Class code, subclass and programming interface in the low 24 bits.
    pub class: u32,
    /// Entries of the MSI-X table, zero without MSI-X.
    pub msix_entries: u16,
    /// Base address registers.
    pub bars: [BarInfo; 6],
    /// How often it was stopped because it tried to reach memory that it was not given.
    pub strays: u64,
}

impl Words<12> for DeviceInfo {
    fn to_words(&self) -> [u64; 12] {
        let bar = self.bars.map(|bar| bar.len);
        [
            self.vendor as u64,
            self.device as u64,
            self.address as u64,
            self.class as u64,
            self.msix_entries as u64,
            bar[0],
            bar[1],
            bar[2],
            bar[3],
            bar[4],
            bar[5],
            self.strays,
        ]
    }

    fn from_words(words: &[u64; 12]) -> Option<Self> {
        let [vendor, device, address, class, msix, bars @ .., strays] = *words;
        Some(DeviceInfo {
            vendor: u16::try_from(vendor).ok()?,
            device: u16::try_from(device).ok()?,
            address: u16::try_from(address).ok()?,
            class: u32::try_from(class).ok()?,
            msix_entries: u16::try_from(msix).ok()?,
            bars: bars.map(|len| BarInfo { len }),
            strays,
        })
    }
}

/// Limit and use of a budget, in frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BudgetUse {
    /// Frames that it may have in use.
    pub limit: u64,
    /// Frames in use, those split off for other budgets included.
    pub used: u64,
}

/// Counters of the whole machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MachineInfo {
    /// Frames of RAM that the kernel manages.
    pub frames: u64,
    /// Frames that are free.
    pub free_frames: u64,
    /// Time since boot.
    pub uptime_ns: u64,
    /// Time with nothing to run.
    pub idle_ns: u64,
    /// Switches of address space.
    pub switches: u64,
    /// System calls.
    pub syscalls: u64,
    /// Device and timer interrupts.
    pub interrupts: u64,
    /// Processors that the machine has (one is used).
    pub processors: u64,
}

impl Words<8> for MachineInfo {
    fn to_words(&self) -> [u64; 8] {
        [
            self.frames,
            self.free_frames,
            self.uptime_ns,
            self.idle_ns,
            self.switches,
            self.syscalls,
            self.interrupts,
            self.processors,
        ]
    }

    fn from_words(words: &[u64; 8]) -> Option<Self> {
        let [
            frames,
            free_frames,
            uptime_ns,
            idle_ns,
            switches,
            syscalls,
            interrupts,
            processors,
        ] = *words;
        Some(MachineInfo {
            frames,
            free_frames,
            uptime_ns,
            idle_ns,
            switches,
            syscalls,
            interrupts,
            processors,
        })
    }
}
