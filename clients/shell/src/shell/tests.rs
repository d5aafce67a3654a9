//! Sessions at the console and under `exec`, and what each command prints, against the made-up world.

use super::*;
use crate::fake::{Fake, SECOND};
use ipc_proto::{
    socket::{SocketInfo, SocketState},
    system::{CapInfo, MachineInfo, ProcessInfo, Reply, Request, RunState, SystemError},
};

fn process(id: u64, name: &str, state: RunState) -> ProcessInfo {
    ProcessInfo {
        id,
        name: name.try_into().unwrap(),
        state,
        restarts: 2,
        priority: 10,
        cpu_micros: 1_234_567,
        caps: 12,
        pages: 100,
        budget_used: 64,
        budget_limit: 256,
        syscalls: 999,
        switches: 77,
    }
}

/// An init with three processes and a log of five lines.
fn init(request: &Request) -> Result<Reply, crate::platform::NoAnswer> {
    let fault = RunState::Faulted {
        vector: 14,
        address: 0x10,
        instruction: 0x40_1000,
    };
    let processes = [
        process(1, "init", RunState::Running),
        process(4, "netstack", RunState::Running),
        process(9, "probe", fault),
    ];
    Ok(match request {
        Request::Process { position } => Reply::Process {
            next: position + 1,
            process: processes.get(usize::from(*position)).cloned(),
        },
        Request::Caps { id: 4, from: 0 } => Reply::Caps {
            next: 2,
            caps: [CapInfo {
                slot: 1,
                kind: 5,
                rights: 0x60,
                badge: 0,
                object: 11,
            }]
            .into_iter()
            .collect(),
        },
        Request::Caps { id: 4, .. } => Reply::Caps {
            next: 0,
            caps: [CapInfo {
                slot: 2,
                kind: 99,
                rights: !0,
                badge: 0x20,
                object: 12,
            }]
            .into_iter()
            .collect(),
        },
        Request::Caps { .. } => Reply::Failed(SystemError::NoSuchProcess),
        Request::Kill { name } => match name.as_str() {
            "netstack" => Reply::Done,
            "init" => Reply::Failed(SystemError::Denied),
            _ => Reply::Failed(SystemError::NoSuchProcess),
        },
        Request::Machine => Reply::Machine(MachineInfo {
            frames: 32768,
            free_frames: 16384,
            uptime_micros: 3_725_000_000,
            idle_micros: 3_600_000_000,
            switches: 10,
            syscalls: 20,
            interrupts: 30,
        }),
        Request::Log { from: from @ 0..5 } => Reply::Log {
            next: from + 1,
            micros: 1_000_001 * from,
            level: 3,
            line: alloc::format!("line {from}").as_str().try_into().unwrap(),
        },
        Request::Log { from } => Reply::Log {
            next: *from,
            micros: 0,
            level: 0,
            line: heapless::String::new(),
        },
        Request::PowerOff { .. } => Reply::Done,
    })
}

fn world() -> Fake {
    let fake = Fake::new();
    *fake.0.init.borrow_mut() = Box::new(init);
    fake
}

/// Runs a line as `exec` would; what it printed and its status.
fn exec_in(fake: &Fake, line: &str) -> (String, u8) {
    let shell = Shell::new(fake.clone(), false);
    fake.0.shown.borrow_mut().clear();
    let status = fake.block_on(shell.run_line(line)).expect("stuck");
    (fake.text(), status)
}

fn exec(line: &str) -> (String, u8) {
    exec_in(&world(), line)
}

/// A session at the console: what was typed when, and what the console shows in the end.
fn session(fake: &Fake, typed: &[(f64, &str)]) -> String {
    for (at, keys) in typed {
        fake.type_at(*at, keys);
    }
    let shell = Shell::new(fake.clone(), true);
    assert_eq!(fake.block_on(shell.run(&Start::default())), None);
    fake.text()
}

#[test]
fn start_shows_banner_address_and_page() {
    let fake = world();
    let shell = Shell::new(fake.clone(), true);
    let start = Start {
        exec: None,
        url: Some("http://127.0.0.1:8080/".into()),
    };
    assert_eq!(fake.block_on(shell.run(&start)), None);
    let text = fake.text();
    assert!(
        text.starts_with("\nCauseway 0.1.0. Type help for the commands.\n"),
        "{text}"
    );
    assert!(
        text.contains("\neth0: 10.0.2.15/24 via 10.0.2.2 (dhcp)\n"),
        "{text}"
    );
    assert!(
        text.ends_with("\nStatus page: http://127.0.0.1:8080/\ncauseway> "),
        "{text}"
    );
}

