//! Processes that crash, lack capabilities or are forbidden something; drivers and stacks that die.

use super::{Case, eventually, lab, lab_with};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};
use system_tests::{Failure, Outcome, ensure, lab::GUEST, machine::Machine, noise, sha256};

pub(crate) const CASES: &[Case] = &[
    (
        "faults::faulting_clients_harm_nobody",
        faulting_clients_harm_nobody,
    ),
    ("faults::no_capability_no_network", no_capability_no_network),
    ("faults::policy_is_enforced", policy_is_enforced),
    (
        "faults::hostile_session_harms_nobody",
        hostile_session_harms_nobody,
    ),
    (
        "faults::ten_thousand_processes_leave_nothing",
        ten_thousand_processes_leave_nothing,
    ),
    (
        "faults::random_system_calls_harm_nobody",
        random_system_calls_harm_nobody,
    ),
    (
        "faults::registers_are_kept_and_not_leaked",
        registers_are_kept_and_not_leaked,
    ),
    ("faults::driver_dies_under_load", driver_dies_under_load),
    (
        "faults::stack_dies_and_services_come_back",
        stack_dies_and_services_come_back,
    ),
    (
        "faults::client_dies_and_comes_back",
        client_dies_and_comes_back,
    ),
    ("faults::restarts_lose_no_memory", restarts_lose_no_memory),
];

/// What each faulting process does, and what must have ended it.
const FAULTS: &[(&str, &str)] = &[
    ("null", "page fault"),
    ("kernel", "page fault"),
    ("write-code", "page fault"),
    ("run-data", "page fault"),
    ("stack", "page fault"),
    ("privileged", "general protection fault"),
    ("port", "general protection fault"),
    ("wild-jump", "general protection fault"),
    ("undefined", "invalid opcode"),
    ("divide", "divide error"),
    ("float", "x87 error"),
];

/// A machine with the programs of the tests besides those of the standard image.
fn probes() -> Outcome<(system_tests::lab::Lab, Machine)> {
    lab_with(|boot| boot.archive("tests.cpio"))
}

/// Waits until a probe has reported in the log.
fn wait_for_verdict(machine: &mut Machine, mode: &str, verdict: &str) -> Outcome {
    eventually(Duration::from_secs(120), || {
        let log = machine.shell("log -n 400")?;
        ensure!(!log.contains(&format!("FAIL {mode}")), "{log}");
        ensure!(log.contains(verdict), "no {verdict:?} in the log:\n{log}");
        Ok(())
    })
}

fn faulting_clients_harm_nobody() -> Outcome {
    let (lab, mut machine) = probes()?;
    eventually(Duration::from_secs(20), || {
        let ps = machine.shell("ps")?;
        for (kind, fault) in FAULTS {
            let line = ps
                .lines()
                .find(|line| line.contains(&format!("fault-{kind} ")))
                .ok_or_else(|| Failure(format!("no fault-{kind} in {ps}")))?;
            ensure!(line.contains(fault), "expected a {fault}: {line}");
        }
        Ok(())
    })?;
    lab.inside(|| echo_once(b"unharmed"))
}

fn no_capability_no_network() -> Outcome {
    let (_lab, mut machine) = probes()?;
    wait_for_verdict(&mut machine, "no-network", "PASS no-network")
}

fn policy_is_enforced() -> Outcome {
    let (_lab, mut machine) = probes()?;
    wait_for_verdict(&mut machine, "forbidden", "PASS forbidden")
}

/// A client that scribbles over its session memory and takes it back ends its own sessions, and nothing else.
fn hostile_session_harms_nobody() -> Outcome {
    let (lab, mut machine) = probes()?;
    wait_for_verdict(&mut machine, "revoke", "PASS revoke")?;
    let ps = machine.shell("ps")?;
    let stack = ps
        .lines()
        .find(|line| line.contains(" netstack "))
        .ok_or_else(|| Failure(format!("no netstack in {ps}")))?;
    let columns: Vec<&str> = stack.split_whitespace().collect();
    ensure!(
        columns.get(8..) == Some(&["0", "running"]),
        "the stack was restarted: {stack}"
    );
    let counters = machine.shell("netstat -s")?;
    ensure!(
        !counters.contains(" 0 sessions ended for breaking the protocol"),
        "nothing was noticed: {counters}"
    );
    lab.inside(|| echo_once(b"unharmed"))
}

fn ten_thousand_processes_leave_nothing() -> Outcome {
    let (_lab, mut machine) = probes()?;
    wait_for_verdict(&mut machine, "churn", "PASS churn: 10000 processes")
}

/// Processes that make nothing but random system calls; the kernel, the network and the accounts of memory stay whole.
fn random_system_calls_harm_nobody() -> Outcome {
    let (lab, mut machine) = probes()?;
    let mut echoes = 0;
    eventually(Duration::from_secs(120), || {
        lab.inside(|| echo_once(b"in between"))?;
        echoes += 1;
        let log = machine.shell("log -n 400")?;
        ensure!(!log.contains("FAIL syscalls"), "{log}");
        ensure!(log.contains("PASS syscalls"), "no verdict yet:\n{log}");
        Ok(())
    })?;
    ensure!(echoes > 1, "it was over before anybody looked");
    // The shell, and what it asks init for.
    let ps = machine.shell("ps")?;
    for name in ["virtio-net", "netstack", "services", "httpd"] {
        ensure!(ps.contains(name), "no {name} in {ps}");
    }
    lab.inside(|| echo_once(b"afterwards"))
}

