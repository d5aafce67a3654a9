//! One QEMU with the image in it: its console and its end. Starts and ends only processes of its own.

use crate::{Failure, Outcome, ensure};
use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What the shell prints when it waits for a command.
pub const PROMPT: &str = "causeway> ";

/// Longest life of a machine, unless a test asks for more: QEMU is started under `timeout` with this many seconds.
const LIFE_SECONDS: u64 = 600;

/// Where the image was built.
pub fn build_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../build")
}

/// How to boot.
#[derive(Clone, Default)]
pub struct Boot {
    /// Network cards, each by its `-netdev`, whose ids are `n0`, `n1` and so on.
    pub cards: Vec<String>,
    /// Further properties of the cards, with a comma in front.
    pub properties: String,
    /// Nothing stands between the devices and memory.
    pub no_iommu: bool,
    /// Words of the kernel command line.
    pub append: String,
    /// Name of the boot archive in the build folder (default `boot.cpio`).
    pub archive: Option<String>,
    /// Network namespace to start QEMU in.
    pub namespace: Option<String>,
    /// Further options of QEMU.
    pub extra: Vec<String>,
    /// Seconds that the machine may live longer than others.
    pub more_seconds: u64,
}

impl Boot {
    /// Behind QEMU's user network, with TCP ports of the guest (`(host, guest)`) forwarded from 127.0.0.1.
    pub fn user(forwards: &[(u16, u16)]) -> Boot {
        let mut netdev = String::from("user,id=n0,restrict=on");
        for (host, guest) in forwards {
            netdev += &format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}");
        }
        Boot::netdev(&netdev)
    }

    /// With this `-netdev` (of id `n0`).
    pub fn netdev(netdev: &str) -> Boot {
        Boot {
            cards: vec![netdev.into()],
            ..Boot::default()
        }
    }

    /// QEMU's options for the network cards and the IOMMU.
    fn devices(&self) -> Vec<String> {
        let mut options = Vec::new();
        if !self.no_iommu {
            options.extend(["-device".into(), "intel-iommu,intremap=off".into()]);
        }
        for (number, netdev) in self.cards.iter().enumerate() {
            let mut card = format!(
                "virtio-net-pci,netdev=n{number},addr={},disable-legacy=on,romfile=",
                3 + number
            );
            card += &self.properties;
            if !self.no_iommu {
                // Without these the card does not go through the IOMMU, and does not say so.
                card += ",iommu_platform=on,ats=off";
            }
            options.extend(["-netdev".into(), netdev.clone(), "-device".into(), card]);
        }
        options
    }

    /// More words for the kernel command line.
    pub fn append(mut self, words: &str) -> Boot {
        if !self.append.is_empty() {
            self.append.push(' ');
        }
        self.append += words;
        self
    }

    /// Boots another archive of the build folder.
    pub fn archive(mut self, name: &str) -> Boot {
        self.archive = Some(name.into());
        self
    }

    /// Starts the machine.
    ///
    /// # Errors
    /// If QEMU can't be started.
    pub fn start(self) -> Outcome<Machine> {
        let mut command = match &self.namespace {
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, "timeout"]);
                command
            }
            None => Command::new("timeout"),
        };
        command
            .args([
                "-k",
                "2",
                &(LIFE_SECONDS + self.more_seconds).to_string(),
                "qemu-system-x86_64",
            ])
            .args(["-accel", "tcg", "-M", "q35", "-cpu", "max", "-m", "256M"])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-no-reboot", "-serial", "stdio"])
            .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
            .arg("-kernel")
            .arg(build_dir().join("kernel"))
            .arg("-initrd")
            .arg(build_dir().join(self.archive.as_deref().unwrap_or("boot.cpio")))
            .args(["-append", &self.append])
            .args(self.devices())
            .args(&self.extra);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Failure(format!("cannot start QEMU: {error}")))?;
        let console = Arc::new(Console::default());
        let stdin = child.stdin.take();
        if let Some(stdout) = child.stdout.take() {
            console.clone().follow(stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            console.clone().follow(stderr);
        }
        Ok(Machine {
            child,
            stdin,
            console,
            read: 0,
        })
    }
}

/// What the machine printed so far.
#[derive(Default)]
struct Console {
    text: Mutex<Vec<u8>>,
    grown: Condvar,
}

impl Console {
    fn follow(self: Arc<Self>, mut source: impl Read + Send + 'static) {
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                self.text().extend_from_slice(&buffer[..count]);
                self.grown.notify_all();
            }
        });
    }

    fn text(&self) -> MutexGuard<'_, Vec<u8>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running machine. Dropping it ends it.
