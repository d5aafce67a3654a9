//! Questions to name servers and their answers (RFC 1035, RFC 3596). Reads bytes that anybody may have sent.

use crate::classify::be16;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

/// Largest message over UDP without extensions (RFC 1035 section 2.3.4), and what is read of larger ones.
pub(crate) const MAX_MESSAGE: usize = 1232;
/// Names that an alias may lead through.
const MAX_ALIASES: usize = 8;
/// Records of an answer that are looked at.
const MAX_RECORDS: usize = 64;
/// Longest encoded name (RFC 1035 section 2.3.4).
const MAX_ENCODED: usize = 255;

/// Which records are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Kind::A => 1,
            Kind::Aaaa => 28,
        }
    }
}

/// A name in lower case, as labels with lengths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Name(Vec<u8>);

impl Name {
    /// A name from text; a dot at the end changes nothing.
    pub(crate) fn new(text: &str) -> Option<Name> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut bytes = Vec::new();
        for label in text.split('.') {
            if label.is_empty() || label.len() > 63 || !label.is_ascii() {
                return None;
            }
            bytes.push(label.len() as u8);
            bytes.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        bytes.push(0);
        (bytes.len() <= MAX_ENCODED).then_some(Name(bytes))
    }
}

/// A question.
pub(crate) fn question(id: u16, name: &Name, kind: Kind) -> Vec<u8> {
    let mut message = Vec::with_capacity(300);
    message.extend(id.to_be_bytes());
    // Recursion desired, one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend(&name.0);
    message.extend(kind.number().to_be_bytes());
    message.extend([0, 1]);
    message
}

/// What an answer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Addresses; none if the name has none of this kind.
    Addresses(Vec<IpAddr>),
    /// The name does not exist.
    NoSuchName,
    /// The server can't tell.
    ServerFailed,
}

/// Reads an answer to a question. `None` if it is none: wrong identifier, wrong question, malformed.
pub(crate) fn answer(message: &[u8], id: u16, name: &Name, kind: Kind) -> Option<Answer> {
    let flags = be16(message, 2)?;
    // A response to a standard query.
    if be16(message, 0)? != id || flags & 0xf800 != 0x8000 || be16(message, 4)? != 1 {
        return None;
    }
    let (asked, mut at) = read_name(message, 12)?;
    if asked != *name
        || be16(message, at)? != kind.number()
        || be16(message, at.checked_add(2)?)? != 1
    {
        return None;
    }
    at = at.checked_add(4)?;
    match flags & 0xf {
        0 => {}
        3 => return Some(Answer::NoSuchName),
        _ => return Some(Answer::ServerFailed),
    }
    let records = usize::from(be16(message, 6)?).min(MAX_RECORDS);
    let mut aliases: Vec<(Name, Name)> = Vec::new();
    let mut found: Vec<(Name, IpAddr)> = Vec::new();
    for _ in 0..records {
        // A message cut short is read as far as it goes.
        let Some((owner, record)) = read_name(message, at) else {
            break;
        };
        let (Some(record_kind), Some(class), Some(len)) = (
            be16(message, record),
            be16(message, record.saturating_add(2)),
            be16(message, record.saturating_add(8)),
        ) else {
            break;
        };
        let data_at = record.saturating_add(10);
        let end = data_at.saturating_add(len.into());
        let Some(data) = message.get(data_at..end) else {
            break;
        };
        if class == 1 && record_kind == kind.number() {
            if let Some(address) = address(kind, data) {
                found.push((owner, address));
            }
        } else if class == 1
            && record_kind == 5
            && let Some((target, _)) = read_name(message, data_at)
        {
            aliases.push((owner, target));
        }
        at = end;
    }
    let mut canonical = name.clone();
    for _ in 0..MAX_ALIASES {
        match aliases.iter().find(|(owner, _)| *owner == canonical) {
            Some((_, target)) => canonical = target.clone(),
            None => break,
        }
    }
    let addresses = found
        .into_iter()
        .filter(|(owner, _)| *owner == canonical)
        .map(|(_, address)| address)
        .collect();
    Some(Answer::Addresses(addresses))
}

fn address(kind: Kind, data: &[u8]) -> Option<IpAddr> {
    match kind {
        Kind::A => <[u8; 4]>::try_from(data)
            .ok()
            .map(|four| Ipv4Addr::from(four).into()),
        Kind::Aaaa => {
            (data.len() == 16).then_some(())?;
            crate::classify::ipv6(data, 0).map(IpAddr::V6)
        }
    }
}

