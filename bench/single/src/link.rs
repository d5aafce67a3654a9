//! How the parts are joined: doorbells that are flags, and sessions in memory that nobody else sees.

use crate::stack::Server;
use alloc::{boxed::Box, rc::Rc};
use core::cell::{Cell, RefCell};
use ipc_proto::{frame::Pool, hello::Hello};
use libnet_client::system::{OpenError, Opened, System, Wake};
use netstack::{Doorbell, FramePool, SendMemory, SessionId};
use rt::{Budget, Env, Exclusive, Mapping, Memory, PAGE_SIZE, Prot};

/// A flag that is set until somebody takes it. Clones are the same flag.
#[derive(Clone, Default)]
pub(crate) struct Flag(Rc<Cell<bool>>);

impl Flag {
    /// Sets it.
    pub(crate) fn raise(&self) {
        self.0.set(true);
    }

    /// Whether it is set.
    pub(crate) fn is_up(&self) -> bool {
        self.0.get()
    }

    /// Whether it was set; it no longer is.
    pub(crate) fn take(&self) -> bool {
        self.0.replace(false)
    }
}

impl Doorbell for Flag {
    fn ring(&mut self) {
        self.raise();
    }
}

/// Zeroed memory of this process; `contiguous` if a device is to reach it.
pub(crate) fn memory(
    budget: &Budget,
    bytes: usize,
    contiguous: bool,
) -> Result<Mapping, rt::Error> {
    Memory::create(budget, bytes.div_ceil(PAGE_SIZE) as u64, contiguous)?
        .map(Prot::READ | Prot::WRITE)
}

/// A pool to send from, and what the device gets of it.
pub(crate) fn frames(
    budget: &Budget,
    layout: Pool,
) -> Result<(FramePool<Box<dyn SendMemory>>, Memory), rt::Error> {
    let pages = layout.bytes().div_ceil(PAGE_SIZE) as u64;
    let memory = Exclusive::create(budget, pages, true)?;
    let shown = memory.to_read()?;
    let memory: Box<dyn SendMemory> = Box::new(memory);
    Ok((FramePool { memory, layout }, shown))
}

/// A program's way to the stack.
pub(crate) struct Link {
    server: Rc<RefCell<Server>>,
    budget: Budget,
    badge: u64,
    /// The stack rings it.
    bell: Flag,
    session: Option<Session>,
}

/// What belongs to one session.
struct Session {
    id: SessionId,
    /// The stack has ended it.
    gone: Flag,
    /// Kept mapped as long as the stack uses it.
    _memory: Mapping,
}

impl Link {
    pub(crate) fn new(env: &Env, server: Rc<RefCell<Server>>, badge: u64, bell: Flag) -> Link {
        Link {
            server,
            budget: env.budget(),
            badge,
            bell,
            session: None,
        }
    }
}

impl System for Link {
    fn now(&self) -> u64 {
        rt::time::now()
    }

    fn open(&mut self, len: usize) -> Result<Opened, OpenError> {
        let mut server = self.server.borrow_mut();
        if let Some(earlier) = self.session.take() {
            server.stack.close_session(earlier.id);
        }
        let mapping = memory(&self.budget, len, false).map_err(|_| OpenError::NoMemory)?;
        let window = || mapping.shm().part(0, len).ok_or(OpenError::NoMemory);
        let bell = Box::new(self.bell.clone());
        let (id, max_sockets) = server
            .stack
            .open(self.badge, &Hello::SOCKET, window()?, bell)
            .map_err(OpenError::Refused)?;
        let gone = Flag::default();
        server.watch(id, [gone.clone(), self.bell.clone()]);
        let opened = Opened {
            memory: window()?,
            max_sockets,
        };
        self.session = Some(Session {
            id,
            gone,
            _memory: mapping,
        });
        Ok(opened)
    }

    fn ring(&mut self) {
        self.server.borrow().bell.raise();
    }

    /// Never sleeps: the loop around everything does, when nobody has work.
    fn wait(&mut self, _deadline: u64) -> Wake {
        Wake {
            doorbell: self.bell.take(),
            stack_gone: self
                .session
                .as_ref()
                .is_some_and(|session| session.gone.take()),
            other: false,
        }
    }
}
