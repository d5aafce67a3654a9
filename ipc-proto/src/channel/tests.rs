//! Tests of the channel over heap memory.

use super::*;
use crate::{
    frame::{ToDriver, ToStack},
    socket::{Reply, Request},
};
use std::{vec, vec::Vec};

type Driver = Channel<ToStack, ToDriver>;
type Stack = Channel<ToDriver, ToStack>;
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
    let message = ToDriver::Transmit { buffer: 7, len: 60 };
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
    stack.send(&ToDriver::Receive { buffer: 1 }).unwrap();
    assert!(stack.flush());
    stack.send(&ToDriver::Receive { buffer: 2 }).unwrap();
    assert!(!stack.flush());
    driver.awake();
    assert!(!driver.prepare_sleep(), "messages wait");
}
