//! PCI functions: what is found, what a driver gets, and that a device is quiet before its memory is reused.

use crate::object::Device;
use crate::platform::Trap;
use crate::store::Ref;
use crate::testing::{Bench, MSIX_TABLE, NIC, REGISTERS, SCRATCH};
use kernel_abi::{DeviceInfo, Error, FOREVER, Syscall, Words, boot_slots};

const FIRST: u64 = boot_slots::FIRST_DEVICE.0 as u64;
const AT: u64 = 0x2000_0000;

pub(super) fn info(bench: &mut Bench, slot: u64) -> Result<DeviceInfo, Error> {
    let init = bench.init;
    bench.call(init, Syscall::DeviceInfo, &[slot, SCRATCH])?;
    let words = bench.words(init, SCRATCH, 12);
    Ok(DeviceInfo::from_words(&words.try_into().unwrap()).unwrap())
}

/// Slot of the simulated network card.
pub(super) fn nic(bench: &mut Bench) -> u64 {
    (FIRST..FIRST + 32)
        .find(|slot| info(bench, *slot).is_ok_and(|info| info.address == NIC))
        .unwrap()
}

pub(super) fn command(bench: &Bench) -> u32 {
    bench.kernel.platform.config[&(NIC, 4)]
}

fn vector_control(bench: &Bench, entry: u64) -> u32 {
    bench.kernel.platform.registers[&(MSIX_TABLE + entry * 16 + 12)]
}

#[test]
fn functions_on_all_buses_are_found_and_sized() {
    let mut bench = Bench::new();
    let found: Vec<_> = (FIRST..)
        .map_while(|slot| info(&mut bench, slot).ok())
        .map(|info| info.address)
        .collect();
    // The bridges are none, though one of them names bus 0 again.
    let mut sorted = found.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [0, NIC, 1 << 8]);
    let slot = nic(&mut bench);
    let card = info(&mut bench, slot).unwrap();
    assert_eq!(
        (card.vendor, card.device, card.class),
        (0x1af4, 0x1041, 0x02_0000)
    );
    assert_eq!(card.msix_entries, 4);
    assert_eq!(card.bars.map(|bar| bar.len), [0, 0x1000, 0, 0, 0x4000, 0]);
    // Registers are as they were, decoding is on, bus mastering and INTx are off.
    let config = &bench.kernel.platform.config;
    assert_eq!(config[&(NIC, 0x14)], MSIX_TABLE as u32);
    assert_eq!(config[&(NIC, 0x20)], REGISTERS as u32 | 4);
    assert_eq!(config[&(NIC, 0x24)], (REGISTERS >> 32) as u32);
    assert_eq!(command(&bench) & 0x406, 0x402);
    assert_eq!(config[&(1 << 3, 4)] & 6, 6);
}

#[test]
fn configuration_space_can_be_read_in_all_widths() {
    let mut bench = Bench::new();
    let init = bench.init;
    let slot = nic(&mut bench);
    for (offset, width, expected) in [
        (0, 4, Ok(0x1041_1af4)),
        (0, 2, Ok(0x1af4)),
        (2, 2, Ok(0x1041)),
        (3, 1, Ok(0x10)),
        (4092, 4, Ok(0)),
        (1, 2, Err(Error::BadArgument)),
        (0, 3, Err(Error::BadArgument)),
        (0, 0, Err(Error::BadArgument)),
        (4096, 1, Err(Error::BadArgument)),
        (u64::MAX, 1, Err(Error::BadArgument)),
    ] {
        let read = bench.call(init, Syscall::DeviceConfigRead, &[slot, offset, width]);
        assert_eq!(read.map(|[value, ..]| value), expected, "{offset} {width}");
    }
}

