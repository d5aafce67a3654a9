//! Frames like one that came before: between the same stations, addresses and ports, to a flow that is still there. To whom they belong and
//! whether they may come was looked at then, and is not again: nothing of it can have changed as long as the engine has the same
//! addresses. What a frame says of itself, its lengths, checksums and flags, is looked at each time. Touches the flow.
//!
//! Only IPv4 without options and in one piece.

use crate::{
    Instant, checksum,
    classify::{self, ETHERNET, Segment, be16},
    connection::{Arrived, Past, Source},
    flow::Flow,
    ingress::may_be_joined,
    session::Owner,
    slab::Id,
    stack::Stack,
    turn::Context,
};
use core::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where the IP header ends.
const BODY: usize = ETHERNET + 20;
/// The frames remembered, by their ports; a later one takes the place of an earlier one.
const PLACES: usize = 16;
/// That a neighbour lives is noted so often.
const SEEN: Duration = Duration::from_secs(1);

/// What is the same in all frames from one peer to one flow.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Head {
    /// Stations, kind, version and length of the IP header.
    front: u128,
    addresses: u64,
    ports: u32,
    protocol: u8,
}

impl Head {
    /// `None` if a frame is too short, or carries a part of a datagram.
    #[inline]
    fn of(frame: &[u8]) -> Option<Head> {
        let bytes: &[u8; BODY + 8] = frame.first_chunk()?;
        let front = u128::from_le_bytes(*bytes.first_chunk()?) & (u128::MAX >> 8);
        let part = be16(bytes, ETHERNET + 6)? & 0x3fff;
        (part == 0).then_some(Head {
            front,
            addresses: u64::from_le_bytes(*bytes.get(ETHERNET + 12..)?.first_chunk()?),
            ports: u32::from_le_bytes(*bytes.get(BODY..)?.first_chunk()?),
            protocol: *bytes.get(ETHERNET + 9)?,
        })
    }

    fn place(&self) -> usize {
        (self.ports >> 8 ^ self.ports >> 24) as usize % PLACES
    }
}

/// A frame that came, and where it went.
#[derive(Clone, Copy)]
struct Known {
    head: Head,
    flow: Id,
    /// The addresses of the engine, as it counts them.
    epoch: u64,
    /// When its neighbour was last noted as seen.
    seen: Instant,
}

/// A frame like an earlier one.
struct Familiar<'a> {
    /// The flow that it belongs to, if that is still there.
    flow: Id,
    protocol: u8,
    /// Who sent it.
    from: SocketAddr,
    /// What the packet carries, behind the headers of Ethernet and IPv4. Its checksums are right.
    body: &'a [u8],
    /// The station that it came from is to be noted as seen.
    mac: Option<[u8; 6]>,
}

/// The frames that came last.
#[derive(Default)]
pub(crate) struct Recent([Option<Known>; PLACES]);

impl Recent {
    /// Notes that a whole frame to this host's own address went to a flow.
    pub(crate) fn note(&mut self, frame: &[u8], flow: Id, epoch: u64, now: Instant) {
        let is_plain = be16(frame, 12) == Some(0x0800) && frame.get(ETHERNET) == Some(&0x45);
        if let Some(head) = Head::of(frame).filter(|_| is_plain)
            && let Some(place) = self.0.get_mut(head.place())
        {
            *place = Some(Known {
                head,
                flow,
                epoch,
                seen: now,
            });
        }
    }

    /// What is known of frames like this one.
    #[inline]
    fn known(&mut self, frame: &[u8], epoch: u64) -> Option<&mut Known> {
        let head = Head::of(frame)?;
        let known = self.0.get_mut(head.place())?.as_mut()?;
        (known.head == head && known.epoch == epoch).then_some(known)
    }

    /// Finds out by its headers whether a frame of `len` bytes, for whose checksum the device vouches or which was looked at, is a segment
    /// like an earlier one: where it went, the segment, and the bytes of the headers. Not once in a while, when its neighbour is to be noted.
    #[inline]
    fn find_segment(
        &mut self,
        head: &[u8],
        len: usize,
        epoch: u64,
        now: Instant,
    ) -> Option<(Id, Segment, usize)> {
        let known = self.known(head, epoch)?;
        if known.head.protocol != TCP || now.since(known.seen) >= SEEN {
            return None;
        }
        let (header, body) = head.get(ETHERNET..)?.split_at_checked(20)?;
        let end = usize::from(be16(header, 2)?).checked_add(ETHERNET)?;
        if end != len || !checksum::is_right_header(header) {
            return None;
        }
        let segment = classify::segment(body)?;
        let headers = head.len().checked_sub(segment.len)?;
        let len = len.checked_sub(headers)?;
        Some((known.flow, Segment { len, ..segment }, headers))
    }