#[test]
fn start_goes_on_without_an_address() {
    let fake = world();
    fake.0.address_at.set(u64::MAX);
    let text = session(&fake, &[]);
    assert!(text.ends_with("eth0: no address yet\ncauseway> "), "{text}");
}

#[test]
fn a_stack_that_does_not_answer_holds_nobody_up() {
    let fake = world();
    fake.0.stack_dead.set(true);
    fake.0
        .names
        .borrow_mut()
        .insert("foo".into(), Err(NetError::NetworkDown));
    let text = session(&fake, &[(2.0, "ping foo\r")]);
    assert!(text.contains("eth0: no address yet\ncauseway> ping foo\nwaiting for the network...\nping: foo: Network is down\n"), "{text}");
    assert!(fake.0.now.get() < 20 * SECOND, "{}", fake.0.now.get());
}

#[test]
fn typed_commands_run() {
    let text = session(
        &world(),
        &[
            (2.0, "echo a b\r"),
            (3.0, "nonsense\r"),
            (4.0, "echo 'x\r\r"),
        ],
    );
    assert!(
        text.contains("causeway> echo a b\na b\ncauseway> "),
        "{text}"
    );
    assert!(text.contains("\nsh: nonsense: not found\n"), "{text}");
    assert!(
        text.contains("\nsh: syntax error: unterminated quote '\n"),
        "{text}"
    );
    assert!(text.ends_with("causeway> \ncauseway> "), "{text}");
}

#[test]
fn a_key_ends_a_command_and_the_rest_of_its_line() {
    for key in ["\x03", "\x1d"] {
        let text = session(
            &world(),
            &[
                (2.0, "sleep 1000; echo no\r"),
                (3.0, key),
                (4.0, "echo yes\r"),
            ],
        );
        assert!(
            text.contains("sleep 1000; echo no\n^C\ncauseway> echo yes\nyes\n"),
            "{text}"
        );
    }
}

#[test]
fn what_is_typed_ahead_is_the_next_line() {
    let text = session(&world(), &[(2.0, "sleep 5\r"), (3.0, "echo later\r")]);
    assert!(
        text.ends_with("causeway> echo later\nlater\ncauseway> "),
        "{text}"
    );
}

#[test]
fn lines_end_for_terminals_at_the_console_only() {
    let fake = world();
    session(&fake, &[(2.0, "echo a\r")]);
    assert!(String::from_utf8_lossy(&fake.0.shown.borrow()).contains("\r\na\r\n"));
    let shell = Shell::new(fake.clone(), false);
    fake.0.shown.borrow_mut().clear();
    fake.block_on(shell.run_line("echo a"));
    assert_eq!(*fake.0.shown.borrow(), b"a\n");
}

#[test]
fn exec_ends_the_machine_with_the_status_of_the_last_failure() {
    for (line, status) in [
        ("echo a; echo b", 0),
        ("kill nobody; echo b", 1),
        ("zz; kill nobody", 1),
        ("kill nobody; zz", 100),
    ] {
        let fake = world();
        let shell = Shell::new(fake.clone(), false);
        let start = Start {
            exec: Some(line.into()),
            url: None,
        };
        assert_eq!(fake.block_on(shell.run(&start)), Some(status), "{line}");
        assert_eq!(
            fake.0.asked.borrow().last(),
            Some(&Request::PowerOff { status })
        );
        assert!(!fake.text().contains("causeway>"));
    }
}

#[test]
fn help_lists_all_and_explains_each() {
    let (text, status) = exec("help");
    assert_eq!(status, 0);
    for name in commands::names() {
        assert!(
            text.contains(&format!("\n  {name} ")) || text.starts_with(&format!("  {name} ")),
            "{name}"
        );
        let (text, status) = exec(&format!("help {name}"));
        assert!(
            status == 0 && text.starts_with(&format!("usage: {name}")),
            "{text}"
        );
    }
    assert_eq!(exec("help zz"), ("help: no such command: zz\n".into(), 1));
    assert_eq!(exec("ps --help").0, exec("help ps").0);
}

#[test]
fn every_command_is_known_to_the_dispatcher() {
    for name in commands::names() {
        let (text, _) = exec(&format!("{name} --nonsense"));
        assert!(!text.contains("not found"), "{text}");
    }
}