#[test]
fn a_driver_gets_registers_but_not_the_table_of_vectors() {
    let mut bench = Bench::new();
    let init = bench.init;
    let slot = nic(&mut bench);
    let bar = bench.get(init, Syscall::DeviceBar, &[slot, 4]);
    bench.get(init, Syscall::MemoryMap, &[0, bar, AT, 0, 4, 2]);
    // The kernel does not read registers on the user's behalf.
    let write = bench.call(init, Syscall::ConsoleWrite, &[3, AT, 4]);
    assert_eq!(write, Err(Error::BadAddress));
    for (index, expected) in [
        (1, Error::Refused),
        (0, Error::NotSupported),
        (5, Error::NotSupported),
        (6, Error::BadArgument),
        (u64::MAX, Error::BadArgument),
    ] {
        let bar = bench.call(init, Syscall::DeviceBar, &[slot, index]);
        assert_eq!(bar, Err(expected), "{index}");
    }
    let exec = bench.call(init, Syscall::MemoryMap, &[0, bar, AT + 0x10_0000, 0, 1, 4]);
    assert_eq!(exec, Err(Error::NoRights));
    bench.check();
    // It hangs below the device: whoever revokes that takes the registers away.
    bench.get(init, Syscall::CapRevoke, &[slot]);
    let gone = bench.call(init, Syscall::MemoryInfo, &[bar]);
    assert_eq!(gone, Err(Error::BadSlot));
    bench.check();
}

#[test]
fn pages_of_the_table_inside_a_larger_bar_are_holes() {
    let mut bench = Bench::new();
    let init = bench.init;
    let slot = nic(&mut bench);
    let found = crate::cap::find(&bench.kernel.store, bench.process(init), slot).unwrap();
    let device: Ref<Device> = found.object();
    if let Some(msix) = &mut bench.kernel.store.get_mut(device).unwrap().msix {
        msix.table_place = (4, 0x1000, 64);
        msix.pending_place = (4, 0x3ff8, 8);
    }
    let bar = bench.get(init, Syscall::DeviceBar, &[slot, 4]);
    for (first, pages, fits) in [
        (0, 1, true),
        (1, 1, false),
        (2, 1, true),
        (3, 1, false),
        (0, 4, false),
    ] {
        let map = [0, bar, AT + first * 0x1_0000, first, pages, 2];
        let mapped = bench.call(init, Syscall::MemoryMap, &map);
        assert_eq!(mapped.err(), (!fits).then_some(Error::Refused), "{first}");
    }
    bench.check();
}

#[test]
fn a_bar_over_ram_is_refused() {
    let mut bench = Bench::new();
    let init = bench.init;
    let slot = nic(&mut bench);
    let found = crate::cap::find(&bench.kernel.store, bench.process(init), slot).unwrap();
    let device: Ref<Device> = found.object();
    for base in [0, 0x10_0000, 0x7f_c000] {
        bench.kernel.store.get_mut(device).unwrap().bars[4].base = base;
        let bar = bench.call(init, Syscall::DeviceBar, &[slot, 4]);
        assert_eq!(bar, Err(Error::Refused), "{base:#x}");
    }
    bench.kernel.store.get_mut(device).unwrap().bars[1].base = 0x10_0000;
    bench.kernel.distrust_msix(device).unwrap();
    assert_eq!(info(&mut bench, slot).unwrap().msix_entries, 0);
}

