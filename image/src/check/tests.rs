//! Each mistake has its message, with the line it is in.

use super::*;
use crate::parse;

/// A manifest without mistakes; tests replace parts of it.
const GOOD: &str = r#"memory = "64M"

[[process]]
name = "stack"
program = "netstack"
priority = 10
budget = "8M"
restart = "always"
caps = ["log", "clock"]
provides = ["net", "netdev"]

[process.args]
ip = "dhcp"
retries = 3

[[process]]
name = "driver"
program = "virtio-net"
priority = 12
budget = "4M"
stack = "32K"
restart = "on-failure"
uses = ["netdev"]

[[process.device]]
name = "nic"
vendor = 0x1af4
device = 0x1041

[[process]]
name = "shell"
program = "shell"
priority = 8
budget = "8M"
restart = "never"
caps = ["console"]
uses = ["net", "system:act"]

[process.policy]
allow = ["tcp-connect", "udp"]
remote = ["10.0.0.0/8", "::/0"]
remote-ports = ["1-65535"]
local-ports = ["8000-8080"]
max-sockets = 16
buffers = "1M"
packets-per-second = 1000
"#;

fn read(text: &str) -> Result<(Manifest, Programs), Vec<String>> {
    let source = Source::new("m.toml", text);
    parse::parse(&source).and_then(|file| check(&source, file))
}

/// The messages after replacing `old` by `new`, which must occur once.
fn mistakes(old: &str, new: &str) -> Vec<String> {
    assert_eq!(GOOD.matches(old).count(), 1, "{old}");
    read(&GOOD.replace(old, new)).expect_err(new)
}

#[test]
fn a_good_manifest_is_understood() {
    let (manifest, programs) = read(GOOD).unwrap();
    let [stack, driver, shell] = &manifest.processes[..] else {
        panic!()
    };
    assert_eq!((stack.budget, stack.stack, stack.priority), (2048, 16, 10));
    assert_eq!((stack.patient, driver.patient), (10, 12));
    assert!(stack.caps.log && stack.caps.clock && !stack.caps.console);
    assert_eq!(
        stack.args,
        [("ip".into(), "dhcp".into()), ("retries".into(), "3".into())]
    );
    assert_eq!((driver.stack, driver.restart), (8, Restart::OnFailure));
    assert_eq!(
        (driver.devices[0].vendor, driver.devices[0].device),
        (0x1af4, 0x1041)
    );
    assert!(shell.uses[1].act && shell.uses[1].policy.is_none());
    let policy = shell.uses[0].policy.as_ref().unwrap();
    assert!(policy.allow.udp && !policy.allow.tcp_listen);
    assert_eq!((policy.remote.len(), policy.max_sockets), (2, 16));
    assert_eq!(
        (policy.max_buffer_bytes, policy.packets_per_second),
        (1 << 20, 1000)
    );
    let names: Vec<_> = programs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["netstack", "virtio-net", "shell"]);
}

#[test]
fn a_process_can_be_patient() {
    let text = GOOD.replace("priority = 12", "priority = 12\npatient = 3");
    let (manifest, _) = read(&text).unwrap();
    assert_eq!(manifest.processes[1].patient, 3);
}

