//! A small stack on the host, for the tests of this crate and of programs: a network of one host, under virtual time.
//!
//! It plays the other end of the session through the real channel and FIFOs, and no better than it must: it works only after its
//! doorbell rang, and rings ours only if we sleep, so a forgotten doorbell is a test that never ends (which is found: a wait that
//! nothing can end panics). Connections reach the listeners of the same session; datagrams its UDP sockets; the host 10.0.0.7 sends
//! everything back; names are looked up in a table. Tests can make it slow, kill it, or write nonsense into the session memory.

mod pipe;
mod questions;
mod sockets;
mod stack;

use crate::system::{OpenError, Opened, System, Wake};
use alloc::{boxed::Box, collections::VecDeque, rc::Rc, string::String, vec::Vec};
use core::{cell::RefCell, net::IpAddr, time::Duration};
use ipc_proto::{
    shm::Shm,
    socket::{NetError, Request},
};
use stack::Stack;

/// Steps of the stack in one wait, before it counts as never resting.
const MOST_STEPS: usize = 100_000;

/// Something that happens at a certain time.
type Event = (u64, Box<dyn FnOnce(&FakeStack)>);

#[derive(Default)]
struct State {
    now: u64,
    stack: Option<Stack>,
    memory: Option<Shm>,
    settings: Settings,
    refusals: VecDeque<OpenError>,
    opens: u32,
    is_dead: bool,
    doorbell: bool,
    stack_rung: bool,
    stack_gone: bool,
    other: bool,
    rings: u64,
    events: Vec<Event>,
    requests: Vec<Request>,
}

/// How the stack behaves.
#[derive(Clone)]
pub(crate) struct Settings {
    chunk: usize,
    frozen: bool,
    max_sockets: u16,
    names: Vec<(String, Vec<IpAddr>)>,
    unreachable: Option<NetError>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            chunk: 1 << 20,
            frozen: false,
            max_sockets: 64,
            names: Vec::new(),
            unreachable: None,
        }
    }
}

/// A stack to be tested against. Clones are the same stack.
#[derive(Clone, Default)]
pub struct FakeStack(Rc<RefCell<State>>);

impl FakeStack {
    /// A stack that works.
    #[must_use]
    pub fn new() -> FakeStack {
        FakeStack::default()
    }

    fn set(&self, set: impl FnOnce(&mut Settings)) {
        let mut state = self.0.borrow_mut();
        set(&mut state.settings);
        let settings = state.settings.clone();
        if let Some(stack) = &mut state.stack {
            stack.settings = settings;
        }
    }

    /// Moves at most this many bytes of each connection in one step.
    pub fn set_chunk(&self, bytes: usize) {
        self.set(|settings| settings.chunk = bytes);
    }

    /// Sockets for sessions opened from now on.
    pub fn set_max_sockets(&self, sockets: u16) {
        self.set(|settings| settings.max_sockets = sockets);
    }

    /// A name that can be looked up.
    pub fn add_name(&self, name: &str, addresses: &[IpAddr]) {
        self.set(|settings| settings.names.push((name.into(), addresses.to_vec())));
    }

    /// Answers neither requests nor bytes while frozen.
    pub fn set_frozen(&self, frozen: bool) {
        self.set(|settings| settings.frozen = frozen);
        self.0.borrow_mut().stack_rung = true;
    }

    /// New connections neither succeed nor fail (`None`: as usual), or fail in this way.
    pub fn set_unreachable(&self, error: Option<NetError>) {
        self.set(|settings| settings.unreachable = error);
    }

    /// The next attempts to open a session fail like this.
    pub fn refuse(&self, errors: &[OpenError]) {
        self.0.borrow_mut().refusals.extend(errors);
    }

    /// The stack dies; attempts to open a session fail until [`FakeStack::restart`].
    pub fn kill(&self) {
        let mut state = self.0.borrow_mut();
        state.is_dead = true;
        state.stack_gone = state.stack.take().is_some();
    }

    /// A new stack takes sessions.
    pub fn restart(&self) {
        self.0.borrow_mut().is_dead = false;
    }

    /// Every connection is reset.
    pub fn reset_connections(&self) {
        let mut state = self.0.borrow_mut();
        if let Some(stack) = &mut state.stack {
            stack.reset_connections();
        }
        state.stack_rung = true;
    }

    /// An event of the process that is not the network's.
    pub fn signal_other(&self) {
        self.0.borrow_mut().other = true;
    }

