//! IPv6 addresses, routers and name servers from router advertisements (RFC 4861, RFC 4862, RFC 8106).
//!
//! Whatever arrives here passed for a neighbour's word (hop limit 255, checksum right), but is not believed beyond reason: a
//! few prefixes, routers and servers at most, and no lifetime is cut short at once.

use crate::{
    Instant,
    classify::{be16, be32, ipv6, is_host},
    engine::{Engine, interface_address},
};
use alloc::vec::Vec;
use core::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

const MAX_PREFIXES: usize = 3;
const MAX_ROUTERS: usize = 2;
const MAX_SERVERS: usize = 2;
/// Solicitations at start, and the time between them (RFC 4861 section 10).
const SOLICITATIONS: u8 = 3;
const SOLICIT_INTERVAL: Duration = Duration::from_secs(4);
/// No advertisement shortens a lifetime below this (RFC 4862 section 5.5.3).
const TWO_HOURS: Duration = Duration::from_secs(2 * 60 * 60);

/// Something that is good until some time; for ever without one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Lasting<T> {
    value: T,
    until: Option<Instant>,
}

fn lifetime(seconds: u32, now: Instant) -> Option<Instant> {
    (seconds != u32::MAX).then(|| now.after(Duration::from_secs(seconds.into())))
}

/// What routers have said.
#[derive(Default)]
pub(crate) struct Slaac {
    prefixes: Vec<Lasting<[u16; 4]>>,
    routers: Vec<Lasting<Ipv6Addr>>,
    servers: Vec<Lasting<Ipv6Addr>>,
    solicited: u8,
    next: Option<Instant>,
}

impl Slaac {
    /// Starts to look for routers.
    pub(crate) fn start(&mut self, now: Instant) {
        self.solicited = 0;
        self.next = Some(now);
    }

    /// Whether a router solicitation should be sent now. Notes that it was.
    pub(crate) fn should_solicit(&mut self, now: Instant) -> bool {
        if self.next.is_none_or(|at| at > now) {
            return false;
        }
        self.solicited = self.solicited.saturating_add(1);
        self.next = (self.solicited < SOLICITATIONS).then(|| now.after(SOLICIT_INTERVAL));
        true
    }

    /// The addresses that follow from the prefixes.
    pub(crate) fn addresses(&self, mac: [u8; 6]) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.prefixes
            .iter()
            .map(move |prefix| interface_address(prefix.value, mac))
    }

    /// The routers.
    pub(crate) fn routers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.routers.iter().map(|router| router.value.into())
    }

    /// The name servers.
    pub(crate) fn servers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.servers.iter().map(|server| server.value.into())
    }

    /// Reads an advertisement from the ICMP header on. True if anything changed.
    pub(crate) fn advertisement(
        &mut self,
        from: Ipv6Addr,
        message: &[u8],
        engine: &Engine,
        now: Instant,
    ) -> bool {
        if !from.is_unicast_link_local() || from == Engine::link_local(engine.mac()) {
            return false;
        }
        let Some(router_lifetime) = be16(message, 6) else {
            return false;
        };
        self.next = None;
        let mut changed = if router_lifetime == 0 {
            remove(&mut self.routers, from)
        } else {
            let until = lifetime(router_lifetime.into(), now);
            note(&mut self.routers, from, until, MAX_ROUTERS)
        };
        let mut options = message.get(16..).unwrap_or_default();
        // Bounded: an option has at least eight bytes, or ends the walk.
        while let [kind, units, ..] = *options {
            let len = usize::from(units).saturating_mul(8);
            let Some((option, rest)) = options.split_at_checked(len).filter(|_| len > 0) else {
                break;
            };
            changed |= match kind {
                3 => self.prefix(option, now).unwrap_or(false),
                25 => self.name_servers(option, now).unwrap_or(false),
                _ => false,
            };
            options = rest;
        }
        changed
    }

    /// Prefix information (RFC 4861 section 4.6.2).
    fn prefix(&mut self, option: &[u8], now: Instant) -> Option<bool> {
        let [_, _, bits, flags, ..] = *option else {
            return None;
        };
        let (valid, preferred) = (be32(option, 4)?, be32(option, 8)?);
        let address = ipv6(option, 16)?;
        let autonomous = flags & 0x40 != 0;
        if !autonomous
            || bits != 64
            || preferred > valid
            || address.is_unicast_link_local()
            || !is_host(address.into())
        {
            return None;
        }
        let [a, b, c, d, ..] = address.segments();
        let prefix = [a, b, c, d];
        let Some(known) = self.prefixes.iter_mut().find(|one| one.value == prefix) else {
            if valid == 0 {
                return None;
            }
            return Some(note(
                &mut self.prefixes,
                prefix,
                lifetime(valid, now),
                MAX_PREFIXES,
            ));
        };
        let offered = lifetime(valid, now);
        let floor = now.after(TWO_HOURS);
        known.until = match (offered, known.until) {
            (None, _) => None,
            (Some(offered), _) if offered > floor => Some(offered),
            (Some(offered), Some(current)) if offered > current => Some(offered),
            (Some(_), Some(current)) if current <= floor => Some(current),
            _ => Some(floor),
        };
        Some(false)
    }

    /// Recursive DNS servers (RFC 8106 section 5.1).
    fn name_servers(&mut self, option: &[u8], now: Instant) -> Option<bool> {
        let seconds = be32(option, 4)?;
        let mut changed = false;
        for bytes in option.get(8..)?.chunks_exact(16).take(MAX_SERVERS) {
            let address = ipv6(bytes, 0)?;
            if !is_host(address.into()) {
                continue;
            }
            changed |= if seconds == 0 {
                remove(&mut self.servers, address)
            } else {
                note(
                    &mut self.servers,
                    address,
                    lifetime(seconds, now),
                    MAX_SERVERS,
                )
            };
        }
        Some(changed)
    }

    /// Forgets what is over. True if anything was.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        fn keep<T>(list: &mut Vec<Lasting<T>>, now: Instant) -> bool {
            let before = list.len();
            list.retain(|one| one.until.is_none_or(|until| until > now));
            list.len() != before
        }
        keep(&mut self.prefixes, now) | keep(&mut self.routers, now) | keep(&mut self.servers, now)
    }

    /// When a solicitation is to be sent.
    pub(crate) fn solicit_at(&self) -> Option<Instant> {
        self.next
    }

    /// When something is over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let prefixes = self.prefixes.iter().map(|one| one.until);
        let routers = self.routers.iter().map(|one| one.until);
        let servers = self.servers.iter().map(|one| one.until);
        prefixes.chain(routers).chain(servers).flatten().min()
    }
}

