//! The end of a connection that the peer has ended first: the acknowledgment of its FIN, and what is none.

use super::{
    forge::{ACK, FIN, Forged, RST, SYN, last},
    tcp_hostile::{listening, open},
    *,
};

/// A connection without a client whose FIN is on its way, and the segment that acknowledges it.
fn ended() -> (Network, Client, Forged) {
    let (mut net, mut b, listener) = listening();
    net.log = Some(Vec::new());
    let mut peer = open(&mut net, 1000, &[]).unwrap();
    let (far, _) = accept(&mut net, &mut b, listener).unwrap();
    let fin = Forged {
        flags: FIN | ACK,
        ..peer.clone()
    };
    assert!(fin.put(&mut net).is_empty());
    close(&mut net, &mut b, far.handle, false);
    let answer = last(&net, 1);
    peer.seq = peer.seq.wrapping_add(1);
    assert_eq!((answer.flags, answer.ack), (FIN | ACK, peer.seq));
    peer.ack = answer.end();
    (net, b, peer)
}

/// What is sent again when the peer's FIN comes again says only what was received, also when its first acknowledgment came with data, more than
/// one packet of them.
#[test]
fn a_fin_that_comes_again_is_answered_without_data() {
    let (mut net, mut b, listener) = listening();
    net.log = Some(Vec::new());
    let mut peer = open(&mut net, 1000, &[]).unwrap();
    let (mut far, _) = accept(&mut net, &mut b, listener).unwrap();
    // Two thousand bytes may be on their way at first; the rest follows with the answer to the FIN.
    far.writer.write(&pattern(3524)).unwrap();
    b.touch(&far);
    net.run(SECOND / 100);
    close(&mut net, &mut b, far.handle, false);
    peer.ack = last(&net, 1).end();
    let fin = Forged {
        flags: FIN | ACK,
        ..peer.clone()
    };
    let answers = fin.put(&mut net);
    let answers: Vec<_> = answers.iter().filter_map(|it| forge::segment(it)).collect();
    peer.ack = answers.last().unwrap().end();
    peer.seq = peer.seq.wrapping_add(1);
    assert!(answers.iter().map(|it| it.len).sum::<usize>() > 1460);
    assert!(answers.last().unwrap().flags & FIN != 0);
    peer.put(&mut net);
    for _ in 0..3 {
        for answer in fin.put(&mut net) {
            let answer = forge::segment(&answer).unwrap();
            assert_eq!((answer.ack, answer.len), (peer.seq, 0));
        }
    }
}

fn lives(net: &Network) -> bool {
    let stack = &net.hosts[1].stack;
    stack.check_invariants();
    stack.connections.len() == 1 && stack.flows.len() == 1
}

#[test]
fn a_connection_ends_with_the_acknowledgment_of_its_fin() {
    for late in [0, 1, 5] {
        let (mut net, _b, peer) = ended();
        net.run(SECOND * late);
        assert!(lives(&net), "{late}");
        assert!(peer.put(&mut net).is_empty());
        assert!(!lives(&net), "{late}");
        assert_eq!(net.hosts[1].stack.spares.len(), 1);
        // Nothing is said of it any more.
        let said = net.log.as_ref().unwrap().len();
        net.run(SECOND * 100);
        let mut after = net.log.as_ref().unwrap().iter().skip(said);
        assert!(after.all(|(_, bytes)| forge::segment(bytes).is_none()));
    }
}

#[test]
fn nothing_less_ends_it() {
    let (mut net, _b, peer) = ended();
    let other = |seq: u32, ack: u32, flags: u8, data: &[u8]| Forged {
        seq: peer.seq.wrapping_add(seq),
        ack: peer.ack.wrapping_add(ack),
        flags,
        data: data.into(),
        ..peer.clone()
    };
    for forged in [
        other(1 << 20, 0, ACK, b""),
        other(u32::MAX, 0, ACK, b""),
        other(u32::MAX, 0, ACK, b"x"),
        other(0, u32::MAX, ACK, b""),
        other(0, 1, ACK, b""),
        other(0, 0, 0, b""),
        other(0, 0, SYN | ACK, b""),
        other(1, 0, RST, b""),
        other(u32::MAX, u32::MAX, FIN | ACK, b""),
    ] {
        let answers = forged.put(&mut net);
        let answers = answers.iter().filter_map(|frame| forge::segment(frame));
        assert!(answers.into_iter().all(|answer| !answer.is_reset()));
        assert!(lives(&net), "{:#x} {:?}", forged.flags, forged.data);
    }
    peer.put(&mut net);
    assert!(!lives(&net));
}

