//! What the services have in common: ports that are waited for, bounded numbers of connections, errors that end one connection only.

use crate::places::{Place, Places};
use alloc::{boxed::Box, rc::Rc};
use core::{
    cell::Cell,
    future::{Future, poll_fn},
    net::Ipv6Addr,
    task::Poll,
    time::Duration,
};
use libnet_client::{
    Either, Error, ErrorKind, Net, Result, TcpListener, TcpStream, Timer, UdpSocket, select,
};

/// Pause before something is tried again that failed.
pub(crate) const RETRY: Duration = Duration::from_millis(200);
/// A connection on which nothing moves for so long is closed, whether somebody wants its place or not.
const IDLE: Duration = Duration::from_secs(300);
/// Bytes of the future that serves a connection: with all connections open, the budget has to hold one for each.
const MOST_STATE: usize = 3072;
/// An idle connection is probed this often, so that it ends if its peer is gone.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// A connection that ends sooner needs no probes, and the stack is not asked for them.
const SHORT: Duration = Duration::from_secs(1);

/// A connection that is served.
pub(crate) struct Served {
    net: Net,
    /// Itself.
    pub(crate) stream: TcpStream,
    place: Place,
    /// One that was used, and is still set.
    timer: Cell<Option<Timer>>,
}

impl Served {
    /// Reads what there is, and waits for it.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        let len = self.patiently(self.stream.read_async(buffer)).await?;
        self.place.moved(self.net.turn_began());
        Ok(len)
    }

    /// Writes all of it.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let len = self.patiently(self.stream.write_async(bytes)).await?;
            self.place.moved(self.net.turn_began());
            bytes = bytes.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// As long as nothing may move.
    async fn patiently<T>(&self, moving: impl Future<Output = Result<T>>) -> Result<T> {
        let mut timer = self.timer.take().unwrap_or_else(|| self.net.timer());
        let moved = timer.timeout(IDLE, moving).await;
        self.timer.set(Some(timer));
        moved?
    }
}

/// A TCP service.
pub(crate) struct Service {
    /// For the log.
    pub(crate) name: &'static str,
    /// Its port.
    pub(crate) port: u16,
    /// Connections served at once; others wait, or take the place of one that is idle.
    pub(crate) connections: usize,
    /// Most bytes of the receive and transmit buffer of each.
    pub(crate) largest: (usize, usize),
    /// Least bytes of them: the more connections, the smaller.
    pub(crate) smallest: (usize, usize),
    /// Connections that the stack may hand over at once. Of a crowd, each would else wake this program for itself; but each takes
    /// buffers while it waits, the largest first.
    pub(crate) ahead: usize,
}

impl Service {
    /// Serves connections, each in a task of its own; ends only if the port cannot be had.
    pub(crate) async fn run<F>(self, net: Net, serve: impl Fn(Rc<Served>) -> F) -> Result<()>
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
            listener.set_accepts_ahead(self.ahead);
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
    serve: &impl Fn(Rc<Served>) -> F,
) -> Error
where
    F: Future<Output = Result<()>> + 'static,
{
    loop {
        let (stream, peer) = match listener.accept_async().await {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == ErrorKind::NotConnected => return error,
            Err(error) => {
                log::warn!("{name}: accept: {error}");
                net.sleep(RETRY).await;
                continue;
            }
        };
        let place = places.take(net).await;
        let served = Rc::new(Served {
            net: net.clone(),
            stream,
            place,
            timer: Cell::new(None),
        });
        // On the heap, since each future that it is moved into keeps room for it twice.
        let mut serving = Box::pin(serve(Rc::clone(&served)));
        net.spawn(async move {
            let long_at = served
                .net
                .turn_began()
                .saturating_add(SHORT.as_nanos() as u64);
            let mut short = Some(served.net.timer());
            let result = poll_fn(|context| {
                if let Poll::Ready(result) = serving.as_mut().poll(context) {
                    return Poll::Ready(result);
                }
                if let Some(timer) = &mut short
                    && timer.poll_until(long_at, context).is_ready()
                {
                    short = None;
                    if let Err(error) = served.stream.set_keepalive(Some(KEEPALIVE)) {
                        return Poll::Ready(Err(error));
                    }
                }
                served.place.poll_ended(context).map(|()| {
                    log::debug!("{name}: {peer}: idle, and somebody waits for its place");
                    // What is under way would keep its memory.
                    served.stream.clone().abort();
                    Ok(())
                })
            })
            .await;
            if let Err(error) = result {
                log::debug!("{name}: {peer}: {error}");
            }
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
