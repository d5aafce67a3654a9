//! Every error of the protocols: what it means is its doc comment; whether trying again helps is said here. A new variant does not
//! compile before it has its answer. Touches nothing.

use crate::source::Source;
use core::fmt::Write;
use ipc_proto::{
    PeerError,
    channel::{LayoutError, SendError},
    codec::DecodeError,
    fifo::BadBuffers,
    hello::Hello,
    setup::Refusal,
    socket::NetError,
    system::SystemError,
};

fn net_error(error: NetError) -> &'static str {
    match error {
        NetError::Denied => "no: the policy does not change during a session",
        NetError::Exhausted => {
            "after something of the session was closed, or later if the stack's own limit was met"
        }
        NetError::BadHandle | NetError::BadArgument | NetError::MessageTooLong => {
            "not with the same request"
        }
        NetError::BadState => "when the socket has come to another state",
        NetError::AddressInUse => "when the port is free again, or with another one",
        NetError::AddressNotAvailable => "when the address has been configured",
        NetError::ConnectionRefused
        | NetError::ConnectionReset
        | NetError::ConnectionAborted
        | NetError::TimedOut
        | NetError::Unreachable
        | NetError::NetworkDown
        | NetError::NameServerFailed => "yes, later, with a new socket or request",
        NetError::NotConnected => "no: the socket is to be closed",
        NetError::NameNotFound => "not before the name is entered somewhere",
        NetError::Cancelled => "yes: it was the client's wish",
    }
}

fn refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Mismatch(_) => "no: one side has to be built anew",
        Refusal::BadRequest => "not with the same request",
        Refusal::Denied => "no",
        Refusal::Exhausted => "yes, when another session has ended",
    }
}

fn system_error(error: SystemError) -> &'static str {
    match error {
        SystemError::Denied => "no",
        SystemError::NoSuchProcess => "when there is one",
        SystemError::BadRequest => "not with the same request",
        SystemError::Busy => "yes, later",
    }
}

fn peer_error(error: PeerError) -> &'static str {
    match error {
        PeerError::Index | PeerError::Length | PeerError::Decode(_) => {
            "no: close the channel; of a FIFO, the socket"
        }
    }
}

fn decode_error(error: DecodeError) -> &'static str {
    match error {
        DecodeError::Malformed | DecodeError::TrailingBytes => {
            "no: on a channel it ends the channel; in a call it is answered by `BadRequest`"
        }
    }
}

fn send_error(error: SendError) -> &'static str {
    match error {
        SendError::Full => "yes, when the peer has taken something",
        SendError::Peer(_) => "no: close the channel",
    }
}

fn layout_error(error: LayoutError) -> &'static str {
    match error {
        LayoutError::Geometry | LayoutError::Memory => "not with the same memory",
    }
}

fn bad_buffers(error: BadBuffers) -> &'static str {
    match error {
        BadBuffers::Misaligned | BadBuffers::OutOfBounds | BadBuffers::Capacity => {
            "not with the same buffers; the stack answers `BadArgument`"
        }
    }
}

/// One table.
pub struct Table {
    /// Module and name of the type.
    pub path: &'static str,
    /// Who tells whom.
    about: &'static str,
    /// Number on the wire, variant, and whether trying again helps.
    pub rows: Vec<(Option<u8>, String, &'static str)>,
}

fn rows<E: core::fmt::Debug + Copy>(
    all: &[E],
    numbered: bool,
    retry: fn(E) -> &'static str,
) -> Vec<(Option<u8>, String, &'static str)> {
    let name = |error: &E| {
        let text = format!("{error:?}");
        text.split(['(', ' '])
            .next()
            .unwrap_or_default()
            .to_string()
    };
    let numbers = 0..=u8::MAX;
    all.iter()
        .zip(numbers)
        .map(|(error, number)| (numbered.then_some(number), name(error), retry(*error)))
        .collect()
}

/// All tables, those of the wire first.
pub fn tables() -> Vec<Table> {
    let decode = DecodeError::Malformed;
    vec![
        Table {
            path: "socket::NetError",
            about: "In `Failed`, by the number of the variant. In the status word of a socket, by that number plus one.",
            rows: rows(&NetError::ALL, true, net_error),
        },
        Table {
            path: "setup::Refusal",
            about: "In `Refused`, when a session is opened or derived, or a driver attached.",
            rows: rows(
                &[
                    Refusal::Mismatch(Hello::SOCKET),
                    Refusal::BadRequest,
                    Refusal::Denied,
                    Refusal::Exhausted,
                ],
                true,
                refusal,
            ),
        },
        Table {
            path: "system::SystemError",
            about: "In `Failed` of the system protocol.",
            rows: rows(
                &[
                    SystemError::Denied,
                    SystemError::NoSuchProcess,
                    SystemError::BadRequest,
                    SystemError::Busy,
                ],
                true,
                system_error,
            ),
        },
        Table {
            path: "error::PeerError",
            about: "Found by a side about its peer; never sent. The stack counts it in `violations` or `driver_violations`.",
            rows: rows(
                &[
                    PeerError::Index,
                    PeerError::Length,
                    PeerError::Decode(decode),
                ],
                false,
                peer_error,
            ),
        },
        Table {
            path: "codec::DecodeError",
            about: "Why bytes are no message; never sent.",
            rows: rows(&[decode, DecodeError::TrailingBytes], false, decode_error),
        },
        Table {
            path: "channel::SendError",
            about: "Why a side could not put a message on the ring; never sent.",
            rows: rows(
                &[SendError::Full, SendError::Peer(PeerError::Index)],
                false,
                send_error,
            ),
        },
        Table {
            path: "layout::LayoutError",
            about: "Why a channel cannot be made; the stack answers `BadRequest`.",
            rows: rows(
                &[LayoutError::Geometry, LayoutError::Memory],
                false,
                layout_error,
            ),
        },
        Table {
            path: "fifo::BadBuffers",
            about: "Why a socket's `Buffers` are refused.",
            rows: rows(
                &[
                    BadBuffers::Misaligned,
                    BadBuffers::OutOfBounds,
                    BadBuffers::Capacity,
                ],
                false,
                bad_buffers,
            ),
        },
    ]
}

/// The tables as Markdown.
pub fn render(source: &Source) -> String {
    let mut text = String::new();
    for table in tables() {
        let (_, name) = table.path.split_once("::").unwrap_or_default();
        let _ = writeln!(text, "### `{name}`\n\n{}\n", table.about);
        let _ = writeln!(
            text,
            "| number | error | meaning | does trying again help |\n|---:|---|---|---|"
        );
        for (number, variant, retry) in table.rows {
            let path = format!("{}::{variant}", table.path);
            let meaning = source.get(&path).map_or("", |entry| &entry.doc);
            let number = number.map_or("-".into(), |number| number.to_string());
            let _ = writeln!(text, "| {number} | `{variant}` | {meaning} | {retry} |");
        }
        text.push('\n');
    }
    text
}
