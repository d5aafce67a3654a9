//! What the status page shows: the state of the system at a moment, and where it comes from.

use crate::registry::HttpCounters;
use alloc::vec::Vec;
use core::task::{Context, Poll};
use ipc_proto::{
    rings::RingInfo,
    socket::{Counters, InterfaceInfo, SocketInfo},
    system::{MachineInfo, ProcessInfo, RunState},
};

/// What the server needs from outside.
pub trait Outside {
    /// Nanoseconds since boot.
    fn now(&self) -> u64;
    /// The same a moment ago, for what needs no exact time: when the work at hand began.
    fn recently(&self) -> u64;
    /// What a connection waits with.
    type Timer: Timer;
    /// Makes one.
    fn timer(&self) -> Self::Timer;
    /// Looks at the system. What can't be had is left out.
    fn snapshot(&self) -> impl Future<Output = Snapshot>;
}

/// A timer for limits that mostly are not reached. Setting it again and again has to be cheap.
pub trait Timer {
    /// Whether [`Outside::recently`] has reached `deadline`; if not, the task is woken then, or earlier.
    fn poll_until(&mut self, deadline: u64, context: &mut Context<'_>) -> Poll<()>;
}

/// The system at a moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// Nanoseconds since boot.
    pub now: u64,
    /// The machine's counters.
    pub machine: Option<MachineInfo>,
    /// The processes in the manifest's order.
    pub processes: Vec<ProcessInfo>,
    /// The network interface.
    pub interface: Option<InterfaceInfo>,
    /// The stack's counters.
    pub counters: Option<Counters>,
    /// The sockets, at most [`MAX_SOCKETS`].
    pub sockets: Vec<SocketInfo>,
    /// The stack's rings, at most [`MAX_RINGS`].
    pub rings: Vec<RingInfo>,
    /// This server's own counters.
    pub http: HttpCounters,
}

/// Most sockets in a snapshot: the page is to stay readable, and the answer small.
pub const MAX_SOCKETS: usize = 256;
/// Most channels in a snapshot.
pub const MAX_RINGS: usize = 256;

/// The word for a process's state.
pub(crate) fn state(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Exited(_) => "exited",
        RunState::Killed(_) => "killed",
        RunState::Faulted { .. } => "faulted",
        RunState::Waiting => "waiting",
    }
}
