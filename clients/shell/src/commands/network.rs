//! What the network looks like: ip, netstat, nslookup.

use super::{
    Failure,
    options::Options,
    process,
    table::{Align, Table},
};
use crate::{
    platform::{Platform, strerror},
    shell::Shell,
};
use alloc::{format, string::String};
use core::net::{IpAddr, SocketAddr};
use ipc_proto::socket::{AddressSource, Counters, Family, NetError, SocketInfo, SocketState};

pub(super) async fn ip<P: Platform>(
    shell: &Shell<P>,
    arguments: &[&str],
    usage: Failure,
) -> Result<(), Failure> {
    // People type the subcommands of iproute2; all of them show everything.
    if !matches!(
        arguments,
        [] | ["a" | "addr" | "address" | "r" | "route" | "l" | "link"]
    ) {
        return Err(usage);
    }
    if !shell.interactive {
        // Nobody can look again in a moment.
        shell.network().await;
    }
    let interface = shell
        .platform
        .interface()
        .await
        .map_err(|error| failure!("{}", strerror(error)))?;
    let link = if interface.link_up { "up" } else { "down" };
    let [a, b, c, d, e, f] = interface.mac;
    say!(
        shell,
        "eth0: link {link}, mtu {}, ether {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, attached {} times",
        interface.mtu,
        interface.attachments
    );
    for (address, prefix) in &interface.addresses {
        let family = if address.is_ipv4() { "inet" } else { "inet6" };
        let source = match interface.source {
            _ if address.is_ipv6() => String::new(),
            AddressSource::None => String::new(),
            AddressSource::Static => String::from(" static"),
            AddressSource::Dhcp => format!(" dhcp, lease {} s", interface.lease_seconds),
        };
        say!(shell, "    {family} {address}/{prefix}{source}");
    }
    if interface.addresses.is_empty() {
        say!(shell, "    no address");
    }
    for router in &interface.routers {
        say!(shell, "    default via {router}");
    }
    for server in &interface.name_servers {
        say!(shell, "    nameserver {server}");
    }
    Ok(())
}

pub(super) async fn netstat<P: Platform>(
    shell: &Shell<P>,
    arguments: &[&str],
    usage: Failure,
) -> Result<(), Failure> {
    let options = Options::parse(
        arguments,
        &["-q", "-s", "-a", "-n", "-an", "-t", "-u", "-l", "-tulpn"],
        &[],
    )?;
    if !options.operands.is_empty() {
        return Err(usage);
    }
    if options.has("-s") {
        let counters = shell
            .platform
            .counters()
            .await
            .map_err(|error| failure!("{}", strerror(error)))?;
        statistics(shell, &counters);
        return Ok(());
    }
    if options.has("-q") {
        return rings(shell).await;
    }
    let sockets = shell
        .platform
        .sockets()
        .await
        .map_err(|error| failure!("{}", strerror(error)))?;
    let mut table = Table::new(&[
        ("Proto", Align::Left),
        ("Recv-Q", Align::Right),
        ("Send-Q", Align::Right),
        ("Local Address", Align::Left),
        ("Foreign Address", Align::Left),
        ("State", Align::Left),
        ("Session", Align::Right),
    ]);
    for socket in &sockets {
        table.row(socket_row(socket));
    }
    table.print(shell);
    Ok(())
}

/// The rings as the stack sees them: "in" is towards it.
async fn rings<P: Platform>(shell: &Shell<P>) -> Result<(), Failure> {
    let rings = shell
        .platform
        .rings()
        .await
        .map_err(|error| failure!("{}", strerror(error)))?;
    // Without an answer, badges have to do for names.
    let processes = process::processes(shell).unwrap_or_default();
    let right = |heading| (heading, Align::Right);
    let mut table = Table::new(&[
        ("Ring", Align::Left),
        right("Slots"),
        right("In-Q"),
        right("Out-Q"),
        right("Messages in"),
        right("Messages out"),
        right("Rung by"),
        right("Rung"),
        right("Full"),
    ]);
    for ring in &rings {
        table.row([
            format!("{}", ring.peer_name(&processes)),
            format!("{}", ring.slots),
            format!("{}", ring.rx_queued),
            format!("{}", ring.tx_queued),
            format!("{}", ring.rx_messages),
            format!("{}", ring.tx_messages),
            format!("{}", ring.rx_doorbells),
            format!("{}", ring.tx_doorbells),
            format!("{}", ring.tx_full),
        ]);
    }
    table.print(shell);
    Ok(())
}

