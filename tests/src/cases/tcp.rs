//! TCP: bulk in both directions, many connections, half close, refusal, time-out.

use super::{Case, ipv6_lab, lab, lab_with};
use sha2::{Digest, Sha256};
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};
use system_tests::{
    Failure, Outcome, ensure,
    lab::{GUEST, GUEST6, HOST, HOST6, Lab},
    machine::Boot,
    noise, sha256,
};

pub(crate) const CASES: &[Case] = &[
    ("tcp::echo_64_mib_both_ways", echo_64_mib_both_ways),
    ("tcp::wget_64_mib_from_host", wget_64_mib_from_host),
    (
        "tcp::a_card_that_does_much_and_one_that_does_nothing",
        a_card_that_does_much_and_one_that_does_nothing,
    ),
    ("tcp::ipv6_both_ways", ipv6_both_ways),
    ("tcp::sixty_four_connections", sixty_four_connections),
    (
        "tcp::half_close_returns_everything",
        half_close_returns_everything,
    ),
    ("tcp::discard_takes_everything", discard_takes_everything),
    (
        "tcp::chargen_sends_rfc864_pattern",
        chargen_sends_rfc864_pattern,
    ),
    ("tcp::systat_lists_processes", systat_lists_processes),
    ("tcp::refused_and_timed_out", refused_and_timed_out),
    (
        "tcp::thousand_connections_in_turn",
        thousand_connections_in_turn,
    ),
];

const MIB: usize = 1 << 20;

fn connect(port: u16) -> Outcome<TcpStream> {
    connect_to(GUEST, port)
}

/// [`echo_through`] an IPv4 connection.
fn echo(data: &[u8]) -> Outcome<Vec<u8>> {
    echo_through(connect(7)?, data)
}

fn connect_to(host: &str, port: u16) -> Outcome<TcpStream> {
    let host = host
        .parse()
        .map_err(|_| Failure(format!("bad address {host}")))?;
    let stream = TcpStream::connect_timeout(&SocketAddr::new(host, port), Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_write_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

/// Sends `data` to the echo service, closes the sending side, and returns all that comes back.
fn echo_through(mut stream: TcpStream, data: &[u8]) -> Outcome<Vec<u8>> {
    let mut sender = stream.try_clone()?;
    let mut back = Vec::with_capacity(data.len());
    std::thread::scope(|scope| -> Outcome {
        let writer = scope.spawn(move || -> Outcome {
            sender.write_all(data)?;
            Ok(sender.shutdown(Shutdown::Write)?)
        });
        stream.read_to_end(&mut back)?;
        writer
            .join()
            .unwrap_or_else(|_| Err(Failure("the sender panicked".into())))
    })?;
    Ok(back)
}

/// Checksums, cutting and joining of segments by the card, and by the stack, and some of each: nobody sees a difference but in the
/// number of frames.
fn a_card_that_does_much_and_one_that_does_nothing() -> Outcome {
    const NO_SEGMENTS: &str = ",guest_tso4=off,guest_tso6=off,host_tso4=off,host_tso6=off";
    const NOTHING: &str = ",csum=off,gso=off,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,host_tso4=off,\
                           host_tso6=off,host_ecn=off,host_ufo=off,mrg_rxbuf=off";
    let data = noise(5, 16 * MIB);
    for (properties, large_from, large_to) in [
        ("", true, true),
        (",guest_tso4=off,guest_tso6=off", true, false),
        (",host_tso4=off,host_tso6=off", false, true),
        (NO_SEGMENTS, false, false),
        (
            ",guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off",
            true,
            false,
        ),
        (NOTHING, false, false),
    ] {
        let (lab, _machine) = lab_with(|boot| Boot {
            properties: properties.into(),
            ..boot.append(&format!("netstack.ip6={GUEST6}/64"))
        })?;
        for host in [GUEST, GUEST6] {
            let before = lab.traffic()?;
            let back = lab.inside(|| echo_through(connect_to(host, 7)?, &data))?;
            ensure!(
                sha256(&back) == sha256(&data),
                "{properties}: not what was sent to {host}"
            );
            let after = lab.traffic()?;
            let [from, from_bytes, to, to_bytes] = [0, 1, 2, 3].map(|i| after[i] - before[i]);
            // Acknowledgments are short, so that the mean is well below the largest.
            let is_large = |frames: u64, bytes: u64| bytes / frames.max(1) > 1514;
            let cuts = large_from && host == GUEST;
            ensure!(
                is_large(from, from_bytes) == cuts && (large_to || !is_large(to, to_bytes)),
                "{properties}, {host}: {from} frames of {from_bytes} bytes from the guest, {to} of {to_bytes} to it"
            );
        }
    }
    Ok(())
}

/// 64 MiB through the echo service: both directions at once, through driver, stack and client.
fn echo_64_mib_both_ways() -> Outcome {
    let (lab, _machine) = lab()?;
    let data = noise(1, 64 * MIB);
    let back = lab.inside(|| echo(&data))?;
    ensure!(back.len() == data.len(), "{} bytes came back", back.len());
    ensure!(sha256(&back) == sha256(&data), "other bytes came back");
    Ok(())
}

/// A web server at port 8000 of the host that answers one request with this body.
fn serve_once(lab: &Lab, host: &str, body: Vec<u8>) -> Outcome {
    let listener = lab.inside(|| Ok(TcpListener::bind((host, 8000))?))?;
    std::thread::spawn(move || {
        if let Ok((mut stream, _)) = listener.accept() {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&body);
        }
    });
    Ok(())
}

fn ipv6_both_ways() -> Outcome {
    let (lab, mut machine, address) = ipv6_lab()?;
    let data = noise(5, 4 * MIB);
    let back = lab.inside(|| echo_through(connect_to(&address, 7)?, &data))?;
    ensure!(back == data, "other bytes came back");
    let wanted = sha256(&data);
    serve_once(&lab, HOST6, data)?;
    let output = machine.shell(&format!("wget --hash http://[{HOST6}]:8000/data"))?;
    ensure!(output.contains(&wanted), "not {wanted} in {output:?}");
    Ok(())
}

/// 64 MiB from a web server on the host into the guest, which hashes them.
fn wget_64_mib_from_host() -> Outcome {
    let (lab, mut machine) = lab()?;
    let data = noise(2, 64 * MIB);
    let wanted = sha256(&data);
    serve_once(&lab, HOST, data)?;
    let output = machine.shell_within(
        &format!("wget --hash http://{HOST}:8000/data"),
        Duration::from_secs(120),
    )?;
    ensure!(output.contains(&wanted), "not {wanted} in {output:?}");
    ensure!(output.contains("67108864"), "no length in {output:?}");
    Ok(())
}

fn sixty_four_connections() -> Outcome {
    let (lab, _machine) = lab()?;
    lab.inside(|| {
        let mut streams = Vec::new();
        for _ in 0..64 {
            streams.push(connect(7)?);
        }
        // All of them carry data while all of them are open.
        std::thread::scope(|scope| {
            let workers: Vec<_> = streams
                .into_iter()
                .enumerate()
                .map(|(number, mut stream)| {
                    let entered = std::thread::Builder::new();
                    entered.spawn_scoped(scope, move || -> Outcome {
                        let data = noise(number as u64, 100_000);
                        let mut sender = stream.try_clone()?;
                        let copy = data.clone();
                        let writer = std::thread::spawn(move || sender.write_all(&copy));
                        let mut back = vec![0; data.len()];
                        stream.read_exact(&mut back)?;
                        ensure!(back == data, "connection {number}: other bytes");
                        writer
                            .join()
                            .map_err(|_| Failure("the sender panicked".into()))??;
                        Ok(())
                    })
                })
                .collect();
            for worker in workers {
                worker?
                    .join()
                    .unwrap_or_else(|_| Err(Failure("a worker panicked".into())))?;
            }
            Ok(())
        })
    })
}

fn half_close_returns_everything() -> Outcome {
    let (lab, _machine) = lab()?;
    lab.inside(|| {
        for len in [0, 1, 1459, 1460, 1461, 65_535, 65_536, 300_000] {
            let data = noise(len as u64, len);
            ensure!(
                echo(&data)? == data,
                "{len} bytes did not come back as sent"
            );
        }
        Ok(())
    })
}

fn discard_takes_everything() -> Outcome {
    let (lab, _machine) = lab()?;
    lab.inside(|| {
        let mut stream = connect(9)?;
        stream.write_all(&noise(3, 4 * MIB))?;
        stream.shutdown(Shutdown::Write)?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest)?;
        ensure!(
            rest.is_empty(),
            "discard answered with {} bytes",
            rest.len()
        );
        Ok(())
    })
}

