//! The names in a boot archive (cpio, format "newc"), to know which programs a guest runs.

/// Length of a header, and where in it the lengths of the file and of its name stand, as eight hexadecimal digits.
const HEADER: usize = 110;
const FILE_LENGTH: std::ops::Range<usize> = 54..62;
const NAME_LENGTH: std::ops::Range<usize> = 94..102;
const TRAILER: &str = "TRAILER!!!";

/// The names in an archive, up to its end or to the first thing that is none of the format.
pub fn names(archive: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = archive;
    while let Some((name, after)) = entry(rest) {
        if name == TRAILER {
            break;
        }
        names.push(name);
        rest = after;
    }
    names
}

/// The name of the first entry, and what follows the entry.
fn entry(bytes: &[u8]) -> Option<(String, &[u8])> {
    let header = bytes.get(..HEADER)?;
    header.starts_with(b"070701").then_some(())?;
    let field = |range| {
        let digits = std::str::from_utf8(header.get::<std::ops::Range<usize>>(range)?).ok()?;
        usize::from_str_radix(digits, 16).ok()
    };
    let name_end = HEADER.checked_add(field(NAME_LENGTH)?)?;
    let name = bytes.get(HEADER..name_end)?.strip_suffix(b"\0")?;
    let file = name_end.next_multiple_of(4);
    let end = file
        .checked_add(field(FILE_LENGTH)?)?
        .checked_next_multiple_of(4)?;
    Some((
        String::from_utf8_lossy(name).into_owned(),
        bytes.get(end..)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &[u8]) -> Vec<u8> {
        let zeros = "0".repeat(8);
        let mut bytes = b"070701".to_vec();
        bytes.extend(zeros.repeat(6).bytes());
        bytes.extend(format!("{:08x}", content.len()).bytes());
        bytes.extend(zeros.repeat(4).bytes());
        bytes.extend(format!("{:08x}{zeros}", name.len() + 1).bytes());
        bytes.extend(name.bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn names_are_read_up_to_the_end_whatever_it_is() {
        let mut archive = file("init", b"12345");
        archive.extend(file("netstack", b""));
        assert_eq!(names(&archive), ["init", "netstack"]);
        assert_eq!(names(&archive[..archive.len() - 1]), ["init"]);
        archive.extend(file(TRAILER, b""));
        archive.extend(file("behind", b""));
        assert_eq!(names(&archive), ["init", "netstack"]);
        assert!(names(b"something else").is_empty());
        assert!(names(&[b'0'; 200]).is_empty());
    }
}
