//! From the loader's entry to a machine that the portable kernel can run on. Reads what the loader and the
//! firmware left, builds the kernel's address space, sets the processor and the controllers up.

use super::acpi::{self, Facts};
use super::apic::{self, CONSOLE_VECTOR, LocalApic};
use super::cpu::{self, Features};
use super::cpu_local::CpuLocal;
use super::iommu::Iommu;
use super::kernel_space::{self, BootFrames};
use super::layout::{BOOT_MAPPED, DIRECT_MAP, DIRECT_MAP_BYTES, IMAGE, Image};
use super::machine::Machine;
use super::memory_map::{self, Pieces};
use super::paging::PageSize;
use super::pci_config::ConfigSpace;
use super::start_info::{self, MAX_COMMAND_LINE, StartInfoError};
use super::time::{Clock, Rates, Timer};
use super::uart::Uart;
use super::window::Window;
use super::{emergency, firmware::FirmwareMemory};
use crate::phys::{Frame, PhysAddr, PhysMemory};
use core::arch::global_asm;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use heapless::Vec;
use kernel_abi::PAGE_SIZE;

global_asm!(include_str!("boot.s"), options(att_syntax));

/// What is handed to the portable kernel.
pub struct Booted {
    /// The machine.
    pub machine: Machine,
    /// All of RAM, through the direct map.
    pub memory: PhysMemory,
    /// RAM that nobody uses.
    pub usable: Pieces,
    /// The boot archive, physical; empty if there is none.
    pub archive: Range<u64>,
    /// The kernel's command line.
    pub command_line: Vec<u8, MAX_COMMAND_LINE>,
    /// PCI configuration space is there.
    pub pci: bool,
    /// Processors that the machine has.
    pub processors: u32,
}

/// Why the machine cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BootFailure {
    /// The processor lacks something; says what.
    Processor(&'static str),
    /// What the loader handed over cannot be used.
    StartInfo(StartInfoError),
    /// RAM does not suffice for the kernel's page tables.
    Memory,
    /// The local APIC cannot be reached.
    InterruptController,
    /// No counter of known frequency runs.
    Clock,
    /// Already booted.
    Twice,
}

impl fmt::Display for BootFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootFailure::Processor(what) => write!(f, "this processor has no {what}"),
            BootFailure::StartInfo(error) => error.fmt(f),
            BootFailure::Memory => f.write_str("too little memory below 1 GiB"),
            BootFailure::InterruptController => f.write_str("the local APIC is not in xAPIC mode"),
            BootFailure::Clock => f.write_str("no timer to measure the clock against"),
            BootFailure::Twice => f.write_str("the machine was taken over before"),
        }
    }
}

impl core::error::Error for BootFailure {}

/// Memory as the tables of `boot.s` map it.
struct BootMemory<'a>(&'a PhysMemory);

impl FirmwareMemory for BootMemory<'_> {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Option<()> {
        self.0.copy_out(PhysAddr(address), into).ok()
    }
}

/// Takes the machine over. `start_info` is the physical address that the loader passed to the entry code.
///
/// # Errors
/// See [`BootFailure`]; the console works in any case.
pub fn boot(start_info: u64) -> Result<Booted, BootFailure> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(BootFailure::Twice);
    }
    let mut uart = Uart::initialise();
    let local = CpuLocal::current();
    // SAFETY: the first and only call (`TAKEN`), and interrupts are off since the entry.
    unsafe { local.load() };
    let features = Features::detect();
    if !features.no_execute {
        return Err(BootFailure::Processor("no-execute pages (NX)"));
    }
    if !features.apic {
        return Err(BootFailure::Processor("local APIC"));
    }
    features.enable();

    let found = Found::collect(start_info, features)?;
    // SAFETY: the tables were just built; their kernel half maps everything that is in use.
    unsafe { cpu::set_root(found.root) };
    // SAFETY: the direct map holds all RAM below the limit except for the kernel's image, which nobody is told of.
    // The view through the boot tables is gone.
    let memory = unsafe { PhysMemory::new(DIRECT_MAP as *mut u8, found.frames) };
    // SAFETY: the first and only call, and the table hangs in the kernel's half.
    let mut window = unsafe { Window::new() };

    let facts = acpi::read(&mut window, found.rsdp);
    if let Some(port) = facts.pm1a_control {
        emergency::set_power_port(port);
    }
    apic::silence_8259();
    let mut apic = LocalApic::initialise(&window).ok_or(BootFailure::InterruptController)?;
    let rates = Rates::measure(&mut apic, facts.pm_timer).ok_or(BootFailure::Clock)?;
    let clock = Clock::new(rates).ok_or(BootFailure::Clock)?;
    let timer = Timer::new(rates).ok_or(BootFailure::Clock)?;
    apic::route_console(&window, facts.io_apic, facts.console_input, apic.id());
    if uart.listen() {
        apic.interrupt_self(CONSOLE_VECTOR);
    }
    let config = match facts.ecam {
        Some(ecam) => ConfigSpace::Mapped(ecam),
        None => ConfigSpace::Ports,
    };
    let pci = config.is_there(&window);
    let iommu = Iommu::find(&window, &facts.dma_units);
    announce(&found, &facts, rates, pci, iommu.is_some());
    Ok(Booted {
        machine: Machine::new(
            local,
            uart,
            window,
            apic,
            clock,
            timer,
            config,
            iommu,
            found.root,
            features.extended,
        ),
        memory,
        usable: found.usable,
        archive: found.archive,
        command_line: found.command_line,
        pci,
        processors: facts.processors,
    })
}

