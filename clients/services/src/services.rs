//! The services themselves.

use crate::{
    Init,
    server::{RETRY, Served, Service, bind_datagrams, first},
    systat,
};
use alloc::{rc::Rc, vec, vec::Vec};
use core::future::pending;
use libnet_client::{ErrorKind, Net, Result, TcpStream};

/// Bytes moved at once, in the beginning: most connections are short.
const CHUNK: usize = 512;
/// Bytes moved at once on a connection that has as much to say: the more, the less the calls count beside the copy.
const LARGEST_CHUNK: usize = 16 << 10;
/// Longest datagram of UDP over IPv4.
const MAX_DATAGRAM: usize = 65_507;
/// Bytes of a buffer while there is much room: the more, the fewer switches between program and stack.
const LARGE: usize = 64 << 10;
/// The same, of a service that has one large buffer for each connection.
const ONE_LARGE: usize = 512 << 10;
/// Bytes of a buffer when there is little.
const SMALL: usize = 16 << 10;
/// Bytes of a buffer through which nothing goes.
const LEAST: usize = 1 << 10;
/// Bytes of each buffer of the UDP socket: several large datagrams, or hundreds of small ones.
const DATAGRAM_BUFFER: usize = 256 << 10;

/// Sends everything back, and ends its direction when the peer has ended the other.
pub(crate) async fn echo(net: Net) -> Result<()> {
    let service = Service {
        name: "echo",
        port: 7,
        connections: 160,
        largest: (LARGE, LARGE),
        smallest: (SMALL, SMALL),
        ahead: 4,
    };
    service
        .run(net, |served: Rc<Served>| async move {
            let mut buffer = vec![0; CHUNK];
            loop {
                let len = served.read(&mut buffer).await?;
                let Some(bytes @ [_, ..]) = buffer.get(..len) else {
                    // Being dropped, the connection sends what is left, and ends.
                    return Ok(());
                };
                served.write_all(bytes).await?;
                grow(&mut buffer, len);
            }
        })
        .await
}

/// Gives a buffer that was filled more room.
fn grow(buffer: &mut Vec<u8>, filled: usize) {
    if filled == buffer.len() && filled < LARGEST_CHUNK {
        buffer.resize(LARGEST_CHUNK, 0);
    }
}

/// Sends each datagram back.
pub(crate) async fn echo_datagrams(net: Net) -> Result<()> {
    let net = net.with_buffers(DATAGRAM_BUFFER, DATAGRAM_BUFFER);
    let socket = bind_datagrams(&net, "echo", 7).await?;
    let mut datagram = vec![0; MAX_DATAGRAM];
    loop {
        let (len, from) = match socket.recv_from_async(&mut datagram).await {
            Ok(received) => received,
            Err(error) => {
                log::debug!("echo: {error}");
                net.sleep(RETRY).await;
                continue;
            }
        };
        if answers_by_itself(from.port()) {
            log::debug!("echo: {from}: not answered, for it would answer");
            continue;
        }
        let sent = socket
            .reply_async(datagram.get(..len).unwrap_or_default(), &from)
            .await;
        if let Err(error) = sent {
            log::debug!("echo: {from}: {error}");
        }
    }
}

/// Services that answer any datagram: with a forged sender, two of them would talk for ever.
fn answers_by_itself(port: u16) -> bool {
    const ECHO: u16 = 7;
    const DAYTIME: u16 = 13;
    const QUOTE: u16 = 17;
    const CHARGEN: u16 = 19;
    const TIME: u16 = 37;
    matches!(port, ECHO | DAYTIME | QUOTE | CHARGEN | TIME)
}

/// Throws everything away.
pub(crate) async fn discard(net: Net) -> Result<()> {
    let service = Service {
        name: "discard",
        port: 9,
        connections: 24,
        largest: (ONE_LARGE, LEAST),
        smallest: (SMALL, LEAST),
        ahead: 3,
    };
    service
        .run(net, |served: Rc<Served>| async move {
            let mut buffer = vec![0; CHUNK];
            loop {
                match served.read(&mut buffer).await? {
                    0 => return Ok(()),
                    len => grow(&mut buffer, len),
                }
            }
        })
        .await
}

/// Tells the state of the system, and closes.
pub(crate) async fn systat(net: Net, init: Rc<dyn Init>) -> Result<()> {
    let service = Service {
        name: "systat",
        port: 11,
        connections: 16,
        largest: (LEAST, SMALL),
        smallest: (LEAST, SMALL),
        ahead: 2,
    };
    let counted = net.clone();
    service
        .run(net, move |served: Rc<Served>| {
            let (net, init) = (counted.clone(), Rc::clone(&init));
            async move {
                let network = systat::Network {
                    counters: net.counters_async().await,
                    rings: net.rings_async().await.unwrap_or_default(),
                };
                let text = systat::report(&*init, &network);
                served.write_all(text.as_bytes()).await
            }
        })
        .await
}

/// Sends characters until the peer closes.
pub(crate) async fn chargen(net: Net) -> Result<()> {
    let service = Service {
        name: "chargen",
        port: 19,
        connections: 24,
        largest: (LEAST, ONE_LARGE),
        smallest: (LEAST, SMALL),
        ahead: 1,
    };
    let characters: Rc<[u8]> = CHARACTERS.repeat(ROUNDS).into();
    service
        .run(net, move |served: Rc<Served>| {
            let characters = Rc::clone(&characters);
            async move {
                first(
                    send_characters(&served, &characters),
                    throw_away(&served.stream),
                )
                .await
            }
        })
        .await
}

async fn send_characters(served: &Served, characters: &[u8]) -> Result<()> {
    loop {
        served.write_all(characters).await?;
    }
}

/// What the peer says is thrown away; the end of it ends nothing.
async fn throw_away(stream: &TcpStream) -> Result<()> {
    let mut buffer = vec![0; 256];
    loop {
        match stream.read_async(&mut buffer).await {
            Ok(0) => return pending().await,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Printable characters of ASCII.
const PRINTABLE: usize = 95;
/// Characters on a line.
const WIDTH: usize = 72;
/// A line with its end.
const LINE: usize = WIDTH + 2;

/// Rounds of the pattern that are sent at once.
const ROUNDS: usize = 9;

/// One round of the pattern of RFC 864: each line starts one character later than the one before it.
static CHARACTERS: [u8; PRINTABLE * LINE] = characters();

const fn characters() -> [u8; PRINTABLE * LINE] {
    let mut all = [0; PRINTABLE * LINE];
    let mut rest: &mut [u8] = &mut all;
    let mut index = 0;
    while let Some((byte, others)) = rest.split_first_mut() {
        let (line, column) = (index / LINE, index % LINE);
        *byte = match column {
            WIDTH => b'\r',
            column if column > WIDTH => b'\n',
            column => b' ' + ((line + column) % PRINTABLE) as u8,
        };
        rest = others;
        index += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_those_of_the_rfc() {
        let text = core::str::from_utf8(&CHARACTERS).unwrap();
        let lines: alloc::vec::Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 95);
        assert_eq!(
            lines[0],
            r##" !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefg"##
        );
        assert_eq!(
            lines[1],
            r##"!"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefgh"##
        );
        assert!(lines[94].starts_with("~ !\""));
    }
}
