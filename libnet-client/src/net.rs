//! [`Net`]: a program's access to the network, and the executor for its tasks.

use crate::{
    arena::Sizes,
    engine::{Engine, Link},
    error::{Error, ErrorKind, Result},
    future::{Either, select},
    system::System,
    tasks::{JoinHandle, Tasks},
    wakers::Flag,
};
use alloc::{boxed::Box, rc::Rc};
use core::{
    cell::RefCell,
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

/// How a program uses the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Bytes of session memory for the buffers of all sockets. A connection or UDP socket takes its two buffers and 128
    /// bytes.
    pub arena: usize,
    /// Bytes of a socket's receive buffer, rounded up to a power of two from 1 KiB to 4 MiB. See also [`Net::with_buffers`].
    pub receive_buffer: usize,
    /// Bytes of a socket's transmit buffer, likewise.
    pub transmit_buffer: usize,
    /// How long [`crate::TcpStream::connect`] tries for each address.
    pub connect_timeout: Duration,
    /// How long a call waits for a network stack that is not running before it fails with [`ErrorKind::NetworkDown`].
    pub stack_timeout: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            arena: 4 << 20,
            receive_buffer: 64 << 10,
            transmit_buffer: 64 << 10,
            connect_timeout: Duration::from_secs(30),
            stack_timeout: Duration::from_secs(10),
        }
    }
}

/// A program's access to the network: one session with the stack. Clones share it. For one thread.
///
/// The session is opened by the first call that needs it, and opened again when the stack was restarted: connections
/// then fail with [`ErrorKind::ConnectionReset`], listeners and UDP sockets come back by themselves.
///
/// Calls of sockets block, or have a twin that ends in `_async` for tasks of the executor ([`Net::block_on`], [`Net::spawn`]).
/// A blocking call inside a task holds up all other tasks.
#[derive(Clone)]
pub struct Net {
    shared: Rc<Shared>,
    sizes: Sizes,
}

struct Shared {
    engine: RefCell<Engine>,
    tasks: Tasks,
    config: Config,
}

impl Net {
    /// Access to the network through `system`. Nothing happens before the first call.
    #[must_use]
    pub fn new(system: impl System + 'static, config: Config) -> Net {
        Net {
            sizes: Sizes::holding(config.receive_buffer, config.transmit_buffer),
            shared: Rc::new(Shared {
                engine: RefCell::new(Engine::new(Box::new(system), &config)),
                tasks: Tasks::default(),
                config,
            }),
        }
    }

    /// The same access, whose sockets get buffers of other sizes (as in [`Config`]).
    #[must_use]
    pub fn with_buffers(&self, receive: usize, transmit: usize) -> Net {
        Net {
            shared: Rc::clone(&self.shared),
            sizes: Sizes::holding(receive, transmit),
        }
    }

