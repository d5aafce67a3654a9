//! The fake stack's answers to questions.

use super::stack::{HOST, Stack};
use alloc::vec::Vec;
use core::net::IpAddr;
use ipc_proto::socket::{
    AddressSource, Counters, Family, InterfaceInfo, NetError, Reply, Request, RequestId,
};

impl Stack {
    pub(super) fn answer_question(
        &mut self,
        request: Request,
    ) -> Result<(), (RequestId, NetError)> {
        match request {
            Request::Resolve {
                id, name, family, ..
            } => {
                if name.as_str() == "silent" {
                    self.open_questions.push(id);
                    return Ok(());
                }
                let known = self
                    .settings
                    .names
                    .iter()
                    .find(|(known, _)| known == name.as_str());
                let addresses = known
                    .map(|(_, addresses)| addresses.clone())
                    .unwrap_or_default();
                let wanted = |address: &IpAddr| match family {
                    Family::V4 => address.is_ipv4(),
                    Family::V6 => address.is_ipv6(),
                    Family::Any => true,
                };
                let found: Vec<IpAddr> = addresses.into_iter().filter(wanted).take(8).collect();
                if found.is_empty() {
                    return Err((id, NetError::NameNotFound));
                }
                self.reply(Reply::Resolved {
                    id,
                    addresses: found.into_iter().collect(),
                });
            }
            Request::Ping {
                id, remote, len, ..
            } => {
                if self.settings.unreachable.is_some() {
                    self.open_questions.push(id);
                    return Ok(());
                }
                self.reply(Reply::Pong {
                    id,
                    from: remote,
                    micros: 250,
                    hop_limit: 64,
                    len,
                });
            }
            Request::Interface { id } => {
                let interface = InterfaceInfo {
                    mac: [2, 0, 0, 0, 0, 1],
                    link_up: true,
                    mtu: 1500,
                    addresses: core::iter::once((HOST, 24)).collect(),
                    routers: core::iter::empty::<IpAddr>().collect(),
                    name_servers: core::iter::empty::<IpAddr>().collect(),
                    source: AddressSource::Static,
                    lease_seconds: 0,
                    attachments: 1,
                };
                self.reply(Reply::Interface { id, interface });
            }
            Request::Inspect { id, position } => self.reply(Reply::Socket {
                id,
                next: position,
                socket: None,
            }),
            Request::Counters { id } => {
                let counters = Counters {
                    sockets: self.sockets() as u32,
                    ..Counters::default()
                };
                self.reply(Reply::Counters { id, counters });
            }
            // The fake has one session and no driver.
            Request::Ring { id, position } => {
                let ring = (position == 0).then(|| self.ring_info());
                let next = position.saturating_add(u32::from(ring.is_some()));
                self.reply(Reply::Ring { id, next, ring });
            }
            _ => {}
        }
        Ok(())
    }
}
