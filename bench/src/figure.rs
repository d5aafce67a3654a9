//! The figures: what is measured, how, in which unit, and what it should come to beside Linux.

use crate::{
    Failure, Outcome,
    guest::Net,
    load::{self, Amount},
    machine::Machine,
    stats::percentile,
};
use std::time::{Duration, Instant};

/// Bytes of a megabyte here.
const MEGABYTE: f64 = 1e6;
/// Pause from one round trip to the next where instructions are counted: back to back, guest and host meet awake or asleep as it happens.
const PACE: Duration = Duration::from_millis(3);
/// Datagrams on the way at once.
const WINDOW: u64 = 32;
/// Connections of `wrk`.
const CLIENTS: u32 = 16;

/// Something that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// TCP from the guest to the host.
    TcpOut,
    /// TCP from the host to the guest.
    TcpIn,
    /// UDP echo, one datagram at a time.
    UdpRoundTrip,
    /// UDP echo, many datagrams at a time.
    UdpRate,
    /// TCP connections that are opened and closed.
    Connect,
    /// HTTP on connections that are kept.
    HttpKeep,
    /// HTTP with a connection for each request.
    HttpClose,
    /// From the start of the machine to its first answer.
    Boot,
    /// A machine that nobody asks for anything.
    Idle,
    /// Memory.
    Memory,
}

/// What a time measurement gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Name in results.
    pub name: &'static str,
    /// For a table.
    pub title: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// Whether more is better.
    pub more_is_better: bool,
}

/// Room for a measurement: seconds for a figure in time, a factor for counts.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// For each figure in time.
    pub time: Duration,
    /// For each figure in instructions: 1 is the least that gives a steady result.
    pub factor: u64,
}

const fn metric(
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    more_is_better: bool,
) -> Metric {
    Metric {
        name,
        title,
        unit,
        more_is_better,
    }
}

impl Figure {
    /// All of them, in the order of the tables.
    pub const ALL: [Figure; 10] = [
        Figure::TcpOut,
        Figure::TcpIn,
        Figure::UdpRoundTrip,
        Figure::UdpRate,
        Figure::Connect,
        Figure::HttpKeep,
        Figure::HttpClose,
        Figure::Boot,
        Figure::Idle,
        Figure::Memory,
    ];

