//! The tests, by what they look at.

mod boot;
mod dma;
mod faults;
mod hostile;
mod http;
mod icmp;
mod names;
mod profile;
mod tcp;
mod udp;

use std::time::Duration;
use system_tests::{
    Failure, Outcome,
    lab::{GUEST, HOST, Lab},
    machine::{Boot, Machine},
};

/// A test: its name and what it does.
pub(crate) type Case = (&'static str, fn() -> Outcome);

/// Every test.
pub(crate) fn all() -> Vec<Case> {
    [
        boot::CASES,
        http::CASES,
        tcp::CASES,
        udp::CASES,
        icmp::CASES,
        names::CASES,
        faults::CASES,
        dma::CASES,
        hostile::CASES,
        profile::CASES,
    ]
    .concat()
}

/// Words that give the guest the static address of the laboratory.
pub(crate) fn static_address() -> String {
    format!("netstack.ip={GUEST}/24,gw={HOST},dns={HOST}")
}

/// A laboratory and a machine in it with the static address, its shell ready.
pub(crate) fn lab() -> Outcome<(Lab, Machine)> {
    lab_with(|boot| boot)
}

/// The same with more settings.
pub(crate) fn lab_with(settings: impl FnOnce(Boot) -> Boot) -> Outcome<(Lab, Machine)> {
    let lab = Lab::new()?;
    let mut machine = settings(lab.boot().append(&static_address())).start()?;
    machine.ready()?;
    Ok((lab, machine))
}

/// A laboratory with dnsmasq, a machine in it, and the address that the machine has taken from the router
/// advertisement for `fd77::/64` (SLAAC).
pub(crate) fn ipv6_lab() -> Outcome<(Lab, Machine, String)> {
    let mut lab = Lab::new()?;
    lab.serve_addresses()?;
    let mut machine = lab.boot().start()?;
    machine.ready()?;
    let address = eventually(Duration::from_secs(20), || {
        let output = machine.shell("ip")?;
        output
            .split_whitespace()
            .find(|word| word.starts_with("fd77:"))
            .map(|word| word.split('/').next().unwrap_or(word).to_owned())
            .ok_or_else(|| Failure(format!("no address of fd77::/64 in {output}")))
    })?;
    Ok((lab, machine, address))
}

/// A TCP port of 127.0.0.1 that was free a moment ago.
pub(crate) fn free_port() -> Outcome<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

/// Repeats until it succeeds or the time is over; the last failure is returned.
pub(crate) fn eventually<T>(
    within: Duration,
    mut attempt: impl FnMut() -> Outcome<T>,
) -> Outcome<T> {
    let start = std::time::Instant::now();
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(Failure(last)) if start.elapsed() > within => {
                return Err(Failure(format!("{last} (for {within:?})")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
