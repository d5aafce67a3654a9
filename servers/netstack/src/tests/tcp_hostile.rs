//! Peers of TCP that choose odd options, flags and windows, leave holes, say everything twice and never read.

use super::{
    forge::{ACK, FIN, Forged, RST, SYN, known, put, segment},
    *,
};

/// A second host with a listener at port 80, and a first one that is only what the test says.
pub(super) fn listening() -> (Network, Client, Handle) {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(1);
    // So that they know each other.
    assert!(connect(&mut net, &mut a, address(2, 81)).is_err());
    let mut b = net.hosts[1].client(2);
    let (listener, _) = listen(&mut net, &mut b, address(2, 80), 8).unwrap();
    net.set_driver(0, false);
    net.run(Duration::from_millis(10));
    (net, b, listener)
}

/// Opens a connection with these options. The next segment of the peer, if the SYN was answered.
pub(super) fn open(net: &mut Network, port: u16, options: &[u8]) -> Option<Forged> {
    let mut forged = Forged {
        src_port: port,
        dst_port: 80,
        seq: u32::MAX - 2000,
        flags: SYN,
        window: 0xffff,
        options: options.into(),
        ..Forged::default()
    };
    let answers = forged.put(net);
    let answer = segment(answers.first()?)?;
    assert_eq!(answer.flags, SYN | ACK);
    forged.seq = forged.seq.wrapping_add(1);
    forged.ack = answer.seq.wrapping_add(1);
    forged.flags = ACK;
    forged.options.clear();
    forged.put(net);
    Some(forged)
}

/// Acknowledges whatever comes until so many bytes have come: they, and the longest and the number of segments.
fn take(net: &mut Network, peer: &mut Forged, bytes: usize) -> (usize, usize, usize) {
    let (start, mut longest, mut count) = (peer.ack, 0, 0);
    let mut frames = Vec::new();
    for _ in 0..20_000 {
        for sent in frames.iter().filter_map(|frame: &Vec<u8>| segment(frame)) {
            longest = longest.max(sent.len);
            count += usize::from(sent.len > 0);
            if sent.seq == peer.ack {
                peer.ack = sent.end();
            }
        }
        if peer.ack.wrapping_sub(start) as usize >= bytes {
            break;
        }
        net.now = net.now.after(Duration::from_millis(10));
        frames = peer.put(net);
    }
    (peer.ack.wrapping_sub(start) as usize, longest, count)
}

fn accepted(net: &mut Network, b: &mut Client, listener: Handle) -> Socket {
    accept(net, b, listener).unwrap().0
}

/// The acknowledgment that ends a handshake may be lost, and what comes next say all that there is to say.
#[test]
fn data_and_fin_may_end_the_handshake() {
    for data in [&b""[..], b"all of it"] {
        let (mut net, mut b, listener) = listening();
        let id = b.id();
        let (buffers, mut ends) = b.buffers(16);
        b.send(&Request::TcpAccept {
            id,
            listener,
            buffers,
        });
        net.run(Duration::from_millis(10));
        let mut peer = Forged {
            src_port: 1000,
            dst_port: 80,
            seq: 1 << 20,
            flags: SYN,
            window: 0xffff,
            ..Forged::default()
        };
        let answers = peer.put(&mut net);
        let answer = segment(answers.first().unwrap()).unwrap();
        peer.seq = peer.seq.wrapping_add(1);
        peer.ack = answer.seq.wrapping_add(1);
        peer.flags = FIN | ACK;
        peer.data = data.into();
        peer.put(&mut net);
        net.run(SECOND);
        assert!(matches!(wait(&mut net, &mut b, id), Reply::Accepted { .. }));
        let status = ends.status.load();
        assert!(status.established && status.peer_closed, "{status:?}");
        let mut read = [0; 16];
        let len = ends.reader.read(&mut read).unwrap();
        assert_eq!(&read[..len], data);
    }
}

