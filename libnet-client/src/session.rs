//! One session with the stack: channel, buffers, and the requests that have no answer yet. All of it ends with the session.

use crate::{
    arena::{Area, Arena, Sizes},
    requests::{Pending, Requests},
    sockets::Key,
    system::Opened,
};
use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::{fmt, task::Waker};
use ipc_proto::{
    channel::{Channel, LayoutError, SOCKET_CHANNEL, SendError, Side},
    error::PeerError,
    fifo::{self, CONTROL_SIZE, End, StreamEnds},
    shm::Shm,
    socket::{Handle, MAX_SOCKETS, RING_SLOTS, Reply, Request, RequestId},
};

/// How the stack broke the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Violation {
    /// In shared memory.
    Peer(PeerError),
    /// An answer to no request, or of the wrong kind.
    Answer(RequestId),
    /// A handle whose index is taken or out of range.
    Handle(Handle),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Peer(error) => write!(f, "{error}"),
            Violation::Answer(id) => write!(f, "the stack answered request {id} wrongly"),
            Violation::Handle(handle) => {
                write!(f, "the stack gave out handle {} wrongly", handle.index)
            }
        }
    }
}

/// A session with the stack.
pub(crate) struct Session {
    pub(crate) channel: Channel<Request, Reply>,
    memory: Shm,
    arena: Arena,
    pending: Requests,
    /// Requests that did not fit on the ring. Bounded: each socket and each waiting future has a few at most.
    unsent: VecDeque<Request>,
    by_index: Vec<Option<Key>>,
    /// When it was opened.
    pub(crate) since: u64,
    /// The stack broke the protocol; the session ends with the next turn.
    pub(crate) broken: Option<Violation>,
}

/// Bytes of session memory in front of the arena.
const ARENA_START: usize = Channel::<Request, Reply>::bytes(SOCKET_CHANNEL).next_multiple_of(64);

impl Session {
    /// Bytes of memory for a session with an arena of `arena` bytes.
    pub(crate) fn bytes(arena: usize) -> usize {
        // Offsets into the session memory are 32 bits wide.
        ARENA_START.saturating_add(arena).min(1 << 31)
    }

    pub(crate) fn new(opened: Opened, now: u64) -> Result<Session, LayoutError> {
        let Opened {
            memory,
            max_sockets,
        } = opened;
        let max_sockets = max_sockets.min(MAX_SOCKETS);
        Ok(Session {
            channel: Channel::new(memory.clone(), Side::Client, SOCKET_CHANNEL)?,
            arena: Arena::new(ARENA_START, memory.len()),
            memory,
            pending: Requests::new(),
            unsent: VecDeque::new(),
            by_index: (0..max_sockets).map(|_| None).collect(),
            since: now,
            broken: None,
        })
    }

    /// Room for a socket, with its control block zeroed.
    pub(crate) fn alloc(&mut self, sizes: Sizes) -> Option<Area> {
        let area = self.arena.alloc(sizes)?;
        match self.memory.write(area.control(), &[0; CONTROL_SIZE]) {
            Ok(()) => Some(area),
            Err(_) => {
                self.arena.free(area);
                None
            }
        }
    }

    /// Our ends of a socket's FIFOs. Once only: both count as empty.
    pub(crate) fn ends(&self, area: &Area) -> Option<StreamEnds> {
        fifo::ends(&self.memory, &area.buffers(), End::Client, ARENA_START).ok()
    }

    /// The largest sizes up to `largest` that a socket may have now, see [`Sizes::fitting`].
    pub(crate) fn fitting(&self, largest: Sizes, smallest: Sizes) -> Sizes {
        largest.fitting(smallest, &self.arena)
    }

    /// Gives an area back that the stack does not touch any more.
    pub(crate) fn free(&mut self, area: Area) {
        self.arena.free(area);
    }

    /// Sends a request, now or as soon as the ring has room.
    pub(crate) fn submit(
        &mut self,
        pending: Pending,
        request: impl FnOnce(RequestId) -> Request,
    ) -> RequestId {
        let id = self.pending.insert(pending);
        let request = request(id);
        // Behind those that wait.
        if !self.unsent.is_empty() || !self.send(&request) {
            self.unsent.push_back(request);
        }
        id
    }

    /// Moves requests to the ring, as far as there is room.
    pub(crate) fn send_waiting(&mut self) {
        while let Some(request) = self.unsent.pop_front() {
            if !self.send(&request) {
                self.unsent.push_front(request);
                return;
            }
        }
    }

    /// Puts a request on the ring, if there is room.
    fn send(&mut self, request: &Request) -> bool {
        match self.channel.send(request) {
            Ok(()) => true,
            Err(SendError::Full) => false,
            Err(SendError::Peer(error)) => {
                self.broken = Some(Violation::Peer(error));
                false
            }
        }
    }

