//! Firmware tables as QEMU makes them, and all kinds of broken ones.

use super::super::firmware::testing::Blocks;
use super::*;
use proptest::prelude::*;

fn fix_checksum(bytes: &mut [u8], at: usize, len: usize) {
    bytes[at] = 0;
    let sum = bytes[..len]
        .iter()
        .fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
    bytes[at] = 0_u8.wrapping_sub(sum);
}

fn make_table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 36];
    bytes[..4].copy_from_slice(signature);
    bytes.extend_from_slice(body);
    let len = bytes.len();
    bytes[4..8].copy_from_slice(&(len as u32).to_le_bytes());
    fix_checksum(&mut bytes, 9, len);
    bytes
}

fn rsdp(revision: u8, rsdt: u32, xsdt: u64) -> Vec<u8> {
    let mut bytes = b"RSD PTR ".to_vec();
    bytes.resize(36, 0);
    bytes[15] = revision;
    bytes[16..20].copy_from_slice(&rsdt.to_le_bytes());
    fix_checksum(&mut bytes, 8, 20);
    bytes[20] = 36;
    bytes[24..32].copy_from_slice(&xsdt.to_le_bytes());
    fix_checksum(&mut bytes, 32, 36);
    bytes
}

fn mcfg(base: u64, segment: u16, first: u8, last: u8) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend(base.to_le_bytes());
    body.extend(segment.to_le_bytes());
    body.extend([first, last, 0, 0, 0, 0]);
    make_table(b"MCFG", &body)
}

fn madt(entries: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend_from_slice(entries);
    make_table(b"APIC", &body)
}

/// A unit of `segment` with its registers at `base`, and one device scope.
fn drhd(segment: u8, base: u64) -> Vec<u8> {
    let mut bytes = vec![0, 0, 24, 0, 0, 0, segment, 0];
    bytes.extend(base.to_le_bytes());
    bytes.extend([3, 8, 0, 0, 0, 0xff, 0, 0]);
    bytes
}

fn dmar(structures: &[u8]) -> Vec<u8> {
    let mut body = vec![38, 0];
    body.resize(12, 0);
    body.extend_from_slice(structures);
    make_table(b"DMAR", &body)
}

fn fadt() -> Vec<u8> {
    let mut body = vec![0; 208];
    body[64 - 36..66 - 36].copy_from_slice(&0x604_u16.to_le_bytes());
    body[76 - 36..78 - 36].copy_from_slice(&0x608_u16.to_le_bytes());
    make_table(b"FACP", &body)
}

const LOCAL_APICS: [u8; 24] = [
    0, 8, 0, 0, 1, 0, 0, 0, // enabled
    0, 8, 1, 1, 1, 0, 0, 0, // enabled
    0, 8, 2, 2, 0, 0, 0, 0, // disabled
];

/// Tables at 0x1000, 0x2000.. listed by an RSDT at 0x800; the root pointer lies at 0xf5000.
fn machine(tables: &[Vec<u8>]) -> Blocks {
    let mut blocks = Blocks::default();
    let mut list = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let address = 0x1000 * (index as u32 + 1);
        list.extend(address.to_le_bytes());
        blocks.0.insert(address.into(), table.clone());
    }
    blocks.0.insert(0x800, make_table(b"RSDT", &list));
    blocks.0.insert(0xf_5000, rsdp(0, 0x800, 0));
    blocks
}

fn q35() -> Blocks {
    let mut entries = LOCAL_APICS.to_vec();
    entries.extend([1, 12, 0, 0, 0, 0, 0xc1, 0xfe, 0, 0, 0, 0]); // I/O APIC at fec10000
    entries.extend([2, 10, 0, 4, 9, 0, 0, 0, 0, 0]); // interrupt 4 arrives at input 9
    let unit = drhd(0, 0xfed9_0000);
    machine(&[
        fadt(),
        madt(&entries),
        mcfg(0xb000_0000, 0, 0, 255),
        dmar(&unit),
    ])
}

#[test]
fn units_that_cannot_all_be_used_count_as_none() {
    let find = |structures: &[u8]| read(&mut machine(&[dmar(structures)]), 0xf_5000).dma_units;
    let two = [drhd(0, 0xfed9_0000), drhd(0, 0xfed9_1000)].concat();
    assert_eq!(find(&two)[..], [0xfed9_0000, 0xfed9_1000]);
    // A reserved region and a unit of another segment lie between.
    let region = [[1, 0, 24, 0].as_slice(), &[0; 20]].concat();
    let mixed = [region, drhd(1, 0xfed9_2000), two.clone()].concat();
    assert_eq!(find(&mixed).len(), 2);
    let five = [two.clone(), two.clone(), drhd(0, 0xfed9_3000)].concat();
    assert!(find(&five).is_empty());
    assert!(find(&drhd(0, 0xfed9_0008)).is_empty());
    assert!(find(&drhd(0, 0)).is_empty());
    assert!(find(&[0, 0, 0, 0]).is_empty(), "an endless list");
    assert!(find(&two[..two.len() - 4]).is_empty(), "a truncated list");
}

