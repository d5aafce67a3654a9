//! Waiting for a time, alone or beside something else.

use crate::{
    error::{ErrorKind, Result},
    future::{Either, select},
    net::Net,
    wakers::TimerKey,
};
use core::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

impl Net {
    /// When `duration` from now is; never if it is too far away.
    pub(crate) fn after(&self, duration: Duration) -> u64 {
        u64::try_from(duration.as_nanos())
            .ok()
            .and_then(|nanos| self.now().checked_add(nanos))
            .unwrap_or(u64::MAX)
    }

    /// Ends after `duration`.
    #[must_use]
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.after(duration))
    }

    /// Ends at `deadline` ([`Net::now`]).
    #[must_use]
    pub fn sleep_until(&self, deadline: u64) -> Sleep {
        Sleep {
            deadline,
            timer: self.timer(),
        }
    }

    /// A timer to be used again and again.
    #[must_use]
    pub fn timer(&self) -> Timer {
        Timer {
            net: self.clone(),
            set: None,
        }
    }

    /// The result of `future`. In a loop, [`Timer::timeout`] does the same for less.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it takes longer than `duration`; it is then dropped.
    pub async fn timeout<F: Future>(&self, duration: Duration, future: F) -> Result<F::Output> {
        match select(future, self.sleep(duration)).await {
            Either::First(output) => Ok(output),
            Either::Second(()) => Err(ErrorKind::TimedOut.into()),
        }
    }
}

/// A timer for deadlines that mostly do not come to pass, each later than the one before it: one that was set stays set, and if it runs
/// out too early, its task is polled for nothing and sets it anew.
pub struct Timer {
    net: Net,
    /// Which timer was set, and who is woken by it.
    set: Option<(TimerKey, Waker)>,
}

impl Timer {
    /// Whether `deadline` ([`Net::now`]) had passed when this turn of the executor began; if not, the task is woken then, or earlier.
    pub fn poll_until(&mut self, deadline: u64, context: &Context<'_>) -> Poll<()> {
        let set = &mut self.set;
        self.net.with(|engine| {
            let now = engine.turned_at;
            if deadline <= now {
                return Poll::Ready(());
            }
            let waker = context.waker();
            if let Some((timer, known)) = set {
                let (at, _) = *timer;
                // One that was due has run out.
                if now < at && at <= deadline && known.will_wake(waker) {
                    return Poll::Pending;
                }
                engine.timers.remove(*timer);
            }
            *set = Some((engine.timers.insert(deadline, waker.clone()), waker.clone()));
            Poll::Pending
        })
    }

    /// The result of `future`.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it takes longer than `duration`; it is then dropped.
    pub async fn timeout<F: Future>(&mut self, duration: Duration, future: F) -> Result<F::Output> {
        let mut future = pin!(future);
        let mut deadline = None;
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            let deadline = *deadline.get_or_insert_with(|| self.net.after(duration));
            self.poll_until(deadline, context)
                .map(|()| Err(ErrorKind::TimedOut.into()))
        })
        .await
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some((timer, _)) = self.set {
            self.net.with(|engine| engine.timers.remove(timer));
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timer")
    }
}

/// See [`Net::sleep`].
#[derive(Debug)]
pub struct Sleep {
    deadline: u64,
    timer: Timer,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        self.timer.poll_until(deadline, context)
    }
}
