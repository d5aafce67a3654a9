//! The machine as the portable kernel sees it: [`Platform`] in terms of the other modules.

use super::apic::{
    CONSOLE_VECTOR, DEVICE_VECTORS, DMA_FAULT_VECTOR, LocalApic, SPURIOUS_VECTOR, TIMER_VECTOR,
};
use super::context::{Context, SYSCALL};
use super::cpu_local::CpuLocal;
use super::dma_tables;
use super::extended::{INITIAL, Load, Owner};
use super::iommu::Iommu;
use super::paging::{self, Attributes, PageSize};
use super::pci_config::ConfigSpace;
use super::time::{Clock, Timer};
use super::uart::Uart;
use super::window::Window;
use super::{cpu, emergency, trap};
use crate::phys::{Frame, PhysAddr, PhysMemory};
use crate::platform::{DmaFault, MapError, Platform, Trap};
use core::ops::Range;
use kernel_abi::Prot;

const PAGE_FAULT: u8 = 14;

/// A PC with one processor in use. What each switch touches stands in front, as in [`crate::kernel::Kernel`].
#[repr(C)]
pub struct Machine {
    local: &'static CpuLocal,
    clock: Clock,
    timer: Timer,
    /// The current address space.
    root: Frame,
    /// User code may read the time stamp counter.
    user_counts: bool,
    /// Of the extended state.
    owner: Owner,
    apic: LocalApic,
    uart: Uart,
    window: Window,
    config: ConfigSpace,
    iommu: Option<Iommu>,
    /// An address space without a user half, whose tables are never freed.
    kernel_root: Frame,
}

impl Machine {
    /// The machine with all parts set up; `kernel_root` is the current address space, `extended` the components of the extended
    /// state that are switched on.
    #[expect(clippy::too_many_arguments, reason = "each part is made once, at boot")]
    pub(super) fn new(
        local: &'static CpuLocal,
        uart: Uart,
        window: Window,
        apic: LocalApic,
        clock: Clock,
        timer: Timer,
        config: ConfigSpace,
        iommu: Option<Iommu>,
        kernel_root: Frame,
        extended: u64,
    ) -> Machine {
        Machine {
            local,
            uart,
            window,
            apic,
            clock,
            timer,
            config,
            iommu,
            kernel_root,
            root: kernel_root,
            user_counts: false,
            owner: Owner::nobody(extended),
        }
    }

    fn switch_to(&mut self, root: Frame) {
        if self.root != root {
            // SAFETY: roots come from `init_root` and share the kernel's half; the portable kernel calls
            // `free_tables`, which switches away, before it frees one.
            unsafe { cpu::set_root(root) };
            cpu::clear_segments();
            self.root = root;
        }
    }

    /// Makes the extended state that of a thread that is about to run.
    fn load_extended(&mut self, context: &Context) {
        let address = core::ptr::from_ref(context).addr();
        let state = match self.owner.enter(address, context.registers.vector) {
            Load::Keep => return,
            Load::Reset => &INITIAL,
            Load::Restore => &context.extended,
        };
        // SAFETY: `owner` asks for this only where it is switched on.
        unsafe { cpu::load_extended(state) };
    }

    /// What an interrupt means to the kernel; `None` if nothing.
    #[inline(never)]
    fn interrupt(&mut self, vector: u8) -> Option<Trap> {
        if vector == SPURIOUS_VECTOR {
            return None;
        }
        self.apic.end_of_interrupt();
        match vector {
            TIMER_VECTOR => self
                .timer
                .expired(&mut self.apic, &self.clock)
                .then_some(Trap::Timer),
            CONSOLE_VECTOR => Some(Trap::Console),
            DMA_FAULT_VECTOR => Some(Trap::DmaFault),
            vector if DEVICE_VECTORS.contains(&vector) => Some(Trap::Interrupt(vector)),
            _ => None,
        }
    }
}

impl Machine {
    /// What stopped user code that made no system call; `None` if it may go on.
    #[inline(never)]
    fn interrupted(&mut self, context: &mut Context) -> Option<Trap> {
        let registers = &context.registers;
        let vector = registers.vector as u8;
        if vector < 32 {
            return Some(Trap::Fault {
                vector,
                error: registers.error,
                address: if vector == PAGE_FAULT {
                    cpu::fault_address()
                } else {
                    0
                },
                instruction: registers.rip,
            });
        }
        let trap = self.interrupt(vector)?;
        if self.owner.saves() {
            // SAFETY: it is switched on.
            unsafe { cpu::save_extended(&mut context.extended) };
        }
        Some(trap)
    }
}

impl Platform for Machine {
    type Context = Context;

    const MAX_TABLES_PER_MAP: usize = 3;

    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn counter(&self) -> (u64, u64) {
        self.clock.scale()
    }

    fn let_user_count(&mut self, allowed: bool) {
        if self.user_counts != allowed {
            cpu::let_user_count(allowed);
            self.user_counts = allowed;
        }
    }

    fn set_timer(&mut self, deadline: Option<u64>) {
        self.timer.set(&mut self.apic, &self.clock, deadline);
    }

    #[inline(always)]
    fn run_user(&mut self, root: Frame, context: &mut Context) -> Trap {
        self.switch_to(root);
        self.load_extended(context);
        loop {
            let registers = &mut context.registers;
            // SAFETY: `boot` loaded the tables of `local` and never switched interrupts on; address space and extended
            // state were just set.
            unsafe { trap::enter_user(self.local, registers) };
            if registers.vector == SYSCALL {
                return Trap::Syscall;
            }
            if let Some(trap) = self.interrupted(context) {
                return trap;
            }
        }
    }

