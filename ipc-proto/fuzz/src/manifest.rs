//! What is read at boot: the records of the `manifest` crate, the archive (by init and by the kernel), programs, the
//! kernel's command line.

use crate::generate;
use arbitrary::Unstructured;
use init::{
    archive,
    command_line::CommandLine,
    loader::{self, Program},
};
use kernel_stub::testing;
use manifest::{MANIFEST_FILE, Manifest, Record, StartInfo};
use rt::{IMAGE_END, PAGE_SIZE, Prot, USER_START};

/// The first byte chooses what is read, the rest is that, or makes it.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    match generate::byte(&mut input) % 8 {
        0 => record::<Manifest>(input.take_rest()),
        1 => record::<StartInfo>(input.take_rest()),
        2 => written::<Manifest>(&mut input),
        3 => written::<StartInfo>(&mut input),
        4 => boot(input.take_rest()),
        5 => archive_of_files(&mut input),
        6 => {
            let mut program = testing::tiny_elf();
            damage(&mut input, &mut program);
            plan(&program);
            boot(&testing::archive_of(&[("init", &program)]));
        }
        _ => command_line(input.take_rest()),
    }
}

/// Any bytes: what reads is written and read again.
fn record<R: Record + PartialEq + core::fmt::Debug>(bytes: &[u8]) {
    if let Ok(record) = R::from_bytes(bytes) {
        let again = record.to_bytes().expect("it was short enough before");
        assert!(again.len() <= bytes.len());
        assert_eq!(R::from_bytes(&again), Ok(record));
    }
}

/// Any record: what is written reads.
fn written<R: Record + PartialEq + core::fmt::Debug>(input: &mut Unstructured<'_>) {
    let Some(record) = generate::value::<R>(input) else {
        return;
    };
    let mut bytes = record.to_bytes().expect("a short record");
    assert_eq!(R::from_bytes(&bytes), Ok(record));
    bytes.push(0);
    assert!(R::from_bytes(&bytes).is_err());
}

/// Some files under some names, in an archive that is damaged or not.
fn archive_of_files(input: &mut Unstructured<'_>) {
    let program = testing::tiny_elf();
    let mut files = Vec::new();
    for _ in 0..generate::byte(input) % 4 {
        let name = generate::choose(input, &["init", "./init", MANIFEST_FILE, "x", ""]);
        let content = match generate::byte(input) % 2 {
            0 => program.as_slice(),
            _ => {
                let len = generate::byte(input).into();
                generate::bytes(input, len)
            }
        };
        files.push((name, content));
    }
    let mut bytes = testing::archive_of(&files);
    for (name, _) in &files {
        let first = files.iter().find(|(other, _)| other == name);
        // init takes regular files only, and these have no type; the kernel does not mind.
        assert_eq!(archive::find(&bytes, name), Ok(None), "{first:?}");
    }
    assert_eq!(archive::verify(&bytes), Ok(()));
    damage(input, &mut bytes);
    boot(&bytes);
}

/// Any bytes as a boot archive: by init, and by the kernel that boots from it.
fn boot(bytes: &[u8]) {
    let whole = archive::verify(bytes).is_ok();
    for name in ["init", MANIFEST_FILE, "x"] {
        let found = archive::find(bytes, name);
        assert!(!whole || found.is_ok());
        if let Ok(Some(file)) = found {
            assert!(bytes.as_ptr_range().contains(&file.as_ptr()) || file.is_empty());
            plan(file);
            record::<Manifest>(file);
        }
    }
    let _ = testing::boot(bytes);
}

/// Any bytes as a program: what is accepted can be loaded.
fn plan(file: &[u8]) {
    let Ok(Program { entry, segments }) = loader::plan(file) else {
        return;
    };
    let mut free = USER_START;
    let mut has_entry = false;
    for segment in &segments {
        let len = segment.pages * PAGE_SIZE as u64;
        let end = segment.address + len;
        assert!(segment.address.is_multiple_of(PAGE_SIZE as u64));
        assert!(free <= segment.address && segment.address < end && end <= IMAGE_END);
        free = end;
        assert!(segment.offset + segment.data.len() as u64 <= len);
        assert!(!segment.prot.contains(Prot::WRITE | Prot::EXEC));
        has_entry |= segment.prot.contains(Prot::EXEC) && (segment.address..end).contains(&entry);
    }
    assert!(has_entry);
}

fn command_line(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else {
        return;
    };
    let line = CommandLine::parse(text);
    assert!(line.log_level.is_none_or(|level| (1..=5).contains(&level)));
    let words = text.split_ascii_whitespace().count();
    assert!(line.args.len() + line.unknown.len() <= words);
    for (process, ..) in &line.args {
        let args = line.args_of(process, &[]);
        assert!(!args.is_empty() && args.len() <= line.args.len());
    }
}

/// Changes some bytes, or cuts the end off.
fn damage(input: &mut Unstructured<'_>, bytes: &mut Vec<u8>) {
    for _ in 0..8 {
        if input.is_empty() || bytes.is_empty() {
            break;
        }
        let at = generate::number(input, 2) as usize % bytes.len();
        match generate::byte(input) % 8 {
            0 => bytes.truncate(at),
            1 => {
                let odd = generate::choose(input, &[0, 1, u64::MAX, 1 << 63, 1 << 47, 0xfff]);
                let place = bytes.iter_mut().skip(at & !7);
                place.zip(odd.to_le_bytes()).for_each(|(a, b)| *a = b);
            }
            2 => {
                let text =
                    generate::choose(input, &["ffffffff", "00000000", "7fffffff", "fffffffe"]);
                let place = bytes.iter_mut().skip(at);
                place.zip(text.bytes()).for_each(|(a, b)| *a = b);
            }
            _ => bytes[at] = generate::byte(input),
        }
    }
}

/// Records, archives, programs and command lines as they should be.
pub fn seeds() -> Vec<Vec<u8>> {
    let program = testing::tiny_elf();
    let archive = testing::archive_of(&[(MANIFEST_FILE, &[1, 0]), ("init", &program)]);
    let line =
        b"console=ttyS0 quiet log=debug shell.exec=ps%3B%20ip netstack.ip=10.0.2.15/24,gw=10.0.2.2";
    let noise: Vec<u8> = (0..230_u32).map(|at| (at * 7 % 199) as u8).collect();
    let with = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    let mut seeds = vec![
        with(0, &[1, 0]),
        with(4, &archive),
        with(5, &[3, 0, 0, 2, 1, 9, 1, 2, 3]),
        with(6, &[]),
        with(7, line),
    ];
    for start in 0..20 {
        let mut input = Unstructured::new(&noise[start..]);
        if let Some(manifest) = generate::value::<Manifest>(&mut input) {
            seeds.extend(manifest.to_bytes().map(|bytes| with(0, &bytes)));
        }
        if let Some(info) = generate::value::<StartInfo>(&mut input) {
            seeds.extend(info.to_bytes().map(|bytes| with(1, &bytes)));
        }
    }
    seeds
}
