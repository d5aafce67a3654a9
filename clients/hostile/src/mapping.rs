//! Mappings that must be refused: over others, over the kernel, writable and executable, outside the object. Safe.

use crate::{
    campaign::{Attack, Outcome},
    child::{CODE, Child, DATA},
};
use alloc::format;
use rt::{Memory, Prot, Rights};

/// Frames of the child's budget.
const FRAMES: u64 = 64;
/// Where something may be mapped.
const FIELD: u64 = 0x2000_0000;
const PAGE: u64 = rt::PAGE_SIZE as u64;
const RW: Prot = Prot::READ.union(Prot::WRITE);
const RX: Prot = Prot::READ.union(Prot::EXEC);
const WX: Prot = Prot::WRITE.union(Prot::EXEC);

pub(crate) fn run(attack: &mut Attack<'_>) -> Outcome {
    let child = Child::new(&attack.env.budget(), FRAMES, &[0xeb, 0xfe], 0)?;
    let memory = Memory::create(&child.budget, 4, false)?;
    let all = child.process.grant(memory.slot(), 0, Rights::all(), 0)?;
    let readable = child.process.grant(memory.slot(), 0, Rights::READ, 0)?;
    let none = child.process.grant(memory.slot(), 0, Rights::GRANT, 0)?;
    child.process.map(all, FIELD, 0, 4, RW)?;
    let wrong = [
        ("over another mapping", all, FIELD, 0, 1, RW),
        ("across another mapping", all, FIELD - PAGE, 0, 4, RW),
        ("over the code", all, CODE, 0, 1, Prot::READ),
        ("over the data", all, DATA, 0, 1, RW),
        (
            "executable while it is writable",
            all,
            FIELD + 8 * PAGE,
            0,
            1,
            RX,
        ),
        ("writable and executable", all, FIELD + 8 * PAGE, 0, 1, WX),
        ("all protections", all, FIELD + 8 * PAGE, 0, 1, RW | RX),
        (
            "writable without the right",
            readable,
            FIELD + 8 * PAGE,
            0,
            1,
            RW,
        ),
        (
            "executable without the right",
            readable,
            FIELD + 8 * PAGE,
            0,
            1,
            RX,
        ),
        ("without a right", none, FIELD + 8 * PAGE, 0, 1, Prot::READ),
        ("at null", all, 0, 0, 1, RW),
        ("below user memory", all, rt::USER_START - PAGE, 0, 1, RW),
        ("behind user memory", all, rt::USER_END, 0, 1, RW),
        (
            "across the end of user memory",
            all,
            rt::USER_END - PAGE,
            0,
            2,
            RW,
        ),
        ("at a non-canonical address", all, 1 << 47, 0, 1, RW),
        ("over the kernel", all, 0xffff_ffff_8000_0000, 0, 1, RW),
        ("over its view of RAM", all, 0xffff_ff80_0000_0000, 0, 1, RW),
        ("behind the hole", all, 0xffff_8000_0000_0000, 0, 1, RW),
        ("at the last page", all, PAGE.wrapping_neg(), 0, 1, RW),
        (
            "across the end of everything",
            all,
            PAGE.wrapping_neg(),
            0,
            4,
            RW,
        ),
        ("at an odd address", all, FIELD + 8 * PAGE + 1, 0, 1, RW),
        ("no pages", all, FIELD + 8 * PAGE, 0, 0, RW),
        ("a page behind the object", all, FIELD + 8 * PAGE, 4, 1, RW),
        ("past the object", all, FIELD + 8 * PAGE, 2, 3, RW),
        ("from far behind", all, FIELD + 8 * PAGE, u64::MAX, 2, RW),
        ("too many pages", all, FIELD + 8 * PAGE, 0, u64::MAX, RW),
        ("pages that wrap", all, FIELD + 8 * PAGE, 1, u64::MAX, RW),
        ("bytes that wrap", all, FIELD + 8 * PAGE, 0, 1 << 52, RW),
    ];
    for (what, slot, address, first, pages, prot) in wrong {
        match child.process.map(slot, address, first, pages, prot) {
            Err(_) => attack.tally.refused += 1,
            Ok(()) => attack.surprise(format!("mapped {what}")),
        }
    }
    // At random, until its budget has no frame for another page table.
    for _ in 0..200 {
        let random = &mut attack.random;
        let address = FIELD + random.below(1 << 27) * PAGE;
        let (first, pages) = (random.below(5), random.below(5));
        let prot = if random.once_in(2) { RW } else { Prot::READ };
        if child.process.map(all, address, first, pages, prot).is_err() {
            attack.tally.refused += 1;
        }
    }
    attack.tally.children += 1;
    Ok(())
}
