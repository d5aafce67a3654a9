//! One lookup of a name for a client: up to two questions, each from a port and with an identifier of its own, to each
//! server in turn.

use crate::{
    Instant,
    dns::{self, Answer, Kind, Name},
    engine::UdpSocket,
    slab::Id,
    turn::{Context, Turn},
    udp::earlier,
};
use alloc::vec::Vec;
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use ipc_proto::socket::{MAX_ADDRESSES, NetError, Reply, RequestId};

const PORT: u16 = 53;
/// Time that a server gets; it doubles each time that all were asked (RFC 1035 section 4.2.1).
const PATIENCE: Duration = Duration::from_secs(1);
const MAX_PATIENCE: Duration = Duration::from_secs(8);
/// With addresses of one family at hand, the other is waited for so long (RFC 8305 section 3).
const OTHER_FAMILY: Duration = Duration::from_millis(200);

enum Outcome {
    Addresses(Vec<IpAddr>),
    NoSuchName,
    ServerFailed,
}

/// One question.
struct Question {
    kind: Kind,
    id: u16,
    port: u16,
    socket: UdpSocket,
    server: usize,
    /// Servers that were asked: others do not answer.
    asked: Vec<IpAddr>,
    tries: u32,
    ask_at: Instant,
    outcome: Option<Outcome>,
    failures: usize,
    /// The next server has been chosen already.
    moved: bool,
}

/// A lookup.
pub(crate) struct Lookup {
    /// Whose it is.
    pub(crate) session: Id,
    /// The request.
    pub(crate) id: RequestId,
    name: Name,
    servers: Vec<IpAddr>,
    questions: Vec<Question>,
    deadline: Instant,
    settle_at: Option<Instant>,
}

impl Lookup {
    /// A lookup that asks these servers (at least one).
    pub(crate) fn new(
        session: Id,
        id: RequestId,
        name: Name,
        servers: Vec<IpAddr>,
        deadline: Instant,
    ) -> Lookup {
        Lookup {
            session,
            id,
            name,
            servers,
            questions: Vec::new(),
            deadline,
            settle_at: None,
        }
    }

    /// Adds a question, from an unused port and with an unpredictable identifier.
    pub(crate) fn ask(&mut self, kind: Kind, port: u16, id: u16, now: Instant) {
        self.questions.push(Question {
            kind,
            id,
            port,
            socket: UdpSocket::new(None, port, (4, 4 * dns::MAX_MESSAGE), (2, 1024)),
            server: 0,
            asked: Vec::new(),
            tries: 0,
            ask_at: now,
            outcome: None,
            failures: 0,
            moved: true,
        });
    }

    /// The ports that it uses.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.questions.iter().map(|question| question.port)
    }

    /// A datagram to one of its ports came.
    pub(crate) fn ingress(&mut self, context: &mut Context<'_>, frame: &[u8], port: u16) {
        let Some(question) = self.questions.iter_mut().find(|one| one.port == port) else {
            return;
        };
        context
            .engine
            .ingress(context.now, frame, &mut question.socket, context.frames);
        while let Some((from, _, bytes)) = question.socket.receive() {
            let is_server = from.port() == PORT && question.asked.contains(&from.ip());
            if !is_server || question.outcome.is_some() {
                continue;
            }
            match dns::answer(bytes, question.id, &self.name, question.kind) {
                None => {}
                Some(Answer::Addresses(list)) => question.outcome = Some(Outcome::Addresses(list)),
                Some(Answer::NoSuchName) => question.outcome = Some(Outcome::NoSuchName),
                Some(Answer::ServerFailed) => {
                    question.failures = question.failures.saturating_add(1);
                    if question.failures >= self.servers.len() {
                        question.outcome = Some(Outcome::ServerFailed);
                    } else {
                        question.next_server(self.servers.len());
                        question.moved = true;
                        question.ask_at = context.now;
                    }
                }
            }
        }
    }

    /// Asks, or answers the client.
    #[inline(never)]
    pub(crate) fn turn(&mut self, context: &mut Context<'_>) -> Turn {
        let mut turn = Turn::default();
        let now = context.now;
        if let Some(reply) = self.result(now) {
            turn.replies.push(reply);
            turn.finished = true;
            return turn;
        }
        turn.deadline = earlier(Some(self.deadline), self.settle_at);
        for question in &mut self.questions {
            if question.outcome.is_some() {
                continue;
            }
            if question.ask_at <= now {
                if !core::mem::take(&mut question.moved) {
                    question.next_server(self.servers.len());
                }
                let Some(server) = self.servers.get(question.server) else {
                    continue;
                };
                if !question.asked.contains(server) {
                    question.asked.push(*server);
                }
                let message = dns::question(question.id, &self.name, question.kind);
                // A question that still waits for the neighbour of its server is not queued twice.
                let _ = question
                    .socket
                    .send(SocketAddr::new(*server, PORT), &message);
                let rounds = question.tries / (self.servers.len().max(1) as u32);
                question.tries = question.tries.saturating_add(1);
                let patience = PATIENCE
                    .saturating_mul(1 << rounds.min(3))
                    .min(MAX_PATIENCE);
                question.ask_at = now.after(patience);
            }
            let mut wake = Some(question.ask_at);
            if context.may_send {
                let sent = context
                    .engine
                    .egress(now, &mut question.socket, context.frames);
                turn.frames = turn.frames.saturating_add(sent.frames);
                let again = context.wake_at(&mut question.socket, &mut turn);
                if again.is_some()
                    && let Some(server) = self.servers.get(question.server)
                {
                    turn.stalled.push(*server);
                }
                wake = earlier(wake, again);
            }
            turn.deadline = earlier(turn.deadline, wake);
        }
        turn
    }

    /// The answer to the client, once there is one.
    fn result(&mut self, now: Instant) -> Option<Reply> {
        let id = self.id;
        let mut addresses = heapless::Vec::<IpAddr, MAX_ADDRESSES>::new();
        let (mut missing, mut failed) = (false, false);
        for question in &self.questions {
            match &question.outcome {
                None => missing = true,
                Some(Outcome::ServerFailed) => failed = true,
                Some(Outcome::NoSuchName) => {}
                Some(Outcome::Addresses(list)) => {
                    // More addresses than a message carries are left out.
                    for address in list {
                        let _ = addresses.push(*address);
                    }
                }
            }
        }
        if missing && !addresses.is_empty() {
            let settle = *self.settle_at.get_or_insert(now.after(OTHER_FAMILY));
            missing = now < settle;
        }
        // A name that does not exist has no addresses of any kind.
        let nowhere = self
            .questions
            .iter()
            .any(|question| matches!(question.outcome, Some(Outcome::NoSuchName)));
        let late = now >= self.deadline;
        if missing && !late && !nowhere {
            return None;
        }
        if !addresses.is_empty() {
            return Some(Reply::Resolved { id, addresses });
        }
        let error = if nowhere {
            NetError::NameNotFound
        } else if missing {
            NetError::TimedOut
        } else if failed {
            NetError::NameServerFailed
        } else {
            NetError::NameNotFound
        };
        Some(Reply::Failed { id, error })
    }
}

impl Question {
    fn next_server(&mut self, servers: usize) {
        self.server = self
            .server
            .saturating_add(1)
            .checked_rem(servers)
            .unwrap_or(0);
    }
}
