//! A client that attacks the stack through its own session: random bytes all over the session memory while it rings, then
//! the memory taken back under the stack's hands. The stack has to live on.

use crate::image::Finding;
use alloc::format;
use ipc_proto::{
    hello::Hello,
    setup::{NetReply, NetRequest},
};
use rt::{Env, Error, Memory, Notification, Prot, Rights};

/// Bytes of session memory.
const BYTES: usize = 256 * 1024;
/// Writes between two doorbells.
const BURST: u32 = 64;

/// Attacks through `sessions` sessions, one after the other.
pub(crate) fn attack_own_session(env: &Env) -> Finding {
    let sessions: u32 = env
        .arg("sessions")
        .and_then(|text| text.parse().ok())
        .unwrap_or(40);
    let mut seed = [0; 8];
    rt::entropy::fill(&mut seed).map_err(|error| format!("{error}"))?;
    let mut random = u64::from_le_bytes(seed) | 1;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut opened = 0;
    for number in 0..sessions {
        match session(env, number, &mut next) {
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

/// Opens a session, scribbles, and revokes. `false` if the stack refuses the session.
fn session(env: &Env, number: u32, next: &mut impl FnMut() -> u64) -> Result<bool, Error> {
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
    let (_, bell) = match rt::message::call(&endpoint, &request, &slots, deadline) {
        Ok((NetReply::Opened { .. }, [Some(bell), ..])) => ((), bell),
        Ok(_) => return Ok(false),
        Err(_) => return Err(Error::TimedOut),
    };
    let bell = Notification::from_raw(bell.into_raw());
    let window = memory.shm();
    for round in 0..40 {
        for _ in 0..BURST {
            let word = next();
            // Mostly the channel at the start, where the indices and wake words are.
            let reach = if word & 3 == 0 { BYTES } else { 512 };
            let at = (word >> 8) as usize % (reach - 8);
            window
                .write(at, &next().to_le_bytes())
                .map_err(|_| Error::BadAddress)?;
        }
        // Fails once the stack has thrown the session out, which is what it should do.
        let _ = bell.signal(1);
        if round == 20 && number.is_multiple_of(2) {
            rt::revoke(memory.memory().slot())?;
        }
        // Lets the stack look.
        events.wait(u64::MAX, rt::time::now() + 1_000_000);
    }
    Ok(true)
}
