//! A TCP connection: the engine's socket on one side, a client's FIFOs on the other.
//!
//! It outlives its client: what a client has written before it closes is still sent, for a bounded time.

mod acks;
mod direct;
mod flight;
mod ingress;
mod past;
mod patience;
mod quiet;
mod turn;

use crate::{
    Instant,
    classify::Segment,
    engine::{Offer, TcpSocket, TcpState},
    session::Owner,
    slab::Id,
    turn::Turn,
};
use acks::Acks;
use alloc::boxed::Box;
use core::{net::SocketAddr, time::Duration};
use direct::Direct;
pub(crate) use direct::Source;
pub(crate) use ingress::Arrived;
use ipc_proto::{
    fifo::{Status, StreamEnds},
    socket::{NetError, RequestId},
};
pub(crate) use past::Past;

/// Local and remote address: names a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(any(test, feature = "testing"), derive(PartialOrd, Ord))]
pub(crate) struct FlowKey {
    /// Own address.
    pub(crate) local: SocketAddr,
    /// The peer's.
    pub(crate) remote: SocketAddr,
}

/// Time for a connection without a client to send what is left, and to end.
const LINGER: Duration = Duration::from_secs(60);
/// Time for a reset to find its neighbour.
const LINGER_RESET: Duration = Duration::from_secs(3);
/// Time for a client to end its direction behind the peer's: then one segment answers the peer's FIN and carries its own. As
/// long as other acknowledgments are held back.
const ANSWER_DELAY: Duration = Duration::from_millis(10);

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
    /// That includes a FIN.
    sent_fin: bool,
    /// What the last segment sent has acknowledged, whether it offered most of the receive buffer, and since when more is to be acknowledged.
    acked: u32,
    was_roomy: bool,
    owes_since: Instant,
    /// The engine sent no segment when it was asked last: it may wait for a neighbour.
    may_wait: bool,
    /// The peer's number behind everything that has come behind a gap, if something has.
    held: Option<u32>,
    /// When it began, and how long the handshake took.
    began: Instant,
    trip: Duration,
    /// How far windows are shifted, if that is known, and what the peer's SYN offered.
    shift: Option<u8>,
    peer: Offer,
    /// Its data may go past the engine.
    direct: Option<Box<Direct>>,
    /// What the last segment that the engine has heard said, acknowledgment and window, if that is all that it knows of the peer.
    begun: Option<(u32, u16)>,
    /// The last segment that the engine has sent acknowledged all that it has heard, and its window was all that there is: it has
    /// nothing more to say by itself.
    is_settled: bool,
    /// The last turn has left nothing to look at before its deadline but what goes past the engine.
    is_calm: bool,
    /// Changes with each repeated acknowledgment of all but the FIN.
    told_twice: bool,
    /// What the peer has acknowledged, while it has no room for more.
    shut: Option<u32>,
    /// What it has acknowledged besides.
    acks: Acks,
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
    /// The addresses of the engine, as it counts them, when it last looked for something to send.
    epoch: u64,
    before: TcpState,
    last_ack: Option<Box<[u8]>>,
}

impl Connection {
    /// A connection around a socket, with the sequence numbers of its SYN and of the peer's, if that has come. Its address is one of the
    /// engine's, as it counts them.
    pub(crate) fn new(
        tcp: TcpSocket,
        key: FlowKey,
        (isn, peer_isn): (u32, Option<u32>),
        epoch: u64,
        now: Instant,
    ) -> Connection {
        let before = tcp.state();
        let mut connection = Connection {
            is_settled: peer_isn.is_some() && tcp.received() == 0,
            tcp,
            key,
            owner: None,
            backlog_of: None,
            isn,
            peer_isn,
            sent: isn.wrapping_add(1),
            sent_fin: false,
            // What a handshake of the peer's has acknowledged, with a window of all that there is.
            acked: peer_isn.map_or(0, |isn| isn.wrapping_add(1)),
            was_roomy: peer_isn.is_some(),
            owes_since: now,
            may_wait: false,
            held: None,
            began: now,
            trip: Duration::ZERO,
            shift: None,
            peer: Offer::default(),
            direct: None,
            begun: None,
            is_calm: false,
            told_twice: false,
            shut: None,
            acks: Acks::new(isn.wrapping_add(1)),
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
            epoch,
            before,
            last_ack: None,
        };
        // What completes a handshake may say all that there is to say: no later step of the engine need come.
        connection.note_state(true);
        connection
    }

    /// Learns what the peer's SYN offered.
    pub(crate) fn note_offer(&mut self, offer: &Offer) {
        let shift = self.tcp.window_unit().trailing_zeros() as u8;
        self.shift = Some(if offer.shift.is_some() { shift } else { 0 });
        self.peer = *offer;
    }

    /// Its handshake took so long. If it had to be said again, the network is not to be trusted with [much](flight) (RFC 5681 section 3.1).
    pub(crate) fn note_handshake(&mut self, trip: Duration) {
        self.trip = trip;
        if trip >= turn::LEAST_RTO {
            self.acks.note_lost();
        }
    }

    /// The segment that has completed its handshake said nothing else.
    pub(crate) fn note_begun(&mut self, segment: &Segment) {
        self.begun = Some((segment.ack, segment.window));
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

    /// Its socket, to be used again, if it has ended in order: everything was acknowledged, and it does not wait for a neighbour.
    pub(crate) fn into_spare(self) -> Option<TcpSocket> {
        let has_ended = matches!(self.tcp.state(), TcpState::Closed | TcpState::TimeWait);
        let in_order = self.status.error.is_none() && self.tcp.unacknowledged() == 0;
        (has_ended && in_order && !self.may_wait).then_some(self.tcp)
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

    /// Whether it has ended in order, and nobody has anything to do with it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.owner.is_none()
            && self.backlog_of.is_none()
            && self.status.error.is_none()
            && self.is_dead()
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
        self.ground();
        self.tcp.set_no_delay(on);
    }

    /// Probes the peer when idle.
    pub(crate) fn set_keep_alive(&mut self, interval: Option<Duration>) {
        self.ground();
        self.keep_alive = interval;
        self.tcp.set_keep_alive(interval);
    }

    /// How long the peer may be silent while something waits for it.
    pub(crate) fn set_timeout(&mut self, after: Option<Duration>) {
        self.timeout = after.map_or(Timeout::Never, Timeout::After);
    }

    /// Time to live.
    pub(crate) fn set_hop_limit(&mut self, hops: u8) {
        self.ground();
        self.tcp.set_hop_limit(hops);
        if let Some(direct) = &mut self.direct {
            direct.forget_way();
        }
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
            self.ground();
            self.status.error.get_or_insert(NetError::ConnectionAborted);
            self.tcp.abort();
            self.acks.forget();
        }
        self.before = self.tcp.state();
        self.linger = Some(now.after(LINGER_RESET));
    }

    /// The client is gone: takes over what is in its FIFO as far as it fits, and lets go of its memory. (An acknowledgment that still waits for
    /// this connection's turn would make more fit: only with more connections at work than have a turn in a pass.)
    pub(crate) fn orphan(&mut self, now: Instant) {
        self.ground();
        // A FIFO that makes no sense has nothing more to say. Bounded: by the engine's buffer.
        while matches!(self.take_from_client(&mut Turn::default()), Ok(1..)) {}
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
}
