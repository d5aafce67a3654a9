//! The PC: x86_64, booted by PVH under QEMU (q35), one processor.
//!
//! Only these may use `unsafe`: `cpu` (instructions), `cpu_local` (descriptor tables), `trap` (user mode), `window` (device
//! registers), `boot` (taking over), and the modules that own ports (`uart`, `time`, `apic`, `pci_config`,
//! `emergency`). The others are plain code on tables and are tested on the host.

#[cfg(any(test, target_os = "none"))]
mod acpi;
#[cfg(any(test, target_os = "none"))]
mod context;
#[cfg(any(test, target_os = "none"))]
mod dma_tables;
#[cfg(any(test, target_os = "none"))]
mod extended;
#[cfg(any(test, target_os = "none"))]
mod firmware;
#[cfg(any(test, target_os = "none"))]
mod memory_map;
#[cfg(any(test, target_os = "none"))]
mod paging;
#[cfg(any(test, target_os = "none"))]
mod scale;
#[cfg(any(test, target_os = "none"))]
mod start_info;

#[cfg(target_os = "none")]
mod apic;
#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod cpu;
#[cfg(target_os = "none")]
mod cpu_local;
#[cfg(target_os = "none")]
pub mod emergency;
#[cfg(target_os = "none")]
mod iommu;
#[cfg(target_os = "none")]
mod kernel_space;
#[cfg(target_os = "none")]
mod layout;
#[cfg(target_os = "none")]
mod machine;
#[cfg(target_os = "none")]
mod pci_config;
#[cfg(target_os = "none")]
mod time;
#[cfg(target_os = "none")]
mod trap;
#[cfg(target_os = "none")]
mod uart;
#[cfg(target_os = "none")]
mod window;

#[cfg(target_os = "none")]
pub use boot::{BootFailure, Booted, boot};
#[cfg(target_os = "none")]
pub use machine::Machine;
