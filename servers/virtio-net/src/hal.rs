//! Memory that the device reaches: what `virtio-drivers` asks for through its [`Hal`], whose functions have no
//! `self`, so that this state is static.
//!
//! Two kinds of memory are registered here. An [`Arena`] is this process's own and holds virtqueues. A
//! [`StandIns`] stands for the stack's frame pool, which the driver does not let `virtio-drivers` see.

use crate::mmio::Mmio;
use crate::offload::HEADER;
use alloc::{boxed::Box, vec, vec::Vec};
use core::ptr::NonNull;
use ipc_proto::frame::{HEADROOM, LARGE_BUFFER_SIZE, Pool};
use spin::Mutex;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Where in a buffer of the pool the header starts: a descriptor begins here.
pub const HEADER_START: usize = HEADROOM - HEADER;
/// Bytes from the header to the end of a large buffer: the longest descriptor.
const MAX_DESCRIPTOR: usize = LARGE_BUFFER_SIZE - HEADER_START;

/// What a descriptor would get for an address that was never registered: beyond the 52 bits of any physical
/// address, so that the device finds no memory there.
const NOWHERE: PhysAddr = 0xffff_ffff_ffff_0000;

/// Memory for virtqueues.
struct ArenaState {
    base: NonNull<u8>,
    device: PhysAddr,
    /// One for each page: whether it is in use.
    used: Vec<bool>,
}

/// A range of private addresses, each of which stands for a buffer of the pool.
struct StandInState {
    first: usize,
    layout: Pool,
    device: PhysAddr,
}

struct Registered {
    arenas: Vec<ArenaState>,
    stand_ins: Vec<StandInState>,
}

// SAFETY: the pointers are to memory whose users are decided by this table, not by the thread: pages are handed to
// one owner at a time.
unsafe impl Send for Registered {}

static REGISTERED: Mutex<Registered> = Mutex::new(Registered {
    arenas: Vec::new(),
    stand_ins: Vec::new(),
});

impl ArenaState {
    /// Finds `pages` neighbouring free pages and takes them; returns the first.
    fn take(&mut self, pages: usize) -> Option<usize> {
        if pages == 0 {
            return None;
        }
        let first = self
            .used
            .windows(pages)
            .position(|window| window.iter().all(|used| !used))?;
        for used in self.used.iter_mut().skip(first).take(pages) {
            *used = true;
        }
        Some(first)
    }

    fn len(&self) -> usize {
        self.used.len().saturating_mul(PAGE_SIZE)
    }
}

/// Memory of this process that the device reaches and virtqueues are taken from. Withdrawn when dropped.
#[derive(Debug)]
pub struct Arena {
    base: NonNull<u8>,
}

impl Arena {
    /// Registers `pages` pages at `base`, which the device finds from address `device` on.
    ///
    /// # Safety
    /// `base` is page-aligned; the pages are mapped readable and writable and accessed by nobody else until the
    /// result was dropped and every queue made from it too.
    pub unsafe fn new(base: NonNull<u8>, pages: usize, device: PhysAddr) -> Arena {
        REGISTERED.lock().arenas.push(ArenaState {
            base,
            device,
            used: vec![false; pages],
        });
        Arena { base }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let mut registered = REGISTERED.lock();
        registered.arenas.retain(|arena| arena.base != self.base);
    }
}

/// Private addresses that stand for the buffers of a frame pool.
///
/// `virtio-drivers` wants a Rust reference to each buffer that it makes a descriptor of. The pool's memory is
/// written by the stack and by the device at any time, so that no reference to it may exist. Therefore
/// references are made to an array that is nobody's but ours and never read: the part that starts at byte `n`
/// stands for buffer `n`, and [`Dma::share`] turns its address into the device's address of that buffer.
#[derive(Debug)]
pub struct StandIns {
    bytes: Box<[u8]>,
    layout: Pool,
}

