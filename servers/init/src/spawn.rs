//! Makes a process out of a program and its endowment. Whatever step fails, everything made so far goes again: each
//! capability here is dropped with its variable, and the process dies with its last capability.

use crate::{
    endow::{self, FIRST_NAMED_SLOT, Source},
    kernel::Kernel,
    loader::{LoadError, Program, plan},
};
use alloc::{string::String, vec::Vec};
use core::fmt;
use manifest::{MAX_START_INFO, Manifest, Record};
use rt::{
    BOOT_STACK_TOP, Error, PAGE_SIZE, Prot, Rights, SLOT_BUDGET, SLOT_SELF, START_INFO_ADDRESS,
    Slot,
};

/// Why a process could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpawnError {
    /// The kernel refused a step. It may work later.
    Kernel(&'static str, Error),
    /// The program can't be loaded. Trying again can't help.
    Load(LoadError),
    /// Arguments and sessions are longer than a start record can be. Trying again can't help.
    StartInfo,
    /// Its stack is larger than there is room for. Trying again can't help.
    Stack,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpawnError::Kernel(step, error) => write!(f, "{step}: {error}"),
            SpawnError::Load(error) => write!(f, "its program can't be loaded: {error}"),
            SpawnError::StartInfo => f.write_str("its arguments are too long"),
            SpawnError::Stack => f.write_str("its stack is too large"),
        }
    }
}

impl core::error::Error for SpawnError {}

/// Pages of the largest stack: 16 MiB, for which the image tool keeps, too. Below it is what a process maps ([`BOOT_STACK_TOP`]).
const MOST_STACK: u64 = (16 << 20) / PAGE_SIZE as u64;

/// Names the step that the kernel refused.
fn step<T>(name: &'static str, result: Result<T, Error>) -> Result<T, SpawnError> {
    result.map_err(|error| SpawnError::Kernel(name, error))
}

/// What a process is made of.
pub struct Order<'a, K: Kernel> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// Which process of it.
    pub position: usize,
    /// Its program file.
    pub program: &'a [u8],
    /// Its arguments.
    pub args: Vec<(String, String)>,
    /// Log level that it is told.
    pub log_level: u8,
    /// All endpoints, in the order of [`endow::endpoints`].
    pub endpoints: &'a [K::Cap],
    /// Its devices: positions in [`Kernel::devices`], and what the supervisor keeps of each.
    pub devices: &'a [(usize, u64)],
}

/// Makes and starts the process; returns the capability to it.
///
/// # Errors
/// [`SpawnError`]; nothing is left behind then.
pub fn spawn<K: Kernel>(kernel: &K, order: Order<'_, K>) -> Result<K::Cap, SpawnError> {
    let program = plan(order.program).map_err(SpawnError::Load)?;
    let Some(spec) = order.manifest.processes.get(order.position) else {
        return Err(SpawnError::Kernel("no such process", Error::BadArgument));
    };
    let info = endow::start_info(order.manifest, order.position, order.args, order.log_level)
        .to_bytes()
        .ok()
        .filter(|info| info.len() <= MAX_START_INFO)
        .ok_or(SpawnError::StartInfo)?;

    let budget = step("no memory for its budget", kernel.budget(spec.budget))?;
    let process = step("process", kernel.process(&budget, spec.priority))?;
    let grant = |cap: &K::Cap, slot: Slot, rights, badge| {
        kernel.grant(&process, cap, slot.index(), rights, badge)
    };
    step("grant", grant(&process, SLOT_SELF, Rights::READ, 0))?;
    step("grant", grant(&budget, SLOT_BUDGET, Rights::ALLOC, 0))?;
    for wanted in endow::grants(order.manifest, order.position) {
        let cap = match wanted.source {
            Source::Console => Some(kernel.console()),
            Source::Clock => Some(kernel.clock()),
            Source::Machine => Some(kernel.machine()),
            Source::Endpoint(number) => order.endpoints.get(number),
            Source::Device(number) => order
                .devices
                .get(number)
                .and_then(|(device, _)| kernel.devices().get(*device)),
        };
        let cap = cap.ok_or(SpawnError::Kernel("no such capability", Error::BadSlot))?;
        let slot = Slot::fresh(wanted.index);
        step("grant", grant(cap, slot, wanted.rights, wanted.badge))?;
    }
    debug_assert!(FIRST_NAMED_SLOT > SLOT_BUDGET.index());

    load(kernel, &budget, &process, &program)?;
    place(
        kernel,
        &budget,
        &process,
        START_INFO_ADDRESS,
        0,
        Prot::READ,
        0,
        &info,
    )?;
    let stack = u64::from(spec.stack);
    if stack > MOST_STACK {
        return Err(SpawnError::Stack);
    }
    let bottom = BOOT_STACK_TOP - stack * PAGE_SIZE as u64;
    place(
        kernel,
        &budget,
        &process,
        bottom,
        stack,
        Prot::READ | Prot::WRITE,
        0,
        &[],
    )?;
    step("watch", kernel.watch(&process))?;
    let argument = info.len() as u64;
    step(
        "thread",
        kernel.start(
            &process,
            program.entry,
            BOOT_STACK_TOP,
            argument,
            [spec.priority, spec.patient],
        ),
    )?;
    Ok(process)
}

/// Puts the program into the process.
fn load<K: Kernel>(
    kernel: &K,
    budget: &K::Cap,
    process: &K::Cap,
    program: &Program<'_>,
) -> Result<(), SpawnError> {
    for part in &program.segments {
        place(
            kernel,
            budget,
            process,
            part.address,
            part.pages,
            part.prot,
            part.offset,
            part.data,
        )?;
    }
    Ok(())
}

/// New memory in the process: `data` at byte `offset` of at least `pages` pages at `address`. Init keeps no capability to it.
#[expect(
    clippy::too_many_arguments,
    reason = "the three places that call it read like a table of what is mapped where"
)]
fn place<K: Kernel>(
    kernel: &K,
    budget: &K::Cap,
    process: &K::Cap,
    address: u64,
    pages: u64,
    prot: Prot,
    offset: u64,
    data: &[u8],
) -> Result<(), SpawnError> {
    let pages = pages.max((offset.saturating_add(data.len() as u64)).div_ceil(PAGE_SIZE as u64));
    let memory = step("its budget is too small", kernel.memory(budget, pages))?;
    if !data.is_empty() {
        step("load", kernel.fill(&memory, offset, data))?;
    }
    let mut rights = Rights::READ;
    rights.set(Rights::WRITE, prot.contains(Prot::WRITE));
    rights.set(Rights::EXEC, prot.contains(Prot::EXEC));
    let there = step(
        "its budget is too small",
        kernel.grant(process, &memory, 0, rights, 0),
    )?;
    step(
        "its budget is too small",
        kernel.map(process, there, address, pages, prot),
    )
}
