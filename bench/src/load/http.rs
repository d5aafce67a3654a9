//! HTTP: `wrk` where rates are measured, and a client of our own that makes a given number of requests.

use super::{Amount, Target, Work, in_parallel, tcp::connect};
use crate::{Failure, Outcome, ensure, lab::Lab};
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};

/// The page: a kilobyte.
const PATH: &str = "/1k";
/// Bytes of it.
const BODY: usize = 1024;

/// Whether there is `wrk`.
pub fn has_wrk() -> bool {
    Command::new("wrk").arg("-v").output().is_ok()
}

/// Runs `wrk` in a namespace for a while.
///
/// # Errors
/// If it can't be run, or a request fails.
pub fn wrk(
    lab: &Lab,
    target: Target,
    time: Duration,
    connections: u64,
    keep: bool,
) -> Outcome<Work> {
    let seconds = time.as_secs().max(1).to_string();
    let mut command = lab.command("timeout");
    command
        .args([
            "120",
            "wrk",
            "-t1",
            "-c",
            &connections.to_string(),
            "-d",
            &seconds,
        ])
        .args(["--timeout", "10"]);
    if !keep {
        command.args(["-H", "Connection: close"]);
    }
    let output = command
        .arg(format!("http://{}{PATH}", target.port(80)))
        .output()
        .map_err(|error| Failure(format!("cannot run wrk: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_wrk(&text).ok_or_else(|| {
        Failure(format!(
            "wrk failed: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        ))
    })
}

/// "75446 requests in 3.10s, 88.02MB read"; no errors.
fn parse_wrk(text: &str) -> Option<Work> {
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return None;
    }
    let (before, after) = text.split_once(" requests in ")?;
    let count = before.rsplit(char::is_whitespace).next()?.parse().ok()?;
    let time = after.split(',').next()?;
    let seconds = match (
        time.strip_suffix("ms"),
        time.strip_suffix('s'),
        time.strip_suffix('m'),
    ) {
        (Some(millis), ..) => millis.parse::<f64>().ok()? / 1e3,
        (_, Some(seconds), _) => seconds.parse().ok()?,
        (.., Some(minutes)) => minutes.parse::<f64>().ok()? * 60.0,
        _ => return None,
    };
    Some(Work { count, seconds })
}

/// Makes requests on several connections at once, one after the other on each; a connection serves for all, or for one. Compares every body.
///
/// # Errors
/// Of the socket, and for any answer but the page.
pub fn http(target: Target, amount: Amount, parallel: u64, keep: bool) -> Outcome<Work> {
    let once = |kept: &mut Option<TcpStream>| -> Outcome {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => connect(target.port(80))?,
        };
        request(&mut stream, keep)?;
        *kept = keep.then_some(stream);
        Ok(())
    };
    in_parallel(amount, parallel, || None, once)
}

fn request(stream: &mut TcpStream, keep: bool) -> Outcome {
    let connection = if keep { "" } else { "Connection: close\r\n" };
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: guest\r\n{connection}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::with_capacity(2048);
    let mut part = [0; 4096];
    loop {
        let len = stream.read(&mut part)?;
        answer.extend_from_slice(part.get(..len).unwrap_or_default());
        let body = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .and_then(|at| answer.get(at + 4..));
        match body {
            Some(body) if body.len() >= BODY && (keep || len == 0) => {
                ensure!(answer.starts_with(b"HTTP/1.1 200 "), "HTTP: not 200");
                let right = body
                    .iter()
                    .enumerate()
                    .all(|(index, byte)| usize::from(*byte) == index % 251);
                ensure!(right && body.len() == BODY, "HTTP: another page");
                return Ok(());
            }
            _ => ensure!(len > 0, "HTTP: the answer ended early"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Running 3s test @ http://10.77.0.2/1k\n  1 threads and 16 connections\n  Thread Stats   Avg      Stdev\n    \
                          Latency     2.02ms\n  75446 requests in 3.10s, 88.02MB read\nRequests/sec:  24337.45\n";

    #[test]
    fn the_output_of_wrk_is_understood() {
        let work = parse_wrk(OUTPUT).unwrap();
        assert_eq!(
            work,
            Work {
                count: 75446,
                seconds: 3.1
            }
        );
        assert_eq!(
            parse_wrk("9 requests in 500.00ms, 1MB read")
                .unwrap()
                .seconds,
            0.5
        );
        assert_eq!(
            parse_wrk("9 requests in 1.50m, 1MB read").unwrap().seconds,
            90.0
        );
        assert_eq!(parse_wrk("unable to connect"), None);
    }

    #[test]
    fn errors_are_not_results() {
        let failed = format!("{OUTPUT}  Socket errors: connect 0, read 3, write 0, timeout 0\n");
        assert_eq!(parse_wrk(&failed), None);
        assert_eq!(
            parse_wrk(&format!("{OUTPUT}  Non-2xx or 3xx responses: 5\n")),
            None
        );
    }
}
