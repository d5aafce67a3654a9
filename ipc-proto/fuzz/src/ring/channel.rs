//! Two ends of a channel.

use super::scribble;
use crate::generate;
use arbitrary::Unstructured;
use ipc_proto::{
    channel::{Channel, Geometry, SendError, Side},
    codec::Message,
    error::PeerError,
    shm::Shm,
};
use std::collections::{BTreeSet, VecDeque};

/// Most operations of a run.
const MAX_OPS: usize = 400;

/// What travels one way, as an honest pair sees it.
struct Lane<M> {
    /// Sent and not yet published.
    staged: VecDeque<M>,
    /// Published and not yet received.
    sent: VecDeque<M>,
    /// Received, whose slots were not yet given back.
    held: u32,
    /// Events raised and published, and not yet taken.
    events: BTreeSet<u16>,
    /// Events that were raised since the last flush.
    raised: BTreeSet<u16>,
}

impl<M> Lane<M> {
    fn new() -> Self {
        Lane {
            staged: VecDeque::new(),
            sent: VecDeque::new(),
            held: 0,
            events: BTreeSet::new(),
            raised: BTreeSet::new(),
        }
    }

    fn used(&self) -> u32 {
        (self.staged.len() + self.sent.len()) as u32 + self.held
    }
}

/// An end, and what is counted of it whatever its peer does.
struct Half<Out, In> {
    channel: Channel<Out, In>,
    /// It told its peer that it sleeps, and has heard nothing.
    sleeps: bool,
    /// It was asked to take something and gave nothing back since.
    taken: u32,
}

/// Runs both ends as the input says.
pub(super) fn run<A, B>(input: &mut Unstructured<'_>)
where
    A: Message + PartialEq + core::fmt::Debug,
    B: Message + PartialEq + core::fmt::Debug,
{
    let needed = 2 + A::MAX_SIZE.max(B::MAX_SIZE);
    let geometry = Geometry {
        slot_size: (needed.next_multiple_of(8) + usize::from(generate::byte(input) & 3) * 8)
            .clamp(16, 288),
        slots: 1 << (generate::byte(input) & 3),
        sockets: generate::number(input, 2) as u16 % 1025,
    };
    let len = Channel::<A, B>::bytes(geometry);
    let short = Shm::heap(len - 1);
    assert!(Channel::<A, B>::new(short, Side::Client, geometry).is_err());
    let memory = Shm::heap(len);
    let end = |channel| Half {
        channel,
        sleeps: false,
        taken: 0,
    };
    let mut client = end(Channel::new(memory.clone(), Side::Client, geometry).unwrap());
    let mut stack = Half {
        channel: Channel::new(memory.clone(), Side::Stack, geometry).unwrap(),
        sleeps: false,
        taken: 0,
    };
    let (mut to_stack, mut to_client) = (Lane::<A>::new(), Lane::<B>::new());
    let mut honest = true;
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        let op = generate::byte(input);
        if op % 16 == 15 {
            scribble(input, &memory, 320);
            honest = false;
        } else if op & 16 == 0 {
            step(
                input,
                op % 16,
                geometry,
                honest,
                (&mut client, &mut stack.sleeps),
                (&mut to_stack, &mut to_client),
            );
        } else {
            step(
                input,
                op % 16,
                geometry,
                honest,
                (&mut stack, &mut client.sleeps),
                (&mut to_client, &mut to_stack),
            );
        }
    }
}

/// One operation of one end: it sends on the first lane and receives on the second.
fn step<Out, In>(
    input: &mut Unstructured<'_>,
    op: u8,
    geometry: Geometry,
    honest: bool,
    (me, peer_sleeps): (&mut Half<Out, In>, &mut bool),
    (outgoing, incoming): (&mut Lane<Out>, &mut Lane<In>),
) where
    Out: Message + PartialEq + core::fmt::Debug,
    In: Message + PartialEq + core::fmt::Debug,
{
    match op {
        0..=3 => {
            let Some(message) = generate::value::<Out>(input) else {
                return;
            };
            let result = me.channel.send(&message);
            if honest {
                let full = outgoing.used() >= geometry.slots;
                assert_eq!(result.is_err(), full);
                assert!(matches!(result, Ok(()) | Err(SendError::Full)));
            }
            if result.is_ok() {
                outgoing.staged.push_back(message);
            }
        }
        4..=7 => {
            let result = me.channel.receive();
            if honest {
                let expected = incoming.sent.pop_front();
                incoming.held += u32::from(expected.is_some());
                assert_eq!(result, Ok(expected));
            } else if !matches!(result, Ok(None) | Err(PeerError::Index)) {
                me.taken += 1;
                assert!(me.taken <= geometry.slots);
            }
        }
        8 | 9 => flush(honest, me, peer_sleeps, outgoing, incoming),
        10 => {
            let index = generate::number(input, 2) as u16;
            me.channel.raise(index);
            if index < geometry.sockets {
                outgoing.raised.insert(index);
            }
        }
        11 => {
            let mut seen = BTreeSet::new();
            me.channel.take_events(&mut |index| {
                assert!(index < geometry.sockets && seen.insert(index));
            });
            if honest {
                assert_eq!(seen, incoming.events);
            }
            incoming.events.clear();
        }
        12 | 13 => {
            let sleeps = if op == 12 {
                me.channel.prepare_sleep()
            } else {
                me.channel.prepare_sleep_for_room()
            };
            let staged =
                !outgoing.staged.is_empty() || !outgoing.raised.is_empty() || incoming.held > 0;
            if honest && sleeps {
                assert!(!staged && incoming.events.is_empty());
                assert!(op == 13 || incoming.sent.is_empty());
                assert!(op == 12 || outgoing.used() == geometry.slots);
            }
            me.sleeps = sleeps;
        }
        _ => {
            me.channel.awake();
            me.sleeps = false;
            let room = me.channel.room();
            let info = me.channel.ring_info(7);
            assert!(info.rx_queued <= geometry.slots && info.tx_queued <= geometry.slots);
            if let Ok(room) = room {
                assert!(room <= geometry.slots);
            }
            if honest {
                assert_eq!(room, Ok(geometry.slots - outgoing.used()));
                assert_eq!(info.rx_queued as usize, incoming.sent.len());
            }
        }
    }
}

fn flush<Out: Message, In: Message>(
    honest: bool,
    me: &mut Half<Out, In>,
    peer_sleeps: &mut bool,
    outgoing: &mut Lane<Out>,
    incoming: &mut Lane<In>,
) {
    let news = !outgoing.staged.is_empty() || !outgoing.raised.is_empty();
    let rings = me.channel.flush();
    // Whoever sleeps is woken for news.
    if honest && news && *peer_sleeps {
        assert!(rings, "the peer sleeps through news");
    }
    if rings {
        assert!(!honest || *peer_sleeps);
        *peer_sleeps = false;
    }
    let staged = core::mem::take(&mut outgoing.staged);
    outgoing.sent.extend(staged);
    outgoing.events.append(&mut outgoing.raised);
    incoming.held = 0;
    me.taken = 0;
}
