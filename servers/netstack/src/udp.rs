//! A UDP socket. Datagrams go straight between the client's FIFOs and frames, as long as the client has room and the neighbour is known.
//!
//! Else what arrives waits in one engine socket, and what leaves in lanes, one for each destination. A datagram to a neighbour that does
//! not answer waits in its lane and blocks no other lane; after three seconds it is dropped.

mod lanes;
mod sending;

use crate::{
    Instant,
    classify::{self, Packet, Payload},
    engine::{Head, UdpSocket},
    session::Owner,
    turn::{Context, Turn},
};
use alloc::vec::Vec;
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use ipc_proto::{
    fifo::{PeerError, Status, StreamEnds},
    policy::Policy,
    socket::{NetError, RequestId},
};
use lanes::{LANE_GRACE, Lane};

/// Bytes of stack memory that a socket takes, at most.
pub(crate) const MEMORY: u32 = (INBOX.1 + MAX_LANES * LANE.1) as u32;
/// Datagrams and bytes that wait for a client with a full FIFO. The largest datagram fits.
const INBOX: (usize, usize) = (64, 64 * 1024);
/// Datagrams and bytes in a lane.
const LANE: (usize, usize) = (8, 12 * 1024);
const MAX_LANES: usize = 8;
/// A lane whose neighbour has not been found for so long is dropped.
const LANE_TIMEOUT: Duration = Duration::from_secs(3);
/// Datagrams that one turn takes from the client.
const TURN_DATAGRAMS: usize = 64;
/// Frames that one turn sends.
const TURN_FRAMES: u32 = 64;

/// A way that the policy permits, and what it was found out from.
#[derive(Clone, Copy)]
struct Known {
    to: SocketAddr,
    head: Head,
    /// Addresses and routers, and neighbours, as they are counted.
    epochs: (u64, u64),
    /// Until when the neighbour is believed to be there.
    until: Instant,
}

/// A UDP socket.
pub(crate) struct Udp {
    /// Its address.
    pub(crate) local: SocketAddr,
    /// The client's socket, if it still has one.
    pub(crate) owner: Option<Owner>,
    inbox: UdpSocket,
    lanes: Vec<Lane>,
    ends: Option<StreamEnds>,
    /// Taken from the FIFO and not yet in a lane.
    next: Option<(SocketAddr, Vec<u8>)>,
    /// The way that the last datagram has gone.
    known: Option<Known>,
    closing: Option<RequestId>,
    linger: Option<Instant>,
    error: Option<NetError>,
    told: Option<NetError>,
    hop_limit: u8,
    /// Datagrams dropped for want of room, permission or a neighbour.
    pub(crate) dropped: u64,
    /// Datagrams that the policy forbids, and that were not counted yet.
    pub(crate) refused: u64,
}

impl Udp {
    /// A socket at `local`, whose port is not zero.
    pub(crate) fn new(local: SocketAddr, owner: Owner, ends: StreamEnds) -> Udp {
        Udp {
            local,
            owner: Some(owner),
            inbox: UdpSocket::new(specific(local), local.port(), INBOX, (0, 0)),
            lanes: Vec::new(),
            ends: Some(ends),
            next: None,
            known: None,
            closing: None,
            linger: None,
            error: None,
            told: None,
            hop_limit: 0,
            dropped: 0,
            refused: 0,
        }
    }

