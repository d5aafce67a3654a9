//! Everything at once: a hostile program in the machine, an attacker on the wire, and a peer that only wants to move its data.
//!
//! `HOSTILE_SECONDS` in the environment says for how long (60 if not). A line every ten seconds goes to `build/hostile.log`.

use super::{Case, eventually, static_address};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    time::{Duration, Instant},
};
use system_tests::{
    Failure, Outcome, ensure,
    machine::{Machine, build_dir},
    wire::{Events, ORDERS, Wanted, Wire},
};

pub(crate) const CASES: &[Case] = &[("hostile::everything_at_once", everything_at_once)];

/// How long the attacks last if nobody says otherwise.
const SECONDS: u32 = 60;
/// The first part, after which memory is measured: by then servers have grown to what they need.
const FIRST_PART: u32 = 6;
/// How long the last sockets may take to end.
const SETTLE: Duration = Duration::from_secs(45);
/// KiB that a process's memory may grow by between the two measurements: a heap grows in steps, and never shrinks.
const SLACK: u64 = 2048;
/// KiB that the stack may have in all: its heap grows to what was in use at the worst moment. That is 24 MiB of socket buffers, half of its
/// budget, and 5 MiB of tables and connections; a fifth more for gaps; and 2 MiB outside of the heap. Whether all of it comes back is asked on
/// the host, where allocations can be counted (`tests/sim/tests/memory`).
const STACK: u64 = 40 << 10;
/// Those that must live through it.
const PROCESSES: &[&str] = &[
    "init",
    "virtio-net",
    "netstack",
    "services",
    "httpd",
    "shell",
    "hostile",
];

/// What the machine holds while nothing happens.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Still {
    /// KiB used of all.
    used: u64,
    /// For each process its number, its restarts and its KiB.
    processes: BTreeMap<String, (u64, u64, u64)>,
    sockets: u64,
    sessions: u64,
}

impl Still {
    /// KiB that belong to nobody: the kernel's own.
    fn rest(&self) -> i64 {
        let theirs: u64 = self.processes.values().map(|(.., memory)| memory).sum();
        self.used as i64 - theirs as i64
    }
}

fn number(text: &str) -> Outcome<u64> {
    text.trim_end_matches('K')
        .parse()
        .map_err(|_| Failure(format!("no number: {text:?}")))
}

/// The number in front of a line of `netstat -s`.
fn counter(text: &str, what: &str) -> Outcome<u64> {
    let line = text.lines().find(|line| line.trim_end().ends_with(what));
    let line = line.ok_or_else(|| Failure(format!("no {what:?} in {text}")))?;
    number(line.split_whitespace().next().unwrap_or_default())
}

fn look(machine: &mut Machine) -> Outcome<Still> {
    let counters = machine.shell("netstat -s")?;
    let ps = machine.shell("ps")?;
    let mut processes = BTreeMap::new();
    for name in PROCESSES {
        let row = ps
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = row.into_iter().find(|row| row.get(1) == Some(name));
        let Some([pid, _, _, _, memory, _, _, _, restarts, "running"]) = row.as_deref() else {
            return Err(Failure(format!("{name} does not run: {ps}")));
        };
        processes.insert(
            (*name).to_owned(),
            (number(pid)?, number(restarts)?, number(memory)?),
        );
    }
    let free = machine.shell("free")?;
    let used = free.lines().find(|line| line.starts_with("Mem:"));
    let used = used.and_then(|line| line.split_whitespace().nth(2));
    Ok(Still {
        used: number(used.ok_or_else(|| Failure(format!("cannot read {free:?}")))?)?,
        processes,
        sockets: counter(&counters, "sockets open")?,
        sessions: counter(&counters, "sessions open")?,
    })
}

/// Looks until two looks in a row see the same, with as many sockets and sessions as in the beginning.
fn settled(machine: &mut Machine, fresh: Option<&Still>) -> Outcome<Still> {
    let mut last = None;
    eventually(SETTLE, || {
        let now = look(machine)?;
        let before = last.replace(now.clone());
        ensure!(
            before.as_ref() == Some(&now),
            "it is not still: {before:?}, {now:?}"
        );
        if let Some(fresh) = fresh {
            ensure!(
                (now.sockets, now.sessions) == (fresh.sockets, fresh.sessions),
                "{} sockets and {} sessions stay open, {} and {} in the beginning: {}{}",
                now.sockets,
                now.sessions,
                fresh.sockets,
                fresh.sessions,
                machine.shell("netstat")?,
                machine.shell("netstat -q")?
            );
        }
        Ok(now)
    })
}

