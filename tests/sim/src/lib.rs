//! Whole systems in one process: the real stack servers, the real client library with programs on it, simulated drivers and a simulated wire,
//! under virtual time. Everything follows from one seed, so that what was found once is found again.
//!
//! A seed makes a world ([`plan`]), the scheduler lets one actor after the other take a step ([`world`]), faults happen between any two of
//! them ([`faults`]), and a book is kept of what programs sent, received and suffered ([`book`]). `docs/simulation.md` says what is real and
//! what must hold.
#![forbid(unsafe_code)]
#![allow(
    clippy::indexing_slicing,
    reason = "what goes wrong in a test is a finding; the indices are the simulation's own"
)]

pub mod bells;
pub mod book;
pub mod client;
pub mod driver;
pub mod faults;
pub mod host;
pub mod plan;
pub mod port;
pub mod programs;
pub mod random;
pub mod stats;
pub mod trace;
pub mod wire;
pub mod world;

use stats::Stats;
use std::{
    cell::RefCell,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
};
use trace::Note;
use world::World;

const SECOND: u64 = 1_000_000_000;
/// Virtual time in which everything that was begun has to come to an end, once nothing goes wrong any more: programs do a few things one
/// behind the other, and each has a time limit of its own.
const TO_AN_END: u64 = 3600 * SECOND;
/// Time after which a healed world works again: leases of neighbours, retries and pauses are shorter.
const TO_RECOVER: u64 = 60 * SECOND;
/// Time after which nothing is left of connections whose clients are gone.
const TO_FORGET: u64 = 400 * SECOND;

/// How a seed is run.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    /// Steps with faults, if not as many as the seed says.
    pub steps: Option<u64>,
    /// Keep the trace as text.
    pub text: bool,
    /// Look at everything that a stack keeps after each of its steps, which takes more than twice the time.
    pub strict: bool,
}

/// What became of a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was found, if something was.
    pub finding: Option<String>,
    /// What happened, as numbers.
    pub stats: Stats,
    /// Hash and length of the trace.
    pub digest: (u64, u64),
    /// The trace, if it was kept.
    pub lines: Vec<String>,
}

thread_local! {
    /// Where and why the thread panicked last.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes panics findings instead of texts on the terminal.
pub fn collect_panics() {
    std::panic::set_hook(Box::new(|info| {
        PANIC.set(Some(info.to_string().replace('\n', " ")));
    }));
}

/// Runs a seed from its first step to the last check.
#[must_use]
pub fn run(seed: u64, options: &Options) -> Outcome {
    // After a panic nothing of the world can be trusted to be dropped.
    let mut world = ManuallyDrop::new(World::new(seed, options));
    let book = world.book.clone();
    let result = catch_unwind(AssertUnwindSafe(|| live(&mut world)));
    match result {
        Ok(()) => drop(ManuallyDrop::into_inner(world)),
        Err(_) => {
            let said = PANIC.take().unwrap_or_else(|| "panic".into());
            book.fail(said);
        }
    }
    let (digest, lines) = book.trace();
    let mut stats = book.stats();
    stats.virtual_seconds = book.now() / SECOND;
    Outcome {
        seed,
        finding: book.finding(),
        stats,
        digest,
        lines,
    }
}

fn live(world: &mut World) {
    let (book, steps) = (world.book.clone(), world.plan.steps);
    let part = |part| book.note(&Note::Part(part));
    let is_fine = || book.finding().is_none();
    // Everything goes wrong.
    part(0);
    let limit = world.now() + TO_AN_END;
    world.run_until(limit, |world| {
        world.steps >= steps || world.book.jobs() == 0
    });
    // Nothing goes wrong any more, and everything that was begun ends.
    part(1);
    world.heal();
    let limit = world.now() + TO_AN_END;
    if !world.run_until(limit, |world| world.book.jobs() == 0) && is_fine() {
        book.fail(format!("{} jobs never end", book.jobs()));
    }
    world.run_until(world.now() + TO_RECOVER, |_| false);
    // Everybody reaches everybody, as if nothing had happened.
    part(2);
    world.probe();
    let limit = world.now() + TO_AN_END;
    if !world.run_until(limit, |world| world.book.jobs() == 0) && is_fine() {
        book.fail(format!("{} probes never end", book.jobs()));
    }
    // Everybody leaves, and nothing is left of them.
    part(3);
    world.wind_down();
    world.run_until(world.now() + SECOND, |_| false);
    world.end();
    world.run_until(world.now() + TO_FORGET, |_| false);
    if is_fine() {
        world.check_empty();
    }
}
