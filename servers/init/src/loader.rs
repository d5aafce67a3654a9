//! Decides how a program file is laid out in memory. Programs are static ELF64 for this machine; everything else is an
//! error. Pure: [`crate::spawn`] carries the plan out.

use alloc::vec::Vec;
use core::fmt;
use elf::{ElfBytes, abi, endian::LittleEndian, file::Class, segment::ProgramHeader};
use rt::{IMAGE_END, PAGE_SIZE, Prot, USER_START};

/// Most segments of a program; more than any linker makes.
const MAX_SEGMENTS: usize = 16;

/// A program, laid out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program<'a> {
    /// Address of the first instruction, in an executable segment.
    pub entry: u64,
    /// What to map; no two share a page.
    pub segments: Vec<Segment<'a>>,
}

/// A run of pages with equal protection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment<'a> {
    /// Address of the first page.
    pub address: u64,
    /// How many.
    pub pages: u64,
    /// Protection; never writable and executable.
    pub prot: Prot,
    /// Where `data` goes, in bytes from the first page's start; all else is zero.
    pub offset: u64,
    /// The bytes of the file.
    pub data: &'a [u8],
}

/// Why a file is no program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// Truncated, or no ELF at all.
    NotElf,
    /// Of another machine, or a library, or relocatable.
    WrongType,
    /// Needs a dynamic linker or thread-local storage.
    Unsupported,
    /// A segment lies outside the file or outside the addresses of programs.
    OutOfRange,
    /// A segment would be writable and executable.
    WritableCode,
    /// Two segments share a page.
    Overlap,
    /// There is nothing to run, or there are too many segments.
    BadSegments,
    /// The entry point is not in an executable segment.
    BadEntry,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LoadError::NotElf => "truncated, or not an ELF file",
            LoadError::WrongType => "not a static ELF64 program for x86-64",
            LoadError::Unsupported => "needs a dynamic linker or thread-local storage",
            LoadError::OutOfRange => "a segment lies outside the file or the addresses of programs",
            LoadError::WritableCode => "a segment is writable and executable",
            LoadError::Overlap => "two segments share a page",
            LoadError::BadSegments => "no segments to load, or too many",
            LoadError::BadEntry => "the entry point is not in an executable segment",
        })
    }
}

impl core::error::Error for LoadError {}

/// Lays out the program in `file`.
///
/// # Errors
/// [`LoadError`], whatever the bytes are.
pub fn plan(file: &[u8]) -> Result<Program<'_>, LoadError> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| LoadError::NotElf)?;
    let header = elf.ehdr;
    if header.class != Class::ELF64
        || header.e_machine != abi::EM_X86_64
        || header.e_type != abi::ET_EXEC
    {
        return Err(LoadError::WrongType);
    }
    let table = elf.segments().ok_or(LoadError::BadSegments)?;
    let mut segments = Vec::new();
    for part in table.iter() {
        match part.p_type {
            abi::PT_LOAD if part.p_memsz == 0 => {}
            abi::PT_LOAD if segments.len() == MAX_SEGMENTS => return Err(LoadError::BadSegments),
            abi::PT_LOAD => segments.push(segment(&elf, &part)?),
            abi::PT_INTERP | abi::PT_DYNAMIC | abi::PT_TLS => return Err(LoadError::Unsupported),
            _ => {}
        }
    }
    if segments.is_empty() {
        return Err(LoadError::BadSegments);
    }
    segments.sort_by_key(|segment| segment.address);
    if segments
        .iter()
        .zip(segments.iter().skip(1))
        .any(|(low, high)| end(low) > high.address)
    {
        return Err(LoadError::Overlap);
    }
    let entry = header.e_entry;
    let runs = |segment: &Segment<'_>| {
        segment.prot.contains(Prot::EXEC) && (segment.address..end(segment)).contains(&entry)
    };
    if !segments.iter().any(runs) {
        return Err(LoadError::BadEntry);
    }
    Ok(Program { entry, segments })
}

/// First address behind a segment; in range, since the segment is.
const fn end(segment: &Segment<'_>) -> u64 {
    segment.address + segment.pages * PAGE_SIZE as u64
}

fn segment<'a>(
    elf: &ElfBytes<'a, LittleEndian>,
    part: &ProgramHeader,
) -> Result<Segment<'a>, LoadError> {
    let page = PAGE_SIZE as u64;
    let data = elf.segment_data(part).map_err(|_| LoadError::OutOfRange)?;
    let end = part
        .p_vaddr
        .checked_add(part.p_memsz)
        .filter(|end| part.p_vaddr >= USER_START && *end <= IMAGE_END)
        .ok_or(LoadError::OutOfRange)?;
    if data.len() as u64 > part.p_memsz {
        return Err(LoadError::OutOfRange);
    }
    let mut prot = Prot::READ;
    prot.set(Prot::WRITE, part.p_flags & abi::PF_W != 0);
    prot.set(Prot::EXEC, part.p_flags & abi::PF_X != 0);
    if prot.contains(Prot::WRITE | Prot::EXEC) {
        return Err(LoadError::WritableCode);
    }
    let address = part.p_vaddr - part.p_vaddr % page;
    Ok(Segment {
        address,
        pages: (end - address).div_ceil(page),
        prot,
        offset: part.p_vaddr - address,
        data,
    })
}

#[cfg(test)]
mod tests;
