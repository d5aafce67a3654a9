//! One honest end of a channel, and a peer that writes anything to any shared word or slot at any time. The honest side gets errors or
//! nonsense, never a panic, more than the rings hold, an endless loop, or a sleep over work that is there.

use super::*;
use core::fmt::Debug;
use ipc_proto::{
    channel::{PeerError, SendError},
    codec::{Message, decode},
    socket,
};
use loom::thread;

/// Every word of a channel with 64 sockets: indices, wake words, summaries, and bitmaps.
const WORDS: [usize; 12] = [0, 4, 64, 68, 128, 192, 256, 320, 324, 384, 448, 452];
/// First slots of the two rings.
const SLOTS: [usize; 2] = [512, 576];

/// Values of every kind: around the indices in use, at the capacity, at the wrap, at the sign bit, sets of bits.
fn values(start: u32) -> Vec<u32> {
    let near = [0, 1, 2, 3, 1 << 31].map(|distance| start.wrapping_add(distance));
    let mut values = vec![start.wrapping_sub(1), 0, 1, 2, 1 << 31, u32::MAX];
    values.extend(near);
    values.sort_unstable();
    values.dedup();
    values
}

/// One turn of a server's loop. `None` once the peer has broken the protocol, which ends the channel.
fn turn<Out: Message, In: Message>(
    channel: &mut Channel<Out, In>,
    out: &Out,
    slots: u32,
) -> Option<()> {
    let unless_broken = |error: PeerError| {
        let _ = error;
        None::<()>
    };
    match channel.send(out) {
        Ok(()) | Err(SendError::Full) => {}
        Err(SendError::Peer(error)) => return unless_broken(error),
    }
    let mut received = 0;
    loop {
        match channel.receive() {
            Ok(Some(_)) => received += 1,
            Ok(None) => break,
            Err(error) => return unless_broken(error),
        }
        assert!(received <= slots, "more messages than slots");
    }
    let mut last = None;
    channel.take_events(&mut |index| {
        assert!(index < 64 && last < Some(index), "twice or out of range");
        last = Some(index);
    });
    match channel.room() {
        Ok(room) => assert!(room <= slots),
        Err(error) => return unless_broken(error),
    }
    let _ = channel.flush();
    Some(())
}

/// What a peer has left behind is worked off in a bounded number of turns; then the side sleeps, and there is nothing to do.
fn settle<Out: Message, In: Message + Debug>(mut channel: Channel<Out, In>, slots: u32) {
    for _ in 0..slots + 2 {
        let mut received = 0;
        loop {
            match channel.receive() {
                Ok(Some(_)) => received += 1,
                Ok(None) => break,
                Err(_) => return,
            }
            assert!(received <= slots, "more messages than slots");
        }
        channel.take_events(&mut |index| assert!(index < 64));
        let _ = channel.flush();
        if channel.prepare_sleep() {
            let mut events = 0;
            channel.take_events(&mut |_| events += 1);
            let waiting = channel.receive().unwrap();
            assert!(waiting.is_none() && events == 0, "asleep over work");
            return;
        }
    }
    panic!("never sleeps");
}

/// One honest side of a fresh channel while the peer makes two `moves`: words and their values. Two moves need three switches to
/// be anywhere, so that the bound leaves nothing out.
fn attack(side: Side, start: u32, moves: [(usize, u32); 2]) {
    explore_bounded(3, move || run(side, start, &moves));
}

fn run(side: Side, start: u32, moves: &[(usize, u32)]) {
    let (mut driver, mut stack, memory) = pair_at(start, SMALL);
    let moves = moves.to_vec();
    let hostile = thread::spawn(move || {
        for (word, value) in moves {
            memory.store(word, value, Ordering::Release).unwrap();
        }
    });
    match side {
        Side::Client => {
            let open = one_side(&mut driver, &ToStack::Link { up: true });
            hostile.join().unwrap();
            if open {
                settle(driver, SMALL.slots);
            }
        }
        Side::Stack => {
            let open = one_side(&mut stack, &message(1));
            hostile.join().unwrap();
            if open {
                settle(stack, SMALL.slots);
            }
        }
    }
}

/// A turn and an attempt to sleep. False once the channel is broken.
fn one_side<Out: Message, In: Message>(channel: &mut Channel<Out, In>, out: &Out) -> bool {
    if turn(channel, out, SMALL.slots).is_none() {
        return false;
    }
    if channel.prepare_sleep() {
        channel.awake();
    }
    let info = channel.ring_info(1);
    assert!(info.rx_queued <= SMALL.slots && info.tx_queued <= SMALL.slots);
    true
}

/// Tail and head of the other side.
fn index_words(side: Side) -> [usize; 2] {
    match side {
        Side::Client => [64, 68],
        Side::Stack => [0, 4],
    }
}

/// Each index twice with each pair of values, so that every look finds another one.
#[test]
fn an_index_that_changes_twice_is_an_error_at_worst() {
    for side in [Side::Client, Side::Stack] {
        for (start, word) in [0, u32::MAX]
            .into_iter()
            .flat_map(|start| index_words(side).map(|word| (start, word)))
        {
            for first in values(start) {
                for second in values(start) {
                    attack(side, start, [(word, first), (word, second)]);
                }
            }
        }
    }
}

/// Each pair of words, each word with itself too: what is checked by one may be used by the other.
#[test]
fn two_words_that_change_are_errors_at_worst() {
    for side in [Side::Client, Side::Stack] {
        for first in WORDS {
            for second in WORDS {
                for value in [0, 1, u32::MAX] {
                    attack(side, u32::MAX, [(first, value), (second, u32::MAX)]);
                }
            }
        }
    }
}

