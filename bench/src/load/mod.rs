//! The load generators. All run in the namespace of the machine that they measure, and check what comes back.

mod http;
mod tcp;
mod udp;

pub use http::{http, wrk};
pub use tcp::{connects, receive, send, verify};
pub use udp::{first_answer, flood, round_trips};

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Nothing takes longer than this for a guest that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Where a guest's services are.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Address.
    pub address: Ipv4Addr,
    /// Added to each port: QEMU's user network has forwarded ports.
    pub offset: u16,
}

impl Target {
    /// A service.
    pub(crate) fn port(self, port: u16) -> SocketAddr {
        (self.address, port.saturating_add(self.offset)).into()
    }
}

/// How long, or how much.
#[derive(Clone, Copy, Debug)]
pub enum Amount {
    /// Until the time is over.
    Time(Duration),
    /// So many bytes, packets or connections.
    Count(u64),
}

impl Amount {
    pub(crate) fn is_done(self, elapsed: Duration, count: u64) -> bool {
        match self {
            Amount::Time(time) => elapsed >= time,
            Amount::Count(most) => count >= most,
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Bytes, packets, connections or requests.
    pub count: u64,
    /// The time that it took, in seconds.
    pub seconds: f64,
}

impl Work {
    /// Of them in a second.
    pub fn rate(self) -> f64 {
        self.count as f64 / self.seconds
    }
}
