//! One connection: requests in, answers out, until one side has enough.
//!
//! A client can waste only its own time and one place of the [`Registry`](crate::Registry): every wait has a limit, heads and
//! bodies have one, and whoever waits for nothing makes room when others come (see [`Limits`]).

mod input;
mod writing;

use self::input::Input;
use crate::{
    head::{self, Method},
    registry::Place,
    response::{Response, Status},
    site::Site,
    snapshot::{Outside, Timer},
};
use alloc::vec::Vec;
use core::{fmt, future::poll_fn, pin::pin, task::Poll, time::Duration};
use embedded_io_async::{Read, Write};

/// A connection with half close.
pub trait Stream: Read + Write {
    /// Ends the sending direction behind what was written.
    fn finish(&mut self) -> impl Future<Output = Result<(), Self::Error>>;
}

/// How long and how much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of a request's head.
    pub head: usize,
    /// How long a connection may wait for a request.
    pub idle: Duration,
    /// How long a head, or a body, may take from its first byte.
    pub request: Duration,
    /// How long an answer may take.
    pub answer: Duration,
    /// How long the client may take none of it.
    pub stall: Duration,
    /// How long a connection is read after it was refused, so that the client sees why.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head: 8 * 1024,
            idle: Duration::from_secs(30),
            request: Duration::from_secs(10),
            answer: Duration::from_secs(120),
            stall: Duration::from_secs(10),
            linger: Duration::from_secs(1),
        }
    }
}

/// Why a connection ended other than as HTTP has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConnectionError<E> {
    /// Reading or writing failed.
    Io(E),
    /// The client took too long to send a request.
    SlowRequest,
    /// The client took too long to read the answer.
    SlowReader,
    /// The client left in the middle of a request.
    Truncated,
}

impl<E: fmt::Display> fmt::Display for ConnectionError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionError::Io(error) => write!(f, "{error}"),
            ConnectionError::SlowRequest => f.write_str("request took too long"),
            ConnectionError::SlowReader => f.write_str("answer was not read in time"),
            ConnectionError::Truncated => f.write_str("ended in the middle of a request"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for ConnectionError<E> {}

/// Serves a connection to its end.
///
/// # Errors
/// [`ConnectionError`], for the log: nothing is left to do.
pub async fn serve<S: Stream, O: Outside>(
    stream: S,
    place: Place,
    site: &Site<O>,
    limits: &Limits,
) -> Result<(), ConnectionError<S::Error>> {
    let mut connection = Connection {
        stream,
        place: &place,
        site,
        limits,
        timer: site.outside().timer(),
        received: Input::default(),
        waited: false,
        out: Vec::new(),
    };
    let result = connection.run().await;
    if result.is_err() {
        place
            .registry()
            .count(|counters| counters.failed = counters.failed.saturating_add(1));
    }
    result
}

struct Connection<'a, S, O: Outside> {
    stream: S,
    place: &'a Place,
    site: &'a Site<O>,
    limits: &'a Limits,
    /// One for all limits: see [`Timer`].
    timer: O::Timer,
    /// What was read and not yet used: at most `limits.head` bytes.
    received: Input,
    /// The request being served, or the next, was waited for: others had their turn.
    waited: bool,
    /// Memory for an answer.
    out: Vec<u8>,
}

/// What reading a head led to.
enum Next {
    Request {
        method: Method,
        response: Response,
        keep_alive: bool,
        body: u64,
    },
    Refuse(Status),
    End,
}