/// Reads a name, following pointers backwards only, so that it ends. Returns where the next field starts.
fn read_name(message: &[u8], start: usize) -> Option<(Name, usize)> {
    let mut bytes = Vec::new();
    let (mut at, mut limit) = (start, start);
    let mut next = None;
    loop {
        let len = *message.get(at)?;
        match len {
            0 => {
                bytes.push(0);
                let after = next.unwrap_or(at.checked_add(1)?);
                return (bytes.len() <= MAX_ENCODED).then_some((Name(bytes), after));
            }
            1..=63 => {
                let from = at.checked_add(1)?;
                let to = from.checked_add(len.into())?;
                bytes.push(len);
                bytes.extend(
                    message
                        .get(from..to)?
                        .iter()
                        .map(|byte| byte.to_ascii_lowercase()),
                );
                if bytes.len() >= MAX_ENCODED {
                    return None;
                }
                at = to;
            }
            0xc0.. => {
                let target = usize::from(be16(message, at)? & 0x3fff);
                next.get_or_insert(at.checked_add(2)?);
                // Each pointer leads before everything read so far.
                if target >= limit {
                    return None;
                }
                (at, limit) = (target, target);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(id: u16, name: &Name, kind: Kind, rcode: u8, records: &[&[u8]]) -> Vec<u8> {
        let mut message = question(id, name, kind);
        message[2] = 0x81;
        message[3] = 0x80 | rcode;
        message[7] = records.len() as u8;
        for record in records {
            message.extend(*record);
        }
        message
    }

    const A: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 1, 2, 3];

    #[test]
    fn an_address_is_found() {
        let name = Name::new("Example.com.").unwrap();
        let message = reply(7, &name, Kind::A, 0, &[A]);
        assert_eq!(
            answer(&message, 7, &name, Kind::A),
            Some(Answer::Addresses([[10, 1, 2, 3].into()].into()))
        );
        assert_eq!(answer(&message, 8, &name, Kind::A), None);
        assert_eq!(answer(&message, 7, &name, Kind::Aaaa), None);
        let other = Name::new("example.org").unwrap();
        assert_eq!(answer(&message, 7, &other, Kind::A), None);
    }

    #[test]
    fn an_alias_is_followed_and_a_stranger_is_not() {
        let name = Name::new("www.a").unwrap();
        // www.a CNAME b.a; b.a A 1.2.3.4; c.a A 6.6.6.6
        let alias: &[u8] = &[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'b', 0xc0, 16];
        let target: &[u8] = &[1, b'b', 0xc0, 16, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4];
        let stranger: &[u8] = &[1, b'c', 0xc0, 16, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 6, 6, 6, 6];
        let message = reply(1, &name, Kind::A, 0, &[stranger, alias, target]);
        assert_eq!(
            answer(&message, 1, &name, Kind::A),
            Some(Answer::Addresses([[1, 2, 3, 4].into()].into()))
        );
    }

    #[test]
    fn failures_are_told_apart() {
        let name = Name::new("x").unwrap();
        let with = |rcode| answer(&reply(1, &name, Kind::A, rcode, &[]), 1, &name, Kind::A);
        assert_eq!(with(0), Some(Answer::Addresses(Vec::new())));
        assert_eq!(with(3), Some(Answer::NoSuchName));
        assert_eq!(with(2), Some(Answer::ServerFailed));
        assert_eq!(with(5), Some(Answer::ServerFailed));
    }

    #[test]
    fn pointers_that_loop_end() {
        let name = Name::new("x").unwrap();
        let to_itself: &[u8] = &[0xc0, 19, 0, 1, 0, 1];
        let message = reply(1, &name, Kind::A, 0, &[to_itself]);
        assert_eq!(
            answer(&message, 1, &name, Kind::A),
            Some(Answer::Addresses(Vec::new()))
        );
    }

    #[test]
    fn bad_names_are_refused() {
        for bad in [
            "",
            ".",
            "a..b",
            &"a".repeat(64),
            &"a.".repeat(140),
            "\u{e4}",
        ] {
            assert_eq!(Name::new(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            let name = Name::new("example.com").unwrap();
            let mut message = question(1, &name, Kind::A);
            message[2] = 0x81;
            message[7] = 9;
            message.extend(&bytes);
            let _ = answer(&message, 1, &name, Kind::A);
            let _ = answer(&bytes, 1, &name, Kind::A);
        }
    }
}
