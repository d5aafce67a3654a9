//! Reads the boot archive: cpio in the "new ASCII" format (newc, cpio(5)). Trusts nothing in it; no copy is made.

use core::fmt;

/// Bytes of a header: magic and 13 fields of eight hexadecimal digits.
const HEADER: usize = 6 + 13 * 8;
/// Field numbers.
const MODE: usize = 1;
const FILE_SIZE: usize = 6;
const NAME_SIZE: usize = 11;
/// File type in the mode, and the value for a regular file.
const TYPE_MASK: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
/// Name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// Why bytes are not a boot archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArchiveError {
    /// It ends inside an entry, or without the trailer.
    Truncated,
    /// A header that is none of newc.
    BadHeader,
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ArchiveError::Truncated => "truncated",
            ArchiveError::BadHeader => "damaged, or not a cpio archive in newc format",
        })
    }
}

impl core::error::Error for ArchiveError {}

/// The regular file `name`, if the archive has it.
///
/// # Errors
/// [`ArchiveError`] if the archive is damaged before that file; never more work than its length.
pub fn find<'a>(archive: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, ArchiveError> {
    let mut rest = archive;
    loop {
        let (entry, behind) = entry(rest)?;
        if entry.name == TRAILER {
            return Ok(None);
        }
        if entry.name == name.as_bytes() && entry.mode & TYPE_MASK == REGULAR {
            return Ok(Some(entry.data));
        }
        rest = behind;
    }
}

/// Whether the archive is whole, to its trailer.
///
/// # Errors
/// [`ArchiveError`].
pub fn verify(archive: &[u8]) -> Result<(), ArchiveError> {
    // No file has an empty name: the search goes to the end.
    find(archive, "").map(drop)
}

/// One file of the archive.
struct Entry<'a> {
    name: &'a [u8],
    mode: u32,
    data: &'a [u8],
}

/// The first entry, and what follows it.
fn entry(bytes: &[u8]) -> Result<(Entry<'_>, &[u8]), ArchiveError> {
    let header = bytes.get(..HEADER).ok_or(ArchiveError::Truncated)?;
    if !header.starts_with(b"070701") {
        return Err(ArchiveError::BadHeader);
    }
    let name_end = HEADER
        .checked_add(field(header, NAME_SIZE)? as usize)
        .ok_or(ArchiveError::Truncated)?;
    let name = bytes.get(HEADER..name_end).ok_or(ArchiveError::Truncated)?;
    let [name @ .., 0] = name else {
        return Err(ArchiveError::BadHeader);
    };
    let start = aligned(name_end)?;
    let end = start
        .checked_add(field(header, FILE_SIZE)? as usize)
        .ok_or(ArchiveError::Truncated)?;
    let data = bytes.get(start..end).ok_or(ArchiveError::Truncated)?;
    let entry = Entry {
        name,
        mode: field(header, MODE)?,
        data,
    };
    // The padding behind the last entry may be missing.
    Ok((entry, bytes.get(aligned(end)?..).unwrap_or(&[])))
}

/// Names and data are padded to four bytes.
fn aligned(offset: usize) -> Result<usize, ArchiveError> {
    offset
        .checked_next_multiple_of(4)
        .ok_or(ArchiveError::Truncated)
}

/// Field `number` of a header.
fn field(header: &[u8], number: usize) -> Result<u32, ArchiveError> {
    let start = 6 + number * 8;
    let digits = header
        .get(start..start + 8)
        .ok_or(ArchiveError::Truncated)?;
    // `from_str_radix` would take a sign.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(ArchiveError::BadHeader);
    }
    core::str::from_utf8(digits)
        .ok()
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or(ArchiveError::BadHeader)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn write(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (name, data) in files.iter().chain(&[("TRAILER!!!", &b""[..])]) {
            let mut fields = [0u32; 13];
            fields[MODE] = REGULAR | 0o644;
            fields[FILE_SIZE] = data.len() as u32;
            fields[NAME_SIZE] = name.len() as u32 + 1;
            archive.extend(b"070701");
            for field in fields {
                archive.extend(format!("{field:08x}").bytes());
            }
            archive.extend(name.bytes().chain([0]));
            archive.resize(archive.len().next_multiple_of(4), 0);
            archive.extend(*data);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
        archive
    }

    #[test]
    fn finds_each_file_and_no_other() {
        let archive = write(&[("init", b"one"), ("b", b""), ("c", b"12345")]);
        assert_eq!(find(&archive, "init"), Ok(Some(&b"one"[..])));
        assert_eq!(find(&archive, "b"), Ok(Some(&b""[..])));
        assert_eq!(find(&archive, "c"), Ok(Some(&b"12345"[..])));
        assert_eq!(find(&archive, "d"), Ok(None));
        assert_eq!(find(&archive, "TRAILER!!!"), Ok(None));
    }

    #[test]
    fn every_truncation_of_what_is_sought_is_an_error() {
        let archive = write(&[("a", b"one"), ("b", b"two")]);
        for len in 0..archive.len() - 1 {
            let result = find(&archive[..len], "missing");
            assert_eq!(result, Err(ArchiveError::Truncated), "first {len} bytes");
            assert_eq!(verify(&archive[..len]), Err(ArchiveError::Truncated));
        }
        assert_eq!(verify(&archive), Ok(()));
    }

    #[test]
    fn bad_magic_digits_and_names_are_errors() {
        let good = write(&[("a", b"one")]);
        for (at, byte) in [
            (0, b'1'),
            (6 + 6 * 8, b'+'),
            (6 + 11 * 8, b'g'),
            (HEADER + 1, b'x'),
        ] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(find(&bad, "b"), Err(ArchiveError::BadHeader), "byte {at}");
        }
        let mut huge = good.clone();
        huge[6 + 6 * 8..][..8].copy_from_slice(b"ffffffff");
        assert_eq!(find(&huge, "b"), Err(ArchiveError::Truncated));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..8)
        ) {
            let mut archive = write(&[("a", b"one"), ("b", b"two")]);
            for (index, byte) in flips {
                let at = index.index(archive.len());
                archive[at] = byte;
            }
            let _ = find(&archive, "b");
        }
    }
}
