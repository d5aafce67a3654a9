//! Sums against a plain reckoning, and what counts as right.

use super::*;
use crate::{classify, testing::offload, tests::wire::repair};
use proptest::prelude::*;
use std::vec::Vec;

/// A frame with TCP or UDP, over IPv4 (with so many words of options) or IPv6.
fn frame(is_v4: bool, is_tcp: bool, options: usize, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
    let protocol = if is_tcp { TCP } else { UDP };
    let header = if is_tcp { 20 } else { 8 };
    let len = (header + data.len()) as u16;
    let [high, low] = len.to_be_bytes();
    if is_v4 {
        let [th, tl] = (len + 20 + 4 * options as u16).to_be_bytes();
        bytes.extend([
            8,
            0,
            0x45 + options as u8,
            0,
            th,
            tl,
            0,
            0,
            0x40,
            0,
            64,
            protocol,
            0,
            0,
        ]);
        bytes.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        bytes.extend(core::iter::repeat_n(1, 4 * options));
    } else {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, high, low, protocol, 64]);
        bytes.extend(core::iter::repeat_n(0xfd, 32));
    }
    bytes.extend([0x30, 0x39, 0, 7]);
    if is_tcp {
        bytes.extend([1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    } else {
        bytes.extend([high, low, 0, 0]);
    }
    bytes.extend_from_slice(data);
    repair(&mut bytes);
    bytes
}

fn intact(frame: &[u8], vouches: bool) -> bool {
    match classify::frame(frame) {
        classify::Frame::Ip(packet) => is_intact(&packet, vouches),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn checksums_are_those_of_a_plain_reckoning(
        is_v4: bool, is_tcp: bool, options in 0..10usize, data: Vec<u8>, garbage: [u8; 2],
    ) {
        let mut bytes = frame(is_v4, is_tcp, options, &data);
        prop_assert!(offload::is_right(&bytes) && intact(&bytes, false));
        // Whatever stands there before.
        let unfinished = Unfinished::find(&bytes).unwrap();
        let at = unfinished.place();
        let right = [bytes[at], bytes[at + 1]];
        bytes[at..at + 2].copy_from_slice(&garbage);
        let checksum = unfinished.checksum(&bytes);
        prop_assert_eq!(checksum, if right == [0; 2] && !is_tcp { [0xff; 2] } else { right });
        // A device gets the same out of what it is given.
        bytes[at..at + 2].copy_from_slice(&unfinished.pseudo());
        let wanted = ipc_proto::frame::Offload::Checksum {
            start: unfinished.start,
            offset: unfinished.offset,
        };
        let sent = offload::perform(bytes, wanted).unwrap();
        prop_assert!(sent.len() == 1 && offload::is_right(&sent[0]) && intact(&sent[0], false));
    }

    #[test]
    fn a_changed_byte_is_noticed(
        is_v4: bool, is_tcp: bool, data: Vec<u8>, place: prop::sample::Index, change in 1..=255u8,
    ) {
        let mut bytes = frame(is_v4, is_tcp, 0, &data);
        // Behind the ports: what says where a packet goes changes what it is.
        let start = if is_v4 { 34 } else { 54 } + if is_tcp { 14 } else { 6 };
        let at = start + place.index(bytes.len() - start);
        bytes[at] ^= change;
        // None at all, and a sum of all ones or zeros, are the same number.
        prop_assume!(is_tcp || be16(&bytes, start) != Some(0));
        prop_assert!(!intact(&bytes, false));
        prop_assert!(intact(&bytes, true), "the device has seen it");
    }

    #[test]
    fn any_frame_is_looked_at_without_trouble(bytes: Vec<u8>) {
        if let Some(unfinished) = Unfinished::find(&bytes) {
            prop_assert!(unfinished.place() + 2 <= bytes.len());
            unfinished.checksum(&bytes);
        }
    }
}

#[test]
fn nobody_vouches_for_a_header() {
    for at in [24, 22] {
        let mut bytes = frame(true, true, 0, b"data");
        bytes[at] ^= 1;
        assert!(!intact(&bytes, false) && !intact(&bytes, true));
    }
}

#[test]
fn parts_and_other_protocols_have_nothing_to_fill_in() {
    let mut part = frame(true, false, 0, b"data");
    part[20] |= 0x20;
    assert_eq!(Unfinished::find(&part), None);
    let mut other = frame(false, false, 0, b"data");
    other[20] = 58;
    assert_eq!(Unfinished::find(&other), None);
    assert_eq!(
        Unfinished::find(b"\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x01\x08\x06"),
        None
    );
    // No room for the checksum.
    let short = frame(true, true, 0, b"");
    assert_eq!(Unfinished::find(&short[..51]), None);
}
