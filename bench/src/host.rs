//! What rings, messages and FIFOs cost on the host, beside rings whose two sides trust each other. No guest takes part.

use crate::{Failure, Outcome, results::Micro, stats::Samples};
use crossbeam_queue::ArrayQueue;
use ipc_proto::{
    channel::{Channel, Geometry, Side},
    codec,
    fifo::{self, End},
    frame::{RING_SLOTS, Run, SLOT_SIZE, ToDriver, ToStack},
    shm::Shm,
    socket::{Buffers, Request},
};
use std::{
    hint::black_box,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

const GROUP: &str = "On the host";
/// Samples of each figure, one after the other in turns.
const SAMPLES: usize = 15;
/// Length of a sample.
const TIME: Duration = Duration::from_millis(40);
/// Messages between two looks at the clock.
const BATCH: u32 = 64;
/// Messages of a sample with two threads.
const CROSSING: u32 = 400_000;

/// Something that is measured: runs a batch again and again and returns seconds for each message or byte.
struct Figure {
    title: &'static str,
    unit: &'static str,
    /// Of seconds.
    scale: f64,
    run: Box<dyn FnMut() -> Outcome<f64>>,
}

/// Measures everything.
///
/// # Errors
/// If memory can't be laid out, which would be a mistake here.
pub fn all() -> Outcome<Vec<Micro>> {
    let mut figures = one_thread()?;
    figures.extend(messages());
    figures.extend(copies()?);
    figures.extend(two_threads());
    let mut samples = vec![Vec::new(); figures.len()];
    for _ in 0..SAMPLES {
        for (figure, samples) in figures.iter_mut().zip(&mut samples) {
            samples.push((figure.run)()? / figure.scale);
        }
    }
    let micro = |(figure, samples): (Figure, Vec<f64>)| Micro {
        group: GROUP.into(),
        title: figure.title.into(),
        unit: figure.unit.into(),
        samples: Samples(samples),
    };
    Ok(figures.into_iter().zip(samples).map(micro).collect())
}

/// Repeats a batch for a while: seconds for each of its `count` parts.
fn repeat(count: u32, mut batch: impl FnMut() -> Outcome) -> Outcome<f64> {
    let (start, mut batches) = (Instant::now(), 0.0);
    while start.elapsed() < TIME {
        batch()?;
        batches += 1.0;
    }
    Ok(start.elapsed().as_secs_f64() / (batches * f64::from(count)))
}

fn nanos(title: &'static str, run: impl FnMut() -> Outcome<f64> + 'static) -> Figure {
    Figure {
        title,
        unit: "ns/message",
        scale: 1e-9,
        run: Box::new(run),
    }
}

type DriverEnd = Channel<ToStack, ToDriver>;
type StackEnd = Channel<ToDriver, ToStack>;

/// Both ends of a frame channel.
fn channel() -> Outcome<(StackEnd, DriverEnd)> {
    let geometry = Geometry {
        slots: RING_SLOTS,
        slot_size: SLOT_SIZE,
        sockets: 0,
    };
    let memory = Shm::heap(geometry.bytes());
    let bad = |_| Failure("no channel in this memory".into());
    Ok((
        StackEnd::new(memory.clone(), Side::Stack, geometry).map_err(bad)?,
        DriverEnd::new(memory, Side::Client, geometry).map_err(bad)?,
    ))
}

/// The message that most buffers are handed over with.
fn frame(number: u32) -> ToDriver {
    ToDriver::Receive {
        buffers: Run::one(number as u16 & 0x3ff),
    }
}

/// A batch of messages goes in and comes out, in one thread: what a ring costs without a fight for cache lines.
fn one_thread() -> Outcome<Vec<Figure>> {
    let (mut stack, mut driver) = channel()?;
    let queue = ArrayQueue::new(RING_SLOTS as usize);
    let (mut to, mut from) = rtrb::RingBuffer::new(RING_SLOTS as usize);
    let (sender, receiver) = mpsc::sync_channel(RING_SLOTS as usize);
    let lost = || Failure("a message was lost".into());
    Ok(vec![
        nanos(
            "channel of ipc-proto: encoded, checked, decoded, one thread",
            move || {
                repeat(BATCH, || {
                    for number in 0..BATCH {
                        stack.send(&frame(number)).map_err(|_| lost())?;
                    }
                    black_box(stack.flush());
                    for number in 0..BATCH {
                        let message = driver.receive().map_err(|_| lost())?;
                        if message != Some(frame(number)) {
                            return Err(lost());
                        }
                    }
                    black_box(driver.flush());
                    Ok(())
                })
            },
        ),
        nanos("rtrb, one thread", move || {
            repeat(BATCH, || {
                for number in 0..BATCH {
                    to.push(black_box(frame(number))).map_err(|_| lost())?;
                }
                for number in 0..BATCH {
                    if from.pop().ok() != Some(frame(number)) {
                        return Err(lost());
                    }
                }
                Ok(())
            })
        }),
        nanos("crossbeam ArrayQueue, one thread", move || {
            repeat(BATCH, || {
                for number in 0..BATCH {
                    queue.push(black_box(frame(number))).map_err(|_| lost())?;
                }
                for number in 0..BATCH {
                    if queue.pop() != Some(frame(number)) {
                        return Err(lost());
                    }
                }
                Ok(())
            })
        }),
        nanos("std mpsc, bounded, one thread", move || {
            repeat(BATCH, || {
                for number in 0..BATCH {
                    sender
                        .try_send(black_box(frame(number)))
                        .map_err(|_| lost())?;
                }
                for number in 0..BATCH {
                    if receiver.try_recv().ok() != Some(frame(number)) {
                        return Err(lost());
                    }
                }
                Ok(())
            })
        }),
    ])
}

/// One thread sends, another receives.
fn two_threads() -> Vec<Figure> {
    vec![
        nanos("channel of ipc-proto, two threads", || {
            let (mut stack, mut driver) = channel()?;
            crossing(
                move |number| {
                    let sent = stack.send(&frame(number)).is_ok();
                    // As a server does at the end of a pass.
                    if !sent || number.is_multiple_of(BATCH) {
                        black_box(stack.flush());
                    }
                    sent
                },
                move || {
                    let message = driver.receive().ok().flatten();
                    if message.is_none() {
                        black_box(driver.flush());
                    }
                    message
                },
            )
        }),
        nanos("rtrb, two threads", || {
            let (mut to, mut from) = rtrb::RingBuffer::new(RING_SLOTS as usize);
            crossing(
                move |number| to.push(frame(number)).is_ok(),
                move || from.pop().ok(),
            )
        }),
        nanos("crossbeam ArrayQueue, two threads", || {
            let queue = &ArrayQueue::new(RING_SLOTS as usize);
            crossing(|number| queue.push(frame(number)).is_ok(), || queue.pop())
        }),
        nanos("std mpsc, bounded, two threads", || {
            let (sender, receiver) = mpsc::sync_channel(RING_SLOTS as usize);
            crossing(
                move |number| sender.try_send(frame(number)).is_ok(),
                move || receiver.try_recv().ok(),
            )
        }),
    ]
}

/// Seconds for each message. A side that can't go on gives the processor away.
fn crossing(
    mut send: impl FnMut(u32) -> bool + Send,
    mut receive: impl FnMut() -> Option<ToDriver> + Send,
) -> Outcome<f64> {
    thread::scope(|scope| {
        let start = Instant::now();
        let sender = scope.spawn(move || {
            // One batch more: the last flush comes with it.
            for number in 0..=CROSSING + BATCH {
                while !send(number) {
                    thread::yield_now();
                }
            }
        });
        let mut right = true;
        for number in 0..CROSSING {
            let message = loop {
                match receive() {
                    Some(message) => break message,
                    None => thread::yield_now(),
                }
            };
            right &= message == frame(number);
        }
        let seconds = start.elapsed().as_secs_f64();
        while !sender.is_finished() {
            receive();
        }
        if !right {
            return Err(Failure("messages came in another order".into()));
        }
        Ok(seconds / f64::from(CROSSING))
    })
}

/// Messages become bytes, and bytes messages.
fn messages() -> Vec<Figure> {
    let connect = Request::TcpConnect {
        id: 7,
        remote: ([10, 77, 0, 1], 8000).into(),
        local_port: 0,
        buffers: buffers(16),
    };
    let mut bytes = [0; 256];
    let mut other = [0; 256];
    vec![
        nanos("buffer handed over: encode and decode", move || {
            repeat(BATCH, || {
                for number in 0..BATCH {
                    let len = codec::encode(&black_box(frame(number)), &mut bytes).unwrap_or(0);
                    let message = codec::decode::<ToDriver>(bytes.get(..len).unwrap_or_default());
                    black_box(message.map_err(|_| Failure("not decoded".into()))?);
                }
                Ok(())
            })
        }),
        nanos("request to connect: encode and decode", move || {
            repeat(BATCH, || {
                for _ in 0..BATCH {
                    let len = codec::encode(black_box(&connect), &mut other).unwrap_or(0);
                    let message = codec::decode::<Request>(other.get(..len).unwrap_or_default());
                    black_box(message.map_err(|_| Failure("not decoded".into()))?);
                }
                Ok(())
            })
        }),
    ]
}

fn buffers(log2: u8) -> Buffers {
    let (rx, size) = (fifo::CONTROL_SIZE as u32, 1 << log2);
    Buffers {
        control: 0,
        rx,
        rx_log2: log2,
        tx: rx + size,
        tx_log2: log2,
    }
}

/// Bytes through a FIFO in shared memory, beside a copy between two buffers.
fn copies() -> Outcome<Vec<Figure>> {
    const CHUNK: usize = 16 << 10;
    const LOG2: u8 = 16;
    let session = Shm::heap(fifo::CONTROL_SIZE + (2 << LOG2));
    let end = |end| {
        fifo::ends(&session, &buffers(LOG2), end, 0).map_err(|error| Failure(error.to_string()))
    };
    let (mut client, mut stack) = (end(End::Client)?, end(End::Stack)?);
    let mut data = vec![7; CHUNK];
    let mut out = vec![0; CHUNK];
    let source = vec![7_u8; CHUNK];
    let (mut middle, mut sink) = (vec![0; CHUNK], vec![0; CHUNK]);
    let figure = |title, run: Box<dyn FnMut() -> Outcome<f64>>| Figure {
        title,
        unit: "us/MB",
        scale: 1e-12,
        run,
    };
    Ok(vec![
        figure(
            "FIFO in shared memory: a byte written and read",
            Box::new(move || {
                repeat(CHUNK as u32, || {
                    let lost = |_| Failure("the other side broke the protocol".into());
                    black_box(&mut data);
                    let written = client.writer.write(&data).map_err(lost)?;
                    let read = stack.reader.read(&mut out).map_err(lost)?;
                    black_box(&mut out);
                    if (written, read) != (CHUNK, CHUNK) {
                        return Err(Failure("bytes were lost".into()));
                    }
                    Ok(())
                })
            }),
        ),
        figure(
            "the same through a private buffer: two copies",
            Box::new(move || {
                repeat(CHUNK as u32, || {
                    middle.copy_from_slice(black_box(&source));
                    sink.copy_from_slice(black_box(&middle));
                    black_box(&mut sink);
                    Ok(())
                })
            }),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_can_be_measured() {
        let mut figures = one_thread().unwrap();
        figures.extend(messages());
        figures.extend(copies().unwrap());
        for mut figure in figures {
            let seconds = (figure.run)().unwrap();
            assert!(seconds > 0.0, "{}", figure.title);
        }
        let (to, from) = mpsc::channel();
        crossing(
            move |number| to.send(frame(number)).is_ok(),
            move || from.try_recv().ok(),
        )
        .unwrap();
    }
}
