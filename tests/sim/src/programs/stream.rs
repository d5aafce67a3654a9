//! Streams: a client says in a header what it wants, both sides send patterns that name their place, and compare what they get.

use super::{Env, PATIENCE, Server, is_quota};
use crate::book::{fill, stream_key};
use libnet_client::{Error, Shutdown, TcpListener, TcpStream, join};
use std::{
    cell::Cell,
    net::{IpAddr, SocketAddr},
};

/// Bytes in front of a stream: magic number, behaviour, key, bytes up, bytes down.
const HEADER: usize = 24;
const MAGIC: &[u8; 4] = b"SIMS";

/// What the two ends do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Behaviour {
    /// Both send and read everything.
    Complete,
    /// The server sends only what it has read.
    Ordered,
    /// The server reads half and resets the connection.
    ServerAborts,
    /// The server reads half and drops the connection.
    ServerDrops,
    /// The client sends half and resets the connection.
    ClientAborts,
    /// The client sends everything and drops the connection without reading.
    ClientDrops,
}

const BEHAVIOURS: [Behaviour; 6] = [
    Behaviour::Complete,
    Behaviour::Ordered,
    Behaviour::ServerAborts,
    Behaviour::ServerDrops,
    Behaviour::ClientAborts,
    Behaviour::ClientDrops,
];

impl Behaviour {
    fn name(self) -> &'static str {
        match self {
            Behaviour::Complete => "connected, complete",
            Behaviour::Ordered => "connected, in order",
            Behaviour::ServerAborts => "connected, server aborts",
            Behaviour::ServerDrops => "connected, server drops",
            Behaviour::ClientAborts => "connected, client aborts",
            Behaviour::ClientDrops => "connected, client drops",
        }
    }
}

/// A job of a client.
#[derive(Clone, Copy, Debug)]
struct Plan {
    key: u64,
    behaviour: Behaviour,
    up: u64,
    down: u64,
}

impl Plan {
    fn header(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = self.behaviour as u8;
        bytes[8..16].copy_from_slice(&self.key.to_le_bytes());
        bytes[16..20].copy_from_slice(&(self.up as u32).to_le_bytes());
        bytes[20..].copy_from_slice(&(self.down as u32).to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8; HEADER]) -> Option<Plan> {
        let number = |at: usize| {
            let bytes = bytes[at..].first_chunk::<4>().copied().unwrap_or_default();
            u64::from(u32::from_le_bytes(bytes))
        };
        let behaviour = *BEHAVIOURS.get(usize::from(bytes[4]))?;
        (bytes[..4] == *MAGIC && bytes[5..8] == [0; 3]).then_some(Plan {
            key: number(8) | number(12) << 32,
            behaviour,
            up: number(16),
            down: number(20),
        })
    }
}

/// One end of a connection, which writes one direction and reads the other.
struct End {
    env: Env,
    stream: TcpStream,
    key: u64,
    out: usize,
    /// An error was told: it is told once, and reads end behind it.
    told: Cell<bool>,
    /// Milliseconds that it may still spend with nothing.
    leisure: Cell<u64>,
}

impl End {
    fn new(env: &Env, stream: TcpStream, key: u64, out: usize) -> End {
        End {
            env: env.clone(),
            stream,
            key,
            out,
            told: Cell::new(false),
            leisure: Cell::new(20_000),
        }
    }

    fn is_excused(&self) -> bool {
        self.env.book.is_connection_excused(self.key)
    }

    /// Judges an error of this connection.
    fn judge(&self, what: &str, error: Error) {
        self.told.set(true);
        self.env
            .note(what_code(what), self.key, error.kind() as u64);
        if !self.is_excused() {
            self.env.book.fail(format!(
                "connection {}: {what} at client {} failed without a reason: {error}",
                self.key, self.env.me
            ));
        }
    }

    /// Sends so many bytes of the pattern. False if it could not.
    async fn send(&self, from: u64, to: u64) -> bool {
        let (key, mut at) = (stream_key(self.key, self.out), from);
        let most = self.env.random(|random| random.magnitude(1, 20_000));
        let slow = self.env.random(|random| random.chance(150));
        let mut buffer = Vec::new();
        while at < to {
            let len = self.env.random(|random| random.range(1, most)).min(to - at);
            buffer.resize(len as usize, 0);
            fill(key, at, &mut buffer);
            let written = self.stream.write_async(&buffer);
            match self.env.net.timeout(PATIENCE, written).await {
                Ok(Ok(written)) => {
                    at += written as u64;
                    self.env.book.connection(self.key, |connection| {
                        connection.directions[self.out].sent += written as u64;
                    });
                }
                Ok(Err(error)) | Err(error) => {
                    self.judge("write", error);
                    return false;
                }
            }
            if slow {
                self.dawdle().await;
            }
        }
        true
    }

