//! Writes an answer: head and body in one piece if they are small, and for as long as the client takes some of it.
//!
//! What was sent last is kept, unless it was made for the moment: a client that asks for the same again is given it as it is.

use super::{Connection, ConnectionError, Stream, nanoseconds};
use crate::{
    head::Method,
    response::Response,
    snapshot::{Outside, Timer},
};
use alloc::vec::Vec;
use core::{future::poll_fn, pin::pin, task::Poll};

/// A body up to this length is written together with the head.
const SMALL: usize = 4096;

/// The answer that was sent last, from its head on; without its body where that is large, or was not asked for.
#[derive(Default)]
pub(super) struct Last {
    bytes: Vec<u8>,
    /// What it answered: the response, whether more may follow, and whether it has the body.
    of: Option<(Response, bool, bool)>,
}

impl Last {
    /// The bytes of an answer, with a small body behind the head if `body` says so.
    fn of(&mut self, response: Response, keep_alive: bool, body: bool) -> (&[u8], &Response) {
        let wanted = (response, keep_alive, body);
        let is_known = self.of.as_ref().is_some_and(|(last, alive, whole)| {
            last.is_same(&wanted.0) && (*alive, *whole) == (keep_alive, body)
        });
        let (response, ..) = match is_known {
            true => self.of.get_or_insert(wanted),
            false => self.of.insert(wanted),
        };
        if !is_known {
            self.bytes.clear();
            response.write_head(keep_alive, &mut self.bytes);
            let mut taken = 0;
            while body && taken < response.body.len() {
                let block = response.body.block(taken);
                self.bytes.extend_from_slice(block);
                taken += block.len();
            }
        }
        (&self.bytes, response)
    }
}

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
        response: Response,
        method: Method,
        keep_alive: bool,
    ) -> Result<(), ConnectionError<S::Error>> {
        let mut last = core::mem::take(&mut self.last);
        let with_body = method != Method::Head;
        let is_small = response.body.len() <= SMALL;
        let (bytes, response) = last.of(response, keep_alive, with_body && is_small);
        let mut patience = Patience::default();
        self.write(bytes, &mut patience).await?;
        let mut sent = bytes.len();
        if with_body && !is_small {
            let mut taken = 0;
            while taken < response.body.len() {
                let block = response.body.block(taken);
                taken += self.write_some(block, &mut patience).await?;
            }
            sent = sent.saturating_add(taken);
        }
        if response.body.is_passing() {
            last.of = None;
        }
        self.last = last;
        self.stream.flush().await.map_err(ConnectionError::Io)?;
        self.place
            .registry()
            .count(|counters| counters.bytes = counters.bytes.saturating_add(sent as u64));
        Ok(())
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
