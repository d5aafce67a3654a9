//! What memory a device reaches, and what happens when it tries to reach more.

use crate::object::{Device, Tcb};
use crate::phys::Frame;
use crate::platform::{DmaFault, Trap};
use crate::store::Ref;
use crate::testing::{Bench, NIC};
use crate::tests::devices::{command, info, nic};
use kernel_abi::{Error, Rights, Syscall};

/// Where a process maps it.
const AT: u64 = 0x2000_0000;

fn reaches(bench: &Bench, frame: u64) -> bool {
    reach(bench, frame).is_some()
}

/// Whether the card reaches a frame, and then whether it also writes there.
fn reach(bench: &Bench, frame: u64) -> Option<bool> {
    let memory = &bench.kernel.store.memory;
    let platform = &bench.kernel.platform;
    platform.reaches(memory, NIC, Frame(frame as u32))
}

fn strays(bench: &mut Bench, address: u64) {
    bench.kernel.platform.dma_faults.push_back(DmaFault {
        device: NIC,
        address,
        write: true,
    });
    let init = bench.init;
    bench.trap(init, Trap::DmaFault);
}

#[test]
fn a_device_reaches_what_its_driver_mapped_and_the_driver_pays() {
    let mut bench = Bench::new();
    let init = bench.init;
    let slot = nic(&mut bench);
    let free = bench.free_frames();
    let driver = bench.spawn(init, 128);
    let there = bench.grant(init, slot, driver.slot);
    let me = driver.thread;
    let pool = bench.get(me, Syscall::MemoryCreate, &[2, 16, 1]);
    let other = bench.get(me, Syscall::MemoryCreate, &[2, 1, 1]);
    let before = bench.call(me, Syscall::BudgetInfo, &[2]).unwrap();
    let [address, ..] = bench
        .call(me, Syscall::DeviceDmaMap, &[there, pool])
        .unwrap();
    let after = bench.call(me, Syscall::BudgetInfo, &[2]).unwrap();
    assert_ne!(before, after, "the tables are paid by the driver");
    let first = address / 4096;
    for (frame, expected) in [(first - 1, false), (first, true), (first + 15, true)] {
        assert_eq!(reaches(&bench, frame), expected);
    }
    // The invariants say the same of every frame of the machine.
    bench.check();
    bench.get(me, Syscall::DeviceDmaMap, &[there, other]);
    bench.check();
    bench.get(me, Syscall::DeviceQuiesce, &[there]);
    assert!(!reaches(&bench, first));
    let back = bench.call(me, Syscall::BudgetInfo, &[2]).unwrap();
    assert_eq!(back, before);
    bench.check();
    bench.get(me, Syscall::DeviceDmaMap, &[there, pool]);
    // The dead driver's memory and tables stay until its device is quiet.
    bench.get(init, Syscall::ProcessKill, &[driver.slot, 0]);
    bench.get(init, Syscall::CapDelete, &[driver.slot]);
    assert!(reaches(&bench, first));
    bench.check();
    bench.get(init, Syscall::DeviceQuiesce, &[slot]);
    assert!(!reaches(&bench, first));
    assert_eq!(bench.free_frames(), free);
    bench.check();
}

/// A capability with less, to the same memory.
fn derived(bench: &mut Bench, me: Ref<Tcb>, memory: u64, rights: Rights) -> u64 {
    bench.get(me, Syscall::CapDerive, &[memory, rights.bits() as u64, 0])
}

#[test]
fn a_device_may_do_with_memory_what_the_capability_may() {
    let mut bench = Bench::new();
    let init = bench.init;
    let card = nic(&mut bench);
    let pool = bench.get(init, Syscall::MemoryCreate, &[2, 4, 1]);
    let to_read = derived(&mut bench, init, pool, Rights::READ | Rights::DMA);
    for too_little in [Rights::READ | Rights::WRITE, Rights::DMA | Rights::WRITE] {
        let less = derived(&mut bench, init, pool, too_little);
        let refused = bench.call(init, Syscall::DeviceDmaMap, &[card, less]);
        assert_eq!(refused, Err(Error::NoRights));
    }
    let map = |bench: &mut Bench, slot| bench.call(init, Syscall::DeviceDmaMap, &[card, slot]);
    let [address, ..] = map(&mut bench, to_read).unwrap();
    let first = address / 4096;
    assert_eq!(reach(&bench, first), Some(false));
    assert_eq!(reach(&bench, first + 3), Some(false));
    bench.check();
    // It writes nothing, so what is there may be executed meanwhile. To have it write, too, it is quiesced first.
    bench.get(init, Syscall::MemoryMap, &[0, pool, AT, 0, 1, 4]);
    assert_eq!(map(&mut bench, pool), Err(Error::Busy));
    bench.get(init, Syscall::MemoryUnmap, &[0, AT, 1]);
    assert_eq!(map(&mut bench, pool), Err(Error::Busy));
    assert_eq!(map(&mut bench, to_read).map(|[at, ..]| at), Ok(address));
    assert_eq!(reach(&bench, first), Some(false));
    bench.check();
    bench.get(init, Syscall::DeviceQuiesce, &[card]);
    bench.check();
    map(&mut bench, pool).unwrap();
    assert_eq!(reach(&bench, first), Some(true));
    // It may write there already: to have it read is nothing new.
    map(&mut bench, to_read).unwrap();
    assert_eq!(reach(&bench, first), Some(true));
    let executed = bench.call(init, Syscall::MemoryMap, &[0, pool, AT, 0, 1, 4]);
    assert_eq!(executed, Err(Error::Busy));
    bench.check();
    bench.get(init, Syscall::DeviceQuiesce, &[card]);
    bench.check();
}

