//! How often each path of the programs was taken, for the compiler: what `image/profile.profdata` is made from. Reads ELF files, writes
//! raw profiles.
//!
//! Code that was compiled with `-Cprofile-generate` adds one to a counter of its own on each path. Nobody in the guest reads these:
//! how often each of the instructions that add ran is known from the counts of the plugin. All else that LLVM's raw
//! profile holds is in the ELF file: see `compiler-rt/include/profile/InstrProfData.inc`.

use crate::counts::{Programs, Snapshot};
use object::{Object, ObjectSection, ObjectSymbol};
use std::{collections::HashMap, io, path::Path};

/// `lock incq DISPLACEMENT(%rip)`: what adds one, up to the displacement.
const INCREMENT: [u8; 4] = [0xf0, 0x48, 0xff, 0x05];
/// Its length with the displacement.
const LENGTH: usize = 8;
/// Length of a counter.
const COUNTER: usize = 8;
/// Length of a function's record in `__llvm_prf_data`.
const RECORD: usize = 64;
/// `\xfflprofr\x81`: the first word of a raw profile.
const MAGIC: u64 = 0xff6c_7072_6f66_7281;
/// The layout of raw profiles that this writes; in the version's low bits.
const LAYOUT: u64 = 10;
/// The version without its flags.
const LAYOUT_MASK: u64 = (1 << 56) - 1;
/// Number of the last kind of values (`IPVK_Last`), of which none are profiled.
const LAST_KIND: u64 = 2;
/// The sum of all counts of a figure: no figure counts for more than another, however much it ran.
const SHARE: f64 = 1e10;

/// What programs counted, by their names.
#[derive(Default)]
pub struct Counters(HashMap<String, Instrumented>);

/// A program that counts.
struct Instrumented {
    /// Layout and kind of the profile.
    version: u64,
    records: Section,
    names: Section,
    /// Where the counters are.
    address: u64,
    counts: Vec<f64>,
}

struct Section {
    address: u64,
    bytes: Vec<u8>,
}

impl Counters {
    /// Takes in a program of the image.
    ///
    /// # Errors
    /// If it can't be read, or does not count.
    pub fn open(&mut self, name: &str, path: &Path) -> io::Result<()> {
        if !self.0.contains_key(name) {
            let program = Instrumented::parse(&std::fs::read(path)?).ok_or_else(|| {
                let why = "counts no paths, or as another LLVM does: see scripts/profile.sh";
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{}: {why}", path.display()),
                )
            })?;
            self.0.insert(name.into(), program);
        }
        Ok(())
    }

    /// Adds what ran for a figure.
    pub fn add(&mut self, programs: &Programs, before: &Snapshot, after: &Snapshot) {
        if self.0.is_empty() {
            return;
        }
        let mut found = Vec::new();
        for (program, address, code, runs) in programs.blocks(before, after) {
            if let Some(counting) = self.0.get(program) {
                let counters = increments(address, code).filter_map(|at| counting.index(at));
                found.extend(counters.map(|index| (program, index, runs)));
            }
        }
        let total: u64 = found.iter().map(|(.., runs)| runs).sum();
        for (program, index, runs) in found {
            let counting = self.0.get_mut(program);
            if let Some(count) = counting.and_then(|counting| counting.counts.get_mut(index)) {
                *count += runs as f64 / total as f64 * SHARE;
            }
        }
    }

    /// Writes a raw profile of each program.
    ///
    /// # Errors
    /// Of the file system.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        for (name, program) in &self.0 {
            std::fs::write(folder.join(name).with_extension("profraw"), program.raw())?;
        }
        Ok(())
    }
}

impl Instrumented {
    fn parse(bytes: &[u8]) -> Option<Instrumented> {
        let file = object::File::parse(bytes).ok()?;
        let section = |name| {
            let section = file.section_by_name(name)?;
            let bytes = section.data().ok()?.to_vec();
            let address = section.address();
            Some(Section { address, bytes })
        };
        let counters = section("__llvm_prf_cnts")?;
        let version = file.symbol_by_name("__llvm_profile_raw_version")?;
        let at = version.address();
        let version = file
            .sections()
            .find_map(|section| section.data_range(at, 8).ok()?)?;
        let version = u64::from_le_bytes(version.try_into().ok()?);
        (version & LAYOUT_MASK == LAYOUT).then_some(Instrumented {
            version,
            records: section("__llvm_prf_data")?,
            names: section("__llvm_prf_names")?,
            address: counters.address,
            counts: vec![0.0; counters.bytes.len() / COUNTER],
        })
    }