/// RFC 864: lines of 72 characters, each beginning one character later than the last.
fn chargen_sends_rfc864_pattern() -> Outcome {
    let (lab, _machine) = lab()?;
    lab.inside(|| {
        let mut stream = connect(19)?;
        let mut got = vec![0; 4 * MIB];
        stream.read_exact(&mut got)?;
        drop(stream);
        for (number, line) in got.chunks_exact(74).enumerate() {
            let wanted: Vec<u8> = (0..72)
                .map(|column| b' ' + ((number + column) % 95) as u8)
                .chain(*b"\r\n")
                .collect();
            ensure!(
                line == wanted,
                "line {number} is {:?}",
                String::from_utf8_lossy(line)
            );
        }
        let mut sum = Sha256::new();
        sum.update(&got);
        ensure!(echo(b"still alive")? == b"still alive", "echo is gone");
        Ok(())
    })
}

fn systat_lists_processes() -> Outcome {
    let (lab, _machine) = lab()?;
    lab.inside(|| {
        let mut text = String::new();
        connect(11)?.read_to_string(&mut text)?;
        for name in ["virtio-net", "netstack", "services", "httpd", "shell"] {
            ensure!(
                text.lines().any(|line| line.contains(name)),
                "no {name} in {text}"
            );
        }
        Ok(())
    })
}

fn refused_and_timed_out() -> Outcome {
    let (_lab, mut machine) = lab()?;
    let output = machine.shell(&format!("wget http://{HOST}:81/"))?;
    ensure!(output.contains("Connection refused"), "{output:?}");
    // Nobody has this address: there is no answer to ARP.
    let output = machine.shell_within("wget http://10.77.0.200/", Duration::from_secs(90))?;
    ensure!(
        output.contains("timed out") || output.contains("unreachable"),
        "{output:?}"
    );
    Ok(())
}

/// Nothing may leak: sockets, buffers, half-open entries.
fn thousand_connections_in_turn() -> Outcome {
    let (lab, mut machine) = lab()?;
    lab.inside(|| {
        for number in 0..1100u32 {
            let data = number.to_be_bytes();
            ensure!(echo(&data)? == data, "connection {number}");
        }
        Ok(())
    })?;
    let output = machine.shell("netstat")?;
    let open = output
        .lines()
        .filter(|line| line.contains("ESTABLISHED"))
        .count();
    ensure!(open == 0, "{open} connections are left: {output}");
    Ok(())
}
