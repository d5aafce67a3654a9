//! Runs seeds: one, to see what happens in it, or many, to find those in which something is wrong.
#![forbid(unsafe_code)]

use sim::{Options, Outcome, collect_panics, run, stats::Stats};
use std::{
    io::Write,
    process::ExitCode,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

const HELP: &str = "\
usage: sim --seed N [--trace] [--strict] [--steps M]       replays one seed
       sim --seeds A..B [--jobs J] [--strict] [--steps M]  runs seeds A to B-1
       sim --from A --count N [...]                        runs N seeds from A on

  --trace     print every step
  --steps M   let things go wrong for M steps, instead of as many as the seed says
  --strict    look at everything that a stack keeps after each of its steps, not after each sixteenth
  --jobs J    threads; as many as there are processors unless given

A run prints its progress and a summary. The exit status is 1 if something was found.";

struct Arguments {
    first: u64,
    last: u64,
    is_replay: bool,
    jobs: usize,
    options: Options,
}

fn number(text: Option<String>, of: &str) -> Result<u64, String> {
    let text = text.ok_or(format!("{of} needs a number"))?;
    text.parse()
        .map_err(|_| format!("{of}: `{text}` is not a number"))
}

fn arguments() -> Result<Option<Arguments>, String> {
    let mut found = Arguments {
        first: 0,
        last: 0,
        is_replay: false,
        jobs: thread::available_parallelism().map_or(1, Into::into),
        options: Options::default(),
    };
    let mut count = None;
    let mut rest = std::env::args().skip(1);
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--seed" => {
                found.first = number(rest.next(), "--seed")?;
                found.is_replay = true;
            }
            "--seeds" => {
                let text = rest.next().unwrap_or_default();
                let (first, last) = text
                    .split_once("..")
                    .ok_or(format!("--seeds: `{text}` is not A..B"))?;
                found.first = number(Some(first.into()), "--seeds")?;
                found.last = number(Some(last.into()), "--seeds")?;
            }
            "--from" => found.first = number(rest.next(), "--from")?,
            "--count" => count = Some(number(rest.next(), "--count")?),
            "--jobs" => found.jobs = number(rest.next(), "--jobs")?.clamp(1, 256) as usize,
            "--steps" => found.options.steps = Some(number(rest.next(), "--steps")?.max(1)),
            "--strict" => found.options.strict = true,
            "--trace" => found.options.text = true,
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    if let Some(count) = count {
        found.last = found.first.saturating_add(count);
    }
    if !found.is_replay && found.last <= found.first {
        return Err("no seeds to run".into());
    }
    Ok(Some(found))
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            say(HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    collect_panics();
    let is_fine = if arguments.is_replay {
        replay(&arguments)
    } else {
        run_all(&arguments)
    };
    if is_fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints; whoever does not want to read further has his reasons.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn print_stats(stats: &Stats) {
    let list = stats.list();
    let named: Vec<String> = list
        .iter()
        .map(|(name, number)| format!("{:>22} {number:<13}", name.replace('_', " ")))
        .collect();
    for row in named.chunks(3) {
        say(row.join("").trim_end());
    }
}

fn replay(arguments: &Arguments) -> bool {
    let outcome = run(arguments.first, &arguments.options);
    for line in &outcome.lines {
        say(line);
    }
    print_stats(&outcome.stats);
    let (hash, notes) = outcome.digest;
    say(&format!(
        "seed {}: {notes} notes, trace {hash:016x}",
        outcome.seed
    ));
    match &outcome.finding {
        Some(finding) => say(&format!("FOUND: {finding}")),
        None => say("nothing found"),
    }
    outcome.finding.is_none()
}

fn run_all(arguments: &Arguments) -> bool {
    let next = AtomicU64::new(arguments.first);
    let (sender, outcomes) = channel();
    thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            let (sender, next) = (sender.clone(), &next);
            let options = Options {
                text: false,
                ..arguments.options
            };
            let last = arguments.last;
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last || sender.send(run(seed, &options)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        gather(arguments, &outcomes)
    })
}

/// Takes outcomes as they come, prints progress and, at the end, the summary.
fn gather(arguments: &Arguments, outcomes: &std::sync::mpsc::Receiver<Outcome>) -> bool {
    let all = arguments.last - arguments.first;
    let (began, mut told) = (Instant::now(), Instant::now());
    let mut stats = Stats::default();
    let (mut done, mut failed, mut digest) = (0u64, Vec::new(), 0u64);
    loop {
        match outcomes.recv_timeout(Duration::from_secs(1)) {
            Ok(outcome) => {
                done += 1;
                stats.add(&outcome.stats);
                // The same for any order of seeds.
                digest = digest.wrapping_add(outcome.digest.0);
                if let Some(finding) = outcome.finding {
                    say(&format!("seed {}: {finding}", outcome.seed));
                    failed.push(outcome.seed);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if told.elapsed() >= Duration::from_secs(2) {
            told = Instant::now();
            let rate = done as f64 / began.elapsed().as_secs_f64();
            say(&format!(
                "{done} of {all} seeds, {rate:.0} a second, {} failed",
                failed.len()
            ));
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    print_stats(&stats);
    failed.sort_unstable();
    for seed in failed.iter().take(20) {
        say(&format!(
            "replay: cargo run -p sim -- --seed {seed} --trace"
        ));
    }
    let good = done - failed.len() as u64;
    say(&format!(
        "{done} seeds in {seconds:.1} s, all traces together {digest:016x}"
    ));
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    say(&format!(
        "test result: {verdict}. {good} passed; {} failed",
        failed.len()
    ));
    failed.is_empty()
}
