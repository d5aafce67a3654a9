//! The campaigns: which there are, in which order they run, and what is counted. Safe.

use crate::{
    churn, clients, crashes, exhaust, guess, mapping, quota, random::Random, scribble, storm, wild,
};
use alloc::string::String;
use core::{fmt, time::Duration};
use rt::{Env, Error};

/// How a campaign ends: an error is one that its own quota or budget caused.
pub(crate) type Outcome = Result<(), Error>;

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Campaigns run.
    pub campaigns: u64,
    /// Campaigns that ended early, for want of something.
    pub cut_short: u64,
    /// System calls of wild processes.
    pub calls: u64,
    /// Sessions with the stack that were opened.
    pub sessions: u64,
    /// Processes that were started.
    pub children: u64,
    /// Objects made until a budget or table was full.
    pub objects: u64,
    /// Requests, guesses and mappings that were refused.
    pub refused: u64,
    /// Times that a system call or server allowed what it must not.
    pub surprises: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} campaigns ({} cut short), {} calls, {} sessions, {} children, {} objects, {} refused, {} surprises",
            self.campaigns,
            self.cut_short,
            self.calls,
            self.sessions,
            self.children,
            self.objects,
            self.refused,
            self.surprises
        )
    }
}

/// What a campaign works with.
pub struct Attack<'a> {
    /// The capabilities to work with.
    pub(crate) env: &'a Env,
    /// Where its choices come from.
    pub(crate) random: Random,
    /// What is counted.
    pub(crate) tally: Tally,
    /// Priority of the busiest children: the program's own.
    pub(crate) priority: u8,
}

/// A campaign: its name and what it does.
type Campaign = (&'static str, fn(&mut Attack<'_>) -> Outcome);

/// The campaigns.
const CAMPAIGNS: &[Campaign] = &[
    ("wild", wild::run),
    ("crashes", crashes::run),
    ("churn", churn_some),
    ("scribble", scribble::run),
    ("clients", clients::run),
    ("quota", quota::run),
    ("derive", quota::derive),
    ("storm", storm::run),
    ("calls", storm::calls),
    ("exhaust", exhaust::run),
    ("table", exhaust::fill_table),
    ("guess", guess::run),
    ("mapping", mapping::run),
];

/// Cycles of one campaign of starting and killing.
const CYCLES: u32 = 100;

fn churn_some(attack: &mut Attack<'_>) -> Outcome {
    for _ in 0..CYCLES {
        let priority = attack.random.below(u64::from(attack.priority) + 1) as u8;
        churn::cycle(attack.env, priority)?;
        attack.tally.children += 1;
    }
    Ok(())
}

impl<'a> Attack<'a> {
    /// An attack with the choices of `seed`.
    #[must_use]
    pub fn new(env: &'a Env, seed: u64, priority: u8) -> Attack<'a> {
        Attack {
            env,
            random: Random::new(seed),
            tally: Tally::default(),
            priority,
        }
    }

    /// Runs campaigns for so long (for ever without an end): all of them once, then at random. If `only` is given, just that one.
    pub fn run(&mut self, life: Option<Duration>, only: Option<&str>) -> Tally {
        let end = life.map(|life| rt::time::now().saturating_add(life.as_nanos() as u64));
        let mut first = CAMPAIGNS.iter();
        while end.is_none_or(|end| rt::time::now() < end) {
            let next = first.next().or_else(|| self.random.pick(CAMPAIGNS));
            let Some((name, campaign)) = next else {
                break;
            };
            if only.is_some_and(|only| only != *name) {
                continue;
            }
            self.tally.campaigns += 1;
            log::trace!("hostile: {name}");
            if let Err(error) = campaign(self) {
                // Its own doing, mostly: the budget that another campaign took is not all back yet.
                self.tally.cut_short += 1;
                log::debug!("hostile: {name}: {error}");
            }
        }
        self.tally
    }

    /// Something was allowed that must not be.
    pub(crate) fn surprise(&mut self, what: String) {
        self.tally.surprises += 1;
        log::error!("hostile: {what}");
    }
}
