//! The library's stack on the kernel: endpoints, memory, doorbells, and who has died.
//!
//! Holds every capability of the process. Memory of a client or driver stays mapped until the library has let go of it.

use alloc::{boxed::Box, rc::Rc, vec::Vec};
use core::{cell::Cell, fmt};
use ipc_proto::{
    channel::{Channel, FRAME_CHANNEL},
    frame::{Offloads, Pool, ToDriver, ToStack},
    hello::Hello,
    setup::{DevReply, DevRequest, NetReply, NetRequest, Refusal},
};
use netstack::{Config, DRIVER_BELL, Doorbell, FramePool, Instant, SendMemory, SessionId, Stack};
use rt::{
    Budget, Cap, Endpoint, Env, Error, Exclusive, FOREVER, Mapping, Memory, Message, Notification,
    PAGE_SIZE, Prot, Slot, Token, cap,
    message::{pack, received, unpack},
};

/// Bits of the notification: calls wait; somebody is gone. Those below are doorbells: [`DRIVER_BELL`], and those of sessions.
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

/// What a session keeps of its client.
struct Client {
    session: SessionId,
    badge: u64,
    /// Our doorbell: the client's copy is its only child.
    given: Notification,
    /// Dropped behind the library's windows on it.
    _memory: Mapping,
}

/// What an attachment keeps of its driver.
struct Driver {
    /// Our doorbell: the driver's copy is its only child.
    given: Notification,
    channel: Mapping,
    receive: Mapping,
    /// What the library sends from, without WRITE.
    send: Memory,
}

