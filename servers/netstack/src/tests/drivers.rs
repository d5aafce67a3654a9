//! Drivers that lie, and stacks without one.

use super::*;
use crate::testing::Nic;
use ipc_proto::frame::{Checksum, Offloads, ToStack};

fn received(buffer: u16, len: u32) -> ToStack {
    ToStack::Received {
        buffer,
        len,
        checksum: Checksum::Unknown,
    }
}

/// A stack with a driver that says `message`, which must cost it the attachment.
fn driver_says(lie: impl Fn(&mut Nic)) {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    lie(net.hosts[0].nic.as_mut().unwrap());
    net.hosts[0].stack.poll(net.now);
    assert!(!net.hosts[0].stack.has_driver());
    assert_eq!(net.hosts[0].stack.counters().driver_violations, 1);
    // With the next driver everything goes on.
    net.set_driver(0, true);
    let bytes = pattern(10_000);
    let got = transfer(
        &mut net,
        (&mut a, &mut near),
        (&mut b, &mut far),
        &bytes,
        SECOND * 10,
    );
    assert!(got == bytes);
}

#[test]
fn a_driver_that_names_buffers_it_does_not_have_is_detached() {
    for buffer in [511, 512, u16::MAX] {
        driver_says(|nic| nic.tell(&received(buffer, 60)));
        driver_says(|nic| nic.tell(&ToStack::Transmitted { buffer }));
    }
    driver_says(|nic| {
        // One that it was given to receive into, as if it had been sent.
        let buffer = nic.empty[0];
        nic.tell(&ToStack::Transmitted { buffer });
    });
    driver_says(|nic| {
        let buffer = nic.empty[0];
        nic.tell(&received(buffer, 60));
        nic.tell(&received(buffer, 60));
    });
}

#[test]
fn a_driver_that_lies_about_lengths_is_detached() {
    for len in [0, 13, 2031, 2048, 65_535, 65_549, 1 << 16, u32::MAX] {
        driver_says(|nic| {
            let buffer = nic.empty[0];
            nic.tell(&received(buffer, len));
        });
    }
}

#[test]
fn without_a_driver_the_stack_sleeps() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, _far) = connected(&mut net, &mut a, &mut b);
    net.set_driver(0, false);
    near.writer.write(b"waits").unwrap();
    a.touch(&near);
    net.settle();
    let mut passes = 0;
    let end = net.now.after(SECOND * 60);
    while net.now < end {
        let next = net.hosts[0].stack.poll(net.now);
        passes += 1;
        net.now = next.deadline.unwrap_or(end).min(end);
    }
    assert!(passes < 100, "{passes}");
}

#[test]
fn an_idle_stack_sleeps() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let _sockets = connected(&mut net, &mut a, &mut b);
    net.run(SECOND * 30);
    let mut passes = 0;
    let end = net.now.after(SECOND * 600);
    while net.now < end {
        let next = net.hosts[0].stack.poll(net.now);
        passes += 1;
        net.now = next.deadline.unwrap_or(end).min(end);
    }
    assert!(passes < 100, "{passes}");
    assert!(net.hosts[0].stack.prepare_sleep());
}

#[test]
fn a_driver_that_completes_nothing_is_detached() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, _far) = connected(&mut net, &mut a, &mut b);
    net.hosts[0].nic.as_mut().unwrap().withholds = true;
    near.writer.write(&pattern(50_000)).unwrap();
    a.touch(&near);
    net.run(SECOND * 4);
    assert!(net.hosts[0].stack.has_driver());
    net.run(SECOND * 12);
    assert!(!net.hosts[0].stack.has_driver());
}

#[test]
fn a_link_that_goes_up_and_down_without_end_takes_no_memory() {
    let mut net = pair(1);
    let nic = net.hosts[0].nic.as_mut().unwrap();
    // Down in the end: what is to be announced waits for the link.
    for up in [false, true].repeat(50).into_iter().chain([false]) {
        nic.tell(&ToStack::Link { up });
    }
    net.settle();
    net.hosts[0].stack.check_invariants();
}

/// What a device can do with checksums.
const CHECKSUMS: Offloads = Offloads {
    transmit_checksum: true,
    receive_checksum: true,
    transmit_segments: false,
    receive_segments: false,
};

#[test]
fn checksums_are_the_devices_work_where_it_can_do_it() {
    for number in 0..4 {
        let mut net = Network::new(number);
        net.offloads = Offloads {
            transmit_checksum: number & 1 != 0,
            receive_checksum: number & 2 != 0,
            ..CHECKSUMS
        };
        net.log = Some(Vec::new());
        net.add(config(1));
        net.add(config(2));
        net.run(SECOND);
        for host in &net.hosts {
            assert_eq!(host.nic.as_ref().unwrap().offloads, net.offloads);
        }
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
        let bytes = pattern(100_000);
        let ends = ((&mut a, &mut near), (&mut b, &mut far));
        let got = transfer(&mut net, ends.0, ends.1, &bytes, SECOND * 10);
        assert!(got == bytes);
        // Whoever filled them in.
        let mut seen = 0;
        for (_, frame) in net.log.iter().flatten() {
            if frame[12..14] == [8, 0] && matches!(frame[23], 6 | 17) {
                assert!(crate::testing::offload::is_right(frame));
                seen += 1;
            }
        }
        assert!(seen > 60, "{seen}");
    }
}

#[test]
fn a_driver_that_vouches_unasked_is_detached() {
    for checksum in [Checksum::Valid, Checksum::Partial] {
        driver_says(|nic| {
            let buffer = nic.empty[0];
            nic.tell(&ToStack::Received {
                buffer,
                len: 60,
                checksum,
            });
        });
    }
}

#[test]
fn an_unfinished_checksum_is_taken_if_the_device_says_so_and_only_then() {
    let mut net = Network::new(1);
    net.offloads = CHECKSUMS;
    net.log = Some(Vec::new());
    net.add(config(1));
    net.add(config(2));
    net.run(SECOND);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    net.log = Some(Vec::new());
    near.writer.write(b"hello").unwrap();
    a.touch(&near);
    net.run(SECOND);
    let log = net.log.take().unwrap();
    let (_, segment) = log
        .iter()
        .find(|(from, frame)| *from == 0 && frame.ends_with(b"hello"))
        .unwrap();
    let mut got = [0; 16];
    assert_eq!(far.reader.read(&mut got).unwrap(), 5);
    // The next five bytes, with no right checksum.
    let mut next = segment.clone();
    let seq = u32::from_be_bytes([38, 39, 40, 41].map(|at| next[at])).wrapping_add(5);
    next[38..42].copy_from_slice(&seq.to_be_bytes());
    let malformed = net.hosts[1].stack.counters().rx_malformed;
    for (checksum, taken) in [(Checksum::Unknown, 0), (Checksum::Partial, 5)] {
        net.hosts[1].nic.as_mut().unwrap().put_with(&next, checksum);
        net.hosts[1].stack.poll(net.now);
        assert_eq!(far.reader.read(&mut got).unwrap(), taken, "{checksum:?}");
    }
    assert_eq!(net.hosts[1].stack.counters().rx_malformed, malformed + 1);
}