    /// Finds out whether a frame is like an earlier one, and in order. If not, it may still be both.
    #[inline]
    fn find<'a>(
        &mut self,
        frame: &'a [u8],
        vouches: bool,
        epoch: u64,
        now: Instant,
    ) -> Option<Familiar<'a>> {
        let known = self.known(frame, epoch)?;
        let end = usize::from(be16(frame, ETHERNET + 2)?).checked_add(ETHERNET)?;
        let (header, body) = frame.get(ETHERNET..end)?.split_at_checked(20)?;
        let (addresses, protocol) = (header.get(12..)?, known.head.protocol);
        if !checksum::is_right_header(header)
            || !vouches && !checksum::is_right_body(body, protocol, addresses)
        {
            return None;
        }
        let [a, b, c, d] = *addresses.first_chunk()?;
        let is_due = now.since(known.seen) >= SEEN;
        if is_due {
            known.seen = now;
        }
        Some(Familiar {
            flow: known.flow,
            protocol,
            from: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), be16(body, 0)?),
            body,
            mac: frame.get(6..)?.first_chunk().copied().filter(|_| is_due),
        })
    }
}

impl Stack {
    /// Takes a frame like one that came before, if it is one and in order. Else it is looked at as any other. A `train` may be
    /// longer than a packet.
    pub(crate) fn familiar(&mut self, frame: &mut [u8], vouches: bool, train: bool) -> bool {
        let is_long = !train && frame.len() > self.longest_packet();
        let epoch = self.engine.epoch();
        let Some(familiar) = self.recent.find(frame, vouches, epoch, self.now) else {
            return false;
        };
        let (id, from, mac) = (familiar.flow, familiar.from, familiar.mac);
        match self.flows.get_mut(id).map(|entry| &mut entry.flow) {
            // One that has ended may have made room for another one.
            Some(Flow::Tcp(tcp)) if familiar.protocol == TCP && !tcp.has_ended() => {
                let Some(segment) = classify::segment(familiar.body) else {
                    return false;
                };
                if is_long && !may_be_joined(&self.frames, &segment) {
                    return false;
                }
                let mut context = Context {
                    engine: &mut self.engine,
                    frames: &mut self.frames,
                    neighbors: &self.neighbors,
                    now: self.now,
                    may_send: true,
                };
                let past = if tcp.may_take_past(&segment) {
                    let end = BODY.saturating_add(familiar.body.len());
                    let start = end.saturating_sub(segment.len);
                    let parts = frame.get(..end).and_then(|it| it.split_at_checked(start));
                    parts.and_then(|(headers, data)| {
                        tcp.take_past(&mut context, &segment, headers, data)
                    })
                } else {
                    None
                };
                if let Some(past) = past {
                    let owner = tcp.owner.filter(|_| segment.len > 0);
                    self.follow_past(id, owner, past);
                } else if !tcp.ingress(&mut context, &segment, Arrived::Last(frame)) {
                    self.dropped();
                } else if tcp.is_over() {
                    self.remove_flow(id);
                } else {
                    self.wake(id);
                }
            }
            Some(Flow::Udp(udp)) if familiar.protocol == UDP && !is_long => {
                let Some(bytes) = classify::datagram(familiar.body) else {
                    return false;
                };
                match (udp.take(from, bytes), udp.owner) {
                    (Ok(true), Some(owner)) => self.sessions.raise(owner.session, owner.index),
                    (Err(error), Some(owner)) => self.violation(owner.session, &error),
                    _ => return false,
                }
            }
            _ => return false,
        }
        if let Some(mac) = mac {
            self.neighbors.seen(from.ip(), &mac, self.now);
        }
        true
    }

    /// What follows from a segment that went past the engine, with data for a client if it has an `owner`.
    fn follow_past(&mut self, id: Id, owner: Option<Owner>, past: Past) {
        if let Some(owner) = owner {
            self.sessions.raise(owner.session, owner.index);
        }
        match past {
            Past::Turn => self.wake(id),
            Past::Rest(deadline) => self.timers.set(id, deadline),
        }
    }

    /// Gives the data of a frame of `len` bytes straight to its client, if its `head` is like that of an earlier one and everything is plain.
    /// Else it is to be looked at as any other.
    pub(crate) fn passes_on(&mut self, head: &[u8], len: usize, source: Source<'_>) -> bool {
        let epoch = self.engine.epoch();
        let found = self.recent.find_segment(head, len, epoch, self.now);
        let Some((id, segment, headers)) = found else {
            return false;
        };
        let (Some(headers), Some(Flow::Tcp(tcp))) = (
            head.get(..headers),
            self.flows.get_mut(id).map(|entry| &mut entry.flow),
        ) else {
            return false;
        };
        let mut context = Context {
            engine: &mut self.engine,
            frames: &mut self.frames,
            neighbors: &self.neighbors,
            now: self.now,
            may_send: true,
        };
        if !tcp.pass_on(&mut context, &segment, headers, source) {
            return false;
        }
        if let Some(owner) = tcp.owner {
            self.sessions.raise(owner.session, owner.index);
        }
        self.wake(id);
        true
    }
}
