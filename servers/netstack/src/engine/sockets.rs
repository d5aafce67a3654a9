//! TCP sockets, each alone in its set.

use super::{
    Engine, Sockets, Unknown, handshake::seeder, headers::Headers, late::Late, quiet::Quiet,
};
use crate::time::Instant;
use alloc::{boxed::Box, vec};
use core::{net::SocketAddr, time::Duration};
use ipc_proto::socket::SocketState;
use smoltcp::{
    iface::{SocketHandle, SocketSet},
    socket::tcp,
    wire::IpEndpoint,
};

/// Largest packet of an interface in which a socket is told what has happened: nothing is split there.
pub(super) const SEEDER_MTU: u16 = u16::MAX;

/// State of a connection (RFC 9293 section 3.3.2).
pub(crate) type TcpState = tcp::State;

/// A TCP connection.
pub(crate) struct TcpSocket {
    pub(super) set: SocketSet<'static>,
    handle: SocketHandle,
    /// What the socket has yet to be told.
    quiet: Option<Quiet>,
    pub(super) late: Option<Box<Late>>,
    /// Bytes of each buffer.
    buffer: usize,
    /// Bytes of the peer that were taken, in the circle of sequence numbers.
    taken: u32,
    pub(super) unknown: Unknown,
}

impl Sockets for TcpSocket {
    fn set(&mut self) -> &mut SocketSet<'static> {
        self.tell();
        &mut self.set
    }

    fn unknown(&self) -> Unknown {
        self.unknown
    }
}

/// Why a connection can't be opened from here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unaddressable;

/// What a socket is like at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Glance {
    /// State of the connection.
    pub(crate) state: TcpState,
    /// Bytes received and not yet taken.
    pub(crate) received: usize,
    /// Bytes given and not yet acknowledged.
    pub(crate) unacknowledged: usize,
}

impl TcpSocket {
    /// A closed socket with buffers of so many bytes, each way.
    pub(crate) fn new(buffer: usize) -> TcpSocket {
        let mut socket = tcp::Socket::new(
            tcp::SocketBuffer::new(vec![0; buffer]),
            tcp::SocketBuffer::new(vec![0; buffer]),
        );
        socket.set_congestion_control(tcp::CongestionControl::Reno);
        let mut set = SocketSet::new(vec![]);
        let handle = set.add(socket);
        TcpSocket {
            set,
            handle,
            quiet: None,
            late: None,
            buffer,
            taken: 0,
            unknown: Unknown::default(),
        }
    }

    /// As [`new`](Self::new), with the buffers of a connection that has ended in order, and waits for no neighbour. They are not zeroed: the
    /// engine reads of a buffer only what was written to it since it was emptied.
    ///
    /// What smoltcp leaves as it was when a closed socket begins anew (0.14) is set here, or by the first segment of the peer's; after an
    /// orderly end, no retransmission is pending.
    pub(crate) fn renewed(mut self) -> TcpSocket {
        let socket = self.socket();
        socket.abort();
        socket.set_congestion_control(tcp::CongestionControl::Reno);
        socket.set_keep_alive(None);
        socket.set_hop_limit(None);
        socket.set_nagle_enabled(true);
        self.taken = 0;
        self.unknown = Unknown::default();
        self.forget_late();
        self
    }

    /// Makes a closed socket that of a connection, of which it is told when it is needed.
    pub(super) fn begin(&mut self, quiet: Quiet) {
        self.quiet = Some(quiet);
    }

    /// Tells the socket what it has not heard yet.
    #[inline]
    pub(super) fn tell(&mut self) {
        if self.has_more_to_hear() {
            self.tell_all();
        }
    }

    #[inline(never)]
    fn tell_all(&mut self) {
        let (mut seeder, mtu) = match &self.quiet {
            Some(quiet) => quiet.seeder(),
            None => (seeder(SEEDER_MTU, 0, Instant::ZERO), SEEDER_MTU),
        };
        if let Some(quiet) = self.quiet.take() {
            // What makes no sense leaves it closed.
            let _ = quiet.tell(&mut seeder, &mut self.set, self.handle);
        }
        if let Some(late) = &mut self.late {
            late.tell((&mut seeder, mtu), &mut self.set, self.handle);
        }
    }

    /// Whether the socket has yet to be told something.
    pub(crate) fn has_more_to_hear(&self) -> bool {
        self.quiet.is_some() || self.has_late()
    }

