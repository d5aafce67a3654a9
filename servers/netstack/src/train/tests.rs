use super::*;
use crate::tests::forge::{ACK, FIN, Forged};
use proptest::prelude::*;
use std::{vec, vec::Vec};

const LONGEST: usize = 1514;

/// Bytes `from..to` of a stream, in a segment.
fn piece(from: usize, to: usize) -> Forged {
    Forged {
        src_port: 1000,
        dst_port: 80,
        seq: 0xffff_f000u32.wrapping_add(from as u32),
        ack: 77,
        flags: ACK,
        window: 500,
        data: (from..to).map(|at| (at * 7 + at / 256) as u8).collect(),
        ..Forged::default()
    }
}

/// What the frames are joined to, as the stack does it.
fn joined(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut buffer = vec![0xee; Train::room(LONGEST)];
    let mut train: Option<Train> = None;
    let mut out = Vec::new();
    let flush = |train: &Train, buffer: &mut [u8], out: &mut Vec<Vec<u8>>| {
        train.finish(buffer);
        out.push(buffer[..train.len()].to_vec());
    };
    for frame in frames {
        let at = train.as_ref().map_or(0, |train| train.keep(&mut buffer));
        buffer[at..at + frame.len()].copy_from_slice(frame);
        if let Some(mut before) = train.take() {
            if before.join(&mut buffer, frame.len(), false) {
                if before.is_open(LONGEST) {
                    train = Some(before);
                } else {
                    flush(&before, &mut buffer, &mut out);
                }
                continue;
            }
            before.restore(&mut buffer);
            flush(&before, &mut buffer, &mut out);
            buffer.copy_within(before.len()..before.len() + frame.len(), 0);
        }
        match Train::begin(&buffer[..frame.len()], false) {
            Some(first) if first.is_open(LONGEST) => train = Some(first),
            _ => out.push(buffer[..frame.len()].to_vec()),
        }
    }
    if let Some(train) = train {
        flush(&train, &mut buffer, &mut out);
    }
    out
}

fn segment_of(frame: &[u8]) -> (classify::Segment, Vec<u8>) {
    let Frame::Ip(packet) = classify::frame(frame) else {
        panic!("not a packet")
    };
    assert!(checksum::is_intact(&packet, true), "IP header");
    let Payload::Tcp(segment) = packet.payload else {
        panic!("not a segment")
    };
    (
        segment,
        packet.body[packet.body.len() - segment.len..].to_vec(),
    )
}

#[test]
fn what_follows_is_joined_to_one_segment() {
    let frames: Vec<_> = (0..10)
        .map(|n| piece(n * 1000, (n + 1) * 1000).frame())
        .collect();
    let out = joined(&frames);
    assert_eq!(out.len(), 1);
    let (segment, data) = segment_of(&out[0]);
    assert_eq!(
        (segment.seq, segment.len, segment.flags),
        (0xffff_f000, 10_000, ACK)
    );
    assert_eq!(data, piece(0, 10_000).data);
}

#[test]
fn a_pushed_segment_ends_it_and_pushes() {
    let mut second = piece(1000, 2000);
    second.flags |= PSH;
    let out = joined(&[
        piece(0, 1000).frame(),
        second.frame(),
        piece(2000, 3000).frame(),
    ]);
    assert_eq!(out.len(), 2);
    let (segment, data) = segment_of(&out[0]);
    assert_eq!((segment.flags, segment.len), (ACK | PSH, 2000));
    assert_eq!(data, piece(0, 2000).data);
    assert_eq!(out[1], piece(2000, 3000).frame());
}

#[test]
fn no_train_is_longer_than_a_packet_can_be() {
    let frames: Vec<_> = (0..100)
        .map(|n| piece(n * 1460, (n + 1) * 1460).frame())
        .collect();
    let out = joined(&frames);
    assert!(out.len() > 1);
    let data: Vec<u8> = out.iter().flat_map(|frame| segment_of(frame).1).collect();
    assert_eq!(data, piece(0, 146_000).data);
    assert!(out.iter().all(|frame| frame.len() <= Train::MOST));
}