    /// Which counter is at this address.
    fn index(&self, address: u64) -> Option<usize> {
        let offset = usize::try_from(address.checked_sub(self.address)?).ok()?;
        let index = offset / COUNTER;
        (offset % COUNTER == 0 && index < self.counts.len()).then_some(index)
    }

    /// The file that LLVM's runtime would have written.
    fn raw(&self) -> Vec<u8> {
        let names = self.names.bytes.len();
        let header = [
            MAGIC,
            self.version,
            0, // length of build identifiers
            (self.records.bytes.len() / RECORD) as u64,
            0, // padding before the counters
            self.counts.len() as u64,
            0, // padding behind them
            0, // length of bitmaps
            0, // padding behind them
            names as u64,
            self.address.wrapping_sub(self.records.address),
            0, // where bitmaps are
            self.names.address,
            0, // number of virtual tables
            0, // length of their names
            LAST_KIND,
        ];
        let mut raw: Vec<u8> = header.into_iter().flat_map(u64::to_le_bytes).collect();
        raw.extend(&self.records.bytes);
        // What ran at all did not run zero times.
        let counts = self.counts.iter().map(|count| count.ceil() as u64);
        raw.extend(counts.flat_map(u64::to_le_bytes));
        raw.extend(&self.names.bytes);
        raw.resize(raw.len() + names.next_multiple_of(8) - names, 0);
        raw
    }
}

/// The addresses to which code at `address` adds one.
fn increments(address: u64, code: &[u8]) -> impl Iterator<Item = u64> {
    // Nothing else has these bytes and then the distance to a counter.
    (address..)
        .zip(code.windows(LENGTH))
        .filter_map(|(start, bytes)| {
            let displacement = bytes.strip_prefix(&INCREMENT)?.try_into().ok()?;
            let next = start.wrapping_add(LENGTH as u64);
            Some(next.wrapping_add_signed(i32::from_le_bytes(displacement).into()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Instrumented {
        Instrumented {
            version: LAYOUT | 1 << 56,
            records: Section {
                address: 0x3000,
                bytes: vec![7; 2 * RECORD],
            },
            names: Section {
                address: 0x1000,
                bytes: b"\x03\x00a\x01b".to_vec(),
            },
            address: 0x2000,
            counts: vec![0.0, 0.25, 3.0],
        }
    }

    #[test]
    fn increments_are_found_wherever_they_are_in_a_block() {
        // mov %rsp,%rbp; lock incq 0x10(%rip); lock incq -0x18(%rip); half of another
        let code = b"\x48\x89\xe5\xf0\x48\xff\x05\x10\0\0\0\xf0\x48\xff\x05\xe8\xff\xff\xff\xf0\x48\xff\x05\0\0";
        let found: Vec<u64> = increments(0x1ff0, code).collect();
        assert_eq!(found, [0x1ffb + 0x10, 0x2003 - 0x18]);
        assert_eq!(increments(0x1ff0, b"\x48\xff\x05\x10\0\0\0").count(), 0);
        assert_eq!(increments(u64::MAX - 7, &code[3..11]).next(), Some(0x10));
    }

    #[test]
    fn only_addresses_of_counters_are_counters() {
        let program = program();
        let found: Vec<_> = [0x1ff8, 0x2000, 0x2004, 0x2010, 0x2018, u64::MAX]
            .map(|address| program.index(address))
            .into();
        assert_eq!(found, [None, Some(0), None, Some(2), None, None]);
    }

    #[test]
    fn a_raw_profile_is_as_the_runtime_writes_it() {
        let raw = program().raw();
        let word = |at: usize| u64::from_le_bytes(raw[at * 8..][..8].try_into().unwrap());
        assert_eq!(word(0).to_be_bytes(), *b"\xfflprofr\x81");
        assert_eq!([word(1), word(3), word(5)], [LAYOUT | 1 << 56, 2, 3]);
        assert_eq!([word(9), word(12), word(15)], [5, 0x1000, 2]);
        // The distance of the first counter from the first record.
        assert_eq!(word(10).cast_signed(), -0x1000);
        let counters = 16 + 2 * RECORD / 8;
        assert_eq!(word(counters - 1), 0x0707_0707_0707_0707);
        assert_eq!([0, 1, 2].map(|index| word(counters + index)), [0, 1, 3]);
        assert_eq!(&raw[(counters + 3) * 8..], b"\x03\x00a\x01b\0\0\0");
    }

    #[test]
    fn other_files_are_refused() {
        let mut counters = Counters::default();
        let this = std::env::current_exe().unwrap();
        let error = counters.open("bench", &this).unwrap_err().to_string();
        assert!(error.contains("counts no paths"), "{error}");
    }
}