#[test]
fn reads_the_facts() {
    let facts = read(&mut q35(), 0xf_5000);
    assert_eq!(
        facts,
        Facts {
            ecam: Some(Ecam {
                base: 0xb000_0000,
                first_bus: 0,
                last_bus: 255
            }),
            processors: 2,
            io_apic: 0xfec1_0000,
            console_input: 9,
            pm_timer: Some(0x608),
            pm1a_control: Some(0x604),
            dma_units: heapless::Vec::from_slice(&[0xfed9_0000]).unwrap(),
        }
    );
    // Without a pointer it is found where a BIOS puts it.
    assert_eq!(read(&mut q35(), 0), facts);
}

#[test]
fn prefers_the_long_list_and_falls_back() {
    let mut blocks = q35();
    let list = 0x3000_u64.to_le_bytes();
    blocks.0.insert(0x900, make_table(b"XSDT", &list));
    blocks.0.insert(0xf_5000, rsdp(2, 0x800, 0x900));
    let facts = read(&mut blocks, 0xf_5000);
    assert!(facts.ecam.is_some());
    assert_eq!(facts.pm_timer, None);
    blocks.0.insert(0xf_5000, rsdp(2, 0x800, 0xdead_0000));
    assert_eq!(read(&mut blocks, 0xf_5000).pm_timer, Some(0x608));
}

#[test]
fn nothing_there_gives_the_defaults() {
    assert_eq!(read(&mut Blocks::default(), 0), Facts::default());
    assert_eq!(read(&mut Blocks::default(), u64::MAX), Facts::default());
    assert_eq!(read(&mut q35(), 0x1000), Facts::default());
}

#[test]
fn wrong_checksums_are_not_believed() {
    for address in [0xf_5000, 0x800] {
        let mut blocks = q35();
        blocks.0.get_mut(&address).unwrap()[19] ^= 1;
        assert_eq!(read(&mut blocks, 0xf_5000), Facts::default());
    }
    let mut blocks = q35();
    blocks.0.get_mut(&0x3000).unwrap()[44] ^= 1;
    let facts = read(&mut blocks, 0xf_5000);
    assert_eq!(facts.ecam, None);
    assert_eq!(facts.processors, 2);
}

#[test]
fn truncated_and_oversized_tables_are_skipped() {
    let mut blocks = q35();
    blocks.0.get_mut(&0x3000).unwrap().truncate(50);
    blocks.0.get_mut(&0x4000).unwrap().truncate(60);
    blocks.0.get_mut(&0x2000).unwrap()[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    blocks.0.get_mut(&0x1000).unwrap()[4..8].copy_from_slice(&0_u32.to_le_bytes());
    assert_eq!(read(&mut blocks, 0xf_5000), Facts::default());
    // The length says that only half of the entry is in the table.
    let mut short = mcfg(0xb000_0000, 0, 0, 255);
    short[4..8].copy_from_slice(&54_u32.to_le_bytes());
    fix_checksum(&mut short, 9, 54);
    assert_eq!(read(&mut machine(&[short]), 0xf_5000).ecam, None);
}

#[test]
fn circles_end() {
    // The list names itself and the root pointer.
    let mut blocks = Blocks::default();
    let mut list = Vec::new();
    for _ in 0..100 {
        list.extend(0x800_u32.to_le_bytes());
        list.extend(0xf_5000_u32.to_le_bytes());
    }
    blocks.0.insert(0x800, make_table(b"RSDT", &list));
    blocks.0.insert(0xf_5000, rsdp(0, 0x800, 0));
    assert_eq!(read(&mut blocks, 0xf_5000), Facts::default());
    // An entry of length zero, or one, would be read for ever.
    for len in [0, 1] {
        let mut entries = LOCAL_APICS.to_vec();
        entries.extend([5, len, 0, 0]);
        assert_eq!(
            read(&mut machine(&[madt(&entries)]), 0xf_5000).processors,
            2
        );
    }
}

#[test]
fn senseless_values_are_refused() {
    for table in [
        mcfg(0, 0, 0, 255),
        mcfg(0xb000_1000, 0, 0, 255),
        mcfg(1 << 60, 0, 0, 255),
        mcfg(0xb000_0000, 1, 0, 255),
        mcfg(0xb000_0000, 0, 9, 3),
    ] {
        assert_eq!(read(&mut machine(&[table]), 0xf_5000).ecam, None);
    }
    let entries = [
        1, 12, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 10, 0, 4, 200, 0, 0, 0, 0, 0,
    ];
    let facts = read(&mut machine(&[madt(&entries)]), 0xf_5000);
    assert_eq!(facts, Facts::default());
}

proptest! {
    /// Whatever is in the tables, with right checksums: an answer, and no panic.
    #[test]
    fn arbitrary_bodies(bodies in prop::collection::vec((0..4_usize, prop::collection::vec(any::<u8>(), 0..200)), 0..8)) {
        let tables: Vec<_> = bodies
            .iter()
            .map(|(kind, body)| make_table([b"MCFG", b"APIC", b"FACP", b"RSDT"][*kind], body))
            .collect();
        let facts = read(&mut machine(&tables), 0xf_5000);
        prop_assert!(facts.processors >= 1);
        prop_assert!(facts.console_input < 24);
        prop_assert!(facts.ecam.is_none_or(|ecam| ecam.first_bus <= ecam.last_bus));
    }
}
