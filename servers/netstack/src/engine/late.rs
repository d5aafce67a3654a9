//! What a socket of smoltcp's hears late: data that this side has sent without it (one segment, or many that are still with the client), and
//! the peer's window. It is told of that when it is first needed for something else, as if then it had happened: so it says from there on what
//! it would have said (tested). What the peer has acknowledged by then it need not hear of at all ([`super::behind`]). Touches the socket.

use super::{
    TcpSocket,
    datagram::Way,
    device::{Nowhere, OneFrame},
    handshake::seeder,
    headers::{Headers, Offer},
    smol,
    sockets::SEEDER_MTU,
};
use crate::{classify::ETHERNET, time::Instant};
use alloc::vec::Vec;
use core::{convert::Infallible, net::SocketAddr, time::Duration};
use smoltcp::{
    iface::{Interface, PollResult, SocketHandle, SocketSet},
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
    /// Or they are still with the client, may be many, and are acknowledged in parts.
    is_aloft: bool,
    /// When they were sent, or some of them were acknowledged last.
    sent_at: Instant,
    /// When the first of those aloft were sent, if none of them has landed, and how long the last ones took.
    took_off: Option<Instant>,
    trip: Option<Duration>,
    window: Option<Window>,
    shy: u8,
}

/// What the peer has said last, without the engine.
pub(crate) struct Heard {
    /// The number that comes next from it.
    pub(crate) next: u32,
    /// What it has acknowledged.
    pub(crate) acked: u32,
    /// Its window as it stands in its segments.
    pub(crate) window: u16,
    /// Bytes of the longest segment that it takes.
    pub(crate) segment: u16,
    /// How long the handshake took.
    pub(crate) trip: Duration,
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
        (self.is_aloft, self.trip) = (false, None);
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
        #[cfg(any(test, feature = "testing"))]
        assert!(!self.is_aloft, "it needs what is still with the client");
        let window = self.window.take();
        let flying = core::mem::take(&mut self.flying);
        if let Some(Window {
            numbers,
            window,
            at,
        }) = window
        {
            let heard = peers(set.get_mut(handle), numbers, window);
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
        may && (late.flying == 0 || late.is_aloft)
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

    /// Bytes that were sent without the engine, are not acknowledged, and are still with the client.
    #[inline]
    pub(crate) fn aloft(&self) -> usize {
        match &self.late {
            Some(late) if late.is_aloft => late.flying,
            _ => 0,
        }
    }

    /// Whether bytes of it were aloft before, and have arrived.
    #[inline]
    pub(crate) fn has_flown(&self) -> bool {
        self.late.as_ref().is_some_and(|late| late.trip.is_some())
    }

    /// So many more bytes of the client's were sent without the engine. It has nothing that the peer has yet to acknowledge, and nothing else
    /// is flying.
    pub(crate) fn lift(&mut self, len: usize, now: Instant) {
        let late = self.late.get_or_insert_default();
        if late.flying == 0 {
            (late.sent_at, late.took_off) = (now, Some(now));
        }
        late.is_aloft = true;
        late.flying = late.flying.saturating_add(len);
    }

    /// The peer has acknowledged the first so many of them, and more are waited for from now on (RFC 6298 section 5, rule 5.3).
    pub(crate) fn land_first(&mut self, len: usize, now: Instant) {
        if let Some(late) = &mut self.late {
            let len = len.min(late.flying);
            late.flying -= len;
            late.is_aloft = late.flying > 0;
            if len > 0 {
                late.sent_at = now;
            }
            if let Some(at) = late.took_off.take_if(|_| len > 0) {
                late.trip = Some(now.since(at));
            }
            self.unknown.ahead = self.unknown.ahead.wrapping_add(len as u32);
        }
    }

    /// The engine is given all that is aloft, as `read` does with one part of a buffer after the other, and is told that it was sent when the
    /// clock for it began to run. What it would not have sent, it sends in its time: again.
    pub(crate) fn ground(&mut self, heard: &Heard, mut read: impl FnMut(&mut [u8]) -> usize) {
        let Some(late) = &mut self.late else {
            return;
        };
        let (mut left, at, trip) = (core::mem::take(&mut late.flying), late.sent_at, late.trip);
        (late.is_aloft, late.shy) = (false, SHY);
        self.widen(heard, left, (at, trip.unwrap_or(heard.trip)));
        // It was sent as it is: no small segment waits now that would not have waited then.
        let is_nagle = self.is_nagle();
        self.set_no_delay(true);
        // It holds nothing else, and there was never more aloft than it has room for.
        while left > 0 {
            let given = self.give(left, &mut read);
            if given == 0 {
                break;
            }
            left = left.saturating_sub(given);
        }
        let mut seeder = seeder(SEEDER_MTU, 0, Instant::ZERO);
        // Bounded: each sends a byte at least.
        while exchange((&mut seeder, SEEDER_MTU), &mut self.set, None, true, at) {}
        self.set_no_delay(!is_nagle);
    }

    /// Gives the engine up to `most` bytes, in one piece.
    fn give(&mut self, most: usize, read: &mut impl FnMut(&mut [u8]) -> usize) -> usize {
        let given = self.send(|room| {
            let len = room.len().min(most);
            let given = read(room.get_mut(..len).unwrap_or_default());
            Ok::<usize, Infallible>(given)
        });
        match given {
            Ok(given) => given,
            Err(never) => match never {},
        }
    }

    /// Makes the engine's congestion window as wide as what is aloft: it hears of as many segments, without which it would count less, that
    /// they were acknowledged in such a time. It has nothing else under way.
    fn widen(&mut self, heard: &Heard, aloft: usize, (at, trip): (Instant, Duration)) {
        let mut seeder = seeder(SEEDER_MTU, 0, Instant::ZERO);
        let segment = usize::from(heard.segment).max(1);
        let sent_at = Instant::from_nanos(at.since(Instant::ZERO.after(trip)).as_nanos() as u64);
        for _ in 0..aloft.div_ceil(segment) {
            let given = self.give(segment, &mut |room| {
                room.fill(0);
                room.len()
            });
            exchange(
                (&mut seeder, SEEDER_MTU),
                &mut self.set,
                None,
                true,
                sent_at,
            );
            self.unknown.ahead = self.unknown.ahead.wrapping_sub(given as u32);
            let next = heard.next.wrapping_sub(self.unknown.behind);
            let acked = heard.acked.wrapping_sub(self.unknown.ahead);
            let Some(headers) = peers(self.socket(), (next, acked), heard.window) else {
                return;
            };
            let acked = Some(&headers);
            exchange((&mut seeder, SEEDER_MTU), &mut self.set, acked, false, at);
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

/// A segment of the peer's that says nothing but this.
fn peers(socket: &tcp::Socket<'_>, numbers: (u32, u32), window: u16) -> Option<Headers> {
    let way = Way {
        mac: [0; 6],
        from: SocketAddr::from(socket.remote_endpoint()?),
        to: SocketAddr::from(socket.local_endpoint()?),
        hops: 0,
    };
    Headers::new(&way, [0; 6], numbers, (ACK, window), &Offer::default())
}

/// Gives a segment to a socket at a time, and lets it answer what nobody hears. True if it did.
pub(super) fn exchange(
    (seeder, mtu): (&mut Interface, u16),
    set: &mut SocketSet<'static>,
    segment: Option<&Headers>,
    answers: bool,
    at: Instant,
) -> bool {
    let packet = segment.and_then(|segment| segment.bytes().get(ETHERNET..));
    let (mut nowhere, mut scratch) = (Nowhere, [0; ROOM]);
    let mut device = OneFrame::new(Medium::Ip, mtu, packet, &mut nowhere, &mut scratch);
    if packet.is_some() {
        seeder.poll_ingress_single(smol(at), &mut device, set);
    }
    answers && seeder.poll_egress(smol(at), &mut device, set) != PollResult::None
}