    /// Calls `event` when the time has come `delay` further.
    pub fn after(&self, delay: Duration, event: impl FnOnce(&FakeStack) + 'static) {
        let mut state = self.0.borrow_mut();
        let at = state.now + delay.as_nanos() as u64;
        state.events.push((at, Box::new(event)));
    }

    /// The session memory, to write nonsense into; the client is woken.
    #[must_use]
    pub fn memory(&self) -> Option<Shm> {
        let mut state = self.0.borrow_mut();
        state.doorbell = true;
        state.memory.clone()
    }

    /// All requests since the last call.
    #[must_use]
    pub fn take_requests(&self) -> Vec<Request> {
        core::mem::take(&mut self.0.borrow_mut().requests)
    }

    /// How often a session was asked for.
    #[must_use]
    pub fn opens(&self) -> u32 {
        self.0.borrow().opens
    }

    /// How often the stack's doorbell was rung.
    #[must_use]
    pub fn rings(&self) -> u64 {
        self.0.borrow().rings
    }

    /// Sockets that the stack has.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.0.borrow().stack.as_ref().map_or(0, Stack::sockets)
    }

    /// Runs what is due. True if anything was.
    fn run_events(&self) -> bool {
        let due = {
            let mut state = self.0.borrow_mut();
            let now = state.now;
            state
                .events
                .iter()
                .position(|(at, _)| *at <= now)
                .map(|index| state.events.swap_remove(index))
        };
        match due {
            Some((_, event)) => {
                event(self);
                true
            }
            None => false,
        }
    }
}

impl State {
    /// One step of the stack, if it was rung. True if it did anything.
    fn step(&mut self) -> bool {
        if !core::mem::take(&mut self.stack_rung) {
            return false;
        }
        let Some(stack) = &mut self.stack else {
            return false;
        };
        let progress = stack.step(&mut self.requests);
        if stack.broken {
            self.stack = None;
            self.stack_gone = true;
            return true;
        }
        self.doorbell |= stack.flush();
        // As a real one, it looks again before it sleeps, and only its doorbell wakes it then.
        self.stack_rung = progress || !stack.prepare_sleep();
        progress
    }

    fn take_wake(&mut self) -> Option<Wake> {
        let wake = Wake {
            doorbell: core::mem::take(&mut self.doorbell),
            stack_gone: core::mem::take(&mut self.stack_gone),
            other: core::mem::take(&mut self.other),
        };
        (wake != Wake::default()).then_some(wake)
    }
}

impl System for FakeStack {
    fn now(&self) -> u64 {
        self.0.borrow().now
    }

    fn open(&mut self, len: usize) -> Result<Opened, OpenError> {
        let mut state = self.0.borrow_mut();
        state.opens += 1;
        if let Some(error) = state.refusals.pop_front() {
            return Err(error);
        }
        if state.is_dead {
            return Err(OpenError::Unavailable);
        }
        let memory = Shm::heap(len);
        let settings = state.settings.clone();
        let max_sockets = settings.max_sockets;
        state.stack = Some(Stack::new(memory.clone(), settings).ok_or(OpenError::NoMemory)?);
        state.memory = Some(memory.clone());
        (state.doorbell, state.stack_gone, state.stack_rung) = (false, false, true);
        Ok(Opened {
            memory,
            max_sockets,
        })
    }

    fn ring(&mut self) {
        let mut state = self.0.borrow_mut();
        state.rings += 1;
        state.stack_rung = true;
    }

    #[expect(clippy::panic, reason = "a test that nothing can end has failed")]
    fn wait(&mut self, deadline: u64) -> Wake {
        for _ in 0..MOST_STEPS {
            if self.run_events() {
                continue;
            }
            let mut state = self.0.borrow_mut();
            if let Some(wake) = state.take_wake() {
                return wake;
            }
            if state.step() || state.stack_rung && !state.settings.frozen {
                continue;
            }
            if let Some(wake) = state.take_wake() {
                return wake;
            }
            let next = state
                .events
                .iter()
                .map(|(at, _)| *at)
                .min()
                .unwrap_or(u64::MAX);
            if next == u64::MAX && deadline == u64::MAX {
                drop(state);
                panic!("everybody sleeps for ever");
            }
            if next >= deadline {
                state.now = state.now.max(deadline);
                return Wake::default();
            }
            state.now = state.now.max(next);
        }
        panic!("the stack never rests");
    }
}