    /// Takes its time, but not for so long that the other side is gone meanwhile: what a closed connection has not sent in a minute is not
    /// sent any more.
    async fn dawdle(&self) {
        let millis = self.env.random(|random| random.magnitude(1, 200));
        if let Some(left) = self.leisure.get().checked_sub(millis) {
            self.leisure.set(left);
            self.env.pause(millis).await;
        }
    }

    /// Notes that it sends no more: whatever follows is not the peer's fault.
    fn ended(&self) {
        self.env.book.connection(self.key, |connection| {
            connection.directions[self.out].ended = true;
        });
    }

    /// Notes that it ends the connection before everything is read.
    fn cut_short(&self) {
        self.env.book.count(|stats| &mut stats.streams_cut_short);
        self.env
            .book
            .connection(self.key, |connection| connection.cut_short = true);
    }

    /// Reads up to so many bytes, and to the end if there is one before; whether it came that far.
    async fn receive(&self, limit: u64) -> bool {
        let direction = 1 - self.out;
        let most = self.env.random(|random| random.magnitude(1, 20_000));
        let slow = self.env.random(|random| random.chance(150));
        let mut buffer = vec![0; most as usize];
        let mut got = 0;
        while got < limit {
            let room = (limit - got).min(most) as usize;
            let read = self.stream.read_async(&mut buffer[..room]);
            match self.env.net.timeout(PATIENCE, read).await {
                Ok(Ok(0)) if self.told.get() => return false,
                Ok(Ok(0)) => {
                    self.env.book.end(self.key, direction);
                    return limit == u64::MAX;
                }
                Ok(Ok(len)) => {
                    self.env.book.received(self.key, direction, &buffer[..len]);
                    got += len as u64;
                }
                Ok(Err(error)) | Err(error) => {
                    self.judge("read", error);
                    return false;
                }
            }
            if slow {
                self.dawdle().await;
            }
        }
        true
    }

    /// Sends what is left, ends the direction and reads to the end.
    async fn complete(self, from: u64, total: u64) {
        let sender = async {
            let sent = self.send(from, total).await;
            if sent {
                self.ended();
                if let Err(error) = self.stream.shutdown(Shutdown::Write) {
                    self.judge("shutdown", error);
                }
            }
            sent
        };
        let (sent, received) = join(sender, self.receive(u64::MAX)).await;
        self.env.book.count(|stats| {
            if sent && received {
                &mut stats.streams_complete
            } else {
                &mut stats.streams_broken
            }
        });
    }

    /// Sends back as much as it reads, byte for byte in number.
    async fn answer_in_order(self, total: u64) {
        let mut at = 0;
        while at < total {
            let chunk = (total - at).min(1000);
            if !(self.receive(chunk).await && self.send(at, at + chunk).await) {
                return;
            }
            at += chunk;
        }
        self.complete(total, total).await;
    }
}

fn what_code(what: &str) -> &'static str {
    match what {
        "write" => "write-error",
        "read" => "read-error",
        _ => "stream-error",
    }
}

/// Connects to a server, once.
pub async fn connect(env: Env, server: Server, most: u64, must_complete: bool) {
    let to = env.address_of(&server, server.tcp);
    let plan = env.random(|random| {
        let behaviour = if must_complete || random.chance(600) {
            Behaviour::Complete
        } else {
            random.pick(&BEHAVIOURS)
        };
        let up = random.magnitude(1, most) - 1;
        let down = match behaviour {
            Behaviour::Ordered => up,
            _ => random.magnitude(1, most) - 1,
        };
        Plan {
            key: env.book.open(env.me, to, server.client),
            behaviour,
            up,
            down,
        }
    });
    let Some(stream) = open(&env, to, &plan).await else {
        return;
    };
    env.book.count(|stats| &mut stats.connections);
    let ports = stream.local_addr().map_or(0, |local| local.port());
    env.note(plan.behaviour.name(), plan.key, ports.into());
    let end = End::new(&env, stream, plan.key, 0);
    let header = plan.header();
    match env
        .net
        .timeout(PATIENCE, end.stream.write_all_async(&header))
        .await
    {
        Ok(Ok(())) => {}
        Ok(Err(error)) | Err(error) => return end.judge("write", error),
    }
    match plan.behaviour {
        Behaviour::Complete
        | Behaviour::Ordered
        | Behaviour::ServerAborts
        | Behaviour::ServerDrops => end.complete(0, plan.up).await,
        Behaviour::ClientAborts => {
            end.send(0, plan.up / 2).await;
            end.cut_short();
            end.stream.abort();
        }
        Behaviour::ClientDrops => {
            if end.send(0, plan.up).await {
                end.ended();
                end.cut_short();
            }
        }
    }
}