impl StandIns {
    /// For a pool of such buffers, which the device finds from address `pool` on.
    pub fn new(layout: Pool, pool: PhysAddr) -> StandIns {
        let bytes = vec![0; layout.count().saturating_add(MAX_DESCRIPTOR)].into_boxed_slice();
        REGISTERED.lock().stand_ins.push(StandInState {
            first: bytes.as_ptr().addr(),
            layout,
            device: pool,
        });
        StandIns { bytes, layout }
    }

    /// Bytes of the longest descriptor for a buffer, header first; zero if the pool has no such buffer.
    pub fn longest(&self, buffer: u16) -> usize {
        let place = self.layout.place(buffer);
        place.map_or(0, |(_, len)| len.saturating_sub(HEADER_START))
    }

    /// The stand-in for `len` bytes of `buffer`, header first; `None` if the pool has no such buffer or
    /// a buffer not so many bytes.
    pub fn of(&mut self, buffer: u16, len: usize) -> Option<&mut [u8]> {
        let first = usize::from(buffer);
        if len > self.longest(buffer) || len == 0 {
            return None;
        }
        self.bytes.get_mut(first..first.checked_add(len)?)
    }
}

impl Drop for StandIns {
    fn drop(&mut self) {
        let first = self.bytes.as_ptr().addr();
        let mut registered = REGISTERED.lock();
        registered
            .stand_ins
            .retain(|stand_in| stand_in.first != first);
    }
}

/// A window on `len` bytes that the device finds at `device`; `None` unless they lie in one arena.
pub(crate) fn view(device: PhysAddr, len: usize) -> Option<Mmio> {
    let registered = REGISTERED.lock();
    registered.arenas.iter().find_map(|arena| {
        let offset = usize::try_from(device.checked_sub(arena.device)?).ok()?;
        if offset.checked_add(len)? > arena.len() {
            return None;
        }
        // SAFETY: `offset` is within the arena (checked above), which is mapped (promised to `Arena::new`).
        let base = unsafe { arena.base.byte_add(offset) };
        // SAFETY: `len` bytes from there on are within the arena, mapped as long as a queue lives there (promised
        // to `Arena::new`); only queues hold views, each of its own used ring. The ring is page-aligned.
        Some(unsafe { Mmio::new(base, len) })
    })
}

/// The [`Hal`] of this driver.
#[derive(Debug)]
pub struct Dma;

// SAFETY: `dma_alloc` hands out zeroed, page-aligned pages of an arena, to one owner at a time: `used` tells
// which are free, and the arena's memory is accessed by nobody else (promised to `Arena::new`).
unsafe impl Hal for Dma {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let mut registered = REGISTERED.lock();
        for arena in &mut registered.arenas {
            let Some(first) = arena.take(pages) else {
                continue;
            };
            let offset = first.saturating_mul(PAGE_SIZE);
            // SAFETY: `take` returned pages within the arena, so that their start is within its mapping.
            let base = unsafe { arena.base.byte_add(offset) };
            // SAFETY: the pages were free, so nobody else uses them, and are mapped writable (promised to `Arena::new`).
            unsafe { base.write_bytes(0, pages.saturating_mul(PAGE_SIZE)) };
            return (arena.device.wrapping_add(offset as u64), base);
        }
        // An address of zero is how virtio-drivers is told that there is no memory.
        (0, NonNull::dangling())
    }

    unsafe fn dma_dealloc(_paddr: PhysAddr, vaddr: NonNull<u8>, pages: usize) -> i32 {
        let mut registered = REGISTERED.lock();
        for arena in &mut registered.arenas {
            let Some(offset) = vaddr.addr().get().checked_sub(arena.base.addr().get()) else {
                continue;
            };
            if offset >= arena.len() {
                continue;
            }
            for used in arena.used.iter_mut().skip(offset / PAGE_SIZE).take(pages) {
                *used = false;
            }
        }
        // Anything else than zero makes virtio-drivers panic, and pages of a withdrawn arena need no accounting.
        0
    }

    unsafe fn mmio_phys_to_virt(_paddr: PhysAddr, _size: usize) -> NonNull<u8> {
        // Called by transports of virtio-drivers only; this driver brings its own.
        NonNull::dangling()
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        let address = buffer.cast::<u8>().addr().get();
        let registered = REGISTERED.lock();
        let found = registered.stand_ins.iter().find_map(|stand_in| {
            let number = address.checked_sub(stand_in.first)?;
            let (start, len) = stand_in.layout.place(u16::try_from(number).ok()?)?;
            let offset = start.checked_add(HEADER_START)?;
            if HEADER_START.checked_add(buffer.len())? > len {
                return None;
            }
            stand_in.device.checked_add(offset as u64)
        });
        found.unwrap_or(NOWHERE)
    }

    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {
        // The pool stays mapped for the device as long as the attachment lasts.
    }
}