    fn idle(&mut self) -> Trap {
        loop {
            cpu::wait_for_interrupt();
            let vector = self.local.take_idle_vector();
            if let Some(trap) = self.interrupt(vector) {
                return trap;
            }
        }
    }

    fn init_root(&mut self, memory: &mut PhysMemory, root: Frame) {
        paging::share_kernel_half(memory, self.kernel_root, root);
    }

    fn map(
        &mut self,
        memory: &mut PhysMemory,
        root: Frame,
        address: u64,
        frame: Frame,
        prot: Prot,
        device: bool,
        allocate: &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
    ) -> Result<(), MapError> {
        if !paging::is_user_page(address) {
            return Err(MapError::Busy);
        }
        let attributes = Attributes::user(prot, device);
        // Nothing to flush: the processor does not remember that a page was missing.
        paging::map(
            memory,
            root,
            address,
            frame,
            PageSize::Small,
            attributes,
            allocate,
        )
    }

    fn unmap(&mut self, memory: &mut PhysMemory, root: Frame, address: u64) -> Option<Frame> {
        let frame = paging::unmap(memory, root, address)?;
        // Another address space has no translations left: loading its root forgets them.
        if root == self.root {
            cpu::flush_page(address);
        }
        Some(frame)
    }

    fn translate(
        &self,
        memory: &PhysMemory,
        root: Frame,
        address: u64,
    ) -> Option<(PhysAddr, Prot)> {
        paging::translate(memory, root, address)
    }

    fn free_tables(
        &mut self,
        memory: &mut PhysMemory,
        root: Frame,
        free: &mut dyn FnMut(&mut PhysMemory, Frame),
    ) {
        if root == self.root {
            self.switch_to(self.kernel_root);
        }
        paging::free_user_tables(memory, root, free);
    }

    fn console_write(&mut self, bytes: &[u8]) {
        self.uart.send(bytes);
    }

    fn console_read(&mut self) -> Option<u8> {
        self.uart.receive()
    }

    fn config_read(&self, address: u16, offset: u16) -> u32 {
        self.config.read(&self.window, address, offset)
    }

    fn config_write(&mut self, address: u16, offset: u16, value: u32) {
        self.config.write(&self.window, address, offset, value);
    }

    fn mmio_read(&mut self, address: PhysAddr) -> u32 {
        self.window.read_register(address.0)
    }

    fn mmio_write(&mut self, address: PhysAddr, value: u32) {
        self.window.write_register(address.0, value);
    }

    const MAX_DMA_TABLES: usize = 3;

    fn isolates_dma(&self) -> bool {
        self.iommu.is_some()
    }

    fn dma_add(
        &mut self,
        memory: &mut PhysMemory,
        device: u16,
        allocate: &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
    ) -> Result<(), MapError> {
        let iommu = self.iommu.as_mut().ok_or(MapError::Busy)?;
        let root_table = match iommu.root_table {
            Some(table) => table,
            None => *iommu
                .root_table
                .insert(allocate(memory).ok_or(MapError::NoFrame)?),
        };
        dma_tables::add_bus(memory, root_table, device, allocate)
    }

    fn dma_begin(&mut self) -> bool {
        let message = self.msi_message(DMA_FAULT_VECTOR);
        cpu::write_back_caches();
        let Some(iommu) = &self.iommu else {
            return false;
        };
        // Without a device there is no table, and nothing to isolate.
        iommu
            .root_table
            .is_none_or(|table| iommu.begin(&self.window, table, message))
    }

    fn dma_map(
        &mut self,
        memory: &mut PhysMemory,
        root: Frame,
        frame: Frame,
        writes: bool,
        allocate: &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
    ) -> Result<(), MapError> {
        let iommu = self.iommu.as_ref().ok_or(MapError::Busy)?;
        dma_tables::map(memory, iommu.depth, root, (frame, writes), allocate)
    }

    fn dma_unmap(&mut self, memory: &mut PhysMemory, root: Frame, frame: Frame) {
        if let Some(iommu) = &self.iommu {
            dma_tables::unmap(memory, iommu.depth, root, frame);
        }
    }

    fn dma_attach(
        &mut self,
        memory: &mut PhysMemory,
        device: u16,
        number: u16,
        root: Option<Frame>,
    ) -> bool {
        let Some((iommu, root_table)) = self
            .iommu
            .as_ref()
            .and_then(|iommu| Some((iommu, iommu.root_table?)))
        else {
            return false;
        };
        let tables = root.map(|root| (iommu.depth, root));
        let set = dma_tables::set_context(memory, root_table, device, number, tables);
        if !iommu.coherent {
            cpu::write_back_caches();
        }
        set.is_ok() && iommu.forget(&self.window)
    }

    fn free_dma_tables(
        &mut self,
        memory: &mut PhysMemory,
        root: Frame,
        free: &mut dyn FnMut(&mut PhysMemory, Frame),
    ) {
        if let Some(iommu) = &self.iommu {
            dma_tables::free_tables(memory, iommu.depth, root, free);
        }
    }

    fn dma_fault(&mut self) -> Option<DmaFault> {
        self.iommu.as_ref()?.take_fault(&self.window)
    }

    fn msi_message(&self, vector: u8) -> (u64, u32) {
        // SDM vol. 3, 11.11: fixed delivery, edge, to the processor with this number.
        let address = 0xfee0_0000 | (self.apic.id() as u64) << 12;
        (address, vector as u32)
    }

    fn device_vectors(&self) -> Range<u8> {
        DEVICE_VECTORS
    }

    fn power_off(&mut self, status: u8) -> ! {
        emergency::end(status)
    }
}