    /// Bytes that wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.lanes.iter().fold(0, |sum: usize, lane| {
            sum.saturating_add(lane.socket.queued())
        })
    }

    /// Time to live.
    pub(crate) fn set_hop_limit(&mut self, hops: u8) {
        self.hop_limit = hops;
        self.known = None;
        for lane in &mut self.lanes {
            lane.socket.set_hop_limit(hops);
        }
    }

    /// A datagram came. It goes to the client at once if there is room.
    ///
    /// # Errors
    /// [`PeerError`] if the client's FIFO indices make no sense.
    pub(crate) fn ingress(
        &mut self,
        context: &mut Context<'_>,
        packet: &Packet<'_>,
        frame: &[u8],
        policy: Option<&Policy>,
    ) -> Result<bool, PeerError> {
        if let Some((from, bytes)) = datagram(packet)
            && context.engine.hears(packet.dst)
            && let Some(ends) = &mut self.ends
            && self.inbox.is_empty()
        {
            if !policy.is_some_and(|policy| policy.permits_address(from.ip())) {
                self.refused = self.refused.saturating_add(1);
                return Ok(false);
            }
            if ends.writer.write_record(from, bytes)? {
                return Ok(true);
            }
        }
        context
            .engine
            .ingress(context.now, frame, &mut self.inbox, context.frames);
        self.deliver(policy)
    }

    /// Gives a datagram to the client at once, from where it may come. False if there is no room, or others wait.
    ///
    /// # Errors
    /// [`PeerError`] if the client's FIFO indices make no sense.
    pub(crate) fn take(&mut self, from: SocketAddr, bytes: &[u8]) -> Result<bool, PeerError> {
        match &mut self.ends {
            Some(ends) if self.inbox.is_empty() => ends.writer.write_record(from, bytes),
            _ => Ok(false),
        }
    }

    fn deliver(&mut self, policy: Option<&Policy>) -> Result<bool, PeerError> {
        let mut delivered = false;
        while let Some((from, bytes)) = self.inbox.peek() {
            if let Some(ends) = &mut self.ends {
                if !policy.is_some_and(|policy| policy.permits_address(from.ip())) {
                    self.refused = self.refused.saturating_add(1);
                } else if bytes.len() > ends.writer.largest_record() {
                    self.dropped = self.dropped.saturating_add(1);
                } else if ends.writer.write_record(from, bytes)? {
                    delivered = true;
                } else {
                    break;
                }
            }
            self.inbox.receive();
        }
        Ok(delivered)
    }

    /// The client closes it: what it has written is still sent. The next turn answers.
    pub(crate) fn close(&mut self, id: RequestId, abort: bool) {
        self.closing = Some(id);
        if abort {
            self.next = None;
            self.lanes.clear();
            self.ends = None;
        }
    }

    /// Whether the client has closed it already.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// The client is gone.
    pub(crate) fn orphan(&mut self, now: Instant) {
        self.ends = None;
        self.owner = None;
        // Nobody waits for the answer any more; the next turn would let go of it a second time.
        self.closing = None;
        self.linger = Some(now.after(LANE_TIMEOUT));
    }

    /// Moves datagrams both ways.
    ///
    /// # Errors
    /// [`PeerError`] if the client's FIFO indices make no sense.
    #[inline(never)]
    pub(crate) fn turn(
        &mut self,
        context: &mut Context<'_>,
        policy: Option<&Policy>,
        turn: &mut Turn,
    ) -> Result<(), PeerError> {
        if !self.inbox.is_empty() {
            turn.raise = self.deliver(policy)?;
        }
        self.take_from_client(context, policy, turn)?;
        if let Some(ends) = &mut self.ends {
            turn.raise |= ends.reader.tells_room_for_record()?;
        }
        if context.may_send && !(self.lanes.is_empty() && self.next.is_none()) {
            self.egress(context, turn);
            // A lane that was emptied takes what waited for it, one that is stuck makes room.
            if self.next.is_some() {
                turn.more |= turn.frames > 0;
                let stuck = self.lanes.iter().filter_map(|lane| lane.stuck_since);
                let next = stuck
                    .map(|since| since.after(LANE_GRACE))
                    .filter(|at| *at > context.now)
                    .min();
                turn.deadline = earlier(turn.deadline, next);
            }
        }
        self.finish(context.now, turn)?;
        if self.error != self.told
            && let Some(ends) = &mut self.ends
        {
            ends.status.store(Status {
                established: false,
                peer_closed: false,
                error: self.error,
            });
            self.told = self.error;
            turn.raise = true;
        }
        Ok(())
    }

    fn finish(&mut self, now: Instant, turn: &mut Turn) -> Result<(), PeerError> {
        if let Some(id) = self.closing {
            let drained = match &mut self.ends {
                Some(ends) => ends.reader.available()? == 0,
                None => true,
            };
            if drained && self.next.is_none() {
                self.closing = None;
                self.ends = None;
                self.linger = Some(now.after(LANE_TIMEOUT));
                turn.released = Some(id);
            }
        }
        if let Some(linger) = self.linger {
            let idle = self.next.is_none() && self.lanes.iter().all(|lane| !lane.busy);
            turn.finished = idle || linger <= now;
            turn.deadline = earlier(turn.deadline, Some(linger));
        }
        Ok(())
    }
}

/// The earlier of two deadlines, where none is later than any.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Sender and data of a datagram.
fn datagram<'a>(packet: &Packet<'a>) -> Option<(SocketAddr, &'a [u8])> {
    let Payload::Udp { src_port, .. } = packet.payload else {
        return None;
    };
    let from = SocketAddr::new(packet.src, src_port);
    Some((from, classify::datagram(packet.body)?))
}

fn specific(local: SocketAddr) -> Option<IpAddr> {
    Some(local.ip()).filter(|address| !address.is_unspecified())
}
