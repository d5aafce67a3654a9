//! What a DHCP message says of itself (RFC 2131 section 2, RFC 2132), read before the engine may hear it.

use crate::classify::{ETHERNET, be16, be32, ipv4};
use core::net::Ipv4Addr;

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
/// Shortest time to renew a lease in that is taken: renewing would be all that the host does.
const SHORTEST_RENEWAL: u32 = 5;

/// DHCPOFFER, DHCPACK and DHCPNAK (RFC 2132 section 9.6).
pub(super) const DISCOVER: u8 = 1;
pub(super) const OFFER: u8 = 2;
pub(super) const REQUEST: u8 = 3;
pub(super) const ACK: u8 = 5;
pub(super) const NAK: u8 = 6;

/// A message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Message {
    /// Message type.
    pub(super) kind: u8,
    /// The server that it comes from, or goes to.
    pub(super) server: Option<Ipv4Addr>,
    /// It went to all stations.
    pub(super) is_broadcast: bool,
    lease: Option<u32>,
    renew: Option<u32>,
    rebind: Option<u32>,
}

impl Message {
    /// Reads the message in a frame that the host sent. `None` if there is none.
    pub(super) fn sent(frame: &[u8]) -> Option<Message> {
        Message::read(frame, (CLIENT_PORT, SERVER_PORT))
    }

    /// Reads the message in a frame that the host received. `None` if its options run past the end, or one of them is there twice
    /// and says two things: the engine might believe the other.
    pub(super) fn received(frame: &[u8]) -> Option<Message> {
        Message::read(frame, (SERVER_PORT, CLIENT_PORT))
    }

    fn read(frame: &[u8], ports: (u16, u16)) -> Option<Message> {
        let is_ipv4 = be16(frame, 12)? == 0x0800;
        let header = usize::from(frame.get(ETHERNET)? & 0xf).checked_mul(4)?;
        let datagram = frame.get(ETHERNET.checked_add(header)?..)?;
        let is_dhcp = (be16(datagram, 0)?, be16(datagram, 2)?) == ports;
        if !is_ipv4 || *frame.get(23)? != 17 || !is_dhcp {
            return None;
        }
        let mut message = Message {
            is_broadcast: ipv4(frame, 30)?.is_broadcast(),
            ..Message::default()
        };
        let mut kind = None;
        // Behind the fixed fields and the cookie.
        let mut options = datagram.get(8 + 240..)?;
        loop {
            match *options {
                [255, ..] | [] => break,
                [0, ref rest @ ..] => options = rest,
                [code, len, ref rest @ ..] => {
                    let (data, behind) = rest.split_at_checked(len.into())?;
                    match code {
                        51 => note(&mut message.lease, be32(data, 0)?)?,
                        53 => note(&mut kind, *data.first()?)?,
                        54 => note(&mut message.server, ipv4(data, 0)?)?,
                        58 => note(&mut message.renew, be32(data, 0)?)?,
                        59 => note(&mut message.rebind, be32(data, 0)?)?,
                        _ => {}
                    }
                    options = behind;
                }
                [_] => return None,
            }
        }
        message.kind = kind?;
        Some(message)
    }

    /// Whether it offers a lease that would have to be renewed all the time.
    pub(super) fn is_short(&self) -> bool {
        let too_short = |seconds: Option<u32>| seconds.is_some_and(|it| it < SHORTEST_RENEWAL);
        let lease = self.lease.map(|seconds| seconds / 2);
        too_short(lease) || too_short(self.renew) || too_short(self.rebind)
    }
}

/// Notes what an option says, unless it said something else before.
fn note<T: PartialEq>(known: &mut Option<T>, value: T) -> Option<()> {
    let agrees = known.as_ref().is_none_or(|known| *known == value);
    *known = Some(value);
    agrees.then_some(())
}
