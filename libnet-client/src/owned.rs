//! Ownership of a socket: what the public types are made of.

use crate::{
    addr::Target,
    engine::Engine,
    error::{Error, ErrorKind, Result},
    net::Net,
    sockets::{Key, Kind, Phase, Socket},
};
use core::{cell::Cell, future::poll_fn, net::SocketAddr, task::Poll, time::Duration};

/// Which waiters an operation belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// The owner of a socket, which is closed with it; and how its calls wait.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) net: Net,
    pub(crate) key: Key,
    /// Unsent bytes are dropped with it, and the peer gets a reset.
    pub(crate) abort: Cell<bool>,
    pub(crate) nonblocking: Cell<bool>,
    pub(crate) read_timeout: Cell<Option<Duration>>,
    pub(crate) write_timeout: Cell<Option<Duration>>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        let abort = self.abort.get();
        self.net.with(|engine| engine.drop_socket(self.key, abort));
    }
}

impl Owned {
    pub(crate) fn new(net: Net, key: Key) -> Owned {
        Owned {
            net,
            key,
            abort: Cell::new(false),
            nonblocking: Cell::new(false),
            read_timeout: Cell::new(None),
            write_timeout: Cell::new(None),
        }
    }

    /// Opens a listener or UDP socket at the first address that works.
    pub(crate) async fn bind(net: &Net, target: Target, kind: impl Fn() -> Kind) -> Result<Owned> {
        let mut last = Error::from(ErrorKind::InvalidInput);
        for address in net.addresses(target).await? {
            net.session().await?;
            let mut socket = Socket::new(kind(), Phase::Dead, net.sizes());
            socket.local = address;
            let key = net.with(|engine| engine.sockets.insert(socket));
            let owned = Owned::new(net.clone(), key);
            let opened = match net.with(|engine| engine.request_open(key)) {
                Ok(()) => {
                    poll_fn(|context| net.with(|engine| engine.poll_open(key, context.waker())))
                        .await
                }
                Err(error) => Err(error),
            };
            match opened {
                Ok(()) => return Ok(owned),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Looks something up.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Socket) -> Option<T>) -> Result<T> {
        let found = self
            .net
            .with(|engine| engine.sockets.get(self.key).and_then(look));
        found.ok_or(ErrorKind::NotConnected.into())
    }

    pub(crate) fn local_addr(&self) -> Result<SocketAddr> {
        self.look(|socket| Some(socket.local))
    }

    pub(crate) fn take_error(&self) -> Option<Error> {
        self.net.with(|engine| engine.take_error(self.key))
    }

    /// Tries, and waits as long as it may. `attempt` says `None` for "not now".
    pub(crate) fn blocking<T>(
        &self,
        direction: Direction,
        mut attempt: impl FnMut(&mut Engine, Key) -> Result<Option<T>>,
    ) -> Result<T> {
        if let Some(done) = self.net.with(|engine| attempt(engine, self.key))? {
            return Ok(done);
        }
        if self.nonblocking.get() {
            self.net.pump();
            return self
                .net
                .with(|engine| attempt(engine, self.key))?
                .ok_or(ErrorKind::WouldBlock.into());
        }
        let timeout = match direction {
            Direction::Read => self.read_timeout.get(),
            Direction::Write => self.write_timeout.get(),
        };
        let deadline = timeout.map_or(u64::MAX, |timeout| self.net.after(timeout));
        self.net
            .drive(deadline, self.wait(direction, attempt))
            .unwrap_or(Err(ErrorKind::TimedOut.into()))
    }

    /// Tries until it is done. No `async` function, here and in those that call it: each would be one more state to go through, and
    /// one more copy of what it holds.
    pub(crate) fn wait<T>(
        &self,
        direction: Direction,
        mut attempt: impl FnMut(&mut Engine, Key) -> Result<Option<T>>,
    ) -> impl Future<Output = Result<T>> {
        poll_fn(move |context| {
            let waker = context.waker();
            self.net.with(|engine| {
                if !engine.may_go_on(waker) {
                    return Poll::Pending;
                }
                match attempt(engine, self.key) {
                    Ok(Some(done)) => Poll::Ready(Ok(done)),
                    Err(error) => Poll::Ready(Err(error)),
                    Ok(None) => {
                        engine.wait_for(self.key, direction, waker);
                        Poll::Pending
                    }
                }
            })
        })
    }
}

/// A timeout of zero makes no sense, as in `std::net`.
pub(crate) fn not_zero(timeout: Option<Duration>) -> Result<Option<Duration>> {
    match timeout {
        Some(Duration::ZERO) => Err(ErrorKind::InvalidInput.into()),
        other => Ok(other),
    }
}

/// A hop limit in the range of the protocol.
pub(crate) fn hop_limit(ttl: u32) -> Result<u8> {
    match u8::try_from(ttl) {
        Ok(ttl @ 1..) => Ok(ttl),
        _ => Err(ErrorKind::InvalidInput.into()),
    }
}
