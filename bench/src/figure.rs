//! The figures: what is measured, in which units, and what it should come to.

use crate::{Failure, Outcome, guest::Net};
use serde::{Deserialize, Serialize};

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

/// How it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// By the clock.
    Time,
    /// Time of the host's processors that QEMU takes for a unit of work: with emulation, the work of the devices too.
    /// Other work on the host changes it less than it changes what the clock says.
    Processor,
    /// Instructions of the guest for a unit of work.
    Instructions,
}

/// A figure, measured in one way.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// How.
    pub kind: Kind,
    /// Name in results.
    pub name: &'static str,
    /// For a table.
    pub title: &'static str,
    /// Unit.
    pub unit: String,
    /// What one of this unit is in bytes, packets, seconds, instructions.
    pub scale: f64,
    /// Whether more is better.
    pub more_is_better: bool,
}

/// What a figure should come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// At least so many times what Linux does.
    AtLeast(f64),
    /// At most so many times what Linux does.
    AtMost(f64),
    /// At most this value, whatever Linux does.
    Value(f64),
}

/// The constant part of a figure.
struct Info {
    name: &'static str,
    title: &'static str,
    /// Unit by the clock.
    clock: &'static str,
    more_is_better: bool,
    /// A unit of work.
    each: &'static str,
    /// Whether that is a large one.
    large: bool,
}

const fn info(
    (name, title): (&'static str, &'static str),
    clock: &'static str,
    more_is_better: bool,
    each: &'static str,
    large: bool,
) -> Info {
    Info {
        name,
        title,
        clock,
        more_is_better,
        each,
        large,
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

    const fn info(self) -> Info {
        match self {
            Figure::TcpOut => info(("tcp-out", "TCP, guest to host"), "MB/s", true, "MB", true),
            Figure::TcpIn => info(("tcp-in", "TCP, host to guest"), "MB/s", true, "MB", true),
            Figure::UdpRoundTrip => info(
                ("udp-rtt", "UDP echo, round trip"),
                "us",
                false,
                "packet",
                false,
            ),
            Figure::UdpRate => info(
                ("udp-rate", "UDP echo, 32 outstanding"),
                "packets/s",
                true,
                "packet",
                false,
            ),
            Figure::Connect => info(
                ("connect", "TCP connect and close"),
                "1/s",
                true,
                "connection",
                false,
            ),
            Figure::HttpKeep => info(
                ("http-keep", "HTTP, kept connections"),
                "requests/s",
                true,
                "request",
                false,
            ),
            Figure::HttpClose => info(
                ("http-close", "HTTP, one connection each"),
                "requests/s",
                true,
                "request",
                false,
            ),
            Figure::Boot => info(("boot", "boot to first answer"), "s", false, "boot", true),
            Figure::Idle => info(("idle", "idle"), "% of a processor", false, "s", false),
            Figure::Memory => info(
                ("memory", "memory of QEMU after boot"),
                "MB",
                false,
                "",
                false,
            ),
        }
    }

    /// Name on the command line and in results.
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// The figure of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn parse(name: &str) -> Outcome<Figure> {
        let all = Figure::ALL;
        all.into_iter()
            .find(|figure| figure.name() == name)
            .ok_or_else(|| {
                Failure(format!(
                    "no figure '{name}': {}",
                    all.map(Figure::name).join(", ")
                ))
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

    /// The figure, measured in this way.
    pub fn metric(self, kind: Kind) -> Option<Metric> {
        let Info {
            name,
            title,
            clock,
            more_is_better,
            each,
            large,
        } = self.info();
        let (unit, scale, more_is_better) = match (kind, self) {
            (Kind::Time, Figure::TcpOut | Figure::TcpIn | Figure::Memory) => {
                (clock.to_owned(), 1e6, more_is_better)
            }
            (Kind::Time, Figure::UdpRoundTrip) => (clock.to_owned(), 1e-6, more_is_better),
            (Kind::Time, Figure::Idle) => (clock.to_owned(), 0.01, more_is_better),
            (Kind::Time, _) => (clock.to_owned(), 1.0, more_is_better),
            // Idle is a time of the processor already, and the others are not about one.
            (Kind::Processor, Figure::Boot | Figure::Idle) | (_, Figure::Memory) => return None,
            (Kind::Processor, _) if large => (format!("ms/{each}"), 1e-3, false),
            (Kind::Processor, _) => (format!("us/{each}"), 1e-6, false),
            (Kind::Instructions, _) if large => (format!("M/{each}"), 1e6, false),
            (Kind::Instructions, _) => (format!("k/{each}"), 1e3, false),
        };
        Some(Metric {
            kind,
            name,
            title,
            unit,
            scale,
            more_is_better,
        })
    }

    /// The same figure by the clock, for the slowest one in a hundred.
    pub fn slowest(self) -> Option<Metric> {
        (self == Figure::UdpRoundTrip).then_some(())?;
        Some(Metric {
            name: "udp-rtt-p99",
            title: "UDP echo, round trip, p99",
            ..self.metric(Kind::Time)?
        })
    }
}

/// What a metric should come to on a network; not every one has a goal.
pub fn goal(net: &str, kind: Kind, metric: &str) -> Option<Goal> {
    // With offloads, without, and on QEMU's user network, which has none.
    let by_net = |values: [f64; 3]| match net {
        "tap" => values[0],
        "tap-plain" => values[1],
        _ => values[2],
    };
    Some(match (kind, metric) {
        (Kind::Time, "tcp-out" | "tcp-in") => Goal::AtLeast(by_net([1.2, 1.5, 1.5])),
        (Kind::Time, "udp-rtt") => Goal::AtMost(0.6),
        (Kind::Time, "udp-rate" | "http-keep" | "http-close") => Goal::AtLeast(2.0),
        (Kind::Time, "boot") => Goal::AtMost(0.2),
        (Kind::Time, "idle") => Goal::AtMost(1.0),
        (Kind::Instructions, "tcp-out") => Goal::Value(by_net([0.43, 2.0, 3.5])),
        (Kind::Instructions, "tcp-in") => Goal::Value(by_net([0.40, 1.5, 1.6])),
        (Kind::Instructions, "udp-rtt") => Goal::Value(8.0),
        (Kind::Instructions, "udp-rate") => Goal::Value(5.0),
        (Kind::Instructions, "connect") => Goal::Value(30.0),
        (Kind::Instructions, "http-keep") => Goal::Value(12.0),
        (Kind::Instructions, "boot") => Goal::Value(60.0),
        (Kind::Instructions, "idle") => Goal::Value(10.0),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_name_of_its_own_and_is_measured_in_some_way() {
        for figure in Figure::ALL {
            assert_eq!(Figure::parse(figure.name()).unwrap(), figure);
            assert!(figure.metric(Kind::Time).is_some());
        }
        assert!(Figure::parse("tcp").is_err());
    }

    #[test]
    fn units_follow_from_what_is_done() {
        let unit = |figure: Figure, kind| figure.metric(kind).map(|metric| metric.unit);
        assert_eq!(unit(Figure::TcpIn, Kind::Instructions).unwrap(), "M/MB");
        assert_eq!(
            unit(Figure::Connect, Kind::Processor).unwrap(),
            "us/connection"
        );
        assert_eq!(unit(Figure::Idle, Kind::Instructions).unwrap(), "k/s");
        assert_eq!(unit(Figure::Memory, Kind::Instructions), None);
    }
}
