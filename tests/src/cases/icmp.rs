//! Ping, both ways, over IPv4 and IPv6.

use super::{Case, ipv6_lab, lab};
use system_tests::{
    Outcome, ensure,
    lab::{GUEST, HOST, HOST6},
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

fn ping_over_ipv6_both_ways() -> Outcome {
    let (lab, mut machine, address) = ipv6_lab()?;
    let output = lab.output("ping", &["-6", "-c", "5", "-i", "0.2", "-W", "3", &address])?;
    ensure!(output.contains(" 0% packet loss"), "{output}");
    let output = machine.shell(&format!("ping -c 3 {HOST6}"))?;
    ensure!(output.contains(" 0% packet loss"), "{output}");
    Ok(())
}