    /// Name on the command line and in results.
    pub const fn name(self) -> &'static str {
        match self {
            Figure::TcpOut => "tcp-out",
            Figure::TcpIn => "tcp-in",
            Figure::UdpRoundTrip => "udp-rtt",
            Figure::UdpRate => "udp-rate",
            Figure::Connect => "connect",
            Figure::HttpKeep => "http-keep",
            Figure::HttpClose => "http-close",
            Figure::Boot => "boot",
            Figure::Idle => "idle",
            Figure::Memory => "memory",
        }
    }

    /// The figure of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn parse(name: &str) -> Outcome<Figure> {
        Figure::ALL
            .into_iter()
            .find(|figure| figure.name() == name)
            .ok_or_else(|| {
                let all: Vec<&str> = Figure::ALL.into_iter().map(Figure::name).collect();
                Failure(format!("no figure '{name}': {}", all.join(", ")))
            })
    }

    /// Whether it can be measured on a network. QEMU's user network does not forward UDP.
    pub const fn is_on(self, net: Net) -> bool {
        !matches!(
            (self, net),
            (
                Figure::UdpRoundTrip | Figure::UdpRate | Figure::Boot,
                Net::Slirp
            )
        )
    }

    /// What it gives in time.
    pub const fn metrics(self) -> &'static [Metric] {
        match self {
            Figure::TcpOut => const { &[metric("tcp-out", "TCP, guest to host", "MB/s", true)] },
            Figure::TcpIn => const { &[metric("tcp-in", "TCP, host to guest", "MB/s", true)] },
            Figure::UdpRoundTrip => {
                const {
                    &[
                        metric("udp-rtt-p50", "UDP echo, round trip, p50", "us", false),
                        metric("udp-rtt-p99", "UDP echo, round trip, p99", "us", false),
                    ]
                }
            }
            Figure::UdpRate => {
                const {
                    &[metric(
                        "udp-rate",
                        "UDP echo, 32 outstanding",
                        "packets/s",
                        true,
                    )]
                }
            }
            Figure::Connect => const { &[metric("connect", "TCP connect and close", "1/s", true)] },
            Figure::HttpKeep => {
                const {
                    &[metric(
                        "http-keep",
                        "HTTP, kept connections",
                        "requests/s",
                        true,
                    )]
                }
            }
            Figure::HttpClose => {
                const {
                    &[metric(
                        "http-close",
                        "HTTP, one connection each",
                        "requests/s",
                        true,
                    )]
                }
            }
            Figure::Boot => const { &[metric("boot", "boot to first answer", "s", false)] },
            Figure::Idle => const { &[metric("idle", "idle, processor of the host", "%", false)] },
            Figure::Memory => {
                const { &[metric("memory", "memory of QEMU after boot", "MB", false)] }
            }
        }
    }

    /// What it gives in guest instructions, with the number of instructions that its unit stands for.
    pub const fn instructions(self) -> Option<(Metric, f64)> {
        Some(match self {
            Figure::TcpOut => (metric("tcp-out", "TCP, guest to host", "M/MB", false), 1e6),
            Figure::TcpIn => (metric("tcp-in", "TCP, host to guest", "M/MB", false), 1e6),
            Figure::UdpRoundTrip => (
                metric("udp-rtt", "UDP echo, one at a time", "k/packet", false),
                1e3,
            ),
            Figure::UdpRate => (
                metric("udp-rate", "UDP echo, 32 outstanding", "k/packet", false),
                1e3,
            ),
            Figure::Connect => (
                metric("connect", "TCP connect and close", "k each", false),
                1e3,
            ),
            Figure::HttpKeep => (
                metric("http-keep", "HTTP, kept connections", "k/request", false),
                1e3,
            ),
            Figure::HttpClose => (
                metric(
                    "http-close",
                    "HTTP, one connection each",
                    "k/request",
                    false,
                ),
                1e3,
            ),
            Figure::Boot => (metric("boot", "boot to first answer", "M", false), 1e6),
            Figure::Idle => (metric("idle", "idle", "k/s", false), 1e3),
            Figure::Memory => return None,
        })
    }

    /// Measures it in time: a value for each of its metrics.
    ///
    /// # Errors
    /// Of the load.
    pub fn time(self, machine: &mut Machine, net: Net, effort: Effort) -> Outcome<Vec<f64>> {
        let time = Amount::Time(effort.time);
        Ok(match self {
            Figure::TcpOut => vec![
                machine
                    .load(|_, target| load::receive(target, time))?
                    .rate()
                    / MEGABYTE,
            ],
            Figure::TcpIn => {
                vec![machine.load(|_, target| load::send(target, time))?.rate() / MEGABYTE]
            }
            Figure::UdpRoundTrip => {
                let (mut times, _) =
                    machine.load(|_, target| load::round_trips(target, time, Duration::ZERO))?;
                [0.5, 0.99]
                    .into_iter()
                    .filter_map(|share| percentile(&mut times, share))
                    .collect()
            }
            Figure::UdpRate => vec![
                machine
                    .load(|_, target| load::flood(target, time, WINDOW))?
                    .0
                    .rate(),
            ],
            Figure::Connect => vec![
                machine
                    .load(|_, target| load::connects(target, time, parallel(net)))?
                    .rate(),
            ],
            Figure::HttpKeep => vec![
                machine
                    .load(|lab, target| load::wrk(lab, target, effort.time, clients(net), true))?
                    .rate(),
            ],
            Figure::HttpClose => vec![
                machine
                    .load(|lab, target| load::wrk(lab, target, effort.time, clients(net), false))?
                    .rate(),
            ],
            Figure::Boot => machine.boot.into_iter().collect(),
            Figure::Idle => {
                let (before, start) = (machine.processor_time()?, Instant::now());
                std::thread::sleep(effort.time.max(Duration::from_secs(3)));
                vec![100.0 * (machine.processor_time()? - before) / start.elapsed().as_secs_f64()]
            }
            Figure::Memory => vec![machine.memory()? / MEGABYTE],
        })
    }

    /// Does a given amount of it, so that instructions can be counted meanwhile, and returns how much that was, in its unit.
    ///
    /// # Errors
    /// Of the load.
    pub fn work(self, machine: &mut Machine, effort: Effort) -> Outcome<f64> {
        let count = |count: u64| Amount::Count(count * effort.factor);
        Ok(match self {
            Figure::TcpOut => {
                machine
                    .load(|_, target| load::receive(target, count(32_000_000)))?
                    .count as f64
                    / MEGABYTE
            }
            Figure::TcpIn => {
                machine
                    .load(|_, target| load::send(target, count(32_000_000)))?
                    .count as f64
                    / MEGABYTE
            }
            Figure::UdpRoundTrip => {
                let (times, _) =
                    machine.load(|_, target| load::round_trips(target, count(300), PACE))?;
                times.len() as f64
            }
            Figure::UdpRate => {
                machine
                    .load(|_, target| load::flood(target, count(10_000), WINDOW))?
                    .0
                    .count as f64
            }
            Figure::Connect => {
                machine
                    .load(|_, target| load::connects(target, count(500), 1))?
                    .count as f64
            }
            Figure::HttpKeep => {
                machine
                    .load(|_, target| load::http(target, 2000 * effort.factor, true))?
                    .count as f64
            }
            Figure::HttpClose => {
                machine
                    .load(|_, target| load::http(target, 500 * effort.factor, false))?
                    .count as f64
            }
            Figure::Boot | Figure::Memory => 1.0,
            Figure::Idle => {
                let start = Instant::now();
                std::thread::sleep(Duration::from_secs(3));
                start.elapsed().as_secs_f64()
            }
        })
    }
}

/// Connections that are opened at once. QEMU's user network lets one wait.
const fn parallel(net: Net) -> u64 {
    match net {
        Net::Tap | Net::TapPlain => 8,
        Net::Slirp => 1,
    }
}

/// Connections of the HTTP load, for the same reason.
const fn clients(net: Net) -> u32 {
    match net {
        Net::Tap | Net::TapPlain => CLIENTS,
        Net::Slirp => 1,
    }
}
