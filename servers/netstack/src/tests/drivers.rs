//! Drivers that lie, and stacks without one.

use super::{wire::repair, *};
use crate::engine::FrameSink;
use crate::testing::Nic;
use core::sync::atomic::Ordering;
use ipc_proto::{
    channel::FRAME_CHANNEL,
    frame::{Checksum, Offloads, RING_SLOTS, Run, ToStack},
};

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
    let transmitted = |first, count| ToStack::Transmitted {
        buffers: Run { first, count },
    };
    for buffer in [511, 512, u16::MAX] {
        driver_says(|nic| nic.tell(&received(buffer, 60)));
        driver_says(|nic| nic.tell(&transmitted(buffer, 1)));
        driver_says(|nic| nic.tell(&transmitted(buffer, u16::MAX)));
    }
    driver_says(|nic| {
        // One that it was given to receive into, as if it had been sent.
        nic.tell(&transmitted(nic.empty[0], 1));
    });
    // None, and all.
    driver_says(|nic| nic.tell(&transmitted(300, 0)));
    driver_says(|nic| nic.tell(&transmitted(0, 512)));
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

/// A device that does all it can, with buffers for it.
fn segmenting(seed: u64, offloads: Offloads) -> Network {
    let mut net = Network::new(seed);
    net.offloads = offloads;
    net.buffers = crate::pools(offloads);
    net.log = Some(Vec::new());
    let large = |last| Config {
        tcp_buffer: 256 * 1024,
        ..config(last)
    };
    net.add(large(1));
    net.add(large(2));
    net.run(SECOND);
    net
}

const ALL: Offloads = Offloads {
    transmit_segments: true,
    receive_segments: true,
    ..CHECKSUMS
};

#[test]
fn segments_are_cut_and_joined_by_the_device() {
    for (number, offloads) in [
        ALL,
        Offloads {
            receive_segments: false,
            ..ALL
        },
        Offloads {
            transmit_segments: false,
            ..ALL
        },
    ]
    .into_iter()
    .enumerate()
    {
        let mut net = segmenting(number as u64, offloads);
        assert_eq!(net.hosts[0].nic.as_ref().unwrap().offloads, offloads);
        // Some are lost: what is sent again may be cut elsewhere.
        for loss in [0, 20] {
            let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
            let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
            net.faults.loss = loss;
            let bytes = pattern(1_000_000);
            let ends = ((&mut a, &mut near), (&mut b, &mut far));
            let got = transfer(&mut net, ends.0, ends.1, &bytes, SECOND * 400);
            assert!(got == bytes, "{offloads}");
            net.faults.loss = 0;
        }
        let log = net.log.take().unwrap();
        let longest = log.iter().map(|(_, frame)| frame.len()).max();
        assert_eq!(longest, Some(1514), "none on the wire is longer than that");
        let counters = net.hosts.iter().map(|host| host.stack.counters());
        let frames: Vec<_> = counters.map(|c| (c.tx_frames, c.rx_frames)).collect();
        let (sent, received) = (frames[0].0, frames[1].1);
        assert_eq!(
            sent < 1000,
            offloads.transmit_segments,
            "{sent} sent, {offloads}"
        );
        assert_eq!(
            received < 1000,
            offloads.receive_segments,
            "{received} received, {offloads}"
        );
    }
}

#[test]
fn a_pool_without_large_buffers_leaves_segments_to_the_stack() {
    let mut net = Network::new(1);
    net.offloads = ALL;
    net.add(config(1));
    let nic = net.hosts[0].nic.as_ref().unwrap();
    assert_eq!(nic.offloads, CHECKSUMS);
    net.buffers[1].large = 1;
    net.add(config(2));
    let nic = net.hosts[1].nic.as_ref().unwrap();
    let cut = Offloads {
        transmit_segments: true,
        ..CHECKSUMS
    };
    assert_eq!(nic.offloads, cut);
}

#[test]
fn packets_beyond_the_mtu_are_taken_only_if_they_may_be_joined_segments() {
    for (offloads, taken) in [(CHECKSUMS, 0), (ALL, 1900)] {
        let mut net = segmenting(1, offloads);
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
        near.writer.write(&pattern(950)).unwrap();
        a.touch(&near);
        net.hosts[0].stack.poll(net.now);
        let mut joined = net.hosts[0].nic.as_mut().unwrap().take().pop().unwrap();
        joined[47] &= !8;
        repair(&mut joined);
        // The next bytes, which are the same.
        let mut second = joined.clone();
        let seq = u32::from_be_bytes([38, 39, 40, 41].map(|at| second[at]));
        second[38..42].copy_from_slice(&(seq.wrapping_add(950)).to_be_bytes());
        repair(&mut second);
        assert!(crate::testing::offload::join(&mut joined, &second));
        assert!(joined.len() > 1900);
        let mut opening = joined.clone();
        opening[47] |= 2;
        let malformed = net.hosts[1].stack.counters().rx_malformed;
        for frame in [&opening, &joined] {
            let nic = net.hosts[1].nic.as_mut().unwrap();
            nic.put_with(frame, Checksum::Partial);
            net.hosts[1].stack.poll(net.now);
        }
        let mut got = [0; 3000];
        assert_eq!(far.reader.read(&mut got).unwrap(), taken);
        let refused = net.hosts[1].stack.counters().rx_malformed - malformed;
        assert_eq!(refused, if taken > 0 { 1 } else { 2 });
    }
}

#[test]
fn a_driver_that_lies_about_large_frames_is_detached() {
    for (len, is_lie) in [(67_566, false), (67_567, true), (u32::MAX, true)] {
        let mut net = segmenting(1, ALL);
        let nic = net.hosts[0].nic.as_mut().unwrap();
        let buffer = nic.empty[0];
        nic.tell(&received(buffer, len));
        net.hosts[0].stack.poll(net.now);
        assert_eq!(net.hosts[0].stack.has_driver(), !is_lie, "{len}");
    }
}

/// It breaks the ring that the stack writes, and never rings again.
#[test]
fn a_driver_that_breaks_a_ring_and_sleeps_is_detached() {
    let mut net = pair(1);
    net.run(SECOND);
    let (now, host) = (net.now, &mut net.hosts[1]);
    let (stack, nic) = (&mut host.stack, host.nic.as_mut().unwrap());
    let frame = [2; 60];
    for _ in 0..RING_SLOTS - 100 {
        stack.frames.send(&frame);
        stack.heard(u64::MAX);
        stack.poll(now);
        nic.take();
    }
    stack.poll(now);
    assert!(stack.has_driver());
    // It claims to have read more than there is. The stack looks when the ring seems full.
    let head = FRAME_CHANNEL.client().head;
    let nonsense = nic.memory.store(head, 0x4000_0000, Ordering::Relaxed);
    nonsense.unwrap();
    for _ in 0..200 {
        stack.frames.send(&frame);
    }
    stack.frames.flush();
    assert!(stack.has_driver());
    // As at the end of a pass.
    for _ in 0..4 {
        stack.prepare_sleep();
        stack.heard(0);
        stack.poll(now);
    }
    assert!(!stack.has_driver());
}
