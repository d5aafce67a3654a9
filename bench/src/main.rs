//! `bench`: what ./bench.sh runs after it has built everything.
#![forbid(unsafe_code)]

use bench::{
    Outcome,
    options::{Options, Places, USAGE},
    results::Results,
    run::{self, Tools},
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match measure(arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("bench: {failed} measurements failed");
            ExitCode::FAILURE
        }
        Err(failure) => {
            eprintln!("bench: {}", failure.0);
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: Vec<String>) -> Outcome<usize> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let places = Places {
        build: root.join("build"),
        root,
    };
    let options = Options::parse(arguments, &places)?;
    let folder = places.build.join("bench");
    std::fs::create_dir_all(&folder)?;
    let tools = Tools {
        plugin: &target.join("release/libtcg_count.so"),
        programs: &target.join("x86_64-unknown-none/release"),
        folder: &folder,
    };
    let mut results = Results::default();
    let failed = run::run(&options, tools, &mut results)?;
    if let Some(path) = &options.json {
        results.save(path)?;
    }
    Ok(failed)
}
