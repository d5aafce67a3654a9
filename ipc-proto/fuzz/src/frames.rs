//! Frames of every protocol that the stack speaks, made from an input: right ones with some bytes changed and the checksums
//! put right again, and answers to what the stack has sent.

use crate::input::Input;

/// The station that the frames are from, and its addresses.
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const PEER4: [u8; 4] = [10, 0, 0, 2];
const PEER6: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 2];
/// The stack's.
const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OWN4: [u8; 4] = [10, 0, 0, 1];
const OWN6: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 1];

fn ethernet(to: [u8; 6], kind: u16, body: &[u8]) -> Vec<u8> {
    [&to[..], &PEER, &kind.to_be_bytes(), body].concat()
}

fn ipv4(protocol: u8, to: [u8; 4], body: &[u8]) -> Vec<u8> {
    let len = (20 + body.len()) as u16;
    let [high, low] = len.to_be_bytes();
    let header = [0x45, 0, high, low, 0, 7, 0, 0, 64, protocol, 0, 0];
    let own = if to == [255; 4] { [255; 6] } else { OWN };
    ethernet(own, 0x0800, &[&header[..], &PEER4, &to, body].concat())
}

fn ipv6(next: u8, to: [u8; 16], body: &[u8]) -> Vec<u8> {
    let [high, low] = (body.len() as u16).to_be_bytes();
    let header = [0x60, 0, 0, 0, high, low, next, 255];
    let mac = match to {
        [0xff, .., a, b, c, d] => [0x33, 0x33, a, b, c, d],
        _ => OWN,
    };
    ethernet(mac, 0x86dd, &[&header[..], &PEER6, &to, body].concat())
}

fn udp(from: u16, to: u16, body: &[u8]) -> Vec<u8> {
    let len = (8 + body.len()) as u16;
    let ports = [
        from.to_be_bytes(),
        to.to_be_bytes(),
        len.to_be_bytes(),
        [0; 2],
    ];
    [ports.as_flattened(), body].concat()
}

fn tcp(ports: [u16; 2], [seq, ack]: [u32; 2], flags: u8, options: &[u8], body: &[u8]) -> Vec<u8> {
    let words = options.len().min(40) / 4;
    let header = [
        &ports[0].to_be_bytes()[..],
        &ports[1].to_be_bytes(),
        &seq.to_be_bytes(),
        &ack.to_be_bytes(),
        &[(5 + words as u8) << 4, flags, 8, 0, 0, 0, 0, 0],
        &options[..words * 4],
    ];
    [&header.concat(), body].concat()
}

fn port(input: &mut Input<'_>) -> u16 {
    match input.below(6) {
        0 => input.u16(),
        // Where the stack listens, is bound, asks for a lease.
        other => [80, 80, 5000, 68, 7][other - 1],
    }
}

fn own6(input: &mut Input<'_>) -> [u8; 16] {
    let group = |last: [u8; 4]| {
        let mut group = [0; 16];
        group[..2].copy_from_slice(&[0xff, 2]);
        group[11] = 1;
        group[12..].copy_from_slice(&last);
        group
    };
    match input.below(4) {
        0 => group([0xff, 0, 0, 1]),
        1 => {
            let mut all = group([0, 0, 0, 1]);
            all[11] = 0;
            all
        }
        _ => OWN6,
    }
}

