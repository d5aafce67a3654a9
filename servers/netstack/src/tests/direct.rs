//! Data that goes straight to the client, from the driver's buffer or after it was joined here: the client, and the peer, must find the same as
//! if it had gone through the engine.

use super::{
    forge::{ACK, FIN, Forged, RST, known, segment},
    *,
};
use crate::blind::is_after;
use ipc_proto::frame::{Checksum, Offloads};
use proptest::prelude::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread, vec,
};

const PSH: u8 = 8;
const URG: u8 = 32;
/// Bytes of the FIFO and of the engine's buffer.
const ROOM: usize = 1 << 16;
const OFFLOADS: Offloads = Offloads {
    transmit_checksum: true,
    receive_checksum: true,
    transmit_segments: false,
    receive_segments: true,
};

fn hosts(seed: u64) -> Network {
    hosts_with(seed, ROOM)
}

/// With a buffer of the engine's of that size.
fn hosts_with(seed: u64, tcp_buffer: usize) -> Network {
    hosts_on(OFFLOADS, seed, tcp_buffer)
}

fn hosts_on(offloads: Offloads, seed: u64, tcp_buffer: usize) -> Network {
    let mut net = Network::new(seed);
    net.offloads = offloads;
    net.buffers = crate::pools(offloads);
    for last in [1, 2] {
        net.add(Config {
            tcp_buffer,
            largest_tcp_buffer: tcp_buffer,
            ..config(last)
        });
    }
    net.run(SECOND);
    net
}

/// What a segment that was sent says of the peer's, but for the window, which is another one by design.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Says {
    ack: u32,
    flags: u8,
    /// With the ranges of a selective acknowledgment.
    options: Vec<u8>,
}

/// The second host with a connection, whose peer is made up.
pub(super) struct Victim {
    pub(super) net: Network,
    pub(super) client: Client,
    pub(super) stream: Socket,
    pub(super) right: Forged,
    /// How far windows are shifted.
    shift: u8,
    /// The number behind the last byte that the peer was told it may send, and behind the last one that it was told has come.
    edge: u32,
    acknowledged: u32,
    /// The number behind everything that it has sent.
    pub(super) sent: u32,
    _peers: (Client, Socket),
}

impl Victim {
    pub(super) fn new(nothing_past: bool) -> Victim {
        Victim::with(hosts(1), 1, nothing_past)
    }

    /// With a card that does nothing: segments come in packets and are joined here.
    fn plain(nothing_past: bool) -> Victim {
        Victim::with(hosts_on(Offloads::default(), 1, ROOM), 1, nothing_past)
    }

    /// On such hosts, whose windows are shifted so far.
    fn with(mut net: Network, shift: u8, nothing_past: bool) -> Victim {
        // What came before has all gone through the engine.
        net.hosts[1].stack.frames.nothing_past = true;
        let (a, near, client, stream, right) = known(&mut net);
        let frames = &mut net.hosts[1].stack.frames;
        frames.nothing_past = nothing_past;
        (frames.passed_on, frames.past) = (0, [0; 2]);
        net.hosts[0].stack.detach();
        net.hosts[0].nic = None;
        net.log = None;
        Victim {
            net,
            client,
            stream,
            shift,
            edge: right.seq.wrapping_add(ROOM as u32),
            acknowledged: right.seq,
            sent: right.ack,
            right,
            _peers: (a, near),
        }
    }

    fn passed_on(&self) -> u64 {
        self.net.hosts[1].stack.passed_on()
    }

    /// What the stack sends at once.
    pub(super) fn poll(&mut self) -> Vec<Says> {
        let host = &mut self.net.hosts[1];
        while host.stack.poll(self.net.now).work_left {}
        let frames = host.nic.as_mut().unwrap().take();
        // What was sent has been taken.
        host.stack.poll(self.net.now);
        let said = frames.iter().filter_map(|frame| {
            let segment = segment(frame)?;
            let end = 34 + usize::from(frame[46] >> 4) * 4;
            if segment.is_ack() {
                let window = u32::from(segment.window) << self.shift;
                self.edge = segment.ack.wrapping_add(window);
                self.acknowledged = segment.ack;
            }
            if is_after(segment.end(), self.sent) {
                self.sent = segment.end();
            }
            Some(Says {
                ack: segment.ack,
                flags: segment.flags & !PSH,
                options: frame[54..end].to_vec(),
            })
        });
        // That the window has opened is told at once, or not.
        let mut said: Vec<Says> = said.collect();
        said.dedup();
        said
    }

