//! A client that tries to have more than its policy permits: it gets exactly what it may have, and typed errors for the rest.

use super::{Env, PATIENCE};
use libnet_client::{ErrorKind, TcpStream, UdpSocket};
use std::{net::SocketAddr, time::Duration};

/// The one remote port that the policy of a hog does not permit.
pub const FORBIDDEN: u16 = 6666;

/// Takes sockets till there are no more, several times. `may_have` is what the policy says.
pub async fn take(env: Env, may_have: usize, rounds: u64, forbidden: SocketAddr) {
    for _ in 0..rounds {
        let since = env.book.now();
        let mut held = Vec::new();
        let mut patience = 20;
        let error = loop {
            let bound = UdpSocket::bind_async(&env.net, "0.0.0.0:0");
            match env.net.timeout(PATIENCE, bound).await {
                Ok(Ok(socket)) => held.push(socket),
                Ok(Err(error))
                    if error.kind() == ErrorKind::QuotaExceeded
                        && held.len() < may_have
                        && patience > 0 =>
                {
                    // Sockets of the round before are on their way back.
                    patience -= 1;
                    env.pause(100).await;
                }
                Ok(Err(error)) | Err(error) => break error,
            }
            // Sockets of a lost session come back by themselves, if they can, behind those of the new one.
            if held.len() > may_have && !env.book.is_excused(&[env.me], None, since) {
                env.book.fail(format!(
                    "client {}: {} sockets of {may_have}",
                    env.me,
                    held.len()
                ));
                return;
            }
            if held.len() > 2 * may_have {
                break ErrorKind::QuotaExceeded.into();
            }
        };
        env.note("held", held.len() as u64, error.kind() as u64);
        if error.kind() == ErrorKind::QuotaExceeded && held.len() == may_have {
            env.book.count(|stats| &mut stats.quota_errors);
        } else {
            let what = format!("socket {} of {may_have}", held.len() + 1);
            env.judge(&what, error, None, since);
        }
        drop(held);
        env.pause(50).await;
        let connected = TcpStream::connect_async(&env.net, forbidden);
        match env.net.timeout(Duration::from_secs(100), connected).await {
            Ok(Err(error)) if error.kind() == ErrorKind::PermissionDenied => {
                env.book.count(|stats| &mut stats.denied);
            }
            Ok(Err(error)) | Err(error) => env.judge("connect", error, None, since),
            Ok(Ok(_)) => env
                .book
                .fail(format!("client {}: connected against its policy", env.me)),
        }
    }
}