/// A frame of some protocol.
pub(crate) fn make(input: &mut Input<'_>) -> Vec<u8> {
    let kind = input.below(14);
    let len = usize::from(input.u8() % 96);
    match kind {
        0 => {
            let operation = input.pick(&[1, 1, 2, 0]);
            let start = [0, 1, 8, 0, 6, 4, 0, operation];
            let sender = if input.flag() {
                PEER4
            } else {
                [10, 0, 0, input.u8()]
            };
            let target = if input.flag() { OWN4 } else { sender };
            let body = [&start[..], &PEER, &sender, &[0; 6], &target].concat();
            ethernet(if input.flag() { OWN } else { [0xff; 6] }, 0x0806, &body)
        }
        1 => {
            let start = [
                input.pick(&[8, 8, 0, 3, 5, 11, 13]),
                input.u8() % 8,
                0,
                0,
                0,
                1,
                0,
                1,
            ];
            ipv4(1, OWN4, &[&start[..], input.bytes(len)].concat())
        }
        2 => {
            let to = if input.flag() { OWN4 } else { [255; 4] };
            let (from, port) = (port(input), port(input));
            ipv4(17, to, &udp(from, port, input.bytes(len)))
        }
        3 | 4 => {
            let ports = [input.u16(), port(input)];
            let numbers = [input.u32(), input.u32()];
            let flags = if input.flag() { 2 } else { input.u8() };
            let options = input.below(5) * 4;
            let options = input.bytes(options);
            ipv4(
                6,
                OWN4,
                &tcp(ports, numbers, flags, options, input.bytes(len % 16)),
            )
        }
        5 => {
            let ports = [input.u16(), port(input)];
            let segment = tcp(ports, [input.u32(), 0], 2, &[2, 4, 5, 0xb4], &[]);
            ipv6(6, OWN6, &segment)
        }
        6 => {
            // Solicitation or advertisement of a neighbour.
            let kind = input.pick(&[135, 136]);
            let target = if input.flag() { OWN6 } else { PEER6 };
            let option = [if kind == 135 { 1 } else { 2 }, 1];
            let start = [kind, 0, 0, 0, input.u8(), 0, 0, 0];
            let to = own6(input);
            ipv6(58, to, &[&start[..], &target, &option, &PEER].concat())
        }
        7 => {
            // Router advertisement: prefixes, servers, anything.
            let lifetime = input.u16().to_be_bytes();
            let start = [
                134,
                0,
                0,
                0,
                64,
                0,
                lifetime[0],
                lifetime[1],
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ];
            let mut body = start.to_vec();
            for _ in 0..input.below(4) {
                match input.below(3) {
                    0 => {
                        body.extend([3, 4, 64, 0xc0]);
                        body.extend(input.u32().to_be_bytes());
                        body.extend(input.u32().to_be_bytes());
                        body.extend([0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, input.u8()]);
                        body.extend([0; 8]);
                    }
                    1 => {
                        body.extend([25, 3, 0, 0]);
                        body.extend(input.u32().to_be_bytes());
                        body.extend(PEER6);
                    }
                    _ => {
                        let units = input.u8() % 8;
                        body.extend([input.u8(), units]);
                        body.extend(input.bytes(usize::from(units) * 8));
                    }
                }
            }
            let to = own6(input);
            ipv6(58, to, &body)
        }
        8 => {
            let start = [
                input.pick(&[128, 129, 1, 2, 3, 130, 137]),
                input.u8() % 8,
                0,
                0,
                0,
                0,
                0,
                0,
            ];
            let to = own6(input);
            ipv6(58, to, &[&start[..], input.bytes(len)].concat())
        }
        9 => {
            // A chain of extension headers.
            let mut body = udp(7, 5000, &[1, 2, 3]);
            let mut next = 17;
            for _ in 0..input.below(6) {
                let kind = input.pick(&[0, 43, 44, 60, 59, 135]);
                let units = input.u8() % 3;
                let mut header = vec![next, units];
                header.resize(
                    if kind == 44 {
                        8
                    } else {
                        8 + 8 * usize::from(units)
                    },
                    input.u8() % 4,
                );
                body = [header, body].concat();
                next = kind;
            }
            ipv6(next, OWN6, &body)
        }
        10 | 11 => {
            // A part of a datagram.
            let (protocol, id) = (input.pick(&[17, 17, 1, 6]), input.u8() % 4);
            let mut body = udp(7, 5000, &[]);
            body.extend(input.bytes(len));
            body.resize(body.len().next_multiple_of(8), 0);
            let mut frame = ipv4(protocol, OWN4, &body);
            let place = match input.below(4) {
                0 => input.u16(),
                1 => 0x2000,
                _ => u16::from(input.u8() % 16) | if input.flag() { 0x2000 } else { 0 },
            };
            frame[19] = id;
            frame[20..22].copy_from_slice(&place.to_be_bytes());
            frame
        }
        12 => ipv4(input.u8(), OWN4, input.bytes(len)),
        _ => {
            let kind = input.pick(&[0x0800, 0x86dd, 0x0806, 0x8100, 0x0024]);
            let to = if input.flag() { OWN } else { [0xff; 6] };
            ethernet(to, kind, input.bytes(len))
        }
    }
}

