//! Acknowledgments that come together: what is on the wire is the same as if the engine had heard each of them.

use super::{
    forge::{Forged, segment},
    tcp_hostile::{listening, open},
    *,
};
use crate::flow::Flow;
use proptest::prelude::*;
use std::vec;

/// Windows shifted by 7, segments of 1460 bytes.
const OPTIONS: [u8; 8] = [2, 4, 5, 180, 1, 3, 3, 7];

/// A connection of the second host's, with FIFOs of 256 KiB, to a peer that is made up and has opened it with these options.
pub(super) fn accepted(options: &[u8]) -> (Network, Client, Socket, Forged) {
    let (mut net, mut client, listener) = listening();
    let id = client.id();
    let (buffers, ends) = client.buffers(18);
    client.send(&Request::TcpAccept {
        id,
        listener,
        buffers,
    });
    net.run(Duration::from_millis(10));
    let peer = open(&mut net, 5000, options).unwrap();
    let Reply::Accepted { socket, .. } = wait(&mut net, &mut client, id) else {
        panic!("not accepted");
    };
    (net, client, Socket::new(socket, ends), peer)
}

/// A host that always has something to send to a made-up peer.
struct Sender {
    net: Network,
    client: Client,
    stream: Socket,
    peer: Forged,
    written: u8,
    /// All that was sent: from where to where.
    log: Vec<(u32, u32)>,
    /// The number behind all that has come in order.
    came: u32,
}

impl Sender {
    fn new(hears_all: bool) -> Sender {
        let (mut net, client, stream, mut peer) = accepted(&OPTIONS);
        peer.window = 512;
        // What is aloft is acknowledged without the engine anyway.
        net.hosts[1].stack.frames.nothing_past = true;
        if hears_all {
            let flows = &mut net.hosts[1].stack.flows;
            for id in flows.ids() {
                if let Flow::Tcp(tcp) = &mut flows.get_mut(id).unwrap().flow {
                    tcp.hear_all_acks();
                }
            }
        }
        Sender {
            came: peer.ack,
            net,
            client,
            stream,
            peer,
            written: 0,
            log: Vec::new(),
        }
    }

    /// Acknowledgments that the engine did not hear.
    fn left_out(&self) -> u64 {
        self.net.hosts[1].stack.frames.acks_left_out
    }

    /// The client writes what there is room for, and the stack runs. Where each segment that comes begins and ends.
    fn sends(&mut self) -> Vec<(u32, u32)> {
        self.sends_up_to(100_000)
    }

    /// The same, but so many bytes at most.
    fn sends_up_to(&mut self, most: usize) -> Vec<(u32, u32)> {
        self.written = self.written.wrapping_add(1);
        let bytes = vec![self.written; most];
        self.stream.writer.write(&bytes).unwrap();
        self.client.touch(&self.stream);
        let host = &mut self.net.hosts[1];
        while host.stack.poll(self.net.now).work_left {}
        let frames = host.nic.as_mut().unwrap().take();
        host.stack.poll(self.net.now);
        let sent: Vec<(u32, u32)> = frames
            .iter()
            .filter_map(|frame| segment(frame))
            .filter(|segment| segment.len > 0)
            .map(|segment| (segment.seq, segment.end()))
            .collect();
        for (from, to) in &sent {
            if *from == self.came {
                self.came = *to;
            }
        }
        self.log.extend(&sent);
        sent
    }

    /// The peer says all that together.
    fn hears(&mut self, acks: impl IntoIterator<Item = (u32, u16)>) {
        let frames = acks.into_iter().map(|(ack, window)| {
            (self.peer.ack, self.peer.window) = (ack, window);
            self.peer.frame()
        });
        let frames: Vec<Vec<u8>> = frames.collect();
        self.net.hosts[1].nic.as_mut().unwrap().put_all(frames);
    }

    /// It sends, and the peer acknowledges each segment, until long after the congestion window is as wide as the buffer.
    fn goes_on(&mut self) {
        for _ in 0..20 {
            let sent = self.sends();
            self.hears(sent.iter().map(|(_, to)| (*to, 512)));
            self.net.now = self.net.now.after(Duration::from_millis(1));
        }
    }
}

/// How the peer acknowledges what has come.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Each so many segments.
    every: usize,
    /// With this window.
    window: u16,
    /// All but the last so many segments.
    keeps: usize,
    /// Each so often.
    times: usize,
    /// Milliseconds later.
    later: u64,
}

fn round() -> impl Strategy<Value = Round> {
    let window = prop_oneof![6 => Just(512u16), 2 => 1u16..2000, 1 => Just(8u16)];
    (1usize..4, window, 0usize..3, 1usize..3, 0u64..20).prop_map(
        |(every, window, keeps, times, later)| Round {
            every,
            window,
            keeps,
            times,
            later,
        },
    )
}

