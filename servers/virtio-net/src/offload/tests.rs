//! Which headers are made, and which are believed.

use super::*;
use crate::device::EVERYTHING;
use proptest::prelude::*;

const NOTHING: Offloads = Offloads {
    transmit_checksum: false,
    receive_checksum: false,
    transmit_segments: false,
    receive_segments: false,
};
const CHECKSUMS: Offloads = Offloads {
    transmit_checksum: true,
    receive_checksum: true,
    ..NOTHING
};

fn segment(start: u8, offset: u8, header: u8, size: u16) -> Offload {
    Offload::Segment {
        start,
        offset,
        header,
        size,
    }
}

#[test]
fn a_complete_frame_has_a_header_of_zeros() {
    for agreed in [NOTHING, CHECKSUMS, EVERYTHING] {
        assert_eq!(header(Offload::Nothing, 1514, agreed), Some([0; 12]));
        // One that no wire takes has to be cut.
        assert_eq!(header(Offload::Nothing, MAX_FRAME + 1, agreed), None);
    }
}

#[test]
fn a_checksum_is_asked_for_as_the_standard_says() {
    let asked =
        |start, offset, len, agreed| header(Offload::Checksum { start, offset }, len, agreed);
    let made = asked(34, 16, 60, CHECKSUMS);
    assert_eq!(made, Some([1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]));
    assert_eq!(asked(34, 16, 60, NOTHING), None, "not agreed on");
    assert_eq!(asked(13, 16, 60, CHECKSUMS), None, "in the Ethernet header");
    assert_eq!(asked(34, 16, 52, CHECKSUMS), made);
    assert_eq!(asked(34, 16, 51, CHECKSUMS), None, "beyond the frame");
    assert_eq!(
        asked(255, 255, 512, CHECKSUMS).map(|bytes| bytes[6..10].to_vec()),
        Some([255, 0, 255, 0].to_vec())
    );
    assert_eq!(asked(255, 255, 511, CHECKSUMS), None);
    assert_eq!(
        asked(34, 16, MAX_FRAME + 1, EVERYTHING),
        None,
        "longer than a wire takes"
    );
}

#[test]
fn segments_are_asked_for_as_the_standard_says() {
    let made = header(segment(34, 16, 54, 1460), 60_000, EVERYTHING);
    assert_eq!(made, Some([1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0]));
    for (what, offload, len, agreed) in [
        (
            "not agreed on",
            segment(34, 16, 54, 1460),
            60_000,
            CHECKSUMS,
        ),
        (
            "a flood",
            segment(34, 16, 54, MIN_SEGMENT - 1),
            60_000,
            EVERYTHING,
        ),
        ("no data", segment(34, 16, 54, 1460), 54, EVERYTHING),
        (
            "half a TCP header",
            segment(34, 16, 53, 1460),
            60_000,
            EVERYTHING,
        ),
        (
            "a checksum in the data",
            segment(34, 19, 54, 1460),
            60_000,
            EVERYTHING,
        ),
        (
            "in the Ethernet header",
            segment(13, 16, 54, 1460),
            60_000,
            EVERYTHING,
        ),
        (
            "headers beyond the frame",
            segment(34, 16, 255, 1460),
            200,
            EVERYTHING,
        ),
    ] {
        assert_eq!(header(offload, len, agreed), None, "{what}");
    }
}

#[test]
fn a_device_is_believed_what_was_agreed_on() {
    let says = |flags, gso, size: u16, start: u16, offset: u16, len, agreed| {
        let ([s0, s1], [a0, a1], [o0, o1]) = (
            size.to_le_bytes(),
            start.to_le_bytes(),
            offset.to_le_bytes(),
        );
        // The length of headers is nothing to rely on.
        checksum(
            [flags, gso, 0xff, 0xff, s0, s1, a0, a1, o0, o1, 1, 0],
            len,
            agreed,
        )
    };
    use Checksum::{Partial, Unknown, Valid};
    for (flags, gso, size, start, offset, len, agreed, expected) in [
        (0, 0, 0, 0, 0, 60, NOTHING, Some(Unknown)),
        // Said without having been asked.
        (1, 1, 1, 1, 1, 60, NOTHING, Some(Unknown)),
        (2, 0, 0, 0, 0, 60, NOTHING, Some(Unknown)),
        (0, 0, 0, 0, 0, 60, CHECKSUMS, Some(Unknown)),
        (2, 0, 0, 0, 0, 60, CHECKSUMS, Some(Valid)),
        (1, 0, 0, 34, 16, 60, CHECKSUMS, Some(Partial)),
        (3, 0, 0, 34, 16, 60, CHECKSUMS, Some(Partial)),
        // Flags that are not known are ignored.
        (0xfe, 0, 0, 0, 0, 60, CHECKSUMS, Some(Valid)),
        // Outside of the frame, or in its Ethernet header.
        (1, 0, 0, 34, 16, 51, CHECKSUMS, None),
        (1, 0, 0, 13, 16, 60, CHECKSUMS, None),
        (1, 0, 0, 0xffff, 0xffff, 60, CHECKSUMS, None),
        // Joined segments, where they may be and where not.
        (1, 1, 1448, 34, 16, 60_000, EVERYTHING, Some(Partial)),
        (1, 4, 1428, 54, 16, 65_549, EVERYTHING, Some(Partial)),
        (1, 1, 1448, 34, 16, 1514, CHECKSUMS, None),
        (1, 1, 0, 34, 16, 60_000, EVERYTHING, None),
        (2, 1, 1448, 34, 16, 60_000, EVERYTHING, None),
        (0, 1, 1448, 34, 16, 60_000, EVERYTHING, None),
        // UDP, congestion notification, and what there is not.
        (1, 3, 1448, 34, 6, 60_000, EVERYTHING, None),
        (1, 5, 1448, 34, 6, 60_000, EVERYTHING, None),
        (1, 0x81, 1448, 34, 16, 60_000, EVERYTHING, None),
        (1, 2, 1448, 34, 16, 60_000, EVERYTHING, None),
        // In one piece, and longer than any wire takes.
        (2, 0, 0, 0, 0, 2031, EVERYTHING, None),
        (2, 0, 0, 0, 0, 2030, EVERYTHING, Some(Valid)),
    ] {
        let got = says(flags, gso, size, start, offset, len, agreed);
        assert_eq!(got, expected, "{flags} {gso} {size} {start} {offset} {len}");
    }
}

proptest! {
    #[test]
    fn any_header_is_looked_at_without_trouble(bytes: [u8; 12], len in 0..70_000usize, agreed: [bool; 4]) {
        let [transmit_checksum, receive_checksum, transmit_segments, receive_segments] = agreed;
        let agreed = Offloads { transmit_checksum, receive_checksum, transmit_segments, receive_segments };
        let agreed = agreed.and(EVERYTHING);
        let said = checksum(bytes, len, agreed);
        prop_assert!(agreed.receive_checksum || !matches!(said, Some(Checksum::Valid | Checksum::Partial)));
        prop_assert!(said.is_none() || len <= MAX_FRAME || agreed.receive_segments);
        let [a, b, c, d, e, ..] = bytes;
        for offload in [Offload::Checksum { start: a, offset: b }, segment(a, b, c, u16::from_le_bytes([d, e]))] {
            if let Some(made) = header(offload, len, agreed) {
                prop_assert!(usize::from(made[6]) + usize::from(made[8]) + 2 <= len);
                prop_assert!(usize::from(made[2]) < len);
            }
        }
    }
}
