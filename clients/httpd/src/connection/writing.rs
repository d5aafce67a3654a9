//! Writes an answer: head and body together, and for as long as the client takes some of it.

use super::{Connection, ConnectionError, Stream, nanoseconds};
use crate::{
    head::Method,
    response::{Response, Status},
    snapshot::{Outside, Timer},
};
use core::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
};

/// Until when an answer may take, known since the client first kept it waiting.
#[derive(Default)]
struct Patience {
    /// All of it.
    end: Option<u64>,
    /// Some of it.
    stall: Option<u64>,
}

impl<S: Stream, O: Outside> Connection<'_, S, O> {
    /// Sends an answer, to HEAD without its body, and counts it. Nothing is kept of it between two looks but how much was sent.
    pub(super) fn answer(
        &mut self,
        response: &Response,
        method: Method,
        keep_alive: bool,
    ) -> impl Future<Output = Result<(), ConnectionError<S::Error>>> {
        let body = match method {
            Method::Head => 0,
            _ => response.body.len(),
        };
        let (mut sent, mut patience) = (0_usize, Patience::default());
        poll_fn(move |context| {
            loop {
                let mut digits = [0; 20];
                let [front, length, rest] = response.head(keep_alive, &mut digits);
                let head = front.len() + length.len() + rest.len();
                let position = sent.saturating_sub(head);
                // As much as lies together.
                let block = match position < body {
                    true => response.body.block(position),
                    false => &[],
                };
                let mut parts = [front, length, rest, block];
                if sent > 0 {
                    skip(&mut parts, sent.min(head));
                }
                let written = pin!(self.stream.write(&parts)).poll(context);
                match written {
                    Poll::Ready(Ok(written)) => sent = sent.saturating_add(written),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(ConnectionError::Io(error))),
                    Poll::Pending => return self.poll_slow(&mut patience, context),
                }
                if sent >= head.saturating_add(body) {
                    self.count(response.head.status, sent);
                    return Poll::Ready(Ok(()));
                }
                patience.stall = None;
            }
        })
    }

    /// A client that takes nothing must not keep its place for as long as one with a slow line may.
    fn poll_slow(
        &mut self,
        patience: &mut Patience,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError<S::Error>>> {
        let (limits, now) = (self.limits, self.site.outside().recently());
        let after = |duration| now.saturating_add(nanoseconds(duration));
        let end = *patience.end.get_or_insert_with(|| after(limits.answer));
        let stall = *patience.stall.get_or_insert_with(|| after(limits.stall));
        self.timer
            .poll_until(end.min(stall), context)
            .map(|()| Err(ConnectionError::SlowReader))
    }

    fn count(&self, status: Status, sent: usize) {
        self.place.registry().count(|counters| {
            let answers = match status {
                Status::Ok => &mut counters.requests,
                _ => &mut counters.refused,
            };
            *answers = answers.saturating_add(1);
            counters.bytes = counters.bytes.saturating_add(sent as u64);
        });
    }
}

/// Takes the first `count` bytes off.
fn skip(parts: &mut [&[u8]; 4], mut count: usize) {
    for part in parts {
        let (_, rest) = part.split_at(count.min(part.len()));
        count -= part.len() - rest.len();
        *part = rest;
    }
}
