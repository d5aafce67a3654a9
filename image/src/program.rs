//! Checks a program as init will, and leaves out of its file what no loader reads (symbols, debug information).

use init::loader::{self, LoadError, Program, Segment};

/// Offsets in an ELF64 header: section header offset; number of sections and index of the name table.
const SECTION_OFFSET: std::ops::Range<usize> = 40..48;
const SECTION_COUNTS: std::ops::Range<usize> = 60..64;
/// Length of the header.
const HEADER: usize = 64;

/// The part of a program file that matters at run time.
pub(crate) fn stripped(file: &[u8]) -> Result<Vec<u8>, LoadError> {
    let program = loader::plan(file)?;
    let start = file.as_ptr() as usize;
    // Headers come first in what linkers write; keep everything up to the end of the last segment.
    let end = program
        .segments
        .iter()
        .map(|segment| segment.data.as_ptr() as usize - start + segment.data.len())
        .chain([headers_end(file)])
        .max()
        .unwrap_or(file.len());
    let mut short = file.get(..end).unwrap_or(file).to_vec();
    for range in [SECTION_OFFSET, SECTION_COUNTS] {
        if let Some(field) = short.get_mut(range) {
            field.fill(0);
        }
    }
    // Whatever was left out must not have mattered. (The bytes can differ where a segment covers the header.)
    let same = loader::plan(&short).is_ok_and(|again| shape(&again) == shape(&program));
    Ok(if same { short } else { file.to_vec() })
}

/// All of a program but the bytes themselves.
fn shape(program: &Program<'_>) -> (u64, Vec<(u64, u64, u64, usize)>) {
    let segment = |part: &Segment<'_>| (part.address, part.pages, part.offset, part.data.len());
    (
        program.entry,
        program.segments.iter().map(segment).collect(),
    )
}

/// End of the program header table (at offset e_phoff, e_phnum entries of e_phentsize bytes).
fn headers_end(file: &[u8]) -> usize {
    let word = |range: std::ops::Range<usize>| {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(file.get(range).unwrap_or(&[])) {
            *to = *from;
        }
        u64::from_le_bytes(bytes) as usize
    };
    let table = word(54..56).saturating_mul(word(56..58));
    word(32..40)
        .saturating_add(table)
        .clamp(HEADER, file.len().max(HEADER))
}