impl Drop for Driver {
    /// Takes the memory from a driver that may still live. What a device can reach stays allocated until it is quiesced.
    fn drop(&mut self) {
        for memory in [self.channel.memory(), self.receive.memory(), &self.send] {
            // It fails only if the slot is gone already.
            let _ = rt::revoke(memory.slot());
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

    fn client_call(&mut self, badge: u64, token: Token, message: &Message) {
        let caps = received(message);
        let refuse = |refusal| pack(&NetReply::Refused(refusal), &[]);
        let reply = match unpack::<NetRequest>(message) {
            Ok(NetRequest::Open { hello, len }) => {
                return self.open(badge, token, &hello, len, caps);
            }
            Ok(NetRequest::Derive { policy }) => match self.stack.derive(badge, &policy) {
                Ok(derived) => return self.hand_out(token, derived),
                Err(refusal) => refuse(refusal),
            },
            Ok(NetRequest::RevokeDerived) => {
                self.stack.revoke_derived(badge);
                pack(&NetReply::Done, &[])
            }
            Err(error) => {
                self.stack.complain(badge, &error);
                refuse(Refusal::BadRequest)
            }
        };
        self.reply(token, &reply);
    }

    fn reply(&self, token: Token, message: &Message) {
        // It fails only if the caller waits no longer.
        let _ = self.net.reply(token, message);
    }

    /// Answers with a capability of a new badge.
    fn hand_out(&self, token: Token, badge: u64) {
        let reply = match self.net.client(badge) {
            Ok(endpoint) => {
                let reply = pack(&NetReply::Derived, &[endpoint.slot()]);
                // The caller's copy stays when this one goes.
                self.reply(token, &reply);
                return;
            }
            Err(error) => {
                log::error!("can't make a capability: {error}");
                pack(&NetReply::Refused(Refusal::Exhausted), &[])
            }
        };
        self.reply(token, &reply);
    }

    fn open(&mut self, badge: u64, token: Token, hello: &Hello, len: u32, caps: [Option<Cap>; 4]) {
        match self.try_open(badge, hello, len, caps) {
            Ok((client, sockets)) => {
                let opened = NetReply::Opened {
                    max_sockets: sockets,
                };
                let reply = pack(&opened, &[client.given.slot()]);
                let told = self.net.reply(token, &reply);
                // If the client is gone by now, the watch says so at once.
                let watched =
                    told.and_then(|()| rt::watch(client.given.slot(), &self.events, GONE));
                if watched.is_err() {
                    self.stack.close_session(client.session);
                    return;
                }
                log::debug!("client {badge} opened a session of {len} bytes");
                self.clients.push(client);
            }
            Err(refusal) => self.reply(token, &pack(&NetReply::Refused(refusal), &[])),
        }
    }

    fn try_open(
        &mut self,
        badge: u64,
        hello: &Hello,
        len: u32,
        caps: [Option<Cap>; 4],
    ) -> Result<(Client, u16), Refusal> {
        let [Some(memory), Some(bell), ..] = caps else {
            return Err(Refusal::BadRequest);
        };
        let memory = Memory::from_raw(memory.into_raw())
            .map(Prot::READ | Prot::WRITE)
            .map_err(|error| {
                self.stack
                    .complain(badge, &format_args!("session memory: {error}"));
                Refusal::BadRequest
            })?;
        let window = memory
            .shm()
            .part(0, len as usize)
            .ok_or(Refusal::BadRequest)?;
        let bell = self.bell(bell);
        let (session, sockets) = self.stack.open(badge, hello, window, bell)?;
        let Ok(given) = self.events.doorbell(1 << session.bell()) else {
            self.stack.close_session(session);
            return Err(Refusal::Exhausted);
        };
        let client = Client {
            session,
            badge,
            given,
            _memory: memory,
        };
        Ok((client, sockets))
    }

    fn driver_call(&mut self, token: Token, message: &Message) {
        let [bell, ..] = received(message);
        let answer = match unpack::<DevRequest>(message) {
            Ok(request) => self.attach(&request, bell),
            Err(error) => {
                log::warn!("driver: {error}");
                Err(Refusal::BadRequest)
            }
        };
        let (reply, driver, slots) = match answer {
            Ok(attached) => attached,
            Err(refusal) => {
                let _ = self
                    .netdev
                    .reply(token, &pack(&DevReply::Refused(refusal), &[]));
                return;
            }
        };
        let told = self.netdev.reply(token, &pack(&reply, &slots));
        let watched = told.and_then(|()| rt::watch(driver.given.slot(), &self.events, GONE));
        if watched.is_err() {
            self.stack.detach();
            return;
        }
        self.driver = Some(driver);
    }

    /// Makes memory for a driver and attaches it in place of any other.
    fn attach(
        &mut self,
        request: &DevRequest,
        bell: Option<Cap>,
    ) -> Result<(DevReply, Driver, [Slot; 4]), Refusal> {
        let bell = bell.ok_or(Refusal::BadRequest)?;
        self.stack.detach();
        self.driver = None;
        let exhausted = |error| {
            log::error!("no memory for a driver: {error}");
            Refusal::Exhausted
        };
        let pages = |bytes: usize| bytes.div_ceil(PAGE_SIZE) as u64;
        let make = |bytes: usize, contiguous| {
            Memory::create(&self.budget, pages(bytes), contiguous)
                .and_then(|memory| memory.map(Prot::READ | Prot::WRITE))
        };
        let channel = make(Channel::<ToDriver, ToStack>::bytes(FRAME_CHANNEL), false);
        let channel = channel.map_err(exhausted)?;
        let make_pools = |[receive, send]: [Pool; 2]| {
            let to_receive = make(receive.bytes(), true)?;
            let to_send = Exclusive::create(&self.budget, pages(send.bytes()), true)?;
            let shown = to_send.to_read()?;
            Ok((to_receive, to_send, shown))
        };
        let DevRequest::Attach { offloads, .. } = request;
        let mut layouts = netstack::pools(*offloads);
        let (receive, to_send, send) = match make_pools(layouts) {
            // So much in one piece there may be no more; then the device does less.
            Err(_) if layouts != netstack::pools(Offloads::default()) => {
                layouts = netstack::pools(Offloads::default());
                make_pools(layouts)
            }
            made => made,
        }
        .map_err(exhausted)?;
        let to_receive = FramePool {
            memory: receive.shm(),
            layout: layouts[0],
        };
        let memory: Box<dyn SendMemory> = Box::new(to_send);
        let to_send = FramePool {
            memory,
            layout: layouts[1],
        };
        let given = self.events.doorbell(DRIVER_BELL).map_err(exhausted)?;
        let bell = self.bell(bell);
        let reply = self
            .stack
            .attach(request, channel.shm(), to_receive, to_send, bell, now());
        if let DevReply::Refused(refusal) = reply {
            return Err(refusal);
        }
        let slots = [
            channel.memory().slot(),
            receive.memory().slot(),
            send.slot(),
            given.slot(),
        ];
        let driver = Driver {
            given,
            channel,
            receive,
            send,
        };
        Ok((reply, driver, slots))
    }
}
