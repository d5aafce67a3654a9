//! Waiting for the first of two futures, and letting others have a turn.

use core::{future::poll_fn, pin::pin, task::Poll};

/// Which of two came first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Polls both in order at each wake-up until one is ready; the other is dropped.
pub(crate) async fn race<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let mut a = pin!(a);
    let mut b = pin!(b);
    poll_fn(|context| {
        if let Poll::Ready(a) = a.as_mut().poll(context) {
            return Poll::Ready(Either::First(a));
        }
        b.as_mut().poll(context).map(Either::Second)
    })
    .await
}

/// Lets everything else that is ready run before going on.
pub(crate) async fn yield_now() {
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
