//! Drivers that lie, and stacks without one.

use super::*;
use crate::testing::Nic;
use ipc_proto::frame::ToStack;

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
        driver_says(|nic| nic.tell(&ToStack::Received { buffer, len: 60 }));
        driver_says(|nic| nic.tell(&ToStack::Transmitted { buffer }));
    }
    driver_says(|nic| {
        // One that it was given to receive into, as if it had been sent.
        let buffer = nic.empty[0];
        nic.tell(&ToStack::Transmitted { buffer });
    });
    driver_says(|nic| {
        let buffer = nic.empty[0];
        nic.tell(&ToStack::Received { buffer, len: 60 });
        nic.tell(&ToStack::Received { buffer, len: 60 });
    });
}

#[test]
fn a_driver_that_lies_about_lengths_is_detached() {
    for len in [0, 13, 2031, 2048, u16::MAX] {
        driver_says(|nic| {
            let buffer = nic.empty[0];
            nic.tell(&ToStack::Received { buffer, len });
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
