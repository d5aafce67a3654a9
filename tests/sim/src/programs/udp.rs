//! Datagrams: numbered requests, and answers that name what they answer. Any may be lost; none may be changed, misled or invented.

use super::{Env, PATIENCE, Server, is_quota};
use crate::book::DATAGRAM_HEADER;
use libnet_client::{ErrorKind, UdpSocket};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// Longest datagram that fits in a frame over IPv6.
const LONGEST: u64 = 1452;

/// Sends requests to a server and looks for the answers. With `must_answer` it asks until one comes.
pub async fn ask(env: Env, server: Server, requests: u64, must_answer: bool) {
    let (since, to) = (env.book.now(), env.address_of(&server, server.udp));
    let any: IpAddr = if to.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = match env
        .net
        .timeout(PATIENCE, UdpSocket::bind_async(&env.net, (any, 0)))
        .await
    {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) if is_quota(&error) => {
            return env.book.count(|stats| &mut stats.quota_errors);
        }
        Ok(Err(error)) | Err(error) => return env.judge("bind", error, None, since),
    };
    let mut buffer = [0; 2000];
    for request in 0..requests {
        let len = env.datagram_len();
        let (number, bytes) = env.book.datagram(env.me, to, len as usize);
        env.note("asks", number, len);
        match env
            .net
            .timeout(PATIENCE, socket.send_to_async(&bytes, to))
            .await
        {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => env.judge_udp("send", error, to, since),
            Err(late) => env.judge("send", late, Some(to.ip()), since),
        }
        let wait = Duration::from_millis(env.random(|random| random.magnitude(1, 2000)));
        let wait = if must_answer {
            Duration::from_secs(1)
        } else {
            wait
        };
        match env
            .net
            .timeout(wait, socket.recv_from_async(&mut buffer))
            .await
        {
            Ok(Ok((len, peer))) => {
                let local = socket.local_addr().unwrap_or(to);
                if let Some((number, from)) = env.book.got(env.me, local, &buffer[..len]) {
                    env.note("answer", number, len as u64);
                    // Else it is a late answer to an earlier socket with the same port.
                    let is_answer = from == server.client
                        && peer.ip().to_canonical() == to.ip()
                        && peer.port() == to.port();
                    if must_answer && is_answer {
                        return env.book.count(|stats| &mut stats.probes);
                    }
                }
            }
            Ok(Err(error)) => env.judge_udp("receive", error, to, since),
            Err(_) => {}
        }
        if must_answer && request + 1 == requests && !env.is_hopeless(&server, since) {
            env.book
                .fail(format!("client {}: {to} does not answer datagrams", env.me));
        }
    }
}

impl Env {
    fn datagram_len(&self) -> u64 {
        let longest = self.datagram.min(LONGEST);
        self.random(|random| random.magnitude(DATAGRAM_HEADER as u64, longest))
    }

    /// Judges an error of a UDP socket: those of the network can be told at any time.
    fn judge_udp(&self, what: &str, error: libnet_client::Error, to: SocketAddr, since: u64) {
        self.note("udp-error", 0, error.kind() as u64);
        match error.kind() {
            // A server that was killed, or a host that was cut off.
            ErrorKind::ConnectionRefused
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
                if self.book.is_excused(&[self.me], Some(to.ip()), since)
                    || self.is_refused(to, since) => {}
            _ => self.judge_own(what, error, since),
        }
    }

    /// Whether the one who serves an address was harmed.
    fn is_refused(&self, to: SocketAddr, since: u64) -> bool {
        let serves = |server: &&Server| self.addresses[server.host].contains(&to.ip());
        let mut servers = self.servers.iter().filter(serves);
        servers.any(|server| self.book.is_excused(&[server.client], None, since))
    }

    fn is_hopeless(&self, server: &Server, since: u64) -> bool {
        self.book.is_excused(&[self.me, server.client], None, since)
    }
}

/// Answers datagrams for ever.
pub async fn serve(env: Env, port: u16, any: IpAddr) {
    loop {
        let since = env.book.now();
        match UdpSocket::bind_async(&env.net, (any, port)).await {
            Ok(socket) => answer(&env, &socket, since).await,
            Err(error) => env.judge("bind", error, None, since),
        }
        env.pause(500).await;
    }
}

async fn answer(env: &Env, socket: &UdpSocket, since: u64) {
    let mut buffer = [0; 2000];
    loop {
        match socket.recv_from_async(&mut buffer).await {
            Ok((len, peer)) => {
                let local = socket.local_addr().unwrap_or(peer);
                if env.book.got(env.me, local, &buffer[..len]).is_none() {
                    continue;
                }
                let len = env.datagram_len();
                let (number, bytes) = env.book.datagram(env.me, peer, len as usize);
                env.note("answers", number, len);
                if let Err(error) = socket.send_to_async(&bytes, peer).await {
                    env.judge_udp("answer", error, peer, since);
                }
            }
            Err(error) => {
                let lost = error.kind();
                env.judge_udp("receive", error, SocketAddr::from(([0, 0, 0, 0], 0)), since);
                if lost == ErrorKind::NotConnected || lost == ErrorKind::PermissionDenied {
                    return;
                }
            }
        }
    }
}
