//! What the first process finds, and what keeps a machine from starting.

use crate::boot::BootError;
use crate::testing::{Bench, archive_of, boot_with, tiny_elf};
use kernel_abi::{BOOT_STACK_TOP, Error, Kind, Rights, Syscall, boot_slots};

#[test]
fn init_has_everything_and_its_image_is_loaded() {
    let mut bench = Bench::new();
    let init = bench.init;
    for (slot, kind) in [
        (1, Kind::Process),
        (2, Kind::Budget),
        (boot_slots::CONSOLE.0, Kind::Console),
        (boot_slots::CLOCK.0, Kind::Clock),
        (boot_slots::MACHINE.0, Kind::Machine),
        (boot_slots::ARCHIVE.0, Kind::Memory),
        (boot_slots::FIRST_DEVICE.0, Kind::Device),
    ] {
        let info = bench.get(init, Syscall::CapInfo, &[slot as u64]);
        assert_eq!(info & 0xff, kind as u64);
    }
    assert_eq!(bench.read(init, 0x40_0100, 16), b"sixteen bytes ok");
    assert_eq!(bench.read(init, 0x40_1110, 9), b"data ok!\0");
    bench.write(init, BOOT_STACK_TOP - 8, &[1; 8]);
    // Text is not writable, and below the stack is nothing.
    let console = boot_slots::CONSOLE.0 as u64;
    for target in [0x40_0100, BOOT_STACK_TOP - 33 * 4096] {
        let read = bench.call(init, Syscall::ConsoleRead, &[console, target, 1]);
        assert_eq!(read, Err(Error::BadAddress));
    }
    bench.check();
}

#[test]
fn the_archive_can_be_read_and_not_written() {
    let mut bench = Bench::new();
    let init = bench.init;
    let archive = boot_slots::ARCHIVE.0 as u64;
    let expected = archive_of(&[("init", &tiny_elf())]);
    let info = bench.call(init, Syscall::MemoryInfo, &[archive]).unwrap();
    assert_eq!(info[1], expected.len() as u64);
    bench.get(
        init,
        Syscall::MemoryMap,
        &[0, archive, 0x100_0000, 0, info[0], 1],
    );
    assert_eq!(bench.read(init, 0x100_0000, expected.len()), expected);
    let write = bench.call(init, Syscall::MemoryMap, &[0, archive, 0x200_0000, 0, 1, 2]);
    assert_eq!(write, Err(Error::NoRights));
    let before = bench.free_frames();
    bench.get(init, Syscall::CapDelete, &[archive]);
    // Its header comes back; its pages were never the kernel's.
    assert_eq!(bench.free_frames(), before + 1);
    bench.check();
}

#[test]
fn all_memory_is_inits_budget() {
    let mut bench = Bench::new();
    let init = bench.init;
    let [limit, used, _] = bench.call(init, Syscall::BudgetInfo, &[2]).unwrap();
    assert_eq!(limit - used, bench.free_frames() as u64);
}

#[test]
fn what_is_missing_is_said() {
    let failure = |frames, archive: &[u8]| match boot_with(frames, archive) {
        Err(error) => error,
        Ok(_) => panic!("it booted"),
    };
    assert_eq!(failure(512, &[]), BootError::NoArchive);
    assert!(BootError::NoArchive.to_string().contains("-initrd"));
    assert_eq!(failure(512, b"no archive"), BootError::BadArchive);
    let other = archive_of(&[("other", &tiny_elf())]);
    assert_eq!(failure(512, &other), BootError::NoInit);
    let bad = archive_of(&[("init", b"#!/bin/sh")]);
    assert!(matches!(failure(512, &bad), BootError::BadInit(_)));
    let good = archive_of(&[("init", &tiny_elf())]);
    assert_eq!(failure(60, &good), BootError::TooLittleMemory);
}

#[test]
fn a_broken_program_never_panics_the_loader() {
    let good = tiny_elf();
    for at in 0..0x100 {
        for value in [0, 1, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            if let Ok(bench) = boot_with(128, &archive_of(&[("init", &bad)])) {
                bench.check();
            }
        }
    }
}

#[test]
fn rights_of_kinds_do_not_exceed_what_exists() {
    let mut bench = Bench::new();
    let init = bench.init;
    let archive = boot_slots::ARCHIVE.0 as u64;
    let info = bench.get(init, Syscall::CapInfo, &[archive]);
    assert_eq!((info >> 8) as u32, (Rights::READ | Rights::GRANT).bits());
}