    /// Gives it a segment, and all the time that it may take to acknowledge it. What it says at once, and then.
    fn hears(&mut self, segment: &Forged, checksum: Checksum) -> (Vec<Says>, Vec<Says>) {
        let nic = self.net.hosts[1].nic.as_mut().unwrap();
        if self.net.offloads.receive_segments {
            assert!(nic.put_with(&segment.frame(), checksum));
        } else {
            for piece in pieces(segment) {
                assert!(nic.put_with(&piece.frame(), Checksum::Unknown));
            }
        }
        (self.poll(), self.waits(Duration::from_millis(20)))
    }

    pub(super) fn waits(&mut self, time: Duration) -> Vec<Says> {
        self.net.now = self.net.now.after(time);
        self.poll()
    }

    fn reads(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        let len = self.stream.reader.read(&mut bytes).unwrap();
        bytes.truncate(len);
        // As a client does it: not each time.
        if self.stream.reader.tells_room() {
            self.client.touch(&self.stream);
        }
        bytes
    }
}

/// A segment as packets of the network.
fn pieces(segment: &Forged) -> Vec<Forged> {
    const MOST: usize = 1400;
    let count = segment.data.len().div_ceil(MOST).max(1);
    let piece = |at: usize| {
        let end = segment.data.len().min((at + 1) * MOST);
        let push = if at + 1 < count { PSH } else { 0 };
        Forged {
            seq: segment.seq.wrapping_add((at * MOST) as u32),
            flags: segment.flags & !push,
            data: segment.data[at * MOST..end].to_vec(),
            ..segment.clone()
        }
    };
    (0..count).map(piece).collect()
}

/// The byte of the peer's stream at a place.
fn byte(at: u32) -> u8 {
    (at.wrapping_mul(2_654_435_761) >> 24) as u8
}

