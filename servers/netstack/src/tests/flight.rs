//! Many bytes that go past the engine: what arrives is what was written, whatever happens to it on the way.

use super::*;
use crate::testing::Faults;
use ipc_proto::frame::Offloads;
use std::vec;

/// Two hosts with buffers of 64 KiB for each connection, as much as the FIFOs have.
fn hosts(offloads: Offloads, seed: u64) -> Network {
    let mut net = Network::new(seed);
    net.offloads = offloads;
    net.buffers = crate::pools(offloads);
    for last in [1, 2] {
        net.add(Config {
            tcp_buffer: 1 << 16,
            largest_tcp_buffer: 1 << 16,
            ..config(last)
        });
    }
    net.run(SECOND);
    net
}

const CARDS: [Offloads; 2] = [
    Offloads {
        transmit_checksum: false,
        receive_checksum: false,
        transmit_segments: false,
        receive_segments: false,
    },
    Offloads {
        transmit_checksum: true,
        receive_checksum: true,
        transmit_segments: true,
        receive_segments: true,
    },
];

fn flown(net: &Network) -> u64 {
    net.hosts.iter().map(|host| host.stack.frames.flown).sum()
}

/// From the side that opened the connection, and from the other one.
#[test]
fn nearly_all_goes_past_the_engine() {
    for card in CARDS {
        for opener in [false, true] {
            let mut net = hosts(card, 1);
            let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
            let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
            let bytes = pattern(1 << 21);
            let (from, to) = match opener {
                true => ((&mut a, &mut near), (&mut b, &mut far)),
                false => ((&mut b, &mut far), (&mut a, &mut near)),
            };
            let got = transfer(&mut net, from, to, &bytes, SECOND * 20);
            assert!(got == bytes);
            let flown = flown(&net);
            println!("{card:?} {opener} {flown}");
            assert!(
                flown as usize > bytes.len() * 9 / 10,
                "{card:?} {opener} {flown}"
            );
        }
    }
}
