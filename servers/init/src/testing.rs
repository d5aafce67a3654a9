//! A fake kernel that counts what lives, and a small manifest. For the tests of this crate.

use crate::kernel::{Kernel, LogLine};
use ipc_proto::policy::{Allow, Policy};
use manifest::{Caps, DeviceMatch, Manifest, Process, Restart, SYSTEM_ENDPOINT, Use};
use rt::{
    BarInfo, CapRecord, DeviceInfo, Error, Kind, MachineInfo, ProcessState, ProcessStatus, Prot,
    Rights, Slot,
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

/// Everything that the fake knows.
#[derive(Default)]
pub(crate) struct World {
    /// Capabilities of init that exist, by kind of what they name.
    pub(crate) alive: RefCell<HashMap<&'static str, isize>>,
    /// Steps after which every further step fails.
    pub(crate) fail_after: Cell<Option<usize>>,
    /// States of processes, by number.
    pub(crate) states: RefCell<HashMap<u64, ProcessState>>,
    /// Effects in order, as text.
    pub(crate) journal: RefCell<Vec<String>>,
    pub(crate) quiesce_fails: Cell<bool>,
    /// How often each card has strayed.
    pub(crate) strays: Cell<u64>,
    pub(crate) pages_left: Cell<u64>,
    last_process: Cell<u64>,
}

impl World {
    /// How often a step that starts like this was made.
    pub(crate) fn count(&self, start: &str) -> usize {
        let journal = self.journal.borrow();
        journal
            .iter()
            .filter(|step| step.starts_with(start))
            .count()
    }
}

/// A capability of the fake.
pub(crate) struct FakeCap {
    what: &'static str,
    id: u64,
    world: Rc<World>,
}

impl Drop for FakeCap {
    fn drop(&mut self) {
        *self.world.alive.borrow_mut().entry(self.what).or_default() -= 1;
    }
}

pub(crate) struct Fake {
    pub(crate) world: Rc<World>,
    fixed: [FakeCap; 4],
    devices: Vec<FakeCap>,
}

fn cap(world: &Rc<World>, what: &'static str, id: u64) -> FakeCap {
    *world.alive.borrow_mut().entry(what).or_default() += 1;
    FakeCap {
        what,
        id,
        world: world.clone(),
    }
}

impl Fake {
    /// A machine with this many network cards.
    pub(crate) fn new(cards: u64) -> Fake {
        let world = Rc::new(World::default());
        world.pages_left.set(100_000);
        Fake {
            fixed: ["self", "console", "clock", "machine"].map(|what| cap(&world, what, 0)),
            devices: (0..cards).map(|id| cap(&world, "device", id)).collect(),
            world,
        }
    }

    /// One step that may be made to fail.
    fn step(&self, what: String) -> Result<(), Error> {
        if let Some(left) = self.world.fail_after.get() {
            if left == 0 {
                return Err(Error::NoBudget);
            }
            self.world.fail_after.set(Some(left - 1));
        }
        self.world.journal.borrow_mut().push(what);
        Ok(())
    }
}

impl Kernel for Fake {
    type Cap = FakeCap;

    fn this_process(&self) -> &FakeCap {
        &self.fixed[0]
    }
    fn console(&self) -> &FakeCap {
        &self.fixed[1]
    }
    fn clock(&self) -> &FakeCap {
        &self.fixed[2]
    }
    fn machine(&self) -> &FakeCap {
        &self.fixed[3]
    }
    fn devices(&self) -> &[FakeCap] {
        &self.devices
    }

    fn device_info(&self, _: &FakeCap) -> Result<DeviceInfo, Error> {
        Ok(DeviceInfo {
            vendor: 0x1af4,
            device: 0x1041,
            address: 0x18,
            class: 0x02_0000,
            msix_entries: 4,
            bars: [BarInfo::default(); 6],
            strays: self.world.strays.get(),
        })
    }
    fn watch_device(&self, device: &FakeCap) -> Result<(), Error> {
        self.step(format!("watch device {}", device.id))
    }
    fn quiesce(&self, device: &FakeCap) -> Result<(), Error> {
        if self.world.quiesce_fails.get() {
            return Err(Error::BadState);
        }
        self.world
            .journal
            .borrow_mut()
            .push(format!("quiesce {}", device.id));
        Ok(())
    }

    fn free_pages(&self) -> Result<u64, Error> {
        Ok(self.world.pages_left.get())
    }
    fn budget(&self, pages: u64) -> Result<FakeCap, Error> {
        self.step(format!("budget {pages}"))?;
        if pages > self.world.pages_left.get() {
            return Err(Error::NoBudget);
        }
        Ok(cap(&self.world, "budget", pages))
    }
    fn endpoint(&self) -> Result<FakeCap, Error> {
        Ok(cap(&self.world, "endpoint", 0))
    }
    fn process(&self, _: &FakeCap, priority: u8) -> Result<FakeCap, Error> {
        self.step(format!("process priority {priority}"))?;
        let id = self.world.last_process.get() + 1;
        self.world.last_process.set(id);
        self.world
            .states
            .borrow_mut()
            .insert(id, ProcessState::Running);
        Ok(cap(&self.world, "process", id))
    }
    fn memory(&self, _: &FakeCap, pages: u64) -> Result<FakeCap, Error> {
        self.step(format!("memory {pages}"))?;
        Ok(cap(&self.world, "memory", pages))
    }
    fn fill(&self, memory: &FakeCap, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.step(format!("fill {}", bytes.len()))?;
        if offset + bytes.len() as u64 > memory.id * 4096 {
            return Err(Error::BadArgument);
        }
        Ok(())
    }
    fn grant(
        &self,
        process: &FakeCap,
        cap: &FakeCap,
        index: u16,
        rights: Rights,
        badge: u64,
    ) -> Result<Slot, Error> {
        let what = cap.what;
        self.step(format!(
            "grant {} {what} {index} {rights:?} {badge}",
            process.id
        ))?;
        Ok(Slot::fresh(if index == 0 { 100 } else { index }))
    }
    fn map(&self, _: &FakeCap, _: Slot, address: u64, pages: u64, prot: Prot) -> Result<(), Error> {
        self.step(format!("map {address:#x} {pages} {:#x}", prot.bits()))
    }
    fn start(&self, p: &FakeCap, entry: u64, _: u64, _: u64, _: [u8; 2]) -> Result<(), Error> {
        self.step(format!("start {} {entry:#x}", p.id))
    }
    fn watch(&self, process: &FakeCap) -> Result<(), Error> {
        self.step(format!("watch {}", process.id))
    }
    fn kill(&self, process: &FakeCap, code: u64) -> Result<(), Error> {
        self.world
            .states
            .borrow_mut()
            .insert(process.id, ProcessState::Killed(code));
        Ok(())
    }

    fn status(&self, process: &FakeCap) -> Result<ProcessStatus, Error> {
        let states = self.world.states.borrow();
        let state = match process.what {
            "self" => ProcessState::Running,
            _ => *states.get(&process.id).ok_or(Error::BadSlot)?,
        };
        Ok(ProcessStatus {
            state,
            id: process.id,
            cpu_ns: 5000,
            caps: 4,
            threads: 1,
            pages: 9,
            syscalls: 7,
            switches: 8,
            budget_used: if process.what == "self" { 407 } else { 3 },
            budget_limit: u64::MAX,
        })
    }
    fn caps(&self, _: &FakeCap, from: u32) -> Result<([Option<CapRecord>; 4], u32), Error> {
        let record = CapRecord {
            slot: Slot::new(from as u16, 9),
            kind: Kind::Console,
            rights: Rights::WRITE,
            badge: 3,
            object: 11,
        };
        Ok(([Some(record), None, None, None], 0))
    }
    fn machine_info(&self) -> Result<MachineInfo, Error> {
        Ok(MachineInfo {
            frames: 1,
            free_frames: 2,
            uptime_ns: 3000,
            idle_ns: 4000,
            switches: 5,
            syscalls: 6,
            interrupts: 7,
            processors: 1,
        })
    }
    fn read_log(&self, from: u64) -> Result<Option<LogLine>, Error> {
        Ok((from < 5).then(|| LogLine {
            next: 6,
            time: 2000,
            level: 2,
            text: "ä".repeat(300),
        }))
    }
    fn echo(&self, level: u8) -> Result<(), Error> {
        self.step(format!("echo {level}"))
    }
}

fn process(name: &str) -> Process {
    Process {
        name: name.into(),
        program: name.into(),
        priority: 5,
        patient: 5,
        budget: 100,
        stack: 4,
        restart: Restart::Always,
        caps: Caps::default(),
        provides: vec![],
        uses: vec![],
        devices: vec![],
        args: vec![],
    }
}

fn uses(endpoint: &str, act: bool, policy: Option<Policy>) -> Use {
    Use {
        endpoint: endpoint.into(),
        act,
        policy,
    }
}

/// A driver, a stack, a shell, and a program with nothing.
pub(crate) fn manifest() -> Manifest {
    let policy = Policy {
        allow: Allow::default(),
        remote: Default::default(),
        remote_ports: Default::default(),
        local_ports: Default::default(),
        max_sockets: 4,
        max_buffer_bytes: 65536,
        packets_per_second: 0,
    };
    let log_and_clock = Caps {
        log: true,
        clock: true,
        ..Caps::default()
    };
    Manifest {
        processes: vec![
            Process {
                caps: log_and_clock,
                uses: vec![uses("netdev", false, None)],
                devices: vec![DeviceMatch {
                    name: "nic".into(),
                    vendor: 0x1af4,
                    device: 0x1041,
                }],
                ..process("driver")
            },
            Process {
                caps: log_and_clock,
                provides: vec!["net".into(), "netdev".into()],
                ..process("stack")
            },
            Process {
                caps: Caps {
                    log: true,
                    console: true,
                    ..Caps::default()
                },
                uses: vec![
                    uses("net", false, Some(policy)),
                    uses(SYSTEM_ENDPOINT, true, None),
                ],
                ..process("shell")
            },
            Process {
                restart: Restart::OnFailure,
                ..process("bare")
            },
        ],
    }
}

/// A boot archive with these programs, each an ELF file of one page of code.
pub(crate) fn archive(programs: &[&str]) -> Vec<u8> {
    let mut elf = Vec::new();
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend([2u16, 62].map(u16::to_le_bytes).concat());
    elf.extend(1u32.to_le_bytes());
    elf.extend([0x20_0000u64, 64, 0].map(u64::to_le_bytes).concat());
    elf.extend(0u32.to_le_bytes());
    elf.extend([64u16, 56, 1, 64, 0, 0].map(u16::to_le_bytes).concat());
    elf.extend([1u32, 5].map(u32::to_le_bytes).concat());
    let words = [0u64, 0x20_0000, 0x20_0000, 120, 120, 0x1000];
    elf.extend(words.map(u64::to_le_bytes).concat());
    let files: Vec<_> = programs.iter().map(|name| (*name, &elf[..])).collect();
    crate::archive::tests::write(&files)
}
