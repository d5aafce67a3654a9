//! Reaching for the network without a capability, and beyond the policy of a session.

use crate::image::Finding;
use alloc::{format, string::String};
use core::time::Duration;
use libnet_client::{ErrorKind, Family, Net, TcpListener, TcpStream, UdpSocket};
use rt::{Env, Error, Message, Slot};

/// Slots to guess: more than any process of the image holds.
const GUESSES: u16 = 512;

/// Sessions with little memory.
fn config() -> libnet_client::Config {
    libnet_client::Config {
        arena: 1 << 20,
        ..libnet_client::Config::default()
    }
}

/// A process without the capability `net`: asking for it by name fails, and so does calling whatever may lie in any slot.
pub(crate) fn without_capability(env: &Env) -> Finding {
    if env.endpoint("net").is_ok() {
        return Err(String::from("there is a capability named net"));
    }
    let mut refused = 0;
    for index in 0..GUESSES {
        // `into_raw`: what lies in that slot, if anything, is not this value's to delete.
        let guess = rt::Endpoint::from_raw(Slot::fresh(index));
        let outcome = guess.call(&mut Message::new(), 0);
        guess.into_raw();
        match outcome {
            Err(Error::BadSlot | Error::WrongKind | Error::NoRights) => refused += 1,
            other => return Err(format!("calling slot {index}: {other:?}")),
        }
    }
    Ok(format!("no capability, {refused} guesses refused"))
}

/// A process whose policy allows listening on port 8081 and connecting to 10.77.0.1 port 8000, and nothing else.
pub(crate) fn against_policy(env: &Env) -> Finding {
    let system = rt::net::open(env, "net").map_err(|error| format!("no session: {error}"))?;
    let net = Net::new(system, config());
    let denied = [
        (
            "bind to port 80",
            TcpListener::bind(&net, "0.0.0.0:80").err(),
        ),
        (
            "bind to UDP port 7",
            UdpSocket::bind(&net, "0.0.0.0:7").err(),
        ),
        (
            "bind to any UDP port",
            UdpSocket::bind(&net, "0.0.0.0:0").err(),
        ),
        (
            "connect to another port",
            TcpStream::connect(&net, "10.77.0.1:81").err(),
        ),
        (
            "connect to another host",
            TcpStream::connect(&net, "10.77.0.9:8000").err(),
        ),
        (
            "connect by a mapped address",
            TcpStream::connect(&net, "[::ffff:10.77.0.9]:8000").err(),
        ),
        (
            "ping",
            net.ping(
                "10.77.0.1".parse().map_err(|_| String::from("address"))?,
                1,
                8,
                Duration::from_secs(1),
            )
            .err(),
        ),
        ("resolve", net.resolve("known.lab", Family::Any).err()),
    ];
    for (what, error) in &denied {
        match error.as_ref().map(|error| error.kind()) {
            Some(ErrorKind::PermissionDenied) => {}
            other => return Err(format!("{what}: {other:?}")),
        }
    }
    TcpListener::bind(&net, "0.0.0.0:8081").map_err(|error| format!("port 8081: {error}"))?;
    Ok(format!(
        "{} attempts denied, the permitted one went through",
        denied.len()
    ))
}
