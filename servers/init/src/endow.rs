//! Which capabilities a process gets, under which names, with which rights and badges: a pure function of the manifest.
//! No process gets anything that is not named there.

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use manifest::{Manifest, NamedCap, Process, SYSTEM_ENDPOINT, Session, StartInfo};
use rt::{Rights, Slot};

/// Slot index of the first named capability; below are the process itself and its budget.
pub const FIRST_NAMED_SLOT: u16 = 3;

/// Where a capability comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The console.
    Console,
    /// The clock.
    Clock,
    /// The machine.
    Machine,
    /// The endpoint of this position in [`endpoints`].
    Endpoint(usize),
    /// The device of this position in the process's list.
    Device(usize),
}

/// A capability that a process gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The name that the program asks for.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// What it allows.
    pub rights: Rights,
    /// Its badge, 0 for none.
    pub badge: u64,
    /// Slot index in the process.
    pub index: u16,
}

/// The badge that tells the process at `position` of the manifest from others.
pub const fn badge(position: usize) -> u64 {
    position as u64 + 1
}

/// Position in the manifest of the process that calls with `badge`.
pub fn position(badge: u64) -> Option<usize> {
    usize::try_from(badge.checked_sub(1)?).ok()
}

/// The name of every endpoint: init's own, then those that processes provide.
pub fn endpoints(manifest: &Manifest) -> Vec<String> {
    let provided = manifest
        .processes
        .iter()
        .flat_map(|process| &process.provides);
    let mut names: Vec<String> = [SYSTEM_ENDPOINT.to_owned()].into();
    names.extend(provided.cloned());
    names
}

/// What the process at `position` gets. Endpoints that nobody provides are left out (the image tool refuses them).
pub fn grants(manifest: &Manifest, position: usize) -> Vec<Grant> {
    let Some(process) = manifest.processes.get(position) else {
        return Vec::new();
    };
    let endpoints = endpoints(manifest);
    let endpoint = |name: &String| endpoints.iter().position(|other| other == name);
    let badge = badge(position);
    let caps = process.caps;
    let fixed = [
        (caps.log, "log", Source::Console, Rights::WRITE, badge),
        (
            caps.console,
            "console",
            Source::Console,
            Rights::READ | Rights::WRITE,
            badge,
        ),
        (caps.clock, "clock", Source::Clock, Rights::READ, 0),
        (caps.machine, "machine", Source::Machine, Rights::READ, 0),
    ];
    let mut grants = Vec::new();
    let mut add = |name: &str, source, rights, badge| {
        let index = FIRST_NAMED_SLOT.saturating_add(grants.len() as u16);
        grants.push(Grant {
            name: name.into(),
            source,
            rights,
            badge,
            index,
        });
    };
    for (wanted, name, source, rights, badge) in fixed {
        if wanted {
            add(name, source, rights, badge);
        }
    }
    for name in &process.provides {
        // A server receives, and makes badged capabilities for sessions that it hands on.
        let rights = Rights::RECV | Rights::CALL | Rights::GRANT | Rights::MANAGE;
        if let Some(number) = endpoint(name) {
            add(name, Source::Endpoint(number), rights, 0);
        }
    }
    for used in &process.uses {
        if let Some(number) = endpoint(&used.endpoint) {
            add(
                &used.endpoint,
                Source::Endpoint(number),
                Rights::CALL,
                badge,
            );
        }
    }
    for (number, device) in process.devices.iter().enumerate() {
        let rights = Rights::READ | Rights::MANAGE | Rights::DMA;
        add(&device.name, Source::Device(number), rights, 0);
    }
    grants
}

/// What the process at `position` is told about itself.
pub fn start_info(
    manifest: &Manifest,
    position: usize,
    args: Vec<(String, String)>,
    log_level: u8,
) -> StartInfo {
    let Some(process) = manifest.processes.get(position) else {
        return StartInfo::default();
    };
    StartInfo {
        name: process.name.clone(),
        log_level,
        caps: grants(manifest, position)
            .into_iter()
            .map(|grant| NamedCap {
                name: grant.name,
                slot: Slot::fresh(grant.index).0,
            })
            .collect(),
        args,
        sessions: sessions(manifest, process),
    }
}

/// Who may open sessions at the endpoints that `server` provides.
fn sessions(manifest: &Manifest, server: &Process) -> Vec<Session> {
    let mut sessions = Vec::new();
    for (position, client) in manifest.processes.iter().enumerate() {
        for used in &client.uses {
            if let (true, Some(policy)) = (server.provides.contains(&used.endpoint), &used.policy) {
                sessions.push(Session {
                    badge: badge(position),
                    name: client.name.clone(),
                    policy: policy.clone(),
                });
            }
        }
    }
    sessions
}

/// Whether the process at `position` may act on the system, not just look. `None` if it may do neither.
pub fn may_act(manifest: &Manifest, position: usize) -> Option<bool> {
    let uses = &manifest.processes.get(position)?.uses;
    uses.iter()
        .find(|used| used.endpoint == SYSTEM_ENDPOINT)
        .map(|used| used.act)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::manifest;

    #[test]
    fn a_process_gets_what_is_named_and_nothing_else() {
        let manifest = manifest();
        let names = |position| -> Vec<String> {
            grants(&manifest, position)
                .into_iter()
                .map(|grant| grant.name)
                .collect()
        };
        assert_eq!(names(0), ["log", "clock", "netdev", "nic"]);
        assert_eq!(names(1), ["log", "clock", "net", "netdev"]);
        assert_eq!(names(2), ["log", "console", "net", "system"]);
        assert_eq!(names(3), Vec::<String>::new());
        assert_eq!(names(99), Vec::<String>::new());
    }

    #[test]
    fn servers_receive_and_clients_only_call() {
        let manifest = manifest();
        let server = grants(&manifest, 1);
        let net = server.iter().find(|grant| grant.name == "net").unwrap();
        assert!(net.rights.contains(Rights::RECV) && net.badge == 0);
        let client = grants(&manifest, 2);
        let net = client.iter().find(|grant| grant.name == "net").unwrap();
        assert_eq!((net.rights, net.badge), (Rights::CALL, 3));
        let log = client.iter().find(|grant| grant.name == "log").unwrap();
        assert_eq!((log.rights, log.badge), (Rights::WRITE, 3));
    }

    #[test]
    fn slots_are_distinct_and_match_the_start_record() {
        let manifest = manifest();
        for position in 0..manifest.processes.len() {
            let grants = grants(&manifest, position);
            let info = start_info(&manifest, position, Vec::new(), 3);
            let slots: Vec<u32> = info.caps.iter().map(|cap| cap.slot).collect();
            let expected: Vec<u32> = (3..).take(grants.len()).collect();
            assert_eq!(slots, expected);
        }
    }

    #[test]
    fn a_server_knows_its_clients_and_their_policies() {
        let manifest = manifest();
        let info = start_info(&manifest, 1, Vec::new(), 3);
        let clients: Vec<_> = info.sessions.iter().map(|s| (s.badge, &*s.name)).collect();
        assert_eq!(clients, [(3, "shell")]);
        assert_eq!(start_info(&manifest, 2, Vec::new(), 3).sessions, []);
    }

    #[test]
    fn only_who_was_told_so_may_act() {
        let manifest = manifest();
        assert_eq!(may_act(&manifest, 2), Some(true));
        assert_eq!(may_act(&manifest, 1), None);
        assert_eq!(may_act(&manifest, 99), None);
        assert_eq!(position(0), None);
        assert_eq!(position(badge(7)), Some(7));
    }
}