    /// Nanoseconds since some start.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.shared.engine.borrow().now()
    }

    /// [`Net::now`] as it was when this turn of the executor began. Timers go by it; for limits it is as good, and asks no clock.
    #[must_use]
    pub fn turn_began(&self) -> u64 {
        self.shared.engine.borrow().turned_at
    }

    pub(crate) fn sizes(&self) -> Sizes {
        self.sizes
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Runs `f` on the shared state, and then wakes whom it woke.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Engine) -> T) -> T {
        let mut engine = self.shared.engine.borrow_mut();
        let result = f(&mut engine);
        while let Some(waker) = engine.woken.pop() {
            // A waker may do anything, even call in here.
            drop(engine);
            waker.wake();
            engine = self.shared.engine.borrow_mut();
        }
        result
    }

    /// Runs `future` and all tasks until `future` ends. Inside a task, other tasks do not run meanwhile.
    ///
    /// Messages to the stack are collected and shown to it once in each pass over the tasks that are ready.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let batching = self.with(|engine| core::mem::replace(&mut engine.batching, true));
        let future = pin!(future);
        let output = self.run(future, None, true);
        self.with(|engine| {
            engine.batching = batching;
            engine.flush_soon();
        });
        match output {
            Some(output) => output,
            // Without a deadline there is always a result.
            None => unreachable!("no deadline was given"),
        }
    }

    /// Runs `future` alone until it ends (`Some`) or the deadline has passed (`None`).
    pub(crate) fn drive<F: Future>(&self, deadline: u64, future: F) -> Option<F::Output> {
        self.run(pin!(future), Some(deadline), false)
    }

    /// [`Net::drive`] without a deadline.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.drive(u64::MAX, future)
            .unwrap_or(Err(ErrorKind::TimedOut.into()))
    }

    fn run<F: Future>(
        &self,
        mut future: Pin<&mut F>,
        deadline: Option<u64>,
        run_tasks: bool,
    ) -> Option<F::Output> {
        let flag = Flag::raised();
        let waker = Waker::from(flag.clone());
        let mut context = Context::from_waker(&waker);
        let tasks = &self.shared.tasks;
        loop {
            if flag.take() {
                if let Poll::Ready(output) = poll_apart(future.as_mut(), &mut context) {
                    return Some(output);
                }
                if deadline.is_some_and(|deadline| deadline != u64::MAX && deadline <= self.now())
                    && !flag.is_up()
                {
                    return None;
                }
            }
            if run_tasks {
                tasks.run();
            }
            let busy = flag.is_up() || run_tasks && tasks.is_ready();
            let sleep_until = deadline.unwrap_or(u64::MAX);
            self.with(|engine| engine.turn((!busy).then_some(sleep_until)));
            if !flag.is_up()
                && deadline.is_some_and(|deadline| deadline != u64::MAX && deadline <= self.now())
            {
                return None;
            }
        }
    }

    /// One pass for a program that has an event loop of its own, in place of [`Net::block_on`]: collects why the program woke up
    /// ([`System::wait`] with a deadline that has passed), takes in what the stack has said, runs each task that is ready once, and shows the
    /// stack what they did. Never waits.
    ///
    /// `None`: something is left to do, call it again soon. `Some(deadline)`: the stack now believes that the program sleeps. Call it again when
    /// `deadline` ([`Net::now`]; `u64::MAX` is never) has passed, when the session's doorbell has rung, when the stack has died, or behind
    /// calls of sockets made outside of tasks; calling it earlier is harmless.
    #[must_use = "it says when to call again"]
    pub fn step(&self) -> Option<u64> {
        let batching = self.with(|engine| core::mem::replace(&mut engine.batching, true));
        self.with(Engine::wake_up);
        self.with(|engine| engine.turn(None));
        self.shared.tasks.run();
        self.with(|engine| {
            engine.batching = batching;
            engine.flush();
        });
        if self.shared.tasks.is_ready() {
            return None;
        }
        self.with(|engine| engine.prepare_sleep(u64::MAX))
    }

    /// Does what is due without waiting: for calls that do not block.
    pub(crate) fn pump(&self) {
        self.with(|engine| engine.turn(None));
    }

    /// Starts a task, which runs whenever [`Net::block_on`] does. A task that never ends lives, and what it owns, as long as the program.
    pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.shared.tasks.spawn(future)
    }

    /// Lets all other tasks that are ready run once.
    pub async fn yield_now(&self) {
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

    /// Ends with the next event of the process that is none of the network's ([`crate::Wake::other`]), counted from this call:
    /// take the future first, then look for input, then await it.
    #[must_use]
    pub fn on_event(&self) -> OnEvent {
        OnEvent {
            seen: self.with(|engine| engine.events),
            net: self.clone(),
        }
    }

    /// Waits until the stack has taken over all bytes of streams that were closed, at most for `timeout`. For a program that is about to
    /// end: its session memory ends with it.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if some bytes are still there.
    pub fn finish(&self, timeout: Duration) -> Result<()> {
        let all_closed = poll_fn(|context| {
            self.with(|engine| match engine.session() {
                Some(session) if session.is_closing() => {
                    engine.space_waiters.add(context.waker());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            })
        });
        self.drive(self.after(timeout), all_closed)
            .ok_or(ErrorKind::TimedOut.into())
    }

    /// Why there is no session, if there is none.
    pub(crate) fn why_down(&self) -> Option<Error> {
        self.with(|engine| match engine.link {
            Link::Up(_) => None,
            Link::Down { .. } => Some(engine.refusals.1.into()),
        })
    }

    /// Waits for a session.
    pub(crate) async fn session(&self) -> Result<()> {
        let deadline = self.after(self.config().stack_timeout);
        let timeout = self.sleep_until(deadline);
        let seen = self.with(|engine| engine.refusals.0);
        let opened =
            poll_fn(|context| self.with(|engine| engine.poll_session(seen, context.waker())));
        match select(opened, timeout).await {
            Either::First(result) => result,
            Either::Second(()) => Err(self.with(|engine| Error::from(engine.refusals.1))),
        }
    }
}

/// What a program does in the beginning, and seldom later: not among the instructions of each pass.
#[inline(never)]
fn poll_apart<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    future.poll(context)
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

/// See [`Net::on_event`].
#[derive(Debug)]
pub struct OnEvent {
    net: Net,
    seen: u64,
}

impl Future for OnEvent {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.net.with(|engine| {
            if engine.events != self.seen {
                return Poll::Ready(());
            }
            engine.event_waiters.add(context.waker());
            Poll::Pending
        })
    }
}
