//! A program's turns.

use crate::{
    link::{Flag, Link},
    stack::Server,
};
use alloc::rc::Rc;
use core::cell::RefCell;
use libnet_client::{Config, Net};
use rt::Env;

/// A program, and whether it sleeps.
pub(crate) struct Program {
    /// Its network.
    pub(crate) net: Net,
    /// The stack rings it.
    bell: Flag,
    /// Until when it sleeps, if it does.
    asleep: Option<u64>,
}

impl Program {
    pub(crate) fn new(
        env: &Env,
        server: &Rc<RefCell<Server>>,
        badge: u64,
        config: Config,
    ) -> Program {
        let bell = Flag::default();
        let link = Link::new(env, Rc::clone(server), badge, bell.clone());
        Program {
            net: Net::new(link, config),
            bell,
            asleep: None,
        }
    }

    /// A pass over its tasks, unless it sleeps. Returns until when it sleeps then.
    pub(crate) fn turn(&mut self) -> Option<u64> {
        match self.asleep {
            Some(deadline) if !self.bell.is_up() && rt::time::now() < deadline => {}
            _ => self.asleep = self.net.step(),
        }
        self.asleep
    }
}
