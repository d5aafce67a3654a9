//! Endpoints: synchronous calls with a small message and up to four capabilities. Safe.

use crate::{cap::kind, objects::Budget, objects::Notification, syscall};
use core::fmt;
use ipc_proto::codec::{self, DecodeError};
use kernel_abi::{Error, MESSAGE_CAPS, Message, Rights, Slot, Syscall};

kind! {
    /// A rendezvous for call and reply.
    Endpoint
}

/// Names a call that was received and not yet answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the caller waits for the reply"]
pub struct Token(u64);

impl Endpoint {
    /// Makes one, paid by `budget`.
    ///
    /// # Errors
    /// [`Error::NoBudget`], [`Error::TableFull`].
    pub fn create(budget: &Budget) -> Result<Endpoint, Error> {
        let [slot, ..] = syscall::simple(Syscall::EndpointCreate, budget.slot())?;
        Ok(Endpoint::from_raw(Slot(slot as u32)))
    }

    /// Sends `message` and waits until `deadline` for the reply, which overwrites it.
    ///
    /// # Errors
    /// [`Error::Gone`] if nobody serves it or the server died with the call, [`Error::TimedOut`],
    /// [`Error::TableFull`] if the server can't take the capabilities.
    pub fn call(&self, message: &mut Message, deadline: u64) -> Result<(), Error> {
        let args = [self.slot().0.into(), 0, deadline, 0, 0, 0];
        syscall::message(Syscall::EndpointCall, args, 1, message).map(drop)
    }

    /// Waits until `deadline` for a call, which overwrites `message`. Returns the badge of the caller's capability and
    /// the token for [`Endpoint::reply`]. Capabilities in the message are the receiver's now: see [`received`].
    ///
    /// # Errors
    /// [`Error::TimedOut`].
    pub fn recv(&self, message: &mut Message, deadline: u64) -> Result<(u64, Token), Error> {
        let args = [self.slot().0.into(), 0, deadline, 0, 0, 0];
        let [badge, token, _] = syscall::message(Syscall::EndpointRecv, args, 1, message)?;
        Ok((badge, Token(token)))
    }

    /// Answers a call. Never waits.
    ///
    /// # Errors
    /// [`Error::Gone`] if the caller no longer waits.
    pub fn reply(&self, token: Token, message: &Message) -> Result<(), Error> {
        let args = [self.slot().0.into(), token.0, 0, 0, 0, 0];
        let mut message = message.clone();
        syscall::message(Syscall::EndpointReply, args, 2, &mut message).map(drop)
    }

    /// Whenever a call arrives, signal `bits` on `notification`; at once if calls are waiting.
    ///
    /// # Errors
    /// [`Error::NoRights`].
    pub fn bind(&self, notification: &Notification, bits: u64) -> Result<(), Error> {
        let args = [
            self.slot().0.into(),
            notification.slot().0.into(),
            bits,
            0,
            0,
            0,
        ];
        syscall::values(Syscall::EndpointBind, args).map(drop)
    }

    /// A copy for a client, whose calls arrive with `badge`; it may pass the copy on.
    ///
    /// # Errors
    /// [`Error::TableFull`], [`Error::Refused`] if this one is badged.
    pub fn client(&self, badge: u64) -> Result<Endpoint, Error> {
        crate::cap::derive(self.slot(), Rights::CALL | Rights::GRANT, badge).map(Endpoint::from_raw)
    }
}

/// The encoding of `body` as a message that carries `caps` (at most four; more are an error of the program and
/// are not sent).
pub fn pack<M: codec::Message>(body: &M, caps: &[Slot]) -> Message {
    let mut message = Message::new();
    // Every protocol that travels in calls asserts at compile time that its longest message fits.
    message.len = codec::encode(body, &mut message.data).unwrap_or(0) as u32;
    message.cap_count = caps.len().min(MESSAGE_CAPS) as u32;
    for (to, from) in message.caps.iter_mut().zip(caps) {
        *to = *from;
    }
    message
}

/// The message that was received.
///
/// # Errors
/// [`DecodeError`], whatever the bytes are.
pub fn unpack<M: codec::Message>(message: &Message) -> Result<M, DecodeError> {
    codec::decode(message.bytes())
}

/// The capabilities that came with a message, owned: those that are not kept are deleted.
pub fn received(message: &Message) -> [Option<crate::cap::Cap>; MESSAGE_CAPS] {
    let mut caps = [const { None }; MESSAGE_CAPS];
    for (cap, slot) in caps.iter_mut().zip(message.slots()) {
        *cap = (*slot != Slot::NULL).then(|| crate::cap::Cap::owned(*slot));
    }
    caps
}

/// Why a call that carries a protocol's message failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallError {
    /// The kernel's word.
    Kernel(Error),
    /// The reply is not one.
    Decode(DecodeError),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Kernel(error) => error.fmt(f),
            CallError::Decode(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for CallError {}

/// Calls `endpoint` with `request`, waits until `deadline` for the reply.
///
/// # Errors
/// [`CallError`].
pub fn call<Q: codec::Message, A: codec::Message>(
    endpoint: &Endpoint,
    request: &Q,
    caps: &[Slot],
    deadline: u64,
) -> Result<(A, [Option<crate::cap::Cap>; MESSAGE_CAPS]), CallError> {
    let mut message = pack(request, caps);
    endpoint
        .call(&mut message, deadline)
        .map_err(CallError::Kernel)?;
    let caps = received(&message);
    let reply = unpack(&message).map_err(CallError::Decode)?;
    Ok((reply, caps))
}
