//! The sockets of this program: what is known of each, apart from the FIFOs that it shares with the stack.

use crate::{
    arena::{Area, Sizes},
    error::{Error, ErrorKind},
    wakers::WakerSet,
};
use alloc::{collections::VecDeque, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Waker;
use ipc_proto::{
    fifo::StreamEnds,
    socket::{Handle, NetError, RequestId},
};

/// Names a socket in this program. Another one in the same place has another name, till four billion have been there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    place: u32,
    generation: u32,
}

#[cfg(test)]
impl Key {
    /// One to be told from others.
    pub(crate) fn numbered(place: u32) -> Key {
        Key {
            place,
            generation: 0,
        }
    }
}

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
    pub(crate) read_shut: bool,
    pub(crate) write_shut: bool,
    /// The stack may have said something of its receiving side that was not looked at: it raises an event behind each such thing.
    pub(crate) has_news: bool,
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
            read_shut: false,
            write_shut: false,
            has_news: true,
        }
    }

    /// Whether a look at its receiving side would find nothing.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        let is_taken = matches!(&self.ends, Some(ends) if ends.reader.seen() == 0);
        is_taken && !self.has_news && self.error.is_none()
    }

    /// Everybody who waits on it looks again.
    pub(crate) fn wake(&mut self, woken: &mut Vec<Waker>) {
        self.has_news = true;
        self.readers.wake(woken);
        self.writers.wake(woken);
    }

    /// Its session is over. What was unread is gone with it.
    pub(crate) fn lose(&mut self, now: u64, woken: &mut Vec<Waker>) -> VecDeque<Key> {
        self.area = None;
        self.ends = None;
        self.told = None;
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
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Place {
    /// Of the socket that is there, or will be there next.
    generation: u32,
    socket: Option<Socket>,
}

impl Sockets {
    pub(crate) fn insert(&mut self, socket: Socket) -> Key {
        let free = self.free.pop();
        // Fewer than there are bytes of memory.
        let index = free.unwrap_or(self.places.len() as u32);
        if free.is_none() {
            self.places.push(Place::default());
        }
        let mut generation = 0;
        if let Some(place) = self.places.get_mut(index as usize) {
            place.socket = Some(socket);
            generation = place.generation;
        }
        Key {
            place: index,
            generation,
        }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Socket> {
        let place = self.places.get(key.place as usize)?;
        if place.generation != key.generation {
            return None;
        }
        place.socket.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Socket> {
        let place = self.places.get_mut(key.place as usize)?;
        if place.generation != key.generation {
            return None;
        }
        place.socket.as_mut()
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Socket> {
        let place = self.places.get_mut(key.place as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let socket = place.socket.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.place);
        Some(socket)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Socket> {
        self.places
            .iter_mut()
            .filter_map(|place| place.socket.as_mut())
    }

    /// Those that lost their session: key and earliest time to come back.
    pub(crate) fn lost(&self) -> impl Iterator<Item = (Key, u64)> {
        (0..)
            .zip(&self.places)
            .filter_map(|(index, place)| match place.socket.as_ref()?.phase {
                Phase::Lost { retry_at } => Some((
                    Key {
                        place: index,
                        generation: place.generation,
                    },
                    retry_at,
                )),
                _ => None,
            })
    }
}
