//! One connection: requests in, answers out, until one side has enough.
//!
//! A client can waste only its own time and one place of the [`Registry`](crate::Registry): every wait has a limit, heads and
//! bodies have one, and whoever waits for nothing makes room when others come (see [`Limits`]).

mod input;
mod known;
mod writing;

use self::{input::Input, known::Known};
use crate::{
    head::{self, Method},
    registry::Place,
    response::{Response, Status},
    site::{Page, Site},
    snapshot::{Outside, Timer},
};
use core::{fmt, future::poll_fn, pin::pin, task::Poll, time::Duration};
use embedded_io_async::Read;

/// A connection with half close. A read or a write that is dropped while it waits has moved nothing: each look makes a new one, so that
/// what waits has no state but its task's.
pub trait Stream: Read {
    /// Writes as much as there is room for of these runs, one behind the other, and says how much that was; at least one byte, unless
    /// there are none.
    fn write(&mut self, parts: &[&[u8]]) -> impl Future<Output = Result<usize, Self::Error>>;

    /// Ends the sending direction behind what was written.
    ///
    /// # Errors
    /// If it has ended already.
    fn finish(&mut self) -> Result<(), Self::Error>;
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
        known: Known::default(),
        waited: false,
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
    /// The request that was read last.
    known: Known,
    /// The request being served, or the next, was waited for: others had their turn.
    waited: bool,
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Asked {
    method: Method,
    page: Option<Page>,
    keep_alive: bool,
    /// Bytes of its body.
    body: u32,
}

/// What reading a head led to.
enum Next {
    /// It is the one that was read last.
    Request,
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
                Next::Request => {}
            }
            let asked = self.known.asked;
            if asked.body > 0 {
                self.discard(asked.body).await?;
            }
            let response = self.site.respond(asked.page, asked.method).await;
            self.answer(&response, asked.method, asked.keep_alive)
                .await?;
            if !asked.keep_alive {
                return self.end().await;
            }
            // A client that sends requests back to back must not keep the others waiting.
            if !self.waited {
                yield_now().await;
            }
        }
    }

    /// Waits for the head of the next request.
    async fn next(&mut self) -> Result<Next, ConnectionError<S::Error>> {
        let now = self.site.outside().recently();
        let mut begun = !self.received.is_empty();
        let mut deadline = now.saturating_add(nanoseconds(if begun {
            self.limits.request
        } else {
            self.limits.idle
        }));
        self.place.set_idle(Some(now));
        let next = loop {
            let first = self.received.is_empty();
            if !first {
                match self.parse() {
                    Ok(true) => break Next::Request,
                    Ok(false) if self.received.len() >= self.limits.head => {
                        break Next::Refuse(Status::HeadTooLarge);
                    }
                    Ok(false) => {}
                    Err(status) => break Next::Refuse(status),
                }
                if !begun {
                    begun = true;
                    deadline = self.after(self.limits.request);
                }
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

    /// Takes the head of a request from what was received. False: more has to come.
    fn parse(&mut self) -> Result<bool, Status> {
        let len = match self.known.find(self.received.bytes()) {
            Some(len) => len,
            None => match self.parse_anew()? {
                Some(len) => len,
                None => return Ok(false),
            },
        };
        self.received.consume(len);
        Ok(true)
    }

    /// Not among the instructions of a request that is known.
    #[inline(never)]
    fn parse_anew(&mut self) -> Result<Option<usize>, Status> {
        let received = self.received.bytes();
        let Some((request, len)) = head::parse(received)? else {
            return Ok(None);
        };
        let asked = Asked {
            method: request.method,
            page: Page::at(request.path),
            keep_alive: request.keep_alive,
            body: request.body,
        };
        self.known
            .note(received.get(..len).unwrap_or_default(), asked);
        Ok(Some(len))
    }

    /// Reads what there is, as far as it fits, before `deadline`.
    fn receive(&mut self, deadline: u64) -> impl Future<Output = Received<S::Error>> {
        poll_fn(move |context| {
            let room = self.received.room(self.limits.head);
            let read = pin!(self.stream.read(room)).poll(context);
            if let Poll::Ready(read) = read {
                return Poll::Ready(match read {
                    Ok(0) => Received::End,
                    Ok(len) => {
                        self.received.add(len);
                        Received::Bytes
                    }
                    Err(error) => Received::Failed(error),
                });
            }
            self.waited = true;
            if self.timer.poll_until(deadline, context).is_ready() {
                return Poll::Ready(Received::Late);
            }
            self.place.poll_evicted(context).map(|()| Received::Evicted)
        })
    }

    /// Reads the body of a request and throws it away.
    async fn discard(&mut self, body: u32) -> Result<(), ConnectionError<S::Error>> {
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
        self.answer(&Response::error(status), Method::Get, false)
            .await?;
        self.close().await
    }

    /// Ends the connection after the answer to a request behind which the client sends nothing more (RFC 9112 section 9.6). If it has kept to
    /// that, nothing is there that a reset could be the answer to: the stream is dropped, and the stack sends what was written.
    async fn end(&mut self) -> Result<(), ConnectionError<S::Error>> {
        if self.received.is_empty() {
            let more = poll_fn(|context| {
                let room = self.received.room(self.limits.head);
                Poll::Ready(pin!(self.stream.read(room)).poll(context))
            });
            match more.await {
                Poll::Pending | Poll::Ready(Ok(0)) => return Ok(()),
                Poll::Ready(Ok(len)) => self.received.add(len),
                Poll::Ready(Err(error)) => return Err(ConnectionError::Io(error)),
            }
        }
        self.close().await
    }

    /// Ends the connection: what the client still sends is read for a while, for a reset (the answer to unread data, RFC 9112
    /// section 9.6) would take the answer away from it.
    async fn close(&mut self) -> Result<(), ConnectionError<S::Error>> {
        self.stream.finish().map_err(ConnectionError::Io)?;
        let deadline = self.after(self.limits.linger);
        for _ in 0..64 {
            self.received.consume(usize::MAX);
            if !matches!(self.receive(deadline).await, Received::Bytes) {
                break;
            }
        }
        Ok(())
    }

    fn after(&self, duration: Duration) -> u64 {
        self.site
            .outside()
            .recently()
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
