//! Frames as anybody on the wire could send them, from 10.0.0.1 to the second host of [`pair`](super::pair).

use super::{wire::repair, *};
use crate::classify::Segment;
pub(crate) use crate::classify::tcp as segment;

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// A TCP segment.
#[derive(Clone, Default)]
pub(crate) struct Forged {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

impl Forged {
    /// The frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        assert!(self.options.len().is_multiple_of(4));
        let mut body = Vec::new();
        body.extend(self.src_port.to_be_bytes());
        body.extend(self.dst_port.to_be_bytes());
        body.extend(self.seq.to_be_bytes());
        body.extend(self.ack.to_be_bytes());
        body.extend([5 + (self.options.len() / 4) as u8]);
        body[12] <<= 4;
        body.push(self.flags);
        body.extend(self.window.to_be_bytes());
        body.extend([0, 0]);
        body.extend(self.urgent.to_be_bytes());
        body.extend(&self.options);
        body.extend(&self.data);
        packet([10, 0, 0, 1], [10, 0, 0, 2], 6, &body)
    }

    /// Gives it to the second host. What that answers.
    pub(crate) fn put(&self, net: &mut Network) -> Vec<Vec<u8>> {
        put(net, &self.frame())
    }
}

/// An IPv4 packet to the second host's hardware address.
pub(crate) fn packet(from: [u8; 4], to: [u8; 4], protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = std::vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, from[3], 8, 0, 0x45, 0];
    bytes.extend((20 + body.len() as u16).to_be_bytes());
    bytes.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    bytes.extend(from);
    bytes.extend(to);
    bytes.extend(body);
    repair(&mut bytes);
    bytes
}

/// Gives the second host a frame. What it sends at once.
pub(crate) fn put(net: &mut Network, frame: &[u8]) -> Vec<Vec<u8>> {
    net.hosts[1].nic.as_mut().unwrap().put(frame);
    net.hosts[1].stack.poll(net.now);
    net.hosts[1].nic.as_mut().unwrap().take()
}

/// The last segment that a host has sent.
pub(crate) fn last(net: &Network, host: usize) -> Segment {
    let log = net.log.as_ref().expect("no log").iter().rev();
    let mut sent = log.filter(|(from, _)| *from == host);
    sent.find_map(|(_, bytes)| segment(bytes)).unwrap()
}

/// A connection from 10.0.0.1 to the second host, and a segment that belongs to it: next in order, without data.
pub(crate) fn known(net: &mut Network) -> (Client, Socket, Client, Socket, Forged) {
    net.log = Some(Vec::new());
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(net, &mut a, &mut b);
    for (from, to) in [(0, 1), (1, 0)] {
        let mut ends = [(&mut a, &mut near), (&mut b, &mut far)];
        let [one, two] = &mut ends;
        let (sender, receiver) = if from < to { (one, two) } else { (two, one) };
        let sent = pattern(3000);
        let got = transfer(
            net,
            (&mut *sender.0, &mut *sender.1),
            (&mut *receiver.0, &mut *receiver.1),
            &sent,
            SECOND,
        );
        assert!(got == sent);
    }
    net.run(SECOND);
    let (ours, theirs) = (last(net, 1), last(net, 0));
    let right = Forged {
        src_port: theirs.src_port,
        dst_port: theirs.dst_port,
        seq: ours.ack,
        ack: theirs.ack,
        flags: ACK,
        window: 0xffff,
        ..Forged::default()
    };
    (a, near, b, far, right)
}

/// Whether bytes still arrive from 10.0.0.1 at the second host.
pub(crate) fn lives(
    net: &mut Network,
    from: (&mut Client, &mut Socket),
    to: (&mut Client, &mut Socket),
) -> bool {
    let bytes = pattern(20_000);
    transfer(net, from, to, &bytes, SECOND * 30) == bytes
}
