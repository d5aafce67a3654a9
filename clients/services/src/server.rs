//! What the services have in common: ports that are waited for, bounded numbers of connections, errors that end one connection only.

use alloc::rc::Rc;
use core::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    net::Ipv6Addr,
    task::{Poll, Waker},
    time::Duration,
};
use libnet_client::{
    Either, Error, ErrorKind, Net, Result, TcpListener, TcpStream, UdpSocket, select,
};

/// Pause before something is tried again that failed.
pub(crate) const RETRY: Duration = Duration::from_millis(200);
/// Bytes of the future that serves a connection. It is moved into another, and that into a task, and each keeps room for both
/// before and after: with all connections open, the budget has to hold four times as much for each.
const MOST_STATE: usize = 3072;
/// An idle connection is probed this often, so that it ends if its peer is gone.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A TCP service.
pub(crate) struct Service {
    /// For the log.
    pub(crate) name: &'static str,
    /// Its port.
    pub(crate) port: u16,
    /// Connections served at once; more wait in the backlog.
    pub(crate) connections: usize,
    /// Most bytes of the receive and transmit buffer of each.
    pub(crate) largest: (usize, usize),
    /// Least bytes of them: the more connections, the smaller.
    pub(crate) smallest: (usize, usize),
}

impl Service {
    /// Serves connections, each in a task of its own; ends only if the port cannot be had.
    pub(crate) async fn run<F>(self, net: Net, serve: impl Fn(TcpStream) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>> + 'static,
    {
        const {
            assert!(
                size_of::<F>() <= MOST_STATE,
                "what a connection keeps belongs on the heap: futures hold it several times"
            );
        }
        let Service { name, port, .. } = self;
        let net = net.with_buffers(self.largest.0, self.largest.1);
        let places = Places::new(self.connections);
        loop {
            let listener = patiently(&net, name, async || {
                TcpListener::bind_async(&net, (Ipv6Addr::UNSPECIFIED, port)).await
            })
            .await?;
            listener.set_smallest_buffers(self.smallest.0, self.smallest.1);
            log::info!("listening on port {port} (tcp, {name})");
            let error = accept(&net, name, &listener, &places, &serve).await;
            log::warn!("{name}: the listener was closed: {error}");
            net.sleep(RETRY).await;
        }
    }
}

/// Accepts connections until the listener is no more.
async fn accept<F>(
    net: &Net,
    name: &'static str,
    listener: &TcpListener,
    places: &Rc<Places>,
    serve: &impl Fn(TcpStream) -> F,
) -> Error
where
    F: Future<Output = Result<()>> + 'static,
{
    loop {
        let place = places.take().await;
        let (stream, peer) = match listener.accept_async().await {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == ErrorKind::NotConnected => return error,
            Err(error) => {
                log::warn!("{name}: accept: {error}");
                net.sleep(RETRY).await;
                continue;
            }
        };
        let served = serve(stream.clone());
        net.spawn(async move {
            let result = match stream.set_keepalive(Some(KEEPALIVE)) {
                Ok(()) => served.await,
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                log::debug!("{name}: {peer}: {error}");
            }
            drop((stream, place));
        });
    }
}

/// Opens a UDP socket as soon as there is a network stack.
pub(crate) async fn bind_datagrams(net: &Net, name: &str, port: u16) -> Result<UdpSocket> {
    let socket = patiently(net, name, async || {
        UdpSocket::bind_async(net, (Ipv6Addr::UNSPECIFIED, port)).await
    })
    .await?;
    log::info!("listening on port {port} (udp, {name})");
    Ok(socket)
}

/// Tries until there is a network stack.
async fn patiently<T>(net: &Net, name: &str, bind: impl AsyncFn() -> Result<T>) -> Result<T> {
    loop {
        match bind().await {
            Err(error) if matches!(error.kind(), ErrorKind::NetworkDown | ErrorKind::TimedOut) => {
                log::warn!("{name}: {error}");
                net.sleep(RETRY).await;
            }
            Err(error) => {
                log::error!("{name}: {error}");
                return Err(error);
            }
            bound => return bound,
        }
    }
}

/// The result of the one that ends first.
pub(crate) async fn first<T>(a: impl Future<Output = T>, b: impl Future<Output = T>) -> T {
    match select(a, b).await {
        Either::First(result) | Either::Second(result) => result,
    }
}

/// Bounds how many connections are served at once.
struct Places {
    free: Cell<usize>,
    waiting: RefCell<Option<Waker>>,
}

/// One of them, free again when dropped.
struct Place(Rc<Places>);

impl Places {
    fn new(count: usize) -> Rc<Places> {
        Rc::new(Places {
            free: Cell::new(count),
            waiting: RefCell::new(None),
        })
    }

    /// Waits for a place. Only the accepting loop does.
    async fn take(self: &Rc<Places>) -> Place {
        poll_fn(|context| match self.free.get().checked_sub(1) {
            Some(free) => {
                self.free.set(free);
                Poll::Ready(())
            }
            None => {
                *self.waiting.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await;
        Place(Rc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.free.set(self.0.free.get().saturating_add(1));
        if let Some(waiting) = self.0.waiting.borrow_mut().take() {
            waiting.wake();
        }
    }
}
