//! What a socket of smoltcp's hears late: a segment with data that this side has sent without it, and the peer's window. It is told of that when
//! it is first needed for something else, as if then it had happened: so it says from there on what it would have said (tested). What
//! the peer has acknowledged by then it need not hear of at all ([`super::behind`]). Touches the socket.

use super::{
    TcpSocket,
    datagram::Way,
    device::{Nowhere, OneFrame},
    headers::{Headers, Offer},
    smol,
};
use crate::{classify::ETHERNET, time::Instant};
use alloc::vec::Vec;
use core::net::SocketAddr;
use smoltcp::{
    iface::{Interface, SocketHandle, SocketSet},
    phy::Medium,
    socket::tcp,
};

/// Room for a segment without data.
const ROOM: usize = 128;
const ACK: u8 = 16;
/// So many segments are sent by the socket before another one is sent without it, where it had to hear of the last.
const SHY: u8 = 32;

/// What a socket has yet to hear.
#[derive(Default)]
pub(super) struct Late {
    /// The data of the last segment that was sent without it, and how much of it the peer has yet to acknowledge: all or nothing. The place
    /// is kept: a segment at most, beside buffers of many, and nobody's account has it.
    data: Vec<u8>,
    flying: usize,
    sent_at: Instant,
    window: Option<Window>,
    shy: u8,
}

/// The peer's window.
#[derive(Clone, Copy)]
struct Window {
    /// What is next from the peer, and what the peer has acknowledged, as the socket counts.
    numbers: (u32, u32),
    /// As it stands in the peer's segments.
    window: u16,
    /// When it was heard.
    at: Instant,
}

impl Late {
    /// There is nothing any more.
    fn forget(&mut self) {
        (self.flying, self.window, self.shy) = (0, None, 0);
    }

    /// The socket hears of another window first.
    pub(super) fn forget_window(&mut self) {
        self.window = None;
    }

    /// Whether there is something.
    #[inline]
    fn is_something(&self) -> bool {
        self.flying > 0 || self.window.is_some()
    }

    /// Tells the socket.
    #[inline(never)]
    pub(super) fn tell(
        &mut self,
        (seeder, mtu): (&mut Interface, u16),
        set: &mut SocketSet<'static>,
        handle: SocketHandle,
    ) {
        let window = self.window.take();
        let flying = core::mem::take(&mut self.flying);
        let socket: &mut tcp::Socket<'_> = set.get_mut(handle);
        let (Some(local), Some(remote)) = (socket.local_endpoint(), socket.remote_endpoint())
        else {
            return;
        };
        if let Some(Window {
            numbers,
            window,
            at,
        }) = window
        {
            let way = Way {
                mac: [0; 6],
                from: SocketAddr::from(remote),
                to: SocketAddr::from(local),
                hops: 0,
            };
            let offer = Offer::default();
            let heard = Headers::new(&way, [0; 6], numbers, (ACK, window), &offer);
            exchange((seeder, mtu), set, heard.as_ref(), false, at);
        }
        if flying > 0 {
            self.shy = SHY;
            let socket: &mut tcp::Socket<'_> = set.get_mut(handle);
            // It holds nothing else, so there is room.
            let _ = socket.send_slice(self.data.get(..flying).unwrap_or_default());
            exchange((seeder, mtu), set, None, true, self.sent_at);
        }
    }
}

impl TcpSocket {
    /// Whether the socket has something to hear.
    #[inline]
    pub(super) fn has_late(&self) -> bool {
        self.late.as_ref().is_some_and(|late| late.is_something())
    }

    /// It is the socket of another connection from now on.
    pub(super) fn forget_late(&mut self) {
        if let Some(late) = &mut self.late {
            late.forget();
        }
    }

    /// Bytes that were sent without the engine and not acknowledged.
    #[inline]
    pub(super) fn flying(&self) -> usize {
        self.late.as_ref().map_or(0, |late| late.flying)
    }

    /// When they were sent, if there are some.
    #[inline]
    pub(crate) fn flies_since(&self) -> Option<Instant> {
        let late = self.late.as_ref().filter(|late| late.flying > 0)?;
        Some(late.sent_at)
    }

    /// Whether a segment may be sent without the engine, as far as past ones say.
    pub(crate) fn may_fly(&mut self) -> bool {
        let late = self.late.get_or_insert_default();
        let may = late.shy == 0;
        late.shy = late.shy.saturating_sub(1);
        may && late.flying == 0
    }

    /// A place for the data of such a segment. Nothing may be flying.
    pub(crate) fn room_to_fly(&mut self, len: usize) -> &mut [u8] {
        let late = self.late.get_or_insert_default();
        if late.data.len() < len {
            late.data.resize(len, 0);
        }
        late.data.get_mut(..len).unwrap_or_default()
    }

    /// The first bytes in that place.
    pub(crate) fn data_to_fly(&self, len: usize) -> &[u8] {
        let late = self.late.as_ref();
        late.and_then(|late| late.data.get(..len))
            .unwrap_or_default()
    }

    /// A segment with so many bytes from there is sent now. The engine has nothing that the peer has yet to acknowledge.
    pub(crate) fn fly(&mut self, len: usize, now: Instant) {
        if let Some(late) = &mut self.late {
            (late.flying, late.sent_at) = (len, now);
        }
    }

    /// The peer has acknowledged it.
    pub(crate) fn land(&mut self) {
        if let Some(late) = &mut self.late {
            let bytes = core::mem::take(&mut late.flying) as u32;
            self.unknown.ahead = self.unknown.ahead.wrapping_add(bytes);
        }
    }

    /// The peer's window is another, as it stands in its segments; with what is next from the peer, and what it had acknowledged before that. The
    /// engine hears of it before it does anything.
    pub(crate) fn set_window(&mut self, window: u16, (next, acked): (u32, u32), at: Instant) {
        let next = next.wrapping_sub(self.unknown.behind);
        let acked = acked.wrapping_sub(self.unknown.ahead);
        self.late.get_or_insert_default().window = Some(Window {
            numbers: (next, acked),
            window,
            at,
        });
    }

    /// Whether the engine has yet to hear of that.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn has_late_window(&self) -> bool {
        self.late.as_ref().is_some_and(|late| late.window.is_some())
    }

    /// The window of a segment that acknowledges `ack`, where the engine opens it so far.
    pub(crate) fn unknown_window(&self, ack: u32, window: u16) -> u16 {
        self.unknown.window(ack, window)
    }
}

/// Gives a segment to a socket at a time, and lets it answer what nobody hears.
pub(super) fn exchange(
    (seeder, mtu): (&mut Interface, u16),
    set: &mut SocketSet<'static>,
    segment: Option<&Headers>,
    answers: bool,
    at: Instant,
) {
    let packet = segment.and_then(|segment| segment.bytes().get(ETHERNET..));
    let (mut nowhere, mut scratch) = (Nowhere, [0; ROOM]);
    let mut device = OneFrame::new(Medium::Ip, mtu, packet, &mut nowhere, &mut scratch);
    if packet.is_some() {
        seeder.poll_ingress_single(smol(at), &mut device, set);
    }
    if answers {
        seeder.poll_egress(smol(at), &mut device, set);
    }
}