/// A side that waits for room is not kept from its sleep or its work by what it is told about room.
#[test]
fn a_side_that_waits_for_room_gets_errors_at_worst() {
    for word in [0, 4, 128, 192, 384] {
        for first in [0, 1, 3, u32::MAX] {
            for second in [0, 1, 2, u32::MAX] {
                explore_bounded(3, move || {
                    let (_, mut stack, memory) = pair_at(0, SMALL);
                    while stack.send(&message(1)).is_ok() {}
                    let _ = stack.flush();
                    let hostile = thread::spawn(move || {
                        memory.store(word, first, Ordering::Release).unwrap();
                        memory.store(word, second, Ordering::Release).unwrap();
                    });
                    if stack.prepare_sleep_for_room() {
                        stack.awake();
                    }
                    hostile.join().unwrap();
                    // What lies there now is seen: room, an event or an error keep it awake, and nothing else does.
                    let asleep = stack.prepare_sleep_for_room();
                    let mut events = 0;
                    let room = stack.room();
                    stack.take_events(&mut |_| events += 1);
                    if asleep {
                        assert_eq!((room, events), (Ok(0), 0), "asleep over work");
                    }
                });
            }
        }
    }
}

/// All words at once, as fast as a peer can.
#[test]
fn a_storm_of_words_is_an_error_at_worst() {
    for side in [Side::Client, Side::Stack] {
        for value in [1, 2, u32::MAX] {
            explore_bounded(2, move || run(side, 0, &WORDS.map(|word| (word, value))));
        }
    }
}

/// A slot that changes while it is read yields what it was at one instant: its length and its message are from the same look.
#[test]
fn a_slot_that_changes_is_read_once() {
    let slot = |length: u16, message: [u8; 6]| {
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&length.to_le_bytes());
        bytes[2..].copy_from_slice(&message);
        bytes
    };
    let contents = [
        slot(2, [0, 5, 0, 0, 0, 0]),
        slot(3, [1, 7, 60, 0, 0, 0]),
        slot(4, [1, 0x87, 1, 60, 0, 0]),
        slot(5, [1, 0x87, 1, 60, 0, 0]),
        slot(0, [0; 6]),
        slot(14, [0xff; 6]),
        slot(15, [0, 5, 0, 0, 0, 0]),
        slot(u16::MAX, [0, 5, 0, 0, 0, 0]),
    ];
    for first in contents {
        for second in contents {
            explore(move || {
                let memory = Shm::racing(Driver::bytes(SMALL));
                let mut driver = Driver::new(memory.clone(), Side::Client, SMALL).unwrap();
                memory.write(SLOTS[1], &first).unwrap();
                let hostile = thread::spawn(move || {
                    memory.store(64, 1, Ordering::Release).unwrap();
                    memory.write(SLOTS[1], &second).unwrap();
                });
                let got = driver.receive();
                let whole = |bytes: [u8; 8]| {
                    let length = u16::from_le_bytes([bytes[0], bytes[1]]).into();
                    match bytes[2..].get(..length) {
                        Some(message) => decode::<ToDriver>(message).map_err(PeerError::Decode),
                        // As long as the slot: zeros behind these bytes, or too long.
                        None if length <= 14 => {
                            let mut message = [0; 14];
                            message[..6].copy_from_slice(&bytes[2..]);
                            decode(&message[..length]).map_err(PeerError::Decode)
                        }
                        None => Err(PeerError::Length),
                    }
                };
                assert!(
                    got == Ok(None)
                        || got == whole(first).map(Some)
                        || got == whole(second).map(Some),
                    "{got:?} from {first:?} and {second:?}"
                );
                hostile.join().unwrap();
            });
        }
    }
}

/// A long message whose length changes in the middle of the copy is still one within its slot.
#[test]
fn a_long_slot_that_changes_stays_in_its_slot() {
    const LARGE: Geometry = Geometry {
        slot_size: 288,
        slots: 1,
        sockets: 0,
    };
    // A `Resolve` with a name of 20 bytes: 26 bytes.
    let start = |length: u16, name: u8| {
        let [low, high] = length.to_le_bytes();
        [low, high, 8, 1, name, b'a', b'a', b'a']
    };
    for first in [start(27, 20), start(17, 10)] {
        for (length, name) in [
            (27, 10),
            (17, 20),
            (286, 20),
            (287, 20),
            (u16::MAX, 253),
            (0, 0),
        ] {
            let second = start(length, name);
            explore_bounded(2, move || {
                type Server = Channel<socket::Reply, socket::Request>;
                let memory = Shm::racing(Server::bytes(LARGE));
                let mut server = Server::new(memory.clone(), Side::Stack, LARGE).unwrap();
                let slot = 256;
                memory.write(slot, &first).unwrap();
                memory.write(slot + 8, &[b'a'; 16]).unwrap();
                memory
                    .write(slot + 24, &[b'a', 2, 0, 0, 0, 0, 0, 0])
                    .unwrap();
                let hostile = thread::spawn(move || {
                    memory.store(0, 1, Ordering::Release).unwrap();
                    memory.write(slot, &second).unwrap();
                    memory.write(slot + 24, &[0xff; 8]).unwrap();
                });
                match server.receive() {
                    Ok(Some(socket::Request::Resolve { name, .. })) => {
                        assert!(name.bytes().all(|byte| byte == b'a' || byte < 3));
                    }
                    Ok(Some(other)) => panic!("{other:?}"),
                    Ok(None) | Err(PeerError::Length | PeerError::Decode(_)) => {}
                    Err(PeerError::Index) => panic!("the index was right"),
                }
                hostile.join().unwrap();
            });
        }
    }
}
