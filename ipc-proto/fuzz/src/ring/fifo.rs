//! Both ends of a socket's FIFOs, in memory where the input says that they are.

use super::scribble;
use crate::generate;
use arbitrary::Unstructured;
use ipc_proto::{
    error::PeerError,
    fifo::{ALIGN, CONTROL_SIZE, End, HEADER_SIZE, Reader, Status, StreamEnds, Writer, ends},
    shm::Shm,
    socket::{Buffers, NetError},
};
use std::{collections::VecDeque, net::SocketAddr};

const MAX_OPS: usize = 400;
/// As in a session: the channel comes first.
const ARENA: usize = 64;
const LEN: usize = ARENA + CONTROL_SIZE + 2 * 2048 + 64;

/// What is in one FIFO, as an honest pair sees it: records and no bytes, or bytes and no records.
#[derive(Default)]
struct Lane {
    bytes: VecDeque<u8>,
    records: VecDeque<(SocketAddr, Vec<u8>)>,
}

/// Runs both ends as the input says.
pub(super) fn run(input: &mut Unstructured<'_>) {
    let memory = Shm::heap(LEN);
    let chosen = buffers(input);
    let stack = ends(&memory, &chosen, End::Stack, ARENA);
    let client = ends(&memory, &chosen, End::Client, ARENA);
    assert_eq!(stack.is_ok(), is_good(&chosen));
    assert_eq!(client.is_ok(), stack.is_ok());
    let (Ok(mut client), Ok(mut stack)) = (client, stack) else {
        return;
    };
    // Parts that overlap garble the client's own data.
    let mut honest = chosen == PLAIN;
    let records = generate::byte(input) & 1 != 0;
    let (mut to_stack, mut to_client) = (Lane::default(), Lane::default());
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        let op = generate::byte(input);
        let from_client = op & 16 == 0;
        let (lane, from, to) = if from_client {
            (&mut to_stack, &mut client, &mut stack)
        } else {
            (&mut to_client, &mut stack, &mut client)
        };
        match op % 16 {
            0..=4 if records => write_record(input, honest, lane, &mut from.writer),
            0..=4 => write(input, honest, lane, &mut from.writer),
            5..=10 if records => read_record(input, honest, lane, &mut to.reader),
            5..=10 => read(input, honest, lane, &mut to.reader),
            11 => look(honest, lane, from, to),
            12 => status(input, honest, &client, &stack),
            _ => {
                scribble(input, &memory, ARENA + CONTROL_SIZE);
                honest = false;
            }
        }
    }
}

const PLAIN: Buffers = Buffers {
    control: ARENA as u32,
    rx: (ARENA + CONTROL_SIZE) as u32,
    rx_log2: 10,
    tx: (ARENA + CONTROL_SIZE + 2048) as u32,
    tx_log2: 11,
};

/// Where the client says that the parts are.
fn buffers(input: &mut Unstructured<'_>) -> Buffers {
    if generate::byte(input) % 4 != 3 {
        return PLAIN;
    }
    let mut offset = || match generate::byte(input) % 4 {
        0 => generate::number(input, 4) as u32,
        _ => (u32::from(generate::byte(input)) * ALIGN as u32) % (LEN as u32 + 64),
    };
    Buffers {
        control: offset(),
        rx: offset(),
        tx: offset(),
        rx_log2: generate::byte(input) % 24,
        tx_log2: 10 + generate::byte(input) % 3,
    }
}

fn is_good(buffers: &Buffers) -> bool {
    let fits = |offset: u32, len: u64| {
        offset.is_multiple_of(ALIGN as u32)
            && offset as usize >= ARENA
            && u64::from(offset) + len <= LEN as u64
    };
    fits(buffers.control, CONTROL_SIZE as u64)
        && [(buffers.rx, buffers.rx_log2), (buffers.tx, buffers.tx_log2)]
            .into_iter()
            .all(|(offset, log2)| (10..=22).contains(&log2) && fits(offset, 1 << log2))
}

/// Some bytes that tell where they belong: long ones cost no input.
fn data(input: &mut Unstructured<'_>) -> Vec<u8> {
    let len = generate::number(input, 2) % 3000;
    let first = generate::byte(input);
    (0..len).map(|at| first.wrapping_add(at as u8)).collect()
}

