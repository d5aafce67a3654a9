//! The other side of a cable in this process: QEMU sends and takes frames as datagrams of two Unix sockets.
//!
//! A thread plays the well-behaved [`peer`], and an [`attack`]er on the same wire. It keeps a [`shadow`] of the peer's connections, in
//! order to send what no TCP may believe, and not what every TCP must.

pub mod attack;
pub mod flows;
pub mod frames;
pub mod peer;
pub mod shadow;

use crate::{Outcome, machine::Boot};
use attack::Attacker;
use flows::Kind;
use frames::Mac;
use peer::{Moved, Peer};
use std::{
    collections::{BTreeMap, VecDeque},
    io::ErrorKind,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// QEMU's first hardware address.
pub const GUEST_MAC: Mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// The peer's hardware address.
pub const PEER_MAC: Mac = [0x02, 0x77, 0, 0, 0, 1];
/// The port where the hostile program takes orders.
pub const ORDERS: u16 = 20_000;

/// Frames that the attacker sends in a second, on average.
pub const RATE: u64 = 1500;
/// Longest frame that is read: QEMU sends none that is longer.
const LONGEST: usize = 65_536;
/// Frames taken from the guest in a row.
const BATCH: usize = 64;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// What the thread is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Wanted {
    /// The peer moves data.
    pub moving: bool,
    /// The attacker attacks.
    pub attacking: bool,
    /// The hostile program is told to attack for so many seconds; once.
    pub order: Option<u32>,
    /// The thread ends.
    pub over: bool,
}

/// What has happened on the wire.
#[derive(Clone, Default, Debug)]
pub struct Events {
    /// What the peer has moved.
    pub moved: Moved,
    /// Whether the peer has no transfer under way.
    pub is_still: bool,
    /// Frames of each kind of attack.
    pub attacks: BTreeMap<&'static str, u64>,
    /// Connections of the attacker that the guest has answered.
    pub answered: u64,
    /// Frames from the guest.
    pub from_guest: u64,
}

#[derive(Default)]
struct Shared {
    wanted: Mutex<Wanted>,
    events: Mutex<Events>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The wire, until it is dropped.
pub struct Wire {
    folder: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// Starts the thread; what it does at random, it does by this seed.
    ///
    /// # Errors
    /// If the sockets can't be made.
    pub fn new(seed: u64) -> Outcome<Wire> {
        let name = format!(
            "causeway-wire-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder)?;
        let socket = UnixDatagram::bind(folder.join("peer"))?;
        // It is also how the thread sleeps.
        socket.set_read_timeout(Some(Duration::from_millis(1)))?;
        let sender = UnixDatagram::unbound()?;
        sender.set_nonblocking(true)?;
        let shared = Arc::new(Shared::default());
        let mut cable = Cable {
            socket,
            sender,
            guest: folder.join("guest"),
            peer: Peer::new(seed),
            attacker: Attacker::new(seed),
            waiting: VecDeque::new(),
            from_guest: 0,
        };
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || cable.run(&theirs));
        Ok(Wire {
            folder,
            shared,
            thread: Some(thread),
        })
    }

    /// A machine on this wire.
    pub fn boot(&self) -> Boot {
        Boot::netdev(&format!(
            "dgram,id=n0,local.type=unix,local.path={0}/guest,remote.type=unix,remote.path={0}/peer",
            self.folder.display()
        ))
    }

    /// Says what is to be done from now on.
    pub fn set(&self, wanted: Wanted) {
        *lock(&self.shared.wanted) = wanted;
    }

    /// What has happened so far.
    pub fn events(&self) -> Events {
        lock(&self.shared.events).clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.set(Wanted {
            over: true,
            ..Wanted::default()
        });
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Cable {
    socket: UnixDatagram,
    sender: UnixDatagram,
    guest: PathBuf,
    peer: Peer,
    attacker: Attacker,
    /// Frames that QEMU was too busy to take.
    waiting: VecDeque<Vec<u8>>,
    from_guest: u64,
}

impl Cable {
    fn run(&mut self, shared: &Shared) {
        let start = Instant::now();
        let mut frame = vec![0; LONGEST];
        let mut paid = 0;
        loop {
            let wanted = {
                let mut wanted = lock(&shared.wanted);
                let now = *wanted;
                wanted.order = None;
                now
            };
            if wanted.over {
                return;
            }
            let millis = start.elapsed().as_millis() as u64;
            for _ in 0..BATCH {
                match self.socket.recv(&mut frame) {
                    Ok(len) => self.take(&frame[..len]),
                    Err(_) => break,
                }
            }
            self.peer.is_busy = wanted.moving;
            if let Some(seconds) = wanted.order {
                self.peer.begin(Kind::Order(seconds));
            }
            self.peer.turn(millis as i64);
            while let Some(sent) = self.peer.queues.outward.pop_front() {
                if let Some(segment) = shadow::read(&sent) {
                    self.attacker.shadow.from_peer(&segment);
                }
                self.waiting.push_back(sent);
            }
            self.attacker.is_attacking = wanted.attacking;
            let due = (millis * RATE / 1000).saturating_sub(paid);
            paid += due;
            // What could not be sent in time is not made up for.
            let room = 512usize.saturating_sub(self.waiting.len());
            self.attacker.turn(millis, (due as usize).min(room));
            // QEMU takes an empty datagram for the end of the connection.
            let frames = self.attacker.outward.drain(..);
            self.waiting
                .extend(frames.filter(|frame| !frame.is_empty()));
            self.flush();
            let mut events = lock(&shared.events);
            events.moved.clone_from(&self.peer.moved);
            events.is_still = self.peer.is_still();
            events.attacks.clone_from(&self.attacker.attacks);
            events.answered = self.attacker.answered;
            events.from_guest = self.from_guest;
        }
    }

    /// A frame of the guest.
    fn take(&mut self, frame: &[u8]) {
        self.from_guest += 1;
        if let Some(segment) = shadow::read(frame) {
            self.attacker.shadow.from_guest(&segment);
        }
        self.attacker.hear(frame);
        self.peer.queues.inward.push_back(frame.to_vec());
    }

    fn flush(&mut self) {
        while let Some(frame) = self.waiting.front() {
            match self.sender.send_to(frame, &self.guest) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // No machine yet, or no more; or a frame longer than the socket takes.
                _ => drop(self.waiting.pop_front()),
            }
        }
    }
}
