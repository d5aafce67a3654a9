//! Page tables in a small simulated memory: against a model, and the cases that protect the kernel.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[repr(C, align(4096))]
#[derive(Clone)]
struct Page([u8; PAGE_SIZE]);

/// Memory whose frame 0 is never given out, and what `allocate` gave.
struct Space {
    memory: PhysMemory,
    root: Frame,
    next: u32,
    limit: u32,
    /// Keeps what `memory` points at.
    _pages: Vec<Page>,
}

impl Space {
    fn new(frames: u32) -> Space {
        let mut pages = vec![Page([0; PAGE_SIZE]); frames as usize];
        // SAFETY: the pages live as long as the `PhysMemory` (same struct) and nobody else touches them.
        let memory = unsafe { PhysMemory::new(pages.as_mut_ptr().cast(), frames) };
        Space {
            memory,
            root: Frame(1),
            next: 2,
            limit: frames,
            _pages: pages,
        }
    }

    fn map_with(
        &mut self,
        address: u64,
        frame: u32,
        size: PageSize,
        attributes: Attributes,
    ) -> Result<(), MapError> {
        let (next, limit) = (&mut self.next, self.limit);
        map(
            &mut self.memory,
            self.root,
            address,
            Frame(frame),
            size,
            attributes,
            &mut |_| {
                let frame = Frame(*next);
                (*next < limit).then(|| {
                    *next += 1;
                    frame
                })
            },
        )
    }

    fn map(&mut self, address: u64, frame: u32, prot: Prot) -> Result<(), MapError> {
        self.map_with(
            address,
            frame,
            PageSize::Small,
            Attributes::user(prot, false),
        )
    }

    fn translate(&self, address: u64) -> Option<(PhysAddr, Prot)> {
        translate(&self.memory, self.root, address)
    }

    fn free(&mut self) -> Vec<Frame> {
        let mut freed = Vec::new();
        free_user_tables(&mut self.memory, self.root, &mut |memory, frame| {
            // Whoever gets the frame may use it at once.
            for word in 0..ENTRIES {
                memory
                    .write_u64(frame.address().offset(word * 8), u64::MAX)
                    .unwrap();
            }
            freed.push(frame);
        });
        freed.sort();
        freed
    }
}

const A: u64 = 0x40_0000;

#[test]
fn maps_translates_and_unmaps() {
    let mut space = Space::new(16);
    space.map(A, 77, Prot::READ | Prot::WRITE).unwrap();
    let (at, prot) = space.translate(A + 5).unwrap();
    assert_eq!(at, PhysAddr(77 * 4096 + 5));
    assert_eq!(prot, Prot::READ | Prot::WRITE);
    assert_eq!(space.map(A, 78, Prot::READ), Err(MapError::Busy));
    assert_eq!(space.translate(A + 4096), None);
    assert_eq!(unmap(&mut space.memory, space.root, A), Some(Frame(77)));
    assert_eq!(unmap(&mut space.memory, space.root, A), None);
    assert_eq!(space.translate(A), None);
    space.map(A, 78, Prot::READ | Prot::EXEC).unwrap();
    let (_, prot) = space.translate(A).unwrap();
    assert_eq!(prot, Prot::READ | Prot::EXEC);
}

#[test]
fn writable_pages_never_execute() {
    let mut space = Space::new(16);
    space
        .map(A, 7, Prot::READ | Prot::WRITE | Prot::EXEC)
        .unwrap();
    let (_, prot) = space.translate(A).unwrap();
    assert_eq!(prot, Prot::READ | Prot::WRITE);
}

#[test]
fn device_pages_are_mapped_but_not_for_system_calls() {
    let mut space = Space::new(16);
    let attributes = Attributes::user(Prot::READ | Prot::WRITE | Prot::EXEC, true);
    space.map_with(A, 7, PageSize::Small, attributes).unwrap();
    assert_eq!(space.translate(A), None);
    let (_, entry) = find(&space.memory, space.root, A).unwrap();
    assert_eq!(entry & (USER | WRITABLE), USER | WRITABLE);
    assert_ne!(entry & CACHE_DISABLE, 0);
    assert_ne!(entry & NO_EXECUTE, 0);
    assert_eq!(unmap(&mut space.memory, space.root, A), Some(Frame(7)));
}

#[test]
fn kernel_pages_are_not_translated() {
    let mut space = Space::new(16);
    space
        .map_with(A, 7, PageSize::Small, Attributes::KERNEL_DATA)
        .unwrap();
    assert_eq!(space.translate(A), None);
    let high = 0xffff_8000_0000_0000;
    space
        .map_with(
            high,
            7,
            PageSize::Small,
            Attributes::user(Prot::WRITE, false),
        )
        .unwrap();
    assert_eq!(space.translate(high), None);
    assert_eq!(unmap(&mut space.memory, space.root, high), None);
    // Not canonical: the walk would find the page of another address.
    assert_eq!(space.translate(A | 1 << 48), None);
    assert_eq!(space.translate(u64::MAX), None);
}

#[test]
fn tables_of_the_kernel_half_are_supervisor_only() {
    let mut space = Space::new(16);
    let high = 0xffff_ffff_8000_0000;
    space
        .map_with(high, 7, PageSize::Small, Attributes::KERNEL_TEXT)
        .unwrap();
    let entry = read(&space.memory, slot(space.root, high, 3));
    assert_eq!(entry & USER, 0);
}

