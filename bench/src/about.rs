//! On what was measured: the machine and the versions.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// Machine and versions, by what they are of.
pub fn about(root: &Path, linux: &Path) -> BTreeMap<String, String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("?", |(_, model)| model.trim());
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let busy = load.split_whitespace().next().unwrap_or("?");
    let mut about = BTreeMap::new();
    let mut add = |what: &str, value: String| about.insert(what.to_owned(), value);
    add(
        "host",
        format!(
            "{processors} × {model}, Linux {}",
            first_line("uname", &["-r"])
        ),
    );
    add("load of the host at the start", busy.to_owned());
    add("QEMU", first_line("qemu-system-x86_64", &["--version"]));
    add(
        "machine",
        "q35, TCG, one processor (max, no ERMS, no FSRM), 256 MiB, virtio-net, no IOMMU".to_owned(),
    );
    add(
        "Causeway",
        first_line(
            "git",
            &[
                "-C",
                &root.display().to_string(),
                "describe",
                "--always",
                "--dirty",
            ],
        ),
    );
    let linux = fs::read_to_string(linux.join("version")).unwrap_or_default();
    add("Linux guest", linux.trim().to_owned());
    add("HTTP load", first_line("wrk", &["-v"]));
    add("rustc", first_line("rustc", &["--version"]));
    about
}

/// The first line that a command prints.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or("?").trim().to_owned()
}
