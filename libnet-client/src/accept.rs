//! Takes connections from listeners. The stack is asked for a connection when somebody accepts, and the answer is kept for the next who
//! does: an accept that is given up loses nothing.

use crate::{
    arena::Sizes,
    engine::Engine,
    error::{ErrorKind, Result},
    requests::Pending,
    sockets::{Key, Phase, Socket},
};
use core::task::{Poll, Waker};
use ipc_proto::socket::{Handle, Request};

impl Engine {
    /// Takes a connection from a listener, and asks the stack for more.
    pub(crate) fn poll_accept(&mut self, key: Key, waker: &Waker) -> Poll<Result<Key>> {
        let now = self.turned_at;
        let Some(socket) = self.sockets.get_mut(key) else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        let (largest, phase) = (socket.sizes, socket.phase);
        let Some(listener) = socket.listener() else {
            return Poll::Ready(Err(ErrorKind::InvalidInput.into()));
        };
        let ready = listener.ready.pop_front();
        let smallest = listener.smallest;
        let (mut missing, hold_until) = (
            listener.ahead.saturating_sub(listener.asked.len()),
            listener.hold_until,
        );
        if ready.is_some() {
            // One was enough for now.
            missing = 0;
        } else if let Some(error) = socket.error.take() {
            return Poll::Ready(Err(error));
        }
        if missing > 0 && hold_until > now {
            self.timers.insert(hold_until, waker.clone());
            missing = 0;
        }
        match phase {
            Phase::Open(handle) => {
                for _ in 0..missing {
                    if !self.ask_for_connection(key, handle, largest, smallest) {
                        // The backlog holds them until something is closed.
                        self.space_waiters.add(waker);
                        break;
                    }
                }
            }
            Phase::Dead if ready.is_none() => {
                return Poll::Ready(Err(ErrorKind::NotConnected.into()));
            }
            _ => {}
        }
        match (ready, self.sockets.get_mut(key)) {
            (Some(stream), _) => Poll::Ready(Ok(stream)),
            (None, Some(socket)) => {
                socket.readers.add(waker);
                Poll::Pending
            }
            (None, None) => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
    }

    /// Asks the stack for a connection. False: there is no room for one.
    fn ask_for_connection(
        &mut self,
        key: Key,
        handle: Handle,
        largest: Sizes,
        smallest: Sizes,
    ) -> bool {
        let Some(session) = self.session() else {
            return true;
        };
        let sizes = session.fitting(largest, smallest);
        let Some(area) = session.alloc(sizes) else {
            return false;
        };
        let buffers = area.buffers();
        let pending = Pending::Accept {
            listener: key,
            area,
        };
        let id = session.submit(pending, |id| Request::TcpAccept {
            id,
            listener: handle,
            buffers,
        });
        if let Some(listener) = self.sockets.get_mut(key).and_then(Socket::listener) {
            listener.asked.push(id);
        }
        self.flush_soon();
        true
    }
}
