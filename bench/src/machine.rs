//! One QEMU with a guest in it, in a namespace of its own. Starts and ends only processes of its own.

use crate::{
    Failure, Outcome,
    counts::{self, Snapshot},
    guest::{Guest, Net, System},
    lab::{self, Lab},
    load::{self, Target},
};
use std::{
    fs::{self, File},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Longest life of a machine: QEMU is started under `timeout` with this many seconds.
const LIFE_SECONDS: &str = "1800";
/// A guest that has not answered by then will not.
const BOOT: Duration = Duration::from_secs(60);
/// Packets that wait for a guest which does not take them yet. More would be answered one after the other by a guest
/// that has just started, and none of them would be the first.
const QUEUE_AT_BOOT: u32 = 2;
/// The usual length.
const QUEUE: u32 = 1000;
/// Added to a guest's TCP ports where QEMU forwards them.
const FORWARDED: u16 = 10_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// How a machine is started.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// What boots.
    pub guest: &'a Guest,
    /// On which network.
    pub net: Net,
    /// The plugin that counts instructions, if they are to be counted.
    pub plugin: Option<&'a Path>,
    /// For logs and sockets.
    pub folder: &'a Path,
}

/// A running guest whose services answer. Dropping it ends it.
pub struct Machine {
    child: Child,
    lab: Lab,
    target: Target,
    files: Files,
    /// From the start of QEMU to the first answer, in seconds; not known on QEMU's user network, which has no UDP.
    pub boot: Option<f64>,
    /// What was counted until then.
    pub boot_counts: Option<Snapshot>,
    counts: bool,
    since: Instant,
}

/// The files of a machine.
struct Files {
    console: PathBuf,
    pid: PathBuf,
    counter: PathBuf,
}

impl Files {
    fn new(setup: Setup<'_>) -> Outcome<Files> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let at = |kind: &str| {
            setup
                .folder
                .join(format!("{}-{number}.{kind}", setup.guest.name))
        };
        let files = Files {
            console: at("console"),
            pid: at("pid"),
            counter: at("counter"),
        };
        for file in [&files.console, &files.pid, &files.counter] {
            let _ = fs::remove_file(file);
        }
        Ok(files)
    }
}

impl Machine {
    /// Starts a machine and waits until all its services answer.
    ///
    /// # Errors
    /// If QEMU can't be started, or the guest does not answer.
    pub fn start(setup: Setup<'_>) -> Outcome<Machine> {
        let lab = Lab::new()?;
        let files = Files::new(setup)?;
        let (address, offset) = match setup.net {
            Net::Tap | Net::TapPlain => (Ipv4Addr::from(lab::GUEST), 0),
            Net::Slirp => (Ipv4Addr::LOCALHOST, FORWARDED),
        };
        let target = Target { address, offset };
        lab.queue(QUEUE_AT_BOOT)?;
        let errors = File::create(files.console.with_extension("qemu"))?;
        let start = Instant::now();
        let child = command(&lab, setup, &files)
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(|error| Failure(format!("cannot start QEMU: {error}")))?;
        let mut machine = Machine {
            child,
            lab,
            target,
            files,
            boot: None,
            boot_counts: None,
            counts: setup.plugin.is_some(),
            since: start,
        };
        machine
            .wait(start, setup.net)
            .map_err(|failure| machine.explain(failure))?;
        Ok(machine)
    }

    fn wait(&mut self, start: Instant, net: Net) -> Outcome {
        let target = self.target;
        if net != Net::Slirp {
            let child = &mut self.child;
            let lives = || matches!(child.try_wait(), Ok(None));
            let answered = self
                .lab
                .inside(|| load::first_answer(target, BOOT, lives))?;
            self.since = answered;
            self.boot = Some((answered - start).as_secs_f64());
            self.boot_counts = self.snapshot()?;
            self.lab.queue(QUEUE)?;
        }
        self.lab.inside(|| load::verify(target))
    }

