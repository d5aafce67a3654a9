//! A TCP connection: the engine's socket on one side, a client's FIFOs on the other.
//!
//! It outlives its client: what a client has written before it closes is still sent, for a bounded time.

mod ingress;

use crate::{
    Instant,
    engine::{Acknowledging, TcpSocket, TcpState},
    session::Owner,
    slab::Id,
    turn::{Context, Turn},
};
use alloc::boxed::Box;
use core::{cmp::Ordering, net::SocketAddr, time::Duration};
use ipc_proto::{
    fifo::{PeerError, Status, StreamEnds},
    socket::{NetError, Reply, RequestId},
};

/// Local and remote address: names a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FlowKey {
    /// Own address.
    pub(crate) local: SocketAddr,
    /// The peer's.
    pub(crate) remote: SocketAddr,
}

impl FlowKey {
    fn ports(&self) -> u32 {
        u32::from(self.remote.port()) << 16 | u32::from(self.local.port())
    }
}

impl Ord for FlowKey {
    /// Ports first: they are compared at once, and hardly ever are they equal.
    fn cmp(&self, other: &Self) -> Ordering {
        let addresses = |key: &Self| (key.remote.ip(), key.local.ip());
        self.ports()
            .cmp(&other.ports())
            .then_with(|| addresses(self).cmp(&addresses(other)))
    }
}

impl PartialOrd for FlowKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Bytes that one turn moves in each direction.
const TURN_BYTES: usize = 64 * 1024;
/// Frames that one turn sends.
const TURN_FRAMES: u32 = 32;
/// Time for a connection without a client to send what is left, and to end.
const LINGER: Duration = Duration::from_secs(60);
/// Time for a reset to find its neighbour.
const LINGER_RESET: Duration = Duration::from_secs(3);
/// Time for a client to end its direction behind the peer's: then one segment answers the peer's FIN and carries its own. As
/// long as other acknowledgments are held back.
const ANSWER_DELAY: Duration = Duration::from_millis(10);
/// A peer that does not answer an attempt to connect for so long is not there, unless the client says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that acknowledges nothing for so long is gone, unless the client says otherwise.
const USER_TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Timeout {
    Default,
    After(Duration),
    Never,
}

/// A connection.
pub(crate) struct Connection {
    tcp: TcpSocket,
    /// Its addresses.
    pub(crate) key: FlowKey,
    /// The client's socket, if it has one.
    pub(crate) owner: Option<Owner>,
    /// The listener whose backlog it waits in.
    pub(crate) backlog_of: Option<Id>,
    /// The sequence number of its SYN.
    isn: u32,
    /// That of the peer's, once it is known.
    peer_isn: Option<u32>,
    /// The sequence number behind everything that was sent.
    sent: u32,
    /// Changes with each repeated acknowledgment of all but the FIN.
    told_twice: bool,
    /// What the peer has acknowledged, while it has no room for more.
    shut: Option<u32>,
    /// Until when the peer's FIN is left unanswered.
    answer_at: Option<Instant>,
    ends: Option<StreamEnds>,
    told: Status,
    status: Status,
    shutdown: bool,
    closing: Option<RequestId>,
    linger: Option<Instant>,
    timeout: Timeout,
    keep_alive: Option<Duration>,
    /// When the peer was last heard, or something began to wait for it.
    heard: Instant,
    pending: bool,
    before: TcpState,
    last_ack: Option<Box<[u8]>>,
}

impl Connection {
    /// A connection around a socket, with the sequence numbers of its SYN and of the peer's, if that has come.
    pub(crate) fn new(
        mut tcp: TcpSocket,
        key: FlowKey,
        (isn, peer_isn): (u32, Option<u32>),
        now: Instant,
    ) -> Connection {
        tcp.set_no_delay(false);
        let before = tcp.state();
        Connection {
            tcp,
            key,
            owner: None,
            backlog_of: None,
            isn,
            peer_isn,
            sent: isn.wrapping_add(1),
            told_twice: false,
            shut: None,
            answer_at: None,
            ends: None,
            told: Status::default(),
            status: Status::default(),
            shutdown: false,
            closing: None,
            linger: None,
            timeout: Timeout::Default,
            keep_alive: None,
            heard: now,
            pending: false,
            before,
            last_ack: None,
        }
    }

