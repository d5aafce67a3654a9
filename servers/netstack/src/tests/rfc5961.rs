//! Somebody who knows the addresses and ports of a connection but can't see it: resets, SYNs, acknowledgments and data
//! that hit the window without being right (RFC 5961).

use super::{forge::*, *};

/// The challenge in what was answered: one bare acknowledgment of what was received.
fn challenge(answers: &[Vec<u8>], right: &Forged) -> bool {
    let [answer] = answers else { return false };
    let sent = segment(answer).unwrap();
    sent.is_ack() && sent.len == 0 && (sent.seq, sent.ack) == (right.ack, right.seq)
}

#[test]
fn a_reset_must_name_the_next_byte() {
    let mut net = pair(1);
    let (mut a, mut near, mut b, mut far, right) = known(&mut net);
    let reset = |offset: u32| Forged {
        seq: right.seq.wrapping_add(offset),
        flags: RST,
        ..right.clone()
    };
    for offset in [1, 2, 1000, 30_000] {
        net.run(SECOND * 2);
        let answers = reset(offset).put(&mut net);
        assert!(challenge(&answers, &right), "{offset}: {answers:?}");
        // At most one a second, and of this connection alone.
        assert!(reset(offset).put(&mut net).is_empty());
    }
    // Outside of the window: nothing at all.
    for offset in [u32::MAX, 1 << 20, 1 << 31, 3 << 30] {
        net.run(SECOND * 2);
        assert!(reset(offset).put(&mut net).is_empty(), "{offset}");
    }
    assert!(lives(&mut net, (&mut a, &mut near), (&mut b, &mut far)));
    net.run(SECOND);
    let seq = last(&net, 1).ack;
    let exact = Forged {
        seq,
        flags: RST,
        ..right
    };
    assert!(exact.put(&mut net).is_empty());
    assert_eq!(far.status.load().error, Some(NetError::ConnectionReset));
}

#[test]
fn a_syn_inside_a_connection_is_asked_back_and_ends_nothing() {
    let mut net = pair(1);
    let (mut a, mut near, mut b, mut far, right) = known(&mut net);
    for offset in [0, 1, 30_000, 1 << 20, 1 << 31] {
        for flags in [SYN, SYN | ACK] {
            net.run(SECOND * 2);
            let forged = Forged {
                seq: right.seq.wrapping_add(offset),
                flags,
                ..right.clone()
            };
            let answers = forged.put(&mut net);
            assert!(challenge(&answers, &right), "{offset}: {answers:?}");
        }
    }
    assert!(lives(&mut net, (&mut a, &mut near), (&mut b, &mut far)));
}

#[test]
fn flags_that_contradict_each_other_end_nothing() {
    let mut net = pair(1);
    let (mut a, mut near, mut b, mut far, right) = known(&mut net);
    for flags in 0..=255u8 {
        let one = flags & (SYN | RST | FIN);
        if !one.is_power_of_two() && one != 0 {
            let forged = Forged {
                flags,
                ..right.clone()
            };
            forged.put(&mut net);
        }
    }
    assert!(lives(&mut net, (&mut a, &mut near), (&mut b, &mut far)));
}

#[test]
fn what_was_never_sent_cannot_be_acknowledged() {
    let mut net = pair(1);
    let (mut a, mut near, mut b, mut far, mut right) = known(&mut net);
    // The peer takes nothing for a moment, so that most of what is written waits behind its window.
    right.window = 100;
    right.put(&mut net);
    net.faults.loss = 1000;
    let bytes = pattern(40_000);
    assert_eq!(far.writer.write(&bytes).unwrap(), bytes.len());
    b.touch(&far);
    net.settle();
    let sent = last(&net, 1);
    let next = sent.seq.wrapping_add(sent.len as u32);
    for beyond in [1, 500, 10_000, 39_000] {
        let forged = Forged {
            ack: next.wrapping_add(beyond),
            window: 0xffff,
            ..right.clone()
        };
        forged.put(&mut net);
    }
    net.faults.loss = 0;
    let mut got = Vec::new();
    let mut chunk = [0; 8192];
    net.run_until(SECOND * 60, |_| {
        let len = near.reader.read(&mut chunk).unwrap();
        got.extend_from_slice(&chunk[..len]);
        a.touch(&near);
        a.receive();
        got.len() >= bytes.len()
    });
    assert!(got == bytes, "{} bytes", got.len());
}

