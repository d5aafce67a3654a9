//! The host's own addresses: static, from DHCP, from router advertisements; and telling the neighbours of them.

use crate::{
    Instant,
    config::{Addressing as Ipv4Source, Config},
    engine::{Dhcp, DhcpEvent, Engine, FrameSink, Lease, announce, solicit_router},
    slaac::Slaac,
    turn::Context,
    udp::earlier,
};
use alloc::{collections::VecDeque, vec::Vec};
use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};
use ipc_proto::socket::AddressSource;

/// Announcements of an address (RFC 5227 section 2.3), and the time between them.
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);

/// Frames that the control set sends in one turn.
const MAX_CONTROL_FRAMES: usize = 8;

/// The host's addresses.
pub(crate) struct Addressing {
    config: Config,
    /// What belongs to no flow.
    pub(crate) control: Dhcp,
    lease: Option<(Lease, Instant)>,
    /// The lease was given up on purpose and is used until the server has answered.
    confirming: bool,
    slaac: Slaac,
    announcements: VecDeque<(IpAddr, u8, Instant)>,
    current: Vec<(IpAddr, u8)>,
    routers: Vec<IpAddr>,
}

/// Whether an address can be that of one host in its network: neither the network itself nor all of its hosts.
fn is_host_of(address: Ipv4Addr, bits: u8) -> bool {
    let part = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
    let host = address.to_bits() & part;
    // Networks of two have no such addresses (RFC 3021).
    let is_special = bits < 31 && (host == 0 || host == part);
    crate::classify::is_host(address.into()) && bits <= 32 && !is_special
}

impl Addressing {
    /// Addresses as `config` says.
    pub(crate) fn new(config: Config) -> Addressing {
        let control = Dhcp::new(config.ipv4 == Ipv4Source::Dhcp);
        Addressing {
            config,
            control,
            lease: None,
            confirming: false,
            slaac: Slaac::default(),
            announcements: VecDeque::new(),
            current: Vec::new(),
            routers: Vec::new(),
        }
    }

    /// The link came up, perhaps to another network: the lease is confirmed, routers are looked for, and neighbours told.
    /// Connections go on: the address is kept until the server says otherwise.
    pub(crate) fn link_up(&mut self, engine: &mut Engine, now: Instant) {
        self.confirming = self.lease.is_some();
        self.control.restart();
        self.slaac.start(now);
        // The engine may be a new one.
        self.current.clear();
        self.apply(engine, now);
    }

    /// Addresses with prefix lengths.
    pub(crate) fn addresses(&self) -> &[(IpAddr, u8)] {
        &self.current
    }

