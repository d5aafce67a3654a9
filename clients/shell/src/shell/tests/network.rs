//! What the commands about the network print: interface, sockets, echoes and names.

use super::*;

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
