//! What clients run: tasks on the real client library. They write into the book what they do, and judge what they get.

pub mod ask;
pub mod hog;
pub mod names;
pub mod stream;
pub mod udp;

use crate::{book::Book, random::Random, trace::Note};
use libnet_client::{Error, ErrorKind, Net};
use std::{
    cell::RefCell,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

/// Longest time that any step of a program may take, whatever the faults: longer than all timeouts of stacks and library.
pub const PATIENCE: Duration = Duration::from_secs(400);

/// A program's future, which the world can drop without the executor's help.
type Slot = Rc<RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>>;

/// The programs of a process.
#[derive(Clone, Default)]
pub struct Programs(Rc<RefCell<Vec<Slot>>>);

/// The task that runs a program.
struct Runner(Slot);

impl Future for Runner {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut slot = self.0.borrow_mut();
        let Some(program) = slot.as_mut() else {
            return Poll::Ready(());
        };
        let polled = program.as_mut().poll(context);
        if polled.is_ready() {
            let ended = slot.take();
            drop(slot);
            drop(ended);
        }
        polled
    }
}

impl Programs {
    /// Drops all of them, and what they own.
    pub fn end(&self) {
        let slots = core::mem::take(&mut *self.0.borrow_mut());
        for slot in slots {
            let program = slot.borrow_mut().take();
            drop(program);
        }
    }

    /// How many have not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        let mut slots = self.0.borrow_mut();
        slots.retain(|slot| slot.borrow().is_some());
        slots.len()
    }
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// Which client it is.
    pub client: usize,
    /// Its host.
    pub host: usize,
    /// Its ports.
    pub tcp: u16,
    /// Its ports.
    pub udp: u16,
}

/// What a program has.
#[derive(Clone)]
pub struct Env {
    /// The network.
    pub net: Net,
    /// The book.
    pub book: Book,
    /// Its process's random numbers.
    pub random: Rc<RefCell<Random>>,
    /// Which client it is.
    pub me: usize,
    /// Everybody who serves, and the addresses of all hosts.
    pub servers: Rc<Vec<Server>>,
    /// The addresses of all hosts.
    pub addresses: Rc<Vec<Vec<IpAddr>>>,
    /// Longest datagram that its buffers hold.
    pub datagram: u64,
    /// The process's programs.
    pub programs: Programs,
}

impl Env {
    /// Starts a program.
    pub fn spawn(&self, program: impl Future<Output = ()> + 'static) {
        let slot: Slot = Rc::new(RefCell::new(Some(Box::pin(program))));
        self.programs.0.borrow_mut().push(Rc::clone(&slot));
        let _task = self.net.spawn(Runner(slot));
    }

    /// Starts a program that comes to an end.
    pub fn spawn_job(&self, program: impl Future<Output = ()> + 'static) {
        let job = Job::begin(&self.book);
        self.spawn(async move {
            let _job = job;
            program.await;
        });
    }

    /// Uses the random numbers.
    pub fn random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.borrow_mut())
    }

    /// Notes a step.
    pub fn note(&self, what: &'static str, key: u64, value: u64) {
        self.book.note(&Note::Program {
            client: self.me,
            what,
            key,
            value,
        });
    }

    /// Sleeps some milliseconds.
    pub async fn pause(&self, millis: u64) {
        self.net.sleep(Duration::from_millis(millis)).await;
    }

    /// An address of a server.
    #[must_use]
    pub fn address_of(&self, server: &Server, port: u16) -> SocketAddr {
        let addresses = &self.addresses[server.host];
        let address = self.random(|random| random.pick(addresses));
        SocketAddr::new(address, port)
    }

    /// Judges an error that only a fault explains.
    pub fn judge(&self, what: &str, error: Error, remote: Option<IpAddr>, since: u64) {
        self.note("error", 0, error.kind() as u64);
        if !self.book.is_excused(&[self.me], remote, since) {
            self.book.fail(format!(
                "client {}: {what} failed without a reason: {error} ({:?})",
                self.me,
                error.kind()
            ));
        }
    }
}

impl Env {
    /// Judges an error that only harm done to this very process explains.
    pub fn judge_own(&self, what: &str, error: Error, since: u64) {
        self.note("error", 1, error.kind() as u64);
        if !self.book.is_client_harmed(self.me, since) {
            self.book.fail(format!(
                "client {}: {what} failed, but sockets survive this: {error} ({:?})",
                self.me,
                error.kind()
            ));
        }
    }
}

/// Whether an error says that a quota or the session's own memory is used up.
#[must_use]
pub fn is_quota(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::QuotaExceeded | ErrorKind::OutOfMemory
    )
}

/// Marks a job as under way, for as long as it lives.
struct Job(Book);

impl Job {
    /// A job begins.
    fn begin(book: &Book) -> Job {
        book.job(true);
        Job(book.clone())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.0.job(false);
    }
}
