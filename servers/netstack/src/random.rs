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
    let [
        mut a0,
        mut a1,
        mut a2,
        mut a3,
        mut b0,
        mut b1,
        mut b2,
        mut b3,
        mut c0,
        mut c1,
        mut c2,
        mut c3,
        mut d0,
        mut d1,
        mut d2,
        mut d3,
    ] = initial;
    for _ in 0..10 {
        (a0, b0, c0, d0) = quarter(a0, b0, c0, d0);
        (a1, b1, c1, d1) = quarter(a1, b1, c1, d1);
        (a2, b2, c2, d2) = quarter(a2, b2, c2, d2);
        (a3, b3, c3, d3) = quarter(a3, b3, c3, d3);
        (a0, b1, c2, d3) = quarter(a0, b1, c2, d3);
        (a1, b2, c3, d0) = quarter(a1, b2, c3, d0);
        (a2, b3, c0, d1) = quarter(a2, b3, c0, d1);
        (a3, b0, c1, d2) = quarter(a3, b0, c1, d2);
    }
    let mut state = [
        a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3,
    ];
    for (word, initial) in state.iter_mut().zip(initial) {
        *word = word.wrapping_add(initial);
    }
    state
}

#[inline(always)]
fn quarter(mut a: u32, mut b: u32, mut c: u32, mut d: u32) -> (u32, u32, u32, u32) {
    a = a.wrapping_add(b);
    d = (d ^ a).rotate_left(16);
    c = c.wrapping_add(d);
    b = (b ^ c).rotate_left(12);
    a = a.wrapping_add(b);
    d = (d ^ a).rotate_left(8);
    c = c.wrapping_add(d);
    b = (b ^ c).rotate_left(7);
    (a, b, c, d)
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
