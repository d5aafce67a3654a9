//! Connections.

use super::*;
use crate::testing::Faults;
use ipc_proto::socket::SocketOption;

#[test]
fn bytes_arrive_in_both_directions() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    let bytes = pattern(1 << 20);
    let got = transfer(
        &mut net,
        (&mut a, &mut near),
        (&mut b, &mut far),
        &bytes,
        SECOND * 20,
    );
    assert!(got == bytes);
    let got = transfer(
        &mut net,
        (&mut b, &mut far),
        (&mut a, &mut near),
        &bytes,
        SECOND * 20,
    );
    assert!(got == bytes);
}

#[test]
fn bytes_arrive_over_a_bad_wire() {
    for seed in 1..6 {
        let mut net = pair(seed);
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
        net.faults = Faults {
            loss: 20,
            reorder: 50,
            duplicate: 20,
        };
        let bytes = pattern(300_000);
        let got = transfer(
            &mut net,
            (&mut a, &mut near),
            (&mut b, &mut far),
            &bytes,
            SECOND * 300,
        );
        assert!(got == bytes, "seed {seed}: {} bytes", got.len());
    }
}