#[cfg(any(test, feature = "testing"))]
#[allow(clippy::unwrap_used, reason = "a part of tests")]
pub(crate) mod testing {
    use super::*;
    use std::alloc::{Layout, alloc_zeroed};

    struct Kept {
        base: NonNull<u8>,
        pages: usize,
    }

    // SAFETY: the pointer is to memory that is used by one arena at a time.
    unsafe impl Send for Kept {}

    /// Memory of arenas, kept for ever and in sight of Miri's search for leaks.
    static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

    /// An arena of the host's memory, which is never given back: views on it may outlive it. That of an arena which was
    /// withdrawn is used again.
    pub(crate) fn arena(pages: usize, device: PhysAddr) -> Arena {
        let mut kept = KEPT.lock();
        let is_used = |base| {
            let registered = REGISTERED.lock();
            registered.arenas.iter().any(|arena| arena.base == base)
        };
        if let Some(kept) = kept
            .iter()
            .find(|kept| kept.pages == pages && !is_used(kept.base))
        {
            // SAFETY: as below; the arena that used it was dropped, behind the queues made from it.
            return unsafe { Arena::new(kept.base, pages, device) };
        }
        let layout = Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).unwrap();
        // SAFETY: the size is not zero.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap();
        kept.push(Kept { base, pages });
        // SAFETY: page-aligned memory that was just allocated, is known to nobody else and stays for ever.
        unsafe { Arena::new(base, pages, device) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: Pool = Pool { small: 4, large: 2 };

    /// What the device is told for a buffer.
    fn share(bytes: &mut [u8]) -> PhysAddr {
        // SAFETY: the pointer is that of a live slice.
        unsafe { Dma::share(NonNull::from(bytes), BufferDirection::DeviceToDriver) }
    }

    #[test]
    fn a_stand_in_is_translated_to_the_buffer_it_stands_for() {
        let mut stand_ins = StandIns::new(POOL, 0x1_0000_0000);
        for (buffer, at, longest) in [
            (0, 0, 2042),
            (3, 3 * 2048, 2042),
            (4, 4 * 2048, 67_578),
            (5, 4 * 2048 + 33 * 2048, 67_578),
        ] {
            assert_eq!(stand_ins.longest(buffer), longest);
            let bytes = stand_ins.of(buffer, longest).unwrap();
            assert_eq!(share(bytes), 0x1_0000_0000 + at + 6);
        }
    }

    #[test]
    fn buffers_outside_the_pool_have_no_stand_in() {
        let mut stand_ins = StandIns::new(POOL, 0);
        assert!(stand_ins.of(6, 64).is_none());
        assert!(stand_ins.of(u16::MAX, 64).is_none());
        assert!(stand_ins.of(3, 2043).is_none());
        assert!(stand_ins.of(5, MAX_DESCRIPTOR + 1).is_none());
        assert!(stand_ins.of(0, 0).is_none());
    }

    #[test]
    fn memory_that_was_not_registered_is_nowhere_for_the_device() {
        let mut other = [0; 64];
        assert_eq!(share(&mut other), NOWHERE);
        let mut withdrawn = StandIns::new(POOL, 0x5000);
        let bytes: *mut [u8] = withdrawn.of(0, 1).unwrap();
        drop(withdrawn);
        // SAFETY: `share` looks at the address only.
        let shared = unsafe {
            Dma::share(
                NonNull::new(bytes).unwrap(),
                BufferDirection::DriverToDevice,
            )
        };
        assert_eq!(shared, NOWHERE);
    }
}