/// A frame that answers one that the stack sent: to where it came from, with the numbers that it expects.
pub(crate) fn answer(sent: &[u8], input: &mut Input<'_>) -> Option<Vec<u8>> {
    let header = match sent.get(12..14)? {
        [8, 0] => 20,
        [0x86, 0xdd] => 40,
        [8, 6] => {
            // Here it is.
            let target = *sent.get(38..42)?.first_chunk::<4>()?;
            let own = *sent.get(28..32)?.first_chunk::<4>()?;
            let start = [0, 1, 8, 0, 6, 4, 0, 2];
            return Some(ethernet(
                OWN,
                0x0806,
                &[&start[..], &PEER, &target, &OWN, &own].concat(),
            ));
        }
        _ => return None,
    };
    let mut frame = sent.to_vec();
    let (protocol, at, len) = match header {
        20 => (*sent.get(23)?, 26, 4),
        _ => (*sent.get(20)?, 22, 16),
    };
    frame.get(14 + header + 8..)?;
    frame[..6].copy_from_slice(sent.get(6..12)?);
    frame[6..12].copy_from_slice(&PEER);
    for i in 0..len {
        frame.swap(at + i, at + len + i);
    }
    let body = 14 + header;
    match protocol {
        6 => {
            let word = |at: usize| Some(u32::from_be_bytes(*sent.get(at..)?.first_chunk()?));
            let (seq, ack) = (word(body + 4)?, word(body + 8)?);
            let offset = usize::from(sent.get(body + 12)? >> 4) * 4;
            let their = sent.len().checked_sub(body + offset)? as u32;
            let theirs =
                their + u32::from(sent[body + 13] & 2 != 0) + u32::from(sent[body + 13] & 1);
            let port = |at: usize| Some(u16::from_be_bytes(*sent.get(at..)?.first_chunk()?));
            let flags = match input.below(4) {
                0 => input.u8(),
                1 if sent[body + 13] & 2 != 0 => 0x12,
                _ => 0x10,
            };
            let delta = if input.below(4) == 0 {
                input.u8() as i8 as u32
            } else {
                0
            };
            let len = usize::from(input.u8() % 64);
            let seq = (ack.wrapping_add(delta), seq.wrapping_add(theirs));
            let segment = tcp(
                [port(body + 2)?, port(body)?],
                [seq.0, seq.1],
                flags,
                &[],
                input.bytes(len),
            );
            frame.truncate(body);
            frame.extend(segment);
        }
        17 => {
            frame.swap(body, body + 2);
            frame.swap(body + 1, body + 3);
            match sent.get(body + 2..body + 4)? {
                [0, 53] => {
                    // The question, and some records.
                    *frame.get_mut(body + 10)? = 0x81;
                    *frame.get_mut(body + 11)? = 0x80 | (input.u8() % 8).saturating_sub(3);
                    let records = input.below(4) as u8;
                    *frame.get_mut(body + 15)? = records;
                    for _ in 0..records {
                        let kind = input.pick(&[1, 28, 5]);
                        let data: &[u8] = match kind {
                            1 => &[10, 0, 0, 9],
                            28 => &PEER6,
                            _ => &[0xc0, 12],
                        };
                        frame.extend([0xc0, if input.flag() { 12 } else { input.u8() }, 0, kind]);
                        frame.extend([0, 1, 0, 0, 0, 9, 0, data.len() as u8]);
                        frame.extend(data);
                    }
                }
                [0, 67] => return lease(sent.get(body + 8..)?, input),
                _ => {}
            }
        }
        1 => frame[body] = 0,
        58 if frame[body] == 135 => {
            frame[body] = 136;
            let kind = frame.get_mut(body + 24)?;
            *kind = 2;
            let mac = frame.get_mut(body + 26..body + 32)?;
            mac.copy_from_slice(&PEER);
            frame.copy_within(body + 8..body + 24, 22);
            frame[body + 4] = 0x60;
        }
        58 => frame[body] = 129,
        _ => return None,
    }
    fit(&mut frame);
    Some(frame)
}

/// What a DHCP server answers to a message: an offer, a lease, a refusal; the options as the input says.
fn lease(asked: &[u8], input: &mut Input<'_>) -> Option<Vec<u8>> {
    let mut message = asked.get(..240)?.to_vec();
    message[0] = 2;
    message[16..20].copy_from_slice(&[10, 0, 0, 1]);
    let kind = input.pick(&[2, 5, 5, 6]);
    message.extend([53, 1, kind]);
    for _ in 0..input.below(8) {
        match input.below(8) {
            0 => message.extend([54, 4, 10, 0, 0, 2]),
            1 => message.extend([1, 4, 255, 255, 255, input.u8()]),
            2 => {
                message.extend([51, 4]);
                message.extend(input.u32().to_be_bytes());
            }
            3 => message.extend([3, 4, 10, 0, 0, 2]),
            4 => message.extend([6, 4, 10, 0, 0, 2]),
            5 => message[16..20].copy_from_slice(&input.u32().to_be_bytes()),
            6 => {
                message.extend([58, 4, 0, 0, 0, input.u8()]);
                message.extend([59, 4, 0, 0, 0, input.u8()]);
            }
            _ => {
                let len = input.u8() % 32;
                message.extend([input.u8(), len]);
                message.extend(input.bytes(len.into()));
            }
        }
    }
    if kind != 6 && input.below(4) != 0 {
        message.extend([
            54, 4, 10, 0, 0, 2, 1, 4, 255, 255, 255, 0, 51, 4, 0, 0, 0, 60,
        ]);
    }
    message.push(255);
    Some(ipv4(17, [255; 4], &udp(67, 68, &message)))
}

/// An ICMP error about a frame that the stack sent.
pub(crate) fn complaint(sent: &[u8], input: &mut Input<'_>) -> Option<Vec<u8>> {
    let len = usize::from(input.u8());
    match sent.get(12..14)? {
        [8, 0] => {
            let quote = &sent[14..sent.len().min(14 + len)];
            let start = [
                input.pick(&[3, 3, 11, 5, 12]),
                input.u8() % 16,
                0,
                0,
                0,
                0,
                2,
                input.u8(),
            ];
            Some(ipv4(1, OWN4, &[&start[..], quote].concat()))
        }
        [0x86, 0xdd] => {
            let quote = &sent[14..sent.len().min(14 + len)];
            let start = [
                input.pick(&[1, 1, 2, 3, 4]),
                input.u8() % 8,
                0,
                0,
                0,
                0,
                5,
                input.u8(),
            ];
            Some(ipv6(58, OWN6, &[&start[..], quote].concat()))
        }
        _ => None,
    }
}

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
fn fit(frame: &mut [u8]) {
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