/// Vector registers survive interrupts, and nobody sees what another left in them.
fn registers_are_kept_and_not_leaked() -> Outcome {
    let (_lab, mut machine) = probes()?;
    wait_for_verdict(&mut machine, "registers", "PASS registers")
}

fn echo_once(data: &[u8]) -> Outcome {
    let address = format!("{GUEST}:7")
        .parse()
        .map_err(|_| Failure("bad address".into()))?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(3))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(data)?;
    stream.shutdown(Shutdown::Write)?;
    let mut back = Vec::new();
    stream.read_to_end(&mut back)?;
    ensure!(back == data, "{} bytes came back", back.len());
    Ok(())
}

/// The driver is killed again and again while a stream of checked bytes runs: not one may be lost.
fn driver_dies_under_load() -> Outcome {
    let (lab, mut machine) = lab()?;
    let data = noise(7, 128 << 20);
    let wanted = sha256(&data);
    let (done, finished) = std::sync::mpsc::channel();
    lab.background(move || {
        let transfer = || -> Outcome<String> {
            let mut stream = TcpStream::connect((GUEST, 7))?;
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            let mut sender = stream.try_clone()?;
            let writer = std::thread::spawn(move || -> std::io::Result<()> {
                sender.write_all(&data)?;
                sender.shutdown(Shutdown::Write)
            });
            let mut back = Vec::new();
            stream.read_to_end(&mut back)?;
            writer
                .join()
                .map_err(|_| Failure("the sender panicked".into()))??;
            Ok(sha256(&back))
        };
        let _ = done.send(transfer());
    })?;
    let mut kills = 0;
    let outcome = loop {
        match finished.recv_timeout(Duration::from_millis(150)) {
            Ok(outcome) => break outcome?,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) if kills < 5 => {
                machine.shell("kill virtio-net")?;
                kills += 1;
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(error) => return Err(error.into()),
        }
    };
    ensure!(outcome == wanted, "other bytes came back");
    ensure!(
        kills > 0,
        "the transfer was over before the driver was killed"
    );
    Ok(())
}

fn stack_dies_and_services_come_back() -> Outcome {
    let (lab, mut machine) = lab()?;
    lab.inside(|| echo_once(b"before"))?;
    for _ in 0..3 {
        machine.shell("kill netstack")?;
        eventually(Duration::from_secs(30), || {
            lab.inside(|| echo_once(b"after"))
        })?;
        lab.output(
            "curl",
            &[
                "-sS",
                "--fail",
                "--max-time",
                "20",
                &format!("http://{GUEST}/1k"),
            ],
        )?;
    }
    Ok(())
}

fn client_dies_and_comes_back() -> Outcome {
    let (lab, mut machine) = lab()?;
    for name in ["services", "httpd"] {
        // A connection that is open when its process dies is ended, not left hanging.
        let port = if name == "services" { 7 } else { 80 };
        let mut open = lab.inside(|| {
            let stream = TcpStream::connect((GUEST, port))?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            Ok(stream)
        })?;
        std::thread::sleep(Duration::from_millis(300));
        machine.shell(&format!("kill {name}"))?;
        match open.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            other => {
                return Err(Failure(format!(
                    "{name}: the connection goes on: {other:?}"
                )));
            }
        }
        eventually(Duration::from_secs(15), || {
            lab.inside(|| echo_once(b"again"))?;
            lab.output(
                "curl",
                &[
                    "-sS",
                    "--fail",
                    "--max-time",
                    "5",
                    &format!("http://{GUEST}/1k"),
                ],
            )
        })?;
    }
    Ok(())
}

fn used_memory(machine: &mut Machine) -> Outcome<u64> {
    let free = machine.shell("free")?;
    // The line of the whole machine: total, used, free in KiB.
    free.lines()
        .find(|line| line.to_lowercase().starts_with("mem"))
        .and_then(|line| line.split_whitespace().nth(2)?.parse().ok())
        .ok_or_else(|| Failure(format!("cannot read {free:?}")))
}

/// Everything is killed ten times; the memory in use settles at what it was after the first time.
fn restarts_lose_no_memory() -> Outcome {
    let (lab, mut machine) = lab()?;
    let round = |machine: &mut Machine| -> Outcome<u64> {
        for name in ["services", "httpd", "virtio-net", "netstack"] {
            machine.shell(&format!("kill {name}"))?;
        }
        eventually(Duration::from_secs(40), || {
            lab.inside(|| echo_once(b"up"))?;
            lab.output(
                "curl",
                &[
                    "-sS",
                    "--fail",
                    "--max-time",
                    "5",
                    &format!("http://{GUEST}/1k"),
                ],
            )
        })?;
        used_memory(machine)
    };
    let first = round(&mut machine)?;
    let mut last = first;
    for _ in 0..5 {
        last = round(&mut machine)?;
    }
    // Buffers of the moment (sockets that linger) may differ by a little.
    ensure!(
        last <= first + 1024,
        "{first} KiB in use after the first round, {last} after the last"
    );
    Ok(())
}