#[test]
fn odd_options_bound_what_is_sent_and_harm_nothing() {
    for (name, options, least, most) in [
        ("none", std::vec![], 500, 536),
        ("segments of 0", std::vec![2, 4, 0, 0], 500, 536),
        ("segments of 1", std::vec![2, 4, 0, 1], 36, 48),
        (
            "segments of 65,535",
            std::vec![2, 4, 0xff, 0xff],
            1400,
            1460,
        ),
        ("scale of 15", std::vec![3, 3, 15, 0], 500, 536),
        ("scale of 255", std::vec![3, 3, 255, 0], 500, 536),
        ("one twice", std::vec![2, 4, 5, 0xb4, 2, 4, 1, 0], 200, 1460),
        (
            "unknown kinds",
            std::vec![253, 4, 1, 1, 77, 2, 1, 1],
            500,
            536,
        ),
        ("end, and rubbish", std::vec![0, 2, 0, 9], 500, 536),
        ("selective", std::vec![4, 2, 1, 1], 500, 536),
    ] {
        let (mut net, mut b, listener) = listening();
        let mut peer = open(&mut net, 1000, &options).expect(name);
        let mut socket = accepted(&mut net, &mut b, listener);
        let bytes = pattern(20_000);
        assert_eq!(socket.writer.write(&bytes).unwrap(), bytes.len());
        b.touch(&socket);
        let (got, longest, _) = take(&mut net, &mut peer, bytes.len());
        assert_eq!(got, bytes.len(), "{name}");
        assert!((least..=most).contains(&longest), "{name}: {longest}");
    }
    for (name, options) in [
        ("length 0", [2, 0, 1, 1]),
        ("length 1", [77, 1, 1, 1]),
        ("beyond the end", [2, 40, 5, 0xb4]),
        ("segment size of three bytes", [2, 3, 5, 1]),
        ("cut", [1, 1, 1, 8]),
    ] {
        let (mut net, _b, _) = listening();
        assert!(open(&mut net, 1000, &options).is_none(), "{name}");
        assert_eq!(net.hosts[1].stack.half_open.len(), 0, "{name}");
        assert_eq!(net.hosts[1].stack.counters().rx_malformed, 1, "{name}");
    }
}

#[test]
fn only_a_plain_syn_begins_a_connection() {
    let (mut net, _b, _listener) = listening();
    for flags in 0..=255u8 {
        for (src_port, dst_port) in [(1000, 80), (1000, 81), (0, 80), (1000, 0)] {
            net.run(SECOND);
            let forged = Forged {
                src_port,
                dst_port,
                flags,
                window: 1000,
                ..Forged::default()
            };
            let answers = forged.put(&mut net);
            let is_syn = flags & (SYN | ACK | RST | FIN) == SYN;
            let begun = is_syn && (src_port, dst_port) == (1000, 80);
            let stack = &net.hosts[1].stack;
            assert_eq!(stack.half_open.len(), usize::from(begun), "{flags:#x}");
            assert!(stack.connections.is_empty());
            assert!(answers.len() <= 1);
            if flags & RST != 0 || src_port == 0 || dst_port == 0 {
                // A reset is never answered, nor is nobody.
                assert!(answers.is_empty(), "{flags:#x}");
            }
            let end = Forged {
                seq: 1,
                flags: RST,
                ..forged
            };
            end.put(&mut net);
        }
    }
    assert_eq!(net.hosts[1].stack.half_open.len(), 0);
}

#[test]
fn ten_thousand_holes_take_no_more_than_the_window() {
    let (mut net, mut b, listener) = listening();
    let mut peer = open(&mut net, 1000, &[]).unwrap();
    let mut socket = accepted(&mut net, &mut b, listener);
    let memory = net.hosts[1].stack.memory_used;
    for hole in 0..10_000u32 {
        let forged = Forged {
            seq: peer.seq.wrapping_add(1 + hole.wrapping_mul(2) % 60_000),
            data: std::vec![hole as u8],
            ..peer.clone()
        };
        forged.put(&mut net);
    }
    assert_eq!(net.hosts[1].stack.memory_used, memory);
    net.hosts[1].stack.check_invariants();
    // Bytes in order still arrive, whatever the holes held.
    let bytes = pattern(30_000);
    let mut got = Vec::new();
    for _ in 0..2000 {
        let from = got.len();
        if from >= bytes.len() {
            break;
        }
        let forged = Forged {
            data: bytes[from..(from + 1000).min(bytes.len())].to_vec(),
            ..peer.clone()
        };
        forged.put(&mut net);
        let mut chunk = [0; 65_536];
        let len = socket.reader.read(&mut chunk).unwrap();
        b.touch(&socket);
        got.extend_from_slice(&chunk[..len]);
        peer.seq = peer.seq.wrapping_add(len as u32);
        net.now = net.now.after(Duration::from_millis(1));
    }
    assert!(got.len() >= bytes.len());
}

