//! Replays every file of `corpus/NAME` and `regressions/NAME`, and the seeds, through the harness of that name.
#![forbid(unsafe_code)]

use fuzz::{Harness, SEEDS, TARGETS};
use libtest_mimic::{Arguments, Failed, Trial};
use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut trials = Vec::new();
    for folder in ["corpus", "regressions"] {
        for (name, harness) in TARGETS {
            let files = files(&root.join(folder).join(name))?;
            if !files.is_empty() {
                let title = format!("{folder}::{name}");
                trials.push(Trial::test(title, move || replay(*harness, &files)));
            }
        }
    }
    for (name, seeds) in SEEDS {
        let (_, harness) = TARGETS
            .iter()
            .find(|(target, _)| target == name)
            .ok_or_else(|| io::Error::other(format!("seeds for no target: {name}")))?;
        trials.push(Trial::test(format!("seeds::{name}"), move || {
            seeds().iter().for_each(|seed| harness(seed));
            Ok(())
        }));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// The files of a folder, in order; none if there is no such folder.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let paths: io::Result<Vec<_>> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut paths = paths?;
    paths.sort();
    Ok(paths)
}

fn replay(harness: Harness, files: &[PathBuf]) -> Result<(), Failed> {
    let mut bad = Vec::new();
    for file in files {
        let input = fs::read(file)?;
        // The panic's message and place are on standard error already.
        if catch_unwind(AssertUnwindSafe(|| harness(&input))).is_err() {
            bad.push(file.display().to_string());
        }
    }
    if bad.is_empty() {
        Ok(())
    } else {
        Err(format!("fails on {}", bad.join(", ")).into())
    }
}
