//! TCP: bulk data in both directions, and connections that come and go.

use super::{Amount, PATIENCE, Target, Work, in_parallel};
use crate::{Failure, Outcome, ensure};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Bytes moved at once.
const CHUNK: usize = 256 << 10;
/// Characters of chargen: 95 lines of 74.
const PERIOD: usize = 95 * 74;

/// Connects to a service of the guest.
///
/// # Errors
/// If it does not answer in time.
pub(crate) fn connect(address: SocketAddr) -> Outcome<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The characters of chargen (RFC 864), from any position on for a chunk.
fn characters() -> Vec<u8> {
    (0..PERIOD + CHUNK)
        .map(|index| {
            let (line, column) = (index % PERIOD / 74, index % 74);
            match column {
                72 => b'\r',
                73 => b'\n',
                _ => b' ' + ((line + column) % 95) as u8,
            }
        })
        .collect()
}

/// From the guest to the host: reads chargen, and compares all of it.
///
/// # Errors
/// Of the socket, and if the characters are not those of chargen.
pub fn receive(target: Target, amount: Amount) -> Outcome<Work> {
    let expected = characters();
    let mut buffer = vec![0; CHUNK];
    let mut stream = connect(target.port(19))?;
    let mut total = 0_u64;
    let mut start = None;
    let mut at_start = 0;
    loop {
        let len = stream.read(&mut buffer)?;
        ensure!(len > 0, "chargen ended after {total} bytes");
        let position = (total % PERIOD as u64) as usize;
        ensure!(
            buffer.get(..len) == expected.get(position..position + len),
            "chargen: wrong characters behind byte {total}"
        );
        total += len as u64;
        // The time begins with the first bytes: the connection is another figure.
        let start = *start.get_or_insert_with(|| {
            at_start = total;
            Instant::now()
        });
        let elapsed = start.elapsed();
        if amount.is_done(elapsed, total) {
            return Ok(Work {
                count: total - at_start,
                seconds: elapsed.as_secs_f64(),
            });
        }
    }
}

/// From the host to the guest: writes to discard, and waits until the guest has seen the end.
///
/// # Errors
/// Of the socket.
pub fn send(target: Target, amount: Amount) -> Outcome<Work> {
    let data = characters();
    let mut stream = connect(target.port(9))?;
    let start = Instant::now();
    let mut total = 0_u64;
    while !amount.is_done(start.elapsed(), total) {
        let len = match amount {
            Amount::Time(_) => CHUNK as u64,
            Amount::Count(most) => (most - total).min(CHUNK as u64),
        };
        stream.write_all(data.get(..len as usize).unwrap_or_default())?;
        total += len;
    }
    end(&mut stream)?;
    Ok(Work {
        count: total,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Ends this direction, and waits for the end of the other.
fn end(stream: &mut TcpStream) -> Outcome {
    stream.shutdown(Shutdown::Write)?;
    let len = stream.read(&mut [0; 16])?;
    ensure!(len == 0, "the guest said something instead of closing");
    Ok(())
}

/// Connections to discard that are opened and closed by both sides, `parallel` at a time.
///
/// # Errors
/// Of a socket.
pub fn connects(target: Target, amount: Amount, parallel: u64) -> Outcome<Work> {
    let once = |(): &mut ()| end(&mut connect(target.port(9))?);
    in_parallel(amount, parallel, || (), once)
}

/// Waits until all services of a guest answer, and compares a megabyte that it sends back.
///
/// # Errors
/// If one does not within a while, or sends something else back.
pub fn verify(target: Target) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = answers(target) {
        ensure!(
            Instant::now() < deadline,
            "the guest's services do not answer: {}",
            error.0
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let data = characters();
    let data = data.as_slice();
    let mut stream = connect(target.port(7))?;
    let mut back = stream.try_clone()?;
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || -> Outcome {
            for _ in 0..4 {
                stream.write_all(data)?;
            }
            stream.shutdown(Shutdown::Write)?;
            Ok(())
        });
        let mut all = Vec::new();
        back.read_to_end(&mut all)?;
        ensure!(
            all.len() == 4 * data.len() && all.chunks(data.len()).all(|part| part == data),
            "the guest did not send back what it was sent"
        );
        writer
            .join()
            .unwrap_or_else(|_| Err(Failure("the writer panicked".into())))
    })
}

/// One short conversation with each service.
fn answers(target: Target) -> Outcome {
    for port in [7, 9, 19, 80] {
        let mut stream = TcpStream::connect_timeout(&target.port(port), Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        if port == 80 {
            stream.write_all(b"GET /1k HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n")?;
        } else {
            stream.write_all(b"hello")?;
        }
        if port != 19 {
            stream.shutdown(Shutdown::Write)?;
        }
        let mut buffer = [0; 64];
        match (port, stream.read(&mut buffer)) {
            (9, Ok(0)) | (7 | 19 | 80, Ok(1..)) => {}
            (_, Ok(_)) => return Err(Failure(format!("port {port} is not as it should be"))),
            (_, Err(error)) if error.kind() == ErrorKind::WouldBlock => {
                return Err(Failure(format!("no answer from port {port}")));
            }
            (_, Err(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_those_of_the_rfc() {
        let all = characters();
        assert!(all.starts_with(br##" !"#$%&'()*+,-./0123456789:;<=>?@"##));
        assert_eq!(&all[72..77], b"\r\n!\"#");
        assert_eq!(all[PERIOD..PERIOD + 200], all[..200]);
        assert_eq!(&all[94 * 74..94 * 74 + 3], b"~ !");
    }
}
