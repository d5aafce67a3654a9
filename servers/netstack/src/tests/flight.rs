//! Many bytes that go past the engine: what arrives is what was written, whatever happens to it on the way.

use super::{
    acks::accepted,
    direct::Victim,
    past::{Outcome, Step, converse_on},
    *,
};
use crate::{flow::Flow, testing::Faults};
use ipc_proto::frame::{Checksum, Offloads};
use proptest::prelude::*;
use std::vec;

/// Two hosts with buffers of 64 KiB for each connection, as much as the FIFOs have.
fn hosts(offloads: Offloads, seed: u64) -> Network {
    hosts_with(offloads, seed, 1 << 16)
}

/// With buffers of so many bytes.
fn hosts_with(offloads: Offloads, seed: u64, buffer: usize) -> Network {
    let mut net = Network::new(seed);
    net.offloads = offloads;
    net.buffers = crate::pools(offloads);
    for last in [1, 2] {
        net.add(Config {
            tcp_buffer: buffer,
            largest_tcp_buffer: buffer,
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
            assert!(
                flown as usize > bytes.len() * 9 / 10,
                "{card:?} {opener} {flown}"
            );
        }
    }
}

/// A peer tells its window in units, and may round it down: it has taken nothing back.
#[test]
fn a_window_in_units_grounds_nothing() {
    // Shifted by 7, segments of 1460 bytes.
    let (mut net, mut client, mut stream, mut peer) = accepted(&[2, 4, 5, 180, 1, 3, 3, 7]);
    peer.window = 100;
    peer.put(&mut net);
    stream.writer.write(&pattern(12_800)).unwrap();
    client.touch(&stream);
    let host = &mut net.hosts[1];
    while host.stack.poll(net.now).work_left {}
    host.nic.as_mut().unwrap().take();
    for left in [11_340, 9880, 5000, 0] {
        peer.ack = peer.ack.wrapping_add(aloft(&net) - left);
        peer.window = (left / 128) as u16;
        peer.put(&mut net);
        assert_eq!(aloft(&net), left);
    }
}

/// Bytes that are aloft at the second host.
fn aloft(net: &Network) -> u32 {
    let flows = net.hosts[1].stack.flows.iter();
    let aloft = flows.map(|(_, entry)| match &entry.flow {
        Flow::Tcp(tcp) => tcp.socket().aloft() as u32,
        _ => 0,
    });
    aloft.sum()
}

/// A client that is gone has said what is in its FIFO, on its way or not.
#[test]
fn what_a_client_leaves_behind_is_sent() {
    for card in CARDS {
        let mut net = hosts_with(card, 1, 1 << 18);
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        let (listener, local) = listen(&mut net, &mut b, address(2, 0), 8).unwrap();
        let (buffers, ends) = a.buffers(18);
        let opened_by = ask(&mut net, &mut a, |id| Request::TcpConnect {
            id,
            remote: local,
            local_port: 0,
            buffers,
        });
        let mut near = Socket::new(opened(opened_by).unwrap().0, ends);
        let (mut far, _) = accept(&mut net, &mut b, listener).unwrap();
        let bytes = pattern(200_000);
        assert_eq!(near.writer.write(&bytes).unwrap(), bytes.len());
        a.touch(&near);
        net.settle();
        assert!(net.hosts[0].stack.frames.flown > 0);
        net.hosts[0].stack.close_session(a.session);
        let mut got = Vec::new();
        net.run_until(SECOND * 20, |_| {
            let mut chunk = [0; 8192];
            let len = far.reader.read(&mut chunk).unwrap();
            got.extend_from_slice(&chunk[..len]);
            b.touch(&far);
            got.len() == bytes.len()
        });
        assert!(got == bytes, "{} bytes", got.len());
    }
}

/// A peer that goes on sending, and says each time that it still has nothing of what was lost, does not put off that it is sent again.
#[test]
fn a_peer_that_talks_hides_no_loss() {
    let mut victim = Victim::new(false);
    let mut peer = victim.right.clone();
    let waits = |victim: &mut Victim, peer: &mut forge::Forged| {
        peer.data = vec![7; 100];
        let nic = victim.net.hosts[1].nic.as_mut().unwrap();
        assert!(nic.put_with(&peer.frame(), Checksum::Valid));
        peer.seq = peer.seq.wrapping_add(100);
        victim.net.now = victim.net.now.after(Duration::from_millis(300));
        let host = &mut victim.net.hosts[1];
        while host.stack.poll(victim.net.now).work_left {}
        let frames = host.nic.as_mut().unwrap().take();
        host.stack.poll(victim.net.now);
        let segments = frames.iter().filter_map(|frame| forge::segment(frame));
        let sent = segments.filter(|it| it.len > 0).map(|it| it.seq);
        sent.collect::<Vec<u32>>()
    };
    waits(&mut victim, &mut peer);
    victim.waits(Duration::from_millis(20));
    victim.stream.writer.write(&pattern(10_000)).unwrap();
    victim.client.touch(&victim.stream);
    let sent = waits(&mut victim, &mut peer);
    assert_eq!(sent.first(), Some(&peer.ack));
    assert_eq!(victim.net.hosts[1].stack.frames.flown, 10_000);
    let again = (0..20).find(|_| waits(&mut victim, &mut peer).contains(&peer.ack));
    assert!(again.is_some_and(|round| round < 8), "{again:?}");
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![2 => 1usize..3000, 3 => 1usize..30_000, 3 => 1usize..70_000];
    let wait = prop_oneof![3 => Just(250u64), 4 => 0u64..3000, 1 => 0u64..3_000_000];
    prop_oneof![
        10 => (any::<bool>(), len).prop_map(|(who, len)| Step::Write(who, len)),
        12 => wait.prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::End),
        1 => any::<bool>().prop_map(Step::NoDelay),
    ]
}

