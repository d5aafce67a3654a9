//! Where things lie in shared memory, asked of the code that lays them out. Touches memory of its own only.

use crate::hex;
use core::{fmt::Write, net::SocketAddr};
use ipc_proto::{
    channel::{FRAME_CHANNEL, Geometry, SOCKET_CHANNEL},
    fifo::{self, CONTROL_SIZE, End, HEADER_SIZE, Status},
    frame,
    shm::Shm,
    socket::{Buffers, NetError},
};

/// Where a part of a channel lies.
type Offset = fn(Geometry) -> usize;

/// Offsets of both channels.
pub(crate) fn channels() -> String {
    let channels: [(&str, Geometry); 2] = [
        ("client and stack", SOCKET_CHANNEL),
        ("driver and stack", FRAME_CHANNEL),
    ];
    let mut text = String::from(
        "| offset, client and stack | offset, driver and stack | written by | what |\n|---:|---:|---|---|\n",
    );
    let rows: [(&str, &str, Offset); 12] = [
        ("client", "tail of the ring to the stack", |g| {
            g.client().tail
        }),
        ("client", "head of the ring to the client", |g| {
            g.client().head
        }),
        ("stack", "tail of the ring to the client", |g| {
            g.stack().tail
        }),
        ("stack", "head of the ring to the stack", |g| g.stack().head),
        (
            "client sets, stack clears",
            "wake word of the client",
            |g| g.client().wake,
        ),
        ("stack sets, client clears", "wake word of the stack", |g| {
            g.stack().wake
        }),
        (
            "stack sets, client clears",
            "summary of the events for the client",
            |g| g.client().events,
        ),
        (
            "stack sets, client clears",
            "bitmap of the events for the client",
            |g| g.client().events + 64,
        ),
        (
            "client sets, stack clears",
            "summary of the events for the stack",
            |g| g.stack().events,
        ),
        (
            "client sets, stack clears",
            "bitmap of the events for the stack",
            |g| g.stack().events + 64,
        ),
        ("client", "slots of the ring to the stack", |g| {
            g.client().slots
        }),
        ("stack", "slots of the ring to the client", |g| {
            g.stack().slots
        }),
    ];
    for (writer, what, offset) in rows {
        let _ = write!(text, "|");
        for (_, geometry) in channels {
            // Without sockets there are no events.
            if geometry.sockets == 0 && what.contains("events") {
                let _ = write!(text, " - |");
            } else {
                let _ = write!(text, " {} |", offset(geometry));
            }
        }
        let _ = writeln!(text, " {writer} | {what} |");
    }
    let _ = writeln!(
        text,
        "\n| channel | bytes of a slot | slots of a ring | sockets | bytes of the channel |\n|---|---:|---:|---:|---:|"
    );
    for (name, geometry) in channels {
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} |",
            geometry.slot_size,
            geometry.slots,
            geometry.sockets,
            geometry.bytes()
        );
    }
    text
}

const BUFFERS: Buffers = Buffers {
    control: 0,
    rx: 128,
    rx_log2: 10,
    tx: 1152,
    tx_log2: 10,
};

/// Offsets of a control block.
pub(crate) fn control() -> String {
    let mut text = String::from("| offset | written by | what |\n|---:|---|---|\n");
    for (offset, writer, what) in [
        (fifo::RX_TAIL, "stack", "tail of the receive FIFO"),
        (fifo::TX_HEAD, "stack", "head of the transmit FIFO"),
        (fifo::STATUS, "stack", "status word"),
        (fifo::RX_HEAD, "client", "head of the receive FIFO"),
        (fifo::TX_TAIL, "client", "tail of the transmit FIFO"),
    ] {
        let _ = writeln!(text, "| {offset} | {writer} | {what} |");
    }
    let _ = writeln!(
        text,
        "\nA control block takes {CONTROL_SIZE} bytes. A FIFO takes 1 << n bytes, n from {} to {}. Control block and FIFOs start at \
         multiples of {}.",
        fifo::MIN_LOG2,
        fifo::MAX_LOG2,
        fifo::ALIGN
    );
    text
}

/// Status words, as the code stores them.
pub(crate) fn status() -> String {
    let mut text =
        String::from("| established | peer closed | error | word |\n|---|---|---|---|\n");
    let memory = Shm::heap(4096);
    let Ok(stack) = fifo::ends(&memory, &BUFFERS, End::Stack, 0) else {
        return text;
    };
    for (established, peer_closed, error) in [
        (false, false, None),
        (true, false, None),
        (true, true, None),
        (false, false, Some(NetError::ConnectionRefused)),
        (true, true, Some(NetError::ConnectionReset)),
        (true, false, Some(NetError::MessageTooLong)),
    ] {
        stack.status.store(Status {
            established,
            peer_closed,
            error,
        });
        let word = memory
            .load(fifo::STATUS, core::sync::atomic::Ordering::Relaxed)
            .unwrap_or(0);
        let error = error.map_or("-".into(), |error| format!("`{error:?}`"));
        let _ = writeln!(
            text,
            "| {established} | {peer_closed} | {error} | `{word:#010x}` |"
        );
    }
    text
}

/// Records, as the code writes them.
pub(crate) fn records() -> String {
    let mut text = String::new();
    for (peer, bytes) in [
        ("10.1.2.3:258", b"hello".as_slice()),
        ("[2001:db8::ff]:53", b"8 bytes."),
    ] {
        let memory = Shm::heap(4096);
        let (Ok(mut stack), Ok(peer)) = (
            fifo::ends(&memory, &BUFFERS, End::Stack, 0),
            peer.parse::<SocketAddr>(),
        ) else {
            continue;
        };
        let _ = stack.writer.write_record(peer, bytes);
        let mut record = vec![0; HEADER_SIZE + bytes.len().next_multiple_of(8)];
        let _ = memory.read(BUFFERS.rx as usize, &mut record);
        let words = String::from_utf8_lossy(bytes);
        let _ = writeln!(
            text,
            "{{\"peer\":\"{peer}\",\"bytes\":\"{words}\"}}\n= {}",
            hex(&record)
        );
    }
    text
}

/// The numbers of the frame pools.
pub(crate) fn frames() -> String {
    format!(
        "There is one to receive into and one to send from, each with numbers of its own. The small buffers come first: a small one takes {} \
         bytes, so that buffer `n` starts at offset `n * {}` of its pool. The large ones \
         lie behind all small ones, and take {} bytes each. The frame starts behind the first {} bytes of a buffer, which in one to receive into \
         are the driver's, and has at most {} bytes in a small buffer. Of a large buffer, a frame to send uses at most 65,535 bytes, and one that was received at most {}.",
        frame::BUFFER_SIZE,
        frame::BUFFER_SIZE,
        frame::LARGE_BUFFER_SIZE,
        frame::HEADROOM,
        frame::BUFFER_SIZE - frame::HEADROOM,
        frame::LARGE_BUFFER_SIZE - frame::HEADROOM,
    )
}
