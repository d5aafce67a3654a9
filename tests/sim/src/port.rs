//! What a client's process has of the kernel: [`System`] of the real client library, on the host's stack. Nothing here waits.

use crate::{
    bells::{Bells, Target},
    book::Book,
    host::Machine,
    trace::Note,
};
use ipc_proto::{hello::Hello, setup::Refusal, shm::Shm};
use libnet_client::{OpenError, Opened, System, Wake};
use netstack::SessionId;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// A session of a process: in which life of the stack, and its number there.
pub type Held = (u64, SessionId);

/// What the world sees of a process.
pub struct Process {
    /// Its index and life.
    pub client: usize,
    /// How many processes there were before.
    pub life: u64,
    /// Its host.
    pub host: usize,
    /// The badge of its capability.
    pub badge: u64,
    /// Its session.
    pub session: Option<Held>,
    /// Sessions that it has given up: the stack will hear of it.
    pub given_up: Vec<Held>,
    /// The session memory.
    pub memory: Option<Shm>,
    /// The stack rang.
    pub doorbell: bool,
    /// The stack of the session is gone.
    pub stack_gone: bool,
    /// It is dead: nobody hears it.
    pub muted: bool,
    skew: Rc<Cell<u64>>,
    machine: Rc<RefCell<Machine>>,
    bells: Bells,
    book: Book,
}

/// A process's access to the kernel. Clones are the same.
#[derive(Clone)]
pub struct Port(pub Rc<RefCell<Process>>);

/// Whose process it is.
pub struct Identity {
    /// Its index.
    pub client: usize,
    /// How many processes there were before.
    pub life: u64,
    /// Its host.
    pub host: usize,
    /// The badge of its capability.
    pub badge: u64,
}

impl Port {
    /// A process without a session.
    pub fn new(
        identity: Identity,
        skew: Rc<Cell<u64>>,
        machine: Rc<RefCell<Machine>>,
        bells: Bells,
        book: Book,
    ) -> Port {
        let Identity {
            client,
            life,
            host,
            badge,
        } = identity;
        Port(Rc::new(RefCell::new(Process {
            client,
            life,
            host,
            badge,
            session: None,
            given_up: Vec::new(),
            memory: None,
            doorbell: false,
            stack_gone: false,
            muted: false,
            skew,
            machine,
            bells,
            book,
        })))
    }
}

impl Process {
    fn try_open(&mut self, len: usize) -> Result<Opened, OpenError> {
        self.memory = None;
        self.stack_gone = false;
        self.given_up.extend(self.session.take());
        let mut machine = self.machine.borrow_mut();
        let life = machine.life;
        if machine.stack.is_some() {
            // The call ends the stack's wait.
            machine.wake_up();
        }
        let Some(stack) = machine.stack.as_mut().filter(|_| !self.muted) else {
            return Err(OpenError::Unavailable);
        };
        let memory = Shm::heap(len);
        let bell = Box::new(self.bells.bell(Target::Client(self.client, self.life)));
        let (session, max_sockets) = stack
            .open(self.badge, &Hello::SOCKET, memory.clone(), bell)
            .map_err(OpenError::Refused)?;
        machine.sessions.insert(session);
        self.session = Some((life, session));
        self.memory = Some(memory.clone());
        Ok(Opened {
            memory,
            max_sockets,
        })
    }
}

impl System for Port {
    fn now(&self) -> u64 {
        let process = self.0.borrow();
        process.book.now() + process.skew.get()
    }

    fn open(&mut self, len: usize) -> Result<Opened, OpenError> {
        let mut process = self.0.borrow_mut();
        let opened = process.try_open(len);
        let book = process.book.clone();
        book.note(&Note::Open {
            client: process.client,
            opened: opened.is_ok(),
        });
        book.count(|stats| match opened {
            Ok(_) => &mut stats.sessions,
            Err(OpenError::Refused(Refusal::Exhausted)) => &mut stats.quota_errors,
            Err(_) => &mut stats.sessions_refused,
        });
        opened
    }

    fn ring(&mut self) {
        let process = self.0.borrow();
        if let (Some((life, session)), false) = (process.session, process.muted) {
            let target = Target::Stack(process.host, life, 1 << session.bell());
            process.bells.ring(target);
        }
    }

    fn wait(&mut self, _deadline: u64) -> Wake {
        let mut process = self.0.borrow_mut();
        Wake {
            doorbell: core::mem::take(&mut process.doorbell),
            stack_gone: core::mem::take(&mut process.stack_gone),
            other: false,
        }
    }
}
