//! The load generators. All run in the namespace of the machine that they measure, and check what comes back.

mod http;
mod tcp;
mod udp;

pub use http::{has_wrk, http, wrk};
pub use tcp::{connects, receive, send, verify};
pub use udp::{first_answer, flood, round_trips};

use crate::{Failure, Outcome};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
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

/// Does something on several threads at once, each until the time is over or for its share of the count: `once` is called
/// again and again with what `start` made for the thread.
fn in_parallel<T>(
    amount: Amount,
    threads: u64,
    start: impl Fn() -> T + Sync,
    once: impl Fn(&mut T) -> Outcome + Sync,
) -> Outcome<Work> {
    let share = match amount {
        Amount::Time(time) => Amount::Time(time),
        Amount::Count(count) => Amount::Count(count.div_ceil(threads)),
    };
    let begun = Instant::now();
    let work = || -> Outcome<u64> {
        let (mut state, mut count) = (start(), 0);
        while !share.is_done(begun.elapsed(), count) {
            once(&mut state)?;
            count += 1;
        }
        Ok(count)
    };
    let counts: Vec<Outcome<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(Failure("a thread of the load panicked".into())))
            })
            .collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let count = counts.into_iter().sum::<Outcome<u64>>()?;
    Ok(Work { count, seconds })
}
