//! The test data of `/1k` and `/1m`: byte `i` is `i` modulo 251.
//!
//! 251 is the largest prime below 256: a block of a power of two that is lost, doubled or exchanged shows.

/// The modulus.
pub const PERIOD: usize = 251;
/// Bytes handed out at once.
const BLOCK: usize = 16 * 1024;

/// The data from any position on for a block: one period longer than that.
static PATTERN: [u8; BLOCK + PERIOD] = pattern();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where an error would be a build error"
)]
const fn pattern() -> [u8; BLOCK + PERIOD] {
    let mut pattern = [0; BLOCK + PERIOD];
    let mut i = 0;
    while i < pattern.len() {
        // Below 251.
        pattern[i] = (i % PERIOD) as u8;
        i += 1;
    }
    pattern
}

/// A run of test data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Data {
    position: usize,
    end: usize,
}

impl Data {
    /// The first `len` bytes.
    pub const fn new(len: usize) -> Data {
        Data {
            position: 0,
            end: len,
        }
    }

    /// Bytes left.
    pub const fn len(&self) -> usize {
        self.end.saturating_sub(self.position)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next bytes, as many as lie together; empty at the end.
    pub fn block(&self) -> &'static [u8] {
        let start = self.position % PERIOD;
        let from = PATTERN.get(start..).unwrap_or_default();
        from.get(..self.len().min(BLOCK)).unwrap_or_default()
    }

    /// Goes on by `len` bytes.
    pub fn advance(&mut self, len: usize) {
        self.position = self.position.saturating_add(len).min(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_as_documented_however_it_is_taken() {
        for step in [1, 7, 250, 251, 252, 4096, 16_384, usize::MAX] {
            let mut data = Data::new(100_000);
            let mut all = Vec::new();
            while !data.is_empty() {
                let block = data.block();
                let taken = block.len().min(step);
                all.extend_from_slice(&block[..taken]);
                data.advance(taken);
            }
            assert_eq!(all.len(), 100_000);
            assert!(
                all.iter()
                    .enumerate()
                    .all(|(i, byte)| usize::from(*byte) == i % PERIOD),
                "{step}"
            );
            assert!(data.block().is_empty());
        }
    }
}
