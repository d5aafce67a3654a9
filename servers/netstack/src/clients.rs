//! Who may open sessions, and opening, narrowing and ending them.

use crate::{
    Doorbell,
    policy::DeriveError,
    session::Session,
    stack::{SessionId, Stack},
};
use alloc::{boxed::Box, vec::Vec};
use core::fmt;
use ipc_proto::{hello::Hello, policy::Policy, setup::Refusal, shm::Shm};

impl Stack {
    /// Sets what a badge may do, as the manifest says.
    pub fn set_policy(&mut self, badge: u64, policy: Policy) {
        self.policies.set(badge, policy);
    }

    /// A new badge with a narrower policy.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn derive(&mut self, badge: u64, policy: &Policy) -> Result<u64, Refusal> {
        self.policies.derive(badge, policy).map_err(|error| {
            self.counters.refused = self.counters.refused.saturating_add(1);
            match error {
                DeriveError::Denied => Refusal::Denied,
                DeriveError::Exhausted => Refusal::Exhausted,
            }
        })
    }

    /// Ends everything derived from a badge.
    pub fn revoke_derived(&mut self, badge: u64) {
        let gone = self.policies.revoke(badge);
        for id in self.sessions.ids() {
            if self
                .sessions
                .get(id)
                .is_some_and(|session| gone.contains(&session.badge))
            {
                self.end_session(id);
            }
        }
    }

    /// Opens a session for the holder of a badge, in memory that the client shares. Returns the session and how many
    /// sockets it may have.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn open(
        &mut self,
        badge: u64,
        hello: &Hello,
        memory: Shm,
        bell: Box<dyn Doorbell>,
    ) -> Result<(SessionId, u16), Refusal> {
        if let Err(mismatch) = Hello::SOCKET.check(hello) {
            self.complain(badge, &mismatch);
            return Err(Refusal::Mismatch(Hello::SOCKET));
        }
        let Some(policy) = self.policies.get(badge) else {
            self.counters.refused = self.counters.refused.saturating_add(1);
            return Err(Refusal::Denied);
        };
        if self.sessions.len() >= self.config.max_sessions {
            return Err(Refusal::Exhausted);
        }
        let mut session = Session::new(badge, policy.clone(), memory, bell, self.now)
            .ok_or(Refusal::BadRequest)?;
        session.root = self.open_account(badge).ok_or(Refusal::Exhausted)?;
        let sockets = session.max_sockets();
        Ok((self.sessions.insert(session), sockets))
    }

    /// Logs what a client does wrong, unless clients of its account do so all the time.
    pub fn complain(&mut self, badge: u64, what: &dyn fmt::Display) {
        // Badges that nobody knows share one entry, so that there are no more than the manifest has clients.
        let root = self.policies.root(badge).map_or(0, |(root, _)| root);
        match self.complaints.entry(root).or_default().admit(self.now) {
            None => {}
            Some(0) => log::warn!("client {badge}: {what}"),
            Some(out) => log::warn!("client {badge}: {what} (and {out} lines before)"),
        }
    }

    /// Ends a session: its client died. Its sockets are closed, its memory is not touched again.
    pub fn close_session(&mut self, id: SessionId) {
        self.drop_session(id);
    }

    /// Whether [`take_ended`](Self::take_ended) would return any.
    pub fn has_ended_sessions(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Sessions that the stack has ended by itself since the last call: the client broke the protocol, or was revoked.
    pub fn take_ended(&mut self) -> Vec<SessionId> {
        core::mem::take(&mut self.ended)
    }
}
