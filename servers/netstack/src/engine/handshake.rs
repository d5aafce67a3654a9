//! The passive side of TCP's handshake without a socket per SYN, and sequence numbers of our own choice.
//!
//! smoltcp draws initial sequence numbers from one sPCG32 generator of an interface, whose state a peer could compute
//! from a few of them. Here each number is chosen by the caller (from a CSPRNG): a throw-away interface is
//! seeded so that its next draw is just that number, and the draw is made there.
//!
//! So a half-open connection is only a copy of the SYN and a number. The SYN-ACK comes from a borrowed socket that
//! forgets it at once; when the peer's ACK shows that it is real, the exchange is replayed in a socket made for it.

use super::{
    Engine, Sent, Sockets, TcpSocket,
    device::{FrameSink, Nowhere, OneFrame, SCRATCH},
    smol,
};
use crate::{classify::ETHERNET, time::Instant};
use alloc::{boxed::Box, vec::Vec};
use smoltcp::{
    iface::{Config, Interface},
    phy::Medium,
    socket::tcp,
    wire::HardwareAddress,
};

/// The seed with which a new interface draws `wanted` after the identifier for fragments that it draws first.
///
/// A step of smoltcp's generator is s = seed * M + A, its output (s >> (29 - (s >> 61))) cut to 32 bits (sPCG32). With
/// s = wanted << 29 the top three bits are zero and the output is `wanted`, whatever the low 29 bits are; M is odd, so
/// that steps can be taken back. That this is still so is tested.
fn seed_for(wanted: u32) -> u64 {
    const M: u64 = 0xbb2e_fcec_3c39_611d;
    const A: u64 = 0x7590_ef39;
    // Newton's iteration doubles the number of right bits; 3 are right for any odd number.
    const INVERSE: u64 = {
        let mut inverse = M;
        let mut round = 0;
        while round < 5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(M.wrapping_mul(inverse)));
            round += 1;
        }
        inverse
    };
    let back = |state: u64| state.wrapping_sub(A).wrapping_mul(INVERSE);
    let mut state = u64::from(wanted) << 29;
    loop {
        let before = back(state);
        let first = (before >> (29 - (before >> 61))) as u32;
        // A zero identifier would be drawn again. One in 65,536 is zero.
        if (first ^ (first >> 16)) as u16 != 0 {
            return back(before);
        }
        state = state.wrapping_add(1);
    }
}

/// An interface whose next random number is `isn`. It takes every address for its own and knows no neighbours.
pub(super) fn seeder(engine: &Engine, isn: u32, now: Instant) -> Box<Interface> {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed_for(isn);
    let mut scratch = Box::new([0; SCRATCH]);
    let mut nowhere = Nowhere;
    let mut device = OneFrame::new(Medium::Ip, engine.mtu(), None, &mut nowhere, &mut scratch);
    let mut iface = Box::new(Interface::new(config, &mut device, smol(now)));
    iface.set_any_ip(true);
    iface
}

/// Sockets that answer SYNs, one for each size of buffer.
#[derive(Default)]
pub(crate) struct Handshake {
    responders: Vec<(usize, TcpSocket)>,
}

/// Most sizes for which a socket is kept.
const MAX_RESPONDERS: usize = 8;

impl Handshake {
    /// Sends the SYN-ACK for a SYN, with `isn` and the window of a receive buffer of so many bytes. `None` if the SYN is not
    /// one (its checksum is wrong, say).
    pub(crate) fn answer(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        (syn, port): (&[u8], u16),
        isn: u32,
        buffer: usize,
        sink: &mut dyn FrameSink,
    ) -> Option<Sent> {
        let known = self.responders.iter().position(|(size, _)| *size == buffer);
        let index = known.unwrap_or_else(|| {
            if self.responders.len() >= MAX_RESPONDERS {
                self.responders.clear();
            }
            self.responders.push((buffer, TcpSocket::new(buffer, 0)));
            self.responders.len().saturating_sub(1)
        });
        let (_, socket) = self.responders.get_mut(index)?;
        // Closes without a reset, as listening anew forgets the peer.
        socket.socket().abort();
        socket.forget_neighbor();
        if !receive_syn(engine, now, socket, (syn, port), isn) {
            return None;
        }
        let sent = engine.egress(now, socket, sink);
        socket.socket().abort();
        Some(sent)
    }

    /// The connection for a handshake that the peer has completed with `ack`, a frame. `None` if that frame does not
    /// complete it.
    pub(crate) fn complete(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        (syn, port): (&[u8], u16),
        ack: &[u8],
        (isn, buffer): (u32, usize),
        sink: &mut dyn FrameSink,
    ) -> Option<TcpSocket> {
        let mut socket = TcpSocket::new(buffer, buffer);
        if !receive_syn(engine, now, &mut socket, (syn, port), isn) {
            return None;
        }
        // The SYN-ACK has been sent before: this one only brings the socket up to date.
        let mut seeder = seeder(engine, 0, now);
        let mut scratch = Box::new([0; SCRATCH]);
        let mut nowhere = Nowhere;
        let mut device = OneFrame::new(Medium::Ip, engine.mtu(), None, &mut nowhere, &mut scratch);
        seeder.poll_egress(smol(now), &mut device, socket.set());
        engine.ingress(now, ack, &mut socket, sink);
        match socket.state() {
            tcp::State::Established | tcp::State::CloseWait => Some(socket),
            _ => None,
        }
    }
}

/// Makes a closed socket listen and receive a SYN.
fn receive_syn(
    engine: &Engine,
    now: Instant,
    socket: &mut TcpSocket,
    (syn, port): (&[u8], u16),
    isn: u32,
) -> bool {
    let Some(packet) = syn.get(ETHERNET..) else {
        return false;
    };
    if socket.socket().listen(port).is_err() {
        return false;
    }
    let mut seeder = seeder(engine, isn, now);
    let mut scratch = Box::new([0; SCRATCH]);
    let mut nowhere = Nowhere;
    let mut device = OneFrame::new(
        Medium::Ip,
        engine.mtu(),
        Some(packet),
        &mut nowhere,
        &mut scratch,
    );
    seeder.poll_ingress_single(smol(now), &mut device, socket.set());
    socket.state() == tcp::State::SynReceived
}
