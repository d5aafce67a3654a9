//! Where the instructions of a guest go: finds the ELF files of its programs, and prints tables.

use crate::{
    Outcome, archive,
    counts::{self, Line, Programs, by_program},
    guest::{Guest, System},
};
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

/// Functions in a profile.
const FUNCTIONS: usize = 40;

/// The programs of a guest, as far as their ELF files are there: `programs/` beside the archive, or else where cargo puts them.
///
/// # Errors
/// If a file is there and can't be read.
pub fn programs(guest: &Guest, built: &Path) -> Outcome<Programs> {
    let mut programs = Programs::default();
    for (name, path) in files(guest, built)? {
        programs.add(&name, &path)?;
    }
    Ok(programs)
}

/// The names and ELF files of these.
///
/// # Errors
/// If the archive can't be read.
pub fn files(guest: &Guest, built: &Path) -> Outcome<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    let beside = guest.archive.with_file_name("programs");
    let folder = if beside.is_dir() { &beside } else { built };
    match guest.system {
        System::Linux => {
            let init = guest.archive.with_file_name("init");
            if init.exists() {
                files.push(("init".into(), init));
            }
        }
        System::Causeway => {
            files.push(("kernel".into(), guest.kernel.clone()));
            // Only those that it runs: others may hold equal code.
            for name in archive::names(&std::fs::read(&guest.archive)?) {
                let path = folder.join(&name);
                if path.is_file() {
                    files.push((name, path));
                }
            }
        }
    }
    Ok(files)
}

/// Shares of the whole by program, in percent. What was waited comes on top of the whole.
pub fn shares(lines: &[Line]) -> Vec<(String, f64)> {
    let total = counts::work(lines);
    by_program(lines)
        .into_iter()
        .map(|(program, instructions)| (program, share(instructions, total)))
        .collect()
}

/// A table by program and one by function, in instructions for each unit of work.
pub fn table(lines: &[Line], work: f64) -> String {
    let total = counts::work(lines);
    let each = |instructions: u64| instructions as f64 / work;
    let mut text = String::new();
    let mut line = |instructions: u64, name: &str| {
        let share = share(instructions, total);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:>14.1} {share:>5.1} %  {name}", each(instructions));
    };
    line(total, "all");
    for (program, instructions) in by_program(lines) {
        line(instructions, &program);
    }
    for (kind, names) in [("function", outer(lines)), ("inlined part", inner(lines))] {
        line(0, &format!("--- by {kind}"));
        for (name, instructions) in names.into_iter().take(FUNCTIONS) {
            line(instructions, &name);
        }
    }
    text
}

/// By function as it was compiled, with what was inlined into it.
fn outer(lines: &[Line]) -> Vec<(String, u64)> {
    let whole = |line: &Line| {
        let name = line.function.rsplit(" < ").next().unwrap_or_default();
        Line {
            function: String::new(),
            program: format!("{}: {name}", line.program),
            ..*line
        }
    };
    by_program(&lines.iter().map(whole).collect::<Vec<Line>>())
}

fn inner(lines: &[Line]) -> Vec<(String, u64)> {
    lines
        .iter()
        .map(|line| {
            (
                format!("{}: {}", line.program, line.function),
                line.instructions,
            )
        })
        .collect()
}

fn share(part: u64, total: u64) -> f64 {
    100.0 * part as f64 / total.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_for_each_unit() {
        let line = |program: &str, function: &str, instructions| Line {
            program: program.into(),
            function: function.into(),
            instructions,
        };
        let lines = [
            line("kernel", "a < z", 600),
            line("netstack", "b", 300),
            line("kernel", "c < z", 100),
        ];
        let text = table(&lines, 10.0);
        let rows: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(rows[0], "100.0 100.0 %  all");
        assert_eq!(rows[1], "70.0  70.0 %  kernel");
        assert!(rows[3].ends_with("--- by function"));
        assert_eq!(rows[4], "70.0  70.0 %  kernel: z");
        assert_eq!(rows[7], "60.0  60.0 %  kernel: a < z");
        assert_eq!(shares(&lines)[1], ("netstack".into(), 30.0));
    }
}
