//! What neighbours say of addresses: ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861). Decides what of it the
//! engine may hear, and answers by itself where it may not. Touches the table of neighbours and the wire.

use crate::{
    classify::Arp,
    engine::{FrameSink, announce, answer},
    frames::Mac,
    stack::Stack,
};
use core::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

/// Shortest time between two defences of an own address, and two lines in the log (RFC 5227 section 2.4).
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

impl Stack {
    /// Takes an ARP packet.
    pub(crate) fn arp(&mut self, arp: &Arp, frame: &[u8]) {
        let sender = IpAddr::V4(arp.sender);
        if self.engine.has_address(sender) {
            return self.conflict(sender, arp.mac);
        }
        if !self.engine.has_address(arp.target.into()) {
            return self.dropped();
        }
        let is_answer = !arp.is_request;
        if arp.sender.is_unspecified() || !self.is_near(sender) {
            // Somebody wants this address for himself, and learns that it is taken; or can't be a neighbour.
            if arp.is_request && arp.sender.is_unspecified() {
                self.answer_question(arp.target.into(), sender, arp.mac);
            }
            return self.dropped();
        }
        if self.believes(sender, arp.mac, is_answer) {
            self.give_control(frame);
            self.neighbor_heard(sender);
        } else {
            self.dropped();
            if arp.is_request {
                self.answer_question(arp.target.into(), sender, arp.mac);
            }
        }
    }

    /// Takes a neighbour advertisement with a right checksum.
    pub(crate) fn neighbor_advertisement(
        &mut self,
        from: IpAddr,
        target: IpAddr,
        mac: Option<[u8; 6]>,
        frame: &[u8],
    ) {
        let Some(mac) = mac else {
            return self.dropped();
        };
        if self.engine.has_address(target) {
            return self.conflict(target, mac);
        }
        // The engine takes the sender for the one that it is about.
        if from != target || !self.is_near(from) || !self.believes(from, mac, true) {
            return self.dropped();
        }
        self.give_control(frame);
        self.neighbor_heard(target);
    }

    /// Takes a neighbour solicitation with a right checksum.
    pub(crate) fn neighbor_solicitation(
        &mut self,
        from: IpAddr,
        target: Ipv6Addr,
        mac: Option<[u8; 6]>,
        frame: &[u8],
    ) {
        if !self.engine.has_address(target.into()) {
            return self.dropped();
        }
        if from.is_unspecified() {
            // Somebody wants this address for himself (RFC 4862 section 5.4.3).
            self.dropped();
            if self.may_answer_in_vain() {
                let frame = announce(&self.engine, target.into());
                self.frames.send(&frame);
            }
            return;
        }
        match mac {
            Some(mac) if !self.is_near(from) || !self.believes(from, mac, false) => {
                self.dropped();
                self.answer_question(target.into(), from, mac);
            }
            Some(_) => {
                self.give_control(frame);
                self.neighbor_heard(from);
            }
            // Answered, if its sender is known; where he is it does not tell.
            None => self.give_control(frame),
        }
    }

    /// Whether an address is on the link.
    fn is_near(&self, address: IpAddr) -> bool {
        self.engine.next_hop(address) == Some(address)
    }

    fn believes(&mut self, neighbor: IpAddr, mac: [u8; 6], is_answer: bool) -> bool {
        while let Some(asked) = self.engine.take_asked() {
            self.neighbors.note_asked(asked, self.now);
        }
        self.neighbors.believes(neighbor, mac, is_answer, self.now)
    }

    /// Says where an own address is, without learning from the question. Such answers are limited as all that are in vain.
    fn answer_question(&mut self, own: IpAddr, asker: IpAddr, mac: [u8; 6]) {
        if let Some(frame) = answer(&self.engine, own, (asker, mac))
            && self.may_answer_in_vain()
        {
            self.frames.send(&frame);
        }
    }

    /// Another station claims an own address: said, and contradicted, once in a while.
    fn conflict(&mut self, address: IpAddr, mac: [u8; 6]) {
        self.dropped();
        let lately = |at| self.now.since(at) < DEFEND_INTERVAL;
        if mac == self.engine.mac() || self.conflict.is_some_and(lately) {
            return;
        }
        self.conflict = Some(self.now);
        log::warn!("{} claims the address {address} of this host", Mac(mac));
        let frame = announce(&self.engine, address);
        self.frames.send(&frame);
    }
}
