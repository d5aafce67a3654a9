//! Memory objects and mappings.

use crate::testing::{Bench, SCRATCH};
use kernel_abi::{Error, Rights, Syscall, USER_END};

const AT: u64 = 0x1000_0000;
const R: u64 = 1;
const W: u64 = 2;
const X: u64 = 4;

#[test]
fn memory_is_zeroed_shared_and_returned() {
    let mut bench = Bench::new();
    let init = bench.init;
    let other = bench.spawn(init, 64);
    let free = bench.free_frames();
    let memory = bench.get(init, Syscall::MemoryCreate, &[2, 3, 0]);
    bench.get(init, Syscall::MemoryMap, &[0, memory, AT, 0, 3, W]);
    assert_eq!(bench.read(init, AT, 3 * 4096), vec![0; 3 * 4096]);
    let there = bench.grant(init, memory, other.slot);
    bench.get(init, Syscall::MemoryMap, &[other.slot, there, AT, 1, 2, R]);
    bench.write(init, AT + 4090, b"across the page");
    assert_eq!(bench.read(other.thread, AT, 9), b" the page");
    bench.check();
    bench.get(init, Syscall::CapDelete, &[memory]);
    bench.get(other.thread, Syscall::CapDelete, &[there]);
    let mut byte = [0];
    let root = bench
        .kernel
        .store
        .get(bench.process(other.thread))
        .unwrap()
        .root;
    let read = bench.kernel.copy_from_user(root, AT, &mut byte);
    assert_eq!(read, Err(Error::BadAddress));
    bench.check();
    // What stays are page tables and mapping records of the two.
    assert!(free - bench.free_frames() < 8);
    let dirty = bench.get(init, Syscall::MemoryCreate, &[2, 64, 0]);
    bench.get(init, Syscall::MemoryMap, &[0, dirty, AT, 0, 64, R]);
    assert_eq!(bench.read(init, AT, 64 * 4096), vec![0; 64 * 4096]);
}

/// A client could otherwise end a server by revoking the memory that it had shared with it.
#[test]
fn revoked_memory_is_out_of_reach_but_does_not_fault() {
    let mut bench = Bench::new();
    let init = bench.init;
    let other = bench.spawn(init, 64);
    let free = bench.free_frames();
    let memory = bench.get(init, Syscall::MemoryCreate, &[2, 3, 0]);
    bench.get(init, Syscall::MemoryMap, &[0, memory, AT, 0, 3, W]);
    let there = bench.grant(init, memory, other.slot);
    bench.get(init, Syscall::MemoryMap, &[other.slot, there, AT, 0, 3, W]);
    bench.write(init, AT, b"secret");
    bench.get(init, Syscall::CapRevoke, &[memory]);
    bench.check();
    // The former holder reads zeros, and what it writes reaches nobody.
    assert_eq!(bench.read(other.thread, AT, 6), [0; 6]);
    bench.write(other.thread, AT + 4096, b"lost");
    assert_eq!(bench.read(other.thread, AT, 4), b"lost");
    assert_eq!(bench.read(init, AT, 6), b"secret");
    assert_eq!(bench.read(init, AT + 4096, 4), [0; 4]);
    // Its pages count as mapped until it unmaps them, and can then be used again.
    let busy = bench.get(other.thread, Syscall::MemoryCreate, &[2, 1, 0]);
    let map = [0, busy, AT, 0, 1, R];
    let refused = bench.call(other.thread, Syscall::MemoryMap, &map);
    assert_eq!(refused, Err(Error::Busy));
    bench.get(other.thread, Syscall::MemoryUnmap, &[0, AT, 3]);
    bench.get(other.thread, Syscall::MemoryMap, &map);
    bench.get(other.thread, Syscall::CapDelete, &[busy]);
    bench.get(init, Syscall::CapDelete, &[memory]);
    bench.check();
    assert!(free - bench.free_frames() < 8);
}

#[test]
fn revoked_code_does_not_run() {
    let mut bench = Bench::new();
    let init = bench.init;
    let other = bench.spawn(init, 64);
    let memory = bench.get(init, Syscall::MemoryCreate, &[2, 1, 0]);
    let there = bench.grant(init, memory, other.slot);
    bench.get(init, Syscall::MemoryMap, &[other.slot, there, AT, 0, 1, X]);
    bench.get(init, Syscall::CapRevoke, &[memory]);
    bench.check();
    // It can be written by its owner now: nobody executes it any more.
    bench.get(init, Syscall::MemoryMap, &[0, memory, AT, 0, 1, W]);
    bench.check();
}

