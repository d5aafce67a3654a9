//! Segments with data of a connection over IPv4 whose neighbour is known: what smoltcp's socket would send, without it. Touches the place
//! that frames are sent from.

use super::{
    FrameSink,
    datagram::{Way, network},
    device::{LONGEST_SEGMENT, SCRATCH},
};
use crate::{
    checksum::{self, Unfinished},
    classify::ETHERNET,
};

const TCP: u8 = 6;
/// Where the TCP header starts, and where it ends.
const START: usize = ETHERNET + 20;
const END: usize = START + 20;
/// Five words of header, and ACK.
const FLAGS: u32 = 0x5010_0000;
const PSH: u32 = 0x0008_0000;

/// What a segment says besides its data.
#[derive(Clone, Copy)]
pub(crate) struct Says {
    /// Its number.
    pub(crate) seq: u32,
    /// What it acknowledges.
    pub(crate) ack: u32,
    /// Its window.
    pub(crate) window: u16,
    /// Nothing follows it yet (PSH).
    pub(crate) is_last: bool,
}

/// The headers of a connection's segments: all but what is another in each.
#[derive(Clone, Copy)]
pub(crate) struct SegmentHead {
    /// Ethernet and IPv4, with length and checksum zero.
    front: [u8; START],
    ports: u32,
    /// The sum of the IPv4 header, and that of the addresses.
    header: u64,
    addresses: u64,
}

impl SegmentHead {
    /// Most bytes of data: with more, the engine would send two.
    pub(crate) const MOST: u16 = (SCRATCH - END) as u16;
    /// Most bytes of data for a device that cuts them.
    pub(crate) const MOST_TO_CUT: usize = LONGEST_SEGMENT - END;

    /// Those of segments that go this way, from the station with this hardware address. `None` over IPv6.
    pub(crate) fn new(way: &Way, mac: [u8; 6]) -> Option<SegmentHead> {
        let (true, front, addresses) = network(way, mac, TCP)? else {
            return None;
        };
        let front: [u8; START] = *front.first_chunk()?;
        Some(SegmentHead {
            front,
            ports: u32::from(way.from.port()) << 16 | u32::from(way.to.port()),
            header: checksum::of_bytes(front.get(ETHERNET..)?),
            addresses,
        })
    }

    /// Sends a segment with `len` bytes of data, which `fill` writes where there are bytes of an earlier frame. They are no more than fit in a
    /// packet, or than a device takes that cuts them to pieces of a `size`. False if there is no place to send it from, or `fill` fails.
    pub(crate) fn send(
        &self,
        says: Says,
        (len, size): (usize, Option<u16>),
        sink: &mut dyn FrameSink,
        fill: impl FnOnce(&mut [u8]) -> bool,
    ) -> bool {
        let place = sink.place(END.saturating_add(len), size);
        let Some((place, body)) = place.and_then(|frame| frame.split_first_chunk_mut::<END>())
        else {
            return false;
        };
        if !fill(body) {
            return false;
        }
        let Says {
            seq, ack, window, ..
        } = says;
        let flags = FLAGS | if says.is_last { PSH } else { 0 };
        let len = (END - START).saturating_add(len) as u16;
        let total = len.saturating_add(20).to_be_bytes();
        // The urgent pointer and the checksum, behind these, are zero.
        let header = [self.ports, seq, ack, flags | u32::from(window)]
            .into_iter()
            .fold(0, |header, word| header << 32 | u128::from(word));
        let (front, tcp) = place.split_at_mut(START);
        front.copy_from_slice(&self.front);
        tcp.copy_from_slice(&[0; END - START]);
        if let Some(place) = tcp.first_chunk_mut() {
            *place = header.to_be_bytes();
        }
        [place[16], place[17]] = total;
        [place[24], place[25]] = checksum::with_word(self.header, total);
        let unfinished = Unfinished::of_segment(START as u8, self.addresses, len);
        sink.send_placed(Some(unfinished), size);
        true
    }
}
