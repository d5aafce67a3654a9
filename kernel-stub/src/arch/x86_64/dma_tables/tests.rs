//! A walk as the unit does it (VT-d 5.0, 3.4 and 3.6) over tables that were built here.

use super::*;
use kernel_abi::PAGE_SIZE;

const FRAMES: u32 = 64;
const NIC: u16 = 3 << 3;

struct Bench {
    _ram: Vec<u64>,
    memory: PhysMemory,
    next: u32,
    freed: Vec<Frame>,
}

fn bench() -> Bench {
    let mut ram = vec![0u64; FRAMES as usize * PAGE_SIZE / 8];
    // SAFETY: the bench keeps `ram` alive and touches it through the memory only.
    let memory = unsafe { PhysMemory::new(ram.as_mut_ptr().cast(), FRAMES) };
    Bench {
        _ram: ram,
        memory,
        next: 10,
        freed: Vec::new(),
    }
}

impl Bench {
    fn map(&mut self, depth: Depth, root: Frame, frame: Frame) -> Result<(), MapError> {
        self.map_with(depth, root, (frame, true))
    }

    fn map_with(&mut self, depth: Depth, root: Frame, what: (Frame, bool)) -> Result<(), MapError> {
        let next = &mut self.next;
        map(&mut self.memory, depth, root, what, &mut |_| {
            *next += 1;
            Some(Frame(*next))
        })
    }

    /// Whether `device` reads and writes `address`, and where that is.
    fn walk(&self, root_table: Frame, device: u16, address: u64) -> Option<u64> {
        let (place, rights) = self.walk_with(root_table, device, address)?;
        assert_eq!(rights, READ | WRITE);
        Some(place)
    }

    /// Whether `device` reaches `address`, where that is, and what every table on the way allows.
    fn walk_with(&self, root_table: Frame, device: u16, address: u64) -> Option<(u64, u64)> {
        let word = |at: u64| self.memory.read_u64(PhysAddr(at)).unwrap();
        let root = word(root_table.address().0 + (device as u64 >> 8) * 16);
        if root & 1 == 0 {
            return None;
        }
        let context = (root & ADDRESS) + (device as u64 & 0xff) * 16;
        let (low, high) = (word(context), word(context + 8));
        if low & 1 == 0 {
            return None;
        }
        assert_eq!(low & 0xffe, 0, "translation type, fault processing");
        let levels = (high & 7) + 2;
        let mut table = low & ADDRESS;
        let mut rights = READ | WRITE;
        for level in (0..levels).rev() {
            let entry = word(table + (address >> (12 + 9 * level) & 511) * 8);
            if entry & 3 == 0 {
                return None;
            }
            assert_eq!(entry & !(ADDRESS | 3), 0, "reserved bits");
            table = entry & ADDRESS;
            rights &= entry;
        }
        Some((table + address % PAGE_SIZE as u64, rights))
    }
}

#[test]
fn a_device_reaches_what_it_was_given_and_nothing_else() {
    for depth in [Depth::Three, Depth::Four] {
        let mut bench = bench();
        let (root_table, context, tables) = (Frame(1), Frame(2), Frame(3));
        add_bus(&mut bench.memory, root_table, NIC, &mut |_| Some(context)).unwrap();
        // A second device on the bus takes no frame.
        add_bus(&mut bench.memory, root_table, NIC + 1, &mut |_| None).unwrap();
        for frame in [511, 512, 0x4_0000, 0x7_ffff] {
            bench.map(depth, tables, Frame(frame)).unwrap();
        }
        assert_eq!(bench.walk(root_table, NIC, 511 << 12), None);
        let context_of = Some((depth, tables));
        set_context(&mut bench.memory, root_table, NIC, 1, context_of).unwrap();
        for (frame, reachable) in [
            (510, false),
            (511, true),
            (512, true),
            (513, false),
            (0x4_0000, true),
            (0x4_0001, false),
            (0x7_ffff, true),
            (1, false),
        ] {
            let address = (frame << 12) + 0x123;
            let expected = reachable.then_some(address);
            assert_eq!(bench.walk(root_table, NIC, address), expected, "{frame:#x}");
            assert_eq!(bench.walk(root_table, NIC + 1, address), None);
            assert_eq!(bench.walk(root_table, NIC + 0x100, address), None);
        }
        unmap(&mut bench.memory, depth, tables, Frame(511));
        unmap(&mut bench.memory, depth, tables, Frame(0x1234));
        assert_eq!(bench.walk(root_table, NIC, 511 << 12), None);
        assert_eq!(bench.walk(root_table, NIC, 512 << 12), Some(512 << 12));
        set_context(&mut bench.memory, root_table, NIC, 1, None).unwrap();
        assert_eq!(bench.walk(root_table, NIC, 512 << 12), None);
    }
}

