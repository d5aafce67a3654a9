//! The sockets of this program: what is known of each, apart from the FIFOs that it shares with the stack.

use crate::{
    arena::{Area, Sizes},
    error::{Error, ErrorKind},
    wakers::WakerSet,
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Waker;
use ipc_proto::{
    fifo::StreamEnds,
    socket::{Handle, NetError, RequestId},
};

/// Names a socket in this program. Never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key(u64);

/// Where a socket is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// The stack was asked for it.
    Opening(RequestId),
    /// The stack has it under this handle.
    Open(Handle),
    /// A listener or UDP socket that lost its session and comes back, at this time at the earliest.
    Lost { retry_at: u64 },
    /// A connection that is no more.
    Dead,
}

/// What only some sockets have.
pub(crate) enum Kind {
    Stream,
    Listener(Listener),
    Udp,
}

/// What only a listener has.
pub(crate) struct Listener {
    /// Connections that may wait in the stack.
    pub(crate) backlog: u16,
    /// Connections get buffers between these and the socket's sizes, depending on what is left.
    pub(crate) smallest: Sizes,
    /// How many `TcpAccept` may be on their way.
    pub(crate) ahead: usize,
    /// Those that are.
    pub(crate) asked: Vec<RequestId>,
    /// Connections that nobody has accepted yet.
    pub(crate) ready: VecDeque<Key>,
    /// No `TcpAccept` before this: the session's quota was used up.
    pub(crate) hold_until: u64,
}

/// A socket.
pub(crate) struct Socket {
    pub(crate) kind: Kind,
    pub(crate) phase: Phase,
    /// Its first opening succeeded: from now on losing the session is not the end of a listener or UDP socket.
    pub(crate) was_open: bool,
    /// Attempts to come back that failed.
    pub(crate) failures: u32,
    pub(crate) local: SocketAddr,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) sizes: Sizes,
    pub(crate) area: Option<Area>,
    pub(crate) ends: Option<StreamEnds>,
    /// To be told once.
    pub(crate) error: Option<Error>,
    /// The error in the status word that was told.
    pub(crate) told: Option<NetError>,
    pub(crate) readers: WakerSet,
    pub(crate) writers: WakerSet,
    /// Bytes read since the stack was last told.
    pub(crate) unreported: usize,
    pub(crate) read_shut: bool,
    pub(crate) write_shut: bool,
}

/// The address of a socket that has none yet.
pub(crate) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Socket {
    pub(crate) fn new(kind: Kind, phase: Phase, sizes: Sizes) -> Socket {
        Socket {
            kind,
            phase,
            was_open: false,
            failures: 0,
            local: NOWHERE,
            remote: None,
            sizes,
            area: None,
            ends: None,
            error: None,
            told: None,
            readers: WakerSet::default(),
            writers: WakerSet::default(),
            unreported: 0,
            read_shut: false,
            write_shut: false,
        }
    }

    /// Everybody who waits on it looks again.
    pub(crate) fn wake(&mut self, woken: &mut Vec<Waker>) {
        self.readers.wake(woken);
        self.writers.wake(woken);
    }

    /// Its session is over. What was unread is gone with it.
    pub(crate) fn lose(&mut self, now: u64, woken: &mut Vec<Waker>) -> VecDeque<Key> {
        self.area = None;
        self.ends = None;
        self.told = None;
        self.unreported = 0;
        let mut orphans = VecDeque::new();
        let comes_back = match &mut self.kind {
            Kind::Stream => false,
            Kind::Udp => true,
            Kind::Listener(listener) => {
                listener.asked.clear();
                listener.hold_until = 0;
                orphans = core::mem::take(&mut listener.ready);
                true
            }
        };
        if self.phase != Phase::Dead {
            if comes_back {
                self.phase = Phase::Lost { retry_at: now };
            } else {
                self.phase = Phase::Dead;
                self.error = Some(ErrorKind::ConnectionReset.into());
            }
        }
        self.wake(woken);
        orphans
    }

    pub(crate) fn listener(&mut self) -> Option<&mut Listener> {
        match &mut self.kind {
            Kind::Listener(listener) => Some(listener),
            _ => None,
        }
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Sockets {
    all: BTreeMap<Key, Socket>,
    issued: u64,
}

impl Sockets {
    pub(crate) fn insert(&mut self, socket: Socket) -> Key {
        let key = self.reserve();
        self.all.insert(key, socket);
        key
    }

    /// A key to be used with [`Sockets::put`].
    pub(crate) fn reserve(&mut self) -> Key {
        self.issued = self.issued.wrapping_add(1);
        Key(self.issued)
    }

    pub(crate) fn put(&mut self, key: Key, socket: Socket) {
        self.all.insert(key, socket);
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Socket> {
        self.all.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Socket> {
        self.all.get_mut(&key)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Socket> {
        self.all.remove(&key)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Socket> {
        self.all.values_mut()
    }

    /// Those that lost their session: key and earliest time to come back.
    pub(crate) fn lost(&self) -> impl Iterator<Item = (Key, u64)> {
        self.all
            .iter()
            .filter_map(|(key, socket)| match socket.phase {
                Phase::Lost { retry_at } => Some((*key, retry_at)),
                _ => None,
            })
    }
}
