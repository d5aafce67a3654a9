//! Ping, both ways, over IPv4 and IPv6.

use super::{Case, eventually, lab};
use std::time::Duration;
use system_tests::{
    Outcome, ensure,
    lab::{GUEST, HOST, HOST6, Lab},
};

pub(crate) const CASES: &[Case] = &[
    ("icmp::ping_from_host", ping_from_host),
    ("icmp::ping_from_guest", ping_from_guest),
    ("icmp::ping_over_ipv6_both_ways", ping_over_ipv6_both_ways),
];

fn ping_from_host() -> Outcome {
    let (lab, _machine) = lab()?;
    for size in ["0", "56", "1472"] {
        let output = lab.output(
            "ping",
            &["-c", "5", "-i", "0.2", "-W", "3", "-s", size, GUEST],
        )?;
        ensure!(output.contains(" 0% packet loss"), "{output}");
    }
    Ok(())
}

fn ping_from_guest() -> Outcome {
    let (_lab, mut machine) = lab()?;
    let output = machine.shell(&format!("ping -c 3 {HOST}"))?;
    ensure!(output.contains(" 0% packet loss"), "{output}");
    let output = machine.shell("ping -c 1 10.77.0.200")?;
    ensure!(output.contains("100% packet loss"), "{output}");
    Ok(())
}

/// The guest takes `fd77::/64` from a router advertisement (SLAAC).
fn ping_over_ipv6_both_ways() -> Outcome {
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
            .ok_or_else(|| system_tests::Failure(format!("no address of fd77::/64 in {output}")))
    })?;
    let output = lab.output("ping", &["-6", "-c", "5", "-i", "0.2", "-W", "3", &address])?;
    ensure!(output.contains(" 0% packet loss"), "{output}");
    let output = machine.shell(&format!("ping -c 3 {HOST6}"))?;
    ensure!(output.contains(" 0% packet loss"), "{output}");
    Ok(())
}