    /// What the socket has not been told of yet.
    pub(crate) fn quiet(&self) -> Option<&Quiet> {
        self.quiet.as_ref()
    }

    /// The peer of a quiet connection ends its direction, next in order, and says nothing else.
    pub(crate) fn end_quietly(&mut self, window: u16, now: Instant) {
        if let Some(quiet) = &mut self.quiet {
            quiet.end(window, now);
            // It is told with the end.
            if let Some(late) = &mut self.late {
                late.forget_window();
            }
        }
    }

    /// The FIN of a quiet connection, if it is to be sent now, from a station to another. It counts as sent.
    pub(crate) fn quiet_fin(&mut self, mac: [u8; 6], to: [u8; 6], now: Instant) -> Option<Headers> {
        let quiet = self.quiet.as_mut()?;
        quiet.fin(mac, to, self.buffer, &self.unknown, now)
    }

    /// Ends the connection, of which the peer has said the last word.
    pub(crate) fn forget(&mut self) {
        self.forget_late();
        if self.quiet.take().is_none() {
            self.socket().abort();
        }
    }

    #[inline]
    pub(super) fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.tell();
        self.set.get_mut(self.handle)
    }

    /// The socket, if it has been told all.
    fn view(&self) -> &tcp::Socket<'static> {
        self.set.get(self.handle)
    }

    /// Makes a closed socket open a connection whose first sequence number is `isn`.
    ///
    /// # Errors
    /// [`Unaddressable`] for port zero, unspecified addresses or addresses of different families.
    pub(crate) fn connect(
        &mut self,
        engine: &Engine,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        isn: u32,
    ) -> Result<(), Unaddressable> {
        let mut seeder = super::handshake::seeder(engine.mtu(), isn, now);
        self.socket()
            .connect(
                seeder.context(),
                IpEndpoint::from(remote),
                IpEndpoint::from(local),
            )
            .map_err(|_| Unaddressable)
    }

    /// All of it at once: to find the socket in its set takes more than to look at it.
    #[inline]
    pub(crate) fn glance(&self) -> Glance {
        if let Some(quiet) = &self.quiet {
            return Glance {
                state: quiet.state(),
                received: 0,
                unacknowledged: self.flying(),
            };
        }
        let view = self.view();
        Glance {
            state: view.state(),
            received: view.recv_queue(),
            unacknowledged: view.send_queue().saturating_add(self.flying()),
        }
    }

    /// State of the connection.
    pub(crate) fn state(&self) -> TcpState {
        match &self.quiet {
            Some(quiet) => quiet.state(),
            None => self.view().state(),
        }
    }

    /// The same, as clients see it.
    pub(crate) fn public_state(&self) -> SocketState {
        match self.state() {
            TcpState::Closed => SocketState::Closed,
            TcpState::Listen => SocketState::Listen,
            TcpState::SynSent => SocketState::SynSent,
            TcpState::SynReceived => SocketState::SynReceived,
            TcpState::Established => SocketState::Established,
            TcpState::FinWait1 => SocketState::FinWait1,
            TcpState::FinWait2 => SocketState::FinWait2,
            TcpState::CloseWait => SocketState::CloseWait,
            TcpState::Closing => SocketState::Closing,
            TcpState::LastAck => SocketState::LastAck,
            TcpState::TimeWait => SocketState::TimeWait,
        }
    }

    /// Bytes received and not yet taken.
    pub(crate) fn received(&self) -> usize {
        match self.quiet {
            Some(_) => 0,
            None => self.view().recv_queue(),
        }
    }

    /// Bytes of the receive buffer.
    pub(crate) fn receive_capacity(&self) -> usize {
        self.buffer
    }

    /// Bytes of the largest window that can be told, where windows are shifted so far.
    pub(crate) fn largest_window(&self, shift: u8) -> usize {
        self.buffer.min(usize::from(u16::MAX) << shift.min(14))
    }

    /// Bytes that a window's unit stands for at most: as many as the buffer needs to be told in 16 bits (RFC 7323 section 2.3). With
    /// less room than that the window is shut.
    pub(crate) fn window_unit(&self) -> usize {
        (self.receive_capacity() >> 16)
            .checked_ilog2()
            .map_or(1, |log2| 2 << log2)
    }

    /// The sequence number of the next byte of a peer whose first one was `peer_isn`, in a synchronized state.
    pub(crate) fn receive_next(&self, peer_isn: u32) -> u32 {
        self.next_at(&self.glance(), peer_isn)
    }

    /// The same at a moment.
    #[inline]
    pub(crate) fn next_at(&self, glance: &Glance, peer_isn: u32) -> u32 {
        let fin = matches!(
            glance.state,
            TcpState::CloseWait | TcpState::Closing | TcpState::LastAck | TcpState::TimeWait
        );
        peer_isn
            .wrapping_add(1)
            .wrapping_add(self.taken)
            .wrapping_add(glance.received as u32)
            .wrapping_add(fin.into())
    }

    /// Bytes given and not yet acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        let held = match self.quiet {
            Some(_) => 0,
            None => self.view().send_queue(),
        };
        held.saturating_add(self.flying())
    }

    /// Whether more bytes can be given now.
    pub(crate) fn can_send(&self) -> bool {
        match &self.quiet {
            Some(quiet) => quiet.state() != TcpState::LastAck,
            None => self.view().can_send(),
        }
    }

    /// Gives bytes: `f` fills a part of the transmit buffer and tells how much.
    pub(crate) fn send<E>(
        &mut self,
        f: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let result = self.socket().send(|room| match f(room) {
            Ok(used) => (used.min(room.len()), Ok(used)),
            Err(error) => (0, Err(error)),
        });
        result.unwrap_or(Ok(0))
    }

    /// Takes bytes: `f` looks at a part of what was received and tells how much it took.
    pub(crate) fn receive<E>(
        &mut self,
        f: impl FnOnce(&[u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let mut taken = 0;
        let result = self.socket().recv(|bytes| match f(bytes) {
            Ok(used) => {
                taken = used.min(bytes.len());
                (taken, Ok(used))
            }
            Err(error) => (0, Err(error)),
        });
        self.taken = self.taken.wrapping_add(taken as u32);
        result.unwrap_or(Ok(0))
    }

    /// So many bytes of the peer's were taken behind all others, of which the engine was not told.
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.taken = self.taken.wrapping_add(bytes as u32);
        self.unknown.behind = self.unknown.behind.wrapping_add(bytes as u32);
    }

    /// Time to live of what is sent; 0 for the usual one.
    pub(crate) fn hop_limit(&self) -> u8 {
        self.view().hop_limit().unwrap_or(0)
    }

    /// The window that the engine tells of while its buffer is empty, where windows are shifted so far.
    pub(crate) fn whole_window(&self, shift: u8) -> u16 {
        u16::try_from(self.buffer >> shift).unwrap_or(u16::MAX)
    }

    /// There is room only up to this number of the peer's, whose windows are shifted so far; or as much as in the buffer.
    pub(crate) fn set_edge(&mut self, edge: Option<(u32, u8)>) {
        self.unknown.edge = edge;
    }

    /// Whether the peer has sent FIN and everything before it was taken.
    pub(crate) fn at_end(&mut self) -> bool {
        if let Some(quiet) = &self.quiet {
            return quiet.state() != TcpState::Established;
        }
        matches!(self.socket().peek(0), Err(tcp::RecvError::Finished))
    }

    /// Ends the sending direction behind what was given (FIN).
    pub(crate) fn close(&mut self) {
        let flying = self.flying();
        let quiet = self.quiet.as_mut().filter(|_| flying == 0);
        if !quiet.is_some_and(Quiet::close) {
            self.socket().close();
        }
    }

    /// Ends the connection (RST).
    pub(crate) fn abort(&mut self) {
        self.socket().abort();
    }

    /// Sends small segments at once (RFC 1122 section 4.2.3.4), or not.
    pub(crate) fn set_no_delay(&mut self, on: bool) {
        self.socket().set_nagle_enabled(!on);
    }

    /// Whether small segments wait for others to be acknowledged.
    pub(crate) fn is_nagle(&self) -> bool {
        self.view().nagle_enabled()
    }

    /// Probes an idle peer at this interval.
    pub(crate) fn set_keep_alive(&mut self, interval: Option<Duration>) {
        self.socket().set_keep_alive(interval.map(duration));
    }

    /// Time to live of what is sent; 0 is the default of 64.
    pub(crate) fn set_hop_limit(&mut self, hops: u8) {
        self.socket().set_hop_limit((hops != 0).then_some(hops));
    }
}

fn duration(value: Duration) -> smoltcp::time::Duration {
    let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
    // An hour-long ceiling far above any use keeps sums with the clock in range.
    smoltcp::time::Duration::from_micros(micros.min(1 << 50))
}
