//! The lanes of a UDP socket: what waits for its neighbour to be found, or for the session's next packet, by destination. Touches the engine,
//! through sockets that only send.

use super::{LANE, LANE_TIMEOUT, MAX_LANES, TURN_FRAMES, Udp, earlier, specific};
use crate::{
    Instant,
    engine::{FrameSink, UdpSocket},
    turn::{Context, Turn},
};
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// A neighbour that lives answers sooner. Until then what does not fit in the lane waits, and what is behind it.
pub(super) const LANE_GRACE: Duration = Duration::from_millis(20);

/// Datagrams on their way to a destination.
pub(super) struct Lane {
    /// The destination.
    pub(super) to: IpAddr,
    /// Where they wait.
    pub(super) socket: UdpSocket,
    /// Some wait.
    pub(super) busy: bool,
    /// Since when its neighbour has not been found.
    pub(super) stuck_since: Option<Instant>,
}

impl Lane {
    /// Since when its neighbour has not been found, if that is longer than a live one would take.
    fn stuck_since(&self, now: Instant) -> Option<Instant> {
        self.stuck_since
            .filter(|since| now.since(*since) >= LANE_GRACE)
    }
}

impl Udp {
    /// Puts a datagram into its lane. False if it has to wait.
    pub(super) fn queue(
        &mut self,
        context: &mut Context<'_>,
        to: SocketAddr,
        bytes: &[u8],
    ) -> bool {
        let Some(index) = self.lane(to.ip(), context.now) else {
            return false;
        };
        let Some(lane) = self.lanes.get_mut(index) else {
            return false;
        };
        if lane.socket.send(to, bytes).is_ok() {
            lane.busy = true;
            return true;
        }
        if lane.stuck_since(context.now).is_some() && context.frames.has_room() {
            // Its neighbour is being looked for: more than fits in the lane is lost, and nobody else waits for it.
            self.dropped = self.dropped.saturating_add(1);
            return true;
        }
        false
    }

    /// The lane for a destination: its own, an idle one, a new one, or that of a neighbour which has not answered.
    fn lane(&mut self, to: IpAddr, now: Instant) -> Option<usize> {
        if let Some(index) = self.lanes.iter().position(|lane| lane.to == to) {
            return Some(index);
        }
        if let Some(index) = self.lanes.iter().position(|lane| !lane.busy) {
            let lane = self.lanes.get_mut(index)?;
            lane.to = to;
            lane.stuck_since = None;
            return Some(index);
        }
        if self.lanes.len() >= MAX_LANES {
            let (index, _) = self
                .lanes
                .iter()
                .enumerate()
                .filter_map(|(index, lane)| Some((index, lane.stuck_since(now)?)))
                .min_by_key(|(_, since)| *since)?;
            self.lanes.swap_remove(index);
            self.dropped = self.dropped.saturating_add(1);
        }
        let mut socket = UdpSocket::new(specific(self.local), self.local.port(), (0, 0), LANE);
        socket.set_hop_limit(self.hop_limit);
        self.lanes.push(Lane {
            to,
            socket,
            busy: false,
            stuck_since: None,
        });
        Some(self.lanes.len().saturating_sub(1))
    }

    #[inline(never)]
    pub(super) fn egress(&mut self, context: &mut Context<'_>, turn: &mut Turn) {
        let now = context.now;
        for lane in &mut self.lanes {
            if !lane.busy {
                continue;
            }
            let before = turn.frames;
            let wake = loop {
                let sent = if turn.frames < TURN_FRAMES {
                    context
                        .engine
                        .egress(now, &mut lane.socket, context.frames)
                        .frames
                } else {
                    0
                };
                turn.frames = turn.frames.saturating_add(sent);
                if sent == 0 {
                    lane.busy = context.engine.poll_at(now, &mut lane.socket).is_some();
                    break context.wake_at(&mut lane.socket, turn);
                }
            };
            if !lane.busy || turn.frames > before && turn.frames >= TURN_FRAMES {
                lane.stuck_since = None;
                continue;
            }
            if context.frames.has_room() && turn.frames < TURN_FRAMES {
                lane.stuck_since.get_or_insert(now);
                turn.stalled.push(lane.to);
            }
            turn.deadline = earlier(turn.deadline, wake);
        }
        turn.more |= turn.frames >= TURN_FRAMES;
        let before = self.lanes.len();
        self.lanes.retain(|lane| {
            lane.stuck_since
                .is_none_or(|since| now.since(since) < LANE_TIMEOUT)
        });
        let lost = before.saturating_sub(self.lanes.len());
        self.dropped = self.dropped.saturating_add(lost as u64);
        turn.more |= lost > 0;
    }
}
