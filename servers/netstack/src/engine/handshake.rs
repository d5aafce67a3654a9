//! The passive side of TCP's handshake without a socket per SYN, and sequence numbers of our own choice.
//!
//! smoltcp draws initial sequence numbers from one sPCG32 generator of an interface, whose state a peer could compute
//! from a few of them. Here each number is chosen by the caller (from a CSPRNG): a throw-away interface is
//! seeded so that its next draw is just that number, and the draw is made there.
//!
//! So a half-open connection is only a copy of the SYN and a number, from which the SYN-ACK is made (`syn_ack`); when the peer's
//! ACK shows that it is real, the exchange is replayed in a socket made for it.

use super::{
    Engine, Sockets, TcpSocket,
    device::{FrameSink, Nowhere, OneFrame, SCRATCH},
    smol,
};
use crate::{classify::ETHERNET, time::Instant};
use alloc::boxed::Box;
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
pub(super) fn seeder(engine: &Engine, isn: u32, now: Instant) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed_for(isn);
    let mut nowhere = Nowhere;
    // Only asked what it can do.
    let mut device = OneFrame::new(Medium::Ip, engine.mtu(), None, &mut nowhere, &mut []);
    let mut iface = Interface::new(config, &mut device, smol(now));
    iface.set_any_ip(true);
    iface
}

/// Replays handshakes.
pub(crate) struct Handshake {
    scratch: Box<[u8; SCRATCH]>,
}

impl Default for Handshake {
    fn default() -> Handshake {
        Handshake {
            scratch: Box::new([0; SCRATCH]),
        }
    }
}

impl Handshake {
    /// Makes a closed socket the connection of a handshake that the peer has completed with `ack`, a frame. `None` if that frame does
    /// not complete it.
    pub(crate) fn complete(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        (syn, port): (&[u8], u16),
        ack: &[u8],
        (isn, mut socket): (u32, TcpSocket),
        sink: &mut dyn FrameSink,
    ) -> Option<TcpSocket> {
        self.bring_up(engine, now, &mut socket, (syn, port), isn, &mut Nowhere)?;
        engine.ingress(now, ack, &mut socket, sink);
        match socket.state() {
            tcp::State::Established | tcp::State::CloseWait => Some(socket),
            _ => None,
        }
    }

    /// Makes a closed socket listen, receive a SYN, and send its answer to the sink.
    pub(super) fn bring_up(
        &mut self,
        engine: &Engine,
        now: Instant,
        socket: &mut TcpSocket,
        (syn, port): (&[u8], u16),
        isn: u32,
        sink: &mut dyn FrameSink,
    ) -> Option<()> {
        let packet = syn.get(ETHERNET..)?;
        socket.socket().listen(port).ok()?;
        let mut seeder = seeder(engine, isn, now);
        let (mtu, scratch) = (engine.mtu(), &mut self.scratch);
        let mut device = OneFrame::new(Medium::Ip, mtu, Some(packet), sink, scratch.as_mut());
        seeder.poll_ingress_single(smol(now), &mut device, socket.set());
        seeder.poll_egress(smol(now), &mut device, socket.set());
        (socket.state() == tcp::State::SynReceived).then_some(())
    }
}