impl<S: Stream, O: Outside> Connection<'_, S, O> {
    async fn run(&mut self) -> Result<(), ConnectionError<S::Error>> {
        loop {
            self.waited = false;
            match self.next().await? {
                Next::End => return Ok(()),
                Next::Refuse(status) => return self.refuse(status).await,
                Next::Request {
                    method,
                    response,
                    keep_alive,
                    body,
                } => {
                    self.discard(body).await?;
                    self.count(response.status);
                    self.answer(&response, method, keep_alive).await?;
                    if !keep_alive {
                        return self.close().await;
                    }
                }
            }
            // A client that sends requests back to back must not keep the others waiting.
            if !self.waited {
                yield_now().await;
            }
        }
    }

    /// Waits for the head of the next request.
    async fn next(&mut self) -> Result<Next, ConnectionError<S::Error>> {
        let now = self.site.outside().now();
        let mut begun = !self.received.is_empty();
        let mut deadline = now.saturating_add(nanoseconds(if begun {
            self.limits.request
        } else {
            self.limits.idle
        }));
        self.place.set_idle(Some(now));
        let next = loop {
            match head::parse(self.received.bytes()) {
                Ok(Some((request, len))) => {
                    let head::Request {
                        method,
                        keep_alive,
                        body,
                        ..
                    } = request;
                    self.place.set_idle(None);
                    let response = self.site.respond(&request).await;
                    self.received.consume(len);
                    return Ok(Next::Request {
                        method,
                        response,
                        keep_alive,
                        body,
                    });
                }
                Ok(None) if self.received.len() >= self.limits.head => {
                    break Next::Refuse(Status::HeadTooLarge);
                }
                Ok(None) => {}
                Err(status) => break Next::Refuse(status),
            }
            let first = self.received.is_empty();
            if !first && !begun {
                begun = true;
                deadline = self.after(self.limits.request);
            }
            match self.receive(deadline).await {
                Received::Bytes => {}
                Received::Evicted => break Next::End,
                Received::Late | Received::End if first => break Next::End,
                Received::Late => break Next::Refuse(Status::RequestTimeout),
                Received::End => return Err(ConnectionError::Truncated),
                Received::Failed(error) if first => {
                    // A client that is done may as well reset the connection.
                    log::debug!("connection ended by reset: {error:?}");
                    break Next::End;
                }
                Received::Failed(error) => return Err(ConnectionError::Io(error)),
            }
        };
        self.place.set_idle(None);
        Ok(next)
    }

    /// Reads what there is, as far as it fits, before `deadline`.
    async fn receive(&mut self, deadline: u64) -> Received<S::Error> {
        let (timer, place, waited) = (&mut self.timer, self.place, &mut self.waited);
        let read = {
            let mut reading = pin!(self.stream.read(self.received.room(self.limits.head)));
            poll_fn(|context| {
                if let Poll::Ready(read) = reading.as_mut().poll(context) {
                    return Poll::Ready(Ok(read));
                }
                *waited = true;
                if timer.poll_until(deadline, context).is_ready() {
                    return Poll::Ready(Err(Received::Late));
                }
                place.poll_evicted(context).map(|()| Err(Received::Evicted))
            })
            .await
        };
        match read {
            Ok(Ok(0)) => Received::End,
            Ok(Ok(len)) => {
                self.received.add(len);
                Received::Bytes
            }
            Ok(Err(error)) => Received::Failed(error),
            Err(other) => other,
        }
    }

    /// Reads the body of a request and throws it away.
    async fn discard(&mut self, body: u64) -> Result<(), ConnectionError<S::Error>> {
        if body == 0 {
            return Ok(());
        }
        let deadline = self.after(self.limits.request);
        let mut left = usize::try_from(body).unwrap_or(usize::MAX);
        loop {
            let now = left.min(self.received.len());
            self.received.consume(now);
            left = left.saturating_sub(now);
            if left == 0 {
                return Ok(());
            }
            match self.receive(deadline).await {
                Received::Bytes => {}
                Received::Failed(error) => return Err(ConnectionError::Io(error)),
                Received::End => return Err(ConnectionError::Truncated),
                Received::Late | Received::Evicted => return Err(ConnectionError::SlowRequest),
            }
        }
    }

    /// Says why a request can't be served, and ends the connection.
    async fn refuse(&mut self, status: Status) -> Result<(), ConnectionError<S::Error>> {
        self.count(status);
        self.answer(&Response::error(status), Method::Get, false)
            .await?;
        self.close().await
    }

    /// Ends the connection: what the client still sends is read for a while, for a reset (the answer to unread data, RFC 9112
    /// section 9.6) would take the answer away from it.
    async fn close(&mut self) -> Result<(), ConnectionError<S::Error>> {
        self.stream.finish().await.map_err(ConnectionError::Io)?;
        let deadline = self.after(self.limits.linger);
        for _ in 0..64 {
            self.received.consume(usize::MAX);
            if !matches!(self.receive(deadline).await, Received::Bytes) {
                break;
            }
        }
        Ok(())
    }

    fn count(&self, status: Status) {
        self.place.registry().count(|counters| match status {
            Status::Ok => counters.requests = counters.requests.saturating_add(1),
            _ => counters.refused = counters.refused.saturating_add(1),
        });
    }

    fn after(&self, duration: Duration) -> u64 {
        self.site
            .outside()
            .now()
            .saturating_add(nanoseconds(duration))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

enum Received<E> {
    Bytes,
    End,
    Late,
    Evicted,
    Failed(E),
}

async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests;
