//! Calls of clients: sessions, capabilities derived and revoked. Holds what a session keeps of its client; touches the library's stack and
//! the capabilities that come with a call.

use super::{GONE, Server};
use ipc_proto::{
    hello::Hello,
    setup::{NetReply, NetRequest, Refusal},
};
use netstack::SessionId;
use rt::{
    Cap, Mapping, Memory, Message, Notification, Prot, Token,
    message::{pack, received, unpack},
};

/// What a session keeps of its client.
pub(super) struct Client {
    pub(super) session: SessionId,
    pub(super) badge: u64,
    /// Our doorbell: the client's copy is its only child.
    pub(super) given: Notification,
    /// Dropped behind the library's windows on it.
    _memory: Mapping,
}

impl Server {
    pub(super) fn client_call(&mut self, badge: u64, token: Token, message: &Message) {
        let caps = received(message);
        let refuse = |refusal| pack(&NetReply::Refused(refusal), &[]);
        let reply = match unpack::<NetRequest>(message) {
            Ok(NetRequest::Open { hello, len }) => {
                return self.open(badge, token, &hello, len, caps);
            }
            Ok(NetRequest::Derive { policy }) => match self.stack.derive(badge, &policy) {
                Ok(derived) => return self.hand_out(token, derived),
                Err(refusal) => refuse(refusal),
            },
            Ok(NetRequest::RevokeDerived) => {
                self.stack.revoke_derived(badge);
                pack(&NetReply::Done, &[])
            }
            Err(error) => {
                self.stack.complain(badge, &error);
                refuse(Refusal::BadRequest)
            }
        };
        self.reply(token, &reply);
    }

    fn reply(&self, token: Token, message: &Message) {
        // It fails only if the caller waits no longer.
        let _ = self.net.reply(token, message);
    }

    /// Answers with a capability of a new badge.
    fn hand_out(&self, token: Token, badge: u64) {
        let reply = match self.net.client(badge) {
            Ok(endpoint) => {
                let reply = pack(&NetReply::Derived, &[endpoint.slot()]);
                // The caller's copy stays when this one goes.
                self.reply(token, &reply);
                return;
            }
            Err(error) => {
                log::error!("can't make a capability: {error}");
                pack(&NetReply::Refused(Refusal::Exhausted), &[])
            }
        };
        self.reply(token, &reply);
    }

    fn open(&mut self, badge: u64, token: Token, hello: &Hello, len: u32, caps: [Option<Cap>; 4]) {
        match self.try_open(badge, hello, len, caps) {
            Ok((client, sockets)) => {
                let opened = NetReply::Opened {
                    max_sockets: sockets,
                };
                let reply = pack(&opened, &[client.given.slot()]);
                let told = self.net.reply(token, &reply);
                // If the client is gone by now, the watch says so at once.
                let watched =
                    told.and_then(|()| rt::watch(client.given.slot(), &self.events, GONE));
                if watched.is_err() {
                    self.stack.close_session(client.session);
                    return;
                }
                log::debug!("client {badge} opened a session of {len} bytes");
                self.clients.push(client);
            }
            Err(refusal) => self.reply(token, &pack(&NetReply::Refused(refusal), &[])),
        }
    }

    fn try_open(
        &mut self,
        badge: u64,
        hello: &Hello,
        len: u32,
        caps: [Option<Cap>; 4],
    ) -> Result<(Client, u16), Refusal> {
        let [Some(memory), Some(bell), ..] = caps else {
            return Err(Refusal::BadRequest);
        };
        let memory = Memory::from_raw(memory.into_raw())
            .map(Prot::READ | Prot::WRITE)
            .map_err(|error| {
                self.stack
                    .complain(badge, &format_args!("session memory: {error}"));
                Refusal::BadRequest
            })?;
        let window = memory
            .shm()
            .part(0, len as usize)
            .ok_or(Refusal::BadRequest)?;
        let bell = self.bell(bell);
        let (session, sockets) = self.stack.open(badge, hello, window, bell)?;
        let Ok(given) = self.events.doorbell(1 << session.bell()) else {
            self.stack.close_session(session);
            return Err(Refusal::Exhausted);
        };
        let client = Client {
            session,
            badge,
            given,
            _memory: memory,
        };
        Ok((client, sockets))
    }
}
