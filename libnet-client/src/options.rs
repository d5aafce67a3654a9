//! Settings of TCP connections. The stack is told, and its answer not waited for: what it could refuse is checked here.

use crate::{
    error::{ErrorKind, Result},
    owned::hop_limit,
    tcp::TcpStream,
};
use core::{cell::Cell, time::Duration};
use ipc_proto::socket::{Request, SocketOption};

/// What was set, for those who ask.
#[derive(Debug)]
pub(crate) struct Settings {
    nodelay: Cell<bool>,
    ttl: Cell<u8>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            nodelay: Cell::new(false),
            ttl: Cell::new(64),
        }
    }
}

impl TcpStream {
    /// Sends small segments at once (RFC 1122 section 4.2.3.4). Off in the beginning.
    ///
    /// # Errors
    /// [`ErrorKind::NotConnected`] if the connection has ended.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<()> {
        self.set(SocketOption::NoDelay(nodelay))?;
        self.settings().nodelay.set(nodelay);
        Ok(())
    }

    /// Whether small segments are sent at once.
    ///
    /// # Errors
    /// None.
    pub fn nodelay(&self) -> Result<bool> {
        Ok(self.settings().nodelay.get())
    }

    /// Probes an idle connection at this interval (RFC 1122 section 4.2.3.6); `None`, as in the beginning, does not.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an interval under a millisecond, [`ErrorKind::NotConnected`].
    pub fn set_keepalive(&self, interval: Option<Duration>) -> Result<()> {
        self.set(SocketOption::KeepAlive(millis(interval)?))
    }

    /// Gives the connection up when the peer is silent for so long although it should answer (RFC 9293 section 3.9.1); `None`: never.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a time under a millisecond, [`ErrorKind::NotConnected`].
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.set(SocketOption::UserTimeout(millis(timeout)?))
    }

    /// Time to live, or hop limit, of what is sent; 64 in the beginning.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] unless 1 to 255, [`ErrorKind::NotConnected`].
    pub fn set_ttl(&self, ttl: u32) -> Result<()> {
        let ttl = hop_limit(ttl)?;
        self.set(SocketOption::HopLimit(ttl))?;
        self.settings().ttl.set(ttl);
        Ok(())
    }

    /// Time to live, or hop limit, of what is sent.
    ///
    /// # Errors
    /// None.
    pub fn ttl(&self) -> Result<u32> {
        Ok(self.settings().ttl.get().into())
    }

    fn set(&self, option: SocketOption) -> Result<()> {
        let key = self.owned().key;
        self.owned()
            .net
            .with(|engine| engine.tell(key, |id, socket| Request::SetOption { id, socket, option }))
    }
}

fn millis(duration: Option<Duration>) -> Result<Option<u32>> {
    let Some(duration) = duration else {
        return Ok(None);
    };
    match u32::try_from(duration.as_millis()) {
        Ok(millis @ 1..) => Ok(Some(millis)),
        _ => Err(ErrorKind::InvalidInput.into()),
    }
}
