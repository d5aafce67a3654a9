//! What a side has counted of a channel, told through [`crate::socket::Request::Ring`]. Touches nothing.
#![forbid(unsafe_code)]

use crate::system::ProcessInfo;
use core::fmt;
use postcard::experimental::max_size::MaxSize;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// The two rings of a channel, as the side sees them that tells of them. Counters start with the channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, MaxSize, Schema)]
pub struct RingInfo {
    /// The badge of the session at the other end, or [`RingInfo::DRIVER`].
    pub peer: u64,
    /// Slots of each ring.
    pub slots: u32,
    /// Messages on the ring from the peer that are not taken yet; as the peer claims, at most all slots.
    pub rx_queued: u32,
    /// Messages on the ring to the peer that it has not taken yet; as the peer claims, at most all slots.
    pub tx_queued: u32,
    /// Messages taken from the peer.
    pub rx_messages: u64,
    /// Messages put on the ring to the peer.
    pub tx_messages: u64,
    /// Sleeps that the peer ended with its doorbell.
    pub rx_doorbells: u64,
    /// Times that the peer slept and its doorbell was due.
    pub tx_doorbells: u64,
    /// Times that the ring to the peer became too full for a message.
    pub tx_full: u64,
}

impl RingInfo {
    /// The peer of the driver's channel. No session has this badge.
    pub const DRIVER: u64 = 0;

    /// What to call the peer. `processes` are those of [`crate::system`], from position 0 on without a gap.
    #[must_use]
    pub fn peer_name<'a>(&self, processes: &'a [ProcessInfo]) -> PeerName<'a> {
        if self.peer == Self::DRIVER {
            return PeerName::Driver;
        }
        // The badge of a process is its position.
        match usize::try_from(self.peer).map(|position| processes.get(position)) {
            Ok(Some(process)) => PeerName::Process(&process.name),
            _ => PeerName::Session(self.peer),
        }
    }
}

/// What to call the peer of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerName<'a> {
    /// The driver.
    Driver,
    /// The process of this name.
    Process(&'a str),
    /// A session with a derived capability, or of a process that is not known.
    Session(u64),
}

impl fmt::Display for PeerName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerName::Driver => f.write_str("driver"),
            PeerName::Process(name) => f.write_str(name),
            PeerName::Session(badge) => write!(f, "session {badge}"),
        }
    }
}
