//! What follows from the stack's answers.

use crate::{
    engine::{Engine, Link},
    error::{Error, ErrorKind},
    requests::Pending,
    session::Violation,
    sockets::{Key, Kind, Phase, Socket},
};
use core::net::SocketAddr;
use ipc_proto::socket::{Handle, NetError, Reply, Request, RequestId};

/// Pause after an accept was refused because the session's quota is used up.
const QUOTA_PAUSE: u64 = 50_000_000;

/// Number of the request that an answer belongs to.
fn id_of(reply: &Reply) -> RequestId {
    match reply {
        Reply::Opened { id, .. }
        | Reply::Accepted { id, .. }
        | Reply::Done { id }
        | Reply::Closed { id }
        | Reply::Resolved { id, .. }
        | Reply::Pong { id, .. }
        | Reply::Interface { id, .. }
        | Reply::Socket { id, .. }
        | Reply::Counters { id, .. }
        | Reply::Ring { id, .. }
        | Reply::Failed { id, .. } => *id,
    }
}

impl Engine {
    /// Acts on one answer. An answer that makes no sense ends the session.
    #[inline(never)]
    pub(crate) fn on_reply(&mut self, reply: &Reply) {
        let id = id_of(reply);
        let Link::Up(session) = &mut self.link else {
            return;
        };
        let pending = match session.settle(id, reply, &mut self.woken) {
            Ok(Some(settled)) => settled,
            Ok(None) => return,
            Err(violation) => return session.broken = Some(violation),
        };
        match (pending, reply) {
            (Pending::Open(key), Reply::Opened { socket, local, .. }) => {
                self.opened(key, *socket, *local)
            }
            (Pending::Open(key), Reply::Failed { error, .. }) => self.open_failed(key, *error),
            (
                Pending::Accept { listener, area },
                Reply::Accepted {
                    socket,
                    local,
                    remote,
                    ..
                },
            ) => {
                let mut stream = Socket::new(Kind::Stream, Phase::Open(*socket), area.sizes());
                stream.was_open = true;
                (stream.local, stream.remote) = (*local, Some(*remote));
                (stream.ends, stream.area) = (session.ends(&area), Some(area));
                let key = self.sockets.insert(stream);
                if session.bind(*socket, key) {
                    self.accepted(listener, id, Ok(key));
                } else {
                    self.sockets.remove(key);
                }
            }
            (Pending::Accept { listener, area, .. }, Reply::Failed { error, .. }) => {
                self.release(Some(area));
                self.accepted(listener, id, Err(*error));
            }
            (
                Pending::Orphan(area),
                Reply::Opened { socket, .. } | Reply::Accepted { socket, .. },
            ) => {
                if let Some(session) = self.session() {
                    session.close(*socket, area, true);
                }
            }
            (Pending::Orphan(area), Reply::Failed { .. })
            | (Pending::Close(area), Reply::Closed { .. } | Reply::Failed { .. }) => {
                self.release(area)
            }
            (Pending::Ignore, Reply::Failed { error, .. }) => {
                log::debug!("request {id}: {}", Error::from(*error))
            }
            (Pending::Ignore, _) => {}
            // The session ends with this turn.
            _ => session.broken = Some(Violation::Answer(id)),
        }
    }

    /// An area is free again.
    pub(crate) fn release(&mut self, area: Option<crate::arena::Area>) {
        if let (Some(area), Some(session)) = (area, self.session()) {
            session.free(area);
        }
        self.space_waiters.wake(&mut self.woken);
    }

    fn opened(&mut self, key: Key, handle: Handle, local: SocketAddr) {
        if !self
            .session()
            .is_some_and(|session| session.bind(handle, key))
        {
            return;
        }
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if socket.was_open {
            log::info!("port {} is back", local.port());
        }
        socket.phase = Phase::Open(handle);
        socket.was_open = true;
        socket.failures = 0;
        socket.local = local;
        socket.wake(&mut self.woken);
    }

    fn open_failed(&mut self, key: Key, error: NetError) {
        let now = self.now();
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        socket.ends = None;
        let area = socket.area.take();
        if socket.was_open {
            self.put_off(key, now, error.into());
        } else {
            socket.phase = Phase::Dead;
            socket.error = Some(error.into());
            socket.wake(&mut self.woken);
        }
        self.release(area);
    }

    /// A listener's request for a connection was answered.
    fn accepted(&mut self, key: Key, id: RequestId, result: Result<Key, NetError>) {
        let now = self.turned_at;
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        let Some(listener) = socket.listener() else {
            return;
        };
        listener.asked.retain(|asked| *asked != id);
        match result {
            Ok(stream) => listener.ready.push_back(stream),
            Err(NetError::Exhausted) => listener.hold_until = now.saturating_add(QUOTA_PAUSE),
            Err(NetError::Cancelled) => {}
            // The stack has closed the listener.
            Err(NetError::NotConnected | NetError::BadHandle) => {
                socket.phase = Phase::Dead;
                socket.error = Some(ErrorKind::NotConnected.into());
            }
            Err(error) => socket.error = Some(error.into()),
        }
        socket.readers.wake(&mut self.woken);
    }

    /// A socket is not wanted any more. `abort`: its connection is reset and unsent bytes are dropped; else they are
    /// still sent.
    pub(crate) fn drop_socket(&mut self, key: Key, abort: bool) {
        let Some(socket) = self.sockets.remove(key) else {
            return;
        };
        let (phase, area) = (socket.phase, socket.area);
        if let Some(session) = self.session() {
            match phase {
                Phase::Open(handle) => session.close(handle, area, abort),
                Phase::Opening(id) => {
                    if let Some(pending) = session.pending(id) {
                        *pending = Pending::Orphan(area);
                    }
                }
                Phase::Lost { .. } | Phase::Dead => self.release(area),
            }
        }
        if let Kind::Listener(listener) = socket.kind {
            for id in listener.asked {
                self.orphan_accept(id);
            }
            for stream in listener.ready {
                self.drop_socket(stream, true);
            }
        }
        self.flush_soon();
    }

    /// Nobody waits any more for the connection that this request would bring.
    fn orphan_accept(&mut self, id: RequestId) {
        let Some(session) = self.session() else {
            return;
        };
        if let Some(pending @ Pending::Accept { .. }) = session.pending(id)
            && let Pending::Accept { area, .. } = core::mem::replace(pending, Pending::Ignore)
        {
            *pending = Pending::Orphan(Some(area));
        }
    }

    /// Sends a request whose answer nobody waits for.
    pub(crate) fn tell(
        &mut self,
        key: Key,
        request: impl FnOnce(RequestId, Handle) -> Request,
    ) -> Result<(), Error> {
        let phase = self.sockets.get(key).map(|socket| socket.phase);
        match (phase, self.session()) {
            (Some(Phase::Open(handle)), Some(session)) => {
                session.submit(Pending::Ignore, |id| request(id, handle));
                self.flush_soon();
                Ok(())
            }
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }
}
