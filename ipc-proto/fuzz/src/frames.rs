//! Frames of every protocol that the stack speaks, made from an input: right ones with some bytes changed and the checksums
//! put right again, and answers to what the stack has sent.

mod answers;
mod corrections;

use crate::input::Input;
pub(crate) use answers::{answer, complaint};
pub(crate) use corrections::{change, repair};

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
