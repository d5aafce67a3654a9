//! Takes all there is: objects until a budget is empty, capabilities until the table is full. Afterwards all of it is back. Safe.

use crate::{
    campaign::{Attack, Outcome},
    child::{CODE, Child},
};
use alloc::{format, vec::Vec};
use rt::{Budget, Endpoint, Error, Memory, Notification, Process, Rights, Thread};

/// Most capabilities held at once: more than a table has.
const MOST: usize = 5000;

/// What is held, to be dropped in the end.
enum Held {
    Notification(#[expect(dead_code, reason = "held")] Notification),
    Endpoint(#[expect(dead_code, reason = "held")] Endpoint),
    Memory(#[expect(dead_code, reason = "held")] Memory),
    Process(#[expect(dead_code, reason = "held")] Process),
    Budget(#[expect(dead_code, reason = "held")] Budget),
    Thread(#[expect(dead_code, reason = "held")] Thread),
}

/// Objects of all kinds until a budget of a random size has no frame left, a few times.
pub(crate) fn run(attack: &mut Attack<'_>) -> Outcome {
    for _ in 0..4 {
        let frames = 16 + attack.random.below(400);
        let budget = attack.env.budget().split(frames)?;
        let child = Child::new(&attack.env.budget(), 64, &[0xeb, 0xfe], 0)?;
        let mut held = Vec::with_capacity(1024);
        let full = loop {
            match one(attack, &budget, &child) {
                Ok(object) => held.push(object),
                // A thread that its process can't pay, or memory that is larger than what is left.
                Err(Error::BadArgument) => {}
                Err(Error::NoBudget) if budget.usage()?.used < frames => {}
                Err(error) => break error,
            }
            if held.len() >= 1024 {
                break Error::NoBudget;
            }
        };
        attack.tally.objects += held.len() as u64;
        if full != Error::NoBudget && full != Error::TableFull {
            attack.surprise(format!("an empty budget is told as {full}"));
        }
        // In no particular order.
        while !held.is_empty() {
            let at = attack.random.below(held.len() as u64) as usize;
            held.swap_remove(at);
        }
        child.process.kill(0)?;
        let left = budget.usage()?.used;
        if left != 0 {
            attack.surprise(format!(
                "{left} frames stay in use when all objects are gone"
            ));
        }
        attack.tally.children += 1;
    }
    Ok(())
}

fn one(attack: &mut Attack<'_>, budget: &Budget, child: &Child) -> Result<Held, Error> {
    let random = &mut attack.random;
    Ok(match random.below(7) {
        0 => Held::Notification(Notification::create(budget)?),
        1 => Held::Endpoint(Endpoint::create(budget)?),
        2 => Held::Memory(Memory::create(
            budget,
            1 + random.below(32),
            random.once_in(4),
        )?),
        3 => Held::Memory(Memory::create(
            budget,
            1 << random.below(40),
            random.once_in(2),
        )?),
        4 => Held::Process(Process::create(budget, 0)?),
        5 => Held::Budget(budget.split(random.below(64))?),
        _ => Held::Thread(child.process.start(CODE, 0, 0, 0)?),
    })
}

/// Copies of one capability until the table is full.
pub(crate) fn fill_table(attack: &mut Attack<'_>) -> Outcome {
    let notification = Notification::create(&attack.env.budget())?;
    let mut held = Vec::with_capacity(MOST);
    let full = loop {
        // A chain and a star: the derivation tree gets deep and wide.
        let parent = held
            .last()
            .filter(|_| attack.random.once_in(2))
            .unwrap_or(&notification);
        match parent.derive(Rights::all()) {
            Ok(copy) if held.len() < MOST => held.push(copy),
            Ok(_) => break Error::BadState,
            Err(error) => break error,
        }
    };
    attack.tally.objects += held.len() as u64;
    if !matches!(full, Error::TableFull | Error::NoBudget) {
        attack.surprise(format!(
            "a full table is told as {full} after {} copies",
            held.len()
        ));
    }
    rt::revoke(notification.slot())?;
    if rt::has_children(notification.slot()) {
        attack.surprise("copies survive that were revoked".into());
    }
    // They are gone already: each of these deletes must find nothing, or what somebody else holds would go.
    Ok(())
}