#[test]
fn an_interrupt_comes_twice_at_most_until_it_is_acknowledged() {
    let mut bench = Bench::new();
    let init = bench.init;
    let slot = nic(&mut bench);
    let bell = bench.get(init, Syscall::NotificationCreate, &[2]);
    let interrupt = bench.get(init, Syscall::DeviceInterrupt, &[slot, 2, bell, 16]);
    let config = bench.kernel.platform.config[&(NIC, 0x98)];
    assert_eq!(config >> 30, 2, "on, and not masked as a whole");
    assert_eq!(
        [0, 1, 2, 3].map(|entry| vector_control(&bench, entry)),
        [1, 1, 0, 1]
    );
    let data = bench.kernel.platform.registers[&(MSIX_TABLE + 2 * 16 + 8)];
    let vector = data as u8;
    for masked in [0, 1, 1] {
        bench.trap(init, Trap::Interrupt(vector));
        assert_eq!(vector_control(&bench, 2), masked);
        // Told each time: what it is about may have come after the driver looked.
        assert_eq!(
            bench.get(init, Syscall::NotificationWait, &[bell, 16, 0]),
            16
        );
    }
    for _ in 0..3 {
        bench.get(init, Syscall::InterruptAck, &[interrupt]);
        assert_eq!(vector_control(&bench, 2), 0);
        bench.trap(init, Trap::Interrupt(vector));
        assert_eq!(vector_control(&bench, 2), 0);
        bench.get(init, Syscall::NotificationWait, &[bell, 16, 0]);
    }
    let twice = bench.call(init, Syscall::DeviceInterrupt, &[slot, 2, bell, 1]);
    assert_eq!(twice, Err(Error::Busy));
    let beyond = bench.call(init, Syscall::DeviceInterrupt, &[slot, 4, bell, 1]);
    assert_eq!(beyond, Err(Error::NotSupported));
    // Vectors without an owner are ignored.
    for vector in [0, 0x57, 0xff] {
        bench.trap(init, Trap::Interrupt(vector));
    }
    bench.check();
    // Its capability dropped: masked, and free for another.
    bench.get(init, Syscall::CapDelete, &[interrupt]);
    assert_eq!(vector_control(&bench, 2), 1);
    bench.get(init, Syscall::DeviceInterrupt, &[slot, 2, bell, 1]);
    bench.check();
}

#[test]
fn a_wait_acknowledges_and_rings_first() {
    let mut bench = Bench::new();
    let init = bench.init;
    let slot = nic(&mut bench);
    let peer = bench.spawn(init, 64);
    let [mine, theirs] = [0; 2].map(|_| bench.get(init, Syscall::NotificationCreate, &[2]));
    let bell = bench.get(
        init,
        Syscall::CapDerive,
        &[theirs, u64::from(u32::MAX >> 21), 8],
    );
    let interrupt = bench.get(init, Syscall::DeviceInterrupt, &[slot, 2, mine, 16]);
    let data = bench.kernel.platform.registers[&(MSIX_TABLE + 2 * 16 + 8)];
    let far = bench.grant(init, theirs, peer.slot);
    bench.wait(
        peer.thread,
        Syscall::NotificationWait,
        &[far, u64::MAX, FOREVER],
    );
    for _ in 0..2 {
        bench.trap(init, Trap::Interrupt(data as u8));
    }
    assert_eq!(vector_control(&bench, 2), 1);
    let wait = [mine, 16, 0, bell, interrupt];
    assert_eq!(bench.get(init, Syscall::NotificationWait, &wait), 16);
    assert_eq!(vector_control(&bench, 2), 0);
    assert_eq!(bench.result(peer.thread), Some(Ok([8, 0, 0])));
    // What was not done ends the call: nobody waits for an answer to a bell that did not ring.
    for (bell, interrupt, error) in [
        (far | 1 << 20, 0, Error::BadSlot),
        (0, 999, Error::BadSlot),
        (interrupt, 0, Error::WrongKind),
        (0, bell, Error::WrongKind),
    ] {
        let wait = [mine, 16, FOREVER, bell, interrupt];
        let refused = bench.call(init, Syscall::NotificationWait, &wait);
        assert_eq!(refused, Err(error));
    }
    bench.check();
}

#[test]
fn vectors_run_out_with_an_error() {
    let mut bench = Bench::new();
    let init = bench.init;
    let slot = nic(&mut bench);
    let bell = bench.get(init, Syscall::NotificationCreate, &[2]);
    let found = crate::cap::find(&bench.kernel.store, bench.process(init), slot).unwrap();
    let device: Ref<Device> = found.object();
    bench
        .kernel
        .store
        .get_mut(device)
        .unwrap()
        .msix
        .as_mut()
        .unwrap()
        .entries = 64;
    let made = (0..64u64)
        .filter(|entry| {
            let request = [slot, *entry, bell, 1];
            bench.call(init, Syscall::DeviceInterrupt, &request).is_ok()
        })
        .count();
    assert_eq!(made, 8);
    bench.check();
}

