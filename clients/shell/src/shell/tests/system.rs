//! What the commands about processes and the machine print.

use super::*;

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
