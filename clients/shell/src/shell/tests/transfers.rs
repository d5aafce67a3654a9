//! What `wget` and `nc` move, print and refuse.

use super::*;

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
