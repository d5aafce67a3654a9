//! A peer that does not shift windows (RFC 7323 section 2.2), as QEMU's user network: it can be told of 64 KiB at most, however large the
//! buffers are.

use super::{acks::accepted, forge::segment, *};
use crate::classify::Segment;
use std::vec;

/// Most bytes of data in a packet.
const MOST: usize = 1400;
/// Maximum segment size of 1460, and nothing else.
const OPTIONS: [u8; 4] = [2, 4, 5, 180];

/// A segment that says the same as the one before, while data are on their way, is how a receiver tells of a loss (RFC 5681 section 2): a sender
/// halves its window for three of them.
#[test]
fn no_acknowledgment_says_the_same_as_the_one_before() {
    let (mut net, mut b, mut stream, mut peer) = accepted(&OPTIONS);
    let mut said: Option<Segment> = None;
    let (mut sent, mut got) = (0, 0);
    for round in 0..2000 {
        // The client is slower than the peer, and then it is not.
        let window = said.map_or(u16::MAX, |said| said.window);
        let burst = (usize::from(window) / MOST).min(1 + round % 40);
        let frames = (0..burst).map(|_| {
            peer.data = vec![sent as u8; MOST];
            let frame = peer.frame();
            peer.seq = peer.seq.wrapping_add(MOST as u32);
            sent += MOST;
            frame
        });
        let frames: Vec<Vec<u8>> = frames.collect();
        let nic = net.hosts[1].nic.as_mut().unwrap();
        nic.put_all(frames);
        while net.hosts[1].stack.poll(net.now).work_left {}
        let mut answers = net.hosts[1].nic.as_mut().unwrap().take();
        let mut bytes = vec![0; if round % 100 < 50 { 20_000 } else { 1 << 18 }];
        got += stream.reader.read(&mut bytes).unwrap();
        if stream.reader.tells_room() {
            b.touch(&stream);
        }
        net.now = net.now.after(Duration::from_millis(1));
        while net.hosts[1].stack.poll(net.now).work_left {}
        answers.extend(net.hosts[1].nic.as_mut().unwrap().take());
        for now in answers.iter().filter_map(|frame| segment(frame)) {
            if let Some(before) = said {
                let is_same = (now.ack, now.window) == (before.ack, before.window);
                assert!(!is_same, "{now:?} again after {sent} bytes");
            }
            said = Some(now);
        }
    }
    assert!(sent > 10_000_000 && sent - got <= 1 << 18, "{sent} {got}");
}