#[test]
fn each_mistake_is_told_with_its_line() {
    let cases = [
        ("ip = \"dhcp\"", "ip = [1]", 12, "args: `ip` must be"),
        ("retries = 3", "retries =", 14, ""),
        (
            "name = \"stack\"",
            "nome = \"stack\"",
            4,
            "unknown field `nome`",
        ),
        (
            "name = \"driver\"",
            "name = \"stack\"",
            17,
            "two processes are named `stack`",
        ),
        ("name = \"driver\"", "name = \"init\"", 17, "root server"),
        (
            "name = \"driver\"",
            "name = \"The Driver\"",
            17,
            "is no process name",
        ),
        (
            "name = \"nic\"",
            "name = \"netdev\"",
            26,
            "capability `netdev` is given twice",
        ),
        ("name = \"nic\"", "name = \"\"", 26, "is no device name"),
        (
            "priority = 12",
            "priority = 15",
            19,
            "priority is 15, but must be 0 to 14",
        ),
        ("priority = 12", "priority = \"high\"", 19, "invalid type"),
        (
            "priority = 12",
            "priority = 12\npatient = 13",
            20,
            "patient is 13, but must be 0 to 12",
        ),
        (
            "budget = \"4M\"",
            "budget = \"4096\"",
            20,
            "must be a size like",
        ),
        (
            "budget = \"4M\"",
            "budget = \"4K\"",
            20,
            "budget is `4K`, but must be",
        ),
        (
            "budget = \"4M\"",
            "budget = \"99999999999999999999G\"",
            20,
            "must be a size like",
        ),
        (
            "budget = \"4M\"",
            "budget = \"60M\"",
            1,
            "but memory is `64M`",
        ),
        ("stack = \"32K\"", "stack = \"5M\"", 21, "the stack alone"),
        (
            "restart = \"never\"",
            "restart = \"sometimes\"",
            35,
            "unknown variant `sometimes`",
        ),
        (
            "[\"console\"]",
            "[\"console\", \"console\"]",
            36,
            "capability `console` is given twice",
        ),
        (
            "[\"console\"]",
            "[\"disk\"]",
            36,
            "`disk` is none of the capabilities",
        ),
        (
            "[\"net\", \"netdev\"]",
            "[\"net\", \"net\", \"netdev\"]",
            10,
            "already provided by `stack`",
        ),
        (
            "[\"net\", \"netdev\"]",
            "[\"net\", \"netdev\", \"system\"]",
            10,
            "provided by init",
        ),
        (
            "uses = [\"netdev\"]",
            "uses = [\"netdev\"]\nprovides = [\"net\"]",
            24,
            "already provided by `stack`",
        ),
        (
            "uses = [\"netdev\"]",
            "uses = [\"disk\"]",
            23,
            "nobody provides an endpoint `disk`",
        ),
        (
            "uses = [\"netdev\"]",
            "uses = [\"netdev\", \"netdev\"]",
            23,
            "given twice",
        ),
        (
            "uses = [\"netdev\"]",
            "uses = [\"netdev:act\"]",
            23,
            "nobody provides an endpoint `netdev:act`",
        ),
        (
            "uses = [\"netdev\"]",
            "uses = [\"net\"]",
            23,
            "needs a [process.policy]",
        ),
        ("\"system:act\"", "\"system\"", 37, "write `system:look`"),
        (
            "\"system:act\"",
            "\"system:rule\"",
            37,
            "write `system:look`",
        ),
        ("uses = [\"net\", ", "uses = [", 39, "has no effect"),
        (
            "vendor = 0x1af4",
            "vendor = 0x1af41",
            27,
            "vendor is 110401",
        ),
        ("\"udp\"]", "\"icmp\"]", 40, "`icmp` is none of"),
        ("\"udp\"]", "\"udp\", \"udp\"]", 40, "allowed twice"),
        (
            "[\"tcp-connect\", \"udp\"]",
            "[\"ping\"]",
            42,
            "`remote-ports` has no effect",
        ),
        (
            "[\"tcp-connect\", \"udp\"]",
            "[\"tcp-connect\"]",
            43,
            "`local-ports` has no effect",
        ),
        (
            "[\"tcp-connect\", \"udp\"]",
            "[\"resolve\"]",
            41,
            "`remote` has no effect",
        ),
        (
            "remote = [\"10.0.0.0/8\", \"::/0\"]\n",
            "",
            39,
            "need `remote` addresses",
        ),
        (
            "remote-ports = [\"1-65535\"]\n",
            "",
            39,
            "need `remote-ports`",
        ),
        (
            "local-ports = [\"8000-8080\"]",
            "",
            39,
            "tcp-listen needs `local-ports`",
        ),
        (
            "10.0.0.0/8",
            "10.0.0.1/8",
            41,
            "bits set behind the first 8",
        ),
        ("10.0.0.0/8", "10.0.0.0", 41, "is no prefix"),
        ("1-65535", "65535-1", 42, "is no port or range"),
        (
            "[\"1-65535\"]",
            "[\"1\", \"2\", \"3\", \"4\"]",
            42,
            "more than 3 entries",
        ),
        (
            "max-sockets = 16",
            "max-sockets = 0",
            44,
            "max-sockets is 0",
        ),
        ("max-sockets = 16\n", "", 39, "missing field `max-sockets`"),
        (
            "buffers = \"1M\"",
            "buffers = \"1\"",
            45,
            "must be a size like",
        ),
        (
            "packets-per-second = 1000",
            "packets-per-second = -1",
            46,
            "packets-per-second is -1",
        ),
        (
            "packets-per-second = 1000",
            "packets_per_second = 1",
            46,
            "unknown field",
        ),
    ];
    for (old, new, line, message) in cases {
        // The one case that also needs the right to listen.
        let new = if message.contains("needs `local-ports`") {
            let text = GOOD
                .replace(old, new)
                .replace("\"udp\"]", "\"udp\", \"tcp-listen\"]");
            let found = read(&text).expect_err(message);
            assert!(
                found.iter().any(|found| found.contains(message)),
                "{found:?}"
            );
            continue;
        } else {
            new
        };
        let found = mistakes(old, new);
        let place = format!("m.toml:{line}: error: ");
        assert!(
            found
                .iter()
                .any(|found| found.starts_with(&place) && found.contains(message)),
            "`{new}`: expected line {line} with `{message}`, found {found:#?}"
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = GOOD
        .replace("priority = 10", "priority = 99")
        .replace("vendor = 0x1af4", "vendor = -1")
        .replace("::/0", "::/999");
    assert_eq!(read(&text).unwrap_err().len(), 3);
}

#[test]
fn an_empty_or_endless_manifest_is_a_mistake() {
    assert!(read("memory = \"64M\"").unwrap_err()[0].contains("no [[process]]"));
    assert!(read("").is_err());
    let mut text = String::from("memory = \"1G\"\n");
    for number in 0..=MAX_PROCESSES {
        text += &format!(
            "[[process]]\nname = \"p{number}\"\nprogram = \"p\"\npriority = 1\nbudget = \"1M\"\nrestart = \"never\"\n"
        );
    }
    assert!(read(&text).unwrap_err()[0].contains("more than 64 processes"));
}

#[test]
fn the_standard_manifest_has_no_mistake() {
    read(include_str!("../../manifest.toml")).unwrap();
}
