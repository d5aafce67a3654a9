//! Processes: an address space with a capability table. Data only.

use super::{Budget, ThreadList, Usage, Watch};
use crate::allowance::Allowance;
use crate::phys::Frame;
use crate::store::Ref;
use kernel_abi::{CAP_SLOTS, ProcessState};

/// Frames of the capability table.
pub(crate) const TABLES: usize = CAP_SLOTS / 64;

/// Mappings in a frame.
pub(crate) const MAP_ENTRIES: usize = 170;

/// Watches of a process's end.
pub(crate) const MAX_WATCHES: usize = 8;

/// A place among the processes that one process made.
#[derive(Clone, Copy, Default)]
pub(crate) struct FamilyLinks {
    pub(crate) prev: Option<Ref<Process>>,
    pub(crate) next: Option<Ref<Process>>,
}

/// A process. When it ends, everything goes but this header, which stays until the last capability to it is gone.
pub(crate) struct Process {
    /// Unique since boot.
    pub(crate) id: u64,
    /// Pays for tables and threads, and is kept alive by that.
    pub(crate) budget: Ref<Budget>,
    /// Root of the page tables. Gone once the process ended.
    pub(crate) root: Frame,
    /// A page of its own that takes the place of memory revoked by somebody else. Gone once the process ended.
    pub(crate) scratch: Frame,
    pub(crate) state: ProcessState,
    /// May read the processor's counter: it has shown a clock, and lost none since.
    pub(crate) counts: bool,
    /// Highest priority of its threads.
    pub(crate) max_priority: u8,
    /// Frames of the capability table, zero where there is none.
    pub(crate) tables: [u32; TABLES],
    /// Which capability slots are in use, one bit each.
    pub(crate) used: [u64; TABLES],
    /// Capabilities.
    pub(crate) caps: u32,
    /// First frame of mappings, or zero.
    pub(crate) maps: u32,
    /// Mappings.
    pub(crate) map_count: u32,
    /// Pages mapped.
    pub(crate) pages: u64,
    pub(crate) threads: ThreadList,
    /// Threads (of others) whose calls this process took and did not answer yet.
    pub(crate) serving: ThreadList,
    /// Who made it, and answers for it: it ends with its maker. Only the living are in this tree.
    pub(crate) maker: Option<Ref<Process>>,
    /// The first of those that it made.
    pub(crate) made: Option<Ref<Process>>,
    /// Its place among those that its maker made.
    pub(crate) made_links: FamilyLinks,
    /// Who answers for its lines in the log: the one among its makers, or itself, that the first process made. None: the first
    /// process, which nobody keeps from speaking.
    pub(crate) speaker: Option<Ref<Process>>,
    /// What it and all that it made may still log, and what the kernel may of their faults.
    pub(crate) lines: Allowance,
    pub(crate) faults: Allowance,
    pub(crate) watches: [Option<Watch>; MAX_WATCHES],
    /// What threads used that ended. Each of the others keeps its own account.
    pub(crate) usage: Usage,
}

impl Process {
    pub(crate) fn new(
        id: u64,
        budget: Ref<Budget>,
        [root, scratch]: [Frame; 2],
        max_priority: u8,
    ) -> Process {
        let mut used = [0; TABLES];
        // Slot 0 is never a capability.
        if let Some(word) = used.first_mut() {
            *word = 1;
        }
        Process {
            id,
            budget,
            root,
            scratch,
            state: ProcessState::Running,
            counts: false,
            max_priority,
            tables: [0; TABLES],
            used,
            caps: 0,
            maps: 0,
            map_count: 0,
            pages: 0,
            threads: ThreadList::EMPTY,
            serving: ThreadList::EMPTY,
            maker: None,
            made: None,
            made_links: FamilyLinks::default(),
            speaker: None,
            lines: Allowance::new(),
            faults: Allowance::new(),
            watches: [None; MAX_WATCHES],
            usage: Usage::default(),
        }
    }

    /// Whether it has not ended.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.state, ProcessState::Running)
    }
}

/// Pages of a memory object in an address space.
#[derive(Clone, Copy)]
pub(crate) struct Mapping {
    /// Zero: unused entry.
    pub(crate) address: u64,
    /// The capability that it stands on, as [`crate::cap::CapRef`]; none once that was revoked.
    pub(crate) cap: u32,
    pub(crate) pages: u32,
    /// [`kernel_abi::Prot`] bits.
    pub(crate) prot: u32,
}

/// A frame of mappings.
#[repr(C)]
pub(crate) struct MapTable {
    /// Next frame, or zero.
    pub(crate) next: u32,
    /// Entries in use.
    pub(crate) used: u32,
    pub(crate) entries: [Mapping; MAP_ENTRIES],
}
