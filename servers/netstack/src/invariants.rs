//! What must be true of a stack between two passes, whatever clients, driver and wire did: for tests, simulations and fuzzing on
//! the host. Looks at every table and changes nothing.

use crate::{
    connection::Connection,
    flow::{Flow, MAX_ORPHANS},
    listener::{Listener, MAX_ACCEPTS, MAX_BACKLOG},
    passive::MAX_UNANSWERED,
    session::{Owner, Target},
    slab::Id,
    stack::{SessionId, Stack},
};

/// What a stack holds for clients. The same before and after a client, if it left nothing behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holdings {
    /// Sessions.
    pub sessions: usize,
    /// Connections, UDP sockets and questions.
    pub flows: usize,
    /// Listeners.
    pub listeners: usize,
    /// Handshakes under way.
    pub half_open: usize,
    /// Connections that wait for old segments to die out.
    pub time_waits: usize,
    /// Ports in use, and identifiers of echoes.
    pub ports: usize,
    /// Accounts.
    pub accounts: usize,
    /// Badges.
    pub badges: usize,
    /// Bytes of socket buffers.
    pub memory: usize,
    /// Frame buffers that the driver has yet to send.
    pub transmitting: usize,
}

impl Stack {
    /// What it holds for clients.
    pub fn holdings(&self) -> Holdings {
        Holdings {
            sessions: self.sessions.len(),
            flows: self.flows.len(),
            listeners: self.listeners.len(),
            half_open: self.half_open.len(),
            time_waits: self.time_waits.check().count(),
            ports: self.tcp_ports.len() + self.udp_ports.len() + self.echoes.len(),
            accounts: self.accounts.len(),
            badges: self.policies.len(),
            memory: self.memory_used,
            transmitting: self.frames.transmitting(),
        }
    }

    /// Frames whose data went straight from the driver's buffer to a client.
    pub fn passed_on(&self) -> u64 {
        self.frames.passed_on
    }

    /// Small segments that went past the engine: received, and sent.
    pub fn past(&self) -> [u64; 2] {
        self.frames.past
    }

    /// Frame buffers that the driver has to receive into.
    pub fn receiving(&self) -> usize {
        self.frames.receiving()
    }

    /// Panics unless everything that the stack keeps fits together.
    ///
    /// - Every number in a table is that of a live object that says the same (sockets and owners, ports and their users, backlogs
    ///   and connections, deadlines and flows); none is there twice.
    /// - Every account, of sessions, badges and the whole stack, is the sum of what is held, and none is beyond its quota.
    /// - Every frame buffer has exactly one owner.
    /// - Every table that a peer can make grow is within its bound.
    ///
    /// To be called between any two calls of other methods.
    ///
    /// # Panics
    /// As said: with the name of what is broken.
    pub fn check_invariants(&self) {
        self.flows.check();
        self.listeners.check();
        self.sessions.check();
        self.policies.check();
        self.neighbors.check();
        self.addressing.check();
        self.frames.check();
        self.check_sessions();
        self.check_flows();
        self.check_listeners();
        self.check_tables();
        self.check_accounts();
    }

    fn target(&self, owner: Owner) -> Option<Target> {
        self.sessions.get(owner.session)?.at(owner.index)
    }

