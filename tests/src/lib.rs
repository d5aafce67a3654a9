//! The harness of the system tests: boots the image in QEMU, plays its peers.
//!
//! Each test has a machine of its own. Peers are real programs and sockets of this host, either behind QEMU's user
//! network (kept in with `restrict=on`) or in a network namespace that the test makes and removes. No
//! traffic leaves this machine.
#![forbid(unsafe_code)]
#![expect(
    clippy::indexing_slicing,
    reason = "a panic in a test is a failed test"
)]

pub mod http;
pub mod lab;
pub mod machine;
pub mod wire;

use std::fmt;

/// Why a test failed, for a human.
pub struct Failure(pub String);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(error.to_string())
    }
}

/// Outcome of a test or of a step of it.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Fails with a message unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::Failure(format!($($message)+)));
        }
    };
}

/// SHA-256 as lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Bytes that look random and are the same for the same seed (xorshift64*).
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