#[derive(Clone, Debug)]
enum Step {
    /// A segment so many bytes from what comes next, with so many bytes at most, and what is odd about it.
    Segment(i32, usize, Odd),
    /// Client reads.
    Read(usize),
    /// Client writes; what the peer acknowledges from then on.
    Write(usize),
    /// Milliseconds pass.
    Wait(u64),
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Odd {
    Nothing,
    Flags(u8),
    /// It acknowledges so much less than everything.
    Ack(u32),
    Window(u16),
    Unknown,
}

fn step() -> impl Strategy<Value = Step> {
    let odd = prop_oneof![
        12 => Just(Odd::Nothing),
        2 => prop_oneof![Just(PSH), Just(URG)].prop_map(Odd::Flags),
        1 => (0u32..3000).prop_map(Odd::Ack),
        1 => prop_oneof![Just(0u16), Just(1), any::<u16>()].prop_map(Odd::Window),
        1 => Just(Odd::Unknown),
    ];
    let at = prop_oneof![12 => Just(0), 1 => -3000i32..3000, 1 => -70_000i32..70_000];
    let len = prop_oneof![1 => 0usize..3000, 3 => 0usize..65_000];
    prop_oneof![
        6 => (at, len, odd).prop_map(|(at, len, odd)| Step::Segment(at, len, odd)),
        3 => prop_oneof![0usize..3000, 0usize..140_000].prop_map(Step::Read),
        1 => (0usize..6000).prop_map(Step::Write),
        1 => (0u64..2000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_straight_way_leads_to_the_same(
        steps in proptest::collection::vec(step(), 1..60),
        ends in prop_oneof![Just(FIN), Just(RST), Just(0)],
        joined in any::<bool>(),
    ) {
        let mut both = match joined {
            true => [Victim::plain(false), Victim::plain(true)],
            false => [Victim::new(false), Victim::new(true)],
        };
        for it in &mut both {
            stream(it, 2 * ROOM, 30_000);
        }
        prop_assert!(both[0].passed_on() > 1);
        let first = both[0].right.seq;
        let mut peer = both[0].right.clone();
        for step in steps {
            let next = both[0].acknowledged;
            prop_assert_eq!(next, both[1].acknowledged);
            // Small data may wait or not, by whether there is something to acknowledge. The peer has heard what both have sent.
            let ahead = is_after(both[0].sent, both[1].sent);
            let sent = both[usize::from(ahead)].sent;
            match step {
                Step::Segment(at, len, odd) => {
                    // A peer keeps to the window that either has told it.
                    let edge = both.iter().map(|it| it.edge.wrapping_sub(next)).min().unwrap();
                    let room = (edge as i32).saturating_sub(at).clamp(0, 65_000) as usize;
                    peer.seq = next.wrapping_add_signed(at);
                    peer.data = (0..len.min(room) as u32)
                        .map(|n| byte(peer.seq.wrapping_add(n)))
                        .collect();
                    (peer.flags, peer.window, peer.ack) = (ACK, 0xffff, sent);
                    let mut checksum = Checksum::Partial;
                    match odd {
                        Odd::Nothing => {}
                        Odd::Flags(flags) => peer.flags |= flags,
                        Odd::Ack(less) => peer.ack = sent.wrapping_sub(less),
                        Odd::Window(window) => peer.window = window,
                        Odd::Unknown => checksum = Checksum::Unknown,
                    }
                    let [one, other] = &mut both;
                    let (one, other) = (one.hears(&peer, checksum), other.hears(&peer, checksum));
                    // What is answered at once still is. (That the window has opened may be told earlier.)
                    if at > 0 && !peer.data.is_empty() {
                        // Data that follow may have been sent before: the engine's congestion window is smaller in the beginning.
                        let is_said = |it: &Says| {
                            let says = |own: &Says| own == it || it.options.is_empty() && own.ack == it.ack;
                            one.0.iter().any(says)
                        };
                        let is_said = other.0.iter().all(is_said);
                        prop_assert!(is_said, "{:?} instead of {:?}", &one.0, &other.0);
                    }
                    let last = |(now, later): &(Vec<Says>, Vec<Says>)| {
                        now.iter().chain(later).last().cloned()
                    };
                    let (one, other) = (last(&one), last(&other));
                    if let (Some(one), Some(other)) = (one, other) {
                        prop_assert_eq!(one.ack, other.ack);
                    }
                }
                Step::Read(most) => {
                    let [one, other] = both.each_mut().map(|it| it.reads(most));
                    prop_assert!(one == other, "{} bytes read, or {}", one.len(), other.len());
                    for it in &mut both {
                        it.waits(Duration::from_millis(20));
                    }
                }
                Step::Write(len) => {
                    let wrote = both.each_mut().map(|it| {
                        let wrote = it.stream.writer.write(&pattern(len)).unwrap();
                        it.client.touch(&it.stream);
                        it.poll();
                        wrote
                    });
                    prop_assert_eq!(wrote[0], wrote[1]);
                }
                Step::Wait(millis) => {
                    for it in &mut both {
                        it.waits(Duration::from_millis(millis));
                    }
                }
            }
            for it in &both {
                it.net.hosts[1].stack.check_invariants();
            }
        }
        // Everything is read, and then the peer ends it.
        let mut rest = both.each_mut().map(|it| {
            let mut all = Vec::new();
            for _ in 0..4 {
                all.extend(it.reads(ROOM));
                it.client.touch(&it.stream);
                it.waits(SECOND);
            }
            all
        });
        let [one, other] = &mut rest;
        prop_assert!(one == other);
        prop_assert_eq!(both[0].acknowledged, both[1].acknowledged);
        let at = both[0].acknowledged;
        let wrong = (0..one.len() as u32).rev().find(|n| {
            one[*n as usize] != byte(at.wrapping_sub(one.len() as u32).wrapping_add(*n))
        });
        prop_assert_eq!(wrong, None, "of {} bytes since {}", one.len(), first);
        let told = both.each_mut().map(|it| {
            peer = Forged { seq: at, flags: ACK, window: 0xffff, data: Vec::new(), ..peer.clone() };
            // Until all that waits is sent.
            for _ in 0..20 {
                peer.ack = it.sent;
                it.hears(&peer, Checksum::Valid);
            }
            peer.flags |= ends;
            it.hears(&peer, Checksum::Valid);
            it.waits(SECOND);
            it.stream.status.load()
        });
        prop_assert_eq!(told[0], told[1]);
        prop_assert_eq!(both[0].sent, both[1].sent);
        prop_assert_eq!(both[0].acknowledged, both[1].acknowledged);
        prop_assert_eq!(both[1].passed_on(), 0);
        prop_assert_eq!(both[1].net.hosts[1].stack.past(), [0; 2]);
    }
}

/// Segments of one size, each as soon as there is room for it; the client reads now and then.
fn stream(victim: &mut Victim, bytes: usize, len: usize) -> Vec<u8> {
    let mut peer = victim.right.clone();
    let first = peer.seq;
    let mut got = Vec::new();
    for round in 0..100_000 {
        let sent = peer.seq.wrapping_sub(first) as usize;
        let room = victim.edge.wrapping_sub(peer.seq) as usize;
        let len = len.min(room).min(bytes - sent);
        if len > 0 {
            peer.data = (0..len as u32)
                .map(|n| byte(peer.seq.wrapping_add(n)))
                .collect();
            victim.hears(&peer, Checksum::Partial);
            peer.seq = peer.seq.wrapping_add(len as u32);
        }
        if round % 3 == 2 || len == 0 {
            let read = victim.reads(16 << 10);
            got.extend(read);
            victim.poll();
        }
        if got.len() == bytes {
            break;
        }
    }
    victim.right.seq = peer.seq;
    got
}

fn expected(first: u32, bytes: usize) -> Vec<u8> {
    (0..bytes as u32)
        .map(|n| byte(first.wrapping_add(n)))
        .collect()
}

#[test]
fn most_of_a_stream_goes_straight_to_its_client() {
    for (len, joined) in [2100, 9000, 40_000, 65_000]
        .into_iter()
        .flat_map(|len| [(len, false), (len, true)])
    {
        let mut victim = match joined {
            true => Victim::plain(false),
            false => Victim::new(false),
        };
        let (first, bytes) = (victim.right.seq, 3_000_000);
        assert!(stream(&mut victim, bytes, len) == expected(first, bytes));
        let passed_on = victim.passed_on() as usize * len.min(32 << 10);
        assert!(passed_on > bytes / 2, "{passed_on} bytes, {len} a frame");
        victim.net.hosts[1].stack.check_invariants();
    }
}

/// With numbers at the end of the circle, which they cross.
#[test]
fn the_window_opens_as_the_client_reads_and_never_takes_back_what_it_said() {
    let mut victim = Victim::new(false);
    let first = victim.right.seq;
    assert!(stream(&mut victim, 1_000_000, 30_000) == expected(first, 1_000_000));
    let mut peer = victim.right.clone();
    let mut filled = 0;
    // Nobody reads.
    loop {
        let room = victim.edge.wrapping_sub(peer.seq) as usize;
        if room == 0 {
            break;
        }
        let before = victim.edge;
        peer.data = (0..room.min(20_000) as u32)
            .map(|n| byte(peer.seq.wrapping_add(n)))
            .collect();
        victim.hears(&peer, Checksum::Partial);
        peer.seq = peer.seq.wrapping_add(peer.data.len() as u32);
        filled += peer.data.len();
        assert!(!is_after(before, victim.edge), "the window was taken back");
        assert_eq!(victim.acknowledged, peer.seq);
    }
    assert!((ROOM - ROOM / 4..=ROOM + 1).contains(&filled), "{filled}");
    // A probe is answered, and changes nothing.
    peer.seq = peer.seq.wrapping_sub(1);
    peer.data.clear();
    let (answer, _) = victim.hears(&peer, Checksum::Valid);
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0].ack, victim.acknowledged);
    // The client reads: the peer hears of it without having asked.
    let before = victim.edge;
    for _ in 0..ROOM / 4096 {
        victim.reads(4096);
        victim.poll();
    }
    let opened = victim.edge.wrapping_sub(before) as usize;
    assert!(opened >= ROOM / 2, "{opened} more than before");
}

/// The driver changes the data while it is copied.
#[test]
fn a_driver_that_changes_data_under_way_changes_only_the_data() {
    let mut victim = Victim::new(false);
    let first = victim.right.seq;
    assert!(stream(&mut victim, 500_000, 30_000) == expected(first, 500_000));
    let before = victim.passed_on();
    let nic = victim.net.hosts[1].nic.as_ref().unwrap();
    let pool = nic.pools[0].clone();
    // Where the data of a frame is, behind all headers.
    let places: Vec<usize> = nic.empty.iter().map(|id| nic.place(0, *id) + 200).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let hostile = thread::spawn(move || {
        let mut round = 0u8;
        while !stopped.load(Ordering::Relaxed) {
            round ^= 1;
            for place in &places {
                pool.write(*place, &[round; 10_000]).unwrap();
            }
        }
    });
    let mut peer = victim.right.clone();
    for _ in 0..50 {
        peer.data = vec![0; 10_000];
        victim.hears(&peer, Checksum::Valid);
        peer.seq = peer.seq.wrapping_add(10_000);
        assert_eq!(victim.acknowledged, peer.seq);
        let mut bytes = victim.reads(ROOM);
        bytes.extend(victim.reads(ROOM));
        victim.poll();
        assert_eq!(bytes.len(), 10_000);
        assert!(bytes.iter().all(|byte| *byte < 2));
    }
    stop.store(true, Ordering::Relaxed);
    hostile.join().unwrap();
    assert!(victim.passed_on() > before + 40);
    victim.net.hosts[1].stack.check_invariants();
}

/// A real peer, a lossy wire, data both ways, and the end of it.
#[test]
fn streams_are_whole_whatever_is_lost() {
    let mut passed_on = 0;
    for seed in 0..20 {
        let mut net = hosts(seed);
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
        net.faults.loss = seed % 4 * 10;
        net.faults.reorder = seed % 3 * 10;
        net.faults.duplicate = seed % 2 * 10;
        for _ in 0..2 {
            let bytes = pattern(400_000);
            let got = transfer(
                &mut net,
                (&mut a, &mut near),
                (&mut b, &mut far),
                &bytes,
                SECOND * 400,
            );
            assert!(got == bytes, "seed {seed}");
            let got = transfer(
                &mut net,
                (&mut b, &mut far),
                (&mut a, &mut near),
                &bytes,
                SECOND * 400,
            );
            assert!(got == bytes, "seed {seed}");
        }
        passed_on += net.hosts[0].stack.passed_on() + net.hosts[1].stack.passed_on();
        for (client, socket) in [(&mut a, &near), (&mut b, &far)] {
            close(&mut net, client, socket.handle, false);
        }
        net.run(SECOND * 200);
        for host in &net.hosts {
            assert_eq!(host.stack.holdings().flows, 0, "seed {seed}");
        }
    }
    assert!(passed_on > 500, "{passed_on} frames");
}

/// Two stacks with nothing to say to each other say nothing, however much more room a FIFO has than the engine.
#[test]
fn an_idle_connection_is_silent() {
    for buffer in [ROOM, ROOM / 2, ROOM / 4] {
        let mut net = hosts_with(3, buffer);
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
        let bytes = pattern(400_000);
        let most = SECOND * 400;
        let there = transfer(
            &mut net,
            (&mut a, &mut near),
            (&mut b, &mut far),
            &bytes,
            most,
        );
        let back = transfer(
            &mut net,
            (&mut b, &mut far),
            (&mut a, &mut near),
            &bytes,
            most,
        );
        assert!(there == bytes && back == bytes);
        assert!(net.hosts.iter().all(|host| host.stack.passed_on() > 0));
        net.run(SECOND);
        net.log = Some(Vec::new());
        // A look at the socket that means nothing.
        b.touch(&far);
        net.run(SECOND / 10);
        assert_eq!(net.log.as_ref().unwrap().len(), 0, "{buffer}");
    }
}

/// Two whose windows are shut probe them at the same time, and each takes the byte: then they hear of each other again.
#[test]
fn two_that_take_bytes_of_each_others_probes_hear_each_other() {
    let mut victim = Victim::new(false);
    stream(&mut victim, 500_000, 30_000);
    let mut peer = victim.right.clone();
    peer.window = 0;
    loop {
        let room = victim.edge.wrapping_sub(peer.seq) as usize;
        if room == 0 {
            break;
        }
        peer.data = vec![1; room.min(20_000)];
        victim.hears(&peer, Checksum::Partial);
        peer.seq = peer.seq.wrapping_add(peer.data.len() as u32);
    }
    let before = victim.sent;
    victim.stream.writer.write(&[7; 100]).unwrap();
    victim.client.touch(&victim.stream);
    victim.poll();
    victim.waits(SECOND * 2);
    assert_eq!(victim.sent, before.wrapping_add(1), "no probe");
    // Its own probe, on which the other's has crossed.
    peer.data = vec![1; 1];
    victim.hears(&peer, Checksum::Valid);
    assert_eq!(victim.acknowledged, peer.seq.wrapping_add(1), "not taken");
    // It has taken the byte, and speaks with the number before its own, of which it has not heard that it was.
    let mut answer = |peer: &Forged| {
        let host = &mut victim.net.hosts[1];
        let nic = host.nic.as_mut().unwrap();
        assert!(nic.put_with(&peer.frame(), Checksum::Valid));
        host.stack.poll(victim.net.now);
        let frames = host.nic.as_mut().unwrap().take();
        host.stack.poll(victim.net.now);
        frames.iter().filter_map(|frame| segment(frame)).next_back()
    };
    peer.data = vec![2; 1];
    peer.ack = before.wrapping_add(1);
    let said = answer(&peer).unwrap();
    assert_eq!(said.ack, peer.seq.wrapping_add(1));
    assert_eq!(said.seq, peer.ack, "the peer would not hear it");
}

/// What has filled the FIFO has gone past the engine, what follows has not, and is acknowledged with that: with less of a window, which opens
/// when the client has read.
#[test]
fn a_window_opens_that_was_told_with_what_went_past() {
    let mut victim = Victim::with(hosts_with(1, 100_000), 1, false);
    let mut peer = victim.right.clone();
    let mut put = |victim: &mut Victim, len: usize| {
        peer.data = vec![1; len];
        let nic = victim.net.hosts[1].nic.as_mut().unwrap();
        assert!(nic.put_with(&peer.frame(), Checksum::Valid));
        peer.seq = peer.seq.wrapping_add(len as u32);
        victim.poll()
    };
    for _ in 0..64 {
        put(&mut victim, 1000);
        victim.waits(Duration::from_millis(20));
    }
    put(&mut victim, 1000);
    victim.waits(Duration::from_millis(1));
    put(&mut victim, 55_000);
    let told = victim.waits(Duration::from_millis(9));
    assert_eq!(told.len(), 1);
    let room = victim.edge.wrapping_sub(victim.acknowledged);
    assert!(room < 50_000, "{room}");
    while !victim.reads(ROOM).is_empty() {
        victim.poll();
    }
    let room = victim.edge.wrapping_sub(victim.acknowledged);
    assert!(room > 90_000, "{room}");
}

/// A probe of a shut window may bring a byte; the window stays shut.
#[test]
fn a_probe_with_a_byte_opens_nothing() {
    let mut victim = Victim::new(false);
    stream(&mut victim, 500_000, 30_000);
    let mut peer = victim.right.clone();
    loop {
        let room = victim.edge.wrapping_sub(peer.seq) as usize;
        if room == 0 {
            break;
        }
        peer.data = vec![1; room.min(20_000)];
        victim.hears(&peer, Checksum::Partial);
        peer.seq = peer.seq.wrapping_add(peer.data.len() as u32);
    }
    peer.data = vec![1; 1];
    victim.hears(&peer, Checksum::Valid);
    let (edge, came) = (victim.edge, victim.acknowledged);
    assert!(
        !is_after(edge, came),
        "room for {}",
        edge.wrapping_sub(came)
    );
}

#[test]
fn a_connection_goes_on_with_another_card() {
    let mut net = hosts(3);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    let bytes = pattern(400_000);
    for round in 0..3 {
        let (began, before) = (net.now, net.hosts[1].stack.passed_on());
        let most = SECOND * 400;
        let got = transfer(
            &mut net,
            (&mut a, &mut near),
            (&mut b, &mut far),
            &bytes,
            most,
        );
        assert!(got == bytes, "{round}");
        assert!(net.hosts[1].stack.passed_on() > before, "{round}");
        if round == 0 {
            net.run(SECOND);
            net.hosts[1].mac = [2, 0, 0, 0, 9, 2];
            net.set_driver(1, true);
            net.run(SECOND * 20);
        } else if round == 2 {
            // By then, the peer knows where it is.
            assert!(net.now.since(began) < SECOND, "{:?}", net.now.since(began));
        }
    }
}

/// What the client has written is taken as soon as there is room for it, whatever the sizes.
#[test]
fn nothing_is_left_behind_in_the_fifo() {
    for case in 0..20_u32 {
        let mut net = hosts(u64::from(case));
        let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
        let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
        let step = 1024 * (1 + case as usize % 30);
        let bytes = pattern(300_000 / step * step);
        let (mut sent, mut got, mut chunk) = (0, 0, [0; 8192]);
        for round in 0..20_000 {
            let to = (sent + step).min(bytes.len());
            let len = near.writer.write(&bytes[sent..to]).unwrap();
            sent += len;
            if len > 0 {
                a.touch(&near);
            }
            net.run(Duration::from_micros(30 + u64::from(case)));
            if round % 3 == 0 {
                let len = far.reader.read(&mut chunk).unwrap();
                got += len;
                if len > 0 && far.reader.tells_room() {
                    b.touch(&far);
                }
            }
            let waits = near.writer.capacity() - near.writer.free().unwrap();
            let stack = &net.hosts[0].stack;
            let room = stack
                .flows
                .iter()
                .filter_map(|(_, entry)| match &entry.flow {
                    // More may wait for what is to be acknowledged first.
                    crate::flow::Flow::Tcp(tcp) if tcp.socket().unacknowledged() == 0 => Some(ROOM),
                    _ => None,
                });
            let room = room.max().unwrap_or(0);
            let is_left = waits > 0 && room > 0 && stack.ready.is_empty();
            assert!(!is_left, "{waits} bytes wait, with room for {room}");
            if got == bytes.len() {
                break;
            }
        }
        assert_eq!(got, bytes.len());
    }
}

/// The engine hears of neither, whether segments are joined by the device or here.
#[test]
fn short_answers_to_long_requests_land_past_the_engine() {
    for joined in [false, true] {
        let mut victim = match joined {
            true => Victim::plain(false),
            false => Victim::new(false),
        };
        let mut peer = victim.right.clone();
        for _ in 0..200 {
            peer.data = (0..2800).map(|n| byte(peer.seq.wrapping_add(n))).collect();
            (peer.flags, peer.window, peer.ack) = (ACK | PSH, 0xffff, victim.sent);
            let nic = victim.net.hosts[1].nic.as_mut().unwrap();
            if joined {
                for piece in pieces(&peer) {
                    assert!(nic.put_with(&piece.frame(), Checksum::Unknown));
                }
            } else {
                assert!(nic.put_with(&peer.frame(), Checksum::Partial));
            }
            peer.seq = peer.seq.wrapping_add(2800);
            victim.poll();
            assert_eq!(victim.reads(ROOM).len(), 2800);
            assert_eq!(victim.stream.writer.write(&pattern(100)).unwrap(), 100);
            victim.client.touch(&victim.stream);
            victim.poll();
            victim.net.now = victim.net.now.after(Duration::from_micros(200));
        }
        let frames = &victim.net.hosts[1].stack.frames;
        let [_, sent] = frames.past;
        assert!(
            sent > 190,
            "{joined}: {} straight, {:?} past",
            frames.passed_on,
            frames.past
        );
    }
}
