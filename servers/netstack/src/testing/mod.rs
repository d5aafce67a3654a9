//! Stacks on an in-memory wire under virtual time, with a driver and clients that speak the real protocols: for tests
//! and simulations on the host.

mod client;
mod network;
mod nic;
pub mod offload;
mod shown;

pub use client::{ARENA, Client, Socket};
pub use network::{Faults, Host, Network};
pub use nic::{BUFFERS, Nic};
pub use shown::{Shown, send_pool};

use crate::Doorbell;
use std::{cell::Cell, rc::Rc};

/// A doorbell that counts.
#[derive(Clone, Default)]
pub struct Bell(Rc<Cell<u64>>);

impl Bell {
    /// How often it was rung.
    pub fn rings(&self) -> u64 {
        self.0.get()
    }
}

impl Doorbell for Bell {
    fn ring(&mut self) {
        self.0.set(self.0.get().saturating_add(1));
    }
}
