//! The simulated platform.

use crate::phys::{Frame, PhysAddr, PhysMemory};
use crate::platform::{Context, DmaFault, MapError, Platform, Trap};
use kernel_abi::{PAGE_SIZE, Prot};
use std::collections::{BTreeMap, VecDeque};

/// Registers: the next system call, and what the last one gave.
#[derive(Default)]
pub(crate) struct SimContext {
    pub(crate) start: [u64; 3],
    call: (u64, [u64; 6]),
    pub(crate) result: Option<(u64, [u64; 3])>,
}

impl Context for SimContext {
    fn new(entry: u64, stack: u64, argument: u64) -> Self {
        SimContext {
            start: [entry, stack, argument],
            ..SimContext::default()
        }
    }

    fn syscall(&self) -> (u64, [u64; 6]) {
        self.call
    }

    fn set_result(&mut self, error: u64, values: [u64; 3]) {
        self.result = Some((error, values));
    }
}

/// State of the machine.
pub(crate) struct Sim {
    pub(crate) clock: u64,
    /// How long it takes to free an address space.
    pub(crate) freeing: u64,
    /// The user may read it.
    pub(crate) counts: bool,
    pub(crate) timer: Option<u64>,
    /// System call that the thread to run makes.
    pub(crate) next: Option<(u64, [u64; 6])>,
    /// Otherwise, what happens; a timer interrupt if this is `None`, too.
    pub(crate) trap: Option<Trap>,
    /// Argument registers of the threads that ran.
    pub(crate) ran: Vec<u64>,
    pub(crate) output: Vec<u8>,
    pub(crate) input: VecDeque<u8>,
    /// Words of configuration space, by function and offset.
    pub(crate) config: BTreeMap<(u16, u16), u32>,
    /// Bits of a BAR that can be written.
    pub(crate) masks: BTreeMap<(u16, u16), u32>,
    pub(crate) registers: BTreeMap<u64, u32>,
    /// Whether there is a unit between devices and memory.
    pub(crate) isolates: bool,
    /// Devices that it knows, with number and tables.
    pub(crate) domains: BTreeMap<u16, Option<(u16, Frame)>>,
    pub(crate) dma_faults: VecDeque<DmaFault>,
}

/// Address, MSI-X table and large BAR of the simulated network card.
pub(crate) const NIC: u16 = 3 << 3;
pub(crate) const MSIX_TABLE: u64 = 0xfebc_0000;
pub(crate) const REGISTERS: u64 = 0x80_febf_c000;

impl Default for Sim {
    fn default() -> Sim {
        let mut sim = Sim {
            clock: 1,
            freeing: 0,
            counts: false,
            timer: None,
            next: None,
            trap: None,
            ran: Vec::new(),
            output: Vec::new(),
            input: VecDeque::new(),
            config: BTreeMap::new(),
            masks: BTreeMap::new(),
            registers: BTreeMap::new(),
            isolates: true,
            domains: BTreeMap::new(),
            dma_faults: VecDeque::new(),
        };
        // A host bridge, a bridge to bus 1 (and one that names bus 0, wrongly), the card, something behind the bridge.
        sim.function(0, &[(0, 0x29c0_8086)]);
        sim.function(
            1 << 3,
            &[(0, 0x000c_1b36), (0xc, 0x1_0000), (0x18, 0x01_01_00)],
        );
        sim.function(2 << 3, &[(0, 0x000c_1b36), (0xc, 0x1_0000), (0x18, 0)]);
        sim.function(1 << 8, &[(0, 0x1041_1af4)]);
        sim.function(
            NIC,
            &[
                (0, 0x1041_1af4),
                (4, 0x0010_0107),
                (8, 0x0200_0001),
                (0x14, MSIX_TABLE as u32),
                (0x20, REGISTERS as u32 | 4),
                (0x24, (REGISTERS >> 32) as u32),
                (0x34, 0x98),
                // MSI-X: four entries, table at 0 and pending bits at 0x800 of BAR 1.
                (0x98, 0x0003_8411),
                (0x9c, 1),
                (0xa0, 0x801),
                // A capability that leads back to the first.
                (0x84, 0x0000_9809),
            ],
        );
        sim.masks.insert((NIC, 0x14), 0xffff_f000);
        sim.masks.insert((NIC, 0x20), 0xffff_c000);
        sim.masks.insert((NIC, 0x24), 0xffff_ffff);
        sim
    }
}