/// One line about the machine, unless the command line has the word `quiet`.
fn announce(found: &Found, facts: &Facts, rates: Rates, pci: bool, iommu: bool) {
    let mut words = found.command_line.split(|byte| *byte == b' ');
    if words.any(|word| word == b"quiet") {
        return;
    }
    let pages: u64 = found
        .usable
        .iter()
        .map(|piece| piece.end - piece.start)
        .sum();
    let bus = match (pci, facts.ecam) {
        (false, _) => "none",
        (true, Some(_)) => "memory-mapped",
        (true, None) => "through ports",
    };
    let dma = match (iommu, facts.dma_units.is_empty()) {
        (true, _) => "isolated",
        (false, true) => "not isolated (no IOMMU)",
        (false, false) => "not isolated (the IOMMU is of no use)",
    };
    emergency::write(format_args!(
        "kernel: {} MiB free, {} processor(s), clock {} MHz, PCI {bus}, DMA {dma}\n",
        pages >> 20,
        facts.processors,
        rates.timestamp / 1_000_000,
    ));
}

/// What boot learnt from the loader, and the tables that it built.
struct Found {
    root: Frame,
    frames: u32,
    usable: Pieces,
    archive: Range<u64>,
    command_line: Vec<u8, MAX_COMMAND_LINE>,
    rsdp: u64,
}

impl Found {
    fn collect(start_info: u64, features: Features) -> Result<Found, BootFailure> {
        let boot_frames = (BOOT_MAPPED / PAGE_SIZE as u64) as u32;
        // SAFETY: `boot.s` maps this much at `IMAGE`. Where there is no RAM, reads give ones. The part that is
        // the kernel's image is neither usable RAM nor read.
        let mut memory = unsafe { PhysMemory::new(IMAGE as *mut u8, boot_frames) };
        let info = start_info::parse(&mut BootMemory(&memory), start_info)
            .map_err(BootFailure::StartInfo)?;

        let image = Image::linked();
        let ram = memory_map::ram(&info.regions, DIRECT_MAP_BYTES);
        // Below the image are firmware data, video memory, and where other processors would start; behind it the rest of 2 MiB
        // that the direct map has in small pages, under a table that nothing else needs.
        let low = 0..image.physical.end.next_multiple_of(PageSize::Large.bytes());
        let mut usable = ram.clone();
        for taken in [&low, &info.archive] {
            memory_map::exclude(&mut usable, taken);
        }
        let mut frames = BootFrames::new(&usable).ok_or(BootFailure::Memory)?;
        let first = frames.next();
        let root = kernel_space::build(&mut memory, &mut frames, &image, &ram, features.huge_pages)
            .map_err(|_| BootFailure::Memory)?;
        memory_map::exclude(&mut usable, &(first..frames.next()));
        let limit = ram.iter().map(|piece| piece.end).max().unwrap_or(0);
        Ok(Found {
            root,
            frames: (limit / PAGE_SIZE as u64) as u32,
            usable,
            archive: info.archive,
            command_line: info.command_line,
            rsdp: info.rsdp,
        })
    }
}
