//! The heart of this crate: one session, its sockets, timers and waiters. [`Engine::turn`] moves everything on;
//! nothing here blocks but [`System::wait`].

mod link;

pub(crate) use self::link::Link;
use crate::{
    net::Config,
    requests::Pending,
    session::{Session, Violation},
    sockets::Sockets,
    system::{OpenError, System, Wake},
    wakers::{Timers, WakerSet},
};
use alloc::{boxed::Box, vec::Vec};
use core::task::Waker;
use ipc_proto::socket::{Request, RequestId};

const MILLISECOND: u64 = 1_000_000;
/// While there is always something to do, events of the process are still looked for this often.
const POLL_INTERVAL: u64 = 10 * MILLISECOND;
/// Passes of the executor in a row, with tasks still ready, behind the first of which the stack need not be told what they did. Told
/// in the middle of it, the stack, which runs first, would run once more for each.
const PASSES_UNTOLD: u32 = 4;
/// Reads and writes that succeed at once in one turn before the task has to let others run.
const OPERATIONS_PER_TURN: u32 = 256;

pub(crate) struct Engine {
    system: Box<dyn System>,
    arena: usize,
    pub(crate) link: Link,
    /// Number of the session: what belongs to an earlier one is over.
    pub(crate) epoch: u64,
    /// How many attempts to open a session failed, and how the last one did.
    pub(crate) refusals: (u64, OpenError),
    pub(crate) sockets: Sockets,
    /// When the next listener or UDP socket that lost its session is due.
    pub(crate) comeback_at: u64,
    pub(crate) timers: Timers,
    /// To be woken when nothing is borrowed any more.
    pub(crate) woken: Vec<Waker>,
    /// Wait for a session.
    pub(crate) link_waiters: WakerSet,
    /// Wait for room in the arena or for a socket.
    pub(crate) space_waiters: WakerSet,
    /// Wait for an event of the process, which are counted.
    pub(crate) event_waiters: WakerSet,
    pub(crate) events: u64,
    /// An executor runs: the doorbell is rung at the end of its pass, not by each call.
    pub(crate) batching: bool,
    /// Passes in a row of which the stack was not told.
    untold: u32,
    /// Reads and writes that may still succeed at once in this turn.
    pub(crate) operations_left: u32,
    waited_at: u64,
    /// The time of the last turn: timers up to then have run out.
    pub(crate) turned_at: u64,
    /// Sessions lost soon after they were opened.
    short_lives: u32,
}

