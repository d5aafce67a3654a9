//! A virtio network device for tests and fuzzing on the host: registers, virtqueues and frames as a real one has them, and the
//! means to misbehave. It reaches memory only by the addresses that the driver wrote to it.
#![forbid(unsafe_code)]

mod registers;

use crate::{
    hal,
    mmio::Mmio,
    nic::DeviceMemory,
    offload::{HEADER, Header},
    queue::{DevicePool, QUEUE_SIZE},
    registers::Registers,
    transport::PciTransport,
};
use ipc_proto::{frame::Pool, shm::Shm};
use registers::LAYOUT;
use std::{
    boxed::Box,
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    sync::{Mutex, MutexGuard},
    vec::Vec,
};

/// Where the device finds the pools: that to receive into, and that to send from.
pub const POOLS: [u64; 2] = [0x20_0000_0000, 0x28_0000_0000];
const ARENA: u64 = 0x10_0000_0000;
const ARENA_PAGES: usize = 8;
/// The feature by which interrupts and notifications are asked for by index.
pub const EVENT_IDX: u64 = 1 << 29;
/// Bit of the status by which a device asks for a reset.
pub const NEEDS_RESET: u8 = 64;

/// Queue memory comes from a static table: tests that use it take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Waits for this test's turn.
pub fn take_turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What a platform gives the device, for such pools to receive into and to send from.
pub fn memory(layouts: [Pool; 2]) -> DeviceMemory {
    let [receive, send] = [0, 1].map(|pool| {
        let layout = layouts[pool];
        DevicePool::new(POOLS[pool], layout.bytes() as u64, layout).unwrap()
    });
    DeviceMemory {
        arena: hal::testing::arena(ARENA_PAGES, ARENA),
        receive,
        send,
    }
}

/// A pool of small buffers only.
pub const fn small(buffers: u16) -> Pool {
    Pool {
        small: buffers,
        large: 0,
    }
}

/// A queue as the device sees it.
#[derive(Clone, Copy, Default)]
pub struct FakeQueue {
    size: u16,
    vector: u16,
    enabled: u16,
    /// Descriptors, available ring, used ring.
    areas: [u64; 3],
    next_available: u16,
    /// How far the used ring is written.
    pub used_index: u16,
    /// Notifications that came.
    pub kicks: u32,
}

/// What is in the device.
pub struct State {
    /// Features that it offers.
    pub offered: u64,
    /// Features that the driver took.
    pub accepted: u64,
    feature_select: u32,
    /// The status register.
    pub status: u8,
    generation: u8,
    /// MAC, link status, pairs of queues, MTU.
    pub config: [u8; 12],
    config_vector: u16,
    selected: u16,
    /// Its queues.
    pub queues: [FakeQueue; 2],
    /// The size that its queues have behind a reset.
    pub max_queue_size: u16,
    /// Position of the first notification register.
    pub notify_off: u16,
    /// It says no to what was negotiated.
    pub refuses_features: bool,
    /// It takes no interrupt vector.
    pub refuses_vectors: bool,
    /// It does not finish a reset.
    pub never_resets: bool,
    /// Its configuration changes at each look.
    pub unstable: bool,
    /// Resets so far.
    pub resets: u32,
    /// The frame pools, of which it knows the addresses only.
    pub pools: Option<[Shm; 2]>,
    /// Which buffers they have.
    pub layouts: [Pool; 2],
    /// It says one thing and does another: what the driver does is not held against it.
    pub hostile: bool,
    /// What the next reads of registers return; `None` is the truth.
    pub lies: VecDeque<Option<u32>>,
}

/// A device; clones are the same one.
#[derive(Clone)]
pub struct FakeNic(pub Rc<RefCell<State>>);

impl Default for FakeNic {
    fn default() -> FakeNic {
        FakeNic::new()
    }
}