/// What comes together with the acknowledgment is heard by the engine, as before.
#[test]
fn other_acknowledgments_of_the_fin_end_it_too() {
    let (mut net, _b, peer) = ended();
    let forged = Forged {
        flags: ACK | 8,
        window: 7,
        ..peer
    };
    assert!(forged.put(&mut net).is_empty());
    assert!(!lives(&net));
}

/// The engine does not hear of the end of a connection that has carried nothing; what is no end is none all the same.
#[test]
fn only_the_next_segment_ends_a_connection_that_has_carried_nothing() {
    for (seq, ack, flags) in [
        (1, 0, FIN | ACK),
        (u32::MAX, 0, FIN | ACK),
        (1 << 20, 0, FIN | ACK),
        (0, 1, FIN | ACK),
        (0, u32::MAX, FIN | ACK),
        (0, 1 << 31, FIN | ACK),
        (0, 0, FIN),
        (0, 0, FIN | SYN | ACK),
    ] {
        let (mut net, mut b, listener) = listening();
        let peer = open(&mut net, 1000, &[]).unwrap();
        let (far, _) = accept(&mut net, &mut b, listener).unwrap();
        let forged = Forged {
            seq: peer.seq.wrapping_add(seq),
            ack: peer.ack.wrapping_add(ack),
            flags,
            ..peer.clone()
        };
        forged.put(&mut net);
        let status = far.status.load();
        assert!(
            !status.peer_closed && status.error.is_none(),
            "{seq} {ack} {flags:#x}"
        );
        assert!(lives(&net));
        let fin = Forged {
            flags: FIN | ACK,
            ..peer
        };
        fin.put(&mut net);
        assert!(far.status.load().peer_closed, "{seq} {ack} {flags:#x}");
    }
}

/// A client that is slow to close, or has something to say behind the peer's end.
#[test]
fn what_the_client_says_behind_the_end_arrives() {
    for wait in [0, 1] {
        let (mut net, mut b, listener) = listening();
        net.log = Some(Vec::new());
        let mut peer = open(&mut net, 1000, &[]).unwrap();
        let (mut far, _) = accept(&mut net, &mut b, listener).unwrap();
        let fin = Forged {
            flags: FIN | ACK,
            ..peer.clone()
        };
        fin.put(&mut net);
        net.run(SECOND * wait);
        far.writer.write(b"last words").unwrap();
        b.touch(&far);
        close(&mut net, &mut b, far.handle, false);
        let said = last(&net, 1);
        peer.seq = peer.seq.wrapping_add(1);
        assert_eq!((said.flags & FIN, said.len, said.ack), (FIN, 10, peer.seq));
        assert_eq!(said.seq, peer.ack);
        peer.ack = said.end();
        assert!(lives(&net));
        peer.put(&mut net);
        assert!(!lives(&net));
    }
}

/// A peer without room takes the last bytes, and the FIN, one by one as it is asked for room. Then there is nothing more to ask.
#[test]
fn nothing_is_asked_of_a_peer_that_has_it_all() {
    let (mut net, mut client, mut stream, mut peer) = super::acks::accepted(&[2, 4, 5, 180]);
    peer.window = 0;
    peer.put(&mut net);
    stream.writer.write(b"abc").unwrap();
    client.touch(&stream);
    let id = client.id();
    client.send(&Request::Shutdown {
        id,
        socket: stream.handle,
    });
    let (mut asked, mut frames) = (0, 0);
    for _ in 0..600 {
        net.now = net.now.after(Duration::from_millis(100));
        let host = &mut net.hosts[1];
        for _ in 0..50 {
            if !host.stack.poll(net.now).work_left {
                break;
            }
        }
        let sent = host.nic.as_mut().unwrap().take();
        host.stack.poll(net.now);
        frames += sent.len();
        let ends = sent.iter().filter_map(|frame| super::forge::segment(frame));
        if let Some(end) = ends
            .map(|it| it.end())
            .find(|end| crate::blind::is_after(*end, peer.ack))
        {
            (peer.ack, asked) = (end, asked + 1);
            peer.put(&mut net);
        }
    }
    assert_eq!(asked, 3, "{frames} frames");
    assert!(frames < 12, "{frames} frames");
}