impl Sim {
    pub(crate) fn function(&mut self, address: u16, words: &[(u16, u32)]) {
        for (offset, value) in words {
            self.config.insert((address, *offset), *value);
        }
    }

    /// Whether a device reaches a frame, and then whether it also writes there.
    pub(crate) fn reaches(&self, memory: &PhysMemory, device: u16, frame: Frame) -> Option<bool> {
        let (_, root) = self.domains.get(&device).copied().flatten()?;
        let (place, prot) = self.translate(memory, root, frame.address().0)?;
        (place == frame.address()).then(|| prot.contains(Prot::WRITE))
    }

    fn is_function(&self, address: u16) -> bool {
        self.config.contains_key(&(address, 0))
    }
}

const PRESENT: u64 = 1;

fn entry(table: u64, address: u64, level: u32) -> PhysAddr {
    PhysAddr(table + (address >> (12 + 9 * level) & 511) * 8)
}

/// Where the lowest entry for an address is.
fn walk(memory: &PhysMemory, root: Frame, address: u64) -> Option<PhysAddr> {
    let mut table = root.address().0;
    for level in (1..4).rev() {
        let word = memory.read_u64(entry(table, address, level)).unwrap();
        if word & PRESENT == 0 {
            return None;
        }
        table = word & !0xfff;
    }
    Some(entry(table, address, 0))
}

impl Platform for Sim {
    type Context = SimContext;
    const MAX_TABLES_PER_MAP: usize = 3;

    fn now(&self) -> u64 {
        self.clock
    }

    fn counter(&self) -> (u64, u64) {
        (0, 1 << 32)
    }

    fn let_user_count(&mut self, allowed: bool) {
        self.counts = allowed;
    }

    fn set_timer(&mut self, deadline: Option<u64>) {
        self.timer = deadline;
    }

    fn run_user(&mut self, _root: Frame, context: &mut SimContext) -> Trap {
        self.ran.push(context.start[2]);
        self.clock += 1000;
        match self.next.take() {
            Some(call) => {
                context.call = call;
                context.result = None;
                Trap::Syscall
            }
            None => self.trap.take().unwrap_or(Trap::Timer),
        }
    }

    fn idle(&mut self) -> Trap {
        self.clock = self.timer.unwrap_or(self.clock + 1_000_000);
        self.trap.take().unwrap_or(Trap::Timer)
    }

    fn init_root(&mut self, memory: &mut PhysMemory, root: Frame) {
        // The kernel's half, as on a real machine: not to be freed.
        memory
            .write_u64(root.address().offset(511 * 8), 0x1000 | PRESENT)
            .unwrap();
    }

    fn map(
        &mut self,
        memory: &mut PhysMemory,
        root: Frame,
        address: u64,
        frame: Frame,
        prot: Prot,
        _device: bool,
        allocate: &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
    ) -> Result<(), MapError> {
        let mut table = root.address().0;
        for level in (1..4).rev() {
            let place = entry(table, address, level);
            let mut word = memory.read_u64(place).unwrap();
            if word & PRESENT == 0 {
                let new = allocate(memory).ok_or(MapError::NoFrame)?;
                word = new.address().0 | PRESENT;
                memory.write_u64(place, word).unwrap();
            }
            table = word & !0xfff;
        }
        let place = entry(table, address, 0);
        if memory.read_u64(place).unwrap() & PRESENT != 0 {
            return Err(MapError::Busy);
        }
        let word = frame.address().0 | PRESENT | (prot.bits() as u64) << 1;
        memory.write_u64(place, word).unwrap();
        Ok(())
    }

    fn unmap(&mut self, memory: &mut PhysMemory, root: Frame, address: u64) -> Option<Frame> {
        let place = walk(memory, root, address)?;
        let word = memory.read_u64(place).unwrap();
        memory.write_u64(place, 0).unwrap();
        (word & PRESENT != 0).then(|| Frame((word / PAGE_SIZE as u64) as u32))
    }

    fn translate(
        &self,
        memory: &PhysMemory,
        root: Frame,
        address: u64,
    ) -> Option<(PhysAddr, Prot)> {
        let word = memory.read_u64(walk(memory, root, address)?).unwrap();
        let prot = Prot::from_bits_truncate((word >> 1) as u32 & 7);
        let place = PhysAddr((word & !0xfff) + (address & 0xfff));
        (word & PRESENT != 0).then_some((place, prot))
    }