#[test]
fn nothing_is_writable_and_executable_at_the_same_time() {
    let mut bench = Bench::new();
    let init = bench.init;
    let memory = bench.get(init, Syscall::MemoryCreate, &[2, 1, 0]);
    let mut map =
        |memory, at, prot| bench.call(init, Syscall::MemoryMap, &[0, memory, at, 0, 1, prot]);
    assert_eq!(map(memory, AT, W | X), Err(Error::Refused));
    assert_eq!(map(memory, AT, 8), Err(Error::BadArgument));
    assert!(map(memory, AT, W).is_ok());
    assert_eq!(map(memory, AT + 4096, X), Err(Error::Busy));
    bench.get(init, Syscall::MemoryUnmap, &[0, AT, 1]);
    bench.get(init, Syscall::MemoryMap, &[0, memory, AT, 0, 1, X]);
    let write = bench.call(init, Syscall::MemoryMap, &[0, memory, AT + 4096, 0, 1, W]);
    assert_eq!(write, Err(Error::Busy));
    bench.get(init, Syscall::MemoryMap, &[0, memory, AT + 4096, 0, 1, R]);
    // By way of another capability and another process, too.
    let other = bench.spawn(init, 64);
    let there = bench.grant(init, memory, other.slot);
    let write = bench.call(other.thread, Syscall::MemoryMap, &[0, there, AT, 0, 1, W]);
    assert_eq!(write, Err(Error::Busy));
    bench.get(init, Syscall::ProcessKill, &[other.slot, 0]);
    bench.check();
}

#[test]
fn rights_bound_the_protection() {
    let mut bench = Bench::new();
    let init = bench.init;
    let memory = bench.get(init, Syscall::MemoryCreate, &[2, 1, 0]);
    let read = Rights::READ.bits() as u64;
    let narrow = bench.get(init, Syscall::CapDerive, &[memory, read, 0]);
    for prot in [W, X] {
        let map = bench.call(init, Syscall::MemoryMap, &[0, narrow, AT, 0, 1, prot]);
        assert_eq!(map, Err(Error::NoRights));
    }
    bench.get(init, Syscall::MemoryMap, &[0, narrow, AT, 0, 1, R]);
    // A read-only page is no place for the kernel to write to on the user's behalf.
    let status = bench.call(init, Syscall::ProcessStatus, &[1, AT]);
    assert_eq!(status, Err(Error::BadAddress));
    bench.check();
}

#[test]
fn places_that_are_wrong_or_taken_are_refused() {
    let mut bench = Bench::new();
    let init = bench.init;
    let memory = bench.get(init, Syscall::MemoryCreate, &[2, 4, 0]);
    for (address, first, pages, expected) in [
        (0, 0, 1, Error::BadArgument),
        (0xf000, 0, 1, Error::BadArgument),
        (AT + 1, 0, 1, Error::BadArgument),
        (AT, 0, 0, Error::BadArgument),
        (AT, 0, 5, Error::BadArgument),
        (AT, 4, 1, Error::BadArgument),
        (AT, u32::MAX as u64, 2, Error::BadArgument),
        (AT, 0, 1 << 32, Error::BadArgument),
        (AT, 1 << 40, 1, Error::BadArgument),
        (USER_END - 4096, 0, 2, Error::BadArgument),
        (USER_END, 0, 1, Error::BadArgument),
        (u64::MAX - 4095, 0, 1, Error::BadArgument),
        (0xffff_8000_0000_0000, 0, 1, Error::BadArgument),
        (SCRATCH - 4096, 0, 4, Error::Busy),
    ] {
        let request = [0, memory, address, first, pages, W];
        let map = bench.call(init, Syscall::MemoryMap, &request);
        assert_eq!(map, Err(expected), "{address:#x} {first} {pages}");
    }
    // The failed mapping left nothing behind.
    bench.check();
    bench.get(
        init,
        Syscall::MemoryMap,
        &[0, memory, USER_END - 4096, 0, 1, W],
    );
    bench.check();
}

