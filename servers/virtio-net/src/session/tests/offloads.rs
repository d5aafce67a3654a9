//! What stack and device agree on: carried both ways, and held against both.

use super::*;
use crate::device::EVERYTHING;

const CHECKSUMS: Offloads = Offloads {
    transmit_checksum: true,
    receive_checksum: true,
    transmit_segments: false,
    receive_segments: false,
};
/// Eight small buffers, numbered first, and four large ones.
const POOL: Pool = Pool { small: 8, large: 4 };

fn rig(offloads: Offloads) -> Rig {
    Rig::offloading([POOL; 2], offloads)
}

const CHECKSUM: Offload = Offload::Checksum {
    start: 34,
    offset: 16,
};
const SEGMENT: Offload = Offload::Segment {
    start: 34,
    offset: 16,
    header: 54,
    size: 1460,
};

#[test]
fn just_what_the_stack_chose_is_negotiated() {
    const BASE: u64 = 1 << 3 | 1 << 5 | 1 << 16 | EVENT_IDX | 1 << 32 | 1 << 33;
    for (chosen, bits) in [
        (Offloads::default(), 0),
        (CHECKSUMS, 0b11),
        (EVERYTHING, 0b11 | 1 << 7 | 1 << 8 | 1 << 11),
    ] {
        let rig = rig(chosen);
        assert_eq!(rig.device.0.borrow().accepted, BASE | bits);
    }
}

#[test]
fn what_the_stack_asks_for_goes_in_front_of_the_frame() {
    let mut rig = rig(EVERYTHING);
    let (short, long) = (frame(1, 1514), frame(2, 65_000));
    rig.send_with(0, &short, CHECKSUM);
    rig.send_with(8, &long, SEGMENT);
    rig.send(1, &short);
    rig.pass().unwrap();
    let sent = rig.device.transmit();
    let headers = [
        [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0],
        [1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0],
        [0; 12],
    ];
    let contents = [&short, &long, &short];
    assert_eq!(sent.len(), 3);
    for ((sent, header), content) in sent.iter().zip(headers).zip(contents) {
        assert_eq!(sent[..12], header);
        assert_eq!(sent[12..], **content);
    }
    // Nothing of an earlier header is left.
    rig.pass().unwrap();
    rig.send(2, &short);
    rig.send(3, &short);
    rig.send(4, &short);
    rig.pass().unwrap();
    for sent in rig.device.transmit() {
        assert_eq!(sent[..12], [0; 12]);
    }
}

#[test]
fn a_stack_that_asks_for_what_was_not_agreed_on_loses_its_channel() {
    for (chosen, offload) in [
        (Offloads::default(), CHECKSUM),
        (CHECKSUMS, SEGMENT),
        (
            EVERYTHING,
            Offload::Checksum {
                start: 34,
                offset: 255,
            },
        ),
    ] {
        let mut rig = rig(chosen);
        rig.send_with(3, &frame(1, 100), offload);
        assert_eq!(rig.stack_error(), StackError::BadOffload { buffer: 3 });
        assert!(rig.device.transmit().is_empty());
    }
}

#[test]
fn a_frame_is_no_longer_than_its_buffer_nor_uncut_longer_than_a_wire_takes() {
    let mut short = rig(EVERYTHING);
    let len = 2031;
    short.give(ToDriver::Transmit {
        buffer: 7,
        len,
        offload: SEGMENT,
    });
    assert_eq!(
        short.stack_error(),
        StackError::BadLength { buffer: 7, len }
    );
    drop(short);
    let mut long = rig(EVERYTHING);
    long.give(ToDriver::Transmit {
        buffer: 8,
        len,
        offload: CHECKSUM,
    });
    assert_eq!(long.stack_error(), StackError::BadOffload { buffer: 8 });
    drop(long);
    // As long as a message can say.
    let mut full = rig(EVERYTHING);
    full.send_with(11, &frame(3, 65_535), SEGMENT);
    full.pass().unwrap();
    assert_eq!(full.device.transmit()[0].len(), 12 + 65_535);
}

#[test]
fn what_the_device_says_of_checksums_reaches_the_stack() {
    let mut rig = rig(CHECKSUMS);
    rig.give_receive(0..3);
    rig.pass().unwrap();
    let bytes = frame(1, 100);
    rig.device.receive(&bytes).unwrap();
    rig.device
        .receive_with([2, 0, 0, 0, 0, 0, 0, 0, 0, 0], &bytes)
        .unwrap();
    rig.device
        .receive_with([1, 0, 0, 0, 0, 0, 34, 0, 16, 0], &bytes)
        .unwrap();
    rig.pass().unwrap();
    let said = [Checksum::Unknown, Checksum::Valid, Checksum::Partial];
    let expected: Vec<_> = (0..3)
        .zip(said)
        .map(|(buffer, checksum)| ToStack::Received {
            buffer,
            len: 100,
            checksum,
        })
        .collect();
    assert_eq!(rig.told(), expected);
}

#[test]
fn large_packets_arrive_in_large_buffers() {
    let mut rig = rig(EVERYTHING);
    rig.give_receive(8..12);
    rig.pass().unwrap();
    // The largest that IPv4 has.
    let bytes = frame(1, 65_549);
    let buffer = rig
        .device
        .receive_with([1, 1, 0, 0, 0xa8, 5, 34, 0, 16, 0], &bytes)
        .unwrap();
    rig.pass().unwrap();
    let expected = ToStack::Received {
        buffer,
        len: 65_549,
        checksum: Checksum::Partial,
    };
    assert_eq!(rig.told(), [expected]);
    let mut content = Box::<[u8]>::from(std::vec![0; bytes.len()]);
    rig.pool.read(rig.place(buffer), &mut content).unwrap();
    assert_eq!(content, bytes);
}

#[test]
fn frames_of_which_the_device_says_what_can_not_be_are_dropped_and_counted() {
    let mut rig = rig(CHECKSUMS);
    rig.give_receive(0..1);
    rig.pass().unwrap();
    for header in [
        [1, 0, 0, 0, 0, 0, 99, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        // Not agreed on, and not known.
        [1, 1, 0, 0, 0xa8, 5, 34, 0, 16, 0],
        [0, 9, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        rig.device.receive_with(header, &frame(1, 100)).unwrap();
        rig.pass().unwrap();
    }
    assert_eq!(rig.told(), []);
    assert_eq!(rig.session.counters().odd, 5);
    // The buffer is used again.
    rig.device.receive(&frame(1, 100)).unwrap();
    rig.pass().unwrap();
    assert_eq!(rig.told(), [received(0, 100)]);
}

#[test]
fn a_stack_short_of_large_buffers_gets_them_back_by_interrupt() {
    let receive = Pool { small: 0, large: 4 };
    let send = Pool {
        small: 300,
        large: 4,
    };
    let mut rig = Rig::offloading([receive, send], EVERYTHING);
    let long = frame(1, 60_000);
    rig.send_with(300, &long, SEGMENT);
    rig.pass().unwrap();
    assert!(rig.session.prepare_sleep(0).unwrap().is_some());
    assert!(!rig.device.wants_interrupt(1), "there are others");
    rig.send_with(301, &long, SEGMENT);
    rig.pass().unwrap();
    assert!(rig.session.prepare_sleep(0).unwrap().is_some());
    assert!(rig.device.wants_interrupt(1));
    rig.device.transmit();
    rig.pass().unwrap();
    assert_eq!(rig.told(), [transmitted(300, 2)]);
    assert!(rig.session.prepare_sleep(0).unwrap().is_some());
    assert!(!rig.device.wants_interrupt(1), "it has all again");
}
