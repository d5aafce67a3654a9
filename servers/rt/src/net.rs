//! The session of a program with the network stack: what `libnet-client` needs, by system calls. Safe.
//!
//! The program's one notification is the session's doorbell, tells of the stack's death, and is free for the program's
//! own events ([`KernelSystem::events`]), so that one wait serves all.

use crate::{
    Budget, Cap, Endpoint, Env, Error, Mapping, Memory, MissingCap, Notification, PAGE_SIZE, Prot,
    Rights, Slot, cap, message, time,
};
use core::fmt;
use ipc_proto::{
    hello::Hello,
    policy::Policy,
    setup::{NetReply, NetRequest, Refusal},
};
use libnet_client::system::{OpenError, Opened, System, Wake};

/// Bit: the stack rang.
const DOORBELL: u64 = 1;
/// Bit: the stack gave our doorbell up, so it is dead or has closed the session.
const GONE: u64 = 2;
/// Bits that are free for the program's own events.
pub const FREE_BITS: u64 = !0xff;
/// The stack answers at once or not at all: how long a call may take, in nanoseconds.
const PATIENCE: u64 = time::SECOND;

/// Why a program can't use the network at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NetError {
    /// It has no capability for it.
    Missing(MissingCap),
    /// It has no memory for a notification.
    Kernel(Error),
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetError::Missing(missing) => missing.fmt(f),
            NetError::Kernel(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for NetError {}

/// Prepares the use of the network through the capability `name`; sessions are opened later, by `libnet-client`.
///
/// # Errors
/// [`NetError`].
pub fn open(env: &Env, name: &str) -> Result<KernelSystem, NetError> {
    let endpoint = env.endpoint(name).map_err(NetError::Missing)?;
    open_on(env, endpoint)
}

/// [`open`] through a capability that has no name: one made by [`derive`], or received.
///
/// # Errors
/// [`NetError::Kernel`].
pub fn open_on(env: &Env, endpoint: Endpoint) -> Result<KernelSystem, NetError> {
    let budget = env.budget();
    let events = Notification::create(&budget).map_err(NetError::Kernel)?;
    Ok(KernelSystem {
        endpoint,
        budget,
        events,
        session: None,
    })
}

/// Makes a capability for sessions that may do less than those of `endpoint`: to use, or to hand to another process.
///
/// # Errors
/// [`OpenError::Refused`] with [`Refusal::Denied`] if `policy` is not within that of `endpoint`.
pub fn derive(endpoint: &Endpoint, policy: &Policy) -> Result<Endpoint, OpenError> {
    let request = NetRequest::Derive {
        policy: policy.clone(),
    };
    match ask(endpoint, &request, &[])? {
        (NetReply::Derived, [Some(narrower), ..]) => Ok(Endpoint::from_raw(narrower.into_raw())),
        (reply, _) => Err(refusal(reply)),
    }
}

/// Ends every session opened through capabilities that [`derive`] made from `endpoint`, at once and for good.
///
/// # Errors
/// [`OpenError`] if the stack does not do it.
pub fn revoke_derived(endpoint: &Endpoint) -> Result<(), OpenError> {
    match ask(endpoint, &NetRequest::RevokeDerived, &[])? {
        (NetReply::Done, _) => Ok(()),
        (reply, _) => Err(refusal(reply)),
    }
}

/// Calls the stack.
fn ask(
    endpoint: &Endpoint,
    request: &NetRequest,
    slots: &[Slot],
) -> Result<(NetReply, [Option<Cap>; 4]), OpenError> {
    let deadline = time::now().saturating_add(PATIENCE);
    message::call(endpoint, request, slots, deadline).map_err(|error| match error {
        message::CallError::Kernel(_) => OpenError::Unavailable,
        message::CallError::Decode(_) => OpenError::Refused(Refusal::BadRequest),
    })
}

/// Why the stack did not do as asked: what it says, or that it answers something else.
fn refusal(reply: NetReply) -> OpenError {
    OpenError::Refused(match reply {
        NetReply::Refused(refusal) => refusal,
        _ => Refusal::BadRequest,
    })
}

/// [`System`] by system calls.
#[derive(Debug)]
pub struct KernelSystem {
    endpoint: Endpoint,
    budget: Budget,
    events: Notification,
    session: Option<Session>,
}

/// What belongs to one session; dropped with it.
#[derive(Debug)]
struct Session {
    /// The session memory. Kept mapped as long as windows on it are used.
    _memory: Mapping,
    /// Our doorbell: the stack's copy is its only child.
    given: Notification,
    /// The stack's doorbell, until its death was told: an object of a dead process keeps all of its budget from being used again.
    bell: Option<Notification>,
}

impl KernelSystem {
    /// The notification that [`System::wait`] waits on. Events of the program's own may use [`FREE_BITS`] of it (bind the
    /// console to it, say): they end the wait, with `other` set.
    pub fn events(&self) -> Notification {
        Notification::borrowed(self.events.slot())
    }

    /// Makes memory and doorbell and hands them to the stack.
    fn try_open(&mut self, len: usize) -> Result<(Session, Opened), OpenError> {
        let bytes = u32::try_from(len).map_err(|_| OpenError::NoMemory)?;
        let memory = Memory::create(&self.budget, len.div_ceil(PAGE_SIZE) as u64, false)
            .and_then(|memory| memory.map(Prot::READ | Prot::WRITE))
            .map_err(|_| OpenError::NoMemory)?;
        let shared = memory
            .memory()
            .derive(Rights::READ | Rights::WRITE | Rights::GRANT)
            .map_err(|_| OpenError::NoMemory)?;
        let given = self
            .events
            .doorbell(DOORBELL)
            .map_err(|_| OpenError::NoMemory)?;
        let request = NetRequest::Open {
            hello: Hello::SOCKET,
            len: bytes,
        };
        let slots = [shared.slot(), given.slot()];
        let (reply, [bell, ..]) = ask(&self.endpoint, &request, &slots)?;
        match (reply, bell) {
            (NetReply::Opened { max_sockets }, Some(bell)) => {
                let opened = Opened {
                    memory: memory.shm().part(0, len).ok_or(OpenError::NoMemory)?,
                    max_sockets,
                };
                // A stack that is dead by now has left no copy: then the signal comes at once.
                cap::watch(given.slot(), &self.events, GONE).map_err(|_| OpenError::Unavailable)?;
                let session = Session {
                    _memory: memory,
                    given,
                    bell: Some(Notification::from_raw(Cap::into_raw(bell))),
                };
                Ok((session, opened))
            }
            (reply, _) => Err(refusal(reply)),
        }
    }
}

impl System for KernelSystem {
    fn now(&self) -> u64 {
        time::now()
    }

    fn open(&mut self, len: usize) -> Result<Opened, OpenError> {
        // The earlier session's memory goes back first: the budget may not hold two.
        self.session = None;
        let (session, opened) = self.try_open(len)?;
        self.session = Some(session);
        Ok(opened)
    }

    fn ring(&mut self) {
        let session = self.session.as_ref();
        if let Some(bell) = session.and_then(|session| session.bell.as_ref()) {
            // A dead stack does not hear it; its death is told by `wait`.
            let _ = bell.signal(DOORBELL);
        }
    }

    fn wait(&mut self, deadline: u64) -> Wake {
        let bits = self.events.wait(u64::MAX, deadline);
        self.woke(bits)
    }

    fn ring_and_wait(&mut self, deadline: u64) -> Wake {
        let session = self.session.as_ref();
        let bell = session.and_then(|session| Some(session.bell.as_ref()?.slot()));
        let bits = self.events.ring_and_wait(bell, None, u64::MAX, deadline);
        self.woke(bits)
    }
}

impl KernelSystem {
    /// What the bits of the notification say.
    fn woke(&mut self, bits: u64) -> Wake {
        let mut wake = Wake {
            doorbell: bits & DOORBELL != 0,
            stack_gone: false,
            other: bits & !(DOORBELL | GONE) != 0,
        };
        if let (true, Some(session)) = (bits & GONE != 0, &mut self.session) {
            // The bit may be an earlier session's: what counts is whether the stack holds our doorbell.
            if session.bell.is_some() && !cap::has_children(session.given.slot()) {
                session.bell = None;
                wake.stack_gone = true;
            }
        }
        wake
    }
}

#[cfg(test)]
mod tests;
