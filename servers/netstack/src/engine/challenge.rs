//! Segments that are changed on their way into the engine or out of it: to make it tell a peer what was received (RFC 5961 section 7: at most
//! once a second for each connection), and to put right what it gets wrong.

use super::FrameSink;
use crate::{checksum::Unfinished, classify};
use alloc::vec::Vec;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, TcpSeqNumber,
};

/// A frame with a TCP segment, changed to an acknowledgment of `ack`: of what was never sent, so that the engine answers with
/// a challenge. `None` if it lies behind an extension header.
pub(crate) fn challenging(frame: &[u8], ack: u32) -> Option<Vec<u8>> {
    changed(frame, |segment| {
        segment.clear_flags();
        segment.set_ack(true);
        segment.set_ack_number(TcpSeqNumber(ack as i32));
    })
}

/// An acknowledgment with a closed window that leaves open what is on its way, with a window of the smallest size.
///
/// A peer may take its window back (RFC 9293 section 3.8.6). The engine then probes with what comes next, and never sends again what lies
/// in between: with a window it does, as often as it would probe.
pub(crate) fn ajar(frame: &[u8]) -> Option<Vec<u8>> {
    changed(frame, |segment| segment.set_window_len(1))
}

/// A segment with another window, if it `differs`, than one before that said the same.
///
/// The engine takes a third acknowledgment of the same for a loss, sends the earliest data again and stops its clock. Where nothing but its
/// FIN is on its way there are no data, and the FIN is never sent again. What changes the window is no repetition.
pub(crate) fn with_other_window(frame: &[u8], differs: bool) -> Option<Vec<u8>> {
    changed(frame, |segment| {
        let window = segment.window_len() ^ u16::from(differs);
        segment.set_window_len(window);
    })
}

/// The acknowledgment in a segment, without its data, as if it came in order: with the number `seq`.
///
/// What comes while the window is shut is not taken, but its acknowledgment is (RFC 9293 section 3.10.7.4). The engine drops both, and two
/// that have filled each other's windows would never hear that theirs was emptied.
pub(crate) fn bare(frame: &[u8], seq: u32) -> Option<Vec<u8>> {
    let mut header = 0;
    let mut bytes = changed(frame, |segment| {
        header = segment.header_len();
        segment.set_fin(false);
        segment.set_seq_number(TcpSeqNumber(seq as i32));
    })?;
    let mut ethernet = EthernetFrame::new_unchecked(&mut bytes);
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
            let len = u16::from(packet.header_len()).checked_add(header.into())?;
            packet.set_total_len(len);
        }
        _ => Ipv6Packet::new_unchecked(ethernet.payload_mut()).set_payload_len(header.into()),
    }
    Some(bytes)
}

/// Longest frame with a segment without data: Ethernet, IPv6, TCP with all options.
const LONGEST_BARE: usize = 14 + 40 + 60;

/// A sink for a connection whose bare acknowledgments carry the number `next`: behind everything that was sent, as far as the peer
/// takes it.
///
/// The engine takes its number back when it sends again, and acknowledges with it. A peer drops such a segment as an old one, with the
/// acknowledgment in it (RFC 9293 section 3.10.7.4); if both do so, neither ever hears of the other's progress.
pub(crate) struct Acknowledging<'a> {
    pub(crate) sink: &'a mut dyn FrameSink,
    pub(crate) next: u32,
}

impl FrameSink for Acknowledging<'_> {
    fn has_room(&self) -> bool {
        self.sink.has_room()
    }

    fn send(&mut self, frame: &[u8]) {
        // With data: most need no closer look.
        if frame.len() > LONGEST_BARE {
            return self.sink.send(frame);
        }
        let is_wrong = |segment: &classify::Segment| {
            let is_bare = segment.is_ack() && segment.end() == segment.seq;
            is_bare && segment.seq != self.next
        };
        let repaired = classify::own_tcp(frame).filter(is_wrong).and_then(|_| {
            let number = TcpSeqNumber(self.next as i32);
            changed(frame, |segment| segment.set_seq_number(number))
        });
        self.sink.send(repaired.as_deref().unwrap_or(frame));
    }

    fn send_segments(&mut self, frame: &[u8], size: u16) {
        // With data: no bare acknowledgment.
        self.sink.send_segments(frame, size);
    }

    fn place(&mut self, len: usize, size: Option<u16>) -> Option<&mut [u8]> {
        // What may be a bare acknowledgment is looked at when it is done.
        match len > LONGEST_BARE {
            true => self.sink.place(len, size),
            false => None,
        }
    }

    fn send_placed(&mut self, unfinished: Option<Unfinished>, size: Option<u16>) {
        self.sink.send_placed(unfinished, size);
    }

    fn last_placed(&self) -> &[u8] {
        self.sink.last_placed()
    }
}

/// A frame whose TCP segment is changed. `None` if it lies behind an extension header.
pub(super) fn changed(
    frame: &[u8],
    change: impl FnOnce(&mut TcpPacket<&mut [u8]>),
) -> Option<Vec<u8>> {
    let mut bytes = frame.to_vec();
    let mut ethernet = EthernetFrame::new_checked(&mut bytes).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let mut packet = Ipv4Packet::new_checked(ethernet.payload_mut()).ok()?;
            change(&mut TcpPacket::new_checked(packet.payload_mut()).ok()?);
        }
        EthernetProtocol::Ipv6 => {
            let mut packet = Ipv6Packet::new_checked(ethernet.payload_mut()).ok()?;
            if packet.next_header() != IpProtocol::Tcp {
                return None;
            }
            change(&mut TcpPacket::new_checked(packet.payload_mut()).ok()?);
        }
        _ => return None,
    }
    Some(bytes)
}
