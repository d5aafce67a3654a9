//! Set-up and frames.

use super::*;
use ipc_proto::{
    frame::{Checksum, Offload, Offloads, Pool, Run, ToDriver, ToStack},
    setup::{DevReply, DevRequest, NetReply, NetRequest, Refusal},
};

/// Examples.
pub(super) fn net_requests() -> Rows<NetRequest> {
    rows(&[
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
        (
            NetRequest::Derive {
                policy: Policy::nothing(),
            },
            &[
                0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
            ],
        ),
        (
            NetRequest::Derive {
                policy: Policy::everything(),
            },
            &[
                0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0xff, 0xff, 0x03, 0x01, 0x00, 0xff, 0xff, 0x03,
                0x80, 0x08, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00,
            ],
        ),
        (NetRequest::RevokeDerived, &[0x02]),
    ])
}

/// Examples.
pub(super) fn net_replies() -> Rows<NetReply> {
    rows(&[
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
    ])
}

/// Examples.
pub(super) fn dev_requests() -> Rows<DevRequest> {
    rows(&[(
        DevRequest::Attach {
            hello: Hello {
                protocol: Protocol::Frame,
                ..HELLO
            },
            mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56],
            mtu: 1500,
            link_up: true,
            offloads: Offloads {
                transmit_checksum: true,
                receive_checksum: false,
                transmit_segments: true,
                receive_segments: false,
            },
        },
        &[
            0x00, 0x01, 0x01, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0x52, 0x54, 0x00,
            0x12, 0x34, 0x56, 0xdc, 0x0b, 0x01, 0x01, 0x00, 0x01, 0x00,
        ],
    )])
}

/// Examples.
pub(super) fn dev_replies() -> Rows<DevReply> {
    rows(&[
        (
            DevReply::Attached {
                generation: 3,
                receive: Pool {
                    small: 0,
                    large: 96,
                },
                send: Pool {
                    small: 256,
                    large: 16,
                },
                offloads: Offloads {
                    transmit_checksum: false,
                    receive_checksum: true,
                    transmit_segments: false,
                    receive_segments: true,
                },
            },
            &[
                0x00, 0x03, 0x00, 0x60, 0x80, 0x02, 0x10, 0x00, 0x01, 0x00, 0x01,
            ],
        ),
        (
            DevReply::Refused(Refusal::Mismatch(Hello {
                protocol: Protocol::System,
                version: 300,
                ..HELLO
            })),
            &[
                0x01, 0x00, 0x02, 0xac, 0x02, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
            ],
        ),
        (DevReply::Refused(Refusal::BadRequest), &[0x01, 0x01]),
        (DevReply::Refused(Refusal::Denied), &[0x01, 0x02]),
        (DevReply::Refused(Refusal::Exhausted), &[0x01, 0x03]),
    ])
}

/// Examples.
pub(super) fn to_driver() -> Rows<ToDriver> {
    rows(&[
        (
            ToDriver::Receive {
                buffers: Run {
                    first: 5,
                    count: 32,
                },
            },
            &[0x00, 0x05, 0x20],
        ),
        (
            ToDriver::Transmit {
                buffer: 300,
                len: 1514,
                offload: Offload::Nothing,
            },
            &[0x01, 0xac, 0x02, 0xea, 0x0b, 0x00],
        ),
        (
            ToDriver::Transmit {
                buffer: 1,
                len: 66,
                offload: Offload::Checksum {
                    start: 34,
                    offset: 16,
                },
            },
            &[0x01, 0x01, 0x42, 0x01, 0x22, 0x10],
        ),
        (
            ToDriver::Transmit {
                buffer: 520,
                len: 65_500,
                offload: Offload::Segment {
                    start: 34,
                    offset: 16,
                    header: 66,
                    size: 1448,
                },
            },
            &[
                0x01, 0x88, 0x04, 0xdc, 0xff, 0x03, 0x02, 0x22, 0x10, 0x42, 0xa8, 0x0b,
            ],
        ),
    ])
}

/// Examples.
pub(super) fn to_stack() -> Rows<ToStack> {
    rows(&[
        (
            ToStack::Received {
                buffer: 127,
                len: 60,
                checksum: Checksum::Unknown,
            },
            &[0x00, 0x7f, 0x3c, 0x00],
        ),
        (
            ToStack::Received {
                buffer: 1,
                len: 1514,
                checksum: Checksum::Valid,
            },
            &[0x00, 0x01, 0xea, 0x0b, 0x01],
        ),
        (
            ToStack::Received {
                buffer: 513,
                len: 65_549,
                checksum: Checksum::Partial,
            },
            &[0x00, 0x81, 0x04, 0x8d, 0x80, 0x04, 0x02],
        ),
        (
            ToStack::Transmitted {
                buffers: Run::one(128),
            },
            &[0x01, 0x80, 0x01, 0x01],
        ),
        (ToStack::Link { up: true }, &[0x02, 0x01]),
    ])
}
