//! Transfers of the well-behaved peer: what is sent, and whether the same comes back.

use sha2::{Digest, Sha256};
use smoltcp::socket::tcp;

/// Milliseconds without a single byte after which a transfer has failed.
const PATIENCE: i64 = 45_000;
/// Bytes of an echo, at least and at most.
const ECHO: std::ops::Range<u64> = 20_000..400_000;
/// Bytes that a connection which lives long has under way, and milliseconds between its portions.
const PORTION: u64 = 2000;
const INTERVAL: i64 = 150;
/// What is asked of the web server.
const REQUEST: &[u8] = b"GET /1m HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n";
/// Its answer: byte `i` is `i` modulo 251.
const BODY: usize = 1 << 20;

/// What a transfer does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Sends to the echo service, as fast as that goes.
    Echo,
    /// The same over IPv6.
    Echo6,
    /// A little now and then, as long as the peer is busy.
    Long,
    /// Fetches a file.
    Http,
    /// Tells the hostile program to attack for so many seconds.
    Order(u32),
}

impl Kind {
    /// The guest's port.
    pub fn port(self) -> u16 {
        match self {
            Kind::Echo | Kind::Echo6 | Kind::Long => 7,
            Kind::Http => 80,
            Kind::Order(_) => super::ORDERS,
        }
    }
}

/// A transfer under way.
pub struct Flow {
    /// What it does.
    pub kind: Kind,
    port: u16,
    seed: u64,
    len: u64,
    sent: u64,
    /// Bytes that came and were right.
    pub checked: u64,
    got: Vec<u8>,
    last: Option<i64>,
    portion_at: i64,
}

/// Byte number `at` of what is sent.
fn pattern(seed: u64, at: u64) -> u8 {
    let mut word = (seed << 32)
        .wrapping_add(at / 8)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word ^= word >> 29;
    word = word.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (word >> (at % 8 * 8)) as u8
}

impl Flow {
    /// A transfer over a connection from this port that is being opened.
    pub fn new(kind: Kind, port: u16, seed: u64) -> Flow {
        let len = match kind {
            Kind::Echo | Kind::Echo6 => {
                ECHO.start + seed.wrapping_mul(0x9e37_79b9) % (ECHO.end - ECHO.start)
            }
            Kind::Long => u64::MAX,
            Kind::Http => REQUEST.len() as u64,
            Kind::Order(seconds) => seconds.to_string().len() as u64,
        };
        Flow {
            kind,
            port,
            seed,
            len,
            sent: 0,
            checked: 0,
            got: Vec::new(),
            last: None,
            portion_at: 0,
        }
    }

    fn byte(&self, at: u64) -> u8 {
        match self.kind {
            Kind::Http => REQUEST[at as usize],
            Kind::Order(seconds) => seconds.to_string().as_bytes()[at as usize],
            _ => pattern(self.seed, at),
        }
    }

    fn failed(&self, what: &str, socket: &tcp::Socket<'_>) -> Option<Result<(), String>> {
        Some(Err(format!(
            "{:?} from port {}: {what}, {} bytes sent of {}, {} came back; {}",
            self.kind,
            self.port,
            self.sent,
            self.len,
            self.checked,
            socket.state()
        )))
    }

    /// Does what can be done now. `Some` when it has ended, well or not.
    pub fn turn(
        &mut self,
        socket: &mut tcp::Socket<'_>,
        millis: i64,
        is_last: bool,
    ) -> Option<Result<(), String>> {
        let before = (self.sent, self.checked, self.got.len());
        if self.kind == Kind::Long && is_last && self.len == u64::MAX {
            self.len = self.sent;
        }
        self.send(socket, millis);
        if let Err(at) = self.receive(socket) {
            return self.failed(&format!("byte {at} is another"), socket);
        }
        if before != (self.sent, self.checked, self.got.len()) || self.last.is_none() {
            self.last = Some(millis);
        }
        match socket.state() {
            tcp::State::Closed | tcp::State::TimeWait => {
                return Some(match self.verdict() {
                    Ok(()) => Ok(()),
                    Err(what) => return self.failed(&what, socket),
                });
            }
            // The other side has said all.
            tcp::State::CloseWait if self.sent == self.len => socket.close(),
            _ => {}
        }
        if self.last.is_some_and(|last| millis - last > PATIENCE) {
            return self.failed("it stands still", socket);
        }
        None
    }

    fn send(&mut self, socket: &mut tcp::Socket<'_>, millis: i64) {
        let mut most = self.len - self.sent;
        if self.kind == Kind::Long {
            most = if millis < self.portion_at || self.sent - self.checked > PORTION {
                0
            } else {
                most.min(PORTION)
            };
        }
        if socket.can_send() && most > 0 {
            self.portion_at = millis + INTERVAL;
            let start = self.sent;
            let chunk: Vec<u8> = (start..start + most.min(16 << 10))
                .map(|at| self.byte(at))
                .collect();
            // It can send: the connection is there.
            self.sent += socket.send_slice(&chunk).unwrap_or(0) as u64;
        }
        if socket.may_send() && self.sent == self.len && self.kind != Kind::Http {
            socket.close();
        }
    }

    fn receive(&mut self, socket: &mut tcp::Socket<'_>) -> Result<(), u64> {
        while socket.can_recv() {
            let mut bytes = [0; 8192];
            let len = socket.recv_slice(&mut bytes).unwrap_or(0);
            for byte in &bytes[..len] {
                match self.kind {
                    Kind::Http => self.got.push(*byte),
                    Kind::Order(_) => {}
                    _ if self.checked >= self.sent || *byte != self.byte(self.checked) => {
                        return Err(self.checked);
                    }
                    _ => self.checked += 1,
                }
            }
        }
        Ok(())
    }

    fn verdict(&mut self) -> Result<(), String> {
        match self.kind {
            Kind::Order(_) if self.sent == self.len => Ok(()),
            Kind::Http => {
                let head = self.got.windows(4).position(|four| four == b"\r\n\r\n");
                let Some(head) = head else {
                    return Err(String::from("no answer"));
                };
                let body = &self.got[head + 4..];
                let wanted: Vec<u8> = (0..BODY).map(|at| (at % 251) as u8).collect();
                if Sha256::digest(body) != Sha256::digest(&wanted) {
                    return Err(format!("a body of {} bytes has another hash", body.len()));
                }
                self.checked = body.len() as u64;
                Ok(())
            }
            _ if self.checked == self.len => Ok(()),
            _ => Err(String::from("the connection ended early")),
        }
    }
}
