//! The tasks of the executor: many futures in one thread.
//!
//! Wakers have to be `Send + Sync`, so a task is woken by setting its bit in a shared word; 64 tasks share one. Everything
//! else stays in the thread.

use alloc::{boxed::Box, rc::Rc, sync::Arc, task::Wake, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
};

/// Tasks that share a word.
const GROUP: usize = 64;

/// Sets one bit of its group's word.
struct Bit {
    word: Arc<AtomicU64>,
    mask: u64,
}

impl Wake for Bit {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.word.fetch_or(self.mask, Ordering::Relaxed);
    }
}

/// A task's place. Its waker serves whatever task is there.
struct Place {
    waker: Waker,
    /// Borrowed while it is polled.
    task: RefCell<Option<Task>>,
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// All tasks.
#[derive(Default)]
pub(crate) struct Tasks {
    groups: RefCell<Vec<Arc<AtomicU64>>>,
    places: RefCell<Vec<Rc<Place>>>,
    free: RefCell<Vec<usize>>,
    /// Set while tasks are polled: a blocking call inside a task must not poll tasks again.
    running: Cell<bool>,
}

impl Tasks {
    /// Starts a task.
    pub(crate) fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        let join = Rc::new(RefCell::new(Join {
            output: None,
            waiter: None,
        }));
        let result = Rc::clone(&join);
        // Moved once: an `async` block around it would hold it twice.
        let mut running = Some(Box::pin(future));
        let task: Task = Box::pin(poll_fn(move |context| {
            let Some(future) = &mut running else {
                return Poll::Ready(());
            };
            let Poll::Ready(output) = future.as_mut().poll(context) else {
                return Poll::Pending;
            };
            running = None;
            let waiter = {
                let mut join = result.borrow_mut();
                join.output = Some(output);
                join.waiter.take()
            };
            if let Some(waiter) = waiter {
                waiter.wake();
            }
            Poll::Ready(())
        }));
        let index = self.free.borrow_mut().pop();
        let index = index.unwrap_or_else(|| {
            let mut places = self.places.borrow_mut();
            let index = places.len();
            places.push(Rc::new(Place {
                waker: self.waker(index),
                task: RefCell::default(),
            }));
            index
        });
        if let Some(place) = self.places.borrow().get(index) {
            *place.task.borrow_mut() = Some(task);
            place.waker.wake_by_ref();
        }
        JoinHandle(join)
    }

    fn waker(&self, index: usize) -> Waker {
        let mut groups = self.groups.borrow_mut();
        let group = index / GROUP;
        while groups.len() <= group {
            groups.push(Arc::new(AtomicU64::new(0)));
        }
        let word = groups.get(group).map(Arc::clone).unwrap_or_default();
        Waker::from(Arc::new(Bit {
            word,
            mask: 1 << (index % GROUP),
        }))
    }

    /// Whether a task is to be polled.
    pub(crate) fn is_ready(&self) -> bool {
        !self.running.get()
            && self
                .groups
                .borrow()
                .iter()
                .any(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// Polls each task that was woken, once.
    pub(crate) fn run(&self) {
        if self.running.replace(true) {
            return;
        }
        let mut group = 0;
        loop {
            // Not held while tasks run: they may spawn.
            let Some(word) = self
                .groups
                .borrow()
                .get(group)
                .map(|word| word.swap(0, Ordering::Relaxed))
            else {
                break;
            };
            let mut bits = word;
            while bits != 0 {
                self.poll(group * GROUP + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
            group += 1;
        }
        self.running.set(false);
    }

    fn poll(&self, index: usize) {
        // Held apart from the others: a task may spawn.
        let place = self.places.borrow().get(index).map(Rc::clone);
        let Some(place) = place else {
            return;
        };
        let ended = {
            let mut running = place.task.borrow_mut();
            // Woken once more after it had ended?
            let Some(task) = &mut *running else {
                return;
            };
            let context = &mut Context::from_waker(&place.waker);
            if task.as_mut().poll(context).is_pending() {
                return;
            }
            running.take()
        };
        self.free.borrow_mut().push(index);
        // Dropped with nothing borrowed: what the task owned may spawn or close.
        drop(ended);
    }
}

struct Join<T> {
    output: Option<T>,
    waiter: Option<Waker>,
}

/// The result of a task, as a future. Dropping it lets the task go on.
pub struct JoinHandle<T>(Rc<RefCell<Join<T>>>);

impl<T> Future for JoinHandle<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut join = self.0.borrow_mut();
        match join.output.take() {
            Some(output) => Poll::Ready(output),
            None => {
                join.waiter = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> JoinHandle<T> {
    /// Whether the task has ended and its result was not taken.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.borrow().output.is_some()
    }
}
