//! What calls and doorbells between processes cost, in guest instructions: watches the console of a machine that runs
//! `bench/guest`, and asks for the counts when it says that it begins and ends.

use crate::{
    Failure, Outcome,
    counts::Snapshot,
    guest::{Guest, Net},
    machine::{Machine, Setup},
    results::Micro,
    run::Tools,
    stats::Samples,
};
use std::{
    thread,
    time::{Duration, Instant},
};

const GROUP: &str = "Between processes of the guest";
/// The program begins some seconds after the start, and is done soon after.
const PATIENCE: Duration = Duration::from_secs(90);
/// Time between two looks at the console; the program pauses much longer.
const LOOK: Duration = Duration::from_millis(10);
/// What it logs by, and what is told of it.
const PHASES: [(&str, &str); 4] = [
    (
        "poll",
        "a system call that does little: looking at a notification",
    ),
    ("signal", "a doorbell that wakes nobody"),
    (
        "call",
        "a call and its reply: three system calls, two context switches",
    ),
    (
        "ring",
        "two doorbells that wake each other: four system calls, two context switches",
    ),
];

/// Runs the program `rounds` times.
///
/// # Errors
/// If the machine does not start, or the program does not say what it should.
pub fn processes(guest: &Guest, tools: Tools<'_>, rounds: usize) -> Outcome<Vec<Micro>> {
    let mut all = [const { Vec::new() }; PHASES.len()];
    for _ in 0..rounds {
        let setup = Setup {
            guest,
            net: Net::Tap,
            plugin: Some(tools.plugin),
            folder: tools.folder,
        };
        let machine = Machine::start(setup)?;
        for ((phase, _), samples) in PHASES.iter().zip(&mut all) {
            samples.push(instructions(&machine, phase)?);
        }
    }
    let [poll, signal, _, ring] = &all;
    // What is left of a round trip without its system calls.
    let switches = ring
        .iter()
        .zip(signal)
        .zip(poll)
        .map(|((ring, signal), poll)| (ring - 2.0 * (signal + poll)) / 2.0)
        .collect();
    let mut micros: Vec<Micro> = PHASES
        .iter()
        .zip(all.clone())
        .map(|((_, title), samples)| micro(title, samples))
        .collect();
    micros.push(micro(
        "a context switch: half of the last without its system calls",
        switches,
    ));
    Ok(micros)
}

fn micro(title: &str, samples: Vec<f64>) -> Micro {
    Micro {
        group: GROUP.into(),
        title: title.into(),
        unit: "instructions".into(),
        samples: Samples(samples),
    }
}

/// The instructions of one phase, each time that it is done.
fn instructions(machine: &Machine, phase: &str) -> Outcome<f64> {
    let times: f64 = wait_for(machine, &format!("begin {phase} "))?
        .parse()
        .map_err(|_| Failure(format!("micro: begin {phase}: how often?")))?;
    let before = total(&machine.snapshot()?.unwrap_or_default());
    wait_for(machine, &format!("end {phase}"))?;
    let after = total(&machine.snapshot()?.unwrap_or_default());
    Ok((after - before) as f64 / times)
}

fn total(counts: &Snapshot) -> u64 {
    counts
        .values()
        .map(|(runs, instructions)| runs * u64::from(*instructions))
        .sum()
}

/// Waits until the console shows a text, and returns what follows on its line.
fn wait_for(machine: &Machine, text: &str) -> Outcome<String> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let console = machine.console()?;
        if let Some((_, after)) = console.split_once(text)
            && let Some((line, _)) = after.split_once('\n')
        {
            return Ok(line.trim().to_owned());
        }
        thread::sleep(LOOK);
    }
    Err(Failure(format!("micro: no '{text}' on the console")))
}
