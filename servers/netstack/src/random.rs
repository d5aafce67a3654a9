//! Unpredictable numbers: the ChaCha20 stream (RFC 8439) under a key that the machine's entropy gave.
//!
//! Initial sequence numbers, ephemeral ports, DNS and ICMP identifiers come from here.

/// A generator. Its outputs tell nothing of earlier or later ones.
pub(crate) struct Random {
    key: [u32; 8],
    counter: u64,
    block: [u32; 16],
    used: usize,
}

impl Random {
    /// A generator for this seed.
    pub(crate) fn new(seed: [u8; 32]) -> Random {
        let mut key = [0; 8];
        for (word, bytes) in key.iter_mut().zip(seed.chunks_exact(4)) {
            *word = bytes
                .iter()
                .rev()
                .fold(0, |word, byte| (word << 8) | u32::from(*byte));
        }
        Random {
            key,
            counter: 0,
            block: [0; 16],
            used: 16,
        }
    }

    /// 32 random bits.
    pub(crate) fn u32(&mut self) -> u32 {
        if self.used >= self.block.len() {
            self.block = block(&self.key, self.counter, [0; 2]);
            self.counter = self.counter.wrapping_add(1);
            self.used = 0;
        }
        let word = self.block.get(self.used).copied().unwrap_or_default();
        self.used = self.used.saturating_add(1);
        word
    }

    /// 64 random bits.
    pub(crate) fn u64(&mut self) -> u64 {
        (u64::from(self.u32()) << 32) | u64::from(self.u32())
    }

    /// 16 random bits.
    pub(crate) fn u16(&mut self) -> u16 {
        (self.u32() >> 16) as u16
    }
}

/// The ChaCha20 block function (RFC 8439 section 2.3) with a 64-bit counter.
fn block(key: &[u32; 8], counter: u64, nonce: [u32; 2]) -> [u32; 16] {
    let [k0, k1, k2, k3, k4, k5, k6, k7] = *key;
    let initial = [
        0x6170_7865,
        0x3320_646e,
        0x7962_2d32,
        0x6b20_6574,
        k0,
        k1,
        k2,
        k3,
        k4,
        k5,
        k6,
        k7,
        counter as u32,
        (counter >> 32) as u32,
        nonce[0],
        nonce[1],
    ];
    let mut state = initial;
    for _ in 0..10 {
        for [a, b, c, d] in [
            [0, 4, 8, 12],
            [1, 5, 9, 13],
            [2, 6, 10, 14],
            [3, 7, 11, 15],
            [0, 5, 10, 15],
            [1, 6, 11, 12],
            [2, 7, 8, 13],
            [3, 4, 9, 14],
        ] {
            quarter(&mut state, a, b, c, d);
        }
    }
    for (word, initial) in state.iter_mut().zip(initial) {
        *word = word.wrapping_add(initial);
    }
    state
}

#[expect(
    clippy::indexing_slicing,
    reason = "the indices are the constants above, all below 16"
)]
fn quarter(state: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    state[a] = state[a].wrapping_add(state[b]);
    state[d] = (state[d] ^ state[a]).rotate_left(16);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_left(12);
    state[a] = state[a].wrapping_add(state[b]);
    state[d] = (state[d] ^ state[a]).rotate_left(8);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_left(7);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_function_gives_the_vector_of_rfc_8439() {
        // Section 2.3.2; its 32-bit counter 1 and first nonce word 09000000 are the 64-bit counter here.
        let key: [u8; 32] = core::array::from_fn(|i| i as u8);
        let random = Random::new(key);
        let words = block(&random.key, 0x0900_0000_0000_0001, [0x4a00_0000, 0]);
        assert_eq!(
            words[..4],
            [0xe4e7_f110, 0x1559_3bd1, 0x1fdd_0f50, 0xc471_20a3]
        );
        assert_eq!(words[15], 0x4e3c_50a2);
    }

    #[test]
    fn different_seeds_differ_and_equal_seeds_agree() {
        let (mut a, mut b, mut c) = (
            Random::new([1; 32]),
            Random::new([1; 32]),
            Random::new([2; 32]),
        );
        let left: [u64; 20] = core::array::from_fn(|_| a.u64());
        assert_eq!(left, core::array::from_fn(|_| b.u64()));
        assert_ne!(left, core::array::from_fn(|_| c.u64()));
    }
}