#[test]
fn ps_lists_processes() {
    let (text, status) = exec("ps");
    assert_eq!(status, 0);
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0][..3], ["PID", "NAME", "PRI"]);
    assert_eq!(
        lines[2],
        [
            "4", "netstack", "10", "1.234", "256K", "1024K", "12", "999", "2", "running"
        ]
    );
    assert!(
        text.ends_with("page fault at 0x401000 (address 0x10)\n"),
        "{text}"
    );
    assert_eq!(exec("ps x"), ("usage: ps\n".into(), 2));
}

#[test]
fn caps_by_name_and_number() {
    let (text, status) = exec("caps netstack");
    assert_eq!(status, 0);
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[1], ["1", "endpoint", "11", "-", "call,recv"]);
    assert_eq!(lines[2][..4], ["2", "?", "12", "0x20"]);
    assert_eq!(exec("caps 4"), (text, 0));
    assert_eq!(
        exec("caps nobody"),
        ("caps: nobody: no such process\n".into(), 1)
    );
    assert_eq!(exec("caps 5"), ("caps: 5: no such process\n".into(), 1));
}

#[test]
fn kill_speaks_like_kill() {
    assert_eq!(exec("kill netstack"), (String::new(), 0));
    assert_eq!(exec("kill 4"), (String::new(), 0));
    assert_eq!(
        exec("kill init"),
        ("kill: init: Operation not permitted\n".into(), 1)
    );
    assert_eq!(exec("kill foo"), ("kill: foo: no such process\n".into(), 1));
    let long = "x".repeat(100);
    assert_eq!(
        exec(&format!("kill {long}")),
        (format!("kill: {long}: no such process\n"), 1)
    );
}

#[test]
fn log_prints_all_or_the_end() {
    assert_eq!(exec("log").0.lines().count(), 5);
    assert_eq!(
        exec("log -n 2").0,
        "[    3.000003] line 3\n[    4.000004] line 4\n"
    );
    assert_eq!(exec("log -n 0").0, "");
    assert_eq!(exec("log -n x"), ("log: invalid number 'x'\n".into(), 1));
}

#[test]
fn uptime_free_and_poweroff() {
    assert!(
        exec("uptime")
            .0
            .starts_with("up 1:02:05, 3% busy, 10 address space switches")
    );
    assert!(exec("free").0.contains("131072       65536       65536"));
    assert_eq!(
        exec("poweroff 101"),
        ("poweroff: invalid status '101': 0 to 100\n".into(), 1)
    );
    let fake = world();
    exec_in(&fake, "poweroff 7");
    assert_eq!(
        fake.0.asked.borrow().last(),
        Some(&Request::PowerOff { status: 7 })
    );
}

#[test]
fn a_dead_or_mad_init_is_an_error() {
    let fake = Fake::new();
    for line in [
        "ps", "caps 1", "kill x", "log", "uptime", "free", "poweroff",
    ] {
        assert_eq!(
            exec_in(&fake, line),
            (
                format!("{line}: no answer from init\n")
                    .replace(" 1:", ":")
                    .replace(" x:", ":"),
                1
            )
        );
    }
    *fake.0.init.borrow_mut() = Box::new(|request| match request {
        // Goes round in circles.
        Request::Process { .. } => Ok(Reply::Process {
            next: 0,
            process: Some(process(1, "x", RunState::Waiting)),
        }),
        _ => Ok(Reply::Done),
    });
    assert_eq!(
        exec_in(&fake, "ps"),
        ("ps: unexpected answer from init\n".into(), 1)
    );
    assert_eq!(
        exec_in(&fake, "log"),
        ("log: unexpected answer from init\n".into(), 1)
    );
}

#[test]
fn ip_shows_the_interface() {
    let (text, status) = exec("ip");
    assert_eq!(status, 0);
    assert!(
        text.starts_with("eth0: link up, mtu 1500, ether 52:54:00:12:34:56"),
        "{text}"
    );
    assert!(
        text.contains("\n    inet 10.0.2.15/24 dhcp, lease 86400 s\n"),
        "{text}"
    );
    assert!(
        text.contains("\n    inet6 fe80::5054:ff:fe12:3456/64\n"),
        "{text}"
    );
    assert!(
        text.ends_with("    default via 10.0.2.2\n    nameserver 10.0.2.3\n"),
        "{text}"
    );
    assert_eq!(exec("ip addr").0, text);
}