#[test]
fn segments_that_overlap_and_differ_make_one_stream() {
    let (mut net, mut b, listener) = listening();
    let peer = open(&mut net, 1000, &[]).unwrap();
    let mut socket = accepted(&mut net, &mut b, listener);
    let mut random = crate::random::Random::new([6; 32]);
    // Each piece starts anywhere in 4000 bytes, and tells a story of its own; the last one fills what is missing.
    for story in 1..200u8 {
        let at = random.u32() % 4000;
        let len = (random.u32() % 800).min(4000 - at);
        let forged = Forged {
            seq: peer.seq.wrapping_add(at),
            data: std::vec![story; len as usize],
            ..peer.clone()
        };
        forged.put(&mut net);
    }
    for at in (0..4000u32).step_by(1000) {
        let forged = Forged {
            seq: peer.seq.wrapping_add(at),
            data: std::vec![200; 1000],
            ..peer.clone()
        };
        forged.put(&mut net);
    }
    let end = Forged {
        seq: peer.seq.wrapping_add(4000),
        flags: ACK | FIN,
        ..peer
    };
    end.put(&mut net);
    net.run(SECOND);
    let mut got = std::vec![0; 65_536];
    let len = socket.reader.read(&mut got).unwrap();
    assert_eq!(len, 4000);
    assert!(got[..4000].iter().all(|byte| (1..=200).contains(byte)));
    assert!(socket.status.load().peer_closed);
}

#[test]
fn urgent_bytes_and_single_ones_are_bytes_like_others() {
    let (mut net, mut b, listener) = listening();
    let mut peer = open(&mut net, 1000, &[]).unwrap();
    let mut socket = accepted(&mut net, &mut b, listener);
    let bytes = pattern(5000);
    for (at, byte) in bytes.iter().enumerate() {
        let forged = Forged {
            data: std::vec![*byte],
            flags: ACK | if at % 3 == 0 { 0x20 } else { 0 },
            urgent: [0, 1, 0xffff][at % 3],
            ..peer.clone()
        };
        forged.put(&mut net);
        peer.seq = peer.seq.wrapping_add(1);
    }
    let mut got = std::vec![0; 65_536];
    let len = socket.reader.read(&mut got).unwrap();
    assert!(got[..len] == bytes, "{len}");
}

#[test]
fn acknowledgments_of_pieces_that_cannot_be_are_passed_over() {
    let (mut net, mut b, listener) = listening();
    let mut peer = open(&mut net, 1000, &[4, 2, 1, 1]).unwrap();
    let mut socket = accepted(&mut net, &mut b, listener);
    let bytes = pattern(20_000);
    socket.writer.write(&bytes).unwrap();
    b.touch(&socket);
    net.settle();
    let at = peer.ack;
    for (left, right) in [
        (at, at),
        (at.wrapping_add(500), at),
        (at.wrapping_sub(1000), at.wrapping_add(u32::MAX / 2)),
        (0, u32::MAX),
        (at.wrapping_add(1), at.wrapping_add(2)),
    ] {
        let mut options = std::vec![1, 1, 5, 10];
        options.extend(left.to_be_bytes());
        options.extend(right.to_be_bytes());
        let forged = Forged {
            options,
            ..peer.clone()
        };
        for _ in 0..10 {
            forged.put(&mut net);
        }
    }
    let (got, longest, _) = take(&mut net, &mut peer, bytes.len());
    assert_eq!(got, bytes.len());
    // The least that a segment carries is not below what the peer asked for (CVE-2019-11479).
    assert!(longest >= 500, "{longest}");
}

#[test]
fn a_window_that_shrinks_to_nothing_costs_probes_and_no_byte() {
    let (mut net, mut b, listener) = listening();
    let mut peer = open(&mut net, 1000, &[]).unwrap();
    let mut socket = accepted(&mut net, &mut b, listener);
    let bytes = pattern(10_000);
    socket.writer.write(&bytes).unwrap();
    b.touch(&socket);
    net.settle();
    for window in [5000, 1000, 10, 0] {
        peer.window = window;
        peer.put(&mut net);
    }
    net.log = Some(Vec::new());
    for _ in 0..600 {
        net.run(SECOND);
        peer.put(&mut net);
    }
    let probes = net.log.take().unwrap().len();
    assert!((5..100).contains(&probes), "{probes}");
    assert_eq!(socket.status.load().error, None);
    peer.window = 0xffff;
    let (got, ..) = take(&mut net, &mut peer, bytes.len());
    assert_eq!(got, bytes.len());
}