pub struct Machine {
    child: Child,
    stdin: Option<ChildStdin>,
    console: Arc<Console>,
    /// How much of the console text has been consumed by `expect`.
    read: usize,
}

impl Machine {
    /// Everything printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.console.text()).replace('\r', "")
    }

    /// Process number of QEMU (of the `timeout` around it).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// If it has ended.
    pub fn is_running(&mut self) -> Outcome {
        match self.child.try_wait()? {
            Some(status) => Err(self.failure(format!("QEMU ended ({status})"))),
            None => Ok(()),
        }
    }

    fn failure(&self, what: String) -> Failure {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        let tail = lines[lines.len().saturating_sub(40)..].join("\n    | ");
        Failure(format!("{what}; the console ends with\n    | {tail}"))
    }

    /// Waits for a text behind everything that was expected before, and returns what stands in front of it.
    ///
    /// # Errors
    /// If it does not come in time or the machine ends.
    pub fn expect(&mut self, text: &str, within: Duration) -> Outcome<String> {
        let mut deadline = Instant::now() + within;
        let mut draining = false;
        loop {
            let ended = self.child.try_wait()?;
            if ended.is_some() && !draining {
                // What it printed before its end is still on the way.
                draining = true;
                deadline = deadline.min(Instant::now() + Duration::from_millis(300));
            }
            let seen = self.console.text();
            let fresh = &seen[self.read..];
            if let Some(at) = find(fresh, text.as_bytes()) {
                let before = String::from_utf8_lossy(&fresh[..at]).replace('\r', "");
                self.read += at + text.len();
                return Ok(before);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(seen);
                return Err(match ended {
                    Some(status) => self.failure(format!("QEMU ended ({status}) before {text:?}")),
                    None => self.failure(format!("no {text:?} within {within:?}")),
                });
            }
            drop(
                self.console
                    .grown
                    .wait_timeout(seen, left.min(Duration::from_millis(100))),
            );
        }
    }

    /// Types a text.
    ///
    /// # Errors
    /// If the machine is gone.
    pub fn send(&mut self, text: &str) -> Outcome {
        match &mut self.stdin {
            Some(stdin) => Ok(stdin
                .write_all(text.as_bytes())
                .and_then(|()| stdin.flush())?),
            None => Err(Failure("the console is closed".into())),
        }
    }

    /// Waits until the shell is there, the network has an address and the services listen.
    ///
    /// # Errors
    /// If that takes longer than about 30 seconds.
    pub fn ready(&mut self) -> Outcome {
        self.expect(PROMPT, Duration::from_secs(30))?;
        for _ in 0..100 {
            if self.shell("ip")?.contains("inet ") {
                let sockets = self.shell("netstat")?;
                // The last service to open its port, and the web server.
                if sockets.contains("*:19 ") && sockets.contains("*:80 ") {
                    return Ok(());
                }
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Err(self.failure("no address, or no services".into()))
    }

    /// Types a command at the shell's prompt and returns what it printed.
    ///
    /// # Errors
    /// If the prompt does not come back within 60 seconds.
    pub fn shell(&mut self, command: &str) -> Outcome<String> {
        self.shell_within(command, Duration::from_secs(60))
    }

    /// The same with another time limit.
    ///
    /// # Errors
    /// If the prompt does not come back in time.
    pub fn shell_within(&mut self, command: &str, within: Duration) -> Outcome<String> {
        self.send(&format!("{command}\r"))?;
        let output = self.expect(PROMPT, within)?;
        // The first line is the echo of the command.
        Ok(output
            .split_once('\n')
            .map_or(output.clone(), |(_, rest)| rest.to_owned()))
    }

    /// Waits for the machine to end by itself, and returns the status that the guest gave.
    ///
    /// # Errors
    /// If it does not end in time, or not by its own will (a triple fault, a QEMU error).
    pub fn end(mut self, within: Duration) -> Outcome<(u8, String)> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                // isa-debug-exit: twice the value, plus one; the value is 16 + the guest's status.
                let code = status.code().unwrap_or(-1);
                ensure!(
                    code >= 33 && code % 2 == 1,
                    "{:?}",
                    self.failure(format!("QEMU ended with {status}"))
                );
                // The reader threads drain what is left.
                std::thread::sleep(Duration::from_millis(100));
                return Ok((((code - 33) / 2) as u8, self.output()));
            }
            if Instant::now() > deadline {
                return Err(self.failure(format!("the machine still runs after {within:?}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // `timeout` passes SIGTERM on to QEMU; SIGKILL would leave QEMU behind.
        if let Ok(None) = self.child.try_wait()
            && let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}
