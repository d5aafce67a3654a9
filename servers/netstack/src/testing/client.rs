//! A client that speaks the socket protocol, one request at a time.

use super::Bell;
use crate::{SessionId, Stack};
use ipc_proto::{
    channel::{Channel, SOCKET_CHANNEL, Side},
    fifo::{CONTROL_SIZE, End, Reader, StatusCell, StreamEnds, Writer, ends},
    hello::Hello,
    policy::Policy,
    setup::Refusal,
    shm::Shm,
    socket::{Buffers, Handle, Reply, Request, RequestId},
};
use std::{boxed::Box, vec::Vec};

/// A client.
pub struct Client {
    /// Its session.
    pub session: SessionId,
    /// Its end of the channel, for tests that lie.
    pub channel: Channel<Request, Reply>,
    /// The session memory.
    pub memory: Shm,
    /// Its doorbell.
    pub bell: Bell,
    /// Answers that came and were not asked for yet.
    pub replies: Vec<Reply>,
    next_id: RequestId,
    arena: usize,
}

/// A client's end of a socket.
pub struct Socket {
    /// Its handle, once it is known.
    pub handle: Handle,
    /// What comes.
    pub reader: Reader,
    /// What goes.
    pub writer: Writer,
    /// What the stack says.
    pub status: StatusCell,
}

impl Socket {
    /// A socket around its FIFOs.
    pub fn new(handle: Handle, ends: StreamEnds) -> Socket {
        Socket {
            handle,
            reader: ends.reader,
            writer: ends.writer,
            status: ends.status,
        }
    }
}

/// Bytes of the arena, unless said otherwise.
pub const ARENA: usize = 4 << 20;

impl Client {
    /// Opens a session.
    ///
    /// # Errors
    /// What the stack says.
    pub fn open(stack: &mut Stack, badge: u64, policy: Policy) -> Result<Client, Refusal> {
        stack.set_policy(badge, policy);
        Client::open_badge(stack, badge)
    }

    /// Opens a session of a badge whose policy the stack knows.
    ///
    /// # Errors
    /// What the stack says.
    ///
    /// # Panics
    /// If the memory does not fit the channel.
    pub fn open_badge(stack: &mut Stack, badge: u64) -> Result<Client, Refusal> {
        Client::open_sized(stack, badge, ARENA)
    }

    /// Opens a session of a badge whose policy the stack knows, with an arena of so many bytes.
    ///
    /// # Errors
    /// What the stack says.
    ///
    /// # Panics
    /// If the memory does not fit the channel.
    pub fn open_sized(stack: &mut Stack, badge: u64, bytes: usize) -> Result<Client, Refusal> {
        let arena = Channel::<Request, Reply>::bytes(SOCKET_CHANNEL);
        let memory = Shm::heap(arena + bytes);
        let bell = Bell::default();
        let (session, _) = stack.open(
            badge,
            &Hello::SOCKET,
            memory.clone(),
            Box::new(bell.clone()),
        )?;
        let channel = Channel::new(memory.clone(), Side::Client, SOCKET_CHANNEL)
            .unwrap_or_else(|error| panic!("{error:?}"));
        Ok(Client {
            session,
            channel,
            memory,
            bell,
            replies: Vec::new(),
            next_id: 1,
            arena,
        })
    }

    /// A number for a request.
    pub fn id(&mut self) -> RequestId {
        self.next_id += 1;
        self.next_id
    }

    /// Memory for a socket with FIFOs of 1 << `log2` bytes.
    ///
    /// # Panics
    /// If the arena is used up.
    pub fn buffers(&mut self, log2: u8) -> (Buffers, StreamEnds) {
        let size = 1 << log2;
        let control = self.arena;
        let buffers = Buffers {
            control: control as u32,
            rx: (control + CONTROL_SIZE) as u32,
            rx_log2: log2,
            tx: (control + CONTROL_SIZE + size) as u32,
            tx_log2: log2,
        };
        self.arena += CONTROL_SIZE + 2 * size;
        let ends = ends(&self.memory, &buffers, End::Client, 0)
            .unwrap_or_else(|error| panic!("{error:?}"));
        (buffers, ends)
    }

    /// Whether the arena has room for such memory.
    pub fn has_buffers(&self, log2: u8) -> bool {
        self.arena + CONTROL_SIZE + 2 * (1 << log2) <= self.memory.len()
    }

    /// Uses the arena from its start again.
    pub fn forget_buffers(&mut self) {
        self.arena = Channel::<Request, Reply>::bytes(SOCKET_CHANNEL);
    }

    /// Sends a request.
    ///
    /// # Panics
    /// If the ring is full.
    pub fn send(&mut self, request: &Request) {
        self.channel
            .send(request)
            .unwrap_or_else(|error| panic!("{error:?}"));
        let _ = self.channel.flush();
    }

    /// Asks the stack to look at a socket.
    pub fn touch(&mut self, socket: &Socket) {
        self.channel.raise(socket.handle.index);
        let _ = self.channel.flush();
    }

    /// Takes what came.
    ///
    /// # Panics
    /// If the stack breaks the protocol.
    pub fn receive(&mut self) {
        while let Some(reply) = self
            .channel
            .receive()
            .unwrap_or_else(|error| panic!("{error:?}"))
        {
            self.replies.push(reply);
        }
        self.channel.take_events(&mut |_| {});
        let _ = self.channel.flush();
    }

    /// The answer to a request, if it came.
    pub fn answer(&mut self, id: RequestId) -> Option<Reply> {
        self.receive();
        let index = self.replies.iter().position(|reply| id_of(reply) == id)?;
        Some(self.replies.remove(index))
    }
}

fn id_of(reply: &Reply) -> RequestId {
    match reply {
        Reply::Opened { id, .. }
        | Reply::Accepted { id, .. }
        | Reply::Done { id }
        | Reply::Closed { id }
        | Reply::Resolved { id, .. }
        | Reply::Pong { id, .. }
        | Reply::Interface { id, .. }
        | Reply::Socket { id, .. }
        | Reply::Counters { id, .. }
        | Reply::Ring { id, .. }
        | Reply::Failed { id, .. } => *id,
    }
}
