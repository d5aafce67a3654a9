//! Any bytes as a message of any protocol. What decodes encodes again to the same bytes, and nothing is longer than
//! it may be.

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
