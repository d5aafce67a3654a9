//! Where a received frame goes: what it is, whether it is for this host, and who gets it. Touches flows through their own `ingress`, and the
//! control set of addresses; TCP segments find their way in `segments`.

mod segments;

use crate::{
    checksum,
    classify::{self, Frame, Packet, Part, Payload, Segment},
    connection::Arrived,
    engine::whole as whole_frame,
    flow::{Entry, Flow},
    frames::Frames,
    listener::covers,
    slab::Id,
    stack::Stack,
    turn::Context,
};
use core::net::IpAddr;
use ipc_proto::socket::NetError;
use segments::flow_key;

/// Whether a frame went to several stations.
fn is_to_group(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 1 != 0)
}

/// Whether a segment may be several that the device has joined. One that opens or resets a connection never is.
pub(crate) fn may_be_joined(frames: &Frames, segment: &Segment) -> bool {
    frames.joins_segments() && !segment.is_syn() && !segment.is_reset()
}

impl Stack {
    /// Takes a frame; whether the device `vouches` for the checksum of a TCP segment or UDP datagram in it. Whatever it says, the work is
    /// bounded.
    pub(crate) fn ingress(&mut self, frame: &mut [u8], vouches: bool) {
        if self.familiar(frame, vouches, false) {
            return;
        }
        if frame.len() > self.longest_packet() && !self.may_be_joined(frame) {
            return self.malformed();
        }
        self.look_at(frame, vouches);
    }

    /// Takes a frame whose length and checksums have been looked at.
    pub(crate) fn ingress_intact(&mut self, frame: &mut [u8]) {
        if !self.familiar(frame, true, true) {
            self.look_at(frame, true);
        }
    }

    /// Longest frame that there can be on this network, as one piece.
    pub(crate) fn longest_packet(&self) -> usize {
        usize::from(self.engine.mtu()).saturating_add(classify::ETHERNET)
    }

    fn look_at(&mut self, frame: &[u8], vouches: bool) {
        match classify::frame(frame) {
            Frame::Malformed => self.malformed(),
            _ if !self.is_for_us(frame) => self.dropped(),
            Frame::Foreign => self.dropped(),
            Frame::Arp(arp) => self.arp(&arp, frame),
            Frame::Ip(packet) => self.packet(&packet, frame, vouches),
        }
    }

    /// Whether a packet beyond the MTU may be several TCP segments.
    fn may_be_joined(&self, frame: &[u8]) -> bool {
        match classify::frame(frame) {
            Frame::Ip(Packet {
                payload: Payload::Tcp(segment),
                part: None,
                ..
            }) => may_be_joined(&self.frames, &segment),
            _ => false,
        }
    }

    /// Whether a frame went to this station or to a group. A device that hears all others too is no reason to answer for them.
    fn is_for_us(&self, frame: &[u8]) -> bool {
        is_to_group(frame) || frame.starts_with(&self.engine.mac())
    }

    pub(crate) fn malformed(&mut self) {
        self.counters.rx_malformed = self.counters.rx_malformed.saturating_add(1);
    }

    pub(crate) fn dropped(&mut self) {
        self.counters.rx_dropped = self.counters.rx_dropped.saturating_add(1);
    }