#[test]
fn data_with_a_wrong_acknowledgment_is_not_taken() {
    let mut net = pair(1);
    let (mut a, mut near, mut b, mut far, right) = known(&mut net);
    for ack in [1, 100_000, 1 << 30, 1 << 31, 3 << 30, u32::MAX - 70_000] {
        for flags in [ACK, ACK | FIN, 0] {
            let forged = Forged {
                ack: right.ack.wrapping_add(ack),
                flags,
                data: std::vec![0x66; 100],
                ..right.clone()
            };
            forged.put(&mut net);
        }
    }
    net.run(SECOND);
    let mut chunk = [0; 100];
    assert_eq!(far.reader.read(&mut chunk).unwrap(), 0);
    assert!(!far.status.load().peer_closed);
    assert!(lives(&mut net, (&mut a, &mut near), (&mut b, &mut far)));
}

#[test]
fn a_hundred_thousand_guesses_end_nothing() {
    let mut net = pair(1);
    let (mut a, mut near, mut b, mut far, right) = known(&mut net);
    let mut random = crate::random::Random::new([3; 32]);
    let mut answers = 0;
    for guess in 0..100_000u32 {
        let forged = Forged {
            seq: random.u32(),
            ack: random.u32(),
            flags: [RST, SYN, ACK, ACK | FIN][guess as usize % 4],
            ..right.clone()
        };
        answers += forged.put(&mut net).len();
    }
    // No time has passed: one challenge.
    assert!(answers <= 1, "{answers}");
    assert!(lives(&mut net, (&mut a, &mut near), (&mut b, &mut far)));
}

#[test]
fn a_connection_that_has_ended_waits_its_time_whatever_is_said() {
    let mut net = pair(1);
    let (mut a, near, mut b, far, _) = known(&mut net);
    // The second host closes first, and waits.
    close(&mut net, &mut b, far.handle, false);
    net.run(SECOND);
    close(&mut net, &mut a, near.handle, false);
    net.run(SECOND);
    assert_eq!(net.hosts[1].stack.time_waits.len(), 1);
    let (ours, theirs) = (last(&net, 1), last(&net, 0));
    let right = Forged {
        src_port: theirs.src_port,
        dst_port: theirs.dst_port,
        seq: ours.ack,
        ack: theirs.ack,
        flags: RST,
        window: 0xffff,
        ..Forged::default()
    };
    // RFC 1337: neither a reset, nor an old segment, nor a SYN of an earlier time.
    assert!(right.put(&mut net).is_empty());
    let old = Forged {
        seq: right.seq.wrapping_sub(2000),
        flags: SYN,
        ..right.clone()
    };
    assert_eq!(old.put(&mut net).len(), 1);
    assert_eq!(net.hosts[1].stack.time_waits.len(), 1);
    // One that can't be mistaken may begin anew.
    let new = Forged {
        seq: right.seq.wrapping_add(2000),
        flags: SYN,
        ..right
    };
    new.put(&mut net);
    assert_eq!(net.hosts[1].stack.time_waits.len(), 0);
}

