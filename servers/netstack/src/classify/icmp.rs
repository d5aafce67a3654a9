//! ICMP and neighbour discovery: what a message is about. Reads only what it is given.

use super::{Payload, Quoted, be16, be32, byte, ipv4, ipv6};

/// Behind an IPv4 header.
pub(super) fn icmp_v4(body: &[u8]) -> Option<Payload<'_>> {
    Some(match (byte(body, 0)?, byte(body, 1)?) {
        (8, _) => Payload::EchoRequest,
        (0, _) => Payload::EchoReply {
            ident: be16(body, 4)?,
        },
        (3, code @ (0..=3 | 5..=12)) => {
            let quoted = body.get(8..)?;
            let header = usize::from(byte(quoted, 0)? & 0xf).checked_mul(4)?;
            let inner = quoted.get(header..)?;
            match (byte(quoted, 9)?, byte(inner, 0)?) {
                _ if header < 20 => Payload::Other,
                (6, _) => Payload::TcpUnreachable(Quoted {
                    from: (ipv4(quoted, 12)?, be16(inner, 0)?).into(),
                    to: (ipv4(quoted, 16)?, be16(inner, 2)?).into(),
                    seq: be32(inner, 4)?,
                    is_refused: matches!(code, 2 | 3),
                }),
                (1, 8) if code != 3 => Payload::EchoUnreachable {
                    ident: be16(inner, 4)?,
                    to: ipv4(quoted, 16)?.into(),
                },
                _ => Payload::Other,
            }
        }
        _ => Payload::Other,
    })
}

/// The link-layer address option of a kind behind a neighbour message's target. `None` if the options make no sense: two
/// that differ, say, of which the engine might believe the other, or one that is too short, for which it drops the whole message.
fn link_layer(body: &[u8], wanted: u8) -> Option<Option<[u8; 6]>> {
    let mut options = body.get(24..)?;
    let mut found = None;
    // Bounded: an option has at least eight bytes, or ends the walk.
    while let [kind, units, ..] = *options {
        let len = usize::from(units).checked_mul(8).filter(|len| *len > 0)?;
        let (option, rest) = options.split_at_checked(len)?;
        if matches!(kind, 1 | 2) {
            let mac: &[u8; 6] = option.get(2..)?.first_chunk()?;
            if kind != wanted || len != 8 || found.is_some() || mac[0] & 1 != 0 {
                return None;
            }
            found = Some(*mac);
        }
        // A prefix, a header that was redirected (RFC 4861 section 4.6): of no interest here, but to be whole.
        let least = match kind {
            3 => 32,
            4 => 48,
            _ => 8,
        };
        if len < least {
            return None;
        }
        options = rest;
    }
    options.is_empty().then_some(found)
}

/// Behind an IPv6 header with such a hop limit.
pub(super) fn icmp_v6(body: &[u8], hop_limit: u8) -> Option<Payload<'_>> {
    // Neighbour discovery with a smaller hop limit came from beyond the link (RFC 4861 section 6.1.2).
    let local = hop_limit == 255;
    Some(match byte(body, 0)? {
        128 => Payload::EchoRequest,
        129 => Payload::EchoReply {
            ident: be16(body, 4)?,
        },
        1 => {
            let quoted = body.get(8..)?;
            match (byte(quoted, 6)?, byte(quoted, 40)?) {
                (6, _) => Payload::TcpUnreachable(Quoted {
                    from: (ipv6(quoted, 8)?, be16(quoted, 40)?).into(),
                    to: (ipv6(quoted, 24)?, be16(quoted, 42)?).into(),
                    seq: be32(quoted, 44)?,
                    is_refused: byte(body, 1)? == 4,
                }),
                (58, 128) => Payload::EchoUnreachable {
                    ident: be16(quoted, 44)?,
                    to: ipv6(quoted, 24)?.into(),
                },
                _ => Payload::Other,
            }
        }
        134 if local => Payload::RouterAdvertisement(body),
        135 if local => Payload::NeighborSolicitation {
            message: body,
            target: ipv6(body, 8)?,
            mac: link_layer(body, 1)?,
        },
        136 if local => Payload::NeighborAdvertisement {
            message: body,
            target: ipv6(body, 8)?,
            mac: link_layer(body, 2)?,
        },
        // Solicitations of hosts to routers, and redirects: of no interest here.
        133 | 137 if local => Payload::Other,
        133..=137 => return None,
        _ => Payload::Other,
    })
}
