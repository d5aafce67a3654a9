//! Memory of this process that the device reaches: an [`Arena`] is registered here, and virtqueues take pages of it. The table is
//! static, so that a window on a page can be had by the address that the device knows.

#[cfg(any(test, feature = "testing"))]
use crate::mmio::Mmio;
use crate::{mmio::Page, offload::HEADER};
use alloc::{vec, vec::Vec};
use core::ptr::NonNull;
use ipc_proto::frame::HEADROOM;
use spin::Mutex;
use virtio_drivers::{PAGE_SIZE, PhysAddr};

/// Where in a buffer to receive into the header starts: its descriptor begins here.
pub const HEADER_START: usize = HEADROOM - HEADER;

/// Memory for virtqueues.
struct ArenaState {
    base: NonNull<u8>,
    device: PhysAddr,
    /// One for each page: whether it is in use.
    used: Vec<bool>,
}

struct Registered {
    arenas: Vec<ArenaState>,
}

// SAFETY: the pointers are to memory whose users are decided by this table, not by the thread: pages are handed to
// one owner at a time.
unsafe impl Send for Registered {}

static REGISTERED: Mutex<Registered> = Mutex::new(Registered { arenas: Vec::new() });

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

/// Neighbouring pages of an arena, zeroed when taken, and given back when dropped.
#[derive(Debug)]
pub(crate) struct Pages {
    device: PhysAddr,
    pages: usize,
}

impl Pages {
    /// Takes so many; `None` if no arena has them.
    pub(crate) fn take(pages: usize) -> Option<Pages> {
        let mut registered = REGISTERED.lock();
        registered.arenas.iter_mut().find_map(|arena| {
            let first = arena.take(pages)?;
            let offset = first.saturating_mul(PAGE_SIZE);
            // SAFETY: `take` returned pages within the arena, so that their start is within its mapping.
            let base = unsafe { arena.base.byte_add(offset) };
            // SAFETY: the pages were free, so nobody else uses them, and are mapped writable (promised to `Arena::new`).
            unsafe { base.write_bytes(0, pages.saturating_mul(PAGE_SIZE)) };
            Some(Pages {
                device: arena.device.wrapping_add(offset as u64),
                pages,
            })
        })
    }

    /// Where the device finds them.
    pub(crate) fn device(&self) -> PhysAddr {
        self.device
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let mut registered = REGISTERED.lock();
        for arena in &mut registered.arenas {
            // Those of an arena that was withdrawn need no accounting.
            let offset = self.device.checked_sub(arena.device);
            let Some(offset) = offset.and_then(|offset| usize::try_from(offset).ok()) else {
                continue;
            };
            let first = offset / PAGE_SIZE;
            for used in arena.used.iter_mut().skip(first).take(self.pages) {
                *used = false;
            }
        }
    }
}

/// Where `len` bytes are that the device finds at `device`; `None` unless they lie in one arena.
fn locate(device: PhysAddr, len: usize) -> Option<NonNull<u8>> {
    let registered = REGISTERED.lock();
    registered.arenas.iter().find_map(|arena| {
        let offset = usize::try_from(device.checked_sub(arena.device)?).ok()?;
        if offset.checked_add(len)? > arena.len() {
            return None;
        }
        // SAFETY: `offset` is within the arena (checked above), which is mapped (promised to `Arena::new`).
        Some(unsafe { arena.base.byte_add(offset) })
    })
}

/// A window on the page that the device finds at `device`, a multiple of its size; `None` unless it lies in an arena.
pub(crate) fn page(device: PhysAddr) -> Option<Page> {
    let base = locate(device, PAGE_SIZE)?;
    // SAFETY: the page is within an arena, mapped as long as a queue lives there (promised to `Arena::new`); only queues hold
    // windows, each on its own pages.
    Some(unsafe { Page::new(base) })
}

/// A window on `len` bytes that the device finds at `device`, as the device has it; `None` unless they lie in one arena.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn view(device: PhysAddr, len: usize) -> Option<Mmio> {
    let base = locate(device, len)?;
    // SAFETY: `len` bytes from there on are within an arena, whose memory stays for ever in tests. A page is aligned.
    Some(unsafe { Mmio::new(base, len) })
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

    #[test]
    fn pages_are_taken_once_and_given_back() {
        let _turn = crate::fake::take_turn();
        let arena = testing::arena(6, 0x7000_0000);
        let (one, two) = (Pages::take(3).unwrap(), Pages::take(3).unwrap());
        assert_eq!((one.device(), two.device()), (0x7000_0000, 0x7000_3000));
        assert!(Pages::take(1).is_none());
        drop(one);
        assert_eq!(Pages::take(2).unwrap().device(), 0x7000_0000);
        drop(arena);
        assert!(Pages::take(1).is_none());
        assert!(view(two.device(), 16).is_none());
    }
}