fn run(rounds: &[Round], hears_all: bool) -> (Vec<(u32, u32)>, u64) {
    let mut sender = Sender::new(hears_all);
    for round in rounds {
        let sent = sender.sends();
        let ends: Vec<u32> = sent.iter().map(|(_, to)| *to).collect();
        let heard = ends.len().saturating_sub(round.keeps);
        let acks = ends[..heard]
            .chunks(round.every)
            .filter_map(|chunk| chunk.last())
            .flat_map(|end| core::iter::repeat_n((*end, round.window), round.times));
        let acks: Vec<_> = acks.collect();
        sender.hears(acks);
        let later = Duration::from_millis(round.later);
        sender.net.now = sender.net.now.after(later);
        while sender.net.hosts[1].stack.poll(sender.net.now).work_left {}
        sender.net.hosts[1].stack.check_invariants();
    }
    sender.sends();
    let left_out = sender.left_out();
    (sender.log, left_out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_wire_is_the_same(rounds in proptest::collection::vec(round(), 1..60)) {
        let (all, none) = run(&rounds, true);
        prop_assert_eq!(none, 0);
        let (some, _) = run(&rounds, false);
        prop_assert!(some == all, "{} and {} segments", some.len(), all.len());
    }
}

/// One of two at most is heard when the window is full, and each until then: the congestion window grows by them.
#[test]
fn of_many_together_few_are_heard() {
    let round = Round {
        every: 1,
        window: 512,
        keeps: 0,
        times: 1,
        later: 1,
    };
    let (log, left_out) = run(&[round; 30], false);
    let (early, none) = run(&[round; 4], false);
    assert_eq!(none, 0, "{} segments", early.len());
    assert!(
        left_out as usize > log.len() / 2,
        "{left_out} of {}",
        log.len()
    );
}

/// The same acknowledgment three times more is how a loss is told (RFC 5681 section 3.2), and from then on each is heard.
#[test]
fn a_loss_is_heard_of() {
    let mut sender = Sender::new(false);
    sender.goes_on();
    let sent = sender.sends();
    assert!(sent.len() > 40, "{}", sent.len());
    let lost = sent[5];
    let before = sent[..5].iter().map(|(_, to)| (*to, 512));
    sender.hears(before.chain([(lost.0, 512); 3]));
    let again = sender.sends();
    assert_eq!(again.first(), Some(&lost));
    let left_out = sender.left_out();
    assert!(left_out > 100, "{left_out}");
    for _ in 0..12 {
        let came = sender.came;
        let sent = sender.sends();
        sender.hears(
            [(came, 512)]
                .into_iter()
                .chain(sent.iter().map(|(_, to)| (*to, 512))),
        );
        sender.net.now = sender.net.now.after(Duration::from_millis(1));
    }
    assert_eq!(sender.left_out(), left_out);
}

/// What is sent again may have new bytes behind it.
#[test]
fn a_loss_is_noticed_that_is_mended_with_new_bytes() {
    let mut sender = Sender::new(false);
    sender.goes_on();
    // All that was written is sent and acknowledged.
    loop {
        let sent = sender.sends_up_to(0);
        let Some((_, to)) = sent.last() else { break };
        sender.hears([(*to, 512)]);
    }
    let left_out = sender.left_out();
    assert!(left_out > 100, "{left_out}");
    let lost = sender.sends_up_to(300);
    assert_eq!(lost.len(), 1);
    assert_eq!(sender.sends_up_to(300), [], "Nagle's algorithm");
    sender.net.now = sender.net.now.after(SECOND * 3);
    let again = sender.sends_up_to(0);
    assert_eq!(again.first().map(|sent| sent.0), Some(lost[0].0));
    assert!(again.last().unwrap().1 != lost[0].1, "without new bytes");
    let ends: Vec<u32> = again.iter().map(|(_, to)| *to).collect();
    sender.hears(ends.iter().map(|to| (*to, 512)));
    sender.goes_on();
    assert_eq!(sender.left_out(), left_out);
}

/// One that waits is not heard by a connection that its client has ended meanwhile: one reset, and no more.
#[test]
fn an_ended_connection_hears_nothing_that_waits() {
    let mut sender = Sender::new(false);
    sender.goes_on();
    let sent = sender.sends();
    sender.hears([(sent[3].1, 512)]);
    let id = sender.client.id();
    sender.client.send(&Request::Close {
        id,
        socket: sender.stream.handle,
        abort: true,
    });
    let host = &mut sender.net.hosts[1];
    while host.stack.poll(sender.net.now).work_left {}
    let frames = host.nic.as_mut().unwrap().take();
    let resets = frames.iter().filter_map(|frame| segment(frame));
    assert_eq!(resets.filter(|segment| segment.is_reset()).count(), 1);
}
