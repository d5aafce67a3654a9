//! Checks what the manifest says and turns it into what init reads. All mistakes are found in one go.

use crate::{INIT, parse, policy::policy, source::Source};
use manifest::{
    Caps, DeviceMatch, MAX_NAME, MAX_PROCESSES, Manifest, Process, Restart, SYSTEM_ENDPOINT, Use,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Range, RangeInclusive},
};
use toml::Spanned;

/// The endpoint that gives out network sessions: whoever uses it needs a policy.
const NET_ENDPOINT: &str = "net";
/// Bytes in a page.
const PAGE: u64 = 4096;
/// Priorities of processes; the highest of the kernel is init's alone.
const PRIORITIES: RangeInclusive<i64> = 0..=14;
/// Memory that the kernel, the archive and init need, in bytes.
const RESERVE: u64 = 16 << 20;
/// Stack of a process that names none.
const DEFAULT_STACK: u64 = 64 << 10;

/// A program that is needed, and where the manifest first names it.
pub(crate) type Programs = Vec<(String, Range<usize>)>;

/// The mistakes found so far.
pub(crate) struct Mistakes<'a> {
    source: &'a Source<'a>,
    found: Vec<String>,
}

impl Mistakes<'_> {
    /// Adds one at this place of the text.
    pub(crate) fn add(&mut self, at: Range<usize>, message: &str) {
        self.found.push(self.source.error(at, message));
    }

    /// A number in range, else a mistake and the least.
    pub(crate) fn number(
        &mut self,
        written: &Spanned<i64>,
        key: &str,
        range: RangeInclusive<i64>,
    ) -> i64 {
        let number = *written.get_ref();
        if range.contains(&number) {
            return number;
        }
        let (least, most) = (range.start(), range.end());
        self.add(
            written.span(),
            &format!("{key} is {number}, but must be {least} to {most}"),
        );
        *least
    }
}

/// A size like `64K`, `32M` or `1G` in bytes, else a mistake and the least.
pub(crate) fn bytes(
    mistakes: &mut Mistakes<'_>,
    written: &Spanned<String>,
    key: &str,
    range: RangeInclusive<u64>,
) -> u64 {
    let text = written.get_ref();
    let parsed = text.char_indices().last().and_then(|(at, unit)| {
        let shift = match unit {
            'K' => 10,
            'M' => 20,
            'G' => 30,
            _ => return None,
        };
        let number: u64 = text.get(..at)?.parse().ok()?;
        number.checked_mul(1 << shift)
    });
    match parsed {
        Some(size) if range.contains(&size) => return size,
        Some(_) => {
            let (least, most) = (range.start() >> 10, range.end() >> 10);
            mistakes.add(
                written.span(),
                &format!("{key} is `{text}`, but must be {least}K to {most}K"),
            );
        }
        None => mistakes.add(
            written.span(),
            &format!("{key} is `{text}`, but must be a size like 64K, 32M or 1G"),
        ),
    }
    *range.start()
}

/// Checks the file.
pub(crate) fn check(
    source: &Source<'_>,
    file: parse::File,
) -> Result<(Manifest, Programs), Vec<String>> {
    let mut mistakes = Mistakes {
        source,
        found: Vec::new(),
    };
    if file.process.is_empty() {
        mistakes.add(0..0, "there is no [[process]]");
    }
    if let Some(extra) = file.process.get(MAX_PROCESSES) {
        mistakes.add(
            extra.span(),
            &format!("more than {MAX_PROCESSES} processes"),
        );
    }
    let providers = providers(&mut mistakes, &file);
    let mut names = BTreeSet::new();
    let mut programs = Programs::new();
    let mut manifest = Manifest::default();
    for written in &file.process {
        let written = written.get_ref();
        name(&mut mistakes, &written.name, "process");
        if written.name.get_ref() == INIT {
            mistakes.add(
                written.name.span(),
                "`init` is the root server, which needs no entry",
            );
        } else if !names.insert(written.name.get_ref().clone()) {
            mistakes.add(
                written.name.span(),
                &format!("two processes are named `{}`", written.name.get_ref()),
            );
        }
        let program = written.program.get_ref();
        if !programs.iter().any(|(other, _)| other == program) {
            programs.push((program.clone(), written.program.span()));
        }
        manifest
            .processes
            .push(process(&mut mistakes, &providers, written));
    }
    budgets(&mut mistakes, &file, &manifest);
    if mistakes.found.is_empty() {
        Ok((manifest, programs))
    } else {
        Err(mistakes.found)
    }
}