/// Attacks for some seconds from both sides, and waits until all transfers are over. Returns what the hostile program says.
fn attack(machine: &mut Machine, wire: &Wire, seconds: u32, log: &mut File) -> Outcome<String> {
    let tallies = machine.shell("log")?.matches(" campaigns (").count();
    // The two know each other before anybody lies about where the peer is: who comes first is believed, as on any Ethernet.
    let transfers = wire.events().moved.transfers;
    wire.set(Wanted {
        moving: true,
        ..Wanted::default()
    });
    eventually(SETTLE, || {
        let moved = wire.events().moved;
        ensure!(moved.transfers >= transfers + 8, "{moved:?}");
        Ok(())
    })?;
    wire.set(Wanted {
        moving: true,
        attacking: true,
        order: Some(seconds),
        over: false,
    });
    let start = Instant::now();
    let mut told = Duration::ZERO;
    while start.elapsed() < Duration::from_secs(seconds.into()) {
        std::thread::sleep(Duration::from_millis(200));
        let events = wire.events();
        no_failures(machine, &events)?;
        machine.is_running()?;
        if start.elapsed() - told > Duration::from_secs(10) {
            told = start.elapsed();
            progress(log, told, &events)?;
            writeln!(log, "        memory:{}", memory(&machine.shell("ps")?))?;
        }
    }
    // The transfers under way go on to their end.
    wire.set(Wanted::default());
    eventually(SETTLE, || {
        let events = wire.events();
        no_failures(machine, &events)?;
        ensure!(events.is_still, "some transfers do not end");
        Ok(())
    })?;
    progress(log, start.elapsed(), &wire.events())?;
    eventually(SETTLE, || {
        let text = machine.shell("log")?;
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.contains(" campaigns ("))
            .collect();
        ensure!(
            lines.len() > tallies,
            "the hostile program does not end its attack:\n{text}"
        );
        Ok(lines[lines.len() - 1].to_owned())
    })
}

/// Every transfer so far has ended well. Else the message says what the machine looks like.
fn no_failures(machine: &mut Machine, events: &Events) -> Outcome {
    let failures = &events.moved.failures;
    if failures.is_empty() {
        return Ok(());
    }
    let mut text = format!("{failures:#?}\n");
    for command in ["ps", "ip", "netstat", "netstat -s", "netstat -q"] {
        // A machine that does not answer has said so by that.
        text += &machine.shell(command).unwrap_or_else(|Failure(what)| what);
    }
    Err(Failure(text))
}

/// Names and memory in the output of `ps`, which lines of the log may have got into.
fn memory(ps: &str) -> String {
    let mut text = String::new();
    for line in ps.lines() {
        if let [_, name, _, _, memory, ..] = line.split_whitespace().collect::<Vec<_>>()[..]
            && PROCESSES.contains(&name)
        {
            text += &format!(" {name} {memory}");
        }
    }
    text
}

fn progress(log: &mut File, elapsed: Duration, events: &Events) -> Outcome {
    let moved = &events.moved;
    let frames: u64 = events.attacks.values().sum();
    Ok(writeln!(
        log,
        "{:>5} s: {} transfers, {} KiB, {} of {} datagrams, {} served; {frames} frames of attacks, {} own connections, {} frames from the guest",
        elapsed.as_secs(),
        moved.transfers,
        moved.bytes / 1024,
        moved.datagrams.1,
        moved.datagrams.0,
        moved.served,
        events.answered,
        events.from_guest
    )?)
}