/// Damage on the wire must not look like the peer's will: neither end a handshake, nor begin one in place of another.
#[test]
fn damaged_segments_end_no_handshake() {
    for flags in [RST, SYN, SYN | RST, FIN | ACK] {
        let mut net = pair(1);
        let (_a, _near, mut b, _far, _) = known(&mut net);
        listen(&mut net, &mut b, address(2, 80), 8).unwrap();
        let before = net.hosts[1].stack.counters().connections;
        let syn = Forged {
            src_port: 5000,
            dst_port: 80,
            seq: 1000,
            flags: SYN,
            window: 1000,
            ..Forged::default()
        };
        let answers = syn.put(&mut net);
        let [answer] = answers.as_slice() else {
            panic!("{answers:?}");
        };
        let ack = Forged {
            seq: 1001,
            ack: segment(answer).unwrap().seq.wrapping_add(1),
            flags: ACK,
            ..syn.clone()
        };
        let mut damaged = Forged {
            flags,
            ..ack.clone()
        }
        .frame();
        // Another sequence number than the checksum was made of.
        for seq in [1001_u32, 2000] {
            damaged[38..42].copy_from_slice(&seq.to_be_bytes());
            damaged[50] ^= 0x40;
            assert!(put(&mut net, &damaged).is_empty(), "{flags}");
        }
        ack.put(&mut net);
        let after = net.hosts[1].stack.counters().connections;
        assert_eq!(after, before + 1, "{flags}");
    }
}

/// A handshake is not ended by a SYN of somebody who only knows the addresses; a peer that begins anew gets through all the same.
#[test]
fn a_syn_inside_a_handshake_is_asked_back() {
    let mut net = pair(1);
    let (_a, _near, mut b, _far, right) = known(&mut net);
    let (listener, local) = listen(&mut net, &mut b, address(2, 0), 8).unwrap();
    let from_peer = |seq: u32, ack: u32, flags: u8| Forged {
        src_port: right.src_port.wrapping_add(1),
        dst_port: local.port(),
        seq,
        ack,
        flags,
        window: 1000,
        ..Forged::default()
    };
    let opened = |answers: Vec<Vec<u8>>| {
        let [answer] = &answers[..] else {
            panic!("{answers:?}")
        };
        let sent = segment(answer).unwrap();
        assert_eq!(sent.flags, SYN | ACK);
        (sent.seq, sent.ack)
    };
    let first = opened(from_peer(1000, 0, SYN).put(&mut net));
    assert_eq!(first.1, 1001);
    for seq in [0, 1001, 5000, 1 << 31] {
        assert_eq!(opened(from_peer(seq, 0, SYN).put(&mut net)), first, "{seq}");
    }
    // Begun anew: what does not fit is reset by the peer, and the next try is heard.
    assert!(from_peer(1001, 0, RST).put(&mut net).is_empty());
    let second = opened(from_peer(5000, 0, SYN).put(&mut net));
    assert_eq!(second.1, 5001);
    opened(from_peer(77, 0, SYN).put(&mut net));
    from_peer(5001, second.0.wrapping_add(1), ACK).put(&mut net);
    accept(&mut net, &mut b, listener).unwrap();
}

/// A handshake ends with an acknowledgment at once, also where the peer's numbers begin so that little seems to be acknowledged.
#[test]
fn whoever_connects_answers_at_once_whatever_the_peer_counts_from() {
    for isn in [0, 1, 500, 1 << 31, u32::MAX] {
        let mut net = pair(1);
        let (_a, _near, mut b, _far, right) = known(&mut net);
        let id = b.id();
        let (buffers, _) = b.buffers(16);
        b.send(&Request::TcpConnect {
            id,
            remote: address(1, 9999),
            local_port: 0,
            buffers,
        });
        net.hosts[1].stack.heard(u64::MAX);
        net.hosts[1].stack.poll(net.now);
        let sent = net.hosts[1].nic.as_mut().unwrap().take();
        let syn = sent.iter().find_map(|bytes| segment(bytes)).unwrap();
        assert_eq!(syn.flags, SYN);
        let answers = Forged {
            src_port: syn.dst_port,
            dst_port: syn.src_port,
            seq: isn,
            ack: syn.seq.wrapping_add(1),
            flags: SYN | ACK,
            ..right
        }
        .put(&mut net);
        let [answer] = &answers[..] else {
            panic!("{isn}: {answers:?}")
        };
        assert_eq!(segment(answer).unwrap().ack, isn.wrapping_add(1));
    }
}
