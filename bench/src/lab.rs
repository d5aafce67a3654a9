//! A network namespace with a tap interface for one machine, and nothing else on it.
//!
//! Needs root. The namespace is removed at the end; `bench.sh` removes what a killed run left behind.

use crate::{Failure, Outcome, ensure};
use std::{
    fs::File,
    os::fd::AsFd,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// Address of this side of the cable.
pub const HOST: [u8; 4] = [10, 77, 0, 1];
/// Address of the guest.
pub const GUEST: [u8; 4] = [10, 77, 0, 2];
/// The guest's card.
pub const MAC: &str = "52:54:00:12:34:56";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The namespace.
pub struct Lab {
    name: String,
}

impl Lab {
    /// Makes the namespace: the loopback for QEMU's user network, and `tap0`, which can carry large segments.
    ///
    /// # Errors
    /// Without root or the `ip` tool.
    pub fn new() -> Outcome<Lab> {
        // The prefix is bench.sh's, which removes all that begins with it.
        let prefix = std::env::var("BENCH_NAMESPACE")
            .unwrap_or_else(|_| format!("causeway-bench-{}", std::process::id()));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{number}");
        run("ip", &["netns", "add", &name])?;
        let lab = Lab { name };
        let host = format!("{}/24", std::net::Ipv4Addr::from(HOST));
        let guest = std::net::Ipv4Addr::from(GUEST).to_string();
        lab.ip(&["link", "set", "lo", "up"])?;
        lab.ip(&["tuntap", "add", "dev", "tap0", "mode", "tap", "vnet_hdr"])?;
        lab.ip(&["addr", "add", &host, "dev", "tap0"])?;
        lab.ip(&["link", "set", "tap0", "up"])?;
        // The first packet must not wait for the host's once-a-second ARP.
        lab.ip(&[
            "neigh",
            "replace",
            &guest,
            "lladdr",
            MAC,
            "dev",
            "tap0",
            "nud",
            "permanent",
        ])?;
        lab.inside(|| {
            // The machine's own choice may be BBR, whose pauses would be measured along.
            let _ = std::fs::write("/proc/sys/net/ipv4/tcp_congestion_control", "cubic");
            // Closed connections keep their port for a minute.
            std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "2048 65535")?;
            Ok(())
        })?;
        Ok(lab)
    }

    /// Its name, for `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many packets the cable keeps for a guest that does not take them.
    ///
    /// # Errors
    /// Of the `ip` tool.
    pub fn queue(&self, packets: u32) -> Outcome {
        self.ip(&["link", "set", "tap0", "txqueuelen", &packets.to_string()])
    }

    fn ip(&self, arguments: &[&str]) -> Outcome {
        run("ip", &[&["-n", &self.name], arguments].concat())
    }

    /// A command that runs in the namespace.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name, program])
            .stdin(Stdio::null());
        command
    }

    /// Runs a closure on a thread whose sockets are in the namespace.
    ///
    /// # Errors
    /// What the closure returns.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Outcome<T> + Send) -> Outcome<T> {
        let namespace = File::open(format!("/var/run/netns/{}", self.name))?;
        std::thread::scope(|scope| {
            scope
                .spawn(move || {
                    rustix::thread::move_into_link_name_space(
                        namespace.as_fd(),
                        Some(rustix::thread::LinkNameSpaceType::Network),
                    )
                    .map_err(|error| Failure(format!("cannot enter the namespace: {error}")))?;
                    work()
                })
                .join()
                .unwrap_or_else(|_| Err(Failure("the load generator panicked".into())))
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = run("ip", &["netns", "del", &self.name]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Outcome {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| Failure(format!("cannot run {program}: {error}")))?;
    ensure!(
        output.status.success(),
        "{program} {}: {} (a network namespace needs root)",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