    fn tcp(&self, id: Id) -> Option<&Connection> {
        match &self.flows.get(id)?.flow {
            Flow::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    fn check_sessions(&self) {
        assert!(self.sessions.len() <= self.config.max_sessions, "sessions");
        for (id, session) in self.sessions.iter() {
            for (index, target) in session.check() {
                let owner = match target {
                    Target::Flow(flow) => match self.flows.get(flow).map(|entry| &entry.flow) {
                        Some(Flow::Tcp(tcp)) => tcp.owner,
                        Some(Flow::Udp(udp)) => udp.owner,
                        _ => None,
                    },
                    Target::Listener(listener) => {
                        self.listeners.get(listener).map(|listener| listener.owner)
                    }
                };
                let expected = Owner { session: id, index };
                assert_eq!(owner, Some(expected), "owner of a socket");
            }
            let own = |(_, listener): &(Id, &Listener)| listener.owner.session == id;
            let accepts = self.listeners.iter().filter(own);
            let accepts: usize = accepts.map(|(_, listener)| listener.accepts.len()).sum();
            assert_eq!(session.accepts, accepts, "accepts of a session");
            let asks = self.flows.iter().filter(|(_, entry)| {
                matches!(entry.flow, Flow::Ping(_) | Flow::Lookup(_))
                    && entry.flow.session() == Some(id)
            });
            assert_eq!(session.asks, asks.count(), "questions of a session");
            let root = self.policies.root(session.badge).map(|(root, _)| root);
            assert_eq!(root, Some(session.root), "account of a session");
            assert_eq!(session.memory_used, self.charged(|it| it.session == id));
            assert!(session.memory_used <= session.policy.max_buffer_bytes);
        }
    }

    /// Bytes that flows take on certain accounts.
    fn charged(&self, counts: impl Fn(&crate::accounts::Charge) -> bool) -> u32 {
        let charges = self.flows.iter().filter_map(|(_, entry)| entry.charge);
        charges.filter(counts).map(|charge| charge.bytes).sum()
    }

    fn check_flows(&self) {
        for (id, entry) in self.flows.iter() {
            let waits = self.ready.iter().filter(|ready| **ready == id).count();
            assert_eq!(waits, usize::from(entry.queued), "turns of {id:?}");
            assert!(entry.charge.is_some(), "nobody pays for {id:?}");
            let orphaned = self.orphans.iter().filter(|orphan| **orphan == id);
            let orphaned = orphaned.count();
            match &entry.flow {
                Flow::Tcp(tcp) => {
                    let known = self.connections.get(&tcp.key) == Some(&id);
                    assert!(known || tcp.has_ended(), "{:?} gets no segments", tcp.key);
                    self.check_owner(id, tcp.owner);
                    let listener = tcp.backlog_of.map(|listener| self.listeners.get(listener));
                    let waits = |it: Option<&Listener>| {
                        it.is_some_and(|listener| listener.ready.contains(&id))
                    };
                    assert!(listener.is_none_or(waits), "{:?} is in no backlog", tcp.key);
                    let alone = tcp.owner.is_none() && tcp.backlog_of.is_none();
                    assert_eq!(orphaned, usize::from(alone), "{:?}", tcp.key);
                }
                Flow::Udp(udp) => {
                    self.check_owner(id, udp.owner);
                    self.check_port(id, udp.local.port());
                    assert_eq!(orphaned, usize::from(udp.owner.is_none()));
                }
                Flow::Ping(ping) => {
                    assert_eq!(self.echoes.get(&ping.ident), Some(&id), "lost echo");
                    self.check_asker(ping.session, orphaned);
                }
                Flow::Lookup(lookup) => {
                    for port in lookup.ports() {
                        self.check_port(id, port);
                    }
                    self.check_asker(lookup.session, orphaned);
                }
            }
        }
    }

    fn check_owner(&self, id: Id, owner: Option<Owner>) {
        if let Some(owner) = owner {
            assert_eq!(self.target(owner), Some(Target::Flow(id)), "lost socket");
        }
    }

    fn check_port(&self, id: Id, port: u16) {
        let users = self.udp_ports.get(&port);
        assert!(
            users.is_some_and(|users| users.contains(&id)),
            "port {port}"
        );
    }

    fn check_asker(&self, session: SessionId, orphaned: usize) {
        assert!(self.sessions.get(session).is_some(), "nobody asks");
        assert_eq!(orphaned, 0, "a question among orphans");
    }

    fn check_listeners(&self) {
        for (id, listener) in self.listeners.iter() {
            let target = self.target(listener.owner);
            assert_eq!(target, Some(Target::Listener(id)), "lost listener");
            let users = self.tcp_ports.get(&listener.local.port());
            assert!(users.is_some_and(|users| users.contains(&id)), "its port");
            assert!(listener.backlog <= MAX_BACKLOG.into(), "backlog");
            assert!(listener.ready.len() <= listener.backlog, "backlog");
            assert!(listener.accepts.len() <= MAX_ACCEPTS, "accepts");
            assert!(
                listener.ready.is_empty() || listener.accepts.is_empty(),
                "a connection and a client wait for each other"
            );
            for flow in &listener.ready {
                let waits = self.tcp(*flow).and_then(|tcp| tcp.backlog_of);
                assert_eq!(waits, Some(id), "lost connection in a backlog");
            }
        }
        for (key, listener) in self.half_open.check() {
            assert!(self.listeners.get(listener).is_some(), "{key:?}");
            assert!(!self.connections.contains_key(&key), "{key:?} twice");
        }
        for key in self.time_waits.check() {
            let open = self.connections.get(&key).and_then(|id| self.tcp(*id));
            assert!(open.is_none_or(Connection::has_ended), "{key:?} has ended");
        }
    }

    fn check_tables(&self) {
        for (key, id) in self.connections.iter() {
            let known = self.tcp(*id).map(|tcp| tcp.key);
            assert_eq!(known, Some(*key), "connection");
        }
        for (port, users) in &self.tcp_ports {
            check_once(users);
            for id in users {
                let local = self
                    .listeners
                    .get(*id)
                    .map(|listener| listener.local.port());
                assert_eq!(local, Some(*port), "port of a listener");
            }
        }
        for (port, users) in &self.udp_ports {
            check_once(users);
            for id in users {
                let uses = match self.flows.get(*id).map(|entry| &entry.flow) {
                    Some(Flow::Udp(udp)) => udp.local.port() == *port,
                    Some(Flow::Lookup(lookup)) => lookup.ports().any(|used| used == *port),
                    _ => false,
                };
                assert!(uses, "port {port} has another user");
            }
        }
        for (ident, id) in &self.echoes {
            let entry = self.flows.get(*id).map(|entry| &entry.flow);
            let asks = matches!(entry, Some(Flow::Ping(ping)) if ping.ident == *ident);
            assert!(asks, "echo {ident}");
        }
        for id in self.starved.iter().chain(&self.orphans) {
            assert!(self.flows.get(*id).is_some(), "{id:?} is gone");
        }
        for id in self.timers.check() {
            assert!(self.flows.get(id).is_some(), "deadline of {id:?}");
        }
        let age = self.first_age();
        let is_known = age.is_none_or(|age| self.ages_at.is_some_and(|at| at <= age));
        assert!(self.ages_anew || is_known, "something would age too late");
        assert!(self.orphans.len() <= MAX_ORPHANS, "orphans");
        assert!(self.unanswered.len() <= MAX_UNANSWERED, "unanswered SYNs");
        assert!(self.reassembly.is_bounded(), "fragmented datagrams");
        for root in self.complaints.keys() {
            let known = self.policies.root(*root).is_some_and(|(it, _)| it == *root);
            assert!(known || *root == 0, "complaints about {root}");
        }
    }

    fn check_accounts(&self) {
        let bytes = self.charged(|_| true);
        assert_eq!(self.memory_used, bytes as usize, "bytes of the stack");
        let memory = self.memory_used.saturating_add(self.spares.bytes());
        assert!(memory <= self.config.max_memory, "memory");
        self.spares.check(self.config.max_memory);
        for (root, account) in &self.accounts {
            let own = self.sessions.iter().filter(|(_, it)| it.root == *root);
            assert_eq!(account.sessions as usize, own.count(), "sessions of {root}");
            assert_eq!(
                account.memory,
                self.charged(|it| it.root == *root),
                "bytes of {root}"
            );
            assert!(
                account.sessions > 0 || account.memory > 0,
                "{root} has nothing"
            );
        }
        for (_, entry) in self.flows.iter() {
            let root = entry.charge.map(|charge| charge.root);
            assert!(root.is_some_and(|root| self.accounts.contains_key(&root)));
        }
    }
}

fn check_once(users: &[Id]) {
    assert!(!users.is_empty(), "a port without users");
    for (at, user) in users.iter().enumerate() {
        assert!(
            !users.iter().skip(at + 1).any(|other| other == user),
            "{user:?} twice"
        );
    }
}