#[test]
fn what_is_to_be_read_is_not_written_next_to_what_is() {
    for depth in [Depth::Three, Depth::Four] {
        let mut bench = bench();
        let (root_table, context, tables) = (Frame(1), Frame(2), Frame(3));
        add_bus(&mut bench.memory, root_table, NIC, &mut |_| Some(context)).unwrap();
        let context_of = Some((depth, tables));
        set_context(&mut bench.memory, root_table, NIC, 1, context_of).unwrap();
        for (frame, writes) in [(7, true), (8, false), (9, true), (0x4_0000, false)] {
            let what = (Frame(frame), writes);
            assert_eq!(bench.map_with(depth, tables, what), Ok(()));
            let again = bench.map_with(depth, tables, (Frame(frame), !writes));
            assert_eq!(again, Err(MapError::Busy));
        }
        let walk = |frame: u64| bench.walk_with(root_table, NIC, frame << 12);
        assert_eq!(walk(7), Some((7 << 12, READ | WRITE)));
        assert_eq!(walk(8), Some((8 << 12, READ)));
        assert_eq!(walk(9), Some((9 << 12, READ | WRITE)));
        assert_eq!(walk(0x4_0000), Some((0x4_0000 << 12, READ)));
    }
}

#[test]
fn every_table_is_handed_back_once() {
    for depth in [Depth::Three, Depth::Four] {
        let mut bench = bench();
        let tables = Frame(3);
        for frame in [0, 1, 512, 0x4_0000, 0x7_ffff] {
            bench.map(depth, tables, Frame(frame)).unwrap();
        }
        let freed = &mut bench.freed;
        free_tables(&mut bench.memory, depth, tables, &mut |_, frame| {
            freed.push(frame);
        });
        let mut freed: Vec<u32> = bench.freed.iter().map(|frame| frame.0).collect();
        freed.sort_unstable();
        assert_eq!(freed, (11..=bench.next).collect::<Vec<_>>());
        let empty = (0..512).all(|index| {
            let at = tables.address().offset(index * 8);
            bench.memory.read_u64(at) == Ok(0)
        });
        assert!(empty);
    }
}

#[test]
fn what_cannot_be_mapped_is_an_error() {
    let mut bench = bench();
    let tables = Frame(3);
    let beyond = Frame(1 << 27);
    let result = bench.map(Depth::Three, tables, beyond);
    assert_eq!(result, Err(MapError::Busy));
    assert_eq!(bench.map(Depth::Four, tables, beyond), Ok(()));
    assert_eq!(bench.map(Depth::Four, tables, beyond), Err(MapError::Busy));
    let none = map(
        &mut bench.memory,
        Depth::Three,
        Frame(4),
        (Frame(7), true),
        &mut |_| None,
    );
    assert_eq!(none, Err(MapError::NoFrame));
    let unknown_bus = set_context(&mut bench.memory, Frame(5), NIC, 1, None);
    assert_eq!(unknown_bus, Err(MapError::NoFrame));
}
