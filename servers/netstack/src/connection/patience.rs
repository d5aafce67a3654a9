//! How long a connection waits for its peer, and when it gives up. Touches the connection.

use super::{Connection, Timeout};
use crate::{
    Instant,
    engine::{Glance, TcpState},
};
use core::time::Duration;
use ipc_proto::socket::NetError;

/// A peer that does not answer an attempt to connect for so long is not there, unless the client says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that acknowledges nothing for so long is gone, unless the client says otherwise.
const USER_TIMEOUT: Duration = Duration::from_secs(120);

impl Connection {
    /// Whether something waits for the peer.
    fn waits_for_peer(glance: &Glance) -> bool {
        let has_control = matches!(
            glance.state,
            TcpState::SynSent
                | TcpState::SynReceived
                | TcpState::FinWait1
                | TcpState::Closing
                | TcpState::LastAck
        );
        has_control || glance.unacknowledged > 0
    }

    #[inline]
    pub(super) fn give_up_at(&self) -> Option<Instant> {
        let waits = self.pending || self.keep_alive.is_some();
        waits.then(|| self.gives_up_at()).flatten()
    }

    fn gives_up_at(&self) -> Option<Instant> {
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
    pub(super) fn note_pending(&mut self, now: Instant, glance: &Glance) {
        let pending = Self::waits_for_peer(glance);
        if pending && !self.pending {
            self.heard = now;
        }
        self.pending = pending;
    }

    /// Gives up what waited too long. True if something did.
    pub(super) fn expire(&mut self, now: Instant, glance: &Glance) -> bool {
        self.note_pending(now, glance);
        let is_open = glance.state != TcpState::Closed;
        let is_late = is_open && self.give_up_at().is_some_and(|at| at <= now);
        if is_late {
            self.status.error.get_or_insert(NetError::TimedOut);
            self.reset(now);
        }
        let lingers = self.owner.is_some() || self.linger.is_none_or(|at| at > now);
        if is_open && !lingers {
            self.reset(now);
        }
        is_late || is_open && !lingers
    }
}