#[test]
fn user_pages_lie_between_the_limits() {
    assert!(!is_user_page(0));
    assert!(!is_user_page(USER_START - 4096));
    assert!(is_user_page(USER_START));
    assert!(!is_user_page(USER_START + 8));
    assert!(is_user_page(USER_END - 4096));
    assert!(!is_user_page(USER_END));
    assert!(!is_user_page(0xffff_8000_0000_0000));
}

#[test]
fn missing_frames_are_an_error_and_nothing_is_lost() {
    // Frames 2 and 3 only: two of the three tables.
    let mut space = Space::new(4);
    assert_eq!(space.map(A, 7, Prot::READ), Err(MapError::NoFrame));
    assert_eq!(space.translate(A), None);
    assert_eq!(space.free(), [Frame(2), Frame(3)]);
    assert_eq!(space.free(), []);
}

#[test]
fn large_pages_are_neither_followed_nor_freed() {
    assert_eq!(PageSize::Large.bytes(), 2 << 20);
    assert_eq!(PageSize::Huge.bytes(), 1 << 30);
    let attributes = Attributes::user(Prot::READ, false);
    for (size, tables) in [
        (PageSize::Large, vec![Frame(2), Frame(3)]),
        (PageSize::Huge, vec![Frame(2)]),
    ] {
        let mut space = Space::new(16);
        space
            .map_with(0x4000_0000, 0x4_0000, size, attributes)
            .unwrap();
        assert_eq!(space.translate(0x4000_0000), None);
        assert_eq!(space.map(0x4000_1000, 7, Prot::READ), Err(MapError::Busy));
        assert_eq!(space.free(), tables);
    }
}

#[test]
fn kernel_image_is_writable_or_executable() {
    for (attributes, writable, executable) in [
        (Attributes::KERNEL_TEXT, false, true),
        (Attributes::KERNEL_RODATA, false, false),
        (Attributes::KERNEL_DATA, true, false),
        (Attributes::KERNEL_DEVICE, true, false),
    ] {
        assert_eq!(attributes.0 & WRITABLE != 0, writable);
        assert_eq!(attributes.0 & NO_EXECUTE == 0, executable);
        assert_eq!(attributes.0 & USER, 0);
    }
}

#[test]
fn an_attached_table_shows_its_pages() {
    let mut space = Space::new(16);
    let (window, table) = (0xffff_ffff_c000_0000, Frame(9));
    let mut next = 2;
    let mut allocate = |_: &mut PhysMemory| {
        next += 1;
        Some(Frame(next - 1))
    };
    attach_table(&mut space.memory, space.root, window, table, &mut allocate).unwrap();
    space
        .memory
        .write_u64(table.address().offset(8), device_entry(Frame(0xfee00)))
        .unwrap();
    let (_, entry) = find(&space.memory, space.root, window + 4096).unwrap();
    assert_eq!(entry_frame(entry), Some(Frame(0xfee00)));
    assert_eq!(entry & USER, 0);
    assert_eq!(
        attach_table(&mut space.memory, space.root, window, table, &mut allocate),
        Err(MapError::Busy)
    );
}

#[test]
fn kernel_half_is_shared_and_survives() {
    let mut space = Space::new(16);
    let high = 0xffff_8000_0000_0000;
    space
        .map_with(high, 7, PageSize::Small, Attributes::KERNEL_DATA)
        .unwrap();
    space.map(A, 8, Prot::READ).unwrap();
    let other = Frame(15);
    share_kernel_half(&mut space.memory, space.root, other);
    assert!(find(&space.memory, other, high).is_some());
    assert_eq!(translate(&space.memory, other, A), None);
    assert_eq!(space.free().len(), 3);
    assert!(find(&space.memory, space.root, high).is_some());
    assert!(find(&space.memory, other, high).is_some());
}

proptest! {
    /// Against a map from page to frame, in places that share tables and places that don't.
    #[test]
    #[cfg_attr(miri, ignore = "takes minutes; the other tests make the same accesses")]
    fn behaves_like_a_map(
        steps in prop::collection::vec((0..3_u8, 0..4_u64, 0..3_u64, 0..3_u64, 0..3_u64, 1..99_u32), 1..200)
    ) {
        let mut space = Space::new(64);
        let mut model: BTreeMap<u64, (u32, Prot)> = BTreeMap::new();
        for (what, top, middle, low, page, frame) in steps {
            let address = top << 39 | middle << 30 | low << 21 | (page + 16) << 12;
            let prot = if frame % 2 == 0 { Prot::READ } else { Prot::READ | Prot::WRITE };
            match what {
                0 => {
                    let before = space.next;
                    match space.map(address, frame, prot) {
                        Ok(()) => prop_assert_eq!(model.insert(address, (frame, prot)), None),
                        Err(MapError::Busy) => prop_assert!(model.contains_key(&address)),
                        Err(MapError::NoFrame) => prop_assert_eq!(space.next, space.limit),
                    }
                    prop_assert!(space.next - before <= 3);
                }
                1 => prop_assert_eq!(
                    unmap(&mut space.memory, space.root, address).map(|frame| frame.0),
                    model.remove(&address).map(|(frame, _)| frame)
                ),
                _ => prop_assert_eq!(
                    space.translate(address + 9),
                    model.get(&address).map(|&(frame, prot)| (Frame(frame).address().offset(9), prot))
                ),
            }
        }
        let tables: Vec<Frame> = (2..space.next).map(Frame).collect();
        prop_assert_eq!(space.free(), tables);
    }
}