#[test]
fn unmapping_takes_whole_mappings_only() {
    let mut bench = Bench::new();
    let init = bench.init;
    let memory = bench.get(init, Syscall::MemoryCreate, &[2, 4, 0]);
    bench.get(init, Syscall::MemoryMap, &[0, memory, AT, 0, 2, W]);
    bench.get(init, Syscall::MemoryMap, &[0, memory, AT + 0x2000, 2, 2, W]);
    for (address, pages) in [
        (AT, 1),
        (AT, 3),
        (AT + 0x1000, 3),
        (AT + 0x8000, 1),
        (AT, 0),
        (AT, u64::MAX),
    ] {
        let unmap = bench.call(init, Syscall::MemoryUnmap, &[0, address, pages]);
        assert_eq!(unmap, Err(Error::BadArgument), "{address:#x} {pages}");
    }
    bench.get(init, Syscall::MemoryUnmap, &[0, AT, 4]);
    bench.check();
    let again = bench.call(init, Syscall::MemoryUnmap, &[0, AT, 4]);
    assert_eq!(again, Err(Error::BadArgument));
}

#[test]
fn a_huge_wish_fails_before_any_work() {
    let mut bench = Bench::new();
    let init = bench.init;
    let free = bench.free_frames();
    for pages in [free as u64, 1 << 20, 1 << 31, u32::MAX as u64, u64::MAX] {
        for layout in [0, 1] {
            let create = bench.call(init, Syscall::MemoryCreate, &[2, pages, layout]);
            assert!(matches!(create, Err(Error::NoBudget | Error::BadArgument)));
        }
    }
    let zero = bench.call(init, Syscall::MemoryCreate, &[2, 0, 0]);
    assert_eq!(zero, Err(Error::BadArgument));
    assert_eq!(bench.free_frames(), free);
    bench.check();
}

#[test]
fn large_objects_are_listed_in_two_levels() {
    let mut bench = Bench::with_frames(8192);
    let init = bench.init;
    let free = bench.free_frames();
    for pages in [1000, 1001, 2048, 3000] {
        let memory = bench.get(init, Syscall::MemoryCreate, &[2, pages, 0]);
        bench.check();
        bench.get(init, Syscall::MemoryMap, &[0, memory, AT, 0, pages, W]);
        bench.write(init, AT + (pages - 1) * 4096, b"end");
        bench.get(init, Syscall::CapDelete, &[memory]);
        bench.check();
    }
    assert!(
        free - bench.free_frames() < 12,
        "only page tables and records stay"
    );
    // Just too large for the page lists on top: all is given back.
    let left = bench.free_frames() as u64;
    let create = bench.call(init, Syscall::MemoryCreate, &[2, left - 2, 0]);
    assert_eq!(create, Err(Error::NoBudget));
    assert_eq!(bench.free_frames() as u64, left);
    bench.check();
}

#[test]
fn contiguous_memory_is_contiguous() {
    let mut bench = Bench::new();
    let init = bench.init;
    let free = bench.free_frames();
    for pages in [1, 2, 3, 5, 64, 100] {
        let memory = bench.get(init, Syscall::MemoryCreate, &[2, pages, 1]);
        let found = crate::cap::find(&bench.kernel.store, bench.process(init), memory).unwrap();
        let first = bench.kernel.page_frame(found.object(), 0).unwrap();
        for page in 0..pages as u32 {
            let frame = bench.kernel.page_frame(found.object(), page).unwrap();
            assert_eq!(frame.0, first.0 + page);
        }
        bench.check();
        bench.get(init, Syscall::CapDelete, &[memory]);
    }
    assert_eq!(bench.free_frames(), free);
    bench.check();
}

#[test]
fn page_tables_are_paid_by_the_process_and_bounded() {
    let mut bench = Bench::new();
    let init = bench.init;
    let child = bench.spawn(init, 24);
    let me = child.thread;
    let memory = bench.get(me, Syscall::MemoryCreate, &[2, 1, 0]);
    // Far apart, so that each needs tables of its own.
    let answers: Vec<_> = (1..20u64)
        .map(|index| {
            let request = [0, memory, index << 39, 0, 1, R];
            bench.call(me, Syscall::MemoryMap, &request)
        })
        .collect();
    assert!(answers.contains(&Err(Error::NoBudget)));
    bench.check();
    // Its parent has all it had.
    bench.get(init, Syscall::NotificationCreate, &[2]);
    bench.get(init, Syscall::ProcessKill, &[child.slot, 0]);
    bench.check();
}
