//! What the book says of datagrams: who sent them, how often they came by, and who received them. Touches the book's pages.

use super::{
    Book,
    pattern::{DATAGRAM_HEADER, MAGIC, datagram_number, differs, fill},
};
use std::net::SocketAddr;

/// A datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    from: usize,
    to: SocketAddr,
    len: usize,
    since: u64,
    frames: u32,
    arrivals: u32,
    received: u32,
}

impl Book {
    /// A datagram is about to be sent: its bytes.
    #[must_use]
    pub fn datagram(&self, from: usize, to: SocketAddr, len: usize) -> (u64, Vec<u8>) {
        let number = self.number();
        let mut bytes = vec![0; len.max(DATAGRAM_HEADER)];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..DATAGRAM_HEADER].copy_from_slice(&number.to_le_bytes());
        fill(number, 0, &mut bytes[DATAGRAM_HEADER..]);
        let mut pages = self.0.borrow_mut();
        let datagram = Datagram {
            from,
            to,
            len: bytes.len(),
            since: pages.now,
            frames: 0,
            arrivals: 0,
            received: 0,
        };
        pages.datagrams.insert(number, datagram);
        pages.stats.datagrams_sent += 1;
        (number, bytes)
    }

    /// A frame goes onto the wire, so often to its receiver: if it carries a datagram of ours, that is known.
    pub fn on_wire(&self, frame: &[u8], copies: u32) {
        let at = match frame.get(12..14) {
            Some([8, 0]) if frame.get(23) == Some(&17) => 42,
            Some([0x86, 0xdd]) if frame.get(20) == Some(&17) => 62,
            _ => return,
        };
        let Some(number) = frame.get(at..).and_then(datagram_number) else {
            return;
        };
        let twice = {
            let mut pages = self.0.borrow_mut();
            let Some(datagram) = pages.datagrams.get_mut(&number) else {
                return;
            };
            datagram.frames += 1;
            datagram.arrivals += copies;
            (datagram.frames > 1).then_some((datagram.from, datagram.since))
        };
        if let Some((from, since)) = twice
            && !self.is_excused(&[from], None, since)
        {
            self.fail(format!("datagram {number} was sent twice"));
        }
    }

    /// A datagram was received. Its number, and who sent it.
    pub fn got(&self, by: usize, at: SocketAddr, bytes: &[u8]) -> Option<(u64, usize)> {
        let now = self.now();
        let number = datagram_number(bytes);
        let known = number.and_then(|number| {
            let mut pages = self.0.borrow_mut();
            let datagram = pages.datagrams.get_mut(&number)?;
            datagram.received += 1;
            let datagram = *datagram;
            pages.stats.datagrams_received += 1;
            pages.stats.datagrams_doubled += u64::from(datagram.received > 1);
            Some((number, datagram))
        });
        let Some((number, datagram)) = known else {
            // Its sender may be a client whose memory was scribbled over: then nobody can say whose it was.
            if !self.is_excused(&[by], None, now) && !self.anybody_hostile() {
                self.fail(format!("client {by}: a datagram that nobody sent"));
            }
            return None;
        };
        let garbled = self.is_excused(&[by, datagram.from], None, datagram.since);
        let wrong = if bytes.len() != datagram.len {
            Some(format!("{} bytes of {}", bytes.len(), datagram.len))
        } else if let Some(at) = differs(number, 0, &bytes[DATAGRAM_HEADER..]) {
            Some(format!("byte {at} is wrong"))
        } else if at.port() != datagram.to.port() {
            Some(format!("meant for {}, received on {at}", datagram.to))
        } else if datagram.received > datagram.arrivals {
            Some(format!(
                "received {} times, came {} times",
                datagram.received, datagram.arrivals
            ))
        } else {
            None
        };
        match wrong {
            Some(wrong) if !garbled => {
                self.fail(format!("datagram {number} for client {by}: {wrong}"));
                None
            }
            Some(_) => None,
            None => Some((number, datagram.from)),
        }
    }
}
