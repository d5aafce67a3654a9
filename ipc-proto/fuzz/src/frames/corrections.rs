//! Frames made wrong, and right again: bytes that an input changes, lengths and checksums. Touches the frame that it is given.

use crate::input::Input;

/// Changes some bytes.
pub(crate) fn change(frame: &mut Vec<u8>, input: &mut Input<'_>) {
    for _ in 0..input.below(4) {
        let at = usize::from(input.u8());
        let value = input.pick(&[0, 0xff, 1, input_byte(frame, at)]);
        if let Some(byte) = frame.get_mut(at) {
            *byte = if value == 1 { input.u8() } else { value };
        }
    }
    if input.below(8) == 0 {
        frame.truncate(usize::from(input.u8()));
    }
}

fn input_byte(frame: &[u8], at: usize) -> u8 {
    frame.get(at).map_or(0, |byte| byte ^ 0x80)
}

/// Puts the lengths right of a packet that was made longer or shorter.
pub(super) fn fit(frame: &mut [u8]) {
    let len = frame.len();
    let (at, value, body, protocol) = match frame.get(12..14) {
        Some([8, 0]) => (16, len - 14, 34, frame[23]),
        _ => (18, len - 54, 54, frame[20]),
    };
    frame[at..at + 2].copy_from_slice(&(value as u16).to_be_bytes());
    if protocol == 17 {
        frame[body + 4..body + 6].copy_from_slice(&((len - body) as u16).to_be_bytes());
    }
}

fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// Puts checksums right.
pub(crate) fn repair(frame: &mut [u8]) {
    let set = |frame: &mut [u8], at: usize, value: u16| {
        if let Some(place) = frame.get_mut(at..at + 2) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    };
    let v4 = frame.get(12..14) == Some(&[8, 0]) && frame.len() >= 34;
    let v6 = frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.len() >= 54;
    let (addresses, body, protocol) = if v4 {
        let header = usize::from(frame[14] & 15) * 4;
        if header < 20 || 14 + header > frame.len() {
            return;
        }
        set(frame, 24, 0);
        let value = sum(&frame[14..14 + header], 0);
        set(frame, 24, value);
        (26..34, 14 + header, frame[23])
    } else if v6 {
        (22..54, 54, frame[20])
    } else {
        return;
    };
    let at = match protocol {
        6 => body + 16,
        17 => body + 6,
        1 | 58 => body + 2,
        _ => return,
    };
    // A part of a datagram has none of its own.
    if v4 && (frame[20] & 0x3f, frame[21]) != (0, 0) {
        return;
    }
    set(frame, at, 0);
    let len = frame.len().saturating_sub(body) as u32;
    let pseudo = match protocol {
        1 => 0,
        _ => u32::from(!sum(&frame[addresses], u32::from(protocol) + len)),
    };
    let value = sum(frame.get(body..).unwrap_or_default(), pseudo);
    set(frame, at, value);
}
