//! Any bytes as a message of any protocol. What decodes encodes again to the same bytes, and nothing is longer than
//! it may be.

use crate::generate;
use arbitrary::Unstructured;
use ipc_proto::{
    codec::{self, DecodeError, Message},
    frame, setup, socket, system,
};

/// The first byte chooses the type, the rest is the message.
pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    match kind % 10 {
        0 => check::<socket::Request>(bytes),
        1 => check::<socket::Reply>(bytes),
        2 => check::<frame::ToDriver>(bytes),
        3 => check::<frame::ToStack>(bytes),
        4 => check::<system::Request>(bytes),
        5 => check::<system::Reply>(bytes),
        6 => check::<setup::NetRequest>(bytes),
        7 => check::<setup::NetReply>(bytes),
        8 => check::<setup::DevRequest>(bytes),
        _ => check::<setup::DevReply>(bytes),
    }
}

fn check<M: Message + PartialEq + core::fmt::Debug>(bytes: &[u8]) {
    let Ok(message) = codec::decode::<M>(bytes) else {
        return;
    };
    assert!(bytes.len() <= M::MAX_SIZE, "longer than MAX_SIZE");
    let mut buffer = vec![0; M::MAX_SIZE];
    let len = codec::encode(&message, &mut buffer).expect("what decodes fits");
    // One encoding only.
    assert_eq!(&buffer[..len], bytes);
    assert_eq!(codec::decode::<M>(&buffer[..len]).as_ref(), Ok(&message));
    let longer = [bytes, &[0]].concat();
    assert_eq!(codec::decode::<M>(&longer), Err(DecodeError::TrailingBytes));
    for short in 0..len {
        assert_eq!(
            codec::decode::<M>(&bytes[..short]),
            Err(DecodeError::Malformed)
        );
        assert!(codec::encode(&message, &mut buffer[..short]).is_err());
    }
}

/// Some messages of every type.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for round in 0..24 {
        seeds.extend([
            seed::<socket::Request>(0, round),
            seed::<socket::Reply>(1, round),
            seed::<frame::ToDriver>(2, round),
            seed::<frame::ToStack>(3, round),
            seed::<system::Request>(4, round),
            seed::<system::Reply>(5, round),
            seed::<setup::NetRequest>(6, round),
            seed::<setup::NetReply>(7, round),
            seed::<setup::DevRequest>(8, round),
            seed::<setup::DevReply>(9, round),
        ]);
    }
    seeds.into_iter().flatten().collect()
}

fn seed<M: Message>(kind: u8, round: u8) -> Option<Vec<u8>> {
    let mut noise: Vec<u8> = (0..=255_u8)
        .map(|at| at.wrapping_mul(round | 1).rotate_left(round.into()) % 0xe8)
        .collect();
    // The variant.
    noise[0] = round;
    let message = generate::value::<M>(&mut Unstructured::new(&noise))?;
    let mut bytes = vec![kind; 1 + M::MAX_SIZE];
    let len = codec::encode(&message, &mut bytes[1..]).ok()?;
    bytes.truncate(1 + len);
    Some(bytes)
}
