//! A TCP segment over IPv4 that is larger than a frame, cut into segments that fit, for a device that can't do that itself: what the engine spends
//! on a segment is then spent once for many. Touches nothing but what it is given.

use crate::{
    checksum::{self, Sums},
    classify::{self, ETHERNET, be16, be32},
};
use alloc::boxed::Box;

/// Longest headers in front of the data: Ethernet, IPv4 and TCP with all options.
pub(crate) const MAX_HEADERS: usize = ETHERNET + 60 + 60;
const FIN_PSH: u8 = 1 | 8;
const ACK: u8 = 16;
/// Where in a TCP header its checksum stands.
pub(crate) const CHECKSUM: usize = 16;

/// A segment of this host's without its data, or itself if it has none: what it acknowledges, from behind all that it has sent. Its TCP
/// checksum is to be filled in.
pub(crate) fn without_data(frame: &[u8]) -> Option<Box<[u8]>> {
    let segment = classify::own_tcp(frame)?;
    if segment.len == 0 {
        return Some(frame.into());
    }
    let is_v4 = be16(frame, 12)? == 0x0800;
    let tcp = match is_v4 {
        true => ETHERNET + usize::from(frame.get(ETHERNET)? & 15) * 4,
        false => ETHERNET + 40,
    };
    let data = tcp + usize::from(frame.get(tcp + 12)? >> 4) * 4;
    let mut bare: Box<[u8]> = frame.get(..data)?.into();
    let mut put = |at: usize, bytes: &[u8]| {
        let place = bare.get_mut(at..)?.get_mut(..bytes.len())?;
        place.copy_from_slice(bytes);
        Some(())
    };
    put(tcp + 4, &segment.end().to_be_bytes())?;
    put(tcp + 13, &[ACK])?;
    if is_v4 {
        put(ETHERNET + 2, &((data - ETHERNET) as u16).to_be_bytes())?;
        put(ETHERNET + 10, &[0, 0])?;
        let checksum = checksum::of_header(bare.get(ETHERNET..tcp)?);
        bare.get_mut(ETHERNET + 10..ETHERNET + 12)?
            .copy_from_slice(&checksum);
    } else {
        put(ETHERNET + 4, &((data - tcp) as u16).to_be_bytes())?;
    }
    Some(bare)
}

/// The pieces of a segment.
pub(crate) struct Pieces<'a> {
    frame: &'a [u8],
    /// Where the TCP header starts, and where it ends.
    tcp: usize,
    data: usize,
    /// Most bytes of data in a piece.
    size: usize,
    /// Where the next piece's data start; none when all are done.
    next: Option<usize>,
    seq: u32,
    flags: u8,
    /// Complete but for the number, flags and checksum of TCP ...
    headers: [u8; MAX_HEADERS],
    /// ... for pieces with so many bytes of data: nearly all of them.
    len: Option<usize>,
    /// The sum of the pseudo-header of such a piece, and with that of these headers.
    sums: Sums,
}

/// Headers, and data, of a piece.
type Piece<'p, 'a> = (&'p [u8], &'a [u8]);

