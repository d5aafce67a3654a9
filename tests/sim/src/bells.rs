//! Doorbells: what is rung is collected here, and the world decides when, whether and how often it is heard.

use netstack::Doorbell;
use std::{cell::RefCell, rc::Rc};

/// Who is rung. The number behind it is the life that is meant: somebody who died since hears nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Target {
    /// The stack of a host. The third number: whose doorbells.
    Stack(usize, u64, u64),
    /// The driver of a host.
    Driver(usize, u64),
    /// A client.
    Client(usize, u64),
}

/// Doorbells rung and not yet looked at.
#[derive(Clone, Default)]
pub struct Bells(Rc<RefCell<Vec<Target>>>);

impl Bells {
    /// Rings.
    pub fn ring(&self, target: Target) {
        self.0.borrow_mut().push(target);
    }

    /// Takes what was rung.
    #[must_use]
    pub fn take(&self) -> Vec<Target> {
        core::mem::take(&mut self.0.borrow_mut())
    }

    /// The doorbell of somebody.
    #[must_use]
    pub fn bell(&self, target: Target) -> Bell {
        Bell {
            bells: self.clone(),
            target,
        }
    }
}

/// A doorbell.
pub struct Bell {
    bells: Bells,
    target: Target,
}

impl Doorbell for Bell {
    fn ring(&mut self) {
        self.bells.ring(self.target);
    }
}