    fn packet(&mut self, packet: &Packet<'_>, frame: &[u8], vouches: bool) {
        // Nobody sends from this host's address, or from that of a group: an answer would go to all of them.
        let is_sender = !self.engine.has_address(packet.src) && !self.engine.is_group(packet.src);
        if !is_sender || packet.src.is_ipv6() && !self.config.ipv6 {
            self.dropped();
            return;
        }
        // The engine does not look at these any more.
        if !checksum::is_intact(packet, vouches) {
            return self.malformed();
        }
        if let Some(mac) = frame.get(6..).and_then(|bytes| bytes.first_chunk()) {
            self.neighbors.seen(packet.src, mac, self.now);
        }
        if let Some(part) = &packet.part {
            return self.part(part, packet.dst, frame);
        }
        match packet.payload {
            Payload::Tcp(segment) => self.segment(packet, segment, frame),
            Payload::Udp { .. } => match self.flow_of(packet) {
                Some(id) => self.give_flow(id, packet, frame),
                None => self.in_vain(packet, frame),
            },
            Payload::EchoRequest => {
                if self.went_to_all(packet, frame) || self.echo.check(self.now).is_err() {
                    self.dropped();
                    return;
                }
                self.echo.take(1);
                self.give_control(frame);
            }
            Payload::EchoReply { .. } => match self.flow_of(packet) {
                Some(id) => self.give_flow(id, packet, frame),
                None => self.dropped(),
            },
            Payload::EchoUnreachable { ident, to } => self.unreachable(ident, to),
            Payload::TcpUnreachable(quoted) => self.segment_lost(&quoted),
            Payload::RouterAdvertisement(message) => self.advertisement(packet, message),
            Payload::NeighborAdvertisement {
                message,
                target,
                mac,
            } => {
                if self.is_intact(packet, message) {
                    self.neighbor_advertisement(packet.src, target.into(), mac, frame);
                }
            }
            Payload::NeighborSolicitation {
                message,
                target,
                mac,
            } => {
                if self.is_intact(packet, message) {
                    self.neighbor_solicitation(packet.src, target, mac, frame);
                }
            }
            Payload::LaterFragment | Payload::Other => self.in_vain(packet, frame),
        }
    }

    /// Takes a part of a datagram. The whole goes where it would have gone in one piece.
    fn part(&mut self, part: &Part<'_>, to: IpAddr, frame: &[u8]) {
        if !self.engine.has_address(to) && !self.engine.is_group(to) {
            return self.dropped();
        }
        let header = classify::header(frame).unwrap_or_default();
        let whole = self.reassembly.add(part, header, self.now);
        self.ages_anew = true;
        let Some(frame) = whole.and_then(|(header, body)| whole_frame(header, &body)) else {
            return;
        };
        match classify::frame(&frame) {
            // Nobody but the sender has seen the whole.
            Frame::Ip(packet) if packet.part.is_none() => self.packet(&packet, &frame, false),
            _ => self.malformed(),
        }
    }

    /// Gives a frame to the control set: it answers ARP, neighbour solicitations, echo requests, and DHCP reads there.
    pub(crate) fn give_control(&mut self, frame: &[u8]) {
        self.with_context(|addressing, context| {
            context
                .engine
                .ingress(context.now, frame, &mut addressing.control, context.frames);
        });
        self.note_address_work();
    }

    /// A packet that nobody waits for. It is answered (reset, unreachable), but only so many a second.
    fn in_vain(&mut self, packet: &Packet<'_>, frame: &[u8]) {
        let is_dhcp = matches!(
            packet.payload,
            Payload::Udp {
                src_port: 67,
                dst_port: 68
            }
        );
        if is_dhcp {
            if self.addressing.control.expects(frame, self.now) {
                return self.give_control(frame);
            }
            return self.dropped();
        }
        self.dropped();
        if !self.went_to_all(packet, frame) && self.may_answer_in_vain() {
            self.give_control(frame);
        }
    }

    /// Whether one more of those who ask in vain is answered. How many were is not to be counted from outside: who shares
    /// the limit could find out by it which ports are open for somebody else (CVE-2020-25705).
    pub(crate) fn may_answer_in_vain(&mut self) -> bool {
        if self.vain.check(self.now).is_err() {
            return false;
        }
        self.vain.take(self.random.u32() % 4);
        true
    }

    /// Whether a packet went to a group, or to many stations by its frame: it is not answered, for all would
    /// (RFC 1122 sections 3.2.2 and 3.2.2.6).
    fn went_to_all(&self, packet: &Packet<'_>, frame: &[u8]) -> bool {
        self.engine.is_group(packet.dst) || is_to_group(frame)
    }

