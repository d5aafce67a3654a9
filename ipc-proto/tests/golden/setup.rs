//! Set-up and frames.

use super::*;
use ipc_proto::{
    frame::{ToDriver, ToStack},
    setup::{DevReply, DevRequest, NetReply, NetRequest, Refusal},
};

#[test]
fn net_requests() {
    check_all(&[
        (
            NetRequest::Open {
                hello: HELLO,
                len: 65_536,
            },
            &[
                0x00, 0x00, 0x01, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0x80, 0x80, 0x04,
            ],
        ),
        (
            NetRequest::Derive { policy: policy() },
            &[
                0x01, 0x01, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x0a, 0x00, 0x02, 0x00, 0x18,
                0x01, 0x50, 0xbb, 0x03, 0x00, 0x10, 0x80, 0x80, 0x40, 0xe8, 0x07,
            ],
        ),
        (NetRequest::RevokeDerived, &[0x02]),
    ]);
}

#[test]
fn net_replies() {
    check_all(&[
        (NetReply::Opened { max_sockets: 1024 }, &[0x00, 0x80, 0x08]),
        (NetReply::Derived, &[0x01]),
        (NetReply::Done, &[0x02]),
        (
            NetReply::Refused(Refusal::Mismatch(HELLO)),
            &[
                0x03, 0x00, 0x00, 0x01, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
            ],
        ),
        (NetReply::Refused(Refusal::BadRequest), &[0x03, 0x01]),
        (NetReply::Refused(Refusal::Denied), &[0x03, 0x02]),
        (NetReply::Refused(Refusal::Exhausted), &[0x03, 0x03]),
    ]);
}

#[test]
fn dev_requests() {
    check_all(&[(
        DevRequest::Attach {
            hello: Hello {
                protocol: Protocol::Frame,
                ..HELLO
            },
            mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56],
            mtu: 1500,
            link_up: true,
        },
        &[
            0x00, 0x01, 0x01, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0x52, 0x54, 0x00,
            0x12, 0x34, 0x56, 0xdc, 0x0b, 0x01,
        ],
    )]);
}

#[test]
fn dev_replies() {
    check_all(&[
        (
            DevReply::Attached {
                generation: 3,
                buffers: 512,
                receive_buffers: 256,
            },
            &[0x00, 0x03, 0x80, 0x04, 0x80, 0x02],
        ),
        (DevReply::Refused(Refusal::Denied), &[0x01, 0x02]),
    ]);
}

#[test]
fn to_driver() {
    check_all(&[
        (ToDriver::Receive { buffer: 5 }, &[0x00, 0x05]),
        (
            ToDriver::Transmit {
                buffer: 300,
                len: 1514,
            },
            &[0x01, 0xac, 0x02, 0xea, 0x0b],
        ),
    ]);
}

#[test]
fn to_stack() {
    check_all(&[
        (
            ToStack::Received {
                buffer: 127,
                len: 60,
            },
            &[0x00, 0x7f, 0x3c],
        ),
        (ToStack::Transmitted { buffer: 128 }, &[0x01, 0x80, 0x01]),
        (ToStack::Link { up: true }, &[0x02, 0x01]),
    ]);
}
