//! The passive side of TCP's handshake without a socket per SYN, and sequence numbers of our own choice.
//!
//! smoltcp draws initial sequence numbers from one sPCG32 generator of an interface, whose state a peer could compute
//! from a few of them. Here each number is chosen by the caller (from a CSPRNG): a throw-away interface is
//! seeded so that its next draw is just that number, and the draw is made there.
//!
//! So a half-open connection is only two numbers and what the SYN offered, from which the SYN-ACK is made (`headers`); when the peer's
//! ACK shows that it is real, it gets a socket, which is told of all that when it is needed (`quiet`).

use super::{
    Engine, TcpSocket,
    device::{FrameSink, Nowhere, OneFrame},
    headers::Offer,
    quiet::Quiet,
    smol,
};
use crate::time::Instant;
use core::net::SocketAddr;
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
pub(super) fn seeder(mtu: u16, isn: u32, now: Instant) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed_for(isn);
    let mut nowhere = Nowhere;
    // Only asked what it can do.
    let mut device = OneFrame::new(Medium::Ip, mtu, None, &mut nowhere, &mut []);
    let mut iface = Interface::new(config, &mut device, smol(now));
    iface.set_any_ip(true);
    iface
}

/// A handshake that the peer has completed.
pub(crate) struct Completed<'a> {
    /// Own address.
    pub(crate) local: SocketAddr,
    /// The peer's.
    pub(crate) remote: SocketAddr,
    /// Our initial sequence number, and the peer's.
    pub(crate) numbers: (u32, u32),
    /// What the peer's SYN offered.
    pub(crate) offer: Offer,
    /// The peer's acknowledgment, and its window as it stands there.
    pub(crate) ack: &'a [u8],
    pub(crate) window: u16,
    /// That is all that it says.
    pub(crate) is_bare: bool,
}

impl Completed<'_> {
    /// Makes a closed socket that of the connection. `None` if the peer's acknowledgment does not make sense.
    pub(crate) fn bring_up(
        &self,
        engine: &mut Engine,
        now: Instant,
        mut socket: TcpSocket,
        sink: &mut dyn FrameSink,
    ) -> Option<TcpSocket> {
        // Never shifted in a SYN: what is beyond 16 bits is told by the acknowledgment itself.
        let whole = usize::from(self.window) << self.offer.shift.unwrap_or(0);
        let fits = u16::try_from(whole);
        socket.begin(Quiet::new(
            (self.local, self.remote),
            self.numbers,
            self.offer,
            fits.unwrap_or(u16::MAX),
            engine.mtu(),
            now,
        ));
        if !(self.is_bare && fits.is_ok()) {
            engine.ingress(now, self.ack, &mut socket, sink);
        }
        match socket.state() {
            tcp::State::Established | tcp::State::CloseWait => Some(socket),
            _ => None,
        }
    }
}