#[test]
fn netstat_lists_sockets_and_counters() {
    let fake = world();
    *fake.0.sockets.borrow_mut() = vec![
        SocketInfo {
            session: 3,
            state: SocketState::Listen,
            local: "[::]:80".parse().unwrap(),
            remote: None,
            rx_queued: 0,
            tx_queued: 0,
        },
        SocketInfo {
            session: 0,
            state: SocketState::Established,
            local: "10.0.2.15:80".parse().unwrap(),
            remote: Some("10.0.2.2:1234".parse().unwrap()),
            rx_queued: 5,
            tx_queued: 6,
        },
    ];
    let (text, _) = exec_in(&fake, "netstat");
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[1], ["tcp", "0", "0", "*:80", "*:*", "LISTEN", "3"]);
    assert_eq!(
        lines[2],
        [
            "tcp",
            "5",
            "6",
            "10.0.2.15:80",
            "10.0.2.2:1234",
            "ESTABLISHED",
            "-"
        ]
    );
    assert!(exec("netstat -s").0.contains("        4242 bytes sent\n"));
}

#[test]
fn netstat_lists_rings_by_name() {
    let (text, _) = exec("netstat -q");
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let numbers = ["64", "1", "2", "3", "4", "5", "6", "7"];
    assert_eq!(lines[1], [&["driver"][..], &numbers].concat(), "{text}");
    assert_eq!(lines[2], [&["netstack"][..], &numbers].concat(), "{text}");
    assert_eq!(
        lines[3],
        [&["session", "77"][..], &numbers].concat(),
        "{text}"
    );
    assert_eq!(lines.len(), 4);
}

#[test]
fn ping_counts_and_sums_up() {
    let fake = world();
    *fake.0.pings.borrow_mut() = Box::new(|sequence| match sequence {
        1 => Err(NetError::TimedOut),
        n => Ok(1000 * u32::from(n) + 345),
    });
    let (text, status) = exec_in(&fake, "ping 10.0.2.2 -c 3");
    assert_eq!(status, 0);
    assert_eq!(
        text,
        "PING 10.0.2.2 (10.0.2.2): 56 data bytes\n\
         64 bytes from 10.0.2.2: icmp_seq=0 ttl=64 time=0.345 ms\n\
         no answer from 10.0.2.2: icmp_seq=1\n\
         64 bytes from 10.0.2.2: icmp_seq=2 ttl=64 time=2.345 ms\n\
         \n--- 10.0.2.2 ping statistics ---\n\
         3 packets transmitted, 2 packets received, 33% packet loss\n\
         round-trip min/avg/max = 0.345/1.345/2.345 ms\n"
    );
}

#[test]
fn ping_failures() {
    let fake = world();
    assert_eq!(
        exec_in(&fake, "ping foo"),
        ("ping: unknown host foo\n".into(), 1)
    );
    assert_eq!(exec_in(&fake, "ping").1, 2);
    assert_eq!(
        exec_in(&fake, "ping h -s 9999").0,
        "ping: packet size 9999 is too large. Maximum is 1452\n"
    );
    *fake.0.pings.borrow_mut() = Box::new(|_| Err(NetError::Denied));
    let (text, status) = exec_in(&fake, "ping 10.0.2.2");
    assert!(
        text.ends_with("ping: sendto: Operation not permitted\n") && status == 1,
        "{text}"
    );
    *fake.0.pings.borrow_mut() = Box::new(|_| Err(NetError::TimedOut));
    let (text, status) = exec_in(&fake, "ping 10.0.2.2");
    assert!(
        text.ends_with("4 packets transmitted, 0 packets received, 100% packet loss\n")
            && status == 1,
        "{text}"
    );
}

#[test]
fn ctrl_c_ends_ping_with_its_summary() {
    let text = session(
        &world(),
        &[
            (2.0, "ping 10.0.2.2\r"),
            (4.5, "\x03"),
            (9.0, "echo next\r"),
        ],
    );
    assert!(
        text.contains(
            "^C\n\n--- 10.0.2.2 ping statistics ---\n3 packets transmitted, 3 packets received"
        ),
        "{text}"
    );
    assert!(
        text.ends_with("causeway> echo next\nnext\ncauseway> "),
        "{text}"
    );
}

