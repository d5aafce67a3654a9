//! A turn of a flow: what it needs, and what follows from it.

use crate::{
    Instant,
    engine::{Engine, FrameSink, Sockets},
    frames::Frames,
    neighbors::Neighbors,
};
use alloc::vec::Vec;
use core::{net::IpAddr, time::Duration};
use ipc_proto::socket::{Reply, RequestId};

/// What is due and was not sent for no known reason is tried again after so long.
const RETRY: Duration = Duration::from_millis(10);

/// What a flow needs to do its work.
pub(crate) struct Context<'a> {
    /// The engine.
    pub(crate) engine: &'a mut Engine,
    /// Where frames go.
    pub(crate) frames: &'a mut Frames,
    /// Where neighbours are.
    pub(crate) neighbors: &'a Neighbors,
    /// The time.
    pub(crate) now: Instant,
    /// Whether the session may send packets now.
    pub(crate) may_send: bool,
}

impl Context<'_> {
    /// When a set wants to be looked at again, behind its egress. What is due already waits for a buffer (the turn is then
    /// starved), for the session's next packet, or is looked at a little later.
    pub(crate) fn wake_at(
        &mut self,
        sockets: &mut impl Sockets,
        turn: &mut Turn,
    ) -> Option<Instant> {
        let at = self.engine.poll_at(self.now, sockets);
        self.wake_then(at, turn)
    }

    /// The same for what wants to be looked at again at a time, if ever.
    pub(crate) fn wake_then(&mut self, at: Option<Instant>, turn: &mut Turn) -> Option<Instant> {
        let at = at?;
        if at > self.now {
            return Some(at);
        }
        if !self.may_send {
            return None;
        }
        if !self.frames.has_room() {
            turn.starved = true;
            return None;
        }
        Some(self.now.after(RETRY))
    }
}

/// What a turn of a flow did, and what it wants.
#[derive(Default)]
pub(crate) struct Turn {
    /// The client should look at the socket.
    pub(crate) raise: bool,
    /// Other answers to the client.
    pub(crate) replies: Vec<Reply>,
    /// There is work left.
    pub(crate) more: bool,
    /// The client's handle is free again, as it has asked for by this request. It is told.
    pub(crate) released: Option<RequestId>,
    /// The flow has ended and can be forgotten.
    pub(crate) finished: bool,
    /// Frames sent.
    pub(crate) frames: u32,
    /// It waits for a frame buffer.
    pub(crate) starved: bool,
    /// Destinations whose neighbour may have to be found first.
    pub(crate) stalled: Vec<IpAddr>,
    /// When to look again.
    pub(crate) deadline: Option<Instant>,
}
