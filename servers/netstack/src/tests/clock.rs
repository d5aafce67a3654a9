//! A machine that was stopped for minutes, and clocks that go back.

use super::*;

/// The machine of both hosts stands still while time goes on.
fn stop(net: &mut Network, time: Duration) {
    net.now = net.now.after(time);
}

#[test]
fn a_machine_that_stood_still_loses_no_connection() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let mut pairs: Vec<_> = (0..10)
        .map(|_| connected(&mut net, &mut a, &mut b))
        .collect();
    let bytes = pattern(40_000);
    for (near, _) in &mut pairs {
        // Bytes under way when it stops: their acknowledgments come behind.
        assert_eq!(near.writer.write(&bytes).unwrap(), bytes.len());
        a.touch(near);
    }
    net.settle();
    stop(&mut net, SECOND * 300);
    for (near, far) in &mut pairs {
        let mut got = Vec::new();
        net.run_until(SECOND * 60, |_| {
            let mut chunk = [0; 40_000];
            let len = far.reader.read(&mut chunk).unwrap();
            got.extend_from_slice(&chunk[..len]);
            b.touch(far);
            got.len() >= bytes.len()
        });
        assert_eq!(near.status.load().error, None);
        assert!(got == bytes, "{} bytes", got.len());
    }
    // The driver that stood still with it is kept too.
    assert_eq!(net.hosts[0].stack.attachments(), 1);
}

#[test]
fn a_peer_that_is_gone_is_given_up_in_its_time_behind() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, _far) = connected(&mut net, &mut a, &mut b);
    net.set_driver(1, false);
    near.writer.write(b"hello").unwrap();
    a.touch(&near);
    net.run(SECOND * 60);
    stop(&mut net, SECOND * 300);
    net.run(SECOND * 119);
    assert_eq!(near.status.load().error, None);
    net.run(SECOND * 3);
    assert_eq!(near.status.load().error, Some(NetError::TimedOut));
}

#[test]
fn a_clock_that_goes_back_stops_nothing() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    net.run(SECOND * 400);
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    let now = net.now;
    for back in [1u64, 300] {
        let earlier = crate::Instant::from_nanos(now.nanos() - back * 1_000_000_000);
        for host in &mut net.hosts {
            host.stack.poll(earlier);
        }
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
}
