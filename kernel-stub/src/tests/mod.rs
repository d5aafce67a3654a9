//! Tests of the portable kernel on the simulated machine.

mod boot;
mod caps;
mod devices;
mod dma;
mod endings;
mod fuzz;
mod io;
mod ipc;
mod memo;
mod memory;
mod processes;
mod reference;
mod scheduling;
