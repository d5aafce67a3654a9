//! What the stack is told at its start.

use alloc::{string::String, vec::Vec};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use ipc_proto::frame::{Offloads, Pool};

/// Frame buffers that a driver gets to receive into.
pub const RECEIVE_BUFFERS: u16 = 256;
/// Large frame buffers that it gets instead, where its device joins segments.
const LARGE_RECEIVE_BUFFERS: u16 = 96;
/// Frame buffers to send from.
const SEND_BUFFERS: u16 = 256;
/// Large frame buffers to send from, where its device cuts segments.
const LARGE_SEND_BUFFERS: u16 = 16;

/// The frame pools for a driver whose device can do so much with frames: to receive into, and to send from.
pub fn pools(offloads: Offloads) -> [Pool; 2] {
    let offloads = offloads.and(offloads);
    let (small, large) = match offloads.receive_segments {
        true => (0, LARGE_RECEIVE_BUFFERS),
        false => (RECEIVE_BUFFERS, 0),
    };
    let send = Pool {
        small: SEND_BUFFERS,
        large: match offloads.transmit_segments {
            true => LARGE_SEND_BUFFERS,
            false => 0,
        },
    };
    [Pool { small, large }, send]
}

/// Where addresses come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Addressing {
    /// From a DHCPv4 server.
    Dhcp,
    /// From here.
    Static {
        /// The address.
        address: Ipv4Addr,
        /// Length of its prefix, 0..=32.
        bits: u8,
        /// The router.
        router: Option<Ipv4Addr>,
    },
    /// There is no IPv4 address.
    None,
}

/// What the stack is told at its start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where the IPv4 address comes from.
    pub ipv4: Addressing,
    /// Whether IPv6 is spoken: a link-local address, and others by router advertisements (RFC 4862).
    pub ipv6: bool,
    /// A static IPv6 address with its prefix length, besides those.
    pub ipv6_static: Option<(Ipv6Addr, u8)>,
    /// Name servers, asked before those from DHCP and router advertisements.
    pub name_servers: Vec<IpAddr>,
    /// Most sessions at once.
    pub max_sessions: usize,
    /// Bytes of TCP buffers for each direction of a connection, at most, as a rule; a power of two.
    pub tcp_buffer: usize,
    /// The same where the client's own are larger, and the peer is known to scale windows.
    pub largest_tcp_buffer: usize,
    /// Most bytes of socket buffers over all sessions.
    pub max_memory: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            ipv4: Addressing::Dhcp,
            ipv6: true,
            ipv6_static: None,
            name_servers: Vec::new(),
            max_sessions: 64,
            tcp_buffer: 128 * 1024,
            largest_tcp_buffer: 512 * 1024,
            max_memory: 64 * 1024 * 1024,
        }
    }
}

/// An argument that makes no sense.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadArgument {
    /// Name of the argument.
    pub name: &'static str,
    /// The part that is not understood.
    pub part: String,
}

impl fmt::Display for BadArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "argument `{}`: `{}` is not understood (ip: dhcp, none, or ADDR/LEN,gw=ADDR,dns=ADDR; ip6: on, off, or ADDR/LEN)",
            self.name, self.part
        )
    }
}

impl core::error::Error for BadArgument {}

impl Config {
    /// Reads the arguments `ip` (`dhcp`, `none`, or `ADDR/LEN` with `,gw=ADDR` and `,dns=ADDR`) and `ip6` (`on`, `off`, or
    /// `ADDR/LEN`). What is missing stays as by default.
    ///
    /// # Errors
    /// [`BadArgument`].
    pub fn from_args(ip: Option<&str>, ip6: Option<&str>) -> Result<Config, BadArgument> {
        let mut config = Config::default();
        if let Some(ip) = ip {
            config.read_ipv4(ip).map_err(|part| BadArgument {
                name: "ip",
                part: part.into(),
            })?;
        }
        match ip6 {
            None | Some("on") => {}
            Some("off") => config.ipv6 = false,
            Some(text) => {
                let own = prefix::<Ipv6Addr>(text, 128)
                    .filter(|(address, _)| crate::classify::is_host((*address).into()));
                config.ipv6_static = Some(own.ok_or_else(|| BadArgument {
                    name: "ip6",
                    part: text.into(),
                })?);
            }
        }
        Ok(config)
    }

    fn read_ipv4<'a>(&mut self, text: &'a str) -> Result<(), &'a str> {
        let mut parts = text.split(',').map(str::trim);
        let first = parts.next().unwrap_or_default();
        self.ipv4 = match first {
            "dhcp" => Addressing::Dhcp,
            "none" => Addressing::None,
            _ => {
                let (address, bits) = prefix::<Ipv4Addr>(first, 32)
                    .filter(|(address, _)| crate::classify::is_host((*address).into()))
                    .ok_or(first)?;
                Addressing::Static {
                    address,
                    bits,
                    router: None,
                }
            }
        };
        for part in parts {
            let (key, value) = part.split_once('=').ok_or(part)?;
            match (key, &mut self.ipv4) {
                ("gw", Addressing::Static { router, .. }) => {
                    *router = Some(value.parse().map_err(|_| part)?);
                }
                ("dns", _) => self.name_servers.push(value.parse().map_err(|_| part)?),
                _ => return Err(part),
            }
        }
        Ok(())
    }
}

fn prefix<A: core::str::FromStr>(text: &str, most: u8) -> Option<(A, u8)> {
    let (address, bits) = text.split_once('/')?;
    let bits: u8 = bits.parse().ok()?;
    (bits <= most).then_some((address.parse().ok()?, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let config = Config::from_args(Some("10.0.2.15/24,gw=10.0.2.2,dns=10.0.2.3"), None);
        let config = config.unwrap();
        assert_eq!(
            config.ipv4,
            Addressing::Static {
                address: Ipv4Addr::new(10, 0, 2, 15),
                bits: 24,
                router: Some(Ipv4Addr::new(10, 0, 2, 2)),
            }
        );
        assert_eq!(config.name_servers, [IpAddr::from([10, 0, 2, 3])]);
        let config = Config::from_args(Some("dhcp"), Some("2001:db8::5/64")).unwrap();
        assert_eq!(config.ipv4, Addressing::Dhcp);
        assert_eq!(config.ipv6_static.unwrap().1, 64);
        assert!(!Config::from_args(None, Some("off")).unwrap().ipv6);
    }

    #[test]
    fn mistakes_are_named() {
        for (ip, part) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1/33", "10.0.0.1/33"),
            ("224.0.0.1/4", "224.0.0.1/4"),
            ("10.0.0.1/8,gw", "gw"),
            ("10.0.0.1/8,gw=x", "gw=x"),
            ("dhcp,gw=10.0.0.1", "gw=10.0.0.1"),
            ("10.0.0.1/8,mtu=9", "mtu=9"),
        ] {
            assert_eq!(Config::from_args(Some(ip), None).unwrap_err().part, part);
        }
        assert!(Config::from_args(None, Some("ff02::1/64")).is_err());
    }
}