/// Opens a connection; waits while the session has no room for it.
async fn open(env: &Env, to: SocketAddr, plan: &Plan) -> Option<TcpStream> {
    for _ in 0..200 {
        match env
            .net
            .timeout(PATIENCE, TcpStream::connect_async(&env.net, to))
            .await
        {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) if is_quota(&error) => {
                env.book.count(|stats| &mut stats.quota_errors);
                env.pause(300).await;
            }
            Ok(Err(error)) | Err(error) => {
                env.note("connect-error", plan.key, error.kind() as u64);
                if !env.book.is_connection_excused(plan.key) {
                    env.book.fail(format!(
                        "client {}: connection {} to {to} not opened: {error}",
                        env.me, plan.key
                    ));
                }
                return None;
            }
        }
    }
    if !env.book.is_connection_excused(plan.key) {
        env.book
            .fail(format!("client {}: never room for a connection", env.me));
    }
    None
}

/// Listens for ever.
pub async fn serve(env: Env, port: u16, any: IpAddr, backlog: u16) {
    loop {
        let since = env.book.now();
        let bound = TcpListener::bind_with_backlog(&env.net, (any, port), backlog).await;
        match bound {
            Ok(listener) => {
                env.note("listens", port.into(), 0);
                listener.set_accepts_ahead(env.random(|random| random.range(1, 3)) as usize);
                let error = accept(&env, &listener).await;
                // The end of the stack is no reason: listeners come back by themselves.
                env.judge_own("accept", error, since);
            }
            // The port is still held by the session of an earlier life.
            Err(error) => env.judge("listen", error, None, since),
        }
        env.pause(500).await;
    }
}

async fn accept(env: &Env, listener: &TcpListener) -> Error {
    loop {
        match listener.accept_async().await {
            Ok((stream, peer)) => {
                env.book.count(|stats| &mut stats.accepted);
                env.spawn(serve_one(env.clone(), stream, peer));
            }
            Err(error) => return error,
        }
    }
}

async fn serve_one(env: Env, stream: TcpStream, peer: SocketAddr) {
    let mut header = [0; HEADER];
    let read = stream.read_exact_async(&mut header);
    let Ok(Ok(())) = env.net.timeout(PATIENCE, read).await else {
        // A client that was killed or resets at once; one that has an explanation to give gives it.
        return;
    };
    let known = Plan::read(&header).and_then(|plan| {
        let first = env.book.connection(plan.key, |connection| {
            let right = connection.server == env.me && connection.to.port() == local_port(&stream);
            right && !core::mem::replace(&mut connection.accepted, true)
        })?;
        first.then_some(plan)
    });
    let Some(plan) = known else {
        if !env.book.anybody_hostile() {
            env.book.fail(format!(
                "client {}: a connection of {peer} that nobody opened: {header:02x?}",
                env.me
            ));
        }
        return;
    };
    env.note("serves", plan.key, 0);
    let end = End::new(&env, stream, plan.key, 1);
    match plan.behaviour {
        Behaviour::Complete | Behaviour::ClientAborts | Behaviour::ClientDrops => {
            end.complete(0, plan.down).await;
        }
        Behaviour::Ordered => end.answer_in_order(plan.down).await,
        Behaviour::ServerAborts => {
            end.receive(plan.up / 2).await;
            end.cut_short();
            end.stream.abort();
        }
        Behaviour::ServerDrops => {
            end.receive(plan.up / 2).await;
            end.ended();
            end.cut_short();
        }
    }
}

fn local_port(stream: &TcpStream) -> u16 {
    stream.local_addr().map_or(0, |address| address.port())
}