impl FakeNic {
    /// A good device, as QEMU's.
    pub fn new() -> FakeNic {
        FakeNic(Rc::new(RefCell::new(State {
            // As QEMU offers them with a tap, event indices, indirect descriptors and merged buffers included.
            offered: 0x3_3001_ffab,
            accepted: 0,
            feature_select: 0,
            status: 0,
            generation: 0,
            config: [2, 0, 0, 0, 0, 9, 1, 0, 1, 0, 0xdc, 5],
            config_vector: 0xffff,
            selected: 0,
            queues: [FakeQueue::default(); 2],
            max_queue_size: QUEUE_SIZE as u16,
            notify_off: 0,
            refuses_features: false,
            refuses_vectors: false,
            never_resets: false,
            unstable: false,
            resets: 0,
            pools: None,
            layouts: [Pool::default(); 2],
            hostile: false,
            lies: VecDeque::new(),
        })))
    }

    /// Its registers, as the driver gets them.
    ///
    /// # Panics
    /// Never: the layout is right.
    pub fn transport(&self) -> PciTransport<FakeNic> {
        PciTransport::new(&LAYOUT, 3, |_| Ok(self.clone())).unwrap()
    }

    /// Makes it a good device again, in whatever state the driver has brought it.
    pub fn repair(&self) {
        let good = FakeNic::new().0;
        let mut good = good.borrow_mut();
        let mut state = self.0.borrow_mut();
        core::mem::swap(&mut good.offered, &mut state.offered);
        core::mem::swap(&mut good.config, &mut state.config);
        state.max_queue_size = good.max_queue_size;
        state.notify_off = 0;
        state.refuses_features = false;
        state.refuses_vectors = false;
        state.never_resets = false;
        state.unstable = false;
        state.hostile = false;
        state.lies.clear();
    }

    /// Whether the driver has set a queue up since the last reset.
    pub fn is_enabled(&self, queue: usize) -> bool {
        self.0.borrow().queues[queue].enabled != 0
    }

    fn area(&self, queue: usize, area: usize, len: usize) -> Mmio {
        let at = self.0.borrow().queues[queue].areas[area];
        hal::view(at, len).expect("the driver gave an address outside its memory")
    }

    /// Address, length, flags and successor of a descriptor.
    fn descriptor(&self, queue: usize, id: u16) -> (u64, u32, u16, u16) {
        let table = self.area(queue, 0, 16 * QUEUE_SIZE);
        let at = 16 * usize::from(id);
        let address = u64::from(table.read32(at + 4)) << 32 | u64::from(table.read32(at));
        let (flags, next) = (table.read16(at + 12), table.read16(at + 14));
        (address, table.read32(at + 8), flags, next)
    }

    /// Offset in the pool and length of what one descriptor lets the device write.
    ///
    /// # Panics
    /// If it does not.
    pub fn to_receive(&self, id: u16) -> (usize, u32) {
        let (address, len, flags, _) = self.descriptor(0, id);
        assert_eq!(flags, 2, "one device-writable descriptor");
        (FakeNic::pool_offset(0, address), len)
    }

    /// Offset in the pool and length of what the device may read behind a header, and that.
    ///
    /// # Panics
    /// If these are not two descriptors.
    pub fn to_send(&self, id: u16) -> (usize, u32, Header) {
        let (address, len, flags, next) = self.descriptor(1, id);
        assert_eq!((len as usize, flags), (HEADER, 1), "a header, and more");
        let view = hal::view(address, HEADER).expect("the header is not the driver's own");
        let mut header = [0; HEADER];
        for (at, bytes) in header.chunks_mut(4).enumerate() {
            bytes.copy_from_slice(&view.read32(4 * at).to_le_bytes());
        }
        let (address, len, flags, _) = self.descriptor(1, next);
        assert_eq!(flags, 0, "one device-readable descriptor");
        (FakeNic::pool_offset(1, address), len, header)
    }