    /// Receives the next reply on the ring, if there is one.
    ///
    /// # Errors
    /// [`PeerError`] if the stack breaks the protocol.
    #[inline]
    pub(crate) fn receive(&mut self) -> Result<Option<Reply>, PeerError> {
        // Mostly there is nothing, and the rest is much code.
        if self.broken.is_some() || self.channel.has_message() == Ok(false) {
            return Ok(None);
        }
        self.receive_next()
    }

    #[inline(never)]
    fn receive_next(&mut self) -> Result<Option<Reply>, PeerError> {
        self.channel.receive()
    }

    /// Receives no more than this many replies in one pass.
    pub(crate) const BATCH: u32 = RING_SLOTS;

    /// Takes what an answer is for. An answer that a future waits for is kept, and who waits is moved to `woken`.
    ///
    /// # Errors
    /// [`Violation::Answer`] if nobody has asked.
    pub(crate) fn settle(
        &mut self,
        id: RequestId,
        reply: &Reply,
        woken: &mut Vec<Waker>,
    ) -> Result<Option<Pending>, Violation> {
        if let Some(pending @ Pending::Answer(_)) = self.pending.get_mut(id) {
            let answered = Pending::Answered(Box::new(reply.clone()));
            if let Pending::Answer(mut waiting) = core::mem::replace(pending, answered) {
                waiting.wake(woken);
            }
            return Ok(None);
        }
        match self.pending.remove(id) {
            None => Err(Violation::Answer(id)),
            pending => Ok(pending),
        }
    }

    /// What the answer to a request is for, to be changed.
    pub(crate) fn pending(&mut self, id: RequestId) -> Option<&mut Pending> {
        self.pending.get_mut(id)
    }

    /// The answer to a request, if it is there; else `waker` is woken when it comes.
    pub(crate) fn poll_answer(&mut self, id: RequestId, waker: &Waker) -> Option<Reply> {
        match self.pending.get_mut(id)? {
            Pending::Answer(waiting) => {
                waiting.add(waker);
                None
            }
            Pending::Answered(_) => match self.pending.remove(id) {
                Some(Pending::Answered(reply)) => Some(*reply),
                _ => None,
            },
            _ => None,
        }
    }

    /// The future behind a request is gone.
    pub(crate) fn abandon(&mut self, id: RequestId, cancel: bool) {
        match self.pending.get_mut(id) {
            Some(pending @ Pending::Answer(_)) => {
                *pending = Pending::Ignore;
                if cancel {
                    self.submit(Pending::Ignore, |own| Request::Cancel {
                        id: own,
                        target: id,
                    });
                }
            }
            Some(Pending::Answered(_)) => {
                self.pending.remove(id);
            }
            _ => {}
        }
    }

    /// Ends a socket of the stack, and frees its area when the stack has let go of it.
    pub(crate) fn close(&mut self, handle: Handle, area: Option<Area>, abort: bool) {
        if let Some(place) = self.by_index.get_mut(usize::from(handle.index)) {
            *place = None;
        }
        self.submit(Pending::Close(area), |id| Request::Close {
            id,
            socket: handle,
            abort,
        });
    }

    /// Notes which socket a handle stands for. False: the stack gave out an index that is taken or out of range.
    pub(crate) fn bind(&mut self, handle: Handle, key: Key) -> bool {
        match self.by_index.get_mut(usize::from(handle.index)) {
            Some(place @ None) => {
                *place = Some(key);
                true
            }
            _ => {
                self.broken = Some(Violation::Handle(handle));
                false
            }
        }
    }

    /// Tells the stack to look at a socket.
    pub(crate) fn raise(&mut self, handle: Handle) {
        self.channel.raise(handle.index);
    }

    /// Calls `look` for each socket that the stack says has news.
    #[inline]
    pub(crate) fn take_events(&mut self, look: &mut impl FnMut(Key)) {
        let by_index = &self.by_index;
        self.channel.take_events(&mut |index| {
            // No key: the socket was closed meanwhile, or its `Opened` comes and has everything looked at.
            if let Some(Some(key)) = by_index.get(usize::from(index)) {
                look(*key);
            }
        });
    }

    /// Whether areas or sockets are on their way back.
    pub(crate) fn is_closing(&self) -> bool {
        self.pending
            .values()
            .any(|pending| matches!(pending, Pending::Close(_) | Pending::Orphan(_)))
    }

    /// Everybody who waits for an answer: there will be none.
    pub(crate) fn end(self, woken: &mut Vec<Waker>) {
        for pending in self.pending.into_values() {
            if let Pending::Answer(mut waiting) = pending {
                waiting.wake(woken);
            }
        }
    }
}
