//! UDP: every size, many peers, a dead neighbour.

use super::{Case, lab};
use std::{net::UdpSocket, time::Duration};
use system_tests::{
    Outcome, ensure,
    lab::{GUEST, HOST},
    noise,
};

pub(crate) const CASES: &[Case] = &[
    ("udp::echo_of_every_size", echo_of_every_size),
    ("udp::sixty_four_peers", sixty_four_peers),
];

/// A lost datagram is sent again: UDP may lose, but never change.
fn exchange(socket: &UdpSocket, data: &[u8]) -> Outcome<Vec<u8>> {
    let mut buffer = [0; 2048];
    for _ in 0..5 {
        socket.send(data)?;
        if let Ok(count) = socket.recv(&mut buffer) {
            return Ok(buffer[..count].to_vec());
        }
    }
    Err(system_tests::Failure(format!(
        "no answer to {} bytes",
        data.len()
    )))
}

fn client() -> Outcome<UdpSocket> {
    let socket = UdpSocket::bind((HOST, 0))?;
    socket.connect((GUEST, 7))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(socket)
}

fn echo_of_every_size() -> Outcome {
    let (lab, _machine) = lab()?;
    lab.inside(|| {
        let socket = client()?;
        for len in 0..=1472 {
            let data = noise(len as u64, len);
            let back = exchange(&socket, &data)?;
            ensure!(back == data, "{len} bytes: {} came back", back.len());
        }
        Ok(())
    })
}

fn sixty_four_peers() -> Outcome {
    let (lab, _machine) = lab()?;
    lab.inside(|| {
        let peers = (0..64).map(|_| client()).collect::<Outcome<Vec<_>>>()?;
        for round in 0..5u64 {
            for (number, peer) in peers.iter().enumerate() {
                let data = noise(round * 64 + number as u64, 200);
                ensure!(exchange(peer, &data)? == data, "peer {number}");
            }
        }
        Ok(())
    })
}