fn everything_at_once() -> Outcome {
    let seconds = match std::env::var("HOSTILE_SECONDS") {
        Ok(text) => number(&text)? as u32,
        Err(_) => SECONDS,
    };
    let seed = match std::env::var("HOSTILE_SEED") {
        Ok(text) => number(&text)?,
        Err(_) => u64::from(std::process::id()),
    };
    let mut log = File::create(build_dir().join("hostile.log"))?;
    writeln!(log, "seed {seed}, {seconds} seconds")?;
    let wire = Wire::new(seed)?;
    let mut boot = wire
        .boot()
        .archive("hostile.cpio")
        .append(&static_address());
    boot = boot.append(&format!(
        "log=info hostile.orders={ORDERS} hostile.seed={seed}"
    ));
    boot.more_seconds = seconds.into();
    let mut machine = boot.start()?;
    machine.ready()?;
    eventually(SETTLE, || {
        ensure!(
            machine.shell("netstat")?.contains(&format!("*:{ORDERS} ")),
            "no hostile program"
        );
        Ok(())
    })?;
    let fresh = settled(&mut machine, None)?;
    let first = attack(&mut machine, &wire, FIRST_PART.min(seconds), &mut log)?;
    let before = settled(&mut machine, Some(&fresh))?;
    let rest = seconds.saturating_sub(FIRST_PART).max(1);
    let last = attack(&mut machine, &wire, rest, &mut log)?;
    let after = settled(&mut machine, Some(&fresh))?;
    let counters = machine.shell("netstat -s")?;
    let events = wire.events();
    writeln!(
        log,
        "{first}\n{last}\n{counters}\n{:#?}\n{fresh:?}\n{before:?}\n{after:?}",
        events.attacks
    )?;
    nothing_is_lost(&fresh, &before, &after)?;
    everything_was_attacked(&[&first, &last], &counters, &events)?;
    let moved = &events.moved;
    let least = u64::from(seconds / 10).max(1);
    ensure!(
        moved.transfers >= least,
        "{} transfers in {seconds} s",
        moved.transfers
    );
    ensure!(
        moved.datagrams.1 > 0,
        "not one of {} datagrams came back",
        moved.datagrams.0
    );
    let ping = machine.shell("ping -c 2 10.77.0.1")?;
    ensure!(ping.contains(" 0% packet loss"), "{ping}");
    machine.send("poweroff 23\r")?;
    let (status, _) = machine.end(Duration::from_secs(20))?;
    ensure!(status == 23, "status {status}");
    Ok(())
}

/// Everybody still lives, and has no more than before.
fn nothing_is_lost(fresh: &Still, before: &Still, after: &Still) -> Outcome {
    for now in [before, after] {
        ensure!(
            now.rest() == fresh.rest(),
            "{} KiB belong to nobody, {} in the beginning: {now:?}",
            now.rest(),
            fresh.rest()
        );
    }
    for (name, (pid, restarts, memory)) in &after.processes {
        ensure!(
            fresh
                .processes
                .get(name)
                .is_some_and(|(first, ..)| first == pid)
                && *restarts == 0,
            "{name} was started again: {after:?}"
        );
        let (.., then) = before.processes[name];
        let most = if name == "netstack" {
            STACK
        } else {
            then + SLACK
        };
        ensure!(
            *memory <= most,
            "{name} has {memory} KiB, {then} KiB after the first part"
        );
    }
    Ok(())
}

/// The attacks have reached what they were meant for: otherwise this test says nothing.
fn everything_was_attacked(tallies: &[&String], counters: &str, events: &Events) -> Outcome {
    for (what, least) in [
        (" campaigns", 13),
        (" calls", 1000),
        (" sessions", 10),
        (" children", 100),
        (" objects", 1000),
        (" refused", 1000),
    ] {
        let mut count = 0;
        for tally in tallies {
            count += before_word(tally, what)?;
        }
        ensure!(count >= least, "only {count}{what}: {tallies:#?}");
    }
    for tally in tallies {
        ensure!(before_word(tally, " surprises")? == 0, "{tally}");
    }
    for what in [
        "frames dropped as malformed",
        "received frames dropped for want of a socket or room",
        "requests refused by policy or quota",
        "sessions ended for breaking the protocol",
    ] {
        ensure!(counter(counters, what)? > 0, "no {what}: {counters}");
    }
    for (kind, frames) in &events.attacks {
        ensure!(*frames > 0, "no frames of the kind {kind:?}");
    }
    ensure!(
        events.answered > 0,
        "no connection of the attacker was answered"
    );
    Ok(())
}

/// The number in front of a word.
fn before_word(text: &str, word: &str) -> Outcome<u64> {
    let front = text.split(word).next().unwrap_or_default();
    number(front.split([' ', ',', '(']).next_back().unwrap_or_default())
}
