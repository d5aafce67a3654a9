//! Tests of the stack as a whole: through the protocols that clients and drivers speak, under virtual time.

mod acks;
mod clock;
mod cycles;
mod dhcp_hostile;
mod direct;
mod dns_hostile;
mod drivers;
mod familiar;
mod flight;
pub(crate) mod forge;
mod forged;
mod fragments;
mod hostile;
mod last_ack;
mod neighbors;
mod past;
mod rfc5961;
mod rings;
mod routers;
mod services;
mod spares;
mod tcp;
mod tcp_hostile;
mod udp;
mod unscaled;
pub(crate) mod wire;

use crate::{
    Addressing, Config,
    testing::{Client, Network, Socket},
};
use core::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use ipc_proto::socket::{Handle, NetError, Reply, Request};
use std::vec::Vec;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn config(last: u8) -> Config {
    Config {
        ipv4: Addressing::Static {
            address: Ipv4Addr::new(10, 0, 0, last),
            bits: 24,
            router: None,
        },
        ..Config::default()
    }
}

pub(crate) fn address(last: u8, port: u16) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, last), port).into()
}

/// Two hosts, 10.0.0.1 and 10.0.0.2.
pub(crate) fn pair(seed: u64) -> Network {
    let mut net = Network::new(seed);
    net.add(config(1));
    net.add(config(2));
    net.run(SECOND);
    net
}

pub(crate) fn wait(net: &mut Network, client: &mut Client, id: u32) -> Reply {
    let mut answer = None;
    net.run_until(SECOND * 400, |_| {
        answer = client.answer(id);
        answer.is_some()
    });
    answer.expect("no answer")
}

pub(crate) fn opened(reply: Reply) -> Result<(Handle, SocketAddr), NetError> {
    match reply {
        Reply::Opened { socket, local, .. } => Ok((socket, local)),
        Reply::Failed { error, .. } => Err(error),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn listen(
    net: &mut Network,
    client: &mut Client,
    local: SocketAddr,
    backlog: u16,
) -> Result<(Handle, SocketAddr), NetError> {
    let id = client.id();
    client.send(&Request::TcpListen { id, local, backlog });
    opened(wait(net, client, id))
}

/// Starts to open a connection.
pub(crate) fn start(
    net: &mut Network,
    client: &mut Client,
    remote: SocketAddr,
) -> Result<Socket, NetError> {
    let id = client.id();
    let (buffers, ends) = client.buffers(16);
    client.send(&Request::TcpConnect {
        id,
        remote,
        local_port: 0,
        buffers,
    });
    let (handle, _) = opened(wait(net, client, id))?;
    Ok(Socket::new(handle, ends))
}

/// Opens a connection.
pub(crate) fn connect(
    net: &mut Network,
    client: &mut Client,
    remote: SocketAddr,
) -> Result<Socket, NetError> {
    let socket = start(net, client, remote)?;
    net.run_until(SECOND * 300, |_| {
        let status = socket.status.load();
        status.established || status.error.is_some()
    });
    match socket.status.load().error {
        Some(error) => Err(error),
        None => Ok(socket),
    }
}

pub(crate) fn accept(
    net: &mut Network,
    client: &mut Client,
    listener: Handle,
) -> Result<(Socket, SocketAddr), NetError> {
    let id = client.id();
    let (buffers, ends) = client.buffers(16);
    client.send(&Request::TcpAccept {
        id,
        listener,
        buffers,
    });
    match wait(net, client, id) {
        Reply::Accepted { socket, remote, .. } => Ok((Socket::new(socket, ends), remote)),
        Reply::Failed { error, .. } => Err(error),
        other => panic!("{other:?}"),
    }
}

/// A connection between the first two hosts: the side that opened it, and the side that accepted it.
pub(crate) fn connected(net: &mut Network, a: &mut Client, b: &mut Client) -> (Socket, Socket) {
    let (listener, local) = listen(net, b, address(2, 0), 8).unwrap();
    let near = connect(net, a, local).unwrap();
    let (far, _) = accept(net, b, listener).unwrap();
    (near, far)
}

pub(crate) fn close(net: &mut Network, client: &mut Client, socket: Handle, abort: bool) -> Reply {
    let id = client.id();
    client.send(&Request::Close { id, socket, abort });
    wait(net, client, id)
}

/// Bytes that are all different from their neighbours and from those some power of two away.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// Sends all bytes one way; what arrives.
pub(crate) fn transfer(
    net: &mut Network,
    (from, sender): (&mut Client, &mut Socket),
    (to, receiver): (&mut Client, &mut Socket),
    bytes: &[u8],
    limit: Duration,
) -> Vec<u8> {
    let (mut sent, mut got) = (0, Vec::new());
    let mut chunk = [0; 8192];
    net.run_until(limit, |_| {
        from.receive();
        to.receive();
        let wrote = sender.writer.write(&bytes[sent..]).unwrap();
        sent += wrote;
        if wrote > 0 {
            from.touch(sender);
        }
        loop {
            let len = receiver.reader.read(&mut chunk).unwrap();
            if len == 0 {
                break;
            }
            got.extend_from_slice(&chunk[..len]);
            to.touch(receiver);
        }
        got.len() >= bytes.len()
    });
    got
}

/// Asks, and waits for the answer.
pub(crate) fn ask(
    net: &mut Network,
    client: &mut Client,
    request: impl Fn(u32) -> Request,
) -> Reply {
    let id = client.id();
    client.send(&request(id));
    wait(net, client, id)
}