fn write(input: &mut Unstructured<'_>, honest: bool, lane: &mut Lane, writer: &mut Writer) {
    let data = data(input);
    let result = writer.write(&data);
    if let Ok(written) = result {
        assert!(written <= data.len() && written <= writer.capacity());
        lane.bytes.extend(&data[..written]);
    }
    if honest {
        assert!(lane.bytes.len() <= writer.capacity());
        // Short only if it is full.
        assert!(result == Ok(data.len()) || lane.bytes.len() == writer.capacity());
    }
}

fn read(input: &mut Unstructured<'_>, honest: bool, lane: &mut Lane, reader: &mut Reader) {
    let len = generate::number(input, 2) as usize % 3000;
    let mut out = vec![0xee; len];
    let mode = generate::byte(input) % 4;
    let result = if mode == 0 {
        reader.peek(&mut out)
    } else {
        reader.read(&mut out)
    };
    let Ok(got) = result else {
        assert!(!honest);
        return;
    };
    assert!(got <= len && got <= reader.capacity());
    assert!(out[got..].iter().all(|byte| *byte == 0xee));
    if honest {
        assert_eq!(got, len.min(lane.bytes.len()));
        assert!(lane.bytes.iter().zip(&out[..got]).all(|(a, b)| a == b));
    }
    let skipped = if mode == 0 { reader.skip(len / 2) } else { got };
    if honest {
        lane.bytes.drain(..skipped);
    }
}

fn write_record(input: &mut Unstructured<'_>, honest: bool, lane: &mut Lane, writer: &mut Writer) {
    let data = data(input);
    let Some(peer) = generate::value::<SocketAddr>(input) else {
        return;
    };
    let result = writer.write_record(peer, &data);
    if honest {
        let size = |len: usize| HEADER_SIZE + len.next_multiple_of(8);
        let used: usize = lane.records.iter().map(|(_, data)| size(data.len())).sum();
        let fits = used + size(data.len()) <= writer.capacity();
        assert_eq!(result, Ok(fits));
        if fits {
            lane.records.push_back((peer, data));
        }
    }
}

fn read_record(input: &mut Unstructured<'_>, honest: bool, lane: &mut Lane, reader: &mut Reader) {
    let how = generate::byte(input);
    let mut out = vec![0xee; usize::from(how) * 8];
    if how.is_multiple_of(3) {
        let peeked = reader.peek_record().map(Option::<&_>::copied);
        if honest {
            let next = lane.records.front();
            let next = next.map(|(peer, data)| (*peer, data.len()));
            assert_eq!(peeked.map(|r| r.map(|r| (r.peer, r.len))), Ok(next));
        }
    }
    if how.is_multiple_of(7) {
        let skipped = reader.skip_record();
        if honest {
            assert_eq!(skipped, Ok(lane.records.pop_front().is_some()));
        }
        return;
    }
    let result = reader.read_record(&mut out);
    if let Ok(Some(record)) = &result {
        assert!(record.len + HEADER_SIZE <= reader.capacity());
        assert!(out.iter().skip(record.len).all(|byte| *byte == 0xee));
    }
    if honest {
        let next = lane.records.pop_front();
        let record = result.expect("an honest peer");
        assert_eq!(record.is_some(), next.is_some());
        if let (Some(record), Some((peer, data))) = (record, next) {
            assert_eq!((record.peer, record.len), (peer, data.len()));
            let copied = data.len().min(out.len());
            assert_eq!(out[..copied], data[..copied]);
        }
    }
}

/// How much is in, and free.
fn look(honest: bool, lane: &Lane, from: &mut StreamEnds, to: &mut StreamEnds) {
    let (free, waiting) = (from.writer.free(), to.reader.available());
    let drained = from.writer.is_drained();
    let (capacity, largest) = (from.writer.capacity(), from.writer.largest_record());
    assert!(largest < capacity);
    for amount in [free, waiting].into_iter().flatten() {
        assert!(amount <= capacity);
    }
    if honest {
        assert_eq!(free.map(|free| capacity - free), waiting);
        assert_eq!(drained, waiting.map(|waiting| waiting == 0));
        if lane.records.is_empty() {
            assert_eq!(waiting, Ok::<_, PeerError>(lane.bytes.len()));
        }
    }
}

fn status(input: &mut Unstructured<'_>, honest: bool, client: &StreamEnds, stack: &StreamEnds) {
    let bits = generate::byte(input);
    let status = Status {
        established: bits & 1 != 0,
        peer_closed: bits & 2 != 0,
        error: (bits & 4 != 0).then(|| generate::choose(input, &NetError::ALL)),
    };
    let _ = client.status.load();
    stack.status.store(status);
    if honest {
        assert_eq!(client.status.load(), status);
    }
}
