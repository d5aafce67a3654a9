//! Questions of one answer: echo requests and names. Some are lost; an answer that comes is the right one.

use super::Env;
use libnet_client::{ErrorKind, Family};
use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

/// The address of a name of the simulated zone.
#[must_use]
pub fn address_of(number: u64) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, (number >> 8) as u8, number as u8)
}

/// Pings a host.
pub async fn ping(env: Env, remote: IpAddr) {
    let since = env.book.now();
    let (sequence, len) = env.random(|random| (random.number() as u16, random.below(1400) as u16));
    let pong = env
        .net
        .ping_async(remote, sequence, len, Duration::from_secs(2))
        .await;
    match pong {
        Ok(pong) => {
            env.book.count(|stats| &mut stats.pings);
            env.note("pong", len.into(), pong.hop_limit.into());
            if pong.from.to_canonical() != remote || pong.len != len {
                env.book
                    .fail(format!("ping of {remote} with {len} bytes: {pong:?}"));
            }
        }
        Err(error) => env.judge_question("ping", error, Some(remote), since),
    }
}

/// Looks a name up: `n7.sim` exists, `x7.sim` does not.
pub async fn resolve(env: Env) {
    let since = env.book.now();
    let number = env.random(|random| random.below(60_000));
    let exists = env.random(|random| random.chance(750));
    let name = format!("{}{number}.sim", if exists { 'n' } else { 'x' });
    match env.net.resolve_async(&name, Family::V4).await {
        Ok(found) => {
            env.book.count(|stats| &mut stats.lookups);
            env.note("found", number, found.len() as u64);
            if !exists || found != [IpAddr::V4(address_of(number))] {
                env.book.fail(format!("{name} is said to be {found:?}"));
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !exists => {
            env.book.count(|stats| &mut stats.lookups);
            env.note("no-name", number, 0);
        }
        Err(error) => env.judge_question("lookup", error, None, since),
    }
}

impl Env {
    fn judge_question(
        &self,
        what: &str,
        error: libnet_client::Error,
        remote: Option<IpAddr>,
        since: u64,
    ) {
        self.book.count(|stats| &mut stats.questions_lost);
        self.note("unanswered", 0, error.kind() as u64);
        match error.kind() {
            // The wire loses what it likes, and the one who would answer may be dead.
            ErrorKind::TimedOut | ErrorKind::NameServerFailed => {}
            ErrorKind::QuotaExceeded => self.book.count(|stats| &mut stats.quota_errors),
            _ => self.judge(what, error, remote, since),
        }
    }
}