/// Which process provides each endpoint.
fn providers(mistakes: &mut Mistakes<'_>, file: &parse::File) -> BTreeMap<String, String> {
    let mut providers = BTreeMap::new();
    for process in &file.process {
        let process = process.get_ref();
        for endpoint in &process.provides {
            name(mistakes, endpoint, "endpoint");
            let text = endpoint.get_ref();
            if text == SYSTEM_ENDPOINT {
                mistakes.add(endpoint.span(), "`system` is provided by init");
            } else if let Some(other) =
                providers.insert(text.clone(), process.name.get_ref().clone())
            {
                mistakes.add(
                    endpoint.span(),
                    &format!("`{text}` is already provided by `{other}`"),
                );
            }
        }
    }
    providers
}

fn process(
    mistakes: &mut Mistakes<'_>,
    providers: &BTreeMap<String, String>,
    written: &parse::Process,
) -> Process {
    // Names of capabilities: each can be there once only.
    let mut names = BTreeSet::new();
    let caps = caps(mistakes, &mut names, &written.caps);
    for endpoint in &written.provides {
        once(mistakes, &mut names, endpoint);
    }
    let uses = uses(mistakes, &mut names, providers, written);
    let devices = written
        .device
        .iter()
        .map(|device| {
            let device = device.get_ref();
            name(mistakes, &device.name, "device");
            once(mistakes, &mut names, &device.name);
            DeviceMatch {
                name: device.name.get_ref().clone(),
                vendor: mistakes.number(&device.vendor, "vendor", 0..=0xfffe) as u16,
                device: mistakes.number(&device.device, "device", 0..=0xffff) as u16,
            }
        })
        .collect();
    let budget = bytes(mistakes, &written.budget, "budget", 256 << 10..=1 << 36);
    let stack = written.stack.as_ref().map_or(DEFAULT_STACK, |stack| {
        bytes(mistakes, stack, "stack", 16 << 10..=16 << 20)
    });
    if stack >= budget {
        let at = written.stack.as_ref().unwrap_or(&written.budget).span();
        mistakes.add(at, "the stack alone takes the whole budget");
    }
    let priority = mistakes.number(&written.priority, "priority", PRIORITIES);
    let patient = match &written.patient {
        Some(patient) => mistakes.number(patient, "patient", 0..=priority),
        None => priority,
    };
    Process {
        name: written.name.get_ref().clone(),
        program: written.program.get_ref().clone(),
        priority: priority as u8,
        patient: patient as u8,
        budget: budget / PAGE,
        stack: (stack / PAGE) as u32,
        restart: match written.restart {
            parse::Restart::Always => Restart::Always,
            parse::Restart::OnFailure => Restart::OnFailure,
            parse::Restart::Never => Restart::Never,
        },
        caps,
        provides: written
            .provides
            .iter()
            .map(|name| name.get_ref().clone())
            .collect(),
        uses,
        devices,
        args: args(mistakes, written),
    }
}

fn caps(
    mistakes: &mut Mistakes<'_>,
    names: &mut BTreeSet<String>,
    written: &[Spanned<String>],
) -> Caps {
    let mut caps = Caps::default();
    for word in written {
        let flag = match word.get_ref().as_str() {
            "log" => &mut caps.log,
            "clock" => &mut caps.clock,
            "console" => &mut caps.console,
            "machine" => &mut caps.machine,
            other => {
                mistakes.add(
                    word.span(),
                    &format!("`{other}` is none of the capabilities log, clock, console, machine"),
                );
                continue;
            }
        };
        *flag = true;
        once(mistakes, names, word);
    }
    caps
}

