//! A connection's turn: bytes between the client's FIFOs and the engine's socket, what the engine sends, what the client is told, and when to
//! look again. Touches the connection, and the engine through it.

use super::Connection;
use crate::{
    Instant,
    engine::{Acknowledging, Glance, TcpState},
    turn::{Context, Turn},
};
use core::time::Duration;
use ipc_proto::fifo::PeerError;

/// Bytes that one turn moves in each direction.
const TURN_BYTES: usize = 64 * 1024;
/// Frames that one turn sends.
pub(super) const TURN_FRAMES: u32 = 32;
/// The engine (smoltcp 0.14) waits no less for an acknowledgment, ...
pub(super) const LEAST_RTO: Duration = Duration::from_secs(1);
/// ... and holds back one of its own for so long, ...
const ACK_DELAY: Duration = Duration::from_millis(10);
/// ... of fewer bytes than the least segment of a peer that tells none.
const LITTLE: u32 = 536;

impl Connection {
    /// Moves bytes both ways, sends what can be sent, tells the client what is new.
    ///
    /// # Errors
    /// [`PeerError`] if the client's FIFO indices make no sense.
    #[inline(never)]
    pub(crate) fn turn(
        &mut self,
        context: &mut Context<'_>,
        turn: &mut Turn,
    ) -> Result<(), PeerError> {
        self.hear_kept(context);
        let mut glance = self.tcp.glance();
        if self.expire(context.now, &glance) {
            glance = self.tcp.glance();
        }
        let has_written = match &mut self.ends {
            Some(ends) => {
                turn.raise |= ends.reader.tells_room();
                !ends.reader.is_empty()?
            }
            None => false,
        };
        if has_written && self.direct.is_none() {
            self.begin_to_fly(context);
        }
        if has_written
            && !self.tcp.has_flown()
            && self.may_send_past(&glance, context)
            && let Some(at) = self.send_past(context, turn, &glance)?
        {
            turn.deadline = Some(at);
            self.is_calm = true;
            return Ok(());
        }
        let flies = has_written && self.may_be_aloft(&glance, context);
        if flies && self.fly(context, turn, &glance)? {
            return Ok(());
        }
        if self.tcp.aloft() > 0 {
            self.ground();
            glance = self.tcp.glance();
        }
        let settled = (glance.unacknowledged == 0).then_some(self.sent);
        let taken = match has_written && !(flies && self.drains(context, &glance)?) {
            true => self.take_from_client(turn)?,
            false => 0,
        };
        self.give_to_client(turn, &glance)?;
        let ends = self.end_sending(turn, context.now)?;
        if self.tells_room() {
            self.look_for_room()?;
        }
        let asked = self.egress(context, turn, (settled, taken), ends);
        if self.owes() {
            self.acknowledge(context, turn);
        }
        self.tell(turn);
        self.plan(context, turn, asked);
        Ok(())
    }

    /// How many bytes were taken.
    pub(super) fn take_from_client(&mut self, turn: &mut Turn) -> Result<usize, PeerError> {
        let Some(ends) = &mut self.ends else {
            return Ok(0);
        };
        let mut moved = 0usize;
        while moved < TURN_BYTES && !ends.reader.is_empty()? && self.tcp.can_send() {
            let (reader, mut offered) = (&mut ends.reader, 0);
            let taken = self.tcp.send(|room| {
                offered = room.len();
                reader.read(room)
            })?;
            moved = moved.saturating_add(taken);
            // It has looked then for as much as there is room for, and what came behind that look has an event of its own.
            if taken < offered || taken == 0 {
                break;
            }
        }
        turn.raise |= ends.reader.tells_room();
        turn.more |= moved >= TURN_BYTES;
        Ok(moved)
    }

    fn give_to_client(&mut self, turn: &mut Turn, glance: &Glance) -> Result<(), PeerError> {
        let Some(ends) = &mut self.ends else {
            if self.owner.is_none() && self.backlog_of.is_none() {
                // Nobody reads: the window must stay open until the peer has sent its FIN.
                while self.tcp.received() > 0 {
                    let Ok(taken) = self.tcp.receive(|bytes| Ok::<_, PeerError>(bytes.len()))
                    else {
                        break;
                    };
                    if taken == 0 {
                        break;
                    }
                }
            }
            return Ok(());
        };
        let mut moved = 0usize;
        while moved < TURN_BYTES && moved < glance.received {
            let writer = &mut ends.writer;
            let given = self.tcp.receive(|bytes| writer.write(bytes))?;
            if given == 0 {
                break;
            }
            moved = moved.saturating_add(given);
        }
        turn.raise |= moved > 0;
        turn.more |= moved >= TURN_BYTES;
        if moved >= glance.received
            && glance.state != TcpState::Established
            && (self.tcp.at_end() || glance.state == TcpState::Closed)
            && (self.status.established || self.status.error.is_some())
        {
            self.status.peer_closed = true;
        }
        Ok(())
    }

