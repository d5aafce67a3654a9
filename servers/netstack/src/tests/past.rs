//! Small segments that go past the engine: clients, peers and the wire must find the same as if they had not.

use super::{direct::Victim, *};
use crate::testing::Faults;
use ipc_proto::{fifo::Status, frame::Checksum, socket::SocketOption};
use proptest::prelude::*;
use std::vec;

/// Below this, the engine's congestion window does not count.
const CONGESTED: usize = 2000;

/// What one of the two does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The first, or the second, writes.
    Write(bool, usize),
    /// Everything is read, and so many microseconds pass.
    Wait(u64),
    /// One ends its direction.
    End(bool),
    /// One sends small segments at once from now on.
    NoDelay(bool),
    /// Nothing is lost any more.
    Calm,
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![6 => 1usize..1500, 1 => 1usize..6000];
    let wait = prop_oneof![3 => Just(250u64), 2 => 0u64..30_000, 1 => 0u64..3_000_000];
    prop_oneof![
        8 => (any::<bool>(), len).prop_map(|(who, len)| Step::Write(who, len)),
        12 => wait.prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::End),
        1 => any::<bool>().prop_map(Step::NoDelay),
    ]
}

/// What came of a conversation.
#[derive(PartialEq)]
pub(super) struct Outcome {
    /// What each has read.
    pub(super) read: [Vec<u8>; 2],
    /// What each has written.
    pub(super) written: [Vec<u8>; 2],
    /// All that was on the wire.
    pub(super) log: Vec<(usize, Vec<u8>)>,
    pub(super) past: u64,
    /// Bytes that were sent from the clients' FIFOs.
    pub(super) flown: u64,
    pub(super) fates: [Status; 2],
}

/// Bytes that a host has written and that were not acknowledged.
fn under_way(net: &Network, host: usize, socket: &mut Socket) -> usize {
    let mut flows = net.hosts[host].stack.flows.iter();
    let sent = flows.find_map(|(_, entry)| match &entry.flow {
        crate::flow::Flow::Tcp(tcp) => Some(tcp.socket().unacknowledged()),
        _ => None,
    });
    let writer = &mut socket.writer;
    sent.unwrap_or(0) + writer.capacity() - writer.free().unwrap()
}

/// With at most so many bytes under way.
fn converse(steps: &[Step], most: usize, faults: Faults, seed: u64, nothing_past: bool) -> Outcome {
    converse_on(pair(seed), steps, most, faults, nothing_past)
}

