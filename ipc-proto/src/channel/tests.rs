//! Tests of the channel over heap memory.

mod hostile;

use super::*;
use crate::{
    frame::{Offload, Run, ToDriver, ToStack},
    socket::{Reply, Request},
};
use std::{vec, vec::Vec};

type Driver = Channel<ToStack, ToDriver>;
type Stack = Channel<ToDriver, ToStack>;

/// An empty buffer.
fn receive(buffer: u16) -> ToDriver {
    ToDriver::Receive {
        buffers: Run::one(buffer),
    }
}
type Client = Channel<Request, Reply>;
type Server = Channel<Reply, Request>;

fn frame_channel() -> (Driver, Stack) {
    let memory = Shm::heap(Driver::bytes(FRAME_CHANNEL));
    (
        Channel::new(memory.clone(), Side::Client, FRAME_CHANNEL).unwrap(),
        Channel::new(memory, Side::Stack, FRAME_CHANNEL).unwrap(),
    )
}

fn socket_channel() -> (Client, Server) {
    let memory = Shm::heap(Client::bytes(SOCKET_CHANNEL));
    (
        Channel::new(memory.clone(), Side::Client, SOCKET_CHANNEL).unwrap(),
        Channel::new(memory, Side::Stack, SOCKET_CHANNEL).unwrap(),
    )
}

#[test]
fn messages_are_visible_after_flush_only() {
    let (mut driver, mut stack) = frame_channel();
    let message = ToDriver::Transmit {
        buffer: 7,
        len: 60,
        offload: Offload::Nothing,
    };
    stack.send(&message).unwrap();
    assert_eq!(driver.receive(), Ok(None));
    assert!(!stack.flush(), "nobody sleeps");
    assert_eq!(driver.receive(), Ok(Some(message)));
    assert_eq!(driver.receive(), Ok(None));
}

#[test]
fn events_arrive_once() {
    let (mut client, mut server) = socket_channel();
    for index in [0, 31, 32, 1023, 5, 5] {
        client.raise(index);
    }
    client.raise(1024);
    server.take_events(&mut |index| panic!("event {index} came before it was published"));
    assert!(!client.flush(), "nobody sleeps");
    let mut taken = Vec::new();
    server.take_events(&mut |index| taken.push(index));
    assert_eq!(taken, vec![0, 5, 31, 32, 1023]);
    server.take_events(&mut |index| panic!("event {index} came twice"));
}

#[test]
fn one_sleep_gets_one_doorbell() {
    let (mut driver, mut stack) = frame_channel();
    assert!(driver.prepare_sleep());
    assert!(!stack.flush(), "nothing new");
    stack.send(&receive(1)).unwrap();
    assert!(stack.flush());
    stack.send(&receive(2)).unwrap();
    assert!(!stack.flush());
    driver.awake();
    assert!(!driver.prepare_sleep(), "messages wait");
}

#[test]
fn bad_layouts_are_refused() {
    let new = |len, geometry| Stack::new(Shm::heap(len), Side::Stack, geometry).map(|_| ());
    let enough = Stack::bytes(FRAME_CHANNEL);
    assert_eq!(new(enough, FRAME_CHANNEL), Ok(()));
    assert_eq!(new(enough - 1, FRAME_CHANNEL), Err(LayoutError::Memory));
    for geometry in [
        Geometry {
            slot_size: 8,
            ..FRAME_CHANNEL
        },
        Geometry {
            slot_size: 20,
            ..FRAME_CHANNEL
        },
        Geometry {
            slot_size: 296,
            ..FRAME_CHANNEL
        },
        Geometry {
            slots: 0,
            ..FRAME_CHANNEL
        },
        Geometry {
            slots: 3,
            ..FRAME_CHANNEL
        },
        Geometry {
            slots: 1 << 17,
            ..FRAME_CHANNEL
        },
        Geometry {
            sockets: 1025,
            ..FRAME_CHANNEL
        },
    ] {
        assert_eq!(Stack::bytes(geometry), 0);
        assert_eq!(
            new(64, geometry),
            Err(LayoutError::Geometry),
            "{geometry:?}"
        );
    }
    let small = Geometry {
        slot_size: 16,
        ..SOCKET_CHANNEL
    };
    let memory = Shm::heap(Client::bytes(small));
    assert_eq!(
        Client::new(memory, Side::Client, small).map(|_| ()),
        Err(LayoutError::Geometry),
        "messages do not fit"
    );
    let odd = Shm::heap(enough + 64).part(2, enough).unwrap();
    assert_eq!(
        Stack::new(odd, Side::Stack, FRAME_CHANNEL).map(|_| ()),
        Err(LayoutError::Memory)
    );
}

