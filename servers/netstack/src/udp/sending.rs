//! What a client sends through a UDP socket: taken from its FIFO, and passed on at once where the way is known; else it waits in a lane. Touches the
//! socket, and the engine through it.

use super::{Known, TURN_DATAGRAMS, TURN_FRAMES, Udp, specific};
use crate::{
    engine::{FrameSink, Way},
    turn::{Context, Turn},
};
use alloc::vec;
use core::net::{IpAddr, SocketAddr};
use ipc_proto::{fifo::PeerError, policy::Policy, socket::NetError};
impl Udp {
    /// Takes datagrams from the client and sends them.
    ///
    /// # Errors
    /// [`PeerError`] if the client's FIFO indices make no sense.
    pub(super) fn take_from_client(
        &mut self,
        context: &mut Context<'_>,
        policy: Option<&Policy>,
        turn: &mut Turn,
    ) -> Result<(), PeerError> {
        for count in 0..=TURN_DATAGRAMS {
            if self.next.is_some() && !self.queue_next(context) {
                return Ok(());
            }
            let Some(ends) = &mut self.ends else {
                return Ok(());
            };
            let Some(record) = ends.reader.peek_record()? else {
                return Ok(());
            };
            if count == TURN_DATAGRAMS {
                turn.more = true;
                return Ok(());
            }
            let (peer, len) = (record.peer, record.len);
            let to = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            // Datagrams to the same place go the same way, as long as nothing changes.
            if self.knows(context, to) && self.pass_on(context, len, turn)? {
                self.error = None;
            } else {
                self.take_anew(context, policy, turn, (to, len))?;
            }
        }
        Ok(())
    }

    /// Gives what was taken to a lane. False if there is no room in it.
    #[inline(never)]
    fn queue_next(&mut self, context: &mut Context<'_>) -> bool {
        let Some((to, bytes)) = self.next.take() else {
            return true;
        };
        let is_queued = self.queue(context, to, &bytes);
        if !is_queued {
            self.next = Some((to, bytes));
        }
        is_queued
    }

    /// Takes the next datagram, which goes another way than the one before, or waits.
    #[inline(never)]
    fn take_anew(
        &mut self,
        context: &mut Context<'_>,
        policy: Option<&Policy>,
        turn: &mut Turn,
        (to, len): (SocketAddr, usize),
    ) -> Result<(), PeerError> {
        self.error = check(context, policy, self.local, to, len);
        if let Some(error) = self.error {
            if let Some(ends) = &mut self.ends {
                ends.reader.skip_record()?;
            }
            let counter = match error {
                NetError::Denied => &mut self.refused,
                _ => &mut self.dropped,
            };
            *counter = counter.saturating_add(1);
            return Ok(());
        }
        self.known = self.way(context, to);
        if self.pass_on(context, len, turn)? {
            return Ok(());
        }
        if let Some(ends) = &mut self.ends {
            let mut bytes = vec![0; len];
            ends.reader.read_record(&mut bytes)?;
            self.next = Some((to, bytes));
        }
        Ok(())
    }

    /// Whether the last datagram went to `to`, and nothing has changed since.
    fn knows(&self, context: &Context<'_>, to: SocketAddr) -> bool {
        self.known.as_ref().is_some_and(|known| {
            known.to == to && known.epochs == epochs(context) && context.now < known.until
        })
    }

    /// The way to an address that is permitted and whose neighbour is known.
    fn way(&self, context: &Context<'_>, to: SocketAddr) -> Option<Known> {
        let hop = context.engine.next_hop(to.ip())?;
        let (mac, until) = context.neighbors.find(hop, context.now)?;
        let from = specific(self.local).or_else(|| context.engine.source_for(to.ip()))?;
        let way = Way {
            mac,
            from: SocketAddr::new(from, self.local.port()),
            to,
            hops: self.hop_limit,
        };
        Some(Known {
            to,
            head: context.engine.head(&way)?,
            epochs: epochs(context),
            until,
        })
    }

    /// Sends the next datagram of the FIFO at once on the way that is known, if nothing to there waits. False if not: it is still in
    /// the FIFO.
    fn pass_on(
        &mut self,
        context: &mut Context<'_>,
        len: usize,
        turn: &mut Turn,
    ) -> Result<bool, PeerError> {
        let Some(known) = &self.known else {
            return Ok(false);
        };
        let mut lanes = self.lanes.iter();
        let waits = lanes.any(|lane| lane.busy && lane.to == known.to.ip());
        if waits || !context.may_send || turn.frames >= TURN_FRAMES || !context.frames.has_room() {
            return Ok(false);
        }
        let Some(ends) = &mut self.ends else {
            return Ok(false);
        };
        let reader = &mut ends.reader;
        let engine = &mut *context.engine;
        let sent = engine.send_datagram(&known.head, len, context.frames, |place| {
            reader.read_record(place).map(|_| ())
        })?;
        turn.frames = turn.frames.saturating_add(u32::from(sent));
        Ok(sent)
    }
}

fn epochs(context: &Context<'_>) -> (u64, u64) {
    (context.engine.epoch(), context.neighbors.epoch())
}

/// Why a datagram can't be sent.
fn check(
    context: &Context<'_>,
    policy: Option<&Policy>,
    local: SocketAddr,
    to: SocketAddr,
    len: usize,
) -> Option<NetError> {
    if !policy.is_some_and(|policy| policy.permits_remote(to.ip(), to.port())) {
        return Some(NetError::Denied);
    }
    if to.port() == 0 || to.ip().is_unspecified() || to.ip().is_loopback() {
        return Some(NetError::BadArgument);
    }
    let families = matches!(
        (specific(local), to.ip()),
        (Some(IpAddr::V4(_)), IpAddr::V6(_)) | (Some(IpAddr::V6(_)), IpAddr::V4(_))
    );
    if families || local.is_ipv4() && to.is_ipv6() {
        return Some(NetError::AddressNotAvailable);
    }
    if len > context.engine.max_payload(to.ip(), 8) {
        return Some(NetError::MessageTooLong);
    }
    if context.engine.source_for(to.ip()).is_none() {
        return Some(NetError::NetworkDown);
    }
    if context.engine.next_hop(to.ip()).is_none() {
        return Some(NetError::Unreachable);
    }
    None
}
