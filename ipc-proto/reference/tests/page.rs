//! The page is current and complete, and a program that knows nothing but the page agrees with it. Reads docs/protocol.md, runs Python.

use protocol_reference::{COMMAND, definitions, errors, machines, render, source::Source};
use std::{collections::HashSet, path::Path, process::Command};

fn page() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md")
}

#[test]
fn docs_protocol_md_is_current() {
    let there = std::fs::read_to_string(page()).unwrap_or_default();
    assert!(
        there == render(),
        "docs/protocol.md is not what the types say. Write it anew with\n\n    {COMMAND}\n"
    );
}

#[test]
fn everything_is_documented_and_bounded() {
    let (text, undocumented, _) = definitions(&Source::read());
    assert_eq!(undocumented, Vec::<String>::new(), "without a doc comment");
    assert!(!text.contains('?'), "a bound or type is not known:\n{text}");
}

#[test]
fn every_error_has_its_meaning() {
    let source = Source::read();
    for table in errors::tables() {
        for (_, variant, _) in table.rows {
            let path = format!("{}::{variant}", table.path);
            assert!(
                source.get(&path).is_some_and(|entry| !entry.doc.is_empty()),
                "{path}"
            );
        }
    }
}

#[test]
fn every_state_can_be_reached_and_no_step_is_there_twice() {
    for machine in machines::ALL {
        for state in machine.states() {
            assert!(
                machine.leads(machine.start, state, machine.steps.len()),
                "{}: {state}",
                machine.name
            );
        }
        let steps: HashSet<_> = machine.steps.iter().collect();
        assert_eq!(steps.len(), machine.steps.len(), "{}", machine.name);
    }
}

/// `check.py` encodes and decodes every example by the page alone.
#[test]
fn a_program_that_knows_only_the_page_agrees() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("check.py");
    let run = Command::new("python3").arg(script).arg(page()).output();
    let Ok(output) = run else {
        eprintln!("skipped: there is no python3 here");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{wrong}");
    println!("{said}");
}
