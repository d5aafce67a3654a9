//! Where a call shall go: addresses, or a name with a port that has to be looked up.

use crate::{
    error::{ErrorKind, Result},
    net::Net,
};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use ipc_proto::socket::Family;

/// What was named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// One address.
    Address(SocketAddr),
    /// Addresses, to be tried in turn.
    Addresses(Vec<SocketAddr>),
    /// A host name and a port.
    Name(String, u16),
}

/// Anything that names where a call shall go: addresses, `(host, port)`, or `"host:port"`; as in `std::net`, but looked up
/// by the call that is given it.
pub trait ToSocketAddrs {
    /// What is named.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for text that names nothing.
    fn to_target(&self) -> Result<Target>;
}

impl Net {
    /// The addresses of a target, at least one.
    pub(crate) async fn addresses(&self, target: Target) -> Result<Vec<SocketAddr>> {
        let addresses = match target {
            Target::Address(address) => alloc::vec![address],
            Target::Addresses(addresses) => addresses,
            Target::Name(name, port) => {
                let found = self.resolve_async(&name, Family::Any).await?;
                found
                    .into_iter()
                    .map(|address| SocketAddr::new(address, port))
                    .collect()
            }
        };
        if addresses.is_empty() {
            Err(ErrorKind::InvalidInput.into())
        } else {
            Ok(addresses)
        }
    }
}

macro_rules! addresses {
    ($($type:ty),*) => {$(
        impl ToSocketAddrs for $type {
            fn to_target(&self) -> Result<Target> {
                Ok(Target::Address(SocketAddr::from(*self)))
            }
        }
    )*};
}
addresses!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl ToSocketAddrs for [SocketAddr] {
    fn to_target(&self) -> Result<Target> {
        Ok(Target::Addresses(self.to_vec()))
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn to_target(&self) -> Result<Target> {
        let (host, port) = *self;
        Ok(match host.parse::<IpAddr>() {
            Ok(address) => Target::Address(SocketAddr::new(address, port)),
            Err(_) => Target::Name(host.to_string(), port),
        })
    }
}

impl ToSocketAddrs for str {
    fn to_target(&self) -> Result<Target> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return address.to_target();
        }
        let (host, port) = self.rsplit_once(':').ok_or(ErrorKind::InvalidInput)?;
        let port = port.parse::<u16>().map_err(|_| ErrorKind::InvalidInput)?;
        (host, port).to_target()
    }
}

impl ToSocketAddrs for String {
    fn to_target(&self) -> Result<Target> {
        self.as_str().to_target()
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_target(&self) -> Result<Target> {
        (**self).to_target()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_addresses_and_hosts() {
        let v6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 80);
        assert_eq!("[::1]:80".to_target().unwrap(), Target::Address(v6));
        assert_eq!(
            "example.org:443".to_target().unwrap(),
            Target::Name("example.org".to_string(), 443)
        );
        assert_eq!(
            ("10.0.2.2", 7).to_target().unwrap(),
            ((Ipv4Addr::new(10, 0, 2, 2)), 7).to_target().unwrap()
        );
        for nonsense in ["", "host", "host:", "host:70000", "host:-1"] {
            assert_eq!(
                nonsense.to_target().unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{nonsense}"
            );
        }
    }
}