    /// Gives it to a client.
    pub(crate) fn adopt(&mut self, owner: Owner, ends: StreamEnds) {
        self.owner = Some(owner);
        self.backlog_of = None;
        self.ends = Some(ends);
    }

    /// The socket.
    pub(crate) fn socket(&self) -> &TcpSocket {
        &self.tcp
    }

    /// The last acknowledgment sent, if the connection only waits for old segments to die out.
    pub(crate) fn time_wait(&mut self) -> Option<Box<[u8]>> {
        (self.tcp.state() == TcpState::TimeWait)
            .then(|| self.last_ack.take())
            .flatten()
    }

    /// Its socket, to be used again, if it has ended in order: everything was acknowledged.
    pub(crate) fn into_spare(self) -> Option<TcpSocket> {
        let has_ended = matches!(self.tcp.state(), TcpState::Closed | TcpState::TimeWait);
        let in_order = self.status.error.is_none() && self.tcp.unacknowledged() == 0;
        (has_ended && in_order).then_some(self.tcp)
    }

    /// Learns from a change of state why a connection ended. Called behind every step of the engine.
    fn note_state(&mut self, ingress: bool) {
        let state = self.tcp.state();
        if state == TcpState::Closed && self.before != state && self.status.error.is_none() {
            self.status.error = match self.before {
                TcpState::SynSent if ingress => Some(NetError::ConnectionRefused),
                TcpState::LastAck | TcpState::TimeWait | TcpState::Closed => None,
                _ if ingress => Some(NetError::ConnectionReset),
                // The engine ends a connection by itself only when its address is gone.
                _ => Some(NetError::ConnectionAborted),
            };
        }
        if !matches!(
            state,
            TcpState::Closed | TcpState::Listen | TcpState::SynSent | TcpState::SynReceived
        ) {
            self.status.established = true;
        }
        self.before = state;
    }

    /// Whether it has ended, though perhaps not for its client.
    pub(crate) fn has_ended(&self) -> bool {
        self.tcp.state() == TcpState::Closed
    }

    /// Whether it has ended and holds nothing to read.
    pub(crate) fn is_dead(&self) -> bool {
        self.tcp.state() == TcpState::Closed && self.tcp.received() == 0
    }

    /// Whether it was established, now or earlier.
    pub(crate) fn is_established(&self) -> bool {
        self.status.established
    }

    /// Whether the client has closed it already.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Ends the sending direction behind what is in the FIFO.
    pub(crate) fn shutdown(&mut self) {
        self.shutdown = true;
    }

    /// Sends small segments at once, or not.
    pub(crate) fn set_no_delay(&mut self, on: bool) {
        self.tcp.set_no_delay(on);
    }

    /// Probes the peer when idle.
    pub(crate) fn set_keep_alive(&mut self, interval: Option<Duration>) {
        self.keep_alive = interval;
        self.tcp.set_keep_alive(interval);
    }

    /// How long the peer may be silent while something waits for it.
    pub(crate) fn set_timeout(&mut self, after: Option<Duration>) {
        self.timeout = after.map_or(Timeout::Never, Timeout::After);
    }

    /// Time to live.
    pub(crate) fn set_hop_limit(&mut self, hops: u8) {
        self.tcp.set_hop_limit(hops);
    }

    /// The client closes it: with a reset, or behind what it has written. The next turn answers.
    pub(crate) fn close(&mut self, id: RequestId, abort: bool, now: Instant) {
        self.closing = Some(id);
        if abort {
            self.reset(now);
        }
    }

    /// Gives up to connect, if it still tries to, with a SYN of this sequence number. False if not.
    pub(crate) fn fail_to_connect(&mut self, isn: u32, error: NetError, now: Instant) -> bool {
        let fails = self.tcp.state() == TcpState::SynSent && self.isn == isn;
        if fails {
            self.status.error.get_or_insert(error);
            self.reset(now);
        }
        fails
    }

