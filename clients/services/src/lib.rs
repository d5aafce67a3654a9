//! Small services of the Internet, many connections at once in one thread: echo (RFC 862, TCP and UDP), discard (RFC 863),
//! systat (RFC 866) and chargen (RFC 864).
//!
//! Knows no kernel: the network is [`libnet_client`], and what systat tells comes through [`Init`], in the image from init's endpoint.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod places;
mod server;
mod services;
mod systat;

use alloc::rc::Rc;
use core::time::Duration;
use ipc_proto::system::{Reply, Request};
use libnet_client::{Config, Net, Result};
use server::first;

/// Asks init.
pub trait Init {
    /// The answer to a request; `None` if init does not answer.
    fn ask(&self, request: &Request) -> Option<Reply>;
}

/// The endpoint `system`.
#[cfg(target_os = "none")]
impl Init for rt::Endpoint {
    fn ask(&self, request: &Request) -> Option<Reply> {
        // It never waits for anybody.
        let deadline = rt::time::now().saturating_add(rt::time::SECOND);
        let (reply, _) = rt::message::call(self, request, &[], deadline).ok()?;
        Some(reply)
    }
}

/// The session: there is room for all the connections that the services take at once.
pub const CONFIG: Config = Config {
    arena: 12 << 20,
    receive_buffer: 16 << 10,
    transmit_buffer: 16 << 10,
    connect_timeout: Duration::from_secs(10),
    stack_timeout: Duration::from_secs(10),
};

/// Runs all services.
///
/// # Errors
/// If a port cannot be had, for good: the policy forbids it, or it is taken.
pub async fn run(net: &Net, init: Rc<dyn Init>) -> Result<()> {
    let echo = net.spawn(services::echo(net.clone()));
    let datagrams = net.spawn(services::echo_datagrams(net.clone()));
    let discard = net.spawn(services::discard(net.clone()));
    let systat = net.spawn(services::systat(net.clone(), init));
    let chargen = net.spawn(services::chargen(net.clone()));
    // None ends but by an error: the first to do so ends the program, and init starts it anew.
    let others = first(first(echo, datagrams), first(discard, systat));
    first(others, chargen).await
}
