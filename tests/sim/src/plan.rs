//! What a seed makes of a world: hosts, clients, links, and which faults happen when. Everything else follows while it runs.

use crate::{faults::Kind, random::Random, wire::Link};
use ipc_proto::policy::{Policy, PortRange};

/// A client.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// Where it lives.
    pub host: usize,
    /// The badge of its capability, as the manifest would number it.
    pub badge: u64,
    /// Bytes of session memory for buffers.
    pub arena: usize,
    /// Bytes of a socket's buffers: receive and transmit.
    pub buffers: (usize, usize),
    /// What it may do.
    pub policy: Policy,
    /// It serves streams and datagrams.
    pub serves: bool,
    /// It serves names.
    pub names: bool,
    /// Jobs that it does, one behind the other, and in how many rows.
    pub jobs: u64,
    /// Rows of jobs at once.
    pub rows: u64,
    /// Most bytes of a stream.
    pub size: u64,
    /// It takes all the sockets that it may have.
    pub hog: bool,
    /// Its capability is derived from that of another client, at this step.
    pub derived: Option<(usize, u64)>,
}

/// What happens to doorbells, in thousandths.
#[derive(Clone, Copy, Default, Debug)]
pub struct BellPlan {
    /// Rung late.
    pub late: u64,
    /// Never heard. Something else wakes the sleeper, seconds later.
    pub lost: u64,
    /// Heard twice.
    pub double: u64,
    /// Somebody hears one for nothing, in each step.
    pub spurious: u64,
}

/// A world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many hosts.
    pub hosts: usize,
    /// Whether they speak IPv6 too.
    pub ipv6: bool,
    /// Bytes of the stacks' TCP buffers.
    pub tcp_buffer: usize,
    /// Links by sender and receiver.
    pub links: Vec<Vec<Link>>,
    /// The clients.
    pub clients: Vec<ClientPlan>,
    /// Steps till everything is healed.
    pub steps: u64,
    /// Which fault happens at which step, last first.
    pub faults: Vec<(u64, Kind)>,
    /// What happens to doorbells.
    pub bells: BellPlan,
    /// Time goes on a little although somebody has work, in thousandths of the steps.
    pub restless: u64,
}

/// What a hog may have.
const HOG_SOCKETS: u64 = 6;

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(random: &mut Random, steps: Option<u64>) -> Plan {
        let hosts = random.range(2, 3) as usize;
        let steps = steps.unwrap_or_else(|| random.magnitude(300, 4000));
        let mut plan = Plan {
            hosts,
            ipv6: random.chance(400),
            tcp_buffer: 1 << random.range(12, 16),
            links: links(random, hosts),
            clients: Vec::new(),
            steps,
            faults: faults(random, steps),
            bells: bells(random),
            restless: random.pick(&[0, 5, 50]),
        };
        for host in 0..hosts {
            let mut server = client(random, host, host as u64 + 1);
            server.serves = true;
            server.names = host == 0 && random.chance(600);
            plan.clients.push(server);
        }
        for _ in 0..random.range(0, 3) {
            let host = random.index(hosts);
            let badge = plan.clients.len() as u64 + 1;
            let mut other = client(random, host, badge);
            if random.chance(150) {
                other.hog = true;
                other.policy.max_sockets = random.range(1, HOG_SOCKETS) as u16;
                other.policy.remote_ports = [PortRange {
                    first: 7,
                    last: 5000,
                }]
                .into_iter()
                .collect();
            } else if random.chance(150) {
                // Few packets a second: everything takes longer, and nothing is lost.
                other.policy.packets_per_second = random.range(50, 500) as u32;
            }
            if random.chance(200) {
                let parent = random.index(plan.clients.len());
                other.host = plan.clients[parent].host;
                other.derived = Some((parent, random.below(steps)));
            }
            plan.clients.push(other);
        }
        // By what is drawn already, so that the other worlds stay what they were.
        if plan.restless == 0 && plan.tcp_buffer <= 16 << 10 {
            plan.flood();
        }
        plan
    }

    /// Long streams, whose segments come many at once, into buffers with room for all of them.
    fn flood(&mut self) {
        for link in self.links.iter_mut().flatten() {
            link.jitter = 0;
        }
        for client in &mut self.clients {
            let (old, new) = (client.buffers, 64 << 10);
            let sockets = client.arena / (old.0 + old.1 + 128);
            client.buffers = (new, new);
            client.arena = sockets * (new + new + 128);
            client.size = client.size.max(100_000);
        }
    }
}

fn client(random: &mut Random, host: usize, badge: u64) -> ClientPlan {
    let size = random.magnitude(100, 200_000);
    let buffers = (1 << random.range(10, 14), 1 << random.range(10, 14));
    let sockets = random.range(12, 20) as usize;
    ClientPlan {
        host,
        badge,
        // Accepts ahead take room too; some connections may have to wait for theirs.
        arena: sockets * (buffers.0 + buffers.1 + 128),
        buffers,
        policy: Policy::everything(),
        serves: false,
        names: false,
        jobs: random.range(1, 4),
        rows: random.range(1, 3),
        size,
        hog: false,
        derived: None,
    }
}

fn links(random: &mut Random, hosts: usize) -> Vec<Vec<Link>> {
    let calm = random.chance(300);
    let base = Link {
        delay: random.magnitude(1, 20_000),
        jitter: random.magnitude(1, 5000),
        ..Link::default()
    };
    let mut link = || Link {
        // Such losses end no connection: a peer has to be silent for two minutes.
        loss: if calm { 0 } else { random.pick(&[0, 0, 5, 20]) },
        double: if calm { 0 } else { random.pick(&[0, 5, 50]) },
        damage: if calm { 0 } else { random.pick(&[0, 0, 5, 10]) },
        late: if calm { 0 } else { random.pick(&[0, 10, 100]) },
        ..base
    };
    (0..hosts)
        .map(|_| (0..hosts).map(|_| link()).collect())
        .collect()
}

fn faults(random: &mut Random, steps: u64) -> Vec<(u64, Kind)> {
    let count = random.pick(&[0, 0, 1, 1, 2, 3, 6, 10]);
    let mut faults: Vec<(u64, Kind)> = (0..count)
        .map(|_| (random.below(steps), random.pick(&Kind::ALL)))
        .collect();
    // In the order of steps, whatever the order of kinds.
    faults.sort_by_key(|(step, _)| core::cmp::Reverse(*step));
    faults
}

fn bells(random: &mut Random) -> BellPlan {
    if random.chance(400) {
        return BellPlan::default();
    }
    BellPlan {
        late: random.pick(&[0, 50, 300]),
        lost: random.pick(&[0, 0, 0, 20]),
        double: random.pick(&[0, 50]),
        spurious: random.pick(&[0, 1, 20]),
    }
}
