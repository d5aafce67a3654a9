//! The harnesses of the fuzz targets: one module each, with a `run` that takes any bytes and panics if something
//! is broken. May use every crate of ours that runs on a host.
//!
//! Harnesses are deterministic: no clock, no global state, no randomness but the input. `docs/fuzzing.md` tells how to run them.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is a finding"
)]

pub mod decode;
pub mod driver;
mod frames;
pub mod generate;
pub mod handshake;
pub mod input;
pub mod manifest;
mod pair;
pub mod ring;
pub mod roundtrip;
pub mod stack_client;
pub mod stack_driver;
pub mod syscalls;

/// A harness.
pub type Harness = fn(&[u8]);

/// Every target by name. `fuzz_targets/NAME.rs` is its binary, `corpus/NAME` and `regressions/NAME` its inputs.
pub const TARGETS: &[(&str, Harness)] = &[
    ("decode", decode::run),
    ("handshake", handshake::run),
    ("manifest", manifest::run),
    ("ring", ring::run),
    ("roundtrip", roundtrip::run),
    ("syscalls", syscalls::run),
    ("stack-client", stack_client::run),
    ("stack-driver", stack_driver::run),
    ("driver-stack", driver::run_stack),
    ("driver-device", driver::run_device),
];

/// Inputs to begin with: valid ones that chance would be long in finding.
pub type Seeds = fn() -> Vec<Vec<u8>>;

/// Seeds by target. `tests/corpus.rs` replays them too.
pub const SEEDS: &[(&str, Seeds)] = &[("decode", decode::seeds), ("manifest", manifest::seeds)];

#[cfg(test)]
mod tests {
    #[test]
    fn every_binary_is_a_target() {
        let manifest = include_str!("../Cargo.toml");
        for (name, _) in super::TARGETS {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")));
        }
        assert_eq!(manifest.matches("[[bin]]").count(), super::TARGETS.len());
    }
}
