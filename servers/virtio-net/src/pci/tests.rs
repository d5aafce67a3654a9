//! Capability lists, well-formed and hostile.

use super::*;
use proptest::prelude::*;
use std::cell::Cell;
use std::vec::Vec;

const BARS: [u64; 6] = [0, 4096, 0, 0, 16384, 0];

/// Configuration space that counts how often it is read.
struct Config {
    bytes: Vec<u8>,
    reads: Cell<usize>,
}

impl ConfigSpace for Config {
    fn read32(&self, offset: u8) -> Option<u32> {
        self.reads.set(self.reads.get() + 1);
        let at = usize::from(offset);
        let word = self.bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(word.try_into().unwrap()))
    }
}

impl Config {
    /// Capabilities as (offset, bytes), linked in order.
    fn new(capabilities: &[(u8, &[u8])]) -> Config {
        let mut bytes = std::vec![0u8; 256];
        bytes[..4].copy_from_slice(&[0xf4, 0x1a, 0x41, 0x10]);
        bytes[6] = 0x10;
        bytes[0x34] = capabilities.first().map_or(0, |first| first.0);
        for (i, (at, capability)) in capabilities.iter().enumerate() {
            let at = usize::from(*at);
            bytes[at..at + capability.len()].copy_from_slice(capability);
            bytes[at + 1] = capabilities.get(i + 1).map_or(0, |next| next.0);
        }
        Config {
            bytes,
            reads: Cell::new(0),
        }
    }
}

fn capability(kind: u8, bar: u8, start: u32, len: u32) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[0] = 0x09;
    bytes[2] = 20;
    bytes[3] = kind;
    bytes[4] = bar;
    bytes[8..12].copy_from_slice(&start.to_le_bytes());
    bytes[12..16].copy_from_slice(&len.to_le_bytes());
    bytes[16..20].copy_from_slice(&4u32.to_le_bytes());
    bytes
}

/// What QEMU 7.2 shows.
fn good() -> Config {
    Config::new(&[
        (0x98, &[0x11, 0, 3, 0]),
        (0x84, &capability(5, 0, 0, 0)),
        (0x70, &capability(2, 4, 0x3000, 0x1000)),
        (0x60, &capability(4, 4, 0x2000, 0x1000)[..16]),
        (0x50, &capability(3, 4, 0x1000, 0x1000)[..16]),
        (0x40, &capability(1, 4, 0, 0x1000)[..16]),
    ])
    .with_len(&[0x40, 0x50, 0x60], 16)
}

impl Config {
    fn with_len(mut self, at: &[usize], len: u8) -> Config {
        for at in at {
            self.bytes[at + 2] = len;
        }
        self
    }
}

#[test]
fn finds_the_structures_of_a_modern_device() {
    let layout = find(&good(), &BARS).unwrap();
    let bar4 = |start, len| Location { bar: 4, start, len };
    assert_eq!(layout.common, bar4(0, 0x1000));
    assert_eq!(layout.notify, bar4(0x3000, 0x1000));
    assert_eq!(layout.notify_multiplier, 4);
    assert_eq!(layout.device, bar4(0x2000, 0x1000));
}

#[test]
fn other_devices_are_refused() {
    let mut config = good();
    config.bytes[2] = 0x42;
    let error = find(&config, &BARS).unwrap_err();
    assert_eq!(
        error,
        ProbeError::NotVirtioNet {
            vendor: 0x1af4,
            device: 0x1042
        }
    );
}

#[test]
fn a_circle_of_capabilities_ends_with_an_error() {
    let mut config = good();
    config.bytes[0x41] = 0x98;
    assert_eq!(find(&config, &BARS), Err(ProbeError::BadCapabilityList));
    assert!(config.reads.get() < 200);
}

#[test]
fn a_capability_inside_the_header_is_refused() {
    let mut config = good();
    config.bytes[0x34] = 0x10;
    assert_eq!(find(&config, &BARS), Err(ProbeError::BadCapabilityList));
}

#[test]
fn a_capability_shorter_than_its_kind_is_refused() {
    let config = good().with_len(&[0x40], 15);
    assert_eq!(find(&config, &BARS), Err(ProbeError::BadCapabilityList));
    let config = good().with_len(&[0x70], 16);
    let bad = ProbeError::BadStructure(Structure::Notify);
    assert_eq!(find(&config, &BARS), Err(bad));
}

#[test]
fn a_capability_that_runs_past_the_end_is_refused() {
    let mut config = good();
    config.bytes[0x34] = 0xfc;
    config.bytes[0xfc..].copy_from_slice(&[0x09, 0, 20, 1]);
    assert_eq!(find(&config, &BARS), Err(ProbeError::BadCapabilityList));
}

#[test]
fn structures_outside_their_register_are_refused() {
    let bad = Err(ProbeError::BadStructure(Structure::Common));
    for (bar, start, len) in [
        (4, 0, 0x37),
        (4, 0x3ffc, 0x38),
        (4, !3, u32::MAX),
        (4, 2, 0x38),
        (0, 0, 0x38),
        (6, 0, 0x38),
        (255, 0, 0x38),
    ] {
        let config = Config::new(&[(0x40, &capability(1, bar, start, len))]);
        assert_eq!(
            find(&config, &BARS),
            bad,
            "bar {bar} start {start} len {len}"
        );
    }
}

#[test]
fn missing_structures_are_named() {
    let config = Config::new(&[(0x40, &capability(1, 4, 0, 0x38))]);
    let missing = ProbeError::MissingStructure(Structure::Notify);
    assert_eq!(find(&config, &BARS), Err(missing));
    let mut config = good();
    config.bytes[6] = 0;
    assert_eq!(find(&config, &BARS), Err(missing));
}

#[test]
fn configuration_space_that_cannot_be_read_is_an_error() {
    let mut config = good();
    config.bytes.truncate(0x42);
    assert_eq!(find(&config, &BARS), Err(ProbeError::ConfigRead));
}

proptest! {
    #[test]
    fn any_configuration_space_gives_an_answer_in_bounded_reads(
        tail in proptest::collection::vec(any::<u8>(), 252),
        bars in any::<[u64; 6]>(),
    ) {
        let mut config = good();
        config.bytes[4..].copy_from_slice(&tail);
        config.bytes[6] |= 0x10;
        if let Ok(layout) = find(&config, &bars) {
            for place in [layout.common, layout.notify, layout.device] {
                prop_assert!(place.start as u64 + place.len as u64 <= bars[usize::from(place.bar)]);
            }
        }
        prop_assert!(config.reads.get() < 5 * MAX_CAPABILITIES + 10);
    }
}