    fn free_tables(
        &mut self,
        memory: &mut PhysMemory,
        root: Frame,
        free: &mut dyn FnMut(&mut PhysMemory, Frame),
    ) {
        fn below(
            memory: &mut PhysMemory,
            table: Frame,
            entries: u64,
            level: u32,
            free: &mut dyn FnMut(&mut PhysMemory, Frame),
        ) {
            for index in 0..entries {
                let word = memory.read_u64(table.address().offset(index * 8)).unwrap();
                if word & PRESENT != 0 {
                    let child = Frame((word / PAGE_SIZE as u64) as u32);
                    if level > 1 {
                        below(memory, child, 512, level - 1, free);
                    }
                    free(memory, child);
                }
            }
        }
        below(memory, root, 256, 3, free);
        self.clock += self.freeing;
    }

    fn console_write(&mut self, bytes: &[u8]) {
        self.output.extend(bytes);
    }

    fn console_read(&mut self) -> Option<u8> {
        self.input.pop_front()
    }

    fn config_read(&self, address: u16, offset: u16) -> u32 {
        assert!(offset.is_multiple_of(4) && offset < 4096);
        match self.is_function(address) {
            true => self.config.get(&(address, offset)).copied().unwrap_or(0),
            false => u32::MAX,
        }
    }

    fn config_write(&mut self, address: u16, offset: u16, value: u32) {
        assert!(offset.is_multiple_of(4) && offset < 4096);
        assert!(self.is_function(address));
        let old = self.config_read(address, offset);
        let new = match offset {
            // The status half keeps its bits when zeros are written.
            4 => old & 0xffff_0000 | value & 0xffff,
            0x10..0x28 => {
                let mask = self.masks.get(&(address, offset)).copied().unwrap_or(0);
                old & !mask & 0xf | value & mask
            }
            _ => value,
        };
        self.config.insert((address, offset), new);
    }

    fn mmio_read(&mut self, address: PhysAddr) -> u32 {
        self.registers.get(&address.0).copied().unwrap_or(0)
    }

    fn mmio_write(&mut self, address: PhysAddr, value: u32) {
        self.registers.insert(address.0, value);
    }

    fn msi_message(&self, vector: u8) -> (u64, u32) {
        (0xfee0_0000, vector as u32)
    }

    fn device_vectors(&self) -> core::ops::Range<u8> {
        0x50..0x58
    }

    const MAX_DMA_TABLES: usize = 3;

    fn isolates_dma(&self) -> bool {
        self.isolates
    }

    fn dma_add(
        &mut self,
        _memory: &mut PhysMemory,
        device: u16,
        _allocate: &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
    ) -> Result<(), MapError> {
        assert!(self.domains.insert(device, None).is_none());
        Ok(())
    }

    fn dma_begin(&mut self) -> bool {
        true
    }

    fn dma_map(
        &mut self,
        memory: &mut PhysMemory,
        root: Frame,
        frame: Frame,
        writes: bool,
        allocate: &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
    ) -> Result<(), MapError> {
        let address = frame.address().0;
        let prot = if writes { Prot::WRITE } else { Prot::READ };
        self.map(memory, root, address, frame, prot, false, allocate)
    }

    fn dma_unmap(&mut self, memory: &mut PhysMemory, root: Frame, frame: Frame) {
        assert!(self.unmap(memory, root, frame.address().0).is_some());
    }

    fn dma_attach(
        &mut self,
        _memory: &mut PhysMemory,
        device: u16,
        number: u16,
        root: Option<Frame>,
    ) -> bool {
        assert!(self.isolates && number != 0);
        let taken = self.domains.iter().any(|(other, domain)| {
            *other != device && domain.is_some_and(|(other, _)| other == number)
        });
        assert!(!taken, "two devices with one number");
        let domain = self.domains.get_mut(&device).unwrap();
        *domain = root.map(|root| (number, root));
        true
    }

    fn free_dma_tables(
        &mut self,
        memory: &mut PhysMemory,
        root: Frame,
        free: &mut dyn FnMut(&mut PhysMemory, Frame),
    ) {
        let attached = self
            .domains
            .values()
            .flatten()
            .any(|(_, used)| *used == root);
        assert!(!attached, "tables in use are freed");
        self.free_tables(memory, root, free);
    }

    fn dma_fault(&mut self) -> Option<DmaFault> {
        self.dma_faults.pop_front()
    }

    fn power_off(&mut self, status: u8) -> ! {
        panic!("power off {status}")
    }
}
