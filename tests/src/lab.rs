//! A network namespace with a tap interface for one machine: the "other side of the cable".
//!
//! Needs root. The namespace, and all that runs in it, is removed at the end.

use crate::{Failure, Outcome, ensure, machine::Boot};
use std::{
    fs::File,
    os::fd::AsFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// Address of the host side in every lab; the guest gets another of `10.77.0.0/24`.
pub const HOST: &str = "10.77.0.1";
/// IPv6 address of the host side.
pub const HOST6: &str = "fd77::1";
/// Address for guests with a static one.
pub const GUEST: &str = "10.77.0.2";
/// IPv6 address for guests with a static one.
pub const GUEST6: &str = "fd77::2";
/// Name that the laboratory's DNS server knows: [`HOST`] and [`HOST6`].
pub const KNOWN_NAME: &str = "known.lab";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The namespace.
pub struct Lab {
    name: String,
    servers: Vec<Child>,
    folder: PathBuf,
}

impl Lab {
    /// Makes the namespace, with `tap0` and its addresses.
    ///
    /// # Errors
    /// Without root or the `ip` tool.
    pub fn new() -> Outcome<Lab> {
        let name = format!(
            "causeway-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&folder)?;
        run(&["ip", "netns", "add", &name])?;
        let lab = Lab {
            name,
            servers: Vec::new(),
            folder,
        };
        lab.ip(&["link", "set", "lo", "up"])?;
        // With headers in front of frames, without which a card can do nothing with them.
        lab.ip(&["tuntap", "add", "dev", "tap0", "mode", "tap", "vnet_hdr"])?;
        // No duplicate address detection: the address is usable at once.
        lab.ip(&["addr", "add", &format!("{HOST}/24"), "dev", "tap0"])?;
        lab.ip(&[
            "addr",
            "add",
            &format!("{HOST6}/64"),
            "dev",
            "tap0",
            "nodad",
        ])?;
        lab.ip(&["link", "set", "tap0", "up"])?;
        Ok(lab)
    }

    fn ip(&self, arguments: &[&str]) -> Outcome {
        run(&[&["ip", "-n", &self.name], arguments].concat())
    }

    /// Starts dnsmasq: DHCP leases of two minutes, DNS that knows [`KNOWN_NAME`] and refuses to know the rest,
    /// router advertisements for `fd77::/64`.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn serve_addresses(&mut self) -> Outcome {
        let log = self.folder.join("dnsmasq.log");
        let lease = self.folder.join("leases");
        let child = self
            .command("dnsmasq")
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
            ])
            .args(["--no-hosts", "--bind-interfaces", "--interface=tap0"])
            .args(["--except-interface=lo", "--no-ping", "--user=root"])
            .args(["--dhcp-range=10.77.0.50,10.77.0.99,255.255.255.0,120"])
            .arg(format!("--dhcp-option=option:router,{HOST}"))
            .arg(format!("--dhcp-option=option:dns-server,{HOST}"))
            .args(["--dhcp-range=fd77::,ra-only,64", "--enable-ra"])
            .arg(format!("--address=/{KNOWN_NAME}/{HOST}"))
            .arg(format!("--address=/{KNOWN_NAME}/{HOST6}"))
            .args(["--local=/lab/", "--log-dhcp", "--log-queries"])
            .arg(format!("--dhcp-leasefile={}", lease.display()))
            .arg(format!("--log-facility={}", log.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Failure(format!("cannot start dnsmasq: {error}")))?;
        self.servers.push(child);
        Ok(())
    }

    /// What dnsmasq logged.
    pub fn dnsmasq_log(&self) -> String {
        std::fs::read_to_string(self.folder.join("dnsmasq.log")).unwrap_or_default()
    }

    /// Frames and bytes that came from the machine and went to it so far.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn traffic(&self) -> Outcome<[u64; 4]> {
        let names = ["rx_packets", "rx_bytes", "tx_packets", "tx_bytes"];
        let mut counts = [0; 4];
        for (count, name) in counts.iter_mut().zip(names) {
            let path = format!("/sys/class/net/tap0/statistics/{name}");
            // The file system of the namespace that the command runs in, as `ip netns exec` mounts it.
            let text = self.output("cat", &[&path])?;
            *count = text
                .trim()
                .parse()
                .map_err(|_| Failure(format!("{name}: {text}")))?;
        }
        Ok(counts)
    }

    /// A command that runs in the namespace.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command in the namespace and returns what it printed.
    ///
    /// # Errors
    /// If it fails.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Outcome<String> {
        let output = self.command(program).args(arguments).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{program} {arguments:?} ended with {}: {text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
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
                    enter(&namespace)?;
                    work()
                })
                .join()
                .unwrap_or_else(|_| Err(Failure("the peer panicked".into())))
        })
    }

    /// Starts a thread in the namespace that goes on until the test ends or it is done.
    ///
    /// # Errors
    /// If the namespace can't be entered.
    pub fn background(&self, work: impl FnOnce() + Send + 'static) -> Outcome {
        let namespace = File::open(format!("/var/run/netns/{}", self.name))?;
        std::thread::spawn(move || {
            if enter(&namespace).is_ok() {
                work();
            }
        });
        Ok(())
    }

    /// A machine on this lab's cable.
    pub fn boot(&self) -> Boot {
        Boot {
            namespace: Some(self.name.clone()),
            ..Boot::netdev("tap,id=n0,ifname=tap0,script=no,downscript=no")
        }
    }
}

/// Moves the calling thread into a network namespace.
///
/// # Errors
/// Without the right to do so.
fn enter(namespace: &File) -> Outcome {
    rustix::thread::move_into_link_name_space(
        namespace.as_fd(),
        Some(rustix::thread::LinkNameSpaceType::Network),
    )
    .map_err(|error| Failure(format!("cannot enter the namespace: {error}")))
}

fn run(command: &[&str]) -> Outcome {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| Failure("no command".into()))?;
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| Failure(format!("cannot run {program}: {error}")))?;
    ensure!(
        output.status.success(),
        "{command:?}: {} (network tests need root)",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

impl Drop for Lab {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = run(&["ip", "netns", "del", &self.name]);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
