//! Doorbells rung without end, and calls to the stack that make no sense. Safe.

use crate::{
    campaign::{Attack, Outcome},
    scribble,
};
use rt::{Memory, Message, Notification, Slot};

/// Rings of one campaign, and calls.
const RINGS: u32 = 20_000;
const CALLS: u32 = 300;

/// A session whose doorbell is rung as fast as that goes, with nothing to say.
pub(crate) fn run(attack: &mut Attack<'_>) -> Outcome {
    let Some(session) = scribble::open(attack.env)? else {
        return Ok(());
    };
    attack.tally.sessions += 1;
    for _ in 0..RINGS {
        // Fails when the stack has had enough, which would be its right.
        if session.bell.signal(attack.random.word()).is_err() {
            break;
        }
    }
    Ok(())
}

/// Calls with random bytes and any capabilities.
pub(crate) fn calls(attack: &mut Attack<'_>) -> Outcome {
    let Ok(endpoint) = attack.env.endpoint("net") else {
        return Ok(());
    };
    let budget = attack.env.budget();
    let notification = Notification::create(&budget)?;
    let memory = Memory::create(&budget, 1, false)?;
    let slots = [
        Slot::NULL,
        notification.slot(),
        memory.slot(),
        budget.slot(),
        endpoint.slot(),
        attack.env.clock().slot(),
        Slot::fresh(4000),
    ];
    for _ in 0..CALLS {
        let random = &mut attack.random;
        let mut message = Message::new();
        random.fill(&mut message.data);
        // Often the tag of a request, so that the rest of it is looked at.
        if random.once_in(2)
            && let Some(tag) = message.data.first_mut()
        {
            *tag &= 3;
        }
        message.len = random.below(300) as u32;
        message.cap_count = random.below(6) as u32;
        for slot in &mut message.caps {
            *slot = random.pick(&slots).copied().unwrap_or(Slot::NULL);
        }
        // Sometimes it does not wait for the answer.
        let patience = if random.once_in(4) {
            0
        } else {
            20 * rt::time::MILLISECOND
        };
        match endpoint.call(&mut message, rt::time::now().saturating_add(patience)) {
            // Whatever came with it goes.
            Ok(()) => drop(rt::message::received(&message)),
            Err(_) => attack.tally.refused += 1,
        }
    }
    Ok(())
}