fn socket_row(socket: &SocketInfo) -> [String; 7] {
    let (protocol, state) = match socket.state {
        SocketState::Udp => ("udp", ""),
        SocketState::Listen => ("tcp", "LISTEN"),
        SocketState::SynSent => ("tcp", "SYN_SENT"),
        SocketState::SynReceived => ("tcp", "SYN_RECV"),
        SocketState::Established => ("tcp", "ESTABLISHED"),
        SocketState::FinWait1 => ("tcp", "FIN_WAIT1"),
        SocketState::FinWait2 => ("tcp", "FIN_WAIT2"),
        SocketState::CloseWait => ("tcp", "CLOSE_WAIT"),
        SocketState::Closing => ("tcp", "CLOSING"),
        SocketState::LastAck => ("tcp", "LAST_ACK"),
        SocketState::TimeWait => ("tcp", "TIME_WAIT"),
        SocketState::Closed => ("tcp", "CLOSE"),
    };
    let session = match socket.session {
        0 => String::from("-"),
        session => format!("{session}"),
    };
    [
        String::from(protocol),
        format!("{}", socket.rx_queued),
        format!("{}", socket.tx_queued),
        format!("{}", Endpoint(Some(socket.local))),
        format!("{}", Endpoint(socket.remote)),
        String::from(state),
        session,
    ]
}

/// An address as netstat prints it: a star for what is open.
struct Endpoint(Option<SocketAddr>);

impl core::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            None => f.write_str("*:*"),
            Some(address) if address.ip().is_unspecified() => write!(f, "*:{}", address.port()),
            Some(address) => write!(f, "{address}"),
        }
    }
}

fn statistics<P: Platform>(shell: &Shell<P>, counters: &Counters) {
    let lines: [(u64, &str); 14] = [
        (counters.rx_frames, "frames received"),
        (counters.rx_bytes, "bytes received"),
        (counters.tx_frames, "frames sent"),
        (counters.tx_bytes, "bytes sent"),
        (counters.rx_malformed, "frames dropped as malformed"),
        (
            counters.rx_dropped,
            "received frames dropped for want of a socket or room",
        ),
        (counters.tx_dropped, "frames not sent for want of a buffer"),
        (counters.syn_dropped, "connection requests dropped"),
        (counters.connections, "connections opened"),
        (counters.sockets.into(), "sockets open"),
        (counters.sessions.into(), "sessions open"),
        (counters.refused, "requests refused by policy or quota"),
        (
            counters.violations.into(),
            "sessions ended for breaking the protocol",
        ),
        (
            counters.driver_violations.into(),
            "drivers detached for breaking the protocol",
        ),
    ];
    for (number, what) in lines {
        say!(shell, "{number:>12} {what}");
    }
}

pub(super) async fn nslookup<P: Platform>(
    shell: &Shell<P>,
    arguments: &[&str],
    usage: Failure,
) -> Result<(), Failure> {
    let [name] = arguments else {
        return Err(usage);
    };
    shell.network().await;
    if let Ok(interface) = shell.platform.interface().await {
        match interface.name_servers.first() {
            Some(server) => {
                let address = SocketAddr::new(*server, 53);
                say!(shell, "Server:   {server}\nAddress:  {address}\n");
            }
            None if name.parse::<IpAddr>().is_err() => {
                say!(shell, ";; no name server is known");
                return Err(Failure::Silent(1));
            }
            None => {}
        }
    }
    match shell.resolve(name, Family::Any).await {
        Ok(addresses) => {
            for address in addresses {
                say!(shell, "Name:     {name}\nAddress:  {address}");
            }
            Ok(())
        }
        Err(NetError::NameNotFound) => {
            say!(shell, "** server can't find {name}: NXDOMAIN");
            Err(Failure::Silent(1))
        }
        Err(NetError::TimedOut) => {
            say!(
                shell,
                ";; connection timed out; no servers could be reached"
            );
            Err(Failure::Silent(1))
        }
        Err(NetError::NameServerFailed) => {
            say!(shell, "** server can't find {name}: SERVFAIL");
            Err(Failure::Silent(1))
        }
        Err(error) => Err(failure!("{}", strerror(error))),
    }
}