#[test]
fn a_dead_drivers_memory_stays_until_the_device_is_quiet() {
    let mut bench = Bench::new();
    let init = bench.init;
    let slot = nic(&mut bench);
    let free = bench.free_frames();
    let driver = bench.spawn(init, 128);
    let there = bench.grant(init, slot, driver.slot);
    let me = driver.thread;
    let pool = bench.get(me, Syscall::MemoryCreate, &[2, 16, 1]);
    let scattered = bench.get(me, Syscall::MemoryCreate, &[2, 2, 0]);
    let refused = bench.call(me, Syscall::DeviceDmaMap, &[there, scattered]);
    assert_eq!(refused, Err(Error::BadArgument));
    let [address, bytes, _] = bench
        .call(me, Syscall::DeviceDmaMap, &[there, pool])
        .unwrap();
    assert_eq!(bytes, 16 * 4096);
    let again = bench
        .call(me, Syscall::DeviceDmaMap, &[there, pool])
        .unwrap();
    assert_eq!(again, [address, bytes, 0]);
    let exec = bench.call(me, Syscall::MemoryMap, &[0, pool, AT, 0, 1, 4]);
    assert_eq!(exec, Err(Error::Busy), "a device could write to it");
    let bell = bench.get(me, Syscall::NotificationCreate, &[2]);
    bench.get(me, Syscall::DeviceInterrupt, &[there, 0, bell, 1]);
    bench.get(me, Syscall::DeviceStart, &[there]);
    assert_eq!(command(&bench) & 4, 4);
    bench.check();
    bench.get(init, Syscall::ProcessKill, &[driver.slot, 0]);
    bench.get(init, Syscall::CapDelete, &[driver.slot]);
    bench.check();
    // The pool is in nobody's table any more, but the device can still reach it.
    let frame = crate::phys::Frame((address / 4096) as u32);
    assert_eq!(
        bench.kernel.store.kind(frame),
        crate::store::FrameKind::User
    );
    assert!(bench.free_frames() <= free - 17);
    bench.get(init, Syscall::DeviceQuiesce, &[slot]);
    assert_eq!(command(&bench) & 4, 0);
    assert_eq!(vector_control(&bench, 0), 1);
    assert_eq!(bench.kernel.platform.config[&(NIC, 0x98)] >> 31, 0);
    assert_eq!(bench.free_frames(), free);
    bench.check();
}

#[test]
fn quiescing_kills_interrupts_of_a_living_driver() {
    let mut bench = Bench::new();
    let init = bench.init;
    let slot = nic(&mut bench);
    let bell = bench.get(init, Syscall::NotificationCreate, &[2]);
    let interrupt = bench.get(init, Syscall::DeviceInterrupt, &[slot, 0, bell, 1]);
    bench.get(init, Syscall::DeviceQuiesce, &[slot]);
    bench.trap(init, Trap::Interrupt(0x50));
    assert_eq!(bench.get(init, Syscall::NotificationWait, &[bell, 1, 0]), 0);
    let ack = bench.call(init, Syscall::InterruptAck, &[interrupt]);
    assert_eq!(ack, Err(Error::Gone));
    bench.get(init, Syscall::DeviceInterrupt, &[slot, 0, bell, 1]);
    bench.check();
    // The old one goes without touching the new one.
    bench.get(init, Syscall::CapDelete, &[interrupt]);
    assert_eq!(vector_control(&bench, 0), 0);
    bench.check();
    bench.get(init, Syscall::CapDelete, &[slot]);
    bench.check();
    assert_eq!(command(&bench) & 4, 0);
}