    /// FIN behind the last byte of the FIFO; the answer to a close when the FIFO is empty or can't be sent. True if a FIN is to be sent now.
    fn end_sending(&mut self, turn: &mut Turn, now: Instant) -> Result<bool, PeerError> {
        if !self.shutdown && self.closing.is_none() {
            return Ok(false);
        }
        let before = self.tcp.state();
        let is_over = matches!(
            self.tcp.state(),
            TcpState::Closed | TcpState::SynSent | TcpState::TimeWait
        );
        let drained = match &mut self.ends {
            Some(ends) => ends.reader.available()? == 0,
            None => true,
        };
        if let Some(id) = self.closing {
            if drained || is_over {
                self.closing = None;
                self.ends = None;
                turn.released = Some(id);
                self.let_go(now);
            }
        } else if drained && self.status.established {
            self.tcp.close();
            self.before = self.tcp.state();
        }
        Ok(before != self.tcp.state())
    }

    /// Whether it only waits for old segments to die out, and its client has yet to take bytes: the engine's socket forgets them
    /// when that time is over, so it does not hear of it before they are taken.
    fn holds_bytes(&self) -> bool {
        self.tcp.state() == TcpState::TimeWait
            && self.last_ack.is_some()
            && self.ends.is_some()
            && self.tcp.received() > 0
    }

    /// Whether all that could be said is that the peer's FIN has come, and the client may end its direction in a moment.
    fn awaits_client(&self, now: Instant) -> bool {
        self.tcp.state() == TcpState::CloseWait
            && self.tcp.unacknowledged() == 0
            && self.owner.is_some()
            && self.answer_at.is_some_and(|at| now < at)
    }

    /// Sends what can be sent. If it is known by then when the engine wants to be looked at again: that.
    ///
    /// `taken`: bytes that are new to send. Without, the engine is asked before it looks for something, which is less work. `settled`: what had
    /// been sent before them, if all of it was acknowledged. `ends`: a FIN is new, too.
    fn egress(
        &mut self,
        context: &mut Context<'_>,
        turn: &mut Turn,
        (settled, taken): (Option<u32>, usize),
        ends: bool,
    ) -> Option<Option<Instant>> {
        let state = self.tcp.state();
        let is_held = match state {
            TcpState::TimeWait => self.holds_bytes(),
            TcpState::CloseWait => self.awaits_client(context.now),
            _ => false,
        };
        if is_held && self.tcp.quiet().is_some() {
            return Some(self.answer_at);
        }
        if is_held || !context.may_send {
            return None;
        }
        // The engine ends a connection whose address is gone when it looks for something to send.
        let epoch = context.engine.epoch();
        let has_moved = core::mem::replace(&mut self.epoch, epoch) != epoch;
        let mut is_due = taken > 0 || ends || has_moved;
        self.before = state;
        match self.tcp.flies_since() {
            // The engine is told of a segment that was sent without it when that may have to be sent again.
            Some(since) if !is_due && since.after(LEAST_RTO) > context.now => {
                return Some(Some(since.after(LEAST_RTO)));
            }
            None if taken == 0 && !has_moved => {
                if let Some(at) = self.quiet_egress(context, turn) {
                    return Some(at);
                }
            }
            _ => {}
        }
        while turn.frames < TURN_FRAMES {
            if !is_due {
                let settled = settled.map(|sent| sent.wrapping_add(taken as u32));
                if settled == Some(self.sent)
                    && let Some(at) = self.rests_until(context.now)
                {
                    #[cfg(any(test, feature = "testing"))]
                    self.check_rest(context, at);
                    return Some(at);
                }
                let at = context.engine.poll_at(context.now, &mut self.tcp);
                if at.is_none_or(|at| at > context.now) {
                    return Some(at);
                }
            }
            is_due = false;
            let mut sink = Acknowledging {
                sink: context.frames,
                next: self.acknowledges_at(),
            };
            let sent = context.engine.egress(context.now, &mut self.tcp, &mut sink);
            self.note_state(false);
            self.may_wait = sent.frames == 0;
            if sent.frames == 0 {
                break;
            }
            turn.frames = turn.frames.saturating_add(sent.frames);
            if context.engine.asked_for_neighbor() {
                self.may_wait = true;
                turn.stalled.push(self.key.remote.ip());
                break;
            }
            self.note_sent(context.engine, context.frames);
            self.note_ack(context.engine, context.frames);
        }
        turn.more |= turn.frames >= TURN_FRAMES;
        None
    }