    /// The flow that a datagram or echo reply belongs to.
    fn flow_of(&self, packet: &Packet<'_>) -> Option<Id> {
        match packet.payload {
            Payload::Udp { dst_port, .. } => {
                let users = self.udp_ports.get(&dst_port)?;
                let group = self.engine.is_group(packet.dst);
                let takes = |id: &Id| match self.flows.get(*id).map(|entry| &entry.flow) {
                    Some(Flow::Udp(udp)) => {
                        let bound = udp.local.ip();
                        let same = bound.is_ipv4() == packet.dst.is_ipv4();
                        covers(bound, packet.dst) || group && same
                    }
                    Some(Flow::Lookup(_)) => !group,
                    _ => false,
                };
                users.iter().copied().find(takes)
            }
            Payload::EchoReply { ident } => self.echoes.get(&ident).copied(),
            Payload::Tcp(segment) => self.connections.get(&flow_key(packet, segment)).copied(),
            _ => None,
        }
    }

    fn give_flow(&mut self, id: Id, packet: &Packet<'_>, frame: &[u8]) {
        let Some(entry) = self.flows.get_mut(id) else {
            return self.dropped();
        };
        let session = entry.flow.session();
        let policy = session
            .and_then(|id| self.sessions.get(id))
            .map(|session| &session.policy);
        let mut context = Context {
            engine: &mut self.engine,
            frames: &mut self.frames,
            neighbors: &self.neighbors,
            now: self.now,
            may_send: true,
        };
        match &mut entry.flow {
            Flow::Tcp(tcp) => {
                if let Payload::Tcp(segment) = packet.payload
                    && !tcp.ingress(&mut context, &segment, Arrived::Shared(frame))
                {
                    return self.dropped();
                }
                if tcp.is_over() {
                    return self.remove_flow(id);
                }
                self.recent.note(frame, id, self.engine.epoch(), self.now);
            }
            Flow::Udp(udp) => match udp.ingress(&mut context, packet, frame, policy) {
                Ok(true) => {
                    let owner = udp.owner;
                    // What was delivered may be one that waited: it says nothing about this one.
                    if policy.is_some_and(|policy| policy.permits_address(packet.src))
                        && frame.starts_with(&self.engine.mac())
                        && self.engine.has_address(packet.dst)
                    {
                        self.recent.note(frame, id, self.engine.epoch(), self.now);
                    }
                    if let Some(owner) = owner {
                        self.sessions.raise(owner.session, owner.index);
                    }
                    return;
                }
                Ok(false) => return,
                Err(error) => {
                    if let Some(session) = session {
                        self.violation(session, &error);
                    }
                    return;
                }
            },
            Flow::Ping(ping) => ping.ingress(&mut context, frame, packet.hop_limit),
            Flow::Lookup(lookup) => {
                if let Payload::Udp { dst_port, .. } = packet.payload {
                    lookup.ingress(&mut context, frame, dst_port);
                }
            }
        }
        self.wake(id);
    }

    fn unreachable(&mut self, ident: u16, to: IpAddr) {
        let Some(id) = self.echoes.get(&ident).copied() else {
            return self.dropped();
        };
        if let Some(Entry {
            flow: Flow::Ping(ping),
            ..
        }) = self.flows.get_mut(id)
            && ping.to == to
        {
            ping.fail(NetError::Unreachable);
            self.wake(id);
        }
    }

    /// Whether the checksum of an ICMPv6 message is right; else it is counted.
    fn is_intact(&mut self, packet: &Packet<'_>, message: &[u8]) -> bool {
        let (IpAddr::V6(from), IpAddr::V6(to)) = (packet.src, packet.dst) else {
            return false;
        };
        let intact = crate::engine::is_intact_icmpv6(from, to, message);
        if !intact {
            self.malformed();
        }
        intact
    }

    fn advertisement(&mut self, packet: &Packet<'_>, message: &[u8]) {
        let IpAddr::V6(from) = packet.src else {
            return;
        };
        if !self.is_intact(packet, message) {
            return;
        }
        let now = self.now;
        self.with_context(|addressing, context| {
            addressing.advertisement(context.engine, from, message, now);
        });
        self.note_address_work();
    }
}
