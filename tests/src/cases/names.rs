//! DHCP and DNS, against dnsmasq.

use super::{Case, eventually, lab_with};
use std::time::Duration;
use system_tests::{
    Failure, Outcome, ensure,
    lab::{GUEST, HOST, HOST6, KNOWN_NAME, Lab},
};

pub(crate) const CASES: &[Case] = &[
    ("names::dhcp_lease_and_renewal", dhcp_lease_and_renewal),
    ("names::dns_answer_and_nxdomain", dns_answer_and_nxdomain),
    ("names::dns_time_out", dns_time_out),
];

/// The lease is two minutes, so the guest asks again after one (T1, RFC 2131 section 4.4.5).
fn dhcp_lease_and_renewal() -> Outcome {
    let mut lab = Lab::new()?;
    lab.serve_addresses()?;
    let mut machine = lab.boot().start()?;
    machine.ready()?;
    let output = machine.shell("ip")?;
    ensure!(output.contains("inet 10.77.0."), "{output}");
    ensure!(output.contains(HOST), "no router in {output}");
    eventually(Duration::from_secs(90), || {
        let acks = lab.dnsmasq_log().matches("DHCPACK").count();
        ensure!(acks >= 2, "{acks} acknowledged requests");
        Ok(())
    })?;
    let output = machine.shell("ip")?;
    ensure!(output.contains("inet 10.77.0."), "{output}");
    Ok(())
}

fn dns_answer_and_nxdomain() -> Outcome {
    let mut lab = Lab::new()?;
    lab.serve_addresses()?;
    let mut machine = lab.boot().start()?;
    machine.ready()?;
    let output = machine.shell(&format!("nslookup {KNOWN_NAME}"))?;
    ensure!(output.contains(HOST) && output.contains(HOST6), "{output}");
    let output = machine.shell("nslookup unknown.lab")?;
    ensure!(output.contains("NXDOMAIN"), "{output}");
    let output = machine.shell("ping -c 1 unknown.lab")?;
    ensure!(output.contains("unknown host"), "{output}");
    let output = machine.shell(&format!("ping -c 1 {KNOWN_NAME}"))?;
    ensure!(output.contains(" 0% packet loss"), "{output}");
    Ok(())
}

/// Nobody listens on port 53 of the host: the queries go unanswered.
fn dns_time_out() -> Outcome {
    let (lab, mut machine) = lab_with(|boot| boot)?;
    // A socket that takes the queries and says nothing (else the host would answer "port unreachable").
    let _silent = lab.inside(|| Ok(std::net::UdpSocket::bind((HOST, 53))?))?;
    let output = machine.shell_within("nslookup some.name", Duration::from_secs(60))?;
    ensure!(
        output.contains("timed out"),
        "{:?}",
        Failure(output.clone())
    );
    ensure!(
        machine.shell("ip")?.contains(GUEST),
        "the address is gone after a failed lookup"
    );
    Ok(())
}
