//! What a device does to a frame that it is to finish: computed the plain way, as a second opinion on what the stack asks for.

use ipc_proto::frame::{MIN_SEGMENT, Offload};
use std::{vec, vec::Vec};

/// The sum of bytes as 16-bit numbers (RFC 1071).
fn sum(bytes: &[u8], start: u32) -> u32 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum
}

fn set(frame: &mut [u8], at: usize, value: u16) {
    frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Finds the TCP segment or UDP datagram of a frame: where it starts, where in it the checksum stands, and the sum of its
/// pseudo-header.
fn find(frame: &[u8]) -> Option<(usize, usize, u32)> {
    let (addresses, start, protocol) = match frame.get(12..14)? {
        [8, 0] => (
            26..34,
            14 + usize::from(frame.get(14)? & 15) * 4,
            *frame.get(23)?,
        ),
        [0x86, 0xdd] => (22..54, 54, *frame.get(20)?),
        _ => return None,
    };
    let offset = match protocol {
        6 => 16,
        17 => 6,
        _ => return None,
    };
    let len = u32::try_from(frame.len().checked_sub(start)?).ok()?;
    let pseudo = sum(frame.get(addresses)?, u32::from(protocol));
    frame.get(start + offset..start + offset + 2)?;
    Some((start, offset, sum(&len.to_be_bytes(), pseudo)))
}

/// Whether the checksum of a frame with a TCP segment or UDP datagram is there and right. False for other frames.
pub fn is_right(frame: &[u8]) -> bool {
    let fragment = frame.get(12..14) == Some(&[8, 0]) && frame.get(20).is_none_or(|b| b & 0x3f > 0);
    find(frame)
        .is_some_and(|(start, _, pseudo)| !fragment && sum(&frame[start..], pseudo) == 0xffff)
}

/// The frames that a device sends for one that it is given. `None` if what it is told makes no sense.
pub fn perform(mut frame: Vec<u8>, offload: Offload) -> Option<Vec<Vec<u8>>> {
    match offload {
        Offload::Nothing => Some(vec![frame]),
        Offload::Checksum { start, offset } => {
            let (start, offset) = (usize::from(start), usize::from(offset));
            let place = start.checked_add(offset)?;
            frame.get(place..place + 2)?;
            let value = !(sum(&frame[start..], 0) as u16);
            set(&mut frame, place, if value == 0 { 0xffff } else { value });
            Some(vec![frame])
        }
        Offload::Segment {
            start,
            offset,
            header,
            size,
        } => {
            let (header, at) = (usize::from(header), usize::from(start));
            let (found, place, pseudo) = find(&frame)?;
            let tells = frame.get(at + place..at + place + 2)?;
            let is_tcp = frame.get(23) == Some(&6) && frame.get(12..14) == Some(&[8, 0]);
            let data = header.checked_sub(at)?;
            let words = usize::from(*frame.get(at + 12)? >> 4) * 4;
            let makes_sense = is_tcp
                && (found, place) == (at, usize::from(offset))
                && tells == (pseudo as u16).to_be_bytes()
                && data == words
                && size >= MIN_SEGMENT
                && frame.len() > header;
            makes_sense.then(|| cut(&frame, (at, header), size.into()))
        }
    }
}

/// Cuts a TCP segment over IPv4.
fn cut(frame: &[u8], (start, header): (usize, usize), size: usize) -> Vec<Vec<u8>> {
    let data = &frame[header..];
    let count = data.len().div_ceil(size);
    let pieces = data.chunks(size).enumerate().map(|(number, piece)| {
        let mut bytes = frame[..header].to_vec();
        bytes.extend_from_slice(piece);
        let total = (bytes.len() - 14) as u16;
        let id = u16::from_be_bytes([frame[18], frame[19]]);
        set(&mut bytes, 16, total);
        set(&mut bytes, 18, id.wrapping_add(number as u16));
        set(&mut bytes, 24, 0);
        let value = !(sum(&bytes[14..start], 0) as u16);
        set(&mut bytes, 24, value);
        let seq = u32::from_be_bytes([38, 39, 40, 41].map(|at| bytes[at + start - 34]));
        let seq = seq.wrapping_add((number * size) as u32);
        bytes[start + 4..start + 8].copy_from_slice(&seq.to_be_bytes());
        if number + 1 < count {
            // PSH and FIN are the last one's.
            bytes[start + 13] &= !9;
        }
        set(&mut bytes, start + 16, 0);
        let pseudo = find(&bytes).map_or(0, |(_, _, pseudo)| pseudo);
        let value = !(sum(&bytes[start..], pseudo) as u16);
        set(&mut bytes, start + 16, value);
        bytes
    });
    pieces.collect()
}

/// Joins a TCP segment to one in front of it, as a device does that receives both; its checksum is unfinished then. False, and
/// nothing is changed, if they are not neighbours that look the same.
pub fn join(into: &mut Vec<u8>, next: &[u8]) -> bool {
    const OPENS_OR_ENDS: u8 = 0x3f & !0x10;
    let (Some((start, 16, _)), true) = (find(into), into.len() + next.len() < 65_000) else {
        return false;
    };
    let header = start + usize::from(into[start + 12] >> 4) * 4;
    if next.len() <= header || into.len() <= header || !is_right(next) {
        return false;
    }
    let number = |frame: &[u8]| u32::from_be_bytes([4, 5, 6, 7].map(|at| frame[start + at]));
    let follows = number(next) == number(into).wrapping_add((into.len() - header) as u32);
    // Lengths, identifiers, checksums, numbers and flags differ.
    let mut skipped = vec![start + 13];
    skipped.extend(start + 4..start + 8);
    skipped.extend(start + 16..start + 18);
    let is_v4 = into[12] == 8;
    skipped.extend(if is_v4 { 16..20 } else { 18..20 });
    skipped.extend(if is_v4 { 24..26 } else { 18..20 });
    let same = (0..header).all(|at| skipped.contains(&at) || into[at] == next[at]);
    let plain = into[start + 13] & OPENS_OR_ENDS == 0 && next[start + 13] & 0x26 == 0;
    if !follows || !same || !plain {
        return false;
    }
    into.extend_from_slice(&next[header..]);
    into[start + 13] |= next[start + 13];
    let len = into.len() - 14;
    if is_v4 {
        set(into, 16, len as u16);
        set(into, 24, 0);
        let value = !(sum(&into[14..start], 0) as u16);
        set(into, 24, value);
    } else {
        set(into, 18, (len - 40) as u16);
    }
    true
}
