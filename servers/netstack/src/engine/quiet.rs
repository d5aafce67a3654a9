//! A connection whose handshake is over, and that has carried nothing since but perhaps its end. smoltcp's socket learns of it when it is first
//! needed: of a connection without data, that would be most of the work. Touches the socket.
//!
//! What the socket is told then happened at its own times: from there on it says what it would have said if it had heard all of it (tested).

use super::{
    Unknown,
    datagram::Way,
    handshake::seeder,
    headers::{FIN_ACK, Headers, Offer, SYN_ACK, shift},
    late::exchange,
};
use crate::time::Instant;
use core::net::SocketAddr;
use smoltcp::{
    iface::{Interface, SocketHandle, SocketSet},
    socket::tcp,
    wire::IpEndpoint,
};

/// Such a connection.
pub(crate) struct Quiet {
    local: SocketAddr,
    remote: SocketAddr,
    isn: u32,
    peer_isn: u32,
    offer: Offer,
    /// The peer's window, in bytes.
    window: u16,
    mtu: u16,
    began: Instant,
    /// When the peer's FIN came, and its window, as it stands there.
    ended: Option<(Instant, u16)>,
    /// This side is to end, too.
    closes: bool,
    /// When its FIN was sent.
    closed: Option<Instant>,
}

impl Quiet {
    /// One that begins: own address and the peer's, own initial sequence number and the peer's, what the peer's SYN offered, and its window.
    pub(super) fn new(
        (local, remote): (SocketAddr, SocketAddr),
        (isn, peer_isn): (u32, u32),
        offer: Offer,
        window: u16,
        mtu: u16,
        began: Instant,
    ) -> Quiet {
        Quiet {
            local,
            remote,
            isn,
            peer_isn,
            offer,
            window,
            mtu,
            began,
            ended: None,
            closes: false,
            closed: None,
        }
    }

    /// An interface in which a socket can be told of it, and its largest packet.
    pub(super) fn seeder(&self) -> (Interface, u16) {
        (seeder(self.mtu, self.isn, self.began), self.mtu)
    }

    /// Its state.
    pub(super) fn state(&self) -> tcp::State {
        match (self.ended, self.closes) {
            (None, _) => tcp::State::Established,
            (Some(_), false) => tcp::State::CloseWait,
            (Some(_), true) => tcp::State::LastAck,
        }
    }

    /// The peer ends its direction, next in order, and says nothing else.
    pub(super) fn end(&mut self, window: u16, now: Instant) {
        self.ended.get_or_insert((now, window));
    }

    /// Ends this direction, if the peer has ended the other. False if not.
    pub(super) fn close(&mut self) -> bool {
        self.closes |= self.ended.is_some();
        self.closes
    }

    /// When the FIN was sent.
    pub(crate) fn closed(&self) -> Option<Instant> {
        self.closed
    }

    /// The FIN, if it is to be sent now, to a station, with the window of a buffer of so many bytes. It counts as sent.
    pub(super) fn fin(
        &mut self,
        mac: [u8; 6],
        to: [u8; 6],
        buffer: usize,
        unknown: &Unknown,
        now: Instant,
    ) -> Option<Headers> {
        if !self.closes || self.closed.is_some() {
            return None;
        }
        let way = Way {
            mac: to,
            from: self.local,
            to: self.remote,
            hops: 0,
        };
        let seq = self.isn.wrapping_add(1).wrapping_add(unknown.ahead);
        let ack = self.peer_isn.wrapping_add(2).wrapping_add(unknown.behind);
        let shifted = buffer >> self.offer.shift.map_or(0, |_| shift(buffer));
        let window = u16::try_from(shifted).unwrap_or(u16::MAX);
        let rest = (FIN_ACK, unknown.window(ack, window));
        let fin = Headers::new(&way, mac, (seq, ack), rest, &Offer::default())?;
        self.closed = Some(now);
        Some(fin)
    }

    /// Tells a closed socket of it.
    ///
    /// The socket opens the connection, in an interface of its own, and hears a SYN-ACK with the peer's numbers: one segment, where a
    /// socket that listens would hear two. What is on the wire is the same from then on.
    #[inline(never)]
    pub(super) fn tell(
        &self,
        seeder: &mut Interface,
        set: &mut SocketSet<'static>,
        handle: SocketHandle,
    ) -> Option<()> {
        let socket: &mut tcp::Socket<'_> = set.get_mut(handle);
        let (remote, local) = (IpEndpoint::from(self.remote), IpEndpoint::from(self.local));
        socket.connect(seeder.context(), remote, local).ok()?;
        // Acknowledging the peer's SYN, as our SYN-ACK has.
        let begun = self.heard(self.peer_isn, (SYN_ACK, self.window), &self.offer)?;
        exchange((seeder, self.mtu), set, Some(&begun), true, self.began);
        if let Some((at, window)) = self.ended {
            let seq = self.peer_isn.wrapping_add(1);
            let ended = self.heard(seq, (FIN_ACK, window), &Offer::default())?;
            exchange((seeder, self.mtu), set, Some(&ended), false, at);
        }
        if self.closes {
            set.get_mut::<tcp::Socket<'_>>(handle).close();
        }
        if let Some(at) = self.closed {
            exchange((seeder, self.mtu), set, None, true, at);
        }
        Some(())
    }

    /// A segment of the peer's.
    fn heard(&self, seq: u32, rest: (u8, u16), offer: &Offer) -> Option<Headers> {
        let way = Way {
            mac: [0; 6],
            from: self.remote,
            to: self.local,
            hops: 0,
        };
        let numbers = (seq, self.isn.wrapping_add(1));
        Headers::new(&way, [0; 6], numbers, rest, offer)
    }
}
