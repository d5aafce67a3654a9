//! Writes a cpio archive in newc format (cpio(5)): what the kernel and init read. The same files give the same bytes:
//! times and owners are zero.

use std::fmt;

/// Mode of a regular file that everybody may read.
const MODE: u32 = 0o100_644;

/// A file or its name is longer than the format can say.
#[derive(Debug)]
pub(crate) struct TooLarge(String);

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is too large", self.0)
    }
}

/// An archive of these files, in this order.
pub(crate) fn archive(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>, TooLarge> {
    let mut archive = Vec::new();
    for (inode, (name, data)) in (1..).zip(files) {
        entry(&mut archive, inode, MODE, name, data)?;
    }
    entry(&mut archive, 0, 0, "TRAILER!!!", &[])?;
    Ok(archive)
}

fn entry(
    archive: &mut Vec<u8>,
    inode: u32,
    mode: u32,
    name: &str,
    data: &[u8],
) -> Result<(), TooLarge> {
    let size = |len: usize| u32::try_from(len).map_err(|_| TooLarge(name.to_owned()));
    // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    let fields = [
        inode,
        mode,
        0,
        0,
        1,
        0,
        size(data.len())?,
        0,
        0,
        0,
        0,
        size(name.len() + 1)?,
        0,
    ];
    archive.extend(b"070701");
    for field in fields {
        archive.extend(format!("{field:08x}").bytes());
    }
    archive.extend(name.bytes().chain([0]));
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(data);
    archive.resize(archive.len().next_multiple_of(4), 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_reads_what_is_written() {
        let files = [
            ("init".to_owned(), b"12345".to_vec()),
            ("x".to_owned(), Vec::new()),
            ("manifest.bin".to_owned(), vec![7; 4096]),
        ];
        let archive = archive(&files).unwrap();
        for (name, data) in &files {
            assert_eq!(init::archive::find(&archive, name), Ok(Some(&data[..])));
        }
        assert_eq!(init::archive::find(&archive, "y"), Ok(None));
    }
}
