//! A simulated machine for tests: RAM on the heap, page tables in software, a PCI bus, a clock that the test
//! moves, and "programs" whose next system call the test names. For tests, and for fuzzing from outside of this crate.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is a failed test"
)]
#![cfg_attr(not(test), allow(dead_code, reason = "only the tests use all of it"))]

mod fits;
mod invariants;
mod ram;
mod sim;
mod zoo;

use crate::boot::{BootError, BootInfo};
use crate::cap;
use crate::kernel::Kernel;
use crate::object::{Process, Tcb, Thread, ThreadState};
use crate::platform::Trap;
use crate::store::Ref;
use kernel_abi::{BOOT_STACK_TOP, Error, MESSAGE_CAPS, Message, PAGE_SIZE, Rights, Slot, Syscall};
pub(crate) use ram::Ram;
#[cfg(test)]
pub(crate) use sim::{MSIX_TABLE, NIC, REGISTERS};
pub(crate) use sim::{Sim, SimContext};

pub use fits::arguments;
pub use zoo::{Argument, Event, Outcomes, Step, Zoo};

/// What a system call gave.
pub(crate) type Answer = Result<[u64; 3], Error>;

/// Where each process of the tests has a page to pass records through.
pub(crate) const SCRATCH: u64 = BOOT_STACK_TOP - PAGE_SIZE as u64;

/// Slots where every process that the tests make finds itself and its budget.
pub(crate) const SELF: u64 = 1;
pub(crate) const BUDGET: u64 = 2;

/// A kernel on a simulated machine. `ram` is dropped last.
pub(crate) struct Bench {
    pub(crate) kernel: Kernel<Sim>,
    pub(crate) init: Ref<Tcb>,
    _ram: Ram,
}

/// A process with one thread, as its parent sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child {
    /// Slot of the process in its parent.
    pub(crate) slot: u64,
    pub(crate) thread: Ref<Tcb>,
}