    /// Adds what the guest and QEMU said.
    fn explain(&mut self, failure: Failure) -> Failure {
        let read =
            |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let mut text = failure.0;
        for path in [
            &self.files.console,
            &self.files.console.with_extension("qemu"),
        ] {
            let said = read(path).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(15)) {
                text += "\n    | ";
                text += line.trim_end();
            }
        }
        Failure(text)
    }

    /// Runs a load in the machine's namespace.
    ///
    /// # Errors
    /// What the load returns.
    pub fn load<T: Send>(
        &mut self,
        work: impl FnOnce(&Lab, Target) -> Outcome<T> + Send,
    ) -> Outcome<T> {
        let (lab, target) = (&self.lab, self.target);
        lab.inside(|| work(lab, target))
            .map_err(|failure| self.explain(failure))
    }

    /// The counts of this moment, if they are counted.
    ///
    /// # Errors
    /// If the plugin does not answer.
    pub fn snapshot(&self) -> Outcome<Option<Snapshot>> {
        if !self.counts {
            return Ok(None);
        }
        Ok(Some(counts::snapshot(&self.files.counter)?))
    }

    /// What the guest has written on its console.
    ///
    /// # Errors
    /// Of the file system.
    pub fn console(&self) -> Outcome<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.files.console)?).into_owned())
    }

    /// How long ago it answered for the first time, or was started where that is not known.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Time of the processors that QEMU has used, in seconds.
    ///
    /// # Errors
    /// If it is not known.
    pub fn processor_time(&self) -> Outcome<f64> {
        let mut nanos = 0.0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid()?))? {
            // A thread that has ended meanwhile was one of the short-lived ones for files.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            let ran = text
                .split_whitespace()
                .next()
                .and_then(|field| field.parse::<f64>().ok());
            nanos += ran
                .ok_or_else(|| Failure("/proc/PID/task/ID/schedstat is not as expected".into()))?;
        }
        Ok(nanos / 1e9)
    }

    /// Memory of this machine that QEMU occupies, in bytes.
    ///
    /// # Errors
    /// If it is not known.
    pub fn memory(&self) -> Outcome<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let kilobytes: f64 = status
            .lines()
            .find_map(|line| {
                line.strip_prefix("VmRSS:")?
                    .trim()
                    .strip_suffix("kB")?
                    .trim()
                    .parse()
                    .ok()
            })
            .ok_or_else(|| Failure("/proc/PID/status is not as expected".into()))?;
        Ok(kilobytes * 1024.0)
    }

    fn pid(&self) -> Outcome<u32> {
        let pid = fs::read_to_string(&self.files.pid)?.trim().parse();
        pid.map_err(|_| Failure("QEMU's pid file is not as expected".into()))
    }
}

/// The same machine for every guest.
fn command(lab: &Lab, setup: Setup<'_>, files: &Files) -> Command {
    let Setup { guest, net, .. } = setup;
    let (address, router) = match net {
        Net::Tap | Net::TapPlain => (Ipv4Addr::from(lab::GUEST), Ipv4Addr::from(lab::HOST)),
        Net::Slirp => (Ipv4Addr::new(10, 0, 2, 15), Ipv4Addr::new(10, 0, 2, 2)),
    };
    let netdev = match net {
        Net::Tap | Net::TapPlain => "tap,id=n0,ifname=tap0,script=no,downscript=no".into(),
        Net::Slirp => {
            let mut netdev = String::from("user,id=n0,restrict=on");
            for port in [7, 9, 19, 80] {
                netdev += &format!(",hostfwd=tcp:127.0.0.1:{}-:{port}", port + FORWARDED);
            }
            netdev
        }
    };
    let mut card = format!(
        "virtio-net-pci,netdev=n0,addr=3,disable-legacy=on,romfile=,mac={}",
        lab::MAC
    );
    card += net.card();
    let mut command = lab.command("timeout");
    command
        .args(["-k", "2", LIFE_SECONDS, "qemu-system-x86_64"])
        .args(["-accel", "tcg", "-M", "q35", "-smp", "1", "-m", "256M"])
        // Linux copies with `rep movsb` where the processor says that this is fast; for TCG it is an instruction a byte.
        .args(["-cpu", "max,erms=off,fsrm=off"])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
        .arg("-serial")
        .arg(format!("file:{}", files.console.display()))
        .arg("-pidfile")
        .arg(&files.pid)
        .arg("-kernel")
        .arg(&guest.kernel)
        .arg("-initrd")
        .arg(&guest.archive)
        .args([
            "-append",
            &guest.command_line(&address.to_string(), &router.to_string()),
        ]);
    if guest.iommu && guest.system == System::Causeway {
        command.args(["-device", "intel-iommu,intremap=off"]);
        card += ",iommu_platform=on,ats=off";
    }
    command.args(["-netdev", &netdev, "-device", &card]);
    if let Some(plugin) = setup.plugin {
        command.arg("-plugin").arg(format!(
            "{},socket={}",
            plugin.display(),
            files.counter.display()
        ));
    }
    command
}

impl Drop for Machine {
    fn drop(&mut self) {
        // `ip` has become `timeout`, which passes SIGTERM on to QEMU; SIGKILL would leave QEMU behind.
        if let Ok(None) = self.child.try_wait()
            && let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = self.child.wait();
        }
        for file in [&self.files.pid, &self.files.counter] {
            let _ = fs::remove_file(file);
        }
    }
}