impl Engine {
    pub(crate) fn new(system: Box<dyn System>, config: &Config) -> Engine {
        Engine {
            system,
            arena: config.arena,
            link: Link::Down {
                retry_at: 0,
                failures: 0,
            },
            epoch: 0,
            refusals: (0, OpenError::Unavailable),
            sockets: Sockets::default(),
            comeback_at: u64::MAX,
            timers: Timers::default(),
            woken: Vec::new(),
            link_waiters: WakerSet::default(),
            space_waiters: WakerSet::default(),
            event_waiters: WakerSet::default(),
            events: 0,
            batching: false,
            untold: 0,
            operations_left: OPERATIONS_PER_TURN,
            waited_at: 0,
            turned_at: 0,
            short_lives: 0,
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.system.now()
    }

    /// The session, if there is one.
    pub(crate) fn session(&mut self) -> Option<&mut Session> {
        match &mut self.link {
            Link::Up(session) => Some(session),
            Link::Down { .. } => None,
        }
    }

    /// The session, if it is still the one with this number.
    pub(crate) fn session_of(&mut self, epoch: u64) -> Option<&mut Session> {
        if self.epoch == epoch {
            self.session()
        } else {
            None
        }
    }

    /// Sends a question; its number, unless there is no session.
    pub(crate) fn ask(&mut self, request: impl FnOnce(RequestId) -> Request) -> Option<RequestId> {
        let id = self
            .session()
            .map(|session| session.submit(Pending::Answer(WakerSet::default()), request));
        self.flush_soon();
        id
    }

    /// One pass over everything that may have happened; bounded. Shows the stack what was done, sleeps till `sleep_until`, if given and
    /// if there is nothing to do, and takes in what has happened by then. In the middle of an executor's work, what was done may wait.
    pub(crate) fn turn(&mut self, sleep_until: Option<u64>) {
        self.operations_left = OPERATIONS_PER_TURN;
        let may_wait = self.batching && sleep_until.is_none() && self.untold < PASSES_UNTOLD;
        self.untold = if may_wait { self.untold + 1 } else { 0 };
        let ring = !may_wait && self.publish();
        let slept = match sleep_until {
            Some(deadline) if self.woken.is_empty() => self.sleep(deadline, ring),
            _ => {
                if ring {
                    self.system.ring();
                }
                false
            }
        };
        let now = self.now();
        self.turned_at = now;
        if slept {
            self.waited_at = now;
        } else if now.saturating_sub(self.waited_at) >= POLL_INTERVAL {
            self.collect();
            self.waited_at = now;
        }
        self.timers.expire(now, &mut self.woken);
        if let Link::Down { retry_at, .. } = self.link
            && retry_at <= now
            && self.wants_session()
        {
            self.open(now);
        }
        if self.comeback_at <= now {
            self.bring_back(now);
        }
        self.serve();
        self.flush_soon();
    }

    /// Sleeps till `deadline` or earlier, and rings the stack's doorbell in any case. False: there is something to do first.
    fn sleep(&mut self, deadline: u64, ring: bool) -> bool {
        let Some(deadline) = self.prepare_sleep(deadline) else {
            if ring {
                self.system.ring();
            }
            return false;
        };
        let wake = match ring {
            true => self.system.ring_and_wait(deadline),
            false => self.system.wait(deadline),
        };
        self.woke(wake);
        self.awake();
        true
    }

    /// Announces to the stack that this side is about to sleep, till `deadline` or earlier: the result. `None`: there is something
    /// to do first.
    pub(crate) fn prepare_sleep(&mut self, deadline: u64) -> Option<u64> {
        let mut deadline = deadline.min(self.timers.next());
        match &mut self.link {
            Link::Up(session) => {
                deadline = deadline.min(self.comeback_at);
                // What closed sockets give back is news only to those who wait for it.
                session.channel.set_patient(self.space_waiters.is_empty());
                if session.broken.is_some() || !session.channel.prepare_sleep() {
                    return None;
                }
            }
            Link::Down { retry_at, .. } => {
                let retry_at = *retry_at;
                if self.wants_session() {
                    deadline = deadline.min(retry_at);
                }
            }
        }
        Some(deadline)
    }

    /// Withdraws [`Engine::prepare_sleep`].
    fn awake(&mut self) {
        if let Some(session) = self.session() {
            session.channel.awake();
        }
    }

    /// Ends a sleep that the program slept itself: withdraws the announcement, and collects why it ended.
    pub(crate) fn wake_up(&mut self) {
        self.awake();
        self.collect();
        self.waited_at = self.now();
    }

    /// Collects why the program was woken, without waiting.
    #[inline(never)]
    fn collect(&mut self) {
        let wake = self.system.wait(0);
        self.woke(wake);
    }

    fn woke(&mut self, wake: Wake) {
        let Wake {
            doorbell: _,
            stack_gone,
            other,
        } = wake;
        if other {
            self.events = self.events.wrapping_add(1);
            self.event_waiters.wake(&mut self.woken);
        }
        if stack_gone {
            self.lose(&"the network stack is gone");
        }
    }

    /// Shows the stack what was done, and rings its doorbell if it sleeps.
    pub(crate) fn flush(&mut self) {
        if self.publish() {
            self.system.ring();
        }
    }

    /// Shows the stack what was done. Returns whether it sleeps and has to be rung.
    fn publish(&mut self) -> bool {
        match &mut self.link {
            Link::Up(session) => {
                session.send_waiting();
                session.channel.flush()
            }
            Link::Down { .. } => false,
        }
    }

    /// [`Engine::flush`], unless the executor does it at the end of its pass.
    pub(crate) fn flush_soon(&mut self) {
        if !self.batching {
            self.flush();
        }
    }

    /// Takes in what the stack has said.
    fn serve(&mut self) {
        for _ in 0..Session::BATCH {
            let Link::Up(session) = &mut self.link else {
                break;
            };
            // By reference: a reply has room for the longest.
            match &session.receive() {
                Ok(Some(reply)) => self.on_reply(reply),
                Ok(None) => break,
                Err(error) => session.broken = Some(Violation::Peer(*error)),
            }
        }
        if let Link::Up(session) = &mut self.link {
            session.send_waiting();
            let (sockets, woken) = (&mut self.sockets, &mut self.woken);
            session.take_events(&mut |key| {
                if let Some(socket) = sockets.get_mut(key) {
                    socket.wake(woken);
                }
            });
            if let Some(error) = session.broken {
                self.lose(&error);
            }
        }
    }
}