fn is_whole(outcome: &Outcome) -> bool {
    // Of one whose last acknowledgment is lost again and again, the other side knows nothing any more at some time.
    let is_fine = |error| matches!(error, None | Some(NetError::ConnectionReset));
    let mut fates = outcome.fates.iter();
    (0..2).all(|who| outcome.read[who] == outcome.written[1 - who])
        && fates.all(|fate| fate.peer_closed && is_fine(fate.error))
}

/// Bytes that a host has sent more than once.
fn sent_again(log: &[(usize, Vec<u8>)], host: usize) -> u32 {
    let own = log.iter().filter(|(from, _)| *from == host);
    let segments = own.filter_map(|(_, bytes)| forge::segment(bytes));
    let (mut end, mut again) = (None, 0);
    for segment in segments.filter(|it| it.len > 0) {
        let before = *end.get_or_insert(segment.seq);
        again += before.wrapping_sub(segment.seq);
        end = Some(before.wrapping_add(
            segment.len as u32 - before.wrapping_sub(segment.seq).min(segment.len as u32),
        ));
    }
    again
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever grounds it: the engine knows what was sent.
    #[test]
    fn nothing_is_sent_twice_that_was_not_lost(
        steps in proptest::collection::vec(step(), 1..60),
        card in 0usize..2,
    ) {
        let outcome = converse_on(hosts(CARDS[card], 1), &steps, usize::MAX, Faults::default(), false);
        prop_assert!(is_whole(&outcome));
        // But what asks a shut window for room, or has crossed with the peer's end: a segment.
        let again = [0, 1].map(|host| sent_again(&outcome.log, host));
        prop_assert!(again.iter().all(|bytes| *bytes <= 1460), "{again:?} of {}", outcome.flown);
    }

    #[test]
    fn all_arrives_whatever_is_lost(
        steps in proptest::collection::vec(step(), 1..60),
        (loss, reorder, duplicate) in (0u64..100, 0u64..100, 0u64..100),
        (card, seed) in (0usize..2, 1u64..1000),
    ) {
        let faults = Faults { loss, reorder, duplicate };
        let outcome = converse_on(hosts(CARDS[card], seed), &steps, usize::MAX, faults, false);
        prop_assert!(is_whole(&outcome));
    }
}
