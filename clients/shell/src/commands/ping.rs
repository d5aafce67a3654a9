//! ping: ICMP echo requests, with the output that people know.

use super::{
    Failure,
    options::{self, Options},
};
use crate::{
    platform::{Platform, Pong, strerror},
    race::{Either, race},
    shell::Shell,
};
use core::{net::IpAddr, time::Duration};
use ipc_proto::socket::{Family, NetError};

/// Bytes of data if nothing is said.
const DEFAULT_LEN: u16 = 56;
/// Most bytes of data: those that fit in one packet (see `Request::Ping`).
const MAX_LEN: u16 = 1452;
/// How long to wait for each answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Requests under `exec`, where nobody presses Ctrl-C.
const EXEC_COUNT: u32 = 4;

/// What was counted.
#[derive(Clone, Copy, Default)]
struct Statistics {
    sent: u32,
    received: u32,
    least: u32,
    most: u32,
    sum: u64,
}

impl Statistics {
    fn count(&mut self, pong: &Pong) {
        self.least = if self.received == 0 {
            pong.micros
        } else {
            self.least.min(pong.micros)
        };
        self.most = self.most.max(pong.micros);
        self.sum = self.sum.saturating_add(pong.micros.into());
        self.received = self.received.saturating_add(1);
    }
}

/// Microseconds as milliseconds.
struct Millis(u64);

impl core::fmt::Display for Millis {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

pub(super) async fn ping<P: Platform>(
    shell: &Shell<P>,
    arguments: &[&str],
    usage: Failure,
) -> Result<(), Failure> {
    let options = Options::parse(arguments, &[], &["-c", "-s", "-i"])?;
    let [host] = options.operands.as_slice() else {
        return Err(usage);
    };
    let count = match options.number::<u32>("-c")? {
        Some(0) => return Err(failure!("invalid number '0'")),
        Some(count) => count,
        None if shell.interactive => u32::MAX,
        None => EXEC_COUNT,
    };
    let len = options.number("-s")?.unwrap_or(DEFAULT_LEN);
    if len > MAX_LEN {
        return Err(failure!(
            "packet size {len} is too large. Maximum is {MAX_LEN}"
        ));
    }
    let interval = match options.value("-i") {
        Some(text) => options::seconds(text).ok_or_else(|| failure!("invalid number '{text}'"))?,
        None => Duration::from_secs(1),
    };
    let mut statistics = Statistics::default();
    let all = async {
        shell.network().await;
        let address = first_address(shell, host).await?;
        say!(shell, "PING {host} ({address}): {len} data bytes");
        requests(shell, address, count, len, interval, &mut statistics).await
    };
    let result = if shell.interactive {
        match race(shell.input.interrupt(&shell.platform), all).await {
            Either::First(()) => {
                say!(shell, "^C");
                Ok(())
            }
            Either::Second(result) => result,
        }
    } else {
        all.await
    };
    if statistics.sent > 0 {
        summary(shell, host, &statistics);
    }
    result?;
    if statistics.received == 0 {
        Err(Failure::Silent(1))
    } else {
        Ok(())
    }
}

async fn first_address<P: Platform>(shell: &Shell<P>, host: &str) -> Result<IpAddr, Failure> {
    match shell.resolve(host, Family::Any).await {
        Ok(addresses) => addresses
            .first()
            .copied()
            .ok_or_else(|| failure!("unknown host {host}")),
        Err(NetError::NameNotFound) => Err(failure!("unknown host {host}")),
        Err(error) => Err(failure!("{host}: {}", strerror(error))),
    }
}

async fn requests<P: Platform>(
    shell: &Shell<P>,
    address: IpAddr,
    count: u32,
    len: u16,
    interval: Duration,
    statistics: &mut Statistics,
) -> Result<(), Failure> {
    for number in 0..count {
        let began = shell.platform.now();
        // Sequence numbers wrap, as in every ping.
        let sequence = (number & 0xffff) as u16;
        statistics.sent = statistics.sent.saturating_add(1);
        match shell.platform.ping(address, sequence, len, TIMEOUT).await {
            Ok(pong) => {
                statistics.count(&pong);
                say!(
                    shell,
                    "{} bytes from {}: icmp_seq={sequence} ttl={} time={} ms",
                    // The data and the ICMP header.
                    pong.len.saturating_add(8),
                    pong.from,
                    pong.hop_limit,
                    Millis(pong.micros.into())
                );
            }
            Err(NetError::TimedOut) => say!(shell, "no answer from {address}: icmp_seq={sequence}"),
            Err(NetError::Unreachable) => {
                say!(
                    shell,
                    "From {address}: icmp_seq={sequence} Destination Host Unreachable"
                );
            }
            Err(error) => return Err(failure!("sendto: {}", strerror(error))),
        }
        if number.saturating_add(1) < count {
            let spent = Duration::from_millis(shell.millis_since(began));
            shell.platform.sleep(interval.saturating_sub(spent)).await;
        }
    }
    Ok(())
}

fn summary<P: Platform>(shell: &Shell<P>, host: &str, statistics: &Statistics) {
    let Statistics {
        sent,
        received,
        least,
        most,
        sum,
    } = *statistics;
    let lost = u64::from(sent.saturating_sub(received)).saturating_mul(100);
    let lost = lost.checked_div(sent.into()).unwrap_or(0);
    say!(shell, "\n--- {host} ping statistics ---");
    say!(
        shell,
        "{sent} packets transmitted, {received} packets received, {lost}% packet loss"
    );
    if let Some(average) = sum.checked_div(received.into()) {
        say!(
            shell,
            "round-trip min/avg/max = {}/{}/{} ms",
            Millis(least.into()),
            Millis(average),
            Millis(most.into())
        );
    }
}