#[test]
fn commands_wait_for_the_address_after_boot() {
    let fake = world();
    fake.0.address_at.set(6 * SECOND);
    let (text, status) = exec_in(&fake, "ping 10.0.2.2 -c 1");
    assert!(
        text.starts_with("waiting for the network...\nPING "),
        "{text}"
    );
    assert_eq!(status, 0);
    assert!(fake.0.now.get() < 7 * SECOND);
    // At most ten seconds, and only once.
    fake.0.address_at.set(u64::MAX);
    let shell = Shell::new(fake.clone(), false);
    let before = fake.0.now.get();
    fake.block_on(shell.run_line("nslookup foo; nslookup foo"));
    assert_eq!((fake.0.now.get() - before) / SECOND, 10);
    // An address that comes late, or again, is used.
    fake.0.address_at.set(0);
    assert_eq!(fake.block_on(shell.run_line("ping 10.0.2.2 -c 1")), Some(0));
    fake.0.address_at.set(fake.0.now.get() + 3 * SECOND);
    assert_eq!(fake.block_on(shell.run_line("ping 10.0.2.2 -c 1")), Some(0));
    assert!(fake.text().contains("waiting for the network...\nPING"));
}

#[test]
fn nslookup_without_a_server_says_so() {
    let fake = world();
    fake.0.address_at.set(u64::MAX);
    let (text, status) = exec_in(&fake, "nslookup foo");
    assert!(
        text.ends_with("\n;; no name server is known\n") && status == 1,
        "{text}"
    );
    assert!(
        exec_in(&fake, "nslookup 10.0.2.2")
            .0
            .ends_with("Address:  10.0.2.2\n")
    );
}

#[test]
fn nslookup_speaks_like_nslookup() {
    let fake = world();
    fake.name("host.test", Ok(&["192.0.2.1", "2001:db8::1"]));
    fake.name("broken.test", Err(NetError::NameServerFailed));
    fake.name("slow.test", Err(NetError::TimedOut));
    let server = "Server:   10.0.2.3\nAddress:  10.0.2.3:53\n\n";
    for (name, expected, status) in [
        (
            "host.test",
            "Name:     host.test\nAddress:  192.0.2.1\nName:     host.test\nAddress:  2001:db8::1\n",
            0,
        ),
        ("none.test", "** server can't find none.test: NXDOMAIN\n", 1),
        (
            "broken.test",
            "** server can't find broken.test: SERVFAIL\n",
            1,
        ),
        (
            "slow.test",
            ";; connection timed out; no servers could be reached\n",
            1,
        ),
    ] {
        assert_eq!(
            exec_in(&fake, &format!("nslookup {name}")),
            (format!("{server}{expected}"), status)
        );
    }
}

fn http(answer: &'static str) -> impl Fn(&[u8]) -> (Vec<u8>, bool) {
    move |sent| match sent.ends_with(b"\r\n\r\n") {
        true => (answer.into(), true),
        false => (vec![], false),
    }
}

#[test]
fn wget_prints_pages_of_all_framings() {
    let fake = world();
    fake.name("host", Ok(&["192.0.2.1"]));
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n",
        "HTTP/1.0 200 OK\r\n\r\nhello\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n4\r\nllo\n\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\nand what is not part of it",
    ] {
        fake.serve("192.0.2.1:8080", http(answer));
        assert_eq!(
            exec_in(&fake, "wget http://host:8080/a -O -"),
            ("hello\n".into(), 0),
            "{answer}"
        );
    }
    let sent = String::from_utf8(fake.0.sent.borrow().clone()).unwrap();
    assert!(
        sent.starts_with("GET /a HTTP/1.1\r\nHost: host:8080\r\n"),
        "{sent}"
    );
}