impl<'a> Pieces<'a> {
    /// Cuts a frame into pieces with at most `size` bytes of data. `None` if it is no TCP segment over IPv4, or `size` is zero.
    pub(crate) fn new(frame: &'a [u8], size: usize) -> Option<Pieces<'a>> {
        let packet = frame.get(ETHERNET..)?;
        if be16(frame, 12)? != 0x0800 || *packet.get(9)? != 6 || size == 0 {
            return None;
        }
        let tcp = ETHERNET + usize::from(packet.first()? & 15) * 4;
        let data = tcp + usize::from(frame.get(tcp + 12)? >> 4) * 4;
        let mut headers = [0; MAX_HEADERS];
        headers.get_mut(..data)?.copy_from_slice(frame.get(..data)?);
        // There has to be room for what is filled in.
        headers.get(ETHERNET + 20..tcp)?;
        headers.get(tcp + 20..data)?;
        Some(Pieces {
            frame,
            tcp,
            data,
            size,
            next: Some(data),
            seq: be32(frame, tcp + 4)?,
            flags: *frame.get(tcp + 13)?,
            headers,
            len: None,
            sums: Sums::default(),
        })
    }

    /// Where the TCP header starts.
    pub(crate) fn start(&self) -> u8 {
        // Ethernet, and IPv4 with all options.
        self.tcp as u8
    }

    /// The next piece. Its checksums are right; or, if a device `completes` that of TCP, it finds in its place what it wants to.
    pub(crate) fn next(&mut self, completes: bool) -> Option<Piece<'_, 'a>> {
        let start = self.next?;
        let end = start.saturating_add(self.size).min(self.frame.len());
        let is_last = end == self.frame.len();
        self.next = (!is_last).then_some(end);
        let data = self.frame.get(start..end)?;
        if self.len != Some(data.len()) {
            self.prepare(data.len())?;
        }
        let seq = self.seq.wrapping_add((start - self.data) as u32);
        let mut flags = self.flags;
        if !is_last {
            flags &= !FIN_PSH;
        }
        let checksum = match completes {
            true => self.sums.pseudo(),
            false => self.sums.of_segment(seq, flags, data),
        };
        self.put(self.tcp + 4, seq.to_be_bytes());
        self.put(self.tcp + 13, [flags]);
        self.put(self.tcp + CHECKSUM, checksum);
        Some((self.headers.get(..self.data)?, data))
    }

    /// Makes the headers those of pieces with so many bytes of data.
    fn prepare(&mut self, len: usize) -> Option<()> {
        // A packet of a frame that was cut is shorter than the frame, whose length IP can tell.
        let packet = (len + self.data - ETHERNET) as u16;
        self.put(ETHERNET + 2, packet.to_be_bytes());
        self.put(ETHERNET + 10, [0, 0]);
        let header = self.headers.get(ETHERNET..self.tcp)?;
        let checksum = checksum::of_header(header);
        self.put(ETHERNET + 10, checksum);
        self.put(self.tcp + 4, [0; 4]);
        self.put(self.tcp + 13, [0]);
        self.put(self.tcp + CHECKSUM, [0; 2]);
        let addresses = self.headers.get(ETHERNET + 12..ETHERNET + 20)?;
        self.sums = Sums::new(addresses, self.headers.get(self.tcp..self.data)?, len);
        self.len = Some(len);
        Some(())
    }

    #[inline(always)]
    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        let place = self.headers.get_mut(at..);
        if let Some(place) = place.and_then(|place| place.first_chunk_mut()) {
            *place = bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;
    use smoltcp::wire::{EthernetFrame, Ipv4Packet, TcpPacket};

    fn segment(options: usize, data: &[u8], flags: u8) -> Vec<u8> {
        let mut frame = alloc::vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        let header = 20 + options * 4;
        frame.extend(((20 + header + data.len()) as u16).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0, 80, 1, 2, 0xff, 0xff, 0xff, 0, 4, 3, 2, 1]);
        frame.extend([((header / 4) as u8) << 4, flags, 1, 0, 0, 0, 0, 0]);
        frame.extend(alloc::vec![1; options * 4]);
        frame.extend(data);
        frame
    }

    proptest! {
        #[test]
        fn the_pieces_make_the_whole(
            options in 0usize..11,
            data in proptest::collection::vec(any::<u8>(), 0..9000),
            size in 1usize..3000,
            last in 0u8..2,
            completes: bool,
        ) {
            let flags = 16 | 8 | last;
            let frame = segment(options, &data, flags);
            let mut pieces = Pieces::new(&frame, size).unwrap();
            let mut seen: Vec<u8> = Vec::new();
            let mut count = 0;
            while let Some((headers, bytes)) = pieces.next(completes) {
                let mut piece = headers.to_vec();
                piece.extend(bytes);
                let ethernet = EthernetFrame::new_checked(&piece[..]).unwrap();
                let packet = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
                prop_assert!(packet.verify_checksum());
                prop_assert_eq!(usize::from(pieces.start()), 34);
                let addresses = (packet.src_addr().into(), packet.dst_addr().into());
                prop_assert_eq!(usize::from(packet.total_len()) + ETHERNET, piece.len());
                let tcp = TcpPacket::new_checked(packet.payload()).unwrap();
                if completes {
                    // What a device adds everything to.
                    let mut whole = piece.clone();
                    let unfinished = checksum::Unfinished::find(&whole).unwrap();
                    prop_assert_eq!(&piece[50..52], &unfinished.pseudo()[..]);
                    let right = unfinished.checksum(&whole);
                    whole[50..52].copy_from_slice(&right);
                    let whole = TcpPacket::new_checked(&whole[34..]).unwrap();
                    prop_assert!(whole.verify_checksum(&addresses.0, &addresses.1));
                } else {
                    prop_assert!(tcp.verify_checksum(&addresses.0, &addresses.1));
                }
                prop_assert_eq!(tcp.seq_number().0 as u32, 0xffff_ff00u32.wrapping_add(seen.len() as u32));
                prop_assert_eq!(tcp.ack_number().0, 0x0403_0201);
                prop_assert_eq!(usize::from(tcp.header_len()), 20 + options * 4);
                prop_assert!(tcp.payload().len() <= size);
                seen.extend(tcp.payload());
                count += 1;
                let is_last = seen.len() == data.len();
                prop_assert_eq!(tcp.psh(), is_last);
                prop_assert_eq!(tcp.fin(), is_last && last == 1);
                prop_assert!(tcp.ack());
            }
            prop_assert_eq!(&seen, &data);
            prop_assert_eq!(count, data.len().div_ceil(size).max(1));
        }

        #[test]
        fn what_is_left_without_data_acknowledges_the_same(
            options in 0usize..11,
            data in proptest::collection::vec(any::<u8>(), 1..3000),
            last in 0u8..2,
            is_v4: bool,
        ) {
            let mut frame = segment(options, &data, 16 | 8 | last);
            if !is_v4 {
                let body = frame.split_off(ETHERNET + 20);
                frame.truncate(12);
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend((body.len() as u16).to_be_bytes());
                frame.extend([6, 64]);
                frame.extend([0xfe; 32]);
                frame.extend(body);
            }
            let bare = without_data(&frame).unwrap();
            prop_assert_eq!(bare.len(), frame.len() - data.len());
            let [whole, left] = [&frame, &bare[..]].map(|frame| classify::tcp(frame).unwrap());
            prop_assert_eq!((left.len, left.seq, left.end()), (0, whole.end(), whole.end()));
            prop_assert_eq!((left.ack, left.window, left.flags), (whole.ack, whole.window, ACK));
            prop_assert!(!is_v4 || checksum::is_right_header(&bare[ETHERNET..ETHERNET + 20]));
            // And what has none is what it is.
            prop_assert!(without_data(&bare).unwrap() == bare);
        }

        #[test]
        fn any_bytes_are_cut_in_safety(mut frame in proptest::collection::vec(any::<u8>(), 0..200), size in 0usize..100) {
            if frame.len() > 24 {
                frame[12..14].copy_from_slice(&[8, 0]);
                frame[23] = 6;
            }
            let _ = without_data(&frame);
            if let Some(mut pieces) = Pieces::new(&frame, size) {
                let mut rounds = 0;
                while pieces.next(false).is_some() {
                    rounds += 1;
                    assert!(rounds <= 200);
                }
            }
        }
    }
}
