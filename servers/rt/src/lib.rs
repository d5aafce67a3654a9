//! What a process of Causeway is written with: entry point, capabilities as typed values, heap, log, time,
//! entropy, and the glue to the network.
//!
//! ```ignore
//! rt::entry!(main);
//!
//! fn main(env: rt::Env) -> u32 {
//!     log::info!("hello from {}", env.name());
//!     0
//! }
//! ```
//!
//! The only crate of user space that knows the kernel's interface; what others need of it is re-exported here.
//! `unsafe` lives in `syscall` (the instruction), `heap`, `mem` (`memcpy` and its kin), `memory` (shared windows), `exclusive` (memory that others read), `boot`, `entry`, `time` and
//! `entropy` (instructions). On a host the
//! crate compiles against a fake kernel ([`testing`]), so that programs and their libraries build and test there.
#![no_std]

extern crate alloc;

pub mod boot;
pub mod cap;
mod device;
mod endpoint;
pub mod entropy;
#[cfg(target_os = "none")]
mod entry;
mod env;
mod exclusive;
#[cfg(target_os = "none")]
mod heap;
pub mod logger;
#[cfg(target_os = "none")]
mod mem;
mod memory;
#[cfg(feature = "net")]
pub mod net;
mod objects;
#[cfg(any(test, target_os = "none"))]
mod quick;
pub mod syscall;
#[cfg(not(target_os = "none"))]
pub mod testing;
pub mod time;

/// Messages of the protocols in calls between processes.
pub mod message {
    pub use crate::endpoint::{CallError, call, pack, received, unpack};
}

pub use cap::{Cap, derive, has_children, revoke, watch};
pub use device::{Device, Interrupt};
pub use endpoint::{Endpoint, Token};
#[cfg(target_os = "none")]
pub use entry::exit;
pub use env::{Env, MissingCap};
pub use exclusive::Exclusive;
pub use kernel_abi::{
    self, BOOT_STACK_TOP, BarInfo, CapRecord, DeviceInfo, Error, FOREVER, Kind, MachineInfo,
    Message, PAGE_SIZE, ProcessState, ProcessStatus, Prot, Rights, SLOT_BUDGET, SLOT_SELF, Slot,
    USER_END, USER_START,
};
pub use manifest::Session;
pub use memory::{Mapping, Memory};
pub use objects::{Budget, Clock, Console, LogRecord, Machine, Notification, Process, Thread};

/// Where init maps the start record (a [`manifest::StartInfo`]), read-only; its length is the first thread's argument.
pub const START_INFO_ADDRESS: u64 = 0x4000_0000_0000;
/// Programs end below this address.
pub const IMAGE_END: u64 = 0x10_0000_0000;
/// A process's own addresses: stack, small shared memory, image, heap, in this order ([`BOOT_STACK_TOP`], [`memory`] and
/// `.cargo/config.toml` say where in detail). Other shared memory lies below and above. What is used most is so close together that few page tables serve it: a
/// switch of address spaces costs something for each that is in use.
pub(crate) const OWN: core::ops::Range<u64> = 0x2f00_0000..0x10_0000_0000;
/// Exit code of a process that panicked.
pub const EXIT_PANIC: u64 = 101;
/// Exit code of a process that can't read its start record.
pub const EXIT_NO_START_INFO: u64 = 102;
