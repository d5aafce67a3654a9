//! All sessions, and which of them a pass has to look at: those whose doorbell was heard, and those that are to be told something. The
//! others cost a pass nothing, however many they are. Touches the sessions' channels.
//!
//! A session is left alone once its client has been promised to be heard when it rings ([`Session::prepare_sleep`]) and has had nothing to
//! say behind that. The promise holds over any number of passes. A client that then speaks without ringing harms nobody but itself.

use super::Session;
use crate::slab::{Id, Slab};
use alloc::vec::Vec;
use ipc_proto::{fifo::PeerError, socket::Reply};

/// The doorbells of sessions; where there are more sessions, some share one.
pub(crate) const BELLS: u32 = 56;

/// All sessions.
pub(crate) struct Sessions {
    all: Slab<Session>,
    /// Those to look at, each once.
    awake: Vec<Id>,
    /// Those to be told something, each once.
    told: Vec<Id>,
    /// Who comes first among those to look at: another one each time.
    first: usize,
}

impl Sessions {
    /// None.
    pub(crate) const fn new() -> Sessions {
        Sessions {
            all: Slab::new(),
            awake: Vec::new(),
            told: Vec::new(),
            first: 0,
        }
    }

    /// Adds a session, to be looked at.
    pub(crate) fn insert(&mut self, session: Session) -> Id {
        let id = self.all.insert(session);
        self.wake(id);
        id
    }

    /// Takes a session out.
    pub(crate) fn remove(&mut self, id: Id) -> Option<Session> {
        let session = self.all.remove(id)?;
        self.awake.retain(|awake| *awake != id);
        self.told.retain(|told| *told != id);
        Some(session)
    }

    /// A session.
    pub(crate) fn get(&self, id: Id) -> Option<&Session> {
        self.all.get(id)
    }

    /// A session, to be changed.
    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut Session> {
        self.all.get_mut(id)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id, &Session)> {
        self.all.iter()
    }

    /// The numbers of all.
    pub(crate) fn ids(&self) -> Vec<Id> {
        self.all.ids()
    }

    /// The first one at or behind a position.
    pub(crate) fn at_or_after(&self, position: u32) -> Option<(Id, &Session)> {
        self.all.at_or_after(position)
    }

    fn wake(&mut self, id: Id) {
        if let Some(session) = self.all.get_mut(id)
            && !core::mem::replace(&mut session.is_awake, true)
        {
            session.channel.awake();
            self.awake.push(id);
        }
    }

    /// Doorbells were heard: bit 0 is that of the sessions at positions 0, [`BELLS`] and so on.
    pub(crate) fn heard(&mut self, bells: u64) {
        let mut bells = bells & ((1 << BELLS) - 1);
        while bells != 0 {
            let mut position = bells.trailing_zeros();
            bells &= bells.wrapping_sub(1);
            while position < self.all.positions().end {
                if let Some(id) = self.all.id_at(position) {
                    self.wake(id);
                }
                position = position.saturating_add(BELLS);
            }
        }
    }

    /// Begins to look at those that want something, another one first each time. How many they are.
    pub(crate) fn begin(&mut self) -> usize {
        let count = self.awake.len();
        self.first = self.first.wrapping_add(1);
        if self.first >= count {
            self.first = 0;
        }
        count
    }

    /// The one with this turn.
    pub(crate) fn with_turn(&mut self, turn: usize) -> Option<(Id, &mut Session)> {
        let at = self.first.wrapping_add(turn);
        let before = at.wrapping_sub(self.awake.len());
        let id = *self.awake.get(at).or_else(|| self.awake.get(before))?;
        Some((id, self.all.get_mut(id)?))
    }

    /// A session that is to be told something with the next [`flush`](Self::flush).
    pub(crate) fn tell(&mut self, id: Id) -> Option<&mut Session> {
        let session = self.all.get_mut(id)?;
        if !core::mem::replace(&mut session.is_told, true) {
            self.told.push(id);
        }
        Some(session)
    }

    /// Asks a client to look at a socket.
    pub(crate) fn raise(&mut self, id: Id, index: u16) {
        if let Some(session) = self.tell(id) {
            session.channel.raise(index);
        }
    }

    /// Queues an answer.
    pub(crate) fn reply(&mut self, id: Id, reply: Reply) {
        if let Some(session) = self.tell(id)
            && !session.reply(&reply)
        {
            session.pending.push_back(reply);
        }
    }

    /// Publishes what one of them is to be told, and rings it if it sleeps. Returns `None` when all were told, and whose client broke
    /// the protocol.
    pub(crate) fn flush(&mut self) -> Option<(Id, PeerError)> {
        while let Some(id) = self.told.pop() {
            let Some(session) = self.all.get_mut(id) else {
                continue;
            };
            session.is_told = false;
            if let Err(error) = session.flush() {
                return Some((id, error));
            }
            if !session.pending.is_empty() {
                // It has to be promised that room is noticed too.
                self.wake(id);
            }
        }
        None
    }

    /// Prepares to sleep: from now on those without work are left alone until they ring. False if some have work.
    pub(crate) fn prepare_sleep(&mut self) -> bool {
        let all = &mut self.all;
        self.awake.retain(|id| {
            let session = all.get_mut(*id);
            session.is_some_and(|session| {
                session.is_awake = !session.prepare_sleep();
                session.is_awake
            })
        });
        self.awake.is_empty()
    }

    /// Panics unless those that are listed are those that say so.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) {
        self.all.check();
        for (id, session) in self.iter() {
            let listed = |list: &[Id]| list.iter().filter(|listed| **listed == id).count();
            assert_eq!(listed(&self.awake), usize::from(session.is_awake), "awake");
            assert_eq!(listed(&self.told), usize::from(session.is_told), "told");
            assert!(
                session.is_awake || session.is_told || session.pending.is_empty(),
                "answers"
            );
        }
        let known = |id: &Id| self.get(*id).is_some();
        assert!(self.awake.iter().chain(&self.told).all(known), "no session");
    }
}
