//! Which functions of the guest run while a command does: `guest-profile SOCKET [NAME=ELF]... -- COMMAND...`.
//! The machine must run with the plugin `bench/plugin`.
#![forbid(unsafe_code)]

use bench::counts::{Programs, by_program, snapshot};
use std::{
    error::Error,
    path::Path,
    process::{Command, ExitCode},
};

const USAGE: &str = "usage: guest-profile SOCKET [NAME=ELF]... -- COMMAND [ARGUMENT]...

Runs COMMAND, and prints how many instructions of the guest ran meanwhile, by program and by function.
SOCKET is that of the QEMU plugin tcg-count; each ELF is a program of the image, or the kernel.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guest-profile: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let mut parts = arguments.splitn(2, |argument| argument == "--");
    let (Some([socket, elves @ ..]), Some([command, rest @ ..])) = (parts.next(), parts.next())
    else {
        return Err(USAGE.into());
    };
    let mut programs = Programs::default();
    for elf in elves {
        let (name, path) = elf.split_once('=').ok_or(USAGE)?;
        programs.add(name, Path::new(path))?;
    }
    let socket = Path::new(socket);
    let before = snapshot(socket)?;
    let status = Command::new(command).args(rest).status()?;
    let lines = programs.attribute(&before, &snapshot(socket)?);
    if !status.success() {
        return Err(format!("{command}: {status}").into());
    }
    let total: u64 = lines.iter().map(|line| line.instructions).sum();
    println!("{total:>14} instructions");
    for (program, instructions) in by_program(&lines) {
        println!(
            "{instructions:>14} {:>5.1} %  {program}",
            share(instructions, total)
        );
    }
    println!();
    for line in lines.iter().take(60) {
        let share = share(line.instructions, total);
        println!(
            "{:>14} {share:>5.1} %  {}: {}",
            line.instructions, line.program, line.function
        );
    }
    Ok(())
}

fn share(part: u64, total: u64) -> f64 {
    100.0 * part as f64 / total.max(1) as f64
}
