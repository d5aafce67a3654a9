//! Builds the boot archive: checks the manifest (see image/manifest.toml), encodes it, and packs it with the programs that
//! it names. Host tool; reads the manifest and the programs, writes the archive, nothing else.
//!
//! Every mistake is reported with file and line, all of them at once. Exit status: 0 done, 1 input or output failed, 2
//! mistakes in the manifest or the arguments.
#![forbid(unsafe_code)]

mod check;
mod cpio;
mod parse;
mod policy;
mod program;
mod source;

use manifest::{MANIFEST_FILE, Manifest, Record};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "usage: image --manifest FILE --programs DIR --output FILE
  --manifest FILE   the manifest, in TOML
  --programs DIR    where the programs are
  --output FILE     the boot archive to write";

/// Name of the root server, which the kernel itself loads.
const INIT: &str = "init";

/// Why there is no archive.
enum Failure {
    Usage(String),
    Mistakes(Vec<String>),
    Io(String),
}

struct Arguments {
    manifest: PathBuf,
    programs: PathBuf,
    output: PathBuf,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .iter()
        .any(|word| word == "--help" || word == "-h")
    {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match read_arguments(&arguments).and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            eprintln!("image: {text}\n{USAGE}");
            ExitCode::from(2)
        }
        Err(Failure::Mistakes(mistakes)) => {
            for mistake in mistakes {
                eprintln!("{mistake}");
            }
            ExitCode::from(2)
        }
        Err(Failure::Io(text)) => {
            eprintln!("image: {text}");
            ExitCode::FAILURE
        }
    }
}

fn read_arguments(words: &[String]) -> Result<Arguments, Failure> {
    let mut values = BTreeMap::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--manifest" | "--programs" | "--output" => {
                let value = words
                    .next()
                    .ok_or_else(|| Failure::Usage(format!("{word} needs a value")))?;
                if values.insert(word.as_str(), PathBuf::from(value)).is_some() {
                    return Err(Failure::Usage(format!("{word} is given twice")));
                }
            }
            _ => return Err(Failure::Usage(format!("unknown argument `{word}`"))),
        }
    }
    let mut take = |name| {
        values
            .remove(name)
            .ok_or_else(|| Failure::Usage(format!("{name} is missing")))
    };
    Ok(Arguments {
        manifest: take("--manifest")?,
        programs: take("--programs")?,
        output: take("--output")?,
    })
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let text = read(&arguments.manifest)?;
    let text = String::from_utf8(text).map_err(|_| {
        Failure::Mistakes(vec![format!(
            "{}:1: error: not UTF-8",
            arguments.manifest.display()
        )])
    })?;
    let name = arguments.manifest.display().to_string();
    let source = source::Source::new(&name, &text);
    let (manifest, programs) = parse::parse(&source)
        .and_then(|file| check::check(&source, file))
        .map_err(Failure::Mistakes)?;
    let mut files = Vec::new();
    let mut mistakes = Vec::new();
    // Without a line of the manifest: every image has it.
    match pack(&arguments.programs, INIT) {
        Ok(file) => files.push((INIT.to_owned(), file)),
        Err(why) => mistakes.push(format!("error: program `{INIT}`: {why}")),
    }
    files.push((MANIFEST_FILE.to_owned(), encode(&manifest)?));
    for (name, at) in programs {
        match pack(&arguments.programs, &name) {
            Ok(file) => files.push((name, file)),
            Err(why) => mistakes.push(source.error(at, &format!("program `{name}`: {why}"))),
        }
    }
    if !mistakes.is_empty() {
        return Err(Failure::Mistakes(mistakes));
    }
    let archive =
        cpio::archive(&files).map_err(|error| Failure::Io(format!("the archive: {error}")))?;
    if let Some(folder) = arguments.output.parent() {
        fs::create_dir_all(folder)
            .map_err(|error| Failure::Io(format!("{}: {error}", folder.display())))?;
    }
    fs::write(&arguments.output, archive)
        .map_err(|error| Failure::Io(format!("{}: {error}", arguments.output.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::Io(format!("{}: {error}", path.display())))
}

fn encode(manifest: &Manifest) -> Result<Vec<u8>, Failure> {
    manifest
        .to_bytes()
        .map_err(|error| Failure::Io(format!("the manifest: {error}")))
}

/// A program's file as it goes into the archive, or why it can't.
fn pack(folder: &Path, name: &str) -> Result<Vec<u8>, String> {
    let path = folder.join(name);
    let file = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    program::stripped(&file).map_err(|error| format!("{}: {error}", path.display()))
}