#[test]
fn wget_hashes_and_follows_redirections() {
    let fake = world();
    fake.serve(
        "10.0.2.2:80",
        http("HTTP/1.1 302 Found\r\nLocation: http://10.0.2.2:81/x\r\nContent-Length: 0\r\n\r\n"),
    );
    fake.serve(
        "10.0.2.2:81",
        http("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    );
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(
        exec_in(&fake, "wget 10.0.2.2 --hash"),
        (format!("3 bytes, sha256 {hash}\n"), 0)
    );
    fake.serve(
        "10.0.2.2:80",
        http("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"),
    );
    assert_eq!(
        exec_in(&fake, "wget 10.0.2.2"),
        ("wget: too many redirections\n".into(), 1)
    );
}

#[test]
fn wget_failures() {
    let fake = world();
    for (answer, message) in [
        (
            "HTTP/1.1 404 Not Found\r\n\r\n",
            "server returned error: HTTP/1.1 404 Not Found",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            "connection closed prematurely",
        ),
        ("HTTP/1.1 200 OK\r\n", "error getting response"),
        ("nonsense\r\n\r\n", "bad header: invalid HTTP version"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "bad content length: x",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "unknown transfer encoding: gzip",
        ),
    ] {
        fake.serve("10.0.2.2:80", http(answer));
        assert_eq!(
            exec_in(&fake, "wget 10.0.2.2 --hash"),
            (format!("wget: {message}\n"), 1),
            "{answer}"
        );
    }
    for (url, message) in [
        ("http://foo/", "bad address 'foo'"),
        ("https://foo/", "not an http url: https://foo/"),
        (
            "10.0.2.9",
            "can't connect to remote host (10.0.2.9): Connection refused",
        ),
    ] {
        assert_eq!(
            exec_in(&fake, &format!("wget {url}")),
            (format!("wget: {message}\n"), 1)
        );
    }
    fake.serve("10.0.2.2:80", |_| (vec![], false));
    assert_eq!(
        exec_in(&fake, "wget 10.0.2.2").0,
        "wget: download timed out\n"
    );
    assert_eq!(
        exec_in(&fake, "wget 10.0.2.2 -O file").0,
        "wget: there are no files: -O - prints to the console\n"
    );
}

#[test]
fn wget_of_an_endless_header_ends() {
    let fake = world();
    fake.serve("10.0.2.2:80", |sent| match sent.ends_with(b"\r\n\r\n") {
        true => (
            [&b"HTTP/1.1 200 OK\r\nX: "[..], &[b'x'; 50_000]].concat(),
            false,
        ),
        false => (vec![], false),
    });
    assert_eq!(
        exec_in(&fake, "wget 10.0.2.2").0,
        "wget: header of the answer is too long\n"
    );
}

#[test]
fn nc_sends_lines_and_half_closes() {
    let fake = world();
    fake.serve("10.0.2.2:7", |sent| match sent {
        b"hello\n" => (b"HELLO\n".to_vec(), false),
        b"<FIN>" => (b"bye\n".to_vec(), true),
        _ => (vec![], false),
    });
    let text = session(
        &fake,
        &[
            (2.0, "nc 10.0.2.2 7\r"),
            (3.0, "helo\x7flo\r"),
            (4.0, "\x04"),
            (5.0, "echo out\r"),
        ],
    );
    assert!(
        text.contains("HELLO\nbye\ncauseway> echo out\nout\n"),
        "{text}"
    );
    assert_eq!(*fake.0.sent.borrow(), b"hello\n<FIN>");
}

#[test]
fn nc_is_left_by_ctrl_c() {
    let fake = world();
    fake.serve("10.0.2.2:7", |_| (vec![], false));
    let text = session(
        &fake,
        &[
            (2.0, "nc 10.0.2.2 7\r"),
            (3.0, "x\r\x03"),
            (4.0, "echo out\r"),
        ],
    );
    assert!(
        text.ends_with("^C\ncauseway> echo out\nout\ncauseway> "),
        "{text}"
    );
}

#[test]
fn nc_listens_and_reports_failures() {
    let fake = world();
    let text = session(&fake, &[(2.0, "nc -l 4000\r"), (5.0, "ok\r\x04")]);
    assert!(
        text.contains("listening on port 4000\nconnection from 10.0.2.2:5555\nhi\nok\ncauseway> "),
        "{text}"
    );
    assert_eq!(*fake.0.sent.borrow(), b"ok\n<FIN>");
    assert_eq!(
        exec("nc -l 80"),
        ("nc: bind: Operation not permitted\n".into(), 1)
    );
    assert_eq!(
        exec("nc 10.0.2.2 9"),
        (
            "nc: connect to 10.0.2.2 port 9: Connection refused\n".into(),
            1
        )
    );
    assert_eq!(
        exec("nc foo 9"),
        ("nc: foo: Name or service not known\n".into(), 1)
    );
    assert_eq!(
        exec("nc 10.0.2.2 99999"),
        ("nc: invalid port 99999\n".into(), 1)
    );
    assert_eq!(exec("nc 10.0.2.2").1, 2);
}

#[test]
fn nc_speaks_udp() {
    let fake = world();
    let text = session(
        &fake,
        &[
            (2.0, "nc -u 10.0.2.2 7\r"),
            (3.0, "one\r"),
            (4.0, "two\r"),
            (5.0, "\x04"),
        ],
    );
    assert!(text.ends_with("one\none\ntwo\ntwo\ncauseway> "), "{text}");
    assert_eq!(*fake.0.sent.borrow(), b"10.0.2.2:7<one\n10.0.2.2:7<two\n");
}
