//! What the compiler and the linker are told about the data path (image/profile.profdata, image/order.ld) still has to do with the programs:
//! both are written by scripts/profile.sh, and match functions by name. Reads the files and the programs as they were built.

use super::Case;
use object::{Object, ObjectSymbol, SymbolKind};
use std::{collections::BTreeSet, fs, path::PathBuf};
use system_tests::{Outcome, ensure, machine::build_dir};

pub(super) const CASES: &[Case] = &[(
    "profile::the_functions_of_the_data_path_are_known",
    the_functions_of_the_data_path_are_known,
)];

/// Programs that are on the data path.
const PROGRAMS: [&str; 4] = ["httpd", "netstack", "services", "virtio-net"];
/// Some change with every commit, and a little less speed is no failure. With less than this, in percent, nobody has looked for long.
const LEAST: usize = 50;

fn the_functions_of_the_data_path_are_known() -> Outcome {
    let root = build_dir().join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let mut symbols = BTreeSet::new();
    for program in PROGRAMS {
        let bytes = fs::read(target.join("x86_64-unknown-none/release").join(program))?;
        let file = object::File::parse(bytes.as_slice())?;
        let functions = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text)
            .filter_map(|symbol| symbol.name().ok().map(str::to_owned));
        symbols.extend(functions);
    }
    let order = fs::read_to_string(root.join("image/order.ld"))?;
    let patterns: Vec<&str> = order
        .lines()
        .filter_map(|line| line.trim().strip_prefix("*(.text.")?.strip_suffix(')'))
        .collect();
    let placed: Vec<&String> = patterns
        .iter()
        .filter_map(|pattern| symbols.iter().find(|symbol| matches(pattern, symbol)))
        .collect();
    enough("image/order.ld", placed.len(), patterns.len())?;

    let profile = fs::read(root.join("image/profile.profdata"))?;
    // Those of the compiler's own libraries were compiled by somebody else.
    let ours: Vec<_> = placed.iter().filter(|name| name.contains("17h")).collect();
    let known = ours
        .iter()
        .filter(|name| {
            profile
                .windows(name.len())
                .any(|part| part == name.as_bytes())
        })
        .count();
    enough("image/profile.profdata", known, ours.len())
}

fn enough(file: &str, found: usize, all: usize) -> Outcome {
    let percent = found * 100 / all.max(1);
    println!("{file}: {percent} % of {all} functions are as it says");
    ensure!(
        percent >= LEAST,
        "{file} knows {found} of {all} functions: run scripts/profile.sh, and commit what it writes"
    );
    Ok(())
}

/// Whether a pattern of the linker, whose only special character is `*`, matches.
fn matches(pattern: &str, symbol: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let mut rest = symbol.strip_prefix(first);
    for part in parts {
        // The last part of those that end in a star is empty, and found anywhere.
        rest = rest.and_then(|rest| Some(rest.split_once(part)?.1));
    }
    rest.is_some_and(|rest| rest.is_empty() || pattern.ends_with('*'))
}