#[test]
fn without_a_unit_a_device_counts_as_one_that_writes() {
    let mut bench = Bench::new();
    bench.kernel.platform.isolates = false;
    let init = bench.init;
    let card = nic(&mut bench);
    let pool = bench.get(init, Syscall::MemoryCreate, &[2, 4, 1]);
    let to_read = derived(&mut bench, init, pool, Rights::READ | Rights::DMA);
    bench.get(init, Syscall::DeviceDmaMap, &[card, to_read]);
    let executed = bench.call(init, Syscall::MemoryMap, &[0, pool, AT, 0, 1, 4]);
    assert_eq!(executed, Err(Error::Busy));
    bench.check();
}

#[test]
fn without_budget_for_the_tables_nothing_is_reachable() {
    let mut bench = Bench::new();
    let init = bench.init;
    let slot = nic(&mut bench);
    let driver = bench.spawn(init, 64);
    let there = bench.grant(init, slot, driver.slot);
    let me = driver.thread;
    let pool = bench.get(me, Syscall::MemoryCreate, &[2, 4, 1]);
    // Takes one page after the other, until none is left; each time the tables fit or nothing has happened.
    let mut taken = Vec::new();
    while let Ok([memory, ..]) = bench.call(me, Syscall::MemoryCreate, &[2, 1, 0]) {
        taken.push(memory);
    }
    loop {
        let mapped = bench.call(me, Syscall::DeviceDmaMap, &[there, pool]);
        bench.check();
        match mapped {
            Ok(_) => break,
            Err(error) => assert_eq!(error, Error::NoBudget),
        }
        let memory = taken.pop().unwrap();
        bench.get(me, Syscall::CapDelete, &[memory]);
    }
    bench.get(me, Syscall::DeviceQuiesce, &[there]);
    bench.check();
}

#[test]
fn a_device_that_strays_is_stopped_and_its_watcher_told() {
    let mut bench = Bench::new();
    let init = bench.init;
    let slot = nic(&mut bench);
    let bell = bench.get(init, Syscall::NotificationCreate, &[2]);
    bench.get(init, Syscall::DeviceWatch, &[slot, bell, 4]);
    bench.get(init, Syscall::DeviceStart, &[slot]);
    assert_eq!(command(&bench) & 4, 4);
    strays(&mut bench, 0x10_0000);
    assert_eq!(command(&bench) & 4, 0);
    assert_eq!(bench.get(init, Syscall::NotificationWait, &[bell, 7, 0]), 4);
    assert_eq!(info(&mut bench, slot).unwrap().strays, 1);
    let start = bench.call(init, Syscall::DeviceStart, &[slot]);
    assert_eq!(start, Err(Error::BadState));
    // What was under way is not counted again.
    strays(&mut bench, 0x10_1000);
    assert_eq!(bench.get(init, Syscall::NotificationWait, &[bell, 7, 0]), 0);
    assert_eq!(info(&mut bench, slot).unwrap().strays, 1);
    bench.check();
    bench.get(init, Syscall::DeviceQuiesce, &[slot]);
    bench.get(init, Syscall::DeviceStart, &[slot]);
    bench.get(init, Syscall::DeviceWatch, &[slot, 0, 0]);
    strays(&mut bench, 0);
    assert_eq!(info(&mut bench, slot).unwrap().strays, 2);
    assert_eq!(command(&bench) & 4, 0);
    // One that nobody has a capability to any more is stopped as well.
    bench.get(init, Syscall::CapDelete, &[slot]);
    strays(&mut bench, 0);
    bench.check();
}

#[test]
fn a_driver_cannot_take_the_watch_away() {
    let mut bench = Bench::new();
    let init = bench.init;
    let slot = nic(&mut bench);
    let driver = bench.spawn(init, 64);
    let rights = Rights::READ | Rights::MANAGE | Rights::DMA;
    let args = [driver.slot, slot, 0, rights.bits() as u64, 0];
    let there = bench.get(init, Syscall::ProcessGrant, &args);
    let refused = bench.call(driver.thread, Syscall::DeviceWatch, &[there, 0, 0]);
    assert_eq!(refused, Err(Error::NoRights));
}

#[test]
fn a_machine_without_a_unit_works_as_before() {
    let mut bench = Bench::new();
    bench.kernel.platform.isolates = false;
    let init = bench.init;
    let slot = nic(&mut bench);
    let pool = bench.get(init, Syscall::MemoryCreate, &[2, 4, 1]);
    bench.get(init, Syscall::DeviceDmaMap, &[slot, pool]);
    bench.check();
    bench.get(init, Syscall::DeviceQuiesce, &[slot]);
    bench.check();
    assert!(bench.kernel.devices.iter().all(|device| {
        let entry: Result<&Device, Error> = bench.kernel.store.get(*device);
        entry.unwrap().domain.is_none()
    }));
}