    /// The machine stood still for so long, up to now: the peer could not be heard, and gets its time again.
    pub(crate) fn stood_still(&mut self, time: Duration, now: Instant) {
        self.heard = now;
        self.linger = self.linger.map(|at| at.after(time));
    }

    /// Ends it with a reset.
    pub(crate) fn reset(&mut self, now: Instant) {
        if self.tcp.state() != TcpState::Closed {
            self.status.error.get_or_insert(NetError::ConnectionAborted);
            self.tcp.abort();
        }
        self.before = self.tcp.state();
        self.linger = Some(now.after(LINGER_RESET));
    }

    /// The client is gone: takes over what is in its FIFO as far as it fits, and lets go of its memory.
    pub(crate) fn orphan(&mut self, now: Instant) {
        // A FIFO that makes no sense has nothing more to say.
        let _ = self.take_from_client(&mut Turn::default());
        self.ends = None;
        self.owner = None;
        self.backlog_of = None;
        self.closing = None;
        if self.tcp.received() > 0 {
            // Bytes that nobody will read: the peer must not believe otherwise (RFC 2525 section 2.17).
            self.reset(now);
        } else {
            self.let_go(now);
        }
    }

    fn let_go(&mut self, now: Instant) {
        self.tcp.close();
        self.before = self.tcp.state();
        self.linger.get_or_insert(now.after(LINGER));
    }

    /// Moves bytes both ways, sends what can be sent, tells the client what is new.
    ///
    /// # Errors
    /// [`PeerError`] if the client's FIFO indices make no sense.
    pub(crate) fn turn(&mut self, context: &mut Context<'_>) -> Result<Turn, PeerError> {
        let mut turn = Turn::default();
        self.expire(context.now);
        self.take_from_client(&mut turn)?;
        self.give_to_client(&mut turn)?;
        self.end_sending(&mut turn, context.now)?;
        self.egress(context, &mut turn);
        self.tell(&mut turn);
        self.plan(context, &mut turn);
        Ok(turn)
    }

    fn take_from_client(&mut self, turn: &mut Turn) -> Result<(), PeerError> {
        let Some(ends) = &mut self.ends else {
            return Ok(());
        };
        let mut moved = 0usize;
        while moved < TURN_BYTES && self.tcp.can_send() {
            let reader = &mut ends.reader;
            let taken = self.tcp.send(|room| reader.read(room))?;
            if taken == 0 {
                break;
            }
            moved = moved.saturating_add(taken);
        }
        turn.raise |= ends.reader.tells_room();
        turn.more |= moved >= TURN_BYTES;
        Ok(())
    }

    fn give_to_client(&mut self, turn: &mut Turn) -> Result<(), PeerError> {
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
        while moved < TURN_BYTES && self.tcp.received() > 0 {
            let writer = &mut ends.writer;
            let given = self.tcp.receive(|bytes| writer.write(bytes))?;
            if given == 0 {
                break;
            }
            moved = moved.saturating_add(given);
        }
        turn.raise |= moved > 0;
        turn.more |= moved >= TURN_BYTES;
        if self.tcp.received() == 0
            && (self.tcp.at_end() || self.tcp.state() == TcpState::Closed)
            && (self.status.established || self.status.error.is_some())
        {
            self.status.peer_closed = true;
        }
        Ok(())
    }

