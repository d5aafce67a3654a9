//! A client that attacks the stack through its own session: random bytes all over the session memory while it rings, then
//! the memory taken back under the stack's hands. The stack has to live on. Safe.

use crate::{
    Finding,
    campaign::{Attack, Outcome},
    random::Random,
};
use alloc::format;
use ipc_proto::{
    hello::Hello,
    setup::{NetReply, NetRequest},
};
use rt::{Env, Error, Mapping, Memory, Notification, Prot, Rights};

/// Bytes of session memory.
const BYTES: usize = 256 * 1024;
/// Writes between two doorbells.
const BURST: u32 = 64;

/// Attacks through `sessions` sessions, one after the other.
pub fn attack_own_session(env: &Env) -> Finding {
    let sessions: u32 = env
        .arg("sessions")
        .and_then(|text| text.parse().ok())
        .unwrap_or(40);
    let mut seed = [0; 8];
    rt::entropy::fill(&mut seed).map_err(|error| format!("{error}"))?;
    let mut random = Random::new(u64::from_le_bytes(seed));
    let mut opened = 0;
    for number in 0..sessions {
        match scribble(env, number.is_multiple_of(2), &mut random) {
            Ok(true) => opened += 1,
            // Refused: the stack may have enough of this client.
            Ok(false) => {}
            Err(error) => return Err(format!("session {number}: {error}")),
        }
    }
    if opened == 0 {
        return Err(format!("none of {sessions} sessions was opened"));
    }
    Ok(format!("{opened} sessions scribbled over and taken back"))
}

/// A few sessions.
pub(crate) fn run(attack: &mut Attack<'_>) -> Outcome {
    for _ in 0..4 {
        let take_back = attack.random.once_in(2);
        if scribble(attack.env, take_back, &mut attack.random)? {
            attack.tally.sessions += 1;
        }
    }
    Ok(())
}

/// A session without a library.
pub(crate) struct Session {
    /// Its memory.
    pub(crate) memory: Mapping,
    /// The stack's doorbell.
    pub(crate) bell: Notification,
    /// Its own.
    pub(crate) events: Notification,
    _given: Notification,
    _shared: Memory,
}

/// Opens a session. `None` if the stack refuses it.
pub(crate) fn open(env: &Env) -> Result<Option<Session>, Error> {
    let endpoint = env.endpoint("net").map_err(|_| Error::BadSlot)?;
    let budget = env.budget();
    let memory = Memory::create(&budget, (BYTES / rt::PAGE_SIZE) as u64, false)?;
    let memory = memory.map(Prot::READ | Prot::WRITE)?;
    let shared = memory
        .memory()
        .derive(Rights::READ | Rights::WRITE | Rights::GRANT)?;
    let events = Notification::create(&budget)?;
    let given = events.doorbell(1)?;
    let request = NetRequest::Open {
        hello: Hello::SOCKET,
        len: BYTES as u32,
    };
    let deadline = rt::time::now() + 2 * rt::time::SECOND;
    let slots = [shared.slot(), given.slot()];
    match rt::message::call(&endpoint, &request, &slots, deadline) {
        Ok((NetReply::Opened { .. }, [Some(bell), ..])) => Ok(Some(Session {
            memory,
            bell: Notification::from_raw(bell.into_raw()),
            events,
            _given: given,
            _shared: shared,
        })),
        Ok(_) => Ok(None),
        Err(_) => Err(Error::TimedOut),
    }
}

/// Opens a session, scribbles, and may take the memory back. `false` if the stack refuses the session.
fn scribble(env: &Env, take_back: bool, random: &mut Random) -> Result<bool, Error> {
    let Some(session) = open(env)? else {
        return Ok(false);
    };
    let window = session.memory.shm();
    for round in 0..40 {
        for _ in 0..BURST {
            // Mostly the channel at the start, where the indices and wake words are.
            let reach = if random.once_in(4) { BYTES } else { 512 };
            let at = random.below((reach - 8) as u64) as usize;
            window
                .write(at, &random.word().to_le_bytes())
                .map_err(|_| Error::BadAddress)?;
        }
        // Fails once the stack has thrown the session out, which is what it should do.
        let _ = session.bell.signal(1);
        if round == 20 && take_back {
            rt::revoke(session.memory.memory().slot())?;
        }
        // Lets the stack look.
        session.events.wait(u64::MAX, rt::time::now() + 1_000_000);
    }
    Ok(true)
}