#[test]
fn no_two_parts_of_a_layout_overlap() {
    for geometry in [
        SOCKET_CHANNEL,
        FRAME_CHANNEL,
        Geometry {
            slot_size: 24,
            slots: 1,
            sockets: 1,
        },
    ] {
        let mut parts = vec![];
        for side in [geometry.client(), geometry.stack()] {
            parts.push((side.tail, 8));
            assert_eq!(
                side.head,
                side.tail + 4,
                "the indices of a side share its line"
            );
            parts.push((side.wake, 4));
            parts.push((side.events, geometry.event_bytes()));
            parts.push((side.slots, geometry.ring_bytes()));
        }
        assert!(parts.iter().all(|(offset, _)| offset.is_multiple_of(64)));
        parts.sort_unstable();
        for pair in parts.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{geometry:?} {parts:?}");
        }
        let (offset, len) = parts[parts.len() - 1];
        assert_eq!(offset + len, geometry.bytes());
    }
    assert_eq!(SOCKET_CHANNEL.bytes(), 37_504);
    assert_eq!(FRAME_CHANNEL.bytes(), 33_024);
}

#[test]
fn messages_that_cannot_be_answered_do_not_keep_a_side_awake() {
    let (mut client, mut server) = socket_channel();
    for id in 0..64 {
        client.send(&Request::Counters { id }).unwrap();
        server.send(&Reply::Done { id }).unwrap();
    }
    assert!(!client.flush() && !server.flush());
    assert_eq!(server.room(), Ok(0));
    assert!(!server.prepare_sleep(), "messages wait");
    assert!(server.prepare_sleep_for_room());
    // An event is still news, and room is what it waits for.
    client.raise(3);
    assert!(client.flush());
    server.awake();
    assert!(!server.prepare_sleep_for_room());
    server.take_events(&mut |_| {});
    assert!(server.prepare_sleep_for_room());
    assert_eq!(client.receive(), Ok(Some(Reply::Done { id: 0 })));
    assert!(client.flush());
    server.awake();
    assert!(!server.prepare_sleep_for_room());
}

#[test]
fn a_full_ring_says_so_and_asks_for_room() {
    let (mut client, mut server) = socket_channel();
    let request = |id| Request::Counters { id };
    for id in 0..64 {
        assert_eq!(client.room(), Ok(64 - id));
        client.send(&request(id)).unwrap();
    }
    assert_eq!(client.send(&request(64)), Err(SendError::Full));
    assert!(!client.flush());
    assert!(client.prepare_sleep());
    // Room appears, and the sleeper is told, when slots are given back.
    assert_eq!(server.receive(), Ok(Some(request(0))));
    assert!(server.flush());
    client.awake();
    assert!(!client.prepare_sleep(), "there is room now");
    assert!(client.prepare_sleep(), "it was said once");
    client.awake();
    client.send(&request(64)).unwrap();
    // Nobody waits for room any more: giving a slot back is no reason for a doorbell.
    assert!(!client.flush());
    assert!(client.prepare_sleep());
    assert_eq!(server.receive(), Ok(Some(request(1))));
    assert!(!server.flush());
}

