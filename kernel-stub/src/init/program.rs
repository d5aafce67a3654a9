//! The first program: a static ELF64 executable (System V gABI, chapters 4 and 5). Reading only.
#![forbid(unsafe_code)]

use crate::boot::BootError;
use elf::ElfBytes;
use elf::abi::{EM_X86_64, ET_EXEC, PF_W, PF_X, PT_LOAD};
use elf::endian::LittleEndian;
use elf::file::Class;
use kernel_abi::{PAGE_SIZE, Prot};

/// Most segments that are loaded.
const MAX_SEGMENTS: usize = 16;

/// Largest segment: 256 MiB.
const MAX_PAGES: u64 = 1 << 16;

/// What to load where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    /// First page.
    pub(crate) address: u64,
    pub(crate) pages: u64,
    pub(crate) prot: Prot,
    /// Physical address of the content.
    pub(crate) source: u64,
    /// Bytes of content; zeros follow.
    pub(crate) bytes: u64,
    /// Where in the first page the content starts.
    pub(crate) offset: u64,
}

/// A program to be loaded.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) entry: u64,
    pub(crate) segments: heapless::Vec<Segment, MAX_SEGMENTS>,
}

/// Reads what an image wants; it lies at physical address `at`.
pub(crate) fn examine(image: &[u8], at: u64) -> Result<Program, BootError> {
    let bad = BootError::BadInit;
    let file = ElfBytes::<LittleEndian>::minimal_parse(image)
        .map_err(|_| bad("not a little-endian ELF file"))?;
    let header = &file.ehdr;
    if header.class != Class::ELF64 || header.e_machine != EM_X86_64 {
        return Err(bad("not for this machine"));
    }
    if header.e_type != ET_EXEC {
        return Err(bad("not linked at a fixed address"));
    }
    let table = file.segments().ok_or(bad("no program headers"))?;
    let mut segments = heapless::Vec::new();
    for entry in table
        .iter()
        .filter(|s| s.p_type == PT_LOAD && s.p_memsz > 0)
    {
        let content = file
            .segment_data(&entry)
            .map_err(|_| bad("a segment is truncated"))?;
        let bytes = content.len() as u64;
        if entry.p_flags & PF_W != 0 && entry.p_flags & PF_X != 0 {
            return Err(bad("a segment is writable and executable"));
        }
        let mut prot = Prot::READ;
        prot.set(Prot::WRITE, entry.p_flags & PF_W != 0);
        prot.set(Prot::EXEC, entry.p_flags & PF_X != 0);
        let offset = entry.p_vaddr % PAGE_SIZE as u64;
        let pages = entry
            .p_memsz
            .checked_add(offset)
            .map(|bytes| bytes.div_ceil(PAGE_SIZE as u64));
        let pages = pages.filter(|pages| *pages <= MAX_PAGES && bytes <= entry.p_memsz);
        let segment = Segment {
            address: entry.p_vaddr - offset,
            pages: pages.ok_or(bad("a segment is too large"))?,
            prot,
            source: at.saturating_add(entry.p_offset),
            bytes,
            offset,
        };
        let pushed = segments.push(segment);
        pushed.map_err(|_| bad("too many segments"))?;
    }
    match segments.is_empty() {
        true => Err(bad("nothing to load")),
        false => Ok(Program {
            entry: header.e_entry,
            segments,
        }),
    }
}
