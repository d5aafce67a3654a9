//! Writes an answer: head and body together, and for as long as the client takes some of it.

use super::{Connection, ConnectionError, Stream, nanoseconds};
use crate::{
    head::Method,
    response::{Response, Status},
    snapshot::{Outside, Timer},
};
use core::{future::poll_fn, pin::pin, task::Poll};

/// Until when an answer may take, known since the client first kept it waiting.
#[derive(Default)]
struct Patience {
    /// All of it.
    end: Option<u64>,
    /// Some of it.
    stall: Option<u64>,
}

/// What is written at once: the head in three pieces, and as much of the body as lies together.
type Parts<'a> = [&'a [u8]; 4];

impl<S: Stream, O: Outside> Connection<'_, S, O> {
    /// Sends an answer, to HEAD without its body, and counts it.
    pub(super) async fn answer(
        &mut self,
        response: &Response,
        method: Method,
        keep_alive: bool,
    ) -> Result<(), ConnectionError<S::Error>> {
        let body = match method {
            Method::Head => 0,
            _ => response.body.len(),
        };
        let mut digits = [0; 20];
        let [front, length, rest] = response.head(keep_alive, &mut digits);
        let mut parts: Parts<'_> = [front, length, rest, &[]];
        let mut patience = Patience::default();
        let (mut sent, mut taken) = (0_u64, 0);
        loop {
            if taken < body {
                let block = response.body.block(taken);
                taken += block.len();
                let [.., last] = &mut parts;
                *last = block;
            }
            let mut left = parts.iter().map(|part| part.len()).sum::<usize>();
            sent = sent.saturating_add(left as u64);
            loop {
                let written = self.write_some(&parts, &mut patience).await?;
                left = left.saturating_sub(written);
                if left == 0 {
                    break;
                }
                advance(&mut parts, written);
            }
            // The head is not written again.
            parts = Parts::default();
            if taken >= body {
                break;
            }
        }
        self.place.registry().count(|counters| {
            let answers = match response.head.status {
                Status::Ok => &mut counters.requests,
                _ => &mut counters.refused,
            };
            *answers = answers.saturating_add(1);
            counters.bytes = counters.bytes.saturating_add(sent);
        });
        Ok(())
    }

    /// Writes some of `parts`. A client that takes nothing must not keep its place for as long as one with a slow line may.
    fn write_some(
        &mut self,
        parts: &Parts<'_>,
        patience: &mut Patience,
    ) -> impl Future<Output = Result<usize, ConnectionError<S::Error>>> {
        let (stream, timer) = (&mut self.stream, &mut self.timer);
        let (limits, outside) = (self.limits, self.site.outside());
        poll_fn(move |context| {
            if let Poll::Ready(written) = pin!(stream.write(parts)).poll(context) {
                patience.stall = None;
                return Poll::Ready(written.map_err(ConnectionError::Io));
            }
            let after = |duration| outside.recently().saturating_add(nanoseconds(duration));
            let end = *patience.end.get_or_insert_with(|| after(limits.answer));
            let stall = *patience.stall.get_or_insert_with(|| after(limits.stall));
            timer
                .poll_until(end.min(stall), context)
                .map(|()| Err(ConnectionError::SlowReader))
        })
    }
}

/// Takes the first `count` bytes off.
fn advance(parts: &mut Parts<'_>, mut count: usize) {
    for part in parts {
        let (written, rest) = part.split_at(count.min(part.len()));
        count -= written.len();
        *part = rest;
    }
}