#[test]
fn what_differs_or_is_damaged_is_delivered_as_it_came() {
    type Change = fn(&mut Forged);
    let changes: [Change; 9] = [
        |other| other.seq = other.seq.wrapping_add(1),
        |other| other.seq = other.seq.wrapping_sub(1),
        |other| other.ack += 1,
        |other| other.window += 1,
        |other| other.flags |= FIN,
        |other| other.src_port += 1,
        |other| other.urgent = 3,
        |other| other.options = vec![1, 1, 1, 1],
        |other| other.data.clear(),
    ];
    for change in changes {
        let mut other = piece(1000, 2000);
        change(&mut other);
        let frames = [piece(0, 1000).frame(), other.frame()];
        assert_eq!(joined(&frames), frames);
    }
    // The sender's hardware address, class of service, time to live, and the receiver's address; then a checksum.
    for at in [11, ETHERNET + 1, ETHERNET + 8, ETHERNET + 19, ETHERNET + 45] {
        let mut other = piece(1000, 2000).frame();
        other[at] ^= 4;
        if at < ETHERNET + 40 {
            crate::tests::wire::repair(&mut other);
        }
        let frames = [piece(0, 1000).frame(), other];
        assert_eq!(joined(&frames), frames);
    }
}

/// The first was looked at whether it is longer than the network carries; the others are not.
#[test]
fn nothing_longer_than_the_first_follows() {
    let frames = [piece(0, 1000).frame(), piece(1000, 2001).frame()];
    assert_eq!(joined(&frames), frames);
    assert_eq!(
        joined(&[piece(0, 1000).frame(), piece(1000, 2000).frame()]).len(),
        1
    );
}

#[test]
fn padding_and_small_segments_do_no_harm() {
    let mut padded = piece(3, 5).frame();
    padded.extend([0; 4]);
    let frames = [piece(0, 3).frame(), padded, piece(5, 1400).frame()];
    assert_eq!(joined(&frames), frames);
}

proptest! {
    #[test]
    fn a_stream_in_any_pieces_stays_the_stream(
        cuts in proptest::collection::vec((1usize..1460, 0u8..20), 1..120),
    ) {
        let (mut at, mut frames) = (0, Vec::new());
        for (len, kind) in cuts {
            let mut part = piece(at, at + len);
            match kind {
                0 => part.flags |= PSH,
                1 => part.options = vec![1; 12],
                2 => part.ack += 1,
                _ => {}
            }
            at += len;
            frames.push(part.frame());
        }
        let out = joined(&frames);
        let data: Vec<u8> = out.iter().flat_map(|frame| segment_of(frame).1).collect();
        prop_assert_eq!(data, piece(0, at).data);
        let mut next = 0xffff_f000u32;
        for frame in &out {
            let (segment, _) = segment_of(frame);
            prop_assert_eq!(segment.seq, next);
            next = segment.end();
        }
    }

    #[test]
    fn any_frames_are_looked_at_in_safety(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 14..100), 1..8)) {
        let all: usize = frames.iter().map(Vec::len).sum();
        let out = joined(&frames);
        prop_assert_eq!(out.iter().map(Vec::len).sum::<usize>(), all);
    }
}

#[test]
fn each_byte_of_the_headers_counts_but_those_that_may_differ() {
    let mut frame = [0u8; ETHERNET + 40 + 20];
    frame.iter_mut().zip(1..).for_each(|(byte, at)| *byte = at);
    // Length and identification of the packet, its checksum; number, flags and checksum of TCP.
    let may_v4 = [16, 17, 18, 19, 24, 25, 38, 39, 40, 41, 47, 50, 51];
    let may_v6 = [18, 19, 58, 59, 60, 61, 67, 70, 71];
    assert_eq!(differ_ipv4(&frame, &frame), Some(0));
    assert_eq!(differ_ipv6(&frame, &frame), Some(0));
    for at in 0..frame.len() {
        let mut other = frame;
        other[at] ^= 0x10;
        let differs = differ_ipv4(&frame, &other) != Some(0);
        assert_eq!(differs, at < IPV4 + 20 && !may_v4.contains(&at), "{at}");
        let differs = differ_ipv6(&frame, &other) != Some(0);
        assert_eq!(differs, !may_v6.contains(&at), "{at}");
    }
    assert_eq!(differ_ipv4(&frame, &frame[..IPV4 + 19]), None);
    assert_eq!(differ_ipv6(&frame[..IPV4 + 39], &frame), None);
}
