//! The boot archive: cpio in the format `newc` (cpio(5)). Reading only; every length is checked.
#![forbid(unsafe_code)]

use crate::boot::BootError;
use core::ops::Range;

const MAGIC: &[u8] = b"070701";
const HEADER: usize = 110;
const TRAILER: &[u8] = b"TRAILER!!!";

/// Bytes of the archive that are the content of a file. A leading `./` of names does not count.
pub(crate) fn find(archive: &[u8], name: &str) -> Result<Range<usize>, BootError> {
    let mut at = 0usize;
    loop {
        let header = archive.get(at..).and_then(|rest| rest.get(..HEADER));
        let header = header.ok_or(BootError::BadArchive)?;
        if !header.starts_with(MAGIC) {
            return Err(BootError::BadArchive);
        }
        let size = field(header, 54)?;
        let name_len = field(header, 94)?;
        let name_start = at + HEADER;
        let name_end = end(name_start, name_len)?;
        let raw = archive
            .get(name_start..name_end)
            .ok_or(BootError::BadArchive)?;
        let raw = raw.strip_suffix(b"\0").ok_or(BootError::BadArchive)?;
        if raw == TRAILER {
            return Err(BootError::NoInit);
        }
        let start = aligned(name_end)?;
        let content = start..end(start, size)?;
        if content.end > archive.len() {
            return Err(BootError::BadArchive);
        }
        if raw.strip_prefix(b"./").unwrap_or(raw) == name.as_bytes() {
            return Ok(content);
        }
        at = aligned(content.end)?;
    }
}

fn end(start: usize, len: usize) -> Result<usize, BootError> {
    start.checked_add(len).ok_or(BootError::BadArchive)
}

fn aligned(at: usize) -> Result<usize, BootError> {
    at.checked_next_multiple_of(4).ok_or(BootError::BadArchive)
}

/// Eight hexadecimal digits.
fn field(header: &[u8], at: usize) -> Result<usize, BootError> {
    let digits = header.get(at..at + 8).ok_or(BootError::BadArchive)?;
    digits.iter().try_fold(0usize, |value, digit| {
        let digit = (*digit as char).to_digit(16).ok_or(BootError::BadArchive)?;
        Ok(value << 4 | digit as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::testing::archive_of as archive;

    #[test]
    fn a_file_is_found_by_its_name() {
        let bytes = archive(&[("other", b"no"), ("./init", b"yes!?")]);
        let range = find(&bytes, "init").unwrap();
        assert_eq!(&bytes[range], b"yes!?");
        assert_eq!(find(&bytes, "absent"), Err(BootError::NoInit));
    }

    #[test]
    fn truncated_and_corrupt_archives_are_errors() {
        let bytes = archive(&[("other", b"no"), ("init", b"yes!?")]);
        for len in 0..bytes.len() {
            match find(&bytes[..len], "init") {
                Ok(range) => assert_eq!(&bytes[range], b"yes!?"),
                Err(error) => assert_eq!(error, BootError::BadArchive),
            }
        }
        for at in 0..bytes.len() {
            for value in [0, b'f', 0xff] {
                let mut bad = bytes.clone();
                bad[at] = value;
                // Whatever it says, the range lies inside.
                if let Ok(range) = find(&bad, "init") {
                    assert!(range.end <= bad.len());
                }
            }
        }
    }
}