#[test]
fn who_is_patient_is_not_woken_by_what_can_wait() {
    let (mut client, mut server) = socket_channel();
    let sends = |server: &mut Server, reply| {
        server.send(&reply).unwrap();
        server.flush()
    };
    let (closed, done) = (Reply::Closed { id: 1 }, Reply::Done { id: 2 });
    // Whoever does not say so hears of all.
    assert!(client.prepare_sleep());
    assert!(sends(&mut server, closed.clone()));
    client.awake();
    client.set_patient(true);
    assert!(!client.prepare_sleep(), "what can wait is no less there");
    assert_eq!(client.receive(), Ok(Some(closed.clone())));
    let _ = client.flush();
    // What cannot wait, an event, and a crowd of what can are heard, behind what was not.
    assert!(client.prepare_sleep());
    assert!(!sends(&mut server, closed.clone()));
    assert!(sends(&mut server, done.clone()));
    client.awake();
    assert_eq!(client.receive(), Ok(Some(closed.clone())));
    assert_eq!(client.receive(), Ok(Some(done)));
    let _ = client.flush();
    assert!(client.prepare_sleep());
    assert!(!sends(&mut server, closed.clone()));
    server.raise(5);
    assert!(server.flush());
    client.awake();
    assert_eq!(client.receive(), Ok(Some(closed.clone())));
    client.take_events(&mut |_| {});
    let _ = client.flush();
    assert!(client.prepare_sleep());
    let heard: Vec<bool> = (0..9).map(|_| sends(&mut server, closed.clone())).collect();
    assert_eq!(heard, [vec![false; 8], vec![true]].concat());
    client.awake();
    for _ in 0..9 {
        assert_eq!(client.receive(), Ok(Some(closed.clone())));
    }
    // Sent, and shown later with something that is urgent.
    let _ = client.flush();
    assert!(client.prepare_sleep());
    server.send(&Reply::Done { id: 3 }).unwrap();
    assert!(sends(&mut server, closed.clone()));
    client.awake();
    client.set_patient(false);
    assert_eq!(client.receive(), Ok(Some(Reply::Done { id: 3 })));
    assert_eq!(client.receive(), Ok(Some(closed.clone())));
    let _ = client.flush();
    assert!(client.prepare_sleep());
    assert!(sends(&mut server, closed));
}

#[test]
fn what_was_not_flushed_keeps_its_side_awake() {
    let (mut client, mut server) = socket_channel();
    client.send(&Request::Counters { id: 1 }).unwrap();
    assert!(!client.prepare_sleep());
    let _ = client.flush();
    assert!(client.prepare_sleep());
    client.awake();
    client.raise(9);
    assert!(!client.prepare_sleep());
    let _ = client.flush();
    assert!(client.prepare_sleep());
    assert_eq!(server.receive(), Ok(Some(Request::Counters { id: 1 })));
    server.take_events(&mut |_| {});
    assert!(!server.prepare_sleep());
    let _ = server.flush();
    assert!(server.prepare_sleep());
}

#[test]
fn an_event_is_a_reason_for_a_doorbell_and_against_sleep() {
    let (mut client, mut server) = socket_channel();
    assert!(server.prepare_sleep());
    client.raise(77);
    assert!(client.flush());
    client.raise(78);
    assert!(!client.flush(), "one sleep, one doorbell");
    server.awake();
    assert!(!server.prepare_sleep());
    let mut taken = vec![];
    server.take_events(&mut |index| taken.push(index));
    assert_eq!(taken, [77, 78]);
    assert!(server.prepare_sleep());
}

#[test]
fn each_side_counts_what_it_sees() {
    let (mut client, mut server) = socket_channel();
    let request = Request::Counters { id: 1 };
    assert!(server.prepare_sleep());
    let mut sent: u64 = 0;
    while client.send(&request).is_ok() {
        sent += 1;
    }
    assert_eq!(client.send(&request), Err(SendError::Full));
    assert!(client.flush());
    server.awake();
    server.awake();
    let counted = client.ring_info(7);
    assert_eq!((counted.peer, counted.slots), (7, 64));
    assert_eq!((counted.tx_messages, counted.tx_queued), (sent, 64));
    assert_eq!(
        (counted.tx_doorbells, counted.tx_full),
        (1, 1),
        "tried twice, full once"
    );
    for _ in 0..10 {
        server.receive().unwrap();
    }
    assert!(!server.flush());
    let counted = server.ring_info(0);
    assert_eq!((counted.rx_messages, counted.rx_queued), (10, 54));
    assert_eq!((counted.rx_doorbells, counted.tx_doorbells), (1, 0));
    assert_eq!(client.ring_info(7).tx_queued, 54);
    // Full again is another time.
    while client.send(&request).is_ok() {}
    assert_eq!(client.ring_info(7).tx_full, 2);
    // A sleep that the peer does not end is no doorbell.
    while server.receive().unwrap().is_some() {}
    let _ = server.flush();
    let _ = client.flush();
    while server.receive().unwrap().is_some() {}
    let _ = server.flush();
    assert!(server.prepare_sleep());
    server.awake();
    assert_eq!(server.ring_info(0).rx_doorbells, 1);
}