    /// Scribbles over the descriptors that the driver wrote for the device to read; but not over those of headers to send, which
    /// are written once, and spoilt would be so until the reset.
    pub fn corrupt_descriptors(&self, queue: usize) {
        let table = self.area(queue, 0, 16 * QUEUE_SIZE);
        for id in (queue..QUEUE_SIZE).step_by(1 + queue) {
            for word in 0..4 {
                table.write32(16 * id + 4 * word, u32::MAX);
            }
        }
    }

    /// The next descriptor that the driver made available.
    pub fn take_available(&self, queue: usize) -> Option<u16> {
        let ring = self.area(queue, 1, 6 + 2 * QUEUE_SIZE);
        let mut state = self.0.borrow_mut();
        let fake = &mut state.queues[queue];
        if ring.read16(2) == fake.next_available {
            return None;
        }
        let place = usize::from(fake.next_available) % QUEUE_SIZE;
        fake.next_available = fake.next_available.wrapping_add(1);
        let next = fake.next_available;
        drop(state);
        // As QEMU does it: the next one is to be told of.
        let used = self.area(queue, 2, 6 + 8 * QUEUE_SIZE);
        used.write16(4 + 8 * QUEUE_SIZE, next);
        Some(ring.read16(4 + 2 * place))
    }

    /// Whether the driver wants an interrupt of the queue, with the next buffer or one of those behind it.
    pub fn wants_interrupt(&self, queue: usize) -> bool {
        let ring = self.area(queue, 1, 6 + 2 * QUEUE_SIZE);
        let state = self.0.borrow();
        if state.accepted & EVENT_IDX == 0 {
            return ring.read16(0) & 1 == 0;
        }
        let event = ring.read16(4 + 2 * QUEUE_SIZE);
        usize::from(event.wrapping_sub(state.queues[queue].used_index)) < QUEUE_SIZE
    }

    /// The entry of the available ring with which it wants to be told.
    pub fn set_available_event(&self, queue: usize, event: u16) {
        let used = self.area(queue, 2, 6 + 8 * QUEUE_SIZE);
        used.write16(4 + 8 * QUEUE_SIZE, event);
    }

    /// Whether an interrupt is due for what it gave back since the index was `old` (VIRTIO 1.2 section 2.7.7.2).
    pub fn interrupts(&self, queue: usize, old: u16) -> bool {
        let ring = self.area(queue, 1, 6 + 2 * QUEUE_SIZE);
        let state = self.0.borrow();
        let new = state.queues[queue].used_index;
        if state.accepted & EVENT_IDX == 0 {
            return new != old && ring.read16(0) & 1 == 0;
        }
        assert_eq!(ring.read16(0), 0, "no flag where it goes by indices");
        let event = ring.read16(4 + 2 * QUEUE_SIZE);
        new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
    }

    /// The entry of the used ring with which the driver wants an interrupt.
    pub fn used_event(&self, queue: usize) -> u16 {
        let ring = self.area(queue, 1, 6 + 2 * QUEUE_SIZE);
        ring.read16(4 + 2 * QUEUE_SIZE)
    }

    /// How far it has taken what is available, and whether there is more.
    pub fn taken(&self, queue: usize) -> (u16, bool) {
        let ring = self.area(queue, 1, 6 + 2 * QUEUE_SIZE);
        let next = self.0.borrow().queues[queue].next_available;
        (next, ring.read16(2) != next)
    }

    /// Says by its flag whether it wants notifications of the queue, which means nothing where it goes by indices.
    pub fn want_notifications(&self, queue: usize, wanted: bool) {
        let ring = self.area(queue, 2, 4 + 8 * QUEUE_SIZE);
        ring.write16(0, (!wanted).into());
    }

