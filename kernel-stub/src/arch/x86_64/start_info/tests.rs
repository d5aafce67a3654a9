//! Start information as QEMU makes it, and broken ones.

use super::super::firmware::testing::Blocks;
use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const AT: u64 = 0x21e0;

fn info(modules: u32, map_entries: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend((MAGIC as u32).to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(modules.to_le_bytes());
    bytes.extend(0x3000_u64.to_le_bytes()); // modules
    bytes.extend(0x4000_u64.to_le_bytes()); // command line
    bytes.extend(0xf_59e0_u64.to_le_bytes());
    bytes.extend(0x5000_u64.to_le_bytes()); // memory map
    bytes.extend(map_entries.to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    bytes
}

fn map(entries: &[(u64, u64, u32)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &(start, len, kind) in entries {
        bytes.extend(start.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
    }
    bytes
}

fn module(start: u64, len: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [start, len, 0, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

fn loader() -> Blocks {
    let mut blocks = Blocks::default();
    blocks.0.insert(AT, info(1, 3));
    blocks.0.insert(0x3000, module(0x7fc_5000, 1234));
    blocks.0.insert(0x4000, b"a b=c\0rest".to_vec());
    blocks.0.insert(
        0x5000,
        map(&[
            (0, 0x9_fc00, 1),
            (0x10_0000, 0x7ee_0000, 1),
            (0xb000_0000, 0x1000_0000, 2),
        ]),
    );
    blocks
}

#[test]
fn copies_everything_out() {
    let info = parse(&mut loader(), AT).unwrap();
    assert_eq!(info.archive, 0x7fc_5000..0x7fc_5000 + 1234);
    assert_eq!(info.command_line.as_slice(), b"a b=c");
    assert_eq!(info.rsdp, 0xf_59e0);
    let kinds: Vec<_> = info.regions.iter().map(|region| region.kind).collect();
    assert_eq!(
        kinds,
        [RegionKind::Ram, RegionKind::Ram, RegionKind::Reserved]
    );
    assert_eq!(info.regions[2].range, 0xb000_0000..0xc000_0000);
}

#[test]
fn another_protocol_is_named() {
    let mut blocks = loader();
    blocks.0.get_mut(&AT).unwrap()[0] = 0;
    let error = parse(&mut blocks, AT).unwrap_err();
    assert_eq!(error, StartInfoError::BadMagic(0x336e_c500));
    let mut blocks = loader();
    blocks.0.get_mut(&AT).unwrap()[4] = 0;
    assert_eq!(
        parse(&mut blocks, AT).unwrap_err(),
        StartInfoError::NoMemoryMap
    );
    for address in [0, AT + 1, u64::MAX - 3, u64::MAX] {
        assert!(parse(&mut loader(), address).is_err());
    }
}

#[test]
fn empty_entries_are_skipped_and_wrapping_ones_cut() {
    let mut blocks = loader();
    let entries = [
        (0, 0, 0),
        (0x10_0000, 0x7ee_0000, 1),
        (u64::MAX - 10, 100, 1),
    ];
    blocks.0.insert(0x5000, map(&entries));
    let info = parse(&mut blocks, AT).unwrap();
    assert_eq!(info.regions.len(), 2);
    assert_eq!(info.regions[1].range, u64::MAX - 10..u64::MAX);
}

#[test]
fn too_many_entries_are_refused() {
    let mut blocks = loader();
    let many = vec![(0x10_0000, 0x7ee_0000, 1); MAX_REGIONS + 1];
    blocks.0.insert(0x5000, map(&many));
    blocks.0.insert(AT, info(1, many.len() as u32));
    assert_eq!(
        parse(&mut blocks, AT).unwrap_err(),
        StartInfoError::TooManyRegions(many.len() as u64)
    );
    let empty = vec![(0, 0, 0); 5 * MAX_REGIONS];
    blocks.0.insert(0x5000, map(&empty));
    blocks.0.insert(AT, info(1, u32::MAX));
    assert_eq!(
        parse(&mut blocks, AT).unwrap_err(),
        StartInfoError::TooManyRegions(u32::MAX.into())
    );
}

#[test]
fn no_archive_is_an_empty_one() {
    let mut blocks = loader();
    blocks.0.insert(AT, info(0, 3));
    assert!(parse(&mut blocks, AT).unwrap().archive.is_empty());
}

#[test]
fn archive_has_to_lie_in_memory() {
    for (start, len) in [
        (0x7fc_5000, 0),
        (0x7fc_5000, 0x10_0000),
        (0xb000_0000, 10),
        (u64::MAX, 2),
        (0x10_0000, u64::MAX),
    ] {
        let mut blocks = loader();
        blocks.0.insert(0x3000, module(start, len));
        assert_eq!(
            parse(&mut blocks, AT).unwrap_err(),
            StartInfoError::BadArchive
        );
    }
}

#[test]
fn command_line_ends_somewhere() {
    let mut blocks = loader();
    blocks.0.insert(0x4000, vec![b'x'; MAX_COMMAND_LINE / 2]);
    let info = parse(&mut blocks, AT).unwrap();
    assert_eq!(info.command_line.len(), MAX_COMMAND_LINE / 2);
    blocks.0.remove(&0x5000);
    let regions = map(&[(0, 1 << 30, 1), (1, 1, 2), (2, 1, 2)]);
    blocks.0.insert(0x10_0000, regions);
    blocks.0.insert(0x4000, vec![b'x'; 0x8000]);
    let mut info = info_bytes_with_map_at(0x10_0000);
    info.truncate(56);
    blocks.0.insert(AT, info);
    let info = parse(&mut blocks, AT).unwrap();
    assert_eq!(info.command_line.len(), MAX_COMMAND_LINE);
}

fn info_bytes_with_map_at(address: u64) -> Vec<u8> {
    let mut bytes = info(1, 3);
    bytes[40..48].copy_from_slice(&address.to_le_bytes());
    bytes
}

proptest! {
    /// Random fields behind a right magic number: a result, no panic.
    #[test]
    fn arbitrary_fields(rest in prop::collection::vec(any::<u8>(), 48), low: bool) {
        let mut bytes = info(1, 3);
        bytes[8..56].copy_from_slice(&rest);
        if low {
            // Small pointers and counts reach further.
            for at in [10, 14, 18, 26, 34, 42, 50] {
                let end = if matches!(at, 10 | 14 | 50) { at + 2 } else { at + 6 };
                bytes[at..end].fill(0);
            }
        }
        let mut blocks = loader();
        blocks.0.insert(0, vec![1; 0x2000]);
        blocks.0.insert(AT, bytes);
        if let Ok(info) = parse(&mut blocks, AT) {
            prop_assert!(info.archive.start <= info.archive.end);
        }
    }
}
