//! What the holders of one capability of the manifest take together, over all sessions that they open with it and with what
//! they derive from it. So nobody gets more by opening often, or by dividing what he has. Touches nothing else.

use crate::{
    Instant,
    policy::Bucket,
    stack::{SessionId, Stack},
};
use ipc_proto::policy::Policy;

/// Sessions open at once.
const MAX_SESSIONS: u32 = 16;

/// An account.
pub(crate) struct Account {
    /// Sessions open.
    pub(crate) sessions: u32,
    /// Bytes of the stack's memory that flows take, those without a client too.
    pub(crate) memory: u32,
    max_memory: u32,
    /// Its rate of packets.
    pub(crate) bucket: Bucket,
}

/// Who pays for a flow's memory, and how much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Charge {
    /// The session, as long as it is there.
    pub(crate) session: SessionId,
    /// The account.
    pub(crate) root: u64,
    /// How much.
    pub(crate) bytes: u32,
    /// Whether the account has a rate of packets.
    pub(crate) is_limited: bool,
}

impl Account {
    fn new(policy: &Policy, now: Instant) -> Account {
        Account {
            sessions: 0,
            memory: 0,
            max_memory: policy.max_buffer_bytes,
            bucket: Bucket::new(policy.packets_per_second, now),
        }
    }

    /// Bytes that it may still take.
    pub(crate) fn memory_left(&self) -> u32 {
        self.max_memory.saturating_sub(self.memory)
    }
}

impl Stack {
    /// Notes that a session is opened with a badge. The account, unless that has too many, or the badge is unknown.
    pub(crate) fn open_account(&mut self, badge: u64) -> Option<u64> {
        let (root, policy) = self.policies.root(badge)?;
        let account = self
            .accounts
            .entry(root)
            .or_insert_with(|| Account::new(policy, self.now));
        if account.sessions >= MAX_SESSIONS {
            return None;
        }
        account.sessions = account.sessions.saturating_add(1);
        Some(root)
    }

    /// A session of an account has ended.
    pub(crate) fn close_account(&mut self, root: u64) {
        if let Some(account) = self.accounts.get_mut(&root) {
            account.sessions = account.sessions.saturating_sub(1);
        }
        self.forget_account(root);
    }

    /// A flow begins to take memory.
    pub(crate) fn charge(&mut self, session: SessionId, bytes: u32) -> Option<Charge> {
        self.memory_used = self.memory_used.saturating_add(bytes as usize);
        self.spares
            .shrink(self.config.max_memory.saturating_sub(self.memory_used));
        let holder = self.sessions.get_mut(session)?;
        holder.memory_used = holder.memory_used.saturating_add(bytes);
        let root = holder.root;
        let account = self.accounts.get_mut(&root)?;
        account.memory = account.memory.saturating_add(bytes);
        Some(Charge {
            session,
            root,
            bytes,
            is_limited: account.bucket.is_limited(),
        })
    }

    /// A flow gives back what it took.
    pub(crate) fn discharge(&mut self, charge: Charge) {
        self.memory_used = self.memory_used.saturating_sub(charge.bytes as usize);
        if let Some(session) = self.sessions.get_mut(charge.session) {
            session.memory_used = session.memory_used.saturating_sub(charge.bytes);
        }
        if let Some(account) = self.accounts.get_mut(&charge.root) {
            account.memory = account.memory.saturating_sub(charge.bytes);
        }
        self.forget_account(charge.root);
    }

    fn forget_account(&mut self, root: u64) {
        if self
            .accounts
            .get(&root)
            .is_some_and(|account| account.sessions == 0 && account.memory == 0)
        {
            self.accounts.remove(&root);
        }
    }

    /// Bytes that a session may still take: of its own, and of what it shares with others of its account.
    pub(crate) fn memory_left(&self, session: SessionId) -> u32 {
        let Some(session) = self.sessions.get(session) else {
            return 0;
        };
        let own = session
            .policy
            .max_buffer_bytes
            .saturating_sub(session.memory_used);
        let account = self.accounts.get(&session.root);
        own.min(account.map_or(0, Account::memory_left))
    }

    /// Whether a session, and the stack, have room for so many more bytes of buffers.
    pub(crate) fn has_memory(&self, session: SessionId, bytes: u32) -> bool {
        bytes <= self.memory_left(session)
            && self.memory_used.saturating_add(bytes as usize) <= self.config.max_memory
    }
}