/// A program of one page of code and one page of data.
pub fn tiny_elf() -> Vec<u8> {
    let mut out = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    out.resize(16, 0);
    out.extend(2u16.to_le_bytes());
    out.extend(62u16.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    for word in [0x40_0000u64, 64, 0] {
        out.extend(word.to_le_bytes());
    }
    out.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 2, 64, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    for (flags, offset, address, file, memory) in [
        (5u32, 0x100u64, 0x40_0100u64, 16u64, 16u64),
        (6, 0x110, 0x40_1110, 8, 0x3000),
    ] {
        out.extend(1u32.to_le_bytes());
        out.extend(flags.to_le_bytes());
        for word in [offset, address, address, file, memory, 4096] {
            out.extend(word.to_le_bytes());
        }
    }
    out.resize(0x100, 0);
    out.extend(b"sixteen bytes ok");
    out.extend(b"data ok!");
    out
}

/// An archive of these files.
pub fn archive_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in files.iter().chain(&[("TRAILER!!!", &[][..])]) {
        let mut fields = [0; 13];
        fields[6] = content.len();
        fields[11] = name.len() + 1;
        out.extend(b"070701");
        for field in fields {
            out.extend(format!("{field:08x}").bytes());
        }
        out.extend(name.bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(*content);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// Boots with any archive. If that works, the kernel's tables must be right.
///
/// # Errors
/// Why it can't.
///
/// # Panics
/// If a table contradicts another.
pub fn boot(archive: &[u8]) -> Result<(), BootError> {
    if archive.len() > 512 * 1024 {
        return Err(BootError::TooLittleMemory);
    }
    boot_with(512, archive).map(|bench| bench.check())
}

/// Boots with these frames of RAM and this archive.
pub(crate) fn boot_with(frames: u32, archive: &[u8]) -> Result<Bench, BootError> {
    let page = PAGE_SIZE as u64;
    let ram = Ram::new(frames);
    let mut memory = ram.memory();
    let top = frames as u64 * page;
    let start = (top - archive.len() as u64) / page * page - page;
    memory
        .copy_in(crate::phys::PhysAddr(start), archive)
        .unwrap();
    let kernel = Kernel::new(
        Sim::default(),
        BootInfo {
            memory,
            usable: &[0x1234..start.min(0x9_f000), 0x10_0000..start],
            archive: start..start + archive.len() as u64,
            command_line: "console=ttyS0 quiet",
            pci: true,
            processors: 1,
        },
    )?;
    let mut bench = Bench {
        kernel,
        init: Ref::new(0, 0),
        _ram: ram,
    };
    bench.init = bench.kernel.choose().unwrap();
    bench.kernel.enter(bench.init);
    Ok(bench)
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::with_frames(2048)
    }

    pub(crate) fn with_frames(frames: u32) -> Bench {
        boot_with(frames, &archive_of(&[("init", &tiny_elf())])).unwrap()
    }

    pub(crate) fn process(&self, thread: Ref<Tcb>) -> Ref<Process> {
        self.kernel.store.get(thread).unwrap().process
    }

    pub(crate) fn state(&self, thread: Ref<Tcb>) -> ThreadState {
        match self.kernel.store.get(thread) {
            Ok(tcb) => tcb.state,
            Err(_) => ThreadState::Dead,
        }
    }

    /// Lets a ready thread make a system call now. `None`: it waits (or ended itself).
    pub(crate) fn issue(
        &mut self,
        thread: Ref<Tcb>,
        number: u64,
        arguments: &[u64],
    ) -> Option<Answer> {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        self.kernel.run_next(thread);
        self.kernel.platform.next = Some((number, all));
        self.kernel.step();
        assert!(self.kernel.platform.next.is_none(), "the wrong thread ran");
        self.result(thread)
    }

    /// What the last system call of a thread gave; `None` while it waits.
    pub(crate) fn result(&mut self, thread: Ref<Tcb>) -> Option<Answer> {
        let running = self
            .kernel
            .store
            .get_mut::<Thread<SimContext>>(thread.cast())
            .ok()?;
        if running.tcb.state != ThreadState::Ready {
            return None;
        }
        let (code, values) = running.context.result.take()?;
        Some(match Error::from_code(code) {
            Some(error) => Err(error),
            None => Ok(values),
        })
    }

    /// A system call that does not wait.
    pub(crate) fn call(&mut self, thread: Ref<Tcb>, call: Syscall, arguments: &[u64]) -> Answer {
        self.issue(thread, call as u64, arguments)
            .unwrap_or_else(|| panic!("{call:?} did not return"))
    }

    /// The first result of a system call that succeeds.
    pub(crate) fn get(&mut self, thread: Ref<Tcb>, call: Syscall, arguments: &[u64]) -> u64 {
        match self.call(thread, call, arguments) {
            Ok([value, ..]) => value,
            Err(error) => panic!("{call:?} {arguments:x?}: {error}"),
        }
    }

    /// A system call that waits.
    pub(crate) fn wait(&mut self, thread: Ref<Tcb>, call: Syscall, arguments: &[u64]) {
        let answer = self.issue(thread, call as u64, arguments);
        assert_eq!(answer, None, "{call:?} did not wait");
    }

    /// The processor refuses an instruction of a thread.
    pub(crate) fn trap(&mut self, thread: Ref<Tcb>, trap: Trap) {
        self.kernel.run_next(thread);
        self.kernel.platform.trap = Some(trap);
        self.kernel.step();
    }

    pub(crate) fn write(&mut self, thread: Ref<Tcb>, address: u64, bytes: &[u8]) {
        let root = self.kernel.store.get(self.process(thread)).unwrap().root;
        self.kernel.copy_to_user(root, address, bytes).unwrap();
    }

    pub(crate) fn read(&self, thread: Ref<Tcb>, address: u64, len: usize) -> Vec<u8> {
        let root = self.kernel.store.get(self.process(thread)).unwrap().root;
        let mut bytes = vec![0; len];
        self.kernel
            .copy_from_user(root, address, &mut bytes)
            .unwrap();
        bytes
    }

    pub(crate) fn words(&self, thread: Ref<Tcb>, address: u64, count: usize) -> Vec<u64> {
        let bytes = self.read(thread, address, count * 8);
        let (words, _) = bytes.as_chunks::<8>();
        words.iter().map(|word| u64::from_le_bytes(*word)).collect()
    }

    /// Puts a message where a thread sends from.
    pub(crate) fn put_message(
        &mut self,
        thread: Ref<Tcb>,
        address: u64,
        data: &[u8],
        caps: &[u64],
    ) {
        let mut bytes = [data.len(), caps.len()].map(|n| n as u32).to_vec();
        bytes.extend(caps.iter().map(|slot| *slot as u32));
        bytes.resize(2 + MESSAGE_CAPS, 0);
        let mut bytes: Vec<u8> = bytes.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.extend(data);
        self.write(thread, address, &bytes);
    }

    pub(crate) fn message(&self, thread: Ref<Tcb>, address: u64) -> Message {
        let bytes = self.read(thread, address, size_of::<Message>());
        let (words, _) = bytes.as_chunks::<4>();
        let word = |index: usize| u32::from_le_bytes(words[index]);
        let mut message = Message::new();
        (message.len, message.cap_count) = (word(0), word(1));
        message.caps = core::array::from_fn(|index| Slot(word(2 + index)));
        let len = message.len as usize;
        message.data[..len].copy_from_slice(&bytes[8 + 4 * MESSAGE_CAPS..][..len]);
        message
    }

    /// A process with its own budget, itself and a page of memory, and a thread.
    pub(crate) fn spawn(&mut self, parent: Ref<Tcb>, frames: u64) -> Child {
        let budget = self.get(parent, Syscall::BudgetCreate, &[BUDGET, frames]);
        let child = self.spawn_on(parent, budget);
        self.get(parent, Syscall::CapDelete, &[budget]);
        child
    }

    /// The same on a budget that the parent has.
    pub(crate) fn spawn_on(&mut self, parent: Ref<Tcb>, budget: u64) -> Child {
        let all = Rights::all().bits() as u64;
        let slot = self.get(parent, Syscall::ProcessCreate, &[budget, 15]);
        self.get(parent, Syscall::ProcessGrant, &[slot, slot, SELF, all, 0]);
        self.get(
            parent,
            Syscall::ProcessGrant,
            &[slot, budget, BUDGET, all, 0],
        );
        let page = self.get(parent, Syscall::MemoryCreate, &[budget, 1, 0]);
        let there = self.get(parent, Syscall::ProcessGrant, &[slot, page, 0, all, 0]);
        self.get(parent, Syscall::MemoryMap, &[slot, there, SCRATCH, 0, 1, 2]);
        self.get(parent, Syscall::CapDelete, &[page]);
        let start = [slot, 0x40_0000, BOOT_STACK_TOP, 0, 15];
        let thread = self.get(parent, Syscall::ThreadCreate, &start);
        let found = cap::find(&self.kernel.store, self.process(parent), thread).unwrap();
        let child = Child {
            slot,
            thread: found.object(),
        };
        self.get(parent, Syscall::CapDelete, &[thread]);
        child
    }

    /// Grants a capability of `from` to the process in slot `to`, all rights that there are.
    pub(crate) fn grant(&mut self, from: Ref<Tcb>, cap: u64, to: u64) -> u64 {
        let all = Rights::all().bits() as u64;
        self.get(from, Syscall::ProcessGrant, &[to, cap, 0, all, 0])
    }

    pub(crate) fn free_frames(&self) -> u32 {
        self.kernel.store.free_frames()
    }
}