/// On these hosts.
pub(super) fn converse_on(
    mut net: Network,
    steps: &[Step],
    most: usize,
    faults: Faults,
    nothing_past: bool,
) -> Outcome {
    for host in &mut net.hosts {
        host.stack.frames.nothing_past = nothing_past;
    }
    net.log = Some(Vec::new());
    let mut clients = [net.hosts[0].client(1), net.hosts[1].client(2)];
    let [a, b] = &mut clients;
    let (near, far) = connected(&mut net, a, b);
    let mut sockets = [near, far];
    let mut ended = [false; 2];
    let (mut read, mut written) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    net.faults = faults;
    let mut all = steps.to_vec();
    // Whatever was lost until then: at last all comes.
    let last = [Step::Wait(100_000), Step::Calm, Step::Wait(1_000_000_000)];
    all.extend([Step::End(false), Step::End(true)]);
    all.extend(last);
    for step in all {
        match step {
            Step::Write(who, len) if !ended[usize::from(who)] => {
                let who = usize::from(who);
                if under_way(&net, who, &mut sockets[who]) + len > most {
                    continue;
                }
                let bytes = pattern(written[who].len() + len).split_off(written[who].len());
                let len = sockets[who].writer.write(&bytes).unwrap();
                written[who].extend(&bytes[..len]);
                clients[who].touch(&sockets[who]);
            }
            Step::Write(..) => {}
            Step::Calm => net.faults = Faults::default(),
            Step::End(who) => {
                let who = usize::from(who);
                let socket = sockets[who].handle;
                let id = clients[who].id();
                if !std::mem::replace(&mut ended[who], true) {
                    clients[who].send(&Request::Shutdown { id, socket });
                }
            }
            Step::NoDelay(who) => {
                let who = usize::from(who);
                let (id, socket) = (clients[who].id(), sockets[who].handle);
                let option = SocketOption::NoDelay(true);
                clients[who].send(&Request::SetOption { id, socket, option });
            }
            Step::Wait(micros) => {
                // Not just when something is due: what comes first then is no matter.
                let limit = net.now.after(Duration::from_nanos(micros * 1000 + 137));
                loop {
                    net.settle();
                    for who in 0..2 {
                        let mut chunk = vec![0; 8192];
                        clients[who].receive();
                        let len = sockets[who].reader.read(&mut chunk).unwrap();
                        read[who].extend(&chunk[..len]);
                        if len > 0 && sockets[who].reader.tells_room() {
                            clients[who].touch(&sockets[who]);
                        }
                    }
                    if net.now >= limit {
                        break;
                    }
                    net.step(limit);
                }
            }
        }
        for host in &net.hosts {
            host.stack.check_invariants();
        }
    }
    let fates = sockets.each_ref().map(|socket| socket.status.load());
    let past = net.hosts.iter().map(|host| host.stack.past());
    Outcome {
        read,
        written,
        flown: net.hosts.iter().map(|host| host.stack.frames.flown).sum(),
        past: past.map(|[received, sent]| received + sent).sum(),
        fates,
        log: net.log.unwrap_or_default(),
    }
}

