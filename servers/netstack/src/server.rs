//! The library's stack on the kernel: endpoints, memory, doorbells, and who has died.
//!
//! Holds every capability of the process. Memory of a client or driver stays mapped until the library has let go of it.

mod clients;
mod drivers;

use alloc::{boxed::Box, rc::Rc, vec::Vec};
use clients::Client;
use core::{cell::Cell, fmt};
use drivers::Driver;
use netstack::{Config, Doorbell, Instant, Stack};
use rt::{Budget, Cap, Endpoint, Env, Error, FOREVER, Message, Notification, PAGE_SIZE, Slot, cap};

/// Bits of the notification: calls wait; somebody is gone. Those below are doorbells: [`netstack::DRIVER_BELL`], and those of sessions.
const NET_CALLS: u64 = 1 << 63;
const DEV_CALLS: u64 = 1 << 62;
const GONE: u64 = 1 << 61;
const ALL: u64 = u64::MAX;

/// Calls answered in one pass. More wait for the next.
const PASS_CALLS: usize = 16;

/// Whom to ring when the pass is over: ringing and waiting are one system call, and nobody runs in between.
type Due = Rc<Cell<Option<Slot>>>;

/// Rings another process.
struct Bell {
    bell: Notification,
    due: Due,
}

impl Doorbell for Bell {
    fn ring(&mut self) {
        let slot = self.bell.slot();
        if let Some(earlier) = self
            .due
            .replace(Some(slot))
            .filter(|earlier| *earlier != slot)
        {
            // It fails only if the other side is gone, which is signalled too.
            let _ = Notification::borrowed(earlier).signal(0);
        }
    }
}

/// The stack and what joins it to the kernel.
pub(crate) struct Server {
    stack: Stack,
    budget: Budget,
    net: Endpoint,
    netdev: Endpoint,
    events: Notification,
    clients: Vec<Client>,
    driver: Option<Driver>,
    /// Calls that were left for the next pass.
    left: u64,
    due: Due,
}

/// Why the server can't begin.
pub(crate) enum StartError {
    /// A capability is missing in the manifest.
    MissingCap(rt::MissingCap),
    /// An argument makes no sense.
    Argument(netstack::BadArgument),
    /// There is nothing unpredictable to begin with.
    Entropy(rt::entropy::NoEntropy),
    /// The kernel refused the named step.
    Kernel(&'static str, Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::MissingCap(missing) => missing.fmt(f),
            StartError::Argument(error) => error.fmt(f),
            StartError::Entropy(error) => write!(f, "the stack does not start: {error}"),
            StartError::Kernel(step, error) => write!(f, "can't {step}: {error}"),
        }
    }
}

impl From<rt::MissingCap> for StartError {
    fn from(missing: rt::MissingCap) -> Self {
        StartError::MissingCap(missing)
    }
}

fn now() -> Instant {
    Instant::from_nanos(rt::time::now())
}

impl Server {
    /// A stack as the arguments and sessions in the start record say.
    #[inline(never)]
    pub(crate) fn new(env: &Env) -> Result<Server, StartError> {
        let failed = |step| move |error| StartError::Kernel(step, error);
        let mut config =
            Config::from_args(env.arg("ip"), env.arg("ip6")).map_err(StartError::Argument)?;
        let mut seed = [0; 32];
        rt::entropy::fill(&mut seed).map_err(StartError::Entropy)?;
        let budget = env.budget();
        let usage = budget.usage().map_err(failed("look at the budget"))?;
        // The rest is for page tables, sessions' rings, frames, and a heap that is not packed without gaps.
        config.max_memory = (usage.limit as usize).saturating_mul(PAGE_SIZE) / 2;
        let events = Notification::create(&budget).map_err(failed("make a notification"))?;
        let (net, netdev) = (env.endpoint("net")?, env.endpoint("netdev")?);
        net.bind(&events, NET_CALLS)
            .map_err(failed("listen for clients"))?;
        netdev
            .bind(&events, DEV_CALLS)
            .map_err(failed("listen for drivers"))?;
        let mut stack = Stack::new(config, seed, now());
        for session in env.sessions() {
            stack.set_policy(session.badge, session.policy.clone());
        }
        log::info!("stack ready, {} clients may connect", env.sessions().len());
        Ok(Server {
            stack,
            budget,
            net,
            netdev,
            events,
            clients: Vec::new(),
            driver: None,
            left: 0,
            due: Due::default(),
        })
    }

    /// Serves for ever.
    pub(crate) fn run(&mut self) -> u32 {
        loop {
            self.pass();
        }
    }

    /// Does what there is to do, and waits for more. A function of its own: the compiler takes what a program does once for cold, with
    /// the loops in it.
    #[inline(never)]
    fn pass(&mut self) {
        let next = self.stack.poll(now());
        if self.stack.has_ended_sessions() || !self.stack.has_driver() {
            self.let_go();
        }
        let busy = next.work_left || self.left != 0;
        let sleeps = !busy && self.stack.prepare_sleep();
        let deadline = match sleeps {
            true => next.deadline.map_or(FOREVER, Instant::nanos),
            false => 0,
        };
        let bits = self
            .events
            .ring_and_wait(self.due.take(), None, ALL, deadline);
        self.stack.heard(bits);
        let bits = bits & (NET_CALLS | DEV_CALLS | GONE) | self.left;
        if bits != 0 {
            self.handle(bits);
        }
    }

    /// The bell that came with a call.
    fn bell(&self, cap: Cap) -> Box<Bell> {
        Box::new(Bell {
            bell: Notification::from_raw(cap.into_raw()),
            due: self.due.clone(),
        })
    }

    #[inline(never)]
    fn handle(&mut self, bits: u64) {
        self.left = 0;
        if bits & GONE != 0 {
            self.bury();
        }
        if bits & DEV_CALLS != 0 && self.serve(false) {
            self.left |= DEV_CALLS;
        }
        if bits & NET_CALLS != 0 && self.serve(true) {
            self.left |= NET_CALLS;
        }
    }

    /// Answers calls. True if there may be more.
    fn serve(&mut self, net: bool) -> bool {
        for _ in 0..PASS_CALLS {
            let mut message = Message::new();
            let endpoint = if net { &self.net } else { &self.netdev };
            let Ok((badge, token)) = endpoint.recv(&mut message, 0) else {
                return false;
            };
            if net {
                self.client_call(badge, token, &message);
            } else {
                self.driver_call(token, &message);
            }
        }
        true
    }

    /// What the library has ended by itself.
    #[inline(never)]
    fn let_go(&mut self) {
        for ended in self.stack.take_ended() {
            self.clients.retain(|client| client.session != ended);
        }
        if !self.stack.has_driver() {
            self.driver = None;
        }
    }

    /// Finds out who has died.
    fn bury(&mut self) {
        let stack = &mut self.stack;
        self.clients.retain(|client| {
            let alive = cap::has_children(client.given.slot());
            if !alive {
                log::debug!("client {} is gone", client.badge);
                stack.close_session(client.session);
            }
            alive
        });
        if let Some(driver) = &self.driver
            && !cap::has_children(driver.given.slot())
        {
            self.stack.detach();
            self.driver = None;
        }
    }
}
