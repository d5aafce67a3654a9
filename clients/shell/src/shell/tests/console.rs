//! Sessions at the console and under `exec`: lines, keys, and what the shell does before and behind commands.

use super::*;

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
