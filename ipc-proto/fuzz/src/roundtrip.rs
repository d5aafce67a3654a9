//! Any value of any message: it encodes within its bound, decodes to itself, and no other bytes decode to it.

use crate::generate;
use arbitrary::Unstructured;
use ipc_proto::{
    channel::{FRAME_CHANNEL, SOCKET_CHANNEL},
    codec::{self, Message},
    frame,
    ring::LENGTH_SIZE,
    setup::{self, MAX_INLINE},
    socket, system,
};

/// The first byte chooses the type, the rest makes the value.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let (socket, frame) = (
        SOCKET_CHANNEL.slot_size - LENGTH_SIZE,
        FRAME_CHANNEL.slot_size - LENGTH_SIZE,
    );
    match generate::byte(&mut input) % 10 {
        0 => check::<socket::Request>(&mut input, socket),
        1 => check::<socket::Reply>(&mut input, socket),
        2 => check::<frame::ToDriver>(&mut input, frame),
        3 => check::<frame::ToStack>(&mut input, frame),
        4 => check::<system::Request>(&mut input, MAX_INLINE),
        5 => check::<system::Reply>(&mut input, MAX_INLINE),
        6 => check::<setup::NetRequest>(&mut input, MAX_INLINE),
        7 => check::<setup::NetReply>(&mut input, MAX_INLINE),
        8 => check::<setup::DevRequest>(&mut input, MAX_INLINE),
        _ => check::<setup::DevReply>(&mut input, MAX_INLINE),
    }
}

/// `place` is what the message has to fit in.
fn check<M: Message + PartialEq + core::fmt::Debug>(input: &mut Unstructured<'_>, place: usize) {
    let Some(message) = generate::value::<M>(input) else {
        return;
    };
    assert!(M::MAX_SIZE <= place);
    let mut buffer = vec![0; M::MAX_SIZE];
    let len = codec::encode(&message, &mut buffer).expect("MAX_SIZE bytes are always enough");
    buffer.truncate(len);
    assert_eq!(codec::decode::<M>(&buffer).as_ref(), Ok(&message));
    if let Some(shorter) = len.checked_sub(1) {
        assert!(codec::encode(&message, &mut vec![0; shorter]).is_err());
    }
    // What is left of the input says which bits are changed.
    for _ in 0..8 {
        if input.is_empty() || len == 0 {
            break;
        }
        let at = generate::number(input, 2) as usize % len;
        let flip = generate::byte(input);
        let mut other = buffer.clone();
        other[at] ^= flip;
        if flip != 0 {
            assert_ne!(codec::decode::<M>(&other).as_ref(), Ok(&message));
        }
    }
}
