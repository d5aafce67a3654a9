//! Requests that are one question and one answer: names, pings, the state of interface, sockets and counters.

use crate::{
    error::{ErrorKind, Result},
    net::Net,
};
use alloc::vec::Vec;
use core::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use ipc_proto::{
    rings::RingInfo,
    socket::{Counters, Family, InterfaceInfo, Reply, Request, RequestId, SocketInfo},
};

/// How long a name is looked up.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the stack has for an answer that needs nobody else.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(5);
/// A list longer than this is not believed.
const MOST_ENTRIES: usize = 1 << 16;

/// The answer to a ping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pong {
    /// Who answered.
    pub from: IpAddr,
    /// Round-trip time.
    pub time: Duration,
    /// Time to live, or hop limit, of the answer.
    pub hop_limit: u8,
    /// Bytes of data in it.
    pub len: u16,
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

impl Net {
    /// Looks up the addresses of a host name; an address in text form is its own answer. Never empty.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the name does not exist, [`ErrorKind::TimedOut`], [`ErrorKind::NameServerFailed`].
    pub fn resolve(&self, name: &str, family: Family) -> Result<Vec<IpAddr>> {
        self.wait(self.resolve_async(name, family))
    }

    /// [`Net::resolve`] for tasks.
    ///
    /// # Errors
    /// As [`Net::resolve`].
    pub async fn resolve_async(&self, name: &str, family: Family) -> Result<Vec<IpAddr>> {
        if let Ok(address) = name.parse::<IpAddr>() {
            let wanted = match family {
                Family::V4 => address.is_ipv4(),
                Family::V6 => address.is_ipv6(),
                Family::Any => true,
            };
            return if wanted {
                Ok(alloc::vec![address])
            } else {
                Err(ErrorKind::NotFound.into())
            };
        }
        if name.is_empty() {
            return Err(ErrorKind::NotFound.into());
        }
        let wire_name = name.try_into().map_err(|_| ErrorKind::NotFound)?;
        let timeout_ms = millis(RESOLVE_TIMEOUT);
        let request = Request::Resolve {
            id: 0,
            name: wire_name,
            family,
            timeout_ms,
        };
        match self.ask(request, RESOLVE_TIMEOUT + LOCAL_TIMEOUT).await? {
            Reply::Resolved { addresses, .. } if !addresses.is_empty() => {
                Ok(addresses.iter().copied().collect())
            }
            _ => Err(ErrorKind::NameServerFailed.into()),
        }
    }

    /// Sends an ICMP echo request with `len` bytes of data (at most 1,452) and waits for the answer.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], [`ErrorKind::NetworkUnreachable`], [`ErrorKind::PermissionDenied`].
    pub fn ping(&self, remote: IpAddr, sequence: u16, len: u16, timeout: Duration) -> Result<Pong> {
        self.wait(self.ping_async(remote, sequence, len, timeout))
    }

