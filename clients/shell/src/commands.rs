//! The commands: their names, how they fail, and which function runs them.

use crate::{platform::Platform, shell::Shell};
use alloc::{string::String, vec::Vec};

/// Prints a line.
macro_rules! say {
    ($shell:expr, $($format:tt)*) => {
        $shell.print(format_args!("{}\n", format_args!($($format)*)))
    };
}

/// Makes a failure with a message.
macro_rules! failure {
    ($($format:tt)*) => {
        $crate::commands::Failure::Message(alloc::format!($($format)*))
    };
}

mod nc;
mod network;
mod options;
mod ping;
mod process;
mod table;
mod wget;

pub(crate) use process::{MAX_STATUS, power_off};

/// Why a command failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// One of [`INTERRUPTS`](crate::input::INTERRUPTS).
    Interrupted,
    /// All was said already; the status.
    Silent(u8),
    /// Printed behind the command's name.
    Message(String),
    /// Called wrongly: how to call it.
    Usage(&'static str),
}

/// A command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command {
    /// Its name.
    pub(crate) name: &'static str,
    /// How to call it.
    pub(crate) usage: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// It looks out for the keys that end a command itself.
    pub(crate) takes_interrupt: bool,
}

const fn command(name: &'static str, usage: &'static str, about: &'static str) -> Command {
    Command {
        name,
        usage,
        about,
        takes_interrupt: false,
    }
}

/// All commands in the order of `help`.
const COMMANDS: [Command; 17] = [
    command(
        "help",
        "help [COMMAND]",
        "lists the commands, or explains one",
    ),
    command("ps", "ps", "lists the processes"),
    command(
        "caps",
        "caps PID|NAME",
        "lists the capabilities of a process",
    ),
    command(
        "kill",
        "kill NAME",
        "ends a process; its restart policy applies",
    ),
    command("log", "log [-n N]", "prints the log, or its last N lines"),
    command(
        "uptime",
        "uptime",
        "tells how long the machine runs, and how busy it is",
    ),
    command("free", "free", "tells how much memory is free"),
    command("ip", "ip", "shows addresses, routes and name servers"),
    command(
        "netstat",
        "netstat [-q | -s]",
        "lists the sockets; -q: the rings between stack, driver and clients; -s: the counters of the stack",
    ),
    Command {
        name: "ping",
        usage: "ping HOST [-c N] [-s BYTES] [-i SECONDS]",
        about: "sends ICMP echo requests until ctrl-] or ctrl-c (under exec: 4), or N",
        takes_interrupt: true,
    },
    command(
        "nslookup",
        "nslookup NAME",
        "looks the addresses of a name up",
    ),
    command(
        "wget",
        "wget URL [-O -] [--hash]",
        "fetches a web page and prints it; --hash: prints size and SHA-256",
    ),
    command(
        "nc",
        "nc HOST PORT [-u] | nc -l PORT [-u]",
        "connects the console to a socket; ctrl-d ends sending, ctrl-] leaves, -u: UDP, -l: waits for a peer",
    ),
    command("sleep", "sleep SECONDS", "waits"),
    command("echo", "echo [-n] [WORD]...", "prints its words"),
    command("clear", "clear", "clears the screen"),
    command(
        "poweroff",
        "poweroff [STATUS]",
        "switches the machine off; QEMU ends with the status",
    ),
];

/// The names of all commands.
pub(crate) fn names() -> Vec<&'static str> {
    COMMANDS.iter().map(|command| command.name).collect()
}

/// The command of a name.
pub(crate) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// Runs a command.
pub(crate) async fn run<P: Platform>(
    shell: &Shell<P>,
    command: &'static Command,
    arguments: &[String],
) -> Result<(), Failure> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let usage = Failure::Usage(command.usage);
    if matches!(arguments.as_slice(), ["--help"]) && command.name != "echo" {
        return help(shell, &[command.name]);
    }
    match command.name {
        "help" => help(shell, &arguments),
        "ps" => process::ps(shell, &arguments, usage),
        "caps" => process::caps(shell, &arguments, usage),
        "kill" => process::kill(shell, &arguments, usage),
        "log" => process::log(shell, &arguments, usage).await,
        "uptime" => process::uptime(shell, &arguments, usage),
        "free" => process::free(shell, &arguments, usage),
        "poweroff" => process::poweroff(shell, &arguments, usage),
        "ip" => network::ip(shell, &arguments, usage).await,
        "netstat" => network::netstat(shell, &arguments, usage).await,
        "nslookup" => network::nslookup(shell, &arguments, usage).await,
        "ping" => ping::ping(shell, &arguments, usage).await,
        "wget" => wget::wget(shell, &arguments, usage).await,
        "nc" => nc::nc(shell, &arguments, usage).await,
        "sleep" => sleep(shell, &arguments, usage).await,
        "echo" => {
            echo(shell, &arguments);
            Ok(())
        }
        "clear" => {
            shell.print(format_args!("\x1b[H\x1b[2J"));
            Ok(())
        }
        name => Err(failure!("{name}: not found")),
    }
}

fn help<P: Platform>(shell: &Shell<P>, arguments: &[&str]) -> Result<(), Failure> {
    match arguments {
        [] => {
            for command in &COMMANDS {
                say!(shell, "  {:<10} {}", command.name, command.about);
            }
            say!(
                shell,
                "Several commands can stand in a line, separated by ;. help COMMAND tells how to call one.\n\
                 Ctrl-] ends a command, and so does ctrl-c unless the terminal or QEMU takes it for itself."
            );
            Ok(())
        }
        [name] => {
            let command = find(name).ok_or_else(|| failure!("no such command: {name}"))?;
            say!(shell, "usage: {}\n  {}", command.usage, command.about);
            Ok(())
        }
        _ => Err(Failure::Usage("help [COMMAND]")),
    }
}

fn echo<P: Platform>(shell: &Shell<P>, arguments: &[&str]) {
    match arguments {
        ["-n", words @ ..] => shell.print(format_args!("{}", words.join(" "))),
        words => say!(shell, "{}", words.join(" ")),
    }
}

async fn sleep<P: Platform>(
    shell: &Shell<P>,
    arguments: &[&str],
    usage: Failure,
) -> Result<(), Failure> {
    let [seconds] = arguments else {
        return Err(usage);
    };
    let duration =
        options::seconds(seconds).ok_or_else(|| failure!("invalid time interval '{seconds}'"))?;
    shell.platform.sleep(duration).await;
    Ok(())
}
