//! The turn of a flow: who lets it send, and what follows from it. Touches the flow, and its session and account.

use super::Flow;
use crate::{
    accounts::Charge,
    session::Owner,
    slab::Id,
    stack::{SessionId, Stack},
    turn::{Context, Turn},
    udp::earlier,
};
use ipc_proto::socket::Reply;

impl Stack {
    /// A flow's turn.
    pub(crate) fn run_flow(&mut self, id: Id) {
        let Some(entry) = self.flows.get_mut(id) else {
            return;
        };
        entry.queued = false;
        let owner = entry.flow.owner();
        let session_id = match &entry.flow {
            Flow::Tcp(_) | Flow::Udp(_) => owner.map(|owner| owner.session),
            other => other.session(),
        };
        let mut session = session_id.and_then(|id| self.sessions.get_mut(id));
        let rate = session
            .as_mut()
            .map_or(Ok(()), |session| session.bucket.check(self.now));
        let account = entry
            .charge
            .filter(|charge| charge.is_limited)
            .and_then(|charge| self.accounts.get_mut(&charge.root));
        // Both have to allow it; the later of two times is found when the first has come.
        let rate = rate.and(account.map_or(Ok(()), |account| account.bucket.check(self.now)));
        let policy = session.map(|session| &session.policy);
        let mut context = Context {
            engine: &mut self.engine,
            frames: &mut self.frames,
            neighbors: &self.neighbors,
            now: self.now,
            may_send: rate.is_ok(),
        };
        let mut turn = Turn::default();
        let done = match &mut entry.flow {
            Flow::Tcp(tcp) => {
                let done = tcp.turn(&mut context, &mut turn);
                // Nobody will ask for it any more.
                turn.finished |= tcp.backlog_of.is_some() && tcp.is_dead();
                done
            }
            Flow::Udp(udp) => {
                let dropped = udp.dropped;
                let done = udp.turn(&mut context, policy, &mut turn);
                let dropped = udp.dropped.saturating_sub(dropped);
                // Also those that were received since the last turn.
                let refused = core::mem::take(&mut udp.refused);
                self.counters.tx_dropped = self.counters.tx_dropped.saturating_add(dropped);
                self.counters.refused = self.counters.refused.saturating_add(refused);
                done
            }
            Flow::Ping(ping) => {
                turn = ping.turn(&mut context);
                Ok(())
            }
            Flow::Lookup(lookup) => {
                turn = lookup.turn(&mut context);
                Ok(())
            }
        };
        let charge = entry.charge;
        match done {
            Ok(()) => {
                if let Err(at) = rate {
                    turn.deadline = earlier(turn.deadline, Some(at));
                }
                self.follow_up(id, (owner, session_id, charge), &mut turn);
            }
            Err(error) => {
                if let Some(session) = session_id {
                    self.violation(session, &error);
                }
            }
        }
    }

    fn follow_up(
        &mut self,
        id: Id,
        (owner, session_id, charge): (Option<Owner>, Option<SessionId>, Option<Charge>),
        turn: &mut Turn,
    ) {
        if turn.frames > 0 {
            self.pay(session_id, charge, turn.frames);
        }
        if let Some(owner) = owner
            && turn.raise
        {
            self.sessions.raise(owner.session, owner.index);
        }
        if turn.released.is_some() || !turn.replies.is_empty() || !turn.stalled.is_empty() {
            self.answer_flow(id, owner, session_id, turn);
        }
        if turn.finished {
            self.remove_flow(id);
            return;
        }
        if turn.more {
            self.wake(id);
        }
        if turn.starved && !self.starved.contains(&id) {
            self.starved.push(id);
        }
        self.timers.set(id, turn.deadline);
    }

    /// Counts frames against the rates of a session and its account.
    fn pay(&mut self, session: Option<SessionId>, charge: Option<Charge>, frames: u32) {
        let charge = charge.filter(|charge| charge.is_limited);
        if let Some(account) = charge.and_then(|charge| self.accounts.get_mut(&charge.root)) {
            account.bucket.take(frames);
        }
        if let Some(session) = session.and_then(|id| self.sessions.get_mut(id)) {
            session.bucket.take(frames);
        }
    }

    /// What few turns lead to: answers, the end of a client's handle, and a neighbour to be found.
    #[inline(never)]
    fn answer_flow(
        &mut self,
        id: Id,
        owner: Option<Owner>,
        session: Option<SessionId>,
        turn: &mut Turn,
    ) {
        if let Some(session) = session {
            for reply in turn.replies.drain(..) {
                self.sessions.reply(session, reply);
            }
        }
        if let Some(request) = turn.released {
            if let Some(owner) = owner
                && let Some(session) = self.sessions.get_mut(owner.session)
            {
                session.free(owner.index);
                let reply = Reply::Closed { id: request };
                self.sessions.reply(owner.session, reply);
            }
            self.abandon(id);
        }
        for to in &turn.stalled {
            self.look_for(*to, id);
        }
    }
}
