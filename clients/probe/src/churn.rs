//! Starts and kills processes, and counts the memory afterwards.

use crate::image::Finding;
use alloc::{format, string::ToString};
use rt::{Budget, Env, Error, Memory, Process, Prot, Rights, SLOT_BUDGET, SLOT_SELF};

/// Address of the child's only code page.
const CODE: u64 = 0x40_0000;
/// Frames of a child's budget.
const FRAMES: u64 = 32;

/// Starts and kills `cycles` processes, each with a budget, memory, and a thread in an endless loop; afterwards the
/// budget must be used exactly as before.
pub(crate) fn start_and_kill(env: &Env) -> Finding {
    let cycles: u32 = env
        .arg("cycles")
        .and_then(|text| text.parse().ok())
        .unwrap_or(10_000);
    // The first one pays for what stays (a page of the capability table, say).
    cycle(env).map_err(|error| format!("the first: {error}"))?;
    let before = env.budget().usage().map_err(|error| error.to_string())?;
    for number in 0..cycles {
        cycle(env).map_err(|error| format!("number {number}: {error}"))?;
    }
    let after = env.budget().usage().map_err(|error| error.to_string())?;
    if before.used == after.used {
        Ok(format!(
            "{cycles} processes, {} frames in use before and after",
            after.used
        ))
    } else {
        Err(format!(
            "{} frames in use before, {} after",
            before.used, after.used
        ))
    }
}

fn cycle(env: &Env) -> Result<(), Error> {
    let budget: Budget = env.budget().split(FRAMES)?;
    let child = Process::create(&budget, 1)?;
    child.grant(child.slot(), SLOT_SELF.index(), Rights::READ, 0)?;
    child.grant(budget.slot(), SLOT_BUDGET.index(), Rights::ALLOC, 0)?;
    let code = Memory::create(&budget, 1, false)?.map(Prot::READ | Prot::WRITE)?;
    // `jmp .`: a loop that only the kernel can end.
    code.shm()
        .write(0, &[0xeb, 0xfe])
        .map_err(|_| Error::BadAddress)?;
    let code = code.unmap();
    let slot = child.grant(code.slot(), 0, Rights::READ | Rights::EXEC, 0)?;
    child.map(slot, CODE, 0, 1, Prot::READ | Prot::EXEC)?;
    drop(code);
    child.start(CODE, 0, 0, 1)?;
    child.kill(9)
}
