//! Starts and kills processes, and counts the memory afterwards. Safe.

use crate::{
    Finding,
    child::{CODE, Child},
};
use alloc::{format, string::ToString};
use rt::{Env, Error};

/// Frames of a child's budget.
const FRAMES: u64 = 32;

/// Starts and kills `cycles` processes, each with a budget, memory, and a thread in an endless loop; afterwards the
/// budget must be used exactly as before.
pub fn start_and_kill(env: &Env) -> Finding {
    let cycles: u32 = env
        .arg("cycles")
        .and_then(|text| text.parse().ok())
        .unwrap_or(10_000);
    // The first one pays for what stays (a page of the capability table, say).
    cycle(env, 1).map_err(|error| format!("the first: {error}"))?;
    let before = env.budget().usage().map_err(|error| error.to_string())?;
    for number in 0..cycles {
        cycle(env, 1).map_err(|error| format!("number {number}: {error}"))?;
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

/// One process that loops at this priority and is killed.
pub(crate) fn cycle(env: &Env, priority: u8) -> Result<(), Error> {
    // `jmp .`: a loop that only the kernel can end.
    let child = Child::new(&env.budget(), FRAMES, &[0xeb, 0xfe], priority)?;
    child.process.start(CODE, 0, 0, priority)?;
    child.process.kill(9)
}
