//! nc: the console as one end of a connection.

use super::{
    Failure,
    options::{self, Options},
};
use crate::{
    input::{Canonical, LineDiscipline},
    platform::{Datagrams, Listener, Platform, Stream, strerror},
    race::{Either, race, yield_now},
    shell::Shell,
};
use alloc::vec::Vec;
use core::{cell::Cell, net::SocketAddr, time::Duration};
use ipc_proto::socket::{Family, NetError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const USAGE: &str = "nc HOST PORT [-u] | nc -l PORT [-u]";

pub(super) async fn nc<P: Platform>(
    shell: &Shell<P>,
    arguments: &[&str],
    usage: Failure,
) -> Result<(), Failure> {
    let options = Options::parse(arguments, &["-u", "-l"], &["-p"])?;
    let (host, port) = match (
        options.has("-l"),
        options.operands.as_slice(),
        options.value("-p"),
    ) {
        (true, [port], None) => (None, options::port(port)?),
        (true, [], Some(port)) => (None, options::port(port)?),
        (false, [host, port], None) => (Some(*host), options::port(port)?),
        _ => return Err(usage),
    };
    shell.network().await;
    // From here on typed bytes belong to the connection and wait for it.
    shell.input.set_consumed(true);
    match (options.has("-u"), host) {
        (false, Some(host)) => {
            let stream = connect(shell, host, port).await?;
            converse(shell, &stream).await
        }
        (false, None) => {
            let listener = shell
                .platform
                .listen(port)
                .await
                .map_err(|error| failure!("bind: {}", strerror(error)))?;
            say!(shell, "listening on port {port}");
            let stream = listener
                .accept()
                .await
                .map_err(|error| failure!("accept: {}", strerror(error)))?;
            // One connection only, as with the tool of that name: others are refused from here on.
            drop(listener);
            say!(shell, "connection from {}", stream.peer());
            converse(shell, &stream).await
        }
        (true, Some(host)) => {
            let peer = SocketAddr::new(address(shell, host).await?, port);
            let socket = shell
                .platform
                .udp(0)
                .await
                .map_err(|error| failure!("socket: {}", strerror(error)))?;
            datagrams(shell, &socket, Some(peer)).await
        }
        (true, None) => {
            let socket = shell
                .platform
                .udp(port)
                .await
                .map_err(|error| failure!("bind: {}", strerror(error)))?;
            say!(shell, "listening on port {port}");
            datagrams(shell, &socket, None).await
        }
    }
}

async fn address<P: Platform>(shell: &Shell<P>, host: &str) -> Result<core::net::IpAddr, Failure> {
    let addresses = shell
        .resolve(host, Family::Any)
        .await
        .map_err(|error| failure!("{host}: {}", strerror(error)))?;
    addresses.first().copied().ok_or(Failure::Usage(USAGE))
}

async fn connect<P: Platform>(
    shell: &Shell<P>,
    host: &str,
    port: u16,
) -> Result<P::Stream, Failure> {
    let addresses = shell
        .resolve(host, Family::Any)
        .await
        .map_err(|error| failure!("{host}: {}", strerror(error)))?;
    let mut last = NetError::NameNotFound;
    for address in addresses {
        match shell
            .platform
            .connect(SocketAddr::new(address, port), CONNECT_TIMEOUT)
            .await
        {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(failure!(
        "connect to {host} port {port}: {}",
        strerror(last)
    ))
}

/// Typed lines to the peer, the peer's bytes to the console, until the peer has ended its side.
async fn converse<P: Platform>(shell: &Shell<P>, stream: &P::Stream) -> Result<(), Failure> {
    let sending = async {
        let mut discipline = LineDiscipline::default();
        loop {
            match typed(shell, &mut discipline).await {
                Some(data) => write_all(stream, &data).await?,
                None => {
                    stream.finish().await?;
                    return core::future::pending::<Result<(), NetError>>().await;
                }
            }
        }
    };
    let receiving = async {
        let mut buffer = [0; 2048];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                len => show(shell, buffer.get(..len).unwrap_or_default()),
            }
            yield_now().await;
        }
    };
    // A peer that is gone is noticed by the reader; what it said last is shown before a failed write ends this.
    let result = match race(receiving, sending).await {
        Either::First(result) | Either::Second(result) => result,
    };
    result.map_err(|error| failure!("{}", strerror(error)))
}

async fn write_all<S: Stream>(stream: &S, mut data: &[u8]) -> Result<(), NetError> {
    while !data.is_empty() {
        let len = stream.write(data).await?;
        data = data.get(len..).unwrap_or_default();
    }
    Ok(())
}

/// Typed lines as datagrams; without a `peer`, to whoever sent last.
async fn datagrams<P: Platform>(
    shell: &Shell<P>,
    socket: &P::Datagrams,
    peer: Option<SocketAddr>,
) -> Result<(), Failure> {
    let partner = Cell::new(peer);
    let sending = async {
        let mut discipline = LineDiscipline::default();
        while let Some(data) = typed(shell, &mut discipline).await {
            if let Some(to) = partner.get() {
                socket.send(to, &data).await?;
            }
        }
        Ok::<(), NetError>(())
    };
    let receiving = async {
        let mut buffer = [0; 2048];
        loop {
            let (len, from) = socket.receive(&mut buffer).await?;
            if peer.is_none_or(|peer| peer == from) {
                partner.set(Some(from));
                show(shell, buffer.get(..len).unwrap_or_default());
            }
            yield_now().await;
        }
    };
    let result: Result<(), NetError> = match race(receiving, sending).await {
        Either::First(result) | Either::Second(result) => result,
    };
    result.map_err(|error| failure!("{}", strerror(error)))
}

/// The next line that was typed; `None` at Ctrl-D.
async fn typed<P: Platform>(shell: &Shell<P>, discipline: &mut LineDiscipline) -> Option<Vec<u8>> {
    loop {
        let byte = shell.input.byte(&shell.platform).await;
        let mut echo = Vec::new();
        let result = discipline.byte(byte, &mut echo);
        if shell.interactive {
            shell.platform.write(&echo);
        }
        match result {
            Canonical::Editing => {}
            Canonical::Data(data) => return Some(data),
            Canonical::EndOfFile => return None,
        }
    }
}

/// Bytes from the peer on the console: as they are, but for the line ends.
fn show<P: Platform>(shell: &Shell<P>, data: &[u8]) {
    shell.print_bytes(data);
}
