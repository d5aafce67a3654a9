//! Properties: a FIFO is a queue, of bytes or of records, whatever is done with it; and no content of the memory breaks an end.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Stage(usize, usize),
    Read(usize),
    Peek(usize),
    Skip(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![0_usize..64, 0_usize..1500];
    (0..5, len).prop_map(|(kind, len)| match kind {
        0 | 1 => Step::Write(len),
        4 => Step::Stage(len, len * 7 % (len + 2)),
        2 => Step::Read(len),
        _ if len % 2 == 0 => Step::Peek(len),
        _ => Step::Skip(len),
    })
}

proptest! {
    #![proptest_config(crate::property_tests(256))]

    /// A FIFO is a queue of bytes.
    #[test]
    fn a_stream_is_a_queue_of_bytes(
        before_wrap in 0_u32..3000,
        steps in prop::collection::vec(step(), 0..crate::STEPS / 2),
    ) {
        let (mut client, mut stack) = pair_in(&session(), 0_u32.wrapping_sub(before_wrap));
        let mut queue = VecDeque::new();
        let mut next = 0_u8;
        for step in steps {
            match step {
                Step::Write(len) => {
                    let bytes: Vec<u8> = (0..len).map(|n| next.wrapping_add(n as u8)).collect();
                    let fits = len.min(1024 - queue.len());
                    prop_assert_eq!(stack.writer.write(&bytes), Ok(fits));
                    queue.extend(&bytes[..fits]);
                    next = next.wrapping_add(fits as u8);
                }
                Step::Stage(len, seen) => {
                    let bytes: Vec<u8> = (0..len).map(|n| next.wrapping_add(n as u8)).collect();
                    let pool = Shm::heap(len + 3);
                    pool.write(3, &bytes).unwrap();
                    let fits = len <= 1024 - queue.len();
                    prop_assert_eq!(stack.writer.stage(&pool, 3, len), Ok(fits));
                    let seen = if fits { seen.min(len) } else { 0 };
                    prop_assert_eq!(stack.writer.publish_staged(seen), seen);
                    queue.extend(&bytes[..seen]);
                    next = next.wrapping_add(seen as u8);
                }
                Step::Read(len) => {
                    let mut out = vec![0; len];
                    let got = client.reader.read(&mut out).unwrap();
                    let expected: Vec<u8> = queue.drain(..len.min(queue.len())).collect();
                    prop_assert_eq!(&out[..got], &expected[..]);
                }
                Step::Peek(len) => {
                    let mut out = vec![0; len];
                    // At the front, or behind some.
                    for offset in [0, len / 3, len] {
                        let got = client.reader.peek_behind(offset, &mut out).unwrap();
                        let expected: Vec<u8> = queue.iter().copied().skip(offset).take(len).collect();
                        prop_assert_eq!(&out[..got], &expected[..]);
                    }
                    prop_assert_eq!(client.reader.peek(&mut out), Ok(len.min(queue.len())));
                }
                Step::Skip(len) => {
                    prop_assert_eq!(client.reader.available(), Ok(queue.len()));
                    let skipped = client.reader.skip(len);
                    prop_assert_eq!(skipped, len.min(queue.len()));
                    queue.drain(..skipped);
                }
            }
            prop_assert_eq!(stack.writer.free(), Ok(1024 - queue.len()));
            prop_assert_eq!(stack.writer.is_drained(), Ok(queue.is_empty()));
        }
    }

    /// A FIFO is a queue of records.
    #[test]
    fn records_are_a_queue(
        before_wrap in 0_u32..3000,
        steps in prop::collection::vec((step(), any::<SocketAddr>()), 0..crate::STEPS / 2),
    ) {
        // Indices of records are multiples of 8.
        let (mut client, mut stack) = pair_in(&session(), 0_u32.wrapping_sub(before_wrap * 8));
        let mut queue: VecDeque<(SocketAddr, Vec<u8>)> = VecDeque::new();
        let mut used = 0;
        for (step, from) in steps {
            let from = SocketAddr::new(from.ip(), from.port());
            match step {
                Step::Write(len) | Step::Stage(len, _) => {
                    let bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
                    let fits = used + record::size(len) <= 1024;
                    prop_assert_eq!(stack.writer.write_record(from, &bytes), Ok(fits));
                    if fits {
                        used += record::size(len);
                        queue.push_back((from, bytes));
                    }
                }
                Step::Peek(_) => {
                    let expected = queue.front().map(|(peer, bytes)| Record { peer: *peer, len: bytes.len() });
                    prop_assert_eq!(client.reader.peek_record(), Ok(expected.as_ref()));
                }
                Step::Read(len) | Step::Skip(len) => {
                    let mut out = vec![0; len];
                    let got = client.reader.read_record(&mut out).unwrap();
                    let Some((peer, bytes)) = queue.pop_front() else {
                        prop_assert_eq!(got, None);
                        continue;
                    };
                    used -= record::size(bytes.len());
                    prop_assert_eq!(got, Some(Record { peer, len: bytes.len() }));
                    let copied = len.min(bytes.len());
                    prop_assert_eq!(&out[..copied], &bytes[..copied]);
                    prop_assert!(out[copied..].iter().all(|byte| *byte == 0));
                }
            }
        }
    }

    /// Whatever a peer writes anywhere: no panic, and never more than the capacity at once.
    #[test]
    fn no_memory_content_breaks_an_end(
        steps in prop::collection::vec(
            (step(), any::<bool>(), 0_usize..40, prop_oneof![any::<u32>(), 0_u32..3000]),
            0..crate::STEPS / 2,
        ),
    ) {
        let session = session();
        let (mut client, mut stack) = pair_in(&session, 0);
        for (step, records, place, value) in steps {
            let offset = match place { 0..32 => ARENA + place * 4, other => 192 + (other - 32) * 4 };
            session.store(offset, value, Ordering::Relaxed).unwrap();
            for end in [&mut client, &mut stack] {
                let _ = end.status.load();
                if let Ok(free) = end.writer.free() { prop_assert!(free <= end.writer.capacity()); }
                if let Ok(waiting) = end.reader.available() { prop_assert!(waiting <= end.reader.capacity()); }
                match step {
                    Step::Write(len) if records => {
                        let _ = end.writer.write_record(peer("[::1]:7"), &vec![1; len]);
                    }
                    Step::Write(len) => { let _ = end.writer.write(&vec![1; len]); }
                    Step::Stage(len, seen) => {
                        let _ = end.writer.stage(&session, offset, len);
                        prop_assert!(end.writer.publish_staged(seen) <= seen.min(len));
                    }
                    Step::Read(len) if records => {
                        if let Ok(Some(record)) = end.reader.read_record(&mut vec![0; len]) {
                            prop_assert!(record::size(record.len) <= end.reader.capacity());
                        }
                    }
                    Step::Read(len) => {
                        if let Ok(got) = end.reader.read(&mut vec![0; len]) { prop_assert!(got <= len); }
                    }
                    Step::Peek(len) => {
                        let _ = end.reader.peek(&mut vec![0; len]);
                        let _ = end.reader.peek_behind(usize::MAX - len, &mut vec![0; len]);
                    }
                    Step::Skip(len) => { end.reader.skip(len); }
                }
            }
        }
    }
}