fn uses(
    mistakes: &mut Mistakes<'_>,
    names: &mut BTreeSet<String>,
    providers: &BTreeMap<String, String>,
    written: &parse::Process,
) -> Vec<Use> {
    let mut uses = Vec::new();
    let mut needs_policy = false;
    for word in &written.uses {
        let text = word.get_ref().as_str();
        let (endpoint, act) = match text.split_once(':') {
            Some((SYSTEM_ENDPOINT, "look")) => (SYSTEM_ENDPOINT, false),
            Some((SYSTEM_ENDPOINT, "act")) => (SYSTEM_ENDPOINT, true),
            _ if text.split(':').next() == Some(SYSTEM_ENDPOINT) => {
                mistakes.add(
                    word.span(),
                    "write `system:look` (only look) or `system:act` (also kill and power off)",
                );
                continue;
            }
            _ => (text, false),
        };
        match providers.get(endpoint) {
            Some(provider) if provider == written.name.get_ref() => {
                mistakes.add(
                    word.span(),
                    &format!("`{endpoint}` is provided by this process itself"),
                );
            }
            None if endpoint != SYSTEM_ENDPOINT => {
                mistakes.add(
                    word.span(),
                    &format!("nobody provides an endpoint `{endpoint}`"),
                );
            }
            _ => {}
        }
        once(
            mistakes,
            names,
            &Spanned::new(word.span(), endpoint.to_owned()),
        );
        let is_net = endpoint == NET_ENDPOINT;
        if is_net && written.policy.is_none() {
            mistakes.add(
                word.span(),
                "the use of `net` needs a [process.policy]: what may it do there?",
            );
        }
        needs_policy |= is_net;
        uses.push(Use {
            endpoint: endpoint.to_owned(),
            act,
            policy: written
                .policy
                .as_ref()
                .filter(|_| is_net)
                .map(|written| policy(mistakes, written)),
        });
    }
    if let (Some(policy), false) = (&written.policy, needs_policy) {
        mistakes.add(
            policy.span(),
            "a policy without the use of `net` has no effect",
        );
    }
    uses
}

/// A capability that is already there under this name is a mistake.
fn once(mistakes: &mut Mistakes<'_>, names: &mut BTreeSet<String>, name: &Spanned<String>) {
    if !names.insert(name.get_ref().clone()) {
        mistakes.add(
            name.span(),
            &format!("capability `{}` is given twice", name.get_ref()),
        );
    }
}

/// Names are short, of small letters, digits and hyphens.
fn name(mistakes: &mut Mistakes<'_>, name: &Spanned<String>, what: &str) {
    let text = name.get_ref();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(allowed) {
        mistakes.add(
            name.span(),
            &format!(
                "`{text}` is no {what} name: 1 to {MAX_NAME} small letters, digits and hyphens"
            ),
        );
    }
}

fn args(mistakes: &mut Mistakes<'_>, written: &parse::Process) -> Vec<(String, String)> {
    let Some(table) = &written.args else {
        return Vec::new();
    };
    let mut args = Vec::new();
    for (key, value) in table.get_ref() {
        let value = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            _ => {
                mistakes.add(
                    table.span(),
                    &format!("args: `{key}` must be a string, a number or a truth value"),
                );
                continue;
            }
        };
        args.push((key.clone(), value));
    }
    args
}

/// All budgets together must fit into the machine.
fn budgets(mistakes: &mut Mistakes<'_>, file: &parse::File, manifest: &Manifest) {
    let memory = bytes(mistakes, &file.memory, "memory", 32 << 20..=1 << 40);
    let pages: u64 = manifest
        .processes
        .iter()
        .map(|process| process.budget)
        .sum();
    let needed = pages.saturating_mul(PAGE).saturating_add(RESERVE);
    if needed > memory {
        mistakes.add(
            file.memory.span(),
            &format!(
                "the budgets and {}M for the kernel and init need {}M, but memory is `{}`",
                RESERVE >> 20,
                needed.div_ceil(1 << 20),
                file.memory.get_ref()
            ),
        );
    }
}

#[cfg(test)]
mod tests;