    /// [`Net::ping`] for tasks.
    ///
    /// # Errors
    /// As [`Net::ping`].
    pub async fn ping_async(
        &self,
        remote: IpAddr,
        sequence: u16,
        len: u16,
        timeout: Duration,
    ) -> Result<Pong> {
        let request = Request::Ping {
            id: 0,
            remote,
            sequence,
            len,
            timeout_ms: millis(timeout),
        };
        match self
            .ask(request, timeout.saturating_add(LOCAL_TIMEOUT))
            .await?
        {
            Reply::Pong {
                from,
                micros,
                hop_limit,
                len,
                ..
            } => Ok(Pong {
                from,
                time: Duration::from_micros(micros.into()),
                hop_limit,
                len,
            }),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    /// Addresses, routes and servers.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`] without the policy's `inspect`.
    pub fn interface(&self) -> Result<InterfaceInfo> {
        self.wait(self.interface_async())
    }

    /// [`Net::interface`] for tasks.
    ///
    /// # Errors
    /// As [`Net::interface`].
    pub async fn interface_async(&self) -> Result<InterfaceInfo> {
        match self
            .ask(Request::Interface { id: 0 }, LOCAL_TIMEOUT)
            .await?
        {
            Reply::Interface { interface, .. } => Ok(interface),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    /// The sockets of all sessions.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`] without the policy's `inspect`.
    pub fn sockets(&self) -> Result<Vec<SocketInfo>> {
        self.wait(self.sockets_async())
    }

    /// [`Net::sockets`] for tasks.
    ///
    /// # Errors
    /// As [`Net::sockets`].
    pub async fn sockets_async(&self) -> Result<Vec<SocketInfo>> {
        let (mut all, mut position) = (Vec::new(), 0);
        while all.len() < MOST_ENTRIES {
            match self
                .ask(Request::Inspect { id: 0, position }, LOCAL_TIMEOUT)
                .await?
            {
                Reply::Socket {
                    next,
                    socket: Some(socket),
                    ..
                } if next > position => {
                    all.push(socket);
                    position = next;
                }
                _ => break,
            }
        }
        Ok(all)
    }

    /// What the stack has counted.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`] without the policy's `inspect`.
    pub fn counters(&self) -> Result<Counters> {
        self.wait(self.counters_async())
    }

    /// [`Net::counters`] for tasks.
    ///
    /// # Errors
    /// As [`Net::counters`].
    pub async fn counters_async(&self) -> Result<Counters> {
        match self.ask(Request::Counters { id: 0 }, LOCAL_TIMEOUT).await? {
            Reply::Counters { counters, .. } => Ok(counters),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    /// The rings of the driver, if there is one, and of all sessions, as the stack sees them.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`] without the policy's `inspect`.
    pub fn rings(&self) -> Result<Vec<RingInfo>> {
        self.wait(self.rings_async())
    }

    /// [`Net::rings`] for tasks.
    ///
    /// # Errors
    /// As [`Net::rings`].
    pub async fn rings_async(&self) -> Result<Vec<RingInfo>> {
        let (mut all, mut position) = (Vec::new(), 0);
        while all.len() < MOST_ENTRIES {
            match self
                .ask(Request::Ring { id: 0, position }, LOCAL_TIMEOUT)
                .await?
            {
                Reply::Ring {
                    next,
                    ring: Some(ring),
                    ..
                } if next > position => {
                    all.push(ring);
                    position = next;
                }
                _ => break,
            }
        }
        Ok(all)
    }

    /// Asks a question that may be asked again: if the session is lost, the next one is asked.
    async fn ask(&self, request: Request, timeout: Duration) -> Result<Reply> {
        let answer = async {
            loop {
                self.session().await?;
                match Answer::new(self, request.clone()).await {
                    Some(Reply::Failed { error, .. }) => return Err(error.into()),
                    Some(reply) => return Ok(reply),
                    None => {}
                }
            }
        };
        self.timeout(timeout, answer).await?
    }
}

/// Gives a question its number.
fn numbered(mut request: Request, number: RequestId) -> Request {
    match &mut request {
        Request::Resolve { id, .. }
        | Request::Ping { id, .. }
        | Request::Interface { id }
        | Request::Inspect { id, .. }
        | Request::Counters { id }
        | Request::Ring { id, .. }
        | Request::TcpConnect { id, .. }
        | Request::TcpListen { id, .. }
        | Request::TcpAccept { id, .. }
        | Request::UdpBind { id, .. }
        | Request::SetOption { id, .. }
        | Request::Shutdown { id, .. }
        | Request::Close { id, .. }
        | Request::Cancel { id, .. } => *id = number,
    }
    request
}

/// The answer to a request; `None` if the session was lost before.
struct Answer<'a> {
    net: &'a Net,
    epoch: u64,
    /// `None` once answered.
    id: Option<RequestId>,
    cancel: bool,
}

impl<'a> Answer<'a> {
    fn new(net: &'a Net, request: Request) -> Answer<'a> {
        let cancel = matches!(request, Request::Resolve { .. } | Request::Ping { .. });
        net.with(|engine| {
            let id = engine.ask(|id| numbered(request, id));
            Answer {
                net,
                epoch: engine.epoch,
                id,
                cancel,
            }
        })
    }
}

impl Future for Answer<'_> {
    type Output = Option<Reply>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Reply>> {
        let Some(id) = self.id else {
            return Poll::Ready(None);
        };
        let epoch = self.epoch;
        let polled = self.net.with(|engine| match engine.session_of(epoch) {
            Some(session) => match session.poll_answer(id, context.waker()) {
                Some(reply) => Poll::Ready(Some(reply)),
                None => Poll::Pending,
            },
            None => Poll::Ready(None),
        });
        if polled.is_ready() {
            self.id = None;
        }
        polled
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let (epoch, cancel) = (self.epoch, self.cancel);
        self.net.with(|engine| {
            if let Some(session) = engine.session_of(epoch) {
                session.abandon(id, cancel);
                engine.flush_soon();
            }
        });
    }
}