/// The numbers behind all that each host has sent, if it has sent nothing twice.
fn carried(log: &[(usize, Vec<u8>)]) -> [Option<u32>; 2] {
    [0, 1].map(|host| {
        let own = log.iter().filter(|(from, _)| *from == host);
        let segments = own.filter_map(|(_, bytes)| forge::segment(bytes));
        let mut carrying = segments.filter(|it| it.end() != it.seq);
        let first = carrying.next()?.end();
        carrying.try_fold(first, |end, it| (it.seq == end).then(|| it.end()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn what_is_sent_is_the_same(steps in proptest::collection::vec(step(), 1..60)) {
        let [past, heard] = [false, true].map(|nothing_past| {
            converse(&steps, CONGESTED, Faults::default(), 1, nothing_past)
        });
        prop_assert_eq!(heard.past, 0);
        // How much is under way when one wants to write depends on acknowledgments, too.
        prop_assume!(past.written == heard.written);
        for who in 0..2 {
            prop_assert!(past.read[who] == past.written[1 - who]);
        }
        // In the same pieces, but where a small one waits for an acknowledgment that comes a little earlier or later.
        prop_assert_eq!(carried(&past.log), carried(&heard.log));
        prop_assert!(carried(&past.log).iter().all(Option::is_some));
        prop_assert_eq!(past.fates, heard.fates);
        prop_assert!(past.fates.iter().all(|fate| fate.peer_closed && fate.error.is_none()));
        // Acknowledgments may come together, or not.
        let more = past.log.len().abs_diff(heard.log.len());
        prop_assert!(more <= 2 + heard.log.len() / 8, "{} and {}", past.log.len(), heard.log.len());
    }

    #[test]
    fn a_conversation_is_whole_whatever_is_lost(
        steps in proptest::collection::vec(step(), 1..60),
        (loss, reorder, duplicate) in (0u64..150, 0u64..150, 0u64..150),
        seed in 1u64..1000,
    ) {
        let faults = Faults { loss, reorder, duplicate };
        let outcome = converse(&steps, usize::MAX, faults, seed, false);
        for who in 0..2 {
            prop_assert!(outcome.read[who] == outcome.written[1 - who]);
        }
        // Of one whose last acknowledgment is lost again and again, the other side knows nothing any more at some time.
        let is_reset = |fate: &Status| fate.error == Some(NetError::ConnectionReset);
        prop_assert!(outcome.fates.iter().all(|fate| fate.peer_closed && (fate.error.is_none() || is_reset(fate))));
    }
}

/// A request and its answer are a frame each, and nothing of them is the engine's business.
#[test]
fn requests_and_answers_are_two_frames_and_go_past_the_engine() {
    let mut steps = Vec::new();
    for round in 0..100 {
        steps.extend([
            Step::Write(false, 100 + round),
            Step::Wait(110),
            Step::Write(true, 1000 + round),
            Step::Wait(110),
        ]);
    }
    let outcome = converse(&steps, CONGESTED, Faults::default(), 1, false);
    assert!(outcome.past >= 2 * 195, "{} went past", outcome.past);
    let segments = outcome.log.iter().filter_map(|(_, it)| forge::segment(it));
    assert!(segments.count() < 200 + 10);
}

/// Segments that come together are one to what goes past the engine; a peer whose window is full with them waits for the answer.
#[test]
fn what_came_together_is_acknowledged_at_once() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    let bytes = pattern(1 << 20);
    let before = net.now;
    let got = transfer(
        &mut net,
        (&mut a, &mut near),
        (&mut b, &mut far),
        &bytes,
        SECOND * 20,
    );
    assert!(got == bytes);
    let took = net.now.since(before);
    assert!(net.hosts[1].stack.frames.past[0] > 0);
    assert!(took < Duration::from_millis(100), "{took:?}");
}

/// What a client's bytes come to after the peer has told these windows (shifted by one) with so many bytes of data, each so many milliseconds before
/// the next.
fn sent_into(steps: &[(u16, usize, u64)], write: usize, nothing_past: bool) -> u32 {
    let mut victim = Victim::new(nothing_past);
    let mut peer = victim.right.clone();
    for &(window, len, time) in steps {
        (peer.window, peer.data) = (window, vec![1; len]);
        let nic = victim.net.hosts[1].nic.as_mut().unwrap();
        assert!(nic.put_with(&peer.frame(), Checksum::Valid));
        victim.poll();
        peer.seq = peer.seq.wrapping_add(len as u32);
        victim.waits(Duration::from_millis(time));
    }
    let before = victim.sent;
    victim.stream.writer.write(&pattern(write)).unwrap();
    victim.client.touch(&victim.stream);
    victim.poll();
    victim.waits(Duration::from_millis(100));
    victim.sent.wrapping_sub(before)
}

/// A window counts that was told last, whether the engine has heard of it, is to hear of it, or heard of it late.
#[test]
fn the_window_that_was_told_last_counts() {
    const W: u16 = u16::MAX;
    for (steps, write, sent) in [
        // The engine has yet to hear of it.
        (vec![(W, 0, 20), (W, 100, 20), (100, 100, 1)], 1000, 200),
        // It heard of it with a delayed acknowledgment.
        (vec![(W, 0, 20), (W, 100, 20), (100, 100, 20)], 1000, 200),
        (
            vec![(W, 0, 20), (W, 100, 20), (100, 100, 20), (W, 100, 20)],
            4000,
            4000,
        ),
        (
            vec![(100, 0, 20), (100, 100, 20), (W, 100, 20), (100, 100, 20)],
            4000,
            200,
        ),
        // It came with many bytes, and nothing else new, before the engine had heard of the one in between.
        (
            vec![(W, 0, 20), (W, 100, 20), (100, 100, 1), (W, 20_000, 20)],
            4000,
            4000,
        ),
        (
            vec![(100, 0, 20), (100, 100, 20), (W, 100, 1), (100, 20_000, 20)],
            4000,
            200,
        ),
    ] {
        for nothing_past in [true, false] {
            let got = sent_into(&steps, write, nothing_past);
            assert_eq!(got, sent, "{steps:?} {nothing_past}");
        }
    }
}
