//! How each figure is measured on a running machine.

use crate::{
    Outcome,
    figure::{Figure, Kind},
    guest::Net,
    load::{self, Amount, Work},
    machine::Machine,
    stats::percentile,
};
use std::time::{Duration, Instant};

/// Pause from one round trip to the next where instructions are counted: back to back, guest and host meet awake or
/// asleep as it happens, and the counts differ.
const PACE: Duration = Duration::from_millis(3);
/// Datagrams on the way at once.
const WINDOW: u64 = 32;
/// What a guest does at its start is over by then: IPv6 has asked for routers, the drivers have settled.
const SETTLED: Duration = Duration::from_secs(8);
/// Shortest observation of a machine that does nothing.
const IDLE: Duration = Duration::from_secs(4);

/// Room for a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// For each figure in time.
    pub time: Duration,
    /// For each figure in instructions: 1 is the least that gives a steady result.
    pub factor: u64,
}

/// Values by the clock, in the units of [`Figure::metric`] and [`Figure::slowest`], and the processor time of a unit of work.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timed {
    /// By the clock.
    pub clock: Vec<f64>,
    /// Of QEMU.
    pub processor: Option<f64>,
}

/// Measures a figure in time.
///
/// # Errors
/// Of the load.
pub fn time(figure: Figure, machine: &mut Machine, net: Net, effort: Effort) -> Outcome<Timed> {
    let amount = Amount::Time(effort.time);
    if figure == Figure::Idle {
        settle(machine);
    }
    let (before, start) = (machine.processor_time()?, Instant::now());
    let mut values = Vec::new();
    let mut work = None;
    match figure {
        Figure::Boot => values.extend(machine.boot),
        Figure::Memory => values.push(machine.memory()?),
        Figure::Idle => {
            std::thread::sleep(effort.time.max(IDLE));
            values.push((machine.processor_time()? - before) / start.elapsed().as_secs_f64());
        }
        Figure::UdpRoundTrip => {
            let (mut times, _) =
                machine.load(|_, target| load::round_trips(target, amount, Duration::ZERO))?;
            work = Some(times.len() as f64);
            values.extend(
                [0.5, 0.99]
                    .into_iter()
                    .filter_map(|share| percentile(&mut times, share)),
            );
        }
        _ => {
            let done = rate(figure, machine, net, amount, effort.time)?;
            work = Some(done.count as f64);
            values.push(done.rate());
        }
    }
    let spent = machine.processor_time()? - before;
    let scale = |kind| figure.metric(kind).map_or(1.0, |metric| metric.scale);
    // A megabyte is a unit of work, not a byte.
    let unit = if matches!(figure, Figure::TcpOut | Figure::TcpIn) {
        1e6
    } else {
        1.0
    };
    Ok(Timed {
        clock: values
            .into_iter()
            .map(|value| value / scale(Kind::Time))
            .collect(),
        processor: work.map(|work| spent / (work / unit) / scale(Kind::Processor)),
    })
}

/// The figures that are a number in a second.
fn rate(
    figure: Figure,
    machine: &mut Machine,
    net: Net,
    amount: Amount,
    time: Duration,
) -> Outcome<Work> {
    machine.load(|lab, target| match figure {
        Figure::TcpOut => load::receive(target, amount),
        Figure::TcpIn => load::send(target, amount),
        Figure::UdpRate => Ok(load::flood(target, amount, WINDOW)?.0),
        Figure::Connect => load::connects(target, amount, parallel(net)),
        _ => load::wrk(lab, target, time, clients(net), figure == Figure::HttpKeep),
    })
}

/// Does a given amount of something, so that instructions can be counted meanwhile, and returns how much that was, in its unit.
///
/// # Errors
/// Of the load.
pub fn work(figure: Figure, machine: &mut Machine, effort: Effort) -> Outcome<f64> {
    let many = |count: u64| Amount::Count(count * effort.factor);
    let megabytes = |work: Work| work.count as f64 / 1e6;
    match figure {
        Figure::TcpOut => machine
            .load(|_, target| load::receive(target, many(32_000_000)))
            .map(megabytes),
        Figure::TcpIn => machine
            .load(|_, target| load::send(target, many(32_000_000)))
            .map(megabytes),
        Figure::UdpRoundTrip => machine
            .load(|_, target| load::round_trips(target, many(300), PACE))
            .map(|(times, _)| times.len() as f64),
        Figure::UdpRate => machine
            .load(|_, target| load::flood(target, many(10_000), WINDOW))
            .map(|(work, _)| work.count as f64),
        Figure::Connect => machine
            .load(|_, target| load::connects(target, many(500), 1))
            .map(|work| work.count as f64),
        Figure::HttpKeep | Figure::HttpClose => {
            let keep = figure == Figure::HttpKeep;
            let requests = many(if keep { 2000 } else { 500 });
            machine
                .load(|_, target| load::http(target, requests, 1, keep))
                .map(|work| work.count as f64)
        }
        Figure::Boot | Figure::Memory => Ok(1.0),
        Figure::Idle => {
            let start = Instant::now();
            std::thread::sleep(IDLE);
            Ok(start.elapsed().as_secs_f64())
        }
    }
}

/// Waits until a guest has done what it does at its start.
pub fn settle(machine: &Machine) {
    std::thread::sleep(SETTLED.saturating_sub(machine.age()));
}

/// Connections that are opened at once. QEMU's user network lets one wait.
const fn parallel(net: Net) -> u64 {
    match net {
        Net::Tap | Net::TapPlain => 8,
        Net::Slirp => 1,
    }
}

/// Connections of the HTTP load, for the same reason.
const fn clients(net: Net) -> u64 {
    match net {
        Net::Tap | Net::TapPlain => 16,
        Net::Slirp => 1,
    }
}
