//! Good and bad program files.

use super::*;
use proptest::prelude::*;

const R: u32 = abi::PF_R;
const W: u32 = abi::PF_W;
const X: u32 = abi::PF_X;

struct Part {
    kind: u32,
    flags: u32,
    address: u64,
    file: u64,
    memory: u64,
}

fn load(flags: u32, address: u64, file: u64, memory: u64) -> Part {
    Part {
        kind: abi::PT_LOAD,
        flags,
        address,
        file,
        memory,
    }
}

/// An ELF file whose segments all start at file offset 0x1000 and hold 0xaa.
fn elf(entry: u64, parts: &[Part]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend(abi::ET_EXEC.to_le_bytes());
    file.extend(abi::EM_X86_64.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    for word in [entry, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, parts.len() as u16, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for part in parts {
        file.extend(part.kind.to_le_bytes());
        file.extend(part.flags.to_le_bytes());
        for word in [
            0x1000,
            part.address,
            part.address,
            part.file,
            part.memory,
            0x1000,
        ] {
            file.extend(word.to_le_bytes());
        }
    }
    file.resize(0x1000, 0);
    file.resize(0x2000, 0xaa);
    file
}

#[test]
fn a_program_is_laid_out_page_by_page() {
    let file = elf(
        0x20_1010,
        &[
            load(R | W, 0x20_2ff0, 0x10, 0x1020),
            load(R | X, 0x20_1000, 0x100, 0x100),
            load(R, 0x20_0000, 0x1000, 0x1000),
        ],
    );
    let program = plan(&file).unwrap();
    assert_eq!(program.entry, 0x20_1010);
    let shape: Vec<_> = program
        .segments
        .iter()
        .map(|s| (s.address, s.pages, s.prot, s.offset, s.data.len()))
        .collect();
    assert_eq!(
        shape,
        [
            (0x20_0000, 1, Prot::READ, 0, 0x1000),
            (0x20_1000, 1, Prot::READ | Prot::EXEC, 0, 0x100),
            (0x20_2000, 3, Prot::READ | Prot::WRITE, 0xff0, 0x10),
        ]
    );
}

#[test]
fn each_defect_has_its_error() {
    let code = || load(R | X, 0x20_0000, 0x10, 0x10);
    let cases = [
        (elf(0x20_0000, &[]), LoadError::BadSegments),
        (elf(0x30_0000, &[code()]), LoadError::BadEntry),
        (
            elf(0x20_0000, &[load(R | W, 0x20_0000, 0x10, 0x10)]),
            LoadError::BadEntry,
        ),
        (
            elf(0x20_0000, &[load(R | W | X, 0x20_0000, 0x10, 0x10)]),
            LoadError::WritableCode,
        ),
        (
            elf(0x20_0000, &[code(), load(R, 0x20_0800, 8, 8)]),
            LoadError::Overlap,
        ),
        (
            elf(0x20_0000, &[code(), load(R, 0x30_0000, 0x2000, 0x2000)]),
            LoadError::OutOfRange,
        ),
        (
            elf(0x20_0000, &[code(), load(R, 0x30_0000, 0x20, 0x10)]),
            LoadError::OutOfRange,
        ),
        (
            elf(0x20_0000, &[code(), load(R, 0, 8, 8)]),
            LoadError::OutOfRange,
        ),
        (
            elf(0x20_0000, &[code(), load(R, IMAGE_END - 8, 8, 16)]),
            LoadError::OutOfRange,
        ),
        (
            elf(0x20_0000, &[code(), load(R, u64::MAX - 8, 8, 16)]),
            LoadError::OutOfRange,
        ),
        (
            elf(
                0x20_0000,
                &[
                    code(),
                    Part {
                        kind: abi::PT_TLS,
                        ..code()
                    },
                ],
            ),
            LoadError::Unsupported,
        ),
        (vec![], LoadError::NotElf),
        (b"#!/bin/sh\n".to_vec(), LoadError::NotElf),
    ];
    for (file, error) in cases {
        assert_eq!(plan(&file), Err(error));
    }
    let mut library = elf(0x20_0000, &[code()]);
    library[16] = abi::ET_DYN as u8;
    assert_eq!(plan(&library), Err(LoadError::WrongType));
    let many: Vec<Part> = (0..20)
        .map(|i| load(R | X, 0x20_0000 + i * 0x1000, 8, 8))
        .collect();
    assert_eq!(plan(&elf(0x20_0000, &many)), Err(LoadError::BadSegments));
}

#[test]
fn every_truncation_is_an_error() {
    let file = elf(0x20_0000, &[load(R | X, 0x20_0000, 0x1000, 0x1000)]);
    for len in (0..0x100).chain([0xfff, 0x1000, 0x1fff]) {
        assert!(plan(&file[..len]).is_err(), "first {len} bytes");
    }
}

proptest! {
    #[test]
    fn what_is_accepted_is_sound(
        flips in proptest::collection::vec((0usize..0xb0, any::<u8>()), 0..6)
    ) {
        let mut file = elf(0x20_0000, &[
            load(R | X, 0x20_0000, 0x1000, 0x1000),
            load(R | W, 0x20_1000, 0x10, 0x3000),
        ]);
        for (at, byte) in flips {
            file[at] = byte;
        }
        if let Ok(program) = plan(&file) {
            for segment in &program.segments {
                prop_assert!(segment.address >= USER_START && end(segment) <= IMAGE_END);
                prop_assert!(!segment.prot.contains(Prot::WRITE | Prot::EXEC));
                prop_assert!(segment.offset + segment.data.len() as u64 <= segment.pages * PAGE_SIZE as u64);
            }
        }
    }
}