    /// When the engine wants to be looked at again, if that can be told without asking it: with each request and answer it is asked twice
    /// otherwise, for a good part of what a turn takes. All that was taken from the client has been sent, and there was nothing
    /// unacknowledged in front of it.
    fn rests_until(&self, now: Instant) -> Option<Option<Instant>> {
        let glance = self.tcp.glance();
        if glance.state != TcpState::Established || self.keep_alive.is_some() {
            return None;
        }
        let next = self.tcp.next_at(&glance, self.peer_isn?);
        let owed = next.wrapping_sub(self.acked);
        if glance.unacknowledged > 0 {
            // Its timer was started just now, and what it sent has acknowledged all.
            return (owed == 0).then(|| Some(now.after(LEAST_RTO)));
        }
        if self.direct.is_some() && glance.received == 0 && owed > 0 {
            // It has nothing to say of what went past it. Else its clock may still stand where it was before that.
            return self.is_settled.then_some(None);
        }
        // A window of which most was offered needs no update after so few bytes, and they no acknowledgment at once.
        let is_little = owed <= LITTLE && owed as usize <= self.tcp.receive_capacity() / 8;
        let rests = is_little && self.was_roomy && glance.received == 0;
        let at = (owed > 0).then(|| self.owes_since.after(ACK_DELAY));
        (rests && at.is_none_or(|at| at > now)).then_some(at)
    }

    /// Panics if the engine wants to be looked at earlier than was told without asking it.
    #[cfg(any(test, feature = "testing"))]
    fn check_rest(&mut self, context: &mut Context<'_>, told: Option<Instant>) {
        if self.tcp.has_late_window() {
            // To ask it would be to tell it.
            return;
        }
        if self.may_wait && told.is_none() {
            // While it waits for a neighbour, it wants to be looked at when that is asked for again, also if it has nothing to send any more.
            return;
        }
        let at = context.engine.poll_at(context.now, &mut self.tcp);
        // It counts in microseconds.
        let counted = |told: Instant| Instant::from_nanos(told.nanos().saturating_sub(1000));
        let is_early = at.is_some_and(|at| told.is_none_or(|told| at < counted(told)));
        assert!(
            !is_early,
            "told {told:?}, wanted {at:?} at {:?}",
            context.now
        );
    }

    pub(super) fn tell(&mut self, turn: &mut Turn) {
        if self.status != self.told
            && let Some(ends) = &mut self.ends
        {
            ends.status.store(self.status);
            self.told = self.status;
            turn.raise = true;
        }
    }

    /// `asked`: when the engine wants to be looked at again, if it has been asked already.
    fn plan(&mut self, context: &mut Context<'_>, turn: &mut Turn, asked: Option<Option<Instant>>) {
        let mut deadline = match asked {
            Some(at) => context.wake_then(at, turn),
            None if self.holds_bytes() => None,
            None => context.wake_at(&mut self.tcp, turn),
        };
        let is_orphan =
            self.backlog_of.is_none() && (self.owner.is_none() || turn.released.is_some());
        let glance = self.tcp.glance();
        let state = glance.state;
        let closed = state == TcpState::Closed;
        self.note_pending(context.now, &glance);
        if is_orphan {
            let given_up = closed && self.linger.is_none_or(|at| at <= context.now);
            turn.finished = closed && deadline.is_none() && !turn.starved && context.may_send
                || given_up
                || state == TcpState::TimeWait && self.last_ack.is_some();
        }
        if turn.frames == 0
            && context.may_send
            && (self.pending || closed)
            && deadline.is_some_and(|at| at <= context.now.after(Duration::from_secs(1)))
        {
            turn.stalled.push(self.key.remote.ip());
        }
        let others = [
            self.give_up_at().filter(|_| !closed),
            self.linger.filter(|_| is_orphan),
            self.acknowledges_by(context.now),
        ];
        for other in others.into_iter().flatten() {
            deadline = Some(deadline.map_or(other, |at| at.min(other)));
        }
        turn.deadline = deadline;
        self.is_calm = self.direct.is_some() && self.rests(context, turn, state);
    }
}