#[test]
fn a_peer_that_never_reads_does_not_keep_what_its_client_has_left() {
    let (mut net, mut b, listener) = listening();
    let mut peer = open(&mut net, 1000, &[]).unwrap();
    let mut socket = accepted(&mut net, &mut b, listener);
    peer.window = 0;
    peer.put(&mut net);
    socket.writer.write(&pattern(10_000)).unwrap();
    b.touch(&socket);
    net.settle();
    let session = b.session;
    net.hosts[1].stack.close_session(session);
    let mut resets = 0;
    for _ in 0..63 {
        net.run(SECOND);
        let answers = peer.put(&mut net);
        resets += answers
            .iter()
            .filter(|frame| segment(frame).is_some_and(|sent| sent.is_reset()))
            .count();
    }
    assert!(resets > 0);
    net.run(SECOND * 5);
    let stack = &net.hosts[1].stack;
    assert_eq!((stack.flows.len(), stack.memory_used), (0, 0));
}

#[test]
fn two_that_open_to_each_other_are_connected() {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(1);
    assert!(connect(&mut net, &mut a, address(2, 81)).is_err());
    let mut b = net.hosts[1].client(2);
    net.set_driver(0, false);
    net.log = Some(Vec::new());
    let socket = start(&mut net, &mut b, address(1, 9)).unwrap();
    net.settle();
    let ours = super::forge::last(&net, 1);
    let mut peer = Forged {
        src_port: ours.dst_port,
        dst_port: ours.src_port,
        seq: 77,
        flags: SYN,
        window: 1000,
        ..Forged::default()
    };
    let answers = peer.put(&mut net);
    assert_eq!(segment(&answers[0]).unwrap().flags, SYN | ACK);
    peer.flags = SYN | ACK;
    peer.ack = ours.seq.wrapping_add(1);
    peer.put(&mut net);
    peer.seq = 78;
    peer.flags = ACK;
    peer.put(&mut net);
    assert!(socket.status.load().established);
}

#[test]
fn a_frame_to_itself_ends_nothing() {
    let (mut net, mut b, listener) = listening();
    // LAND: sender and receiver are the same, for a port where somebody listens.
    for (src_port, dst_port) in [(80, 80), (81, 81)] {
        let mut frame = Forged {
            src_port,
            dst_port,
            flags: SYN,
            ..Forged::default()
        }
        .frame();
        frame[26..30].copy_from_slice(&[10, 0, 0, 2]);
        super::wire::repair(&mut frame);
        assert!(put(&mut net, &frame).is_empty());
    }
    assert_eq!(net.hosts[1].stack.half_open.len(), 0);
    open(&mut net, 1000, &[]).unwrap();
    accepted(&mut net, &mut b, listener);
}

/// A peer that takes its window back hears no number beyond it, so the acknowledgments to it carry none.
#[test]
fn a_peer_that_shuts_its_window_still_hears_acknowledgments() {
    let mut net = pair(1);
    let (_a, _near, mut b, mut far, right) = known(&mut net);
    net.hosts[0].nic = None;
    assert_eq!(far.writer.write(&pattern(3000)), Ok(3000));
    b.touch(&far);
    net.hosts[1].stack.poll(net.now);
    let sent = net.hosts[1].nic.as_mut().unwrap().take();
    assert!(sent.len() >= 2, "{sent:?}");
    let shut = Forged {
        ack: right.ack.wrapping_add(1000),
        window: 0,
        ..right.clone()
    };
    shut.put(&mut net);
    // Out of order, so that it is answered at once.
    let data = Forged {
        seq: right.seq.wrapping_add(10),
        data: std::vec![1; 10],
        ..shut.clone()
    };
    let numbers = |answers: Vec<Vec<u8>>| -> Vec<u32> {
        let segments = answers.iter().filter_map(|frame| segment(frame));
        let bare = segments.filter(|segment| segment.len == 0);
        bare.map(|segment| segment.seq).collect()
    };
    assert_eq!(numbers(data.put(&mut net)), [shut.ack]);
    let open = Forged {
        window: 0xffff,
        ..data
    };
    // With an open window it is the next number, behind everything.
    assert_eq!(numbers(open.put(&mut net)), [right.ack.wrapping_add(3000)]);
}

/// A peer that has everything but the FIN, and says so again and again: the FIN is sent again.
#[test]
fn a_fin_that_was_lost_is_sent_again_however_often_the_rest_is_acknowledged() {
    for repeats in [0, 2, 3, 4, 9] {
        let mut net = pair(1);
        let (_a, _near, mut b, far, right) = known(&mut net);
        net.hosts[0].nic = None;
        close(&mut net, &mut b, far.handle, false);
        for _ in 0..repeats {
            right.put(&mut net);
        }
        net.log = Some(Vec::new());
        net.run(SECOND * 10);
        let log = net.log.as_ref().unwrap().iter();
        let fins = log.filter(|(_, frame)| segment(frame).is_some_and(|sent| sent.is_fin()));
        assert!(fins.count() >= 2, "{repeats}");
    }
}