    /// Panics if more is to be announced than there are addresses.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) {
        let most = crate::engine::MAX_ADDRESSES;
        assert!(self.current.len() <= most, "addresses");
        assert!(self.announcements.len() <= most, "announcements");
    }

    /// Default routers.
    pub(crate) fn routers(&self) -> &[IpAddr] {
        &self.routers
    }

    /// Where the IPv4 address came from.
    pub(crate) fn source(&self) -> AddressSource {
        match self.config.ipv4 {
            Ipv4Source::Static { .. } => AddressSource::Static,
            Ipv4Source::Dhcp if self.lease.is_some() => AddressSource::Dhcp,
            _ => AddressSource::None,
        }
    }

    /// Seconds until the lease must be renewed (half of its time, RFC 2131 section 4.4.5); zero without one.
    pub(crate) fn lease_seconds(&self, now: Instant) -> u32 {
        let Some((lease, since)) = &self.lease else {
            return 0;
        };
        let renew = since.after(lease.lifetime / 2).since(now);
        u32::try_from(renew.as_secs()).unwrap_or(u32::MAX)
    }

    /// Name servers, best first.
    pub(crate) fn name_servers(&self) -> Vec<IpAddr> {
        let mut servers = self.config.name_servers.clone();
        if let Some((lease, _)) = &self.lease {
            servers.extend(lease.servers.iter().map(|server| IpAddr::V4(*server)));
        }
        servers.extend(self.slaac.servers());
        servers.dedup();
        servers.retain(|server| crate::classify::is_host(*server));
        servers.truncate(3);
        servers
    }

    /// A router advertisement with a right checksum came.
    pub(crate) fn advertisement(
        &mut self,
        engine: &mut Engine,
        from: Ipv6Addr,
        message: &[u8],
        now: Instant,
    ) {
        if self.config.ipv6 && self.slaac.advertisement(from, message, engine, now) {
            self.apply(engine, now);
        }
    }

    /// Asks for addresses, renews them, announces them. Returns when to be called again.
    #[inline(never)]
    pub(crate) fn turn(&mut self, context: &mut Context<'_>) -> Option<Instant> {
        let now = context.now;
        let mut deadline = None;
        if context.frames.link_up() {
            let pause = self.control.pause(now);
            for _ in 0..MAX_CONTROL_FRAMES {
                if pause.is_some() {
                    break;
                }
                let sent = context
                    .engine
                    .egress(now, &mut self.control, context.frames);
                if sent.frames == 0 {
                    break;
                }
                self.control
                    .note_sent(context.engine.last_frame(context.frames));
            }
            if self.config.ipv6 && self.slaac.should_solicit(now) {
                let frame = solicit_router(context.engine);
                context.frames.send(&frame);
            }
            self.send_announcements(context);
            deadline = context.engine.poll_at(now, &mut self.control);
            if let Some(until) = pause {
                deadline = deadline.map(|at| at.max(until));
            }
            if !context.frames.has_room() {
                // A due packet waits for a buffer, whose return wakes the stack.
                deadline = deadline.map(|at| at.max(now.after(Duration::from_millis(10))));
            }
            let announcement = self.announcements.front().map(|(_, _, at)| *at);
            deadline = earlier(deadline, announcement);
            if self.config.ipv6 {
                deadline = earlier(deadline, self.slaac.solicit_at());
            }
        }
        let mut changed = self.slaac.expire(now);
        while let Some(event) = self.control.poll() {
            changed |= self.dhcp(event, now);
        }
        if self.confirming
            && let Some((lease, since)) = &self.lease
        {
            let end = since.after(lease.lifetime);
            if end <= now {
                log::warn!("the DHCP lease of {} ended", lease.address);
                self.lease = None;
                self.confirming = false;
                changed = true;
            } else {
                deadline = earlier(deadline, Some(end));
            }
        }
        if changed {
            self.apply(context.engine, now);
            return Some(now);
        }
        earlier(deadline, self.slaac.deadline())
    }

    fn dhcp(&mut self, event: DhcpEvent, now: Instant) -> bool {
        match event {
            DhcpEvent::Leased(mut lease) => {
                lease.router = lease
                    .router
                    .filter(|router| crate::classify::is_host((*router).into()));
                if !is_host_of(lease.address, lease.bits) {
                    log::warn!(
                        "DHCP offered {}, which is no address of a host",
                        lease.address
                    );
                    self.control.refuse(now);
                    return false;
                }
                self.confirming = false;
                log::info!(
                    "DHCP: {}/{}, router {}, name servers {:?}, for {} s",
                    lease.address,
                    lease.bits,
                    lease
                        .router
                        .map_or_else(|| "none".into(), |r| alloc::format!("{r}")),
                    lease.servers,
                    lease.lifetime.as_secs(),
                );
                self.lease = Some((lease, now));
                true
            }
            DhcpEvent::Lost if self.confirming => false,
            DhcpEvent::Lost => {
                if let Some((lease, _)) = self.lease.take() {
                    log::warn!("the DHCP lease of {} was lost", lease.address);
                    return true;
                }
                false
            }
        }
    }

    fn apply(&mut self, engine: &mut Engine, now: Instant) {
        let mut addresses: Vec<(IpAddr, u8)> = Vec::new();
        let mut routers: Vec<IpAddr> = Vec::new();
        match &self.config.ipv4 {
            Ipv4Source::Static {
                address,
                bits,
                router,
            } => {
                addresses.push(((*address).into(), *bits));
                routers.extend(router.map(IpAddr::V4));
            }
            Ipv4Source::Dhcp => {
                if let Some((lease, _)) = &self.lease {
                    addresses.push((lease.address.into(), lease.bits));
                    routers.extend(lease.router.map(IpAddr::V4));
                }
            }
            Ipv4Source::None => {}
        }
        if self.config.ipv6 {
            addresses.push((Engine::link_local(engine.mac()).into(), 64));
            let own = self.config.ipv6_static;
            addresses.extend(own.map(|(address, bits)| (address.into(), bits)));
            let learned = self.slaac.addresses(engine.mac());
            addresses.extend(learned.map(|address| (address.into(), 64)));
            routers.extend(self.slaac.routers());
        }
        addresses.truncate(crate::engine::MAX_ADDRESSES);
        // At most one for each address: a link that goes up and down, or a router that changes its mind, makes no more.
        let stays = |address: &IpAddr| {
            let own = |list: &[(IpAddr, u8)]| list.iter().any(|(known, _)| known == address);
            own(&self.current) && own(&addresses)
        };
        self.announcements.retain(|(address, ..)| stays(address));
        for (address, bits) in &addresses {
            if !self.current.contains(&(*address, *bits)) {
                self.announcements.push_back((*address, ANNOUNCEMENTS, now));
            }
        }
        if addresses != self.current || routers != self.routers {
            engine.configure(&addresses, &routers);
            self.current = addresses;
            self.routers = routers;
        }
    }

    fn send_announcements(&mut self, context: &mut Context<'_>) {
        while let Some((address, left, at)) = self.announcements.front().copied() {
            if at > context.now {
                break;
            }
            self.announcements.pop_front();
            if !context.engine.has_address(address) {
                continue;
            }
            let frame = announce(context.engine, address);
            context.frames.send(&frame);
            if left > 1 {
                let next = context.now.after(ANNOUNCE_INTERVAL);
                self.announcements
                    .push_back((address, left.saturating_sub(1), next));
            }
        }
    }
}