    /// Writes a used element, whatever it says.
    pub fn push_used(&self, queue: usize, id: u32, len: u32) {
        let index = self.0.borrow().queues[queue].used_index;
        let ring = self.area(queue, 2, 4 + 8 * QUEUE_SIZE);
        let at = 4 + 8 * (usize::from(index) % QUEUE_SIZE);
        ring.write32(at, id);
        ring.write32(at + 4, len);
        self.set_used_index(queue, index.wrapping_add(1));
    }

    /// Writes the used index, whatever it says.
    pub fn set_used_index(&self, queue: usize, index: u16) {
        self.0.borrow_mut().queues[queue].used_index = index;
        let ring = self.area(queue, 2, 4 + 8 * QUEUE_SIZE);
        ring.write16(2, index);
    }

    /// Offset in a pool of an address.
    fn pool_offset(pool: usize, address: u64) -> usize {
        let offset = address.checked_sub(POOLS[pool]);
        usize::try_from(offset.expect("below the pool")).unwrap()
    }

    /// Number of the buffer in which an offset of the pool to receive into lies.
    fn buffer(&self, offset: usize) -> u16 {
        let [layout, _] = self.0.borrow().layouts;
        let holds = |id: &u16| {
            let (start, len) = layout.place(*id).unwrap();
            (start..start + len).contains(&offset)
        };
        (0..layout.count() as u16).find(holds).expect("no buffer")
    }

    /// Delivers a frame as a correct device does. Returns the buffer, or `None` if the driver gave no room.
    pub fn receive(&self, frame: &[u8]) -> Option<u16> {
        self.receive_with([0; 10], frame)
    }

    /// Delivers a frame with this in its header. Returns the buffer, or `None` if the driver gave no room.
    pub fn receive_with(&self, header: [u8; 10], frame: &[u8]) -> Option<u16> {
        let id = self.take_available(0)?;
        let (offset, len) = self.to_receive(id);
        let mut bytes = header.to_vec();
        bytes.extend([1, 0]);
        bytes.extend_from_slice(frame);
        assert!(bytes.len() <= len as usize);
        let [pool, _] = self.0.borrow().pools.clone().unwrap();
        pool.write(offset, &bytes).unwrap();
        self.push_used(0, id.into(), bytes.len() as u32);
        Some(self.buffer(offset))
    }

    /// Takes frames to send without giving them back: first descriptor and content, header included.
    pub fn take_frames(&self) -> Vec<(u16, Vec<u8>)> {
        let mut frames = Vec::new();
        while let Some(id) = self.take_available(1) {
            let (offset, len, header) = self.to_send(id);
            let mut bytes = std::vec![0; HEADER + len as usize];
            bytes[..HEADER].copy_from_slice(&header);
            let [_, pool] = self.0.borrow().pools.clone().unwrap();
            pool.read(offset, &mut bytes[HEADER..]).unwrap();
            frames.push((id, bytes));
        }
        frames
    }

    /// Sends all frames, as a correct device does.
    pub fn transmit(&self) -> Vec<Vec<u8>> {
        let taken = self.take_frames();
        for (id, _) in &taken {
            self.push_used(1, (*id).into(), 0);
        }
        taken.into_iter().map(|(_, bytes)| bytes).collect()
    }

    /// The link goes up or down.
    pub fn set_link(&self, up: bool) {
        let mut state = self.0.borrow_mut();
        state.config[6] = up.into();
        state.generation = state.generation.wrapping_add(1);
    }
}

/// Pools for the device: to receive into, which the driver reaches too, and to send from.
pub fn pools(device: &FakeNic, layouts: [Pool; 2]) -> [Shm; 2] {
    let pools = layouts.map(|layout| Shm::heap(layout.bytes()));
    let mut state = device.0.borrow_mut();
    state.pools = Some(pools.clone());
    state.layouts = layouts;
    pools
}

/// Something recognizable of `len` bytes.
pub fn frame(seed: u8, len: usize) -> Box<[u8]> {
    (0..len).map(|i| seed.wrapping_add(i as u8)).collect()
}
