//! The session of an engine, and what has to be one again: how it is opened, lost and opened anew, and how listeners and UDP sockets
//! come back with the next one.

use super::{Engine, MILLISECOND};
use crate::{
    error::Error,
    requests::Pending,
    session::Session,
    sockets::{Key, Kind, Phase},
    system::OpenError,
};
use alloc::{boxed::Box, vec::Vec};
use core::{
    fmt,
    task::{Poll, Waker},
};
use ipc_proto::{setup::Refusal, socket::Request};

/// A session that lived this long had a good start: back-off begins anew.
const GOOD_START: u64 = 1_000 * MILLISECOND;
/// Longest pause between two attempts to open a session or to get a port back.
const LONGEST_PAUSE: u64 = 500 * MILLISECOND;

/// Pause before attempt number `failures` + 1: 1 ms, 2 ms, 4 ms and so on.
fn pause(failures: u32) -> u64 {
    (MILLISECOND << failures.min(20)).min(LONGEST_PAUSE)
}

pub(crate) enum Link {
    Down { retry_at: u64, failures: u32 },
    Up(Box<Session>),
}

impl Engine {
    /// Whether there is a session; an error if an attempt after number `seen` failed for good.
    pub(crate) fn poll_session(&mut self, seen: u64, waker: &Waker) -> Poll<Result<(), Error>> {
        let now = self.now();
        if let Link::Down { retry_at, .. } = self.link
            && retry_at <= now
        {
            self.open(now);
        }
        match (&self.link, self.refusals) {
            (Link::Up(_), _) => Poll::Ready(Ok(())),
            (Link::Down { .. }, (count, error)) if count != seen && is_final(error) => {
                Poll::Ready(Err(error.into()))
            }
            _ => {
                self.link_waiters.add(waker);
                Poll::Pending
            }
        }
    }

    #[inline(never)]
    pub(super) fn wants_session(&self) -> bool {
        !self.link_waiters.is_empty() || self.sockets.lost().next().is_some()
    }

    /// Tries to open a session.
    #[inline(never)]
    pub(super) fn open(&mut self, now: u64) {
        let opened = match self.system.open(Session::bytes(self.arena)) {
            Ok(opened) => Session::new(opened, now).map_err(|_| OpenError::NoMemory),
            Err(error) => Err(error),
        };
        match opened {
            Ok(session) => {
                self.link = Link::Up(Box::new(session));
                self.epoch = self.epoch.wrapping_add(1);
                self.comeback_at = now;
            }
            Err(error) => {
                self.refusals = (self.refusals.0.wrapping_add(1), error);
                let failures = match &self.link {
                    Link::Down { failures, .. } => failures.saturating_add(1),
                    Link::Up(_) => 0,
                };
                let failures = if is_final(error) { u32::MAX } else { failures };
                if is_final(error) {
                    self.tell_lost(error.into());
                }
                self.link = Link::Down {
                    retry_at: now.saturating_add(pause(failures)),
                    failures,
                };
            }
        }
        self.link_waiters.wake(&mut self.woken);
    }

    /// Ends the session: connections are reset, listeners and UDP sockets come back with the next one.
    #[inline(never)]
    pub(crate) fn lose(&mut self, why: &dyn fmt::Display) {
        let now = self.now();
        let Link::Up(session) = &self.link else {
            return;
        };
        self.short_lives = if now.saturating_sub(session.since) >= GOOD_START {
            0
        } else {
            self.short_lives.saturating_add(1)
        };
        let failures = self.short_lives;
        let retry_at = if failures == 0 {
            now
        } else {
            now.saturating_add(pause(failures))
        };
        log::warn!("network session lost: {why}");
        if let Link::Up(session) =
            core::mem::replace(&mut self.link, Link::Down { retry_at, failures })
        {
            session.end(&mut self.woken);
        }
        self.epoch = self.epoch.wrapping_add(1);
        self.comeback_at = u64::MAX;
        let mut orphans = Vec::new();
        for socket in self.sockets.values_mut() {
            orphans.extend(socket.lose(now, &mut self.woken));
        }
        for key in orphans {
            self.sockets.remove(key);
        }
        self.space_waiters.wake(&mut self.woken);
    }

    /// Asks for listeners and UDP sockets again that lost their session.
    #[inline(never)]
    pub(super) fn bring_back(&mut self, now: u64) {
        self.comeback_at = u64::MAX;
        let due: Vec<(Key, u64)> = self.sockets.lost().collect();
        for (key, retry_at) in due {
            if retry_at > now {
                self.comeback_at = self.comeback_at.min(retry_at);
            } else if let Err(error) = self.request_open(key) {
                self.put_off(key, now, error);
            }
        }
    }

    /// Listeners and UDP sockets that lost their session will get no other, as far as can be seen: whoever waits on them learns why.
    fn tell_lost(&mut self, error: Error) {
        let lost: Vec<Key> = self.sockets.lost().map(|(key, _)| key).collect();
        for key in lost {
            if let Some(socket) = self.sockets.get_mut(key) {
                socket.error = Some(error);
                socket.wake(&mut self.woken);
            }
        }
    }

    /// A listener or UDP socket could not come back now.
    pub(crate) fn put_off(&mut self, key: Key, now: u64, error: Error) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if socket.failures == 0 {
            log::warn!("{} is not back yet: {error}", socket.local);
        }
        socket.failures = socket.failures.saturating_add(1);
        let retry_at = now.saturating_add(pause(socket.failures));
        socket.phase = Phase::Lost { retry_at };
        if error.kind() == crate::ErrorKind::PermissionDenied {
            socket.error = Some(error);
            socket.wake(&mut self.woken);
        }
        self.comeback_at = self.comeback_at.min(retry_at);
    }

    /// Sends the request that opens a listener or UDP socket.
    pub(crate) fn request_open(&mut self, key: Key) -> Result<(), Error> {
        let (Link::Up(session), Some(socket)) = (&mut self.link, self.sockets.get_mut(key)) else {
            return Err(crate::ErrorKind::NotConnected.into());
        };
        let local = socket.local;
        let id = match &socket.kind {
            Kind::Listener(listener) => {
                let backlog = listener.backlog;
                session.submit(Pending::Open(key), |id| Request::TcpListen {
                    id,
                    local,
                    backlog,
                })
            }
            Kind::Udp => {
                let area = session
                    .alloc(socket.sizes)
                    .ok_or(crate::ErrorKind::OutOfMemory)?;
                let buffers = area.buffers();
                (socket.ends, socket.area) = (session.ends(&area), Some(area));
                session.submit(Pending::Open(key), |id| Request::UdpBind {
                    id,
                    local,
                    buffers,
                })
            }
            Kind::Stream => return Err(crate::ErrorKind::InvalidInput.into()),
        };
        socket.phase = Phase::Opening(id);
        Ok(())
    }
}

/// Whether trying again cannot help.
fn is_final(error: OpenError) -> bool {
    match error {
        OpenError::Refused(Refusal::Exhausted) | OpenError::Unavailable => false,
        OpenError::Refused(_) | OpenError::NoMemory => true,
    }
}
