//! Capabilities that were never given: guessed slots, stale slots, the wrong kind, too few rights. Safe.

use crate::campaign::{Attack, Outcome};
use alloc::format;
use rt::{
    Clock, Console, Device, Endpoint, Error, Machine, Memory, Message, Notification, Process,
    Rights, SLOT_SELF, Slot,
};

/// Guesses of one campaign.
const GUESSES: u32 = 500;

/// Whether the kernel refused for the reason that it must have.
fn is_refused<T>(outcome: &Result<T, Error>) -> bool {
    matches!(
        outcome,
        Err(Error::BadSlot | Error::WrongKind | Error::NoRights | Error::BadState | Error::Gone)
    )
}

pub(crate) fn run(attack: &mut Attack<'_>) -> Outcome {
    for _ in 0..GUESSES {
        let random = &mut attack.random;
        // Mostly the table's beginning, of any generation; this program holds no console, machine or device.
        let index = if random.once_in(4) {
            random.word() as u16
        } else {
            random.below(64) as u16
        };
        let generation = if random.once_in(2) {
            0
        } else {
            random.below(8) as u32
        };
        if index == 0 {
            // Where a call takes a process, this is the caller itself.
            continue;
        }
        let slot = Slot(u32::from(index) | generation << 16);
        let outcomes = [
            (
                "read the console",
                is_refused(&Console::borrowed(slot).read(&mut [0; 8])),
            ),
            (
                "read the log",
                is_refused(&Console::borrowed(slot).read_log(0, &mut [0; 64]).map(drop)),
            ),
            ("set the echo", is_refused(&Console::borrowed(slot).echo(5))),
            (
                "count the machine",
                is_refused(&Machine::borrowed(slot).info()),
            ),
            (
                "read the command line",
                is_refused(&Machine::borrowed(slot).command_line(&mut [0; 8])),
            ),
            (
                "switch the machine off",
                is_refused::<()>(&Err(Machine::borrowed(slot).power_off(99))),
            ),
            (
                "look at a device",
                is_refused(&Device::borrowed(slot).info()),
            ),
            (
                "quiesce a device",
                is_refused(&Device::borrowed(slot).quiesce()),
            ),
            (
                "kill a process",
                is_refused(&Process::borrowed(slot).kill(0)),
            ),
            (
                "start a thread elsewhere",
                is_refused(&Process::borrowed(slot).start(0, 0, 0, 0)),
            ),
        ];
        for (what, refused) in outcomes {
            if refused {
                attack.tally.refused += 1;
            } else {
                attack.surprise(format!(
                    "could {what} by slot {index} of generation {generation}"
                ));
            }
        }
    }
    rights(attack)
}

/// Capabilities that are held, used for more than they allow.
fn rights(attack: &mut Attack<'_>) -> Outcome {
    let budget = attack.env.budget();
    let notification = Notification::create(&budget)?;
    let endpoint = Endpoint::create(&budget)?;
    let memory = Memory::create(&budget, 1, false)?;
    let deaf = notification.derive(Rights::SIGNAL)?;
    let mute = notification.derive(Rights::WAIT)?;
    let empty = budget.derive(Rights::READ)?;
    let caller = endpoint.derive(Rights::CALL)?;
    let bare = memory.derive(Rights::READ)?;
    let stale = notification.derive(Rights::all())?;
    let gone = stale.slot();
    drop(stale);
    let net = attack.env.endpoint("net").ok();
    let mut message = Message::new();
    let mut outcomes = alloc::vec![
        (
            "signal by a capability to wait",
            is_refused(&mute.signal(1))
        ),
        (
            "wait by a capability to signal",
            deaf.wait(u64::MAX, 0) == 0
        ),
        (
            "signal a stale slot",
            is_refused(&Notification::borrowed(gone).signal(1))
        ),
        (
            "split a budget that may be read",
            is_refused(&empty.split(1))
        ),
        (
            "allocate from a budget that may be read",
            is_refused(&Memory::create(&empty, 1, false))
        ),
        (
            "receive by a capability to call",
            is_refused(&caller.recv(&mut message, 0))
        ),
        (
            "map memory writable that may be read",
            is_refused(&bare.map(rt::Prot::READ | rt::Prot::WRITE).map(drop))
        ),
        (
            "kill itself by the capability to look",
            is_refused(&Process::borrowed(SLOT_SELF).kill(0))
        ),
        (
            "set the clock",
            is_refused(&Console::borrowed(attack.env.clock().slot()).write(b"x"))
        ),
        (
            "call a clock",
            is_refused(&Endpoint::borrowed(attack.env.clock().slot()).call(&mut message, 0))
        ),
        (
            "wait for memory",
            Notification::borrowed(memory.slot()).wait(1, 0) == 0
        ),
        (
            "read a notification as a clock",
            is_refused(&Clock::borrowed(notification.slot()).now())
        ),
        ("widen by deriving", !widened(&deaf)),
    ];
    if let Ok(log) = attack.env.cap("log") {
        let log = Console::borrowed(log);
        outcomes.push((
            "print by the capability to log",
            is_refused(&log.write(b"x")),
        ));
        outcomes.push((
            "read the log by the capability to write it",
            is_refused(&log.read_log(0, &mut [0; 64]).map(drop)),
        ));
    }
    if let Some(net) = &net {
        outcomes.push((
            "receive what others send to the stack",
            is_refused(&net.recv(&mut message, 0)),
        ));
        outcomes.push(("badge a badged endpoint", is_refused_badge(net.client(77))));
        outcomes.push((
            "bind the stack's calls",
            is_refused(&net.bind(&notification, 1)),
        ));
    }
    for (what, refused) in outcomes {
        if refused {
            attack.tally.refused += 1;
        } else {
            attack.surprise(format!("could {what}"));
        }
    }
    Ok(())
}

/// Whether a copy with all rights of a capability to signal can wait.
fn widened(deaf: &Notification) -> bool {
    let Ok(copy) = deaf.derive(Rights::all()) else {
        return false;
    };
    rt::cap::info(copy.slot()).is_ok_and(|details| details.rights != Rights::SIGNAL)
}

fn is_refused_badge(outcome: Result<Endpoint, Error>) -> bool {
    matches!(outcome, Err(Error::Refused | Error::NoRights))
}
