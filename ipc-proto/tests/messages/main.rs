//! Every message survives its encoding, none is longer than its type says, and no byte string is more than an error. Touches
//! nothing.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod sizes;
mod socket;
mod strategies;

use ipc_proto::{
    codec::{DecodeError, Message, decode, encode},
    frame::{Run, ToDriver, ToStack},
    hello::Hello,
    setup::{DevReply, DevRequest, NetReply, NetRequest},
    socket::{Reply, Request},
    system,
};
use proptest::prelude::*;

/// It is encoded as postcard does it, and survives; each shorter or longer string of bytes, and each with one byte changed, is an error or the encoding of something else.
fn survives<M: Message + PartialEq + core::fmt::Debug>(message: &M, at: usize, byte: u8) {
    let mut buffer = [0; 512];
    let len = encode(message, &mut buffer[..M::MAX_SIZE]).unwrap();
    let mut expected = [0; 512];
    let expected = postcard::to_slice(message, &mut expected).unwrap();
    assert_eq!(&buffer[..len], expected, "{message:?}");
    for short in 0..len {
        assert!(encode(message, &mut [0; 512][..short]).is_err());
    }
    assert_eq!(decode::<M>(&buffer[..len]).as_ref(), Ok(message));
    assert_eq!(
        decode::<M>(&buffer[..len + 1]),
        Err(DecodeError::TrailingBytes)
    );
    assert!(decode::<M>(&buffer[..at % len]).is_err());
    buffer[at % len] = byte;
    has_one_encoding::<M>(&buffer[..len]);
    // One number longer than need be, perhaps.
    buffer[at % len] = byte | 0x80;
    buffer.copy_within(at % len + 1..len, at % len + 2);
    buffer[at % len + 1] = 0;
    has_one_encoding::<M>(&buffer[..len + 1]);
}

/// What is read has these bytes as its encoding, and it is what postcard itself reads.
fn has_one_encoding<M: Message + PartialEq + core::fmt::Debug>(bytes: &[u8]) {
    let read = decode::<M>(bytes).ok();
    if let Some(message) = &read {
        let mut buffer = [0; 512];
        let len = encode(message, &mut buffer).unwrap();
        assert_eq!(&buffer[..len], bytes, "{message:?}");
    }
    let expected = match postcard::take_from_bytes::<M>(bytes) {
        Ok((message, [])) => {
            let size = postcard::experimental::serialized_size(&message).unwrap();
            (size == bytes.len()).then_some(message)
        }
        _ => None,
    };
    assert_eq!(read, expected, "{bytes:x?}");
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

macro_rules! survival {
    ($($name:ident: $messages:expr,)*) => {
        proptest! {
            #![proptest_config(config())]
            $(
                #[test]
                fn $name(message in $messages, at in any::<usize>(), byte in any::<u8>()) {
                    survives(&message, at, byte);
                }
            )*
        }
    };
}

survival! {
    requests_to_net_survive: strategies::net_request(),
    replies_of_net_survive: strategies::net_reply(),
    requests_to_netdev_survive: strategies::dev_request(),
    replies_of_netdev_survive: strategies::dev_reply(),
    frames_to_the_driver_survive: strategies::to_driver(),
    frames_to_the_stack_survive: strategies::to_stack(),
    socket_requests_survive: socket::request(),
    socket_replies_survive: socket::reply(),
    system_requests_survive: strategies::system_request(),
    system_replies_survive: strategies::system_reply(),
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_bytes_are_more_than_an_error(tag in 0_u8..16, rest in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes: std::vec::Vec<u8> = core::iter::once(tag).chain(rest).collect();
        has_one_encoding::<NetRequest>(&bytes);
        has_one_encoding::<NetReply>(&bytes);
        has_one_encoding::<DevRequest>(&bytes);
        has_one_encoding::<DevReply>(&bytes);
        has_one_encoding::<ToDriver>(&bytes);
        has_one_encoding::<ToStack>(&bytes);
        has_one_encoding::<Request>(&bytes);
        has_one_encoding::<Reply>(&bytes);
        has_one_encoding::<system::Request>(&bytes);
        has_one_encoding::<system::Reply>(&bytes);
    }
}

#[test]
fn numbers_longer_than_need_be_are_refused() {
    for bytes in [
        [0x81, 0x00, 0x07, 0x01].as_slice(),
        &[1, 0x87, 0x00, 1],
        &[1, 0x80, 0x80, 0x00, 1],
    ] {
        assert_eq!(
            decode::<ToStack>(bytes),
            Err(DecodeError::Malformed),
            "{bytes:x?}"
        );
    }
    assert_eq!(
        decode::<ToStack>(&[1, 7, 1]),
        Ok(ToStack::Transmitted {
            buffers: Run::one(7)
        })
    );
    let name_of_a_gigabyte = [8, 1, 0x80, 0x80, 0x80, 0x80, 0x04, b'a'];
    assert_eq!(
        decode::<Request>(&name_of_a_gigabyte),
        Err(DecodeError::Malformed)
    );
    assert_eq!(decode::<Request>(&[]), Err(DecodeError::Malformed));
}

#[test]
fn a_mismatch_names_both_sides() {
    let theirs = Hello {
        version: 77,
        schema: [0xab; 8],
        ..Hello::SOCKET
    };
    assert_eq!(Hello::SOCKET.check(&Hello::SOCKET), Ok(()));
    let error = Hello::SOCKET.check(&theirs).unwrap_err();
    let ours = u64::from_be_bytes(Hello::SOCKET.schema);
    assert_eq!(
        error.to_string(),
        format!(
            "protocol mismatch: this side speaks Socket version 2 (schema {ours:016x}), the peer Socket version 77 (schema abababababababab)"
        )
    );
    assert!(Hello::FRAME.check(&Hello::SOCKET).is_err());
    let same_version = Hello {
        schema: [1; 8],
        ..Hello::FRAME
    };
    assert!(
        Hello::FRAME.check(&same_version).is_err(),
        "a type was changed and the version forgotten"
    );
}
