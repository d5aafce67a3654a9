//! The bytes that programs send: each place of each stream has its own, so that bytes at a wrong place are found. Functions only; touches
//! nothing.

/// The eight bytes of a stream at a multiple of eight.
fn word(key: u64, at: u64) -> [u8; 8] {
    let z = key ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z ^ (z >> 32)).to_le_bytes()
}

/// Fills a buffer with the bytes of stream `key` from position `at` on. No two places of all streams look alike.
pub fn fill(key: u64, at: u64, buffer: &mut [u8]) {
    for (index, byte) in buffer.iter_mut().enumerate() {
        let at = at + index as u64;
        *byte = word(key, at / 8)[(at % 8) as usize];
    }
}

/// The first byte that is not as [`fill`] makes it.
pub(super) fn differs(key: u64, at: u64, bytes: &[u8]) -> Option<usize> {
    let mut expected = vec![0; bytes.len()];
    fill(key, at, &mut expected);
    bytes.iter().zip(&expected).position(|(a, b)| a != b)
}

/// The key of a direction of a connection.
#[must_use]
pub fn stream_key(key: u64, direction: usize) -> u64 {
    (key << 1 | direction as u64).wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// Bytes in front of a datagram's pattern: a magic number and its number.
pub const DATAGRAM_HEADER: usize = 12;
pub(super) const MAGIC: &[u8; 4] = b"SIMD";

/// The number in front of a datagram.
pub(super) fn datagram_number(bytes: &[u8]) -> Option<u64> {
    let number = bytes.strip_prefix(MAGIC)?.first_chunk()?;
    Some(u64::from_le_bytes(*number))
}
