//! Writes an answer: head and body in one piece if they are small, and for as long as the client takes some of it.

use super::{Connection, ConnectionError, Stream, nanoseconds};
use crate::{
    head::Method,
    response::{Body, Response},
    snapshot::{Outside, Timer},
};
use alloc::vec::Vec;
use core::{future::poll_fn, pin::pin, task::Poll};

/// A body up to this length is written together with the head.
const SMALL: usize = 4096;

/// Until when an answer may take, known since the client first kept it waiting.
#[derive(Default)]
struct Patience {
    /// All of it.
    end: Option<u64>,
    /// Some of it.
    stall: Option<u64>,
}

impl<S: Stream, O: Outside> Connection<'_, S, O> {
    /// Sends an answer; to HEAD without its body.
    pub(super) async fn answer(
        &mut self,
        response: &Response,
        method: Method,
        keep_alive: bool,
    ) -> Result<(), ConnectionError<S::Error>> {
        let mut out = core::mem::take(&mut self.out);
        out.clear();
        response.write_head(keep_alive, &mut out);
        let sent = self.send(&mut out, &response.body, method).await?;
        self.out = out;
        self.stream.flush().await.map_err(ConnectionError::Io)?;
        self.place
            .registry()
            .count(|counters| counters.bytes = counters.bytes.saturating_add(sent as u64));
        Ok(())
    }

    /// Sends what is in `out`, and the body; how much it was.
    async fn send(
        &mut self,
        out: &mut Vec<u8>,
        body: &Body,
        method: Method,
    ) -> Result<usize, ConnectionError<S::Error>> {
        let mut patience = Patience::default();
        if method == Method::Head {
            self.write(out, &mut patience).await?;
            return Ok(out.len());
        }
        let mut taken = 0;
        if body.len() <= SMALL {
            while taken < body.len() {
                let block = body.block(taken);
                out.extend_from_slice(block);
                taken += block.len();
            }
        }
        let sent = out.len().saturating_add(body.len() - taken);
        self.write(out, &mut patience).await?;
        while taken < body.len() {
            taken += self.write_some(body.block(taken), &mut patience).await?;
        }
        Ok(sent)
    }

    /// Writes all of `bytes`.
    async fn write(
        &mut self,
        mut bytes: &[u8],
        patience: &mut Patience,
    ) -> Result<(), ConnectionError<S::Error>> {
        while !bytes.is_empty() {
            let len = self.write_some(bytes, patience).await?;
            bytes = bytes.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// Writes some of `bytes`. A client that takes nothing must not keep its place for as long as one with a slow line may.
    async fn write_some(
        &mut self,
        bytes: &[u8],
        patience: &mut Patience,
    ) -> Result<usize, ConnectionError<S::Error>> {
        let (timer, limits, outside) = (&mut self.timer, self.limits, self.site.outside());
        let mut writing = pin!(self.stream.write(bytes));
        let written = poll_fn(|context| {
            if let Poll::Ready(written) = writing.as_mut().poll(context) {
                return Poll::Ready(written.map_err(ConnectionError::Io));
            }
            let after = |duration| outside.now().saturating_add(nanoseconds(duration));
            let end = *patience.end.get_or_insert_with(|| after(limits.answer));
            let stall = *patience.stall.get_or_insert_with(|| after(limits.stall));
            timer
                .poll_until(end.min(stall), context)
                .map(|()| Err(ConnectionError::SlowReader))
        })
        .await?;
        patience.stall = None;
        Ok(written)
    }
}
