//! `bench`: what ./bench.sh runs after it has built everything.
#![forbid(unsafe_code)]

use bench::{
    Outcome,
    about::about,
    guest::Guest,
    host, many, micro,
    options::{Options, Places, USAGE},
    plot, report,
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
    let (mut results, failed) = match &options.from {
        Some(file) => (Results::load(file)?, 0),
        None => {
            let mut results = Results {
                about: about(&places.root, &places.build.join("linux")),
                ..Results::default()
            };
            if options.micro {
                let guest = Guest {
                    chatty: true,
                    ..Guest::causeway("micro", &places.build, "bench.cpio")
                };
                results.micros = micro::processes(&guest, tools, options.rounds)?;
                results.micros.extend(host::all()?);
                results.micros.extend(many::connections());
                (results, 0)
            } else {
                let failed = run::run(&options, tools, &mut results)?;
                (results, failed)
            }
        }
    };
    println!("\n{}", report::tables(&results));
    if let Some(path) = &options.json {
        results.save(path)?;
    }
    if options.report {
        write_report(&places.root.join("docs"), &mut results)?;
    }
    Ok(failed)
}

/// docs/performance.md, with its plot and its data.
fn write_report(docs: &Path, results: &mut Results) -> Outcome {
    let data = docs.join("performance.json");
    if let Ok(earlier) = Results::load(&data) {
        results.complete(earlier);
    }
    results.save(&data)?;
    std::fs::write(
        docs.join("performance.svg"),
        plot::plot(results, "causeway", "linux"),
    )?;
    let page = docs.join("performance.md");
    let part = format!(
        "{}\n![Causeway beside Linux](performance.svg)\n\n{}",
        report::about(results),
        report::tables(results)
    );
    let text = report::replace(&std::fs::read_to_string(&page)?, part.trim_end())?;
    Ok(std::fs::write(page, text)?)
}