    /// FIN behind the last byte of the FIFO; the answer to a close when the FIFO is empty or can't be sent.
    fn end_sending(&mut self, turn: &mut Turn, now: Instant) -> Result<(), PeerError> {
        if !self.shutdown && self.closing.is_none() {
            return Ok(());
        }
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
                turn.released = true;
                turn.replies.push(Reply::Closed { id });
                self.let_go(now);
            }
        } else if drained && self.status.established {
            self.tcp.close();
            self.before = self.tcp.state();
        }
        Ok(())
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

    fn egress(&mut self, context: &mut Context<'_>, turn: &mut Turn) {
        if !context.may_send || self.holds_bytes() || self.awaits_client(context.now) {
            return;
        }
        while turn.frames < TURN_FRAMES {
            self.before = self.tcp.state();
            let mut sink = Acknowledging {
                sink: context.frames,
                next: self.acknowledges_at(),
            };
            let sent = context.engine.egress(context.now, &mut self.tcp, &mut sink);
            self.note_state(false);
            if sent.frames == 0 {
                break;
            }
            turn.frames = turn.frames.saturating_add(sent.frames);
            if context.engine.asked_for_neighbor() {
                turn.stalled.push(self.key.remote.ip());
                break;
            }
            self.note_sent(context.engine);
            self.note_ack(context.engine);
        }
        turn.more |= turn.frames >= TURN_FRAMES;
    }

    fn tell(&mut self, turn: &mut Turn) {
        if self.status != self.told
            && let Some(ends) = &mut self.ends
        {
            ends.status.store(self.status);
            self.told = self.status;
            turn.raise = true;
        }
    }

    /// Whether something waits for the peer.
    fn waits_for_peer(&self) -> bool {
        self.tcp.unacknowledged() > 0
            || matches!(
                self.tcp.state(),
                TcpState::SynSent
                    | TcpState::SynReceived
                    | TcpState::FinWait1
                    | TcpState::Closing
                    | TcpState::LastAck
            )
    }

    fn give_up_at(&self) -> Option<Instant> {
        let wait = match self.timeout {
            Timeout::Never => return None,
            Timeout::After(wait) => wait,
            Timeout::Default if self.tcp.state() == TcpState::SynSent => CONNECT_TIMEOUT,
            Timeout::Default => USER_TIMEOUT,
        };
        match self.keep_alive {
            // Some probes may be lost.
            Some(interval) => Some(self.heard.after(wait.max(interval.saturating_mul(4)))),
            None => self.pending.then(|| self.heard.after(wait)),
        }
    }

    /// Starts the clock when something begins to wait for the peer.
    fn note_pending(&mut self, now: Instant) {
        let pending = self.waits_for_peer();
        if pending && !self.pending {
            self.heard = now;
        }
        self.pending = pending;
    }

    /// Gives up what waited too long.
    fn expire(&mut self, now: Instant) {
        self.note_pending(now);
        let is_open = self.tcp.state() != TcpState::Closed;
        if is_open && self.give_up_at().is_some_and(|at| at <= now) {
            self.status.error.get_or_insert(NetError::TimedOut);
            self.reset(now);
        }
        if self.owner.is_none() && is_open && self.linger.is_some_and(|at| at <= now) {
            self.reset(now);
        }
    }

    fn plan(&mut self, context: &mut Context<'_>, turn: &mut Turn) {
        let mut deadline = if self.holds_bytes() {
            None
        } else {
            context.wake_at(&mut self.tcp, turn)
        };
        let is_orphan = self.backlog_of.is_none() && (self.owner.is_none() || turn.released);
        let closed = self.tcp.state() == TcpState::Closed;
        if is_orphan {
            let given_up = closed && self.linger.is_none_or(|at| at <= context.now);
            turn.finished = closed && deadline.is_none() && !turn.starved && context.may_send
                || given_up
                || self.tcp.state() == TcpState::TimeWait && self.last_ack.is_some();
        }
        if turn.frames == 0
            && context.may_send
            && (self.waits_for_peer() || closed)
            && deadline.is_some_and(|at| at <= context.now.after(Duration::from_secs(1)))
        {
            turn.stalled.push(self.key.remote.ip());
        }
        self.note_pending(context.now);
        let others = [
            self.give_up_at().filter(|_| !closed),
            self.linger.filter(|_| is_orphan),
        ];
        for other in others.into_iter().flatten() {
            deadline = Some(deadline.map_or(other, |at| at.min(other)));
        }
        turn.deadline = deadline;
    }
}