/// Adds to a bounded list, or changes the time. True if it is new.
fn note<T: PartialEq>(
    list: &mut Vec<Lasting<T>>,
    value: T,
    until: Option<Instant>,
    most: usize,
) -> bool {
    if let Some(known) = list.iter_mut().find(|one| one.value == value) {
        known.until = until;
        return false;
    }
    if list.len() >= most {
        return false;
    }
    list.push(Lasting { value, until });
    true
}

fn remove<T: PartialEq>(list: &mut Vec<Lasting<T>>, value: T) -> bool {
    let before = list.len();
    list.retain(|one| one.value != value);
    list.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

    fn engine() -> Engine {
        Engine::new([2, 0, 0, 0, 0, 1], (1500, 0), 1, Instant::ZERO)
    }

    fn message(router_seconds: u16, prefixes: &[([u16; 4], u32)]) -> Vec<u8> {
        let mut bytes = alloc::vec![134, 0, 0, 0, 64, 0];
        bytes.extend(router_seconds.to_be_bytes());
        bytes.extend([0; 8]);
        for (prefix, valid) in prefixes {
            bytes.extend([3, 4, 64, 0xc0]);
            bytes.extend(valid.to_be_bytes());
            bytes.extend(valid.to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(prefix.iter().flat_map(|word| word.to_be_bytes()));
            bytes.extend([0; 8]);
        }
        bytes
    }

    #[test]
    fn a_prefix_and_a_router_come_and_go() {
        let (mut slaac, engine) = (Slaac::default(), engine());
        let told = message(600, &[([0x2001, 0xdb8, 0, 1], 900)]);
        assert!(slaac.advertisement(ROUTER, &told, &engine, Instant::ZERO));
        let addresses: Vec<_> = slaac.addresses(engine.mac()).collect();
        assert_eq!(
            addresses,
            ["2001:db8:0:1:0:ff:fe00:1".parse::<Ipv6Addr>().unwrap()]
        );
        assert_eq!(slaac.routers().collect::<Vec<_>>(), [IpAddr::V6(ROUTER)]);
        assert_eq!(slaac.deadline(), Some(Instant::from_millis(600_000)));
        assert!(slaac.expire(Instant::from_millis(600_000)));
        assert_eq!(slaac.routers().count(), 0);
        assert_eq!(slaac.addresses(engine.mac()).count(), 1);
        assert!(slaac.expire(Instant::from_millis(900_000)));
        assert_eq!(slaac.addresses(engine.mac()).count(), 0);
    }

    #[test]
    fn a_lifetime_of_zero_ends_nothing_at_once() {
        let (mut slaac, engine) = (Slaac::default(), engine());
        let prefix = [0x2001, 0xdb8, 0, 1];
        let day = message(0, &[(prefix, 86_400)]);
        slaac.advertisement(ROUTER, &day, &engine, Instant::ZERO);
        let end = message(0, &[(prefix, 0)]);
        slaac.advertisement(ROUTER, &end, &engine, Instant::ZERO);
        assert_eq!(slaac.deadline(), Some(Instant::ZERO.after(TWO_HOURS)));
    }

    #[test]
    fn hundreds_of_prefixes_and_bad_ones_are_left_out() {
        let (mut slaac, engine) = (Slaac::default(), engine());
        for i in 0..500 {
            let told = message(0, &[([0x2001, 0xdb8, 0, i], 900)]);
            slaac.advertisement(ROUTER, &told, &engine, Instant::ZERO);
        }
        assert_eq!(slaac.addresses(engine.mac()).count(), MAX_PREFIXES);
        let mut slaac = Slaac::default();
        for bad in [[0xff02, 0, 0, 0], [0xfe80, 0, 0, 0], [0, 0, 0, 0]] {
            slaac.advertisement(ROUTER, &message(0, &[(bad, 900)]), &engine, Instant::ZERO);
        }
        assert_eq!(slaac.addresses(engine.mac()).count(), 0);
        let global = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        let told = message(600, &[([0x2001, 0xdb8, 0, 9], 900)]);
        assert!(!slaac.advertisement(global, &told, &engine, Instant::ZERO));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let (mut slaac, engine) = (Slaac::default(), engine());
            slaac.advertisement(ROUTER, &bytes, &engine, Instant::ZERO);
        }
    }
}
