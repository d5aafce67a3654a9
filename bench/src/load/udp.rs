//! UDP: echo, one datagram at a time or many.

use super::{Amount, PATIENCE, Target, Work};
use crate::{Failure, Outcome, ensure};
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

/// Bytes of a datagram.
const LEN: usize = 64;
/// A datagram that is not back by then is lost.
const LOST: Duration = Duration::from_millis(200);

fn socket(target: Target, timeout: Duration) -> Outcome<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(target.port(7))?;
    socket.set_read_timeout(Some(timeout))?;
    Ok(socket)
}

/// The datagram of a number: all of it depends on the number.
fn datagram(number: u64) -> [u8; LEN] {
    let mut datagram = [0; LEN];
    let mut state = number;
    for part in datagram.chunks_exact_mut(8) {
        part.copy_from_slice(&state.to_le_bytes());
        state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) | 1;
    }
    datagram
}

fn number(datagram: &[u8]) -> Option<u64> {
    let (first, _) = datagram.split_first_chunk()?;
    Some(u64::from_le_bytes(*first))
}

fn nothing_yet(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Sends a datagram every two milliseconds until one comes back. Returns when that was.
///
/// # Errors
/// If none does in time, or while the guest still lives.
pub fn first_answer(
    target: Target,
    within: Duration,
    mut lives: impl FnMut() -> bool,
) -> Outcome<Instant> {
    let deadline = Instant::now() + within;
    let socket = socket(target, Duration::from_millis(2))?;
    let sent = datagram(1);
    let mut buffer = [0; LEN];
    while Instant::now() < deadline {
        // Until the guest is there, errors are what comes back: unreachable, refused.
        let _ = socket.send(&sent);
        let again = Instant::now() + Duration::from_millis(2);
        match socket.recv(&mut buffer) {
            Ok(len) if buffer.get(..len) == Some(&sent) => return Ok(Instant::now()),
            Ok(_) => return Err(Failure("the first answer is not what was sent".into())),
            Err(_) if !lives() => return Err(Failure("QEMU ended".into())),
            Err(_) => std::thread::sleep(again.saturating_duration_since(Instant::now())),
        }
    }
    Err(Failure(format!("no answer within {within:?}")))
}

/// Round trips, one after the other, each begun `pause` after the one before was. Returns the times of all, in seconds,
/// and how many were lost.
///
/// # Errors
/// Of the socket, and if something else comes back.
pub fn round_trips(target: Target, amount: Amount, pause: Duration) -> Outcome<(Vec<f64>, u64)> {
    let socket = socket(target, LOST)?;
    let start = Instant::now();
    let mut times = Vec::new();
    let mut lost = 0;
    let mut buffer = [0; LEN + 1];
    let mut next = 0_u64;
    while !amount.is_done(start.elapsed(), next) {
        let sent = datagram(next);
        next += 1;
        let begun = Instant::now();
        socket.send(&sent)?;
        loop {
            match socket.recv(&mut buffer) {
                Ok(len) if buffer.get(..len) == Some(&sent) => {
                    times.push(begun.elapsed().as_secs_f64());
                    break;
                }
                // One that was given up.
                Ok(LEN) if number(&buffer).is_some_and(|number| number + 1 < next) => {}
                Ok(_) => return Err(Failure("something else came back".into())),
                Err(error) if nothing_yet(error.kind()) => {
                    lost += 1;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        std::thread::sleep((begun + pause).saturating_duration_since(Instant::now()));
    }
    ensure!(!times.is_empty(), "no datagram came back");
    Ok((times, lost))
}

/// `window` datagrams on the way at any time. Returns what came back, and how many were lost.
///
/// # Errors
/// Of the socket, and if something else comes back.
pub fn flood(target: Target, amount: Amount, window: u64) -> Outcome<(Work, u64)> {
    let socket = socket(target, LOST)?;
    let start = Instant::now();
    let mut buffer = [0; LEN + 1];
    let (mut next, mut back, mut lost) = (0_u64, 0_u64, 0_u64);
    // The first of those on the way: all before came back or were given up.
    let mut first = 0;
    for _ in 0..window {
        socket.send(&datagram(next))?;
        next += 1;
    }
    let mut last = start;
    while !amount.is_done(start.elapsed(), back) {
        match socket.recv(&mut buffer) {
            Ok(len) => {
                let number = number(&buffer).unwrap_or(u64::MAX);
                ensure!(
                    number < next && buffer.get(..len) == Some(&datagram(number)),
                    "something else came back"
                );
                if number < first {
                    continue;
                }
                back += 1;
                last = Instant::now();
                socket.send(&datagram(next))?;
                next += 1;
            }
            Err(error) if nothing_yet(error.kind()) => {
                ensure!(last.elapsed() < PATIENCE, "no datagram comes back any more");
                lost += window;
                first = next;
                for _ in 0..window {
                    socket.send(&datagram(next))?;
                    next += 1;
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    // What is on the way is not left to the next figure.
    while socket.recv(&mut buffer).is_ok() {}
    Ok((
        Work {
            count: back,
            seconds,
        },
        lost,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_know_their_number() {
        for each in [0, 1, 77, u64::MAX] {
            assert_eq!(number(&datagram(each)), Some(each));
        }
        assert_ne!(datagram(1)[8..], datagram(2)[8..]);
        assert_eq!(number(&[1, 2]), None);
    }
}
