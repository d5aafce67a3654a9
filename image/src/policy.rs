//! Checks a network policy: everything that it names must mean something, and nothing may contradict the rest.

use crate::{
    check::{Mistakes, bytes},
    parse,
};
use ipc_proto::policy::{Allow, MAX_RULES, Policy, PortRange, Prefix};
use std::net::IpAddr;
use toml::Spanned;

/// The policy that is written, as far as it makes sense; mistakes are added to the list.
pub(crate) fn policy(mistakes: &mut Mistakes<'_>, written: &Spanned<parse::Policy>) -> Policy {
    let place = written.span();
    let written = written.get_ref();
    let allow = allow(mistakes, &written.allow);
    let sends = allow.tcp_connect || allow.udp || allow.ping;
    let ports = allow.tcp_connect || allow.udp;
    if sends && written.remote.is_empty() {
        mistakes.add(
            place.clone(),
            "policy: tcp-connect, udp and ping need `remote` addresses",
        );
    }
    if allow.tcp_listen && written.remote.is_empty() {
        mistakes.add(
            place.clone(),
            "policy: tcp-listen needs `remote` addresses: whose connections to accept",
        );
    }
    if ports && written.remote_ports.is_empty() {
        mistakes.add(
            place.clone(),
            "policy: tcp-connect and udp need `remote-ports`",
        );
    }
    if allow.tcp_listen && written.local_ports.is_empty() {
        mistakes.add(place.clone(), "policy: tcp-listen needs `local-ports`");
    }
    contradiction(
        mistakes,
        &written.remote,
        sends || allow.tcp_listen,
        "remote",
        "tcp-connect, tcp-listen, udp or ping",
    );
    contradiction(
        mistakes,
        &written.remote_ports,
        ports,
        "remote-ports",
        "tcp-connect or udp",
    );
    contradiction(
        mistakes,
        &written.local_ports,
        allow.tcp_listen || allow.udp,
        "local-ports",
        "tcp-listen or udp",
    );
    Policy {
        allow,
        remote: rules(mistakes, &written.remote, prefix),
        remote_ports: rules(mistakes, &written.remote_ports, port_range),
        local_ports: rules(mistakes, &written.local_ports, port_range),
        max_sockets: mistakes.number(&written.max_sockets, "max-sockets", 1..=4096) as u16,
        max_buffer_bytes: bytes(mistakes, &written.buffers, "buffers", 4096..=1 << 30) as u32,
        packets_per_second: written.packets_per_second.as_ref().map_or(0, |rate| {
            mistakes.number(rate, "packets-per-second", 1..=u32::MAX.into()) as u32
        }),
    }
}

/// A list that has no effect is a mistake.
fn contradiction(
    mistakes: &mut Mistakes<'_>,
    list: &[Spanned<String>],
    has_effect: bool,
    key: &str,
    needs: &str,
) {
    if let (Some(first), false) = (list.first(), has_effect) {
        mistakes.add(
            first.span(),
            &format!("policy: `{key}` has no effect unless {needs} is allowed"),
        );
    }
}

fn allow(mistakes: &mut Mistakes<'_>, words: &[Spanned<String>]) -> Allow {
    let mut allow = Allow::default();
    for word in words {
        let flag = match word.get_ref().as_str() {
            "tcp-connect" => &mut allow.tcp_connect,
            "tcp-listen" => &mut allow.tcp_listen,
            "udp" => &mut allow.udp,
            "ping" => &mut allow.ping,
            "resolve" => &mut allow.resolve,
            "inspect" => &mut allow.inspect,
            other => {
                mistakes.add(
                    word.span(),
                    &format!("policy: `{other}` is none of tcp-connect, tcp-listen, udp, ping, resolve, inspect"),
                );
                continue;
            }
        };
        if std::mem::replace(flag, true) {
            mistakes.add(
                word.span(),
                &format!("policy: `{}` is allowed twice", word.get_ref()),
            );
        }
    }
    allow
}

/// A list of rules, each read by `read`.
fn rules<T>(
    mistakes: &mut Mistakes<'_>,
    words: &[Spanned<String>],
    read: fn(&str) -> Result<T, String>,
) -> heapless::Vec<T, MAX_RULES> {
    let mut rules = heapless::Vec::new();
    for word in words {
        match read(word.get_ref()) {
            Ok(rule) => {
                if rules.push(rule).is_err() {
                    mistakes.add(
                        word.span(),
                        &format!("policy: more than {MAX_RULES} entries"),
                    );
                    break;
                }
            }
            Err(why) => mistakes.add(word.span(), &format!("policy: {why}")),
        }
    }
    rules
}

/// `ADDRESS/BITS`, without bits set behind the prefix.
fn prefix(text: &str) -> Result<Prefix, String> {
    let wrong = || format!("`{text}` is no prefix like 10.0.0.0/8 or fd00::/8");
    let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let bits: u8 = bits.parse().map_err(|_| wrong())?;
    let (value, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    if bits > width {
        return Err(format!("`{text}` has more than {width} bits"));
    }
    if value.checked_shl(bits.into()).unwrap_or(0) != 0 {
        return Err(format!("`{text}` has bits set behind the first {bits}"));
    }
    Ok(Prefix { address, bits })
}

/// `PORT` or `FIRST-LAST`.
fn port_range(text: &str) -> Result<PortRange, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(PortRange { first, last }),
        _ => Err(format!("`{text}` is no port or range like 80 or 8000-8080")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for good in [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.0.2.15/32",
            "::/0",
            "fd00::/8",
            "::1/128",
        ] {
            assert!(prefix(good).is_ok(), "{good}");
        }
        for bad in [
            "10.0.0.0",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::1/127",
            "::/129",
            "x/8",
            "1.2.3.4/-1",
            "0.0.0.0/300",
        ] {
            assert!(prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn port_ranges() {
        assert_eq!(
            port_range("80"),
            Ok(PortRange {
                first: 80,
                last: 80
            })
        );
        assert_eq!(
            port_range("1-65535"),
            Ok(PortRange {
                first: 1,
                last: 65535
            })
        );
        for bad in ["", "0", "0-3", "9-8", "65536", "a", "1-2-3", "-1"] {
            assert!(port_range(bad).is_err(), "{bad}");
        }
    }
}
