//! Frames that follow from one that the stack sent: answers of whoever it spoke to, leases, and complaints of routers. Touches nothing but
//! the input.

use super::{OWN, OWN4, OWN6, PEER, PEER6, corrections::fit, ethernet, ipv4, ipv6, tcp, udp};
use crate::input::Input;

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
