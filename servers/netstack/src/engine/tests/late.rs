//! A socket that hears late of what was sent without it, and not at all of what was acknowledged: beside one that has heard of everything in time.

use super::*;

/// The windows of the peer's segments in bytes, so small that no other limit counts.
const WINDOW: u16 = 512;

struct Both {
    server: Engine,
    heard: TcpSocket,
    late: TcpSocket,
    head: SegmentHead,
    peer: crate::tests::forge::Forged,
    /// The peer's window as it stands in its segments.
    window: u16,
    /// The number behind everything that was sent.
    sent: u32,
    now: Instant,
}

impl Both {
    /// With a connection that the second socket is told of, or not yet.
    fn new(options: &[u8], buffer: usize, is_quiet: bool) -> Both {
        let mut server = engine(2);
        let request = solicit(&engine(1), [10, 0, 0, 2].into()).unwrap();
        let mut wire = Wire::default();
        server.ingress(Instant::ZERO, &request, &mut Dhcp::new(false), &mut wire);
        let mut peer = forged(options);
        let syn = peer.frame();
        (peer.seq, peer.ack, peer.flags) = (0, 78, 0x10);
        let shift = offer(&syn).shift.unwrap_or(0);
        let window = WINDOW >> shift;
        (peer.window, peer.options) = (window, Vec::new());
        let (mut heard, _) = listening(&server, &syn, 77, buffer);
        server.ingress(Instant::ZERO, &peer.frame(), &mut heard, &mut wire);
        let completed = Completed {
            local: ([10, 0, 0, 2], 80).into(),
            remote: ([10, 0, 0, 1], 50_000).into(),
            numbers: (77, u32::MAX),
            offer: offer(&syn),
            ack: &peer.frame(),
            window,
            is_bare: true,
        };
        let socket = TcpSocket::new(buffer);
        let late = completed.bring_up(&mut server, Instant::ZERO, socket, &mut wire);
        let mut late = late.unwrap();
        if !is_quiet {
            late.socket();
        }
        let way = Way {
            mac: [2, 0, 0, 0, 0, 1],
            from: completed.local,
            to: completed.remote,
            hops: 0,
        };
        let head = SegmentHead::new(&way, server.mac()).unwrap();
        Both {
            server,
            heard,
            late,
            head,
            peer,
            window,
            sent: 78,
            now: Instant::from_millis(5),
        }
    }

    /// The peer sends so many bytes, and acknowledges everything, with a window so much smaller.
    fn receive(&mut self, len: usize, less: u16) {
        let window = self.window - less;
        let (acked, before) = (self.peer.ack, self.peer.window);
        self.peer.ack = self.sent;
        self.peer.window = window;
        self.peer.data = vec![1; len];
        let (mut wire, frame) = (Wire::default(), self.peer.frame());
        let heard = &mut self.heard;
        self.server.ingress(self.now, &frame, heard, &mut wire);
        assert!(wire.0.is_empty());
        heard.receive(|data| Ok::<_, ()>(data.len())).unwrap();
        let numbers = (self.peer.seq, acked);
        if window != before {
            self.late.set_window(window, numbers, self.now);
        }
        self.late.land();
        self.late.skip(len);
        self.peer.seq = self.peer.seq.wrapping_add(len as u32);
        self.now = self.now.after(core::time::Duration::from_millis(3));
    }

    /// So many bytes are sent: the same segment.
    fn send(&mut self, len: usize) {
        let mut wire = [Wire::default(), Wire(Vec::new(), Some(Vec::new()))];
        let data: Vec<u8> = (0..len).map(|at| at as u8).collect();
        self.heard
            .send(|room| {
                room[..len].copy_from_slice(&data);
                Ok::<_, ()>(len)
            })
            .unwrap();
        self.server.egress(self.now, &mut self.heard, &mut wire[0]);
        self.late.room_to_fly(len).copy_from_slice(&data);
        let shift = self.late.window_unit().trailing_zeros() as u8;
        let window = classify::tcp(&wire[0].0[0]).unwrap().window;
        let own = [0, shift].map(|shift| self.late.whole_window(shift));
        assert!(own.contains(&window), "{window}");
        let says = Says {
            seq: self.sent,
            ack: self.peer.seq,
            window,
            is_last: true,
        };
        let mut sink = Filled(&mut wire[1]);
        let data = self.late.data_to_fly(len);
        let fill = |place: &mut [u8]| {
            place.copy_from_slice(data);
            true
        };
        assert!(self.head.send(says, (len, None), &mut sink, fill));
        self.late.fly(len, self.now);
        assert_eq!(wire[0].0, wire[1].0);
        self.sent = self.sent.wrapping_add(len as u32);
    }

    /// They say the same from then on.
    fn compare(mut self, name: &str) {
        assert_eq!(self.heard.glance(), self.late.glance(), "{name}");
        assert_eq!(self.heard.can_send(), self.late.can_send(), "{name}");
        let server = &mut self.server;
        let sockets = [&mut self.heard, &mut self.late];
        let said = sockets.map(|socket| says(server, socket, self.now));
        let [(theirs, frames), (ours, own)] = said;
        assert_eq!(theirs, ours, "{name}");
        assert!(frames == own && !own.is_empty(), "{name}");
    }
}

/// A sink to which is told what has to be filled in.
struct Filled<'a>(&'a mut Wire);

impl FrameSink for Filled<'_> {
    fn has_room(&self) -> bool {
        true
    }

    fn send(&mut self, _: &[u8]) {}

    fn send_segments(&mut self, _: &[u8], _: u16) {}

    fn place(&mut self, len: usize, size: Option<u16>) -> Option<&mut [u8]> {
        self.0.place(len, size)
    }

    fn send_placed(&mut self, unfinished: Option<crate::checksum::Unfinished>, size: Option<u16>) {
        let frame = self.0.last_placed();
        assert_eq!(unfinished, crate::checksum::Unfinished::find(frame));
        self.0.send_placed(None, size);
    }
}

#[test]
fn a_socket_that_hears_late_is_as_any_other() {
    let are_usual = |options: &&[u8]| ![&[2, 4, 0, 0][..], &[3, 3, 14, 1]].contains(options);
    for options in OPTIONS.into_iter().filter(are_usual) {
        for (buffer, is_quiet) in [(40_000, false), (200_000, false), (200_000, true)] {
            for rounds in 0..3 {
                for (less, flies) in [(0, true), (0, false), (1, true), (1, false)] {
                    let name = format!("{options:?} {buffer} {is_quiet} {rounds} {less} {flies}");
                    let mut both = Both::new(options, buffer, is_quiet);
                    for round in 0..rounds {
                        both.receive(100 * round, 0);
                        both.send(round + 1);
                    }
                    both.receive(200, less);
                    both.send(300);
                    if !flies {
                        both.receive(0, less);
                    }
                    both.compare(&name);
                }
            }
        }
    }
}
