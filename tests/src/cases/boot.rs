//! From power-on to the shell and back, with and without what the machine should have.

use super::{Case, free_port};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use system_tests::{
    Outcome, ensure,
    machine::{Boot, build_dir},
};

pub(crate) const CASES: &[Case] = &[
    (
        "boot::exec_returns_status_and_output",
        exec_returns_status_and_output,
    ),
    ("boot::run_script_runs_commands", run_script_runs_commands),
    ("boot::shell_knows_its_processes", shell_knows_its_processes),
    (
        "boot::comes_up_without_a_network_card",
        comes_up_without_a_network_card,
    ),
    (
        "boot::comes_up_with_two_network_cards",
        comes_up_with_two_network_cards,
    ),
    ("boot::comes_up_without_dhcp", comes_up_without_dhcp),
    (
        "boot::damaged_archive_is_reported",
        damaged_archive_is_reported,
    ),
    (
        "boot::too_little_memory_is_reported",
        too_little_memory_is_reported,
    ),
];

const MINUTE: Duration = Duration::from_secs(60);

fn exec_returns_status_and_output() -> Outcome {
    let machine = Boot::user(&[])
        .append("shell.exec=echo%20one%3B%20ping%20-c%201%2010.0.2.2%3B%20ip")
        .start()?;
    let (status, output) = machine.end(MINUTE)?;
    ensure!(status == 0, "status {status}: {output}");
    ensure!(output.contains("one\n"), "{output}");
    ensure!(output.contains(" 0% packet loss"), "{output}");
    ensure!(output.contains("inet 10.0.2.15/24"), "{output}");
    let machine = Boot::user(&[]).append("shell.exec=kill%20nobody").start()?;
    let (status, output) = machine.end(MINUTE)?;
    ensure!(status == 1, "status {status}: {output}");
    ensure!(output.contains("kill: nobody: no such process"), "{output}");
    Ok(())
}

fn run_script_runs_commands() -> Outcome {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../run-qemu.sh");
    let run = |commands: &str| -> Outcome<(Option<i32>, String)> {
        let output = Command::new("timeout")
            .arg("60")
            .arg(&script)
            .arg("--kernel")
            .arg(build_dir().join("kernel"))
            .arg("--archive")
            .arg(build_dir().join("boot.cpio"))
            .args(["--http-port", &free_port()?.to_string(), "--exec", commands])
            .stdin(Stdio::null())
            .output()?;
        Ok((
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).replace('\r', ""),
        ))
    };
    let (status, output) = run("echo 100% of it; ip")?;
    ensure!(status == Some(0), "{status:?}: {output}");
    ensure!(output.contains("100% of it\n"), "{output}");
    ensure!(output.contains("10.0.2.15"), "{output}");
    let (status, output) = run("nosuchcommand")?;
    ensure!(matches!(status, Some(1..=100)), "{status:?}: {output}");
    ensure!(output.contains("nosuchcommand: not found"), "{output}");
    Ok(())
}

fn shell_knows_its_processes() -> Outcome {
    let mut machine = Boot::user(&[]).start()?;
    machine.ready()?;
    let ps = machine.shell("ps")?;
    for name in ["virtio-net", "netstack", "services", "httpd", "shell"] {
        ensure!(ps.contains(name), "no {name} in {ps}");
    }
    let caps = machine.shell("caps netstack")?;
    for kind in ["endpoint", "notification", "memory", "budget"] {
        ensure!(caps.contains(kind), "no {kind} in {caps}");
    }
    ensure!(!caps.contains("device"), "the stack holds a device: {caps}");
    let caps = machine.shell("caps httpd")?;
    ensure!(!caps.contains("device"), "a client holds a device: {caps}");
    ensure!(machine.shell("help")?.contains("wget"), "help");
    ensure!(
        machine
            .shell("frobnicate")?
            .contains("frobnicate: not found"),
        "an unknown command"
    );
    machine.send("poweroff\r")?;
    let (status, _) = machine.end(MINUTE)?;
    ensure!(status == 0, "status {status}");
    Ok(())
}

fn comes_up_without_a_network_card() -> Outcome {
    let mut machine = Boot::default().start()?;
    machine.expect(system_tests::machine::PROMPT, MINUTE)?;
    let log = machine.shell("log")?;
    ensure!(
        log.contains("device 1af4:1041"),
        "nothing about the missing device in {log}"
    );
    ensure!(machine.shell("ps")?.contains("netstack"), "ps");
    Ok(())
}

fn comes_up_with_two_network_cards() -> Outcome {
    let mut boot = Boot::user(&[]);
    boot.extra = vec![
        "-netdev".into(),
        "user,id=n1,restrict=on".into(),
        "-device".into(),
        "virtio-net-pci,netdev=n1,addr=4,disable-legacy=on,romfile=".into(),
    ];
    let mut machine = boot.start()?;
    machine.ready()?;
    ensure!(
        machine
            .shell("ping -c 1 10.0.2.2")?
            .contains(" 0% packet loss"),
        "no network with two cards"
    );
    Ok(())
}

/// A cable with nobody at the other end.
fn comes_up_without_dhcp() -> Outcome {
    let folder = std::env::temp_dir().join(format!("causeway-quiet-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let netdev = format!(
        "dgram,id=n0,local.type=unix,local.path={0}/a,remote.type=unix,remote.path={0}/b",
        folder.display()
    );
    let mut machine = Boot::netdev(&netdev).start()?;
    machine.expect(system_tests::machine::PROMPT, MINUTE)?;
    let output = machine.shell("wget http://10.9.9.9/")?;
    ensure!(
        output.contains("Network is down") || output.contains("unreachable"),
        "{output}"
    );
    drop(machine);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn damaged_archive_is_reported() -> Outcome {
    let whole = std::fs::read(build_dir().join("boot.cpio"))?;
    let name = format!("damaged-{}.cpio", std::process::id());
    for keep in [0, 100, whole.len() / 2] {
        let path = build_dir().join(&name);
        std::fs::write(&path, &whole[..keep])?;
        let machine = Boot::default().archive(&name).start()?;
        let ended = machine.end(MINUTE);
        std::fs::remove_file(&path)?;
        let (status, output) = ended?;
        ensure!(status != 0, "an archive of {keep} bytes boots");
        ensure!(output.contains("archive"), "{keep} bytes: {output}");
    }
    Ok(())
}

fn too_little_memory_is_reported() -> Outcome {
    let boot = Boot {
        extra: vec!["-m".into(), "8M".into()],
        ..Boot::default()
    };
    let (status, output) = boot.start()?.end(MINUTE)?;
    ensure!(status != 0, "8 MiB suffice");
    ensure!(output.contains("memory"), "{output}");
    Ok(())
}
