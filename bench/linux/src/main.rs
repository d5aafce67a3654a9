//! `/init` of the Linux guest: loads the modules of the network card, gives it an address, and serves.
//!
//! The yardstick has to be fair: one thread with epoll, large reads and writes, nothing allocated on the way, answers made in advance.
#![forbid(unsafe_code)]

mod connection;
mod http;
mod link;
mod server;

use rustix::{mount, system};
use std::{fs, io, net::Ipv4Addr, process::ExitCode, time::Duration};

/// Where the initial RAM disk has the modules, to be loaded in the order of their names.
const MODULES: &str = "/modules";
/// The network card.
const CARD: &str = "eth0";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // On the console; then the kernel panics, for init has ended.
            eprintln!("init: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    fs::create_dir_all("/proc")?;
    mount::mount("proc", "/proc", "proc", mount::MountFlags::empty(), None)?;
    let command_line = fs::read_to_string("/proc/cmdline")?;
    let address: Ipv4Addr = command_line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("address=")?.parse().ok())
        .ok_or_else(|| io::Error::other("no address= on the kernel command line"))?;
    load_modules()?;
    let index = wait_for_card()?;
    // Tells the neighbours of the address as soon as it is there.
    fs::write(format!("/proc/sys/net/ipv4/conf/{CARD}/arp_notify"), "1")?;
    link::configure(index, address)?;
    server::run()
}

fn load_modules() -> io::Result<()> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(MODULES)? {
        paths.push(entry?.path());
    }
    paths.sort();
    for path in paths {
        let file = fs::File::open(&path)?;
        system::finit_module(&file, c"", 0)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

/// The index of the network card, which may take a moment to be found.
fn wait_for_card() -> io::Result<u32> {
    for _ in 0..1000 {
        if let Ok(index) = link::index(CARD) {
            return Ok(index);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(io::Error::other("no network card"))
}
