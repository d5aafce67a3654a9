//! Unpredictable bytes from the processor's generator (RDRAND, SDM vol. 1, 7.3.17). No other source: a program that
//! needs entropy and has none must not start.

use core::fmt;

/// The processor has no working random number generator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoEntropy;

impl fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the processor has no working random number generator (RDRAND)")
    }
}

impl core::error::Error for NoEntropy {}

/// Tries for one word; the SDM (7.3.17.1) recommends ten for a healthy generator.
const TRIES: u32 = 10;

/// Fills `bytes`.
///
/// # Errors
/// [`NoEntropy`]; `bytes` may be partly filled then and must not be used.
pub fn fill(bytes: &mut [u8]) -> Result<(), NoEntropy> {
    if !hardware::is_present() {
        return Err(NoEntropy);
    }
    fill_from(bytes, &mut hardware::word)
}

/// Fills `bytes` from a generator of words, which may fail now and then.
fn fill_from(bytes: &mut [u8], word: &mut dyn FnMut() -> Option<u64>) -> Result<(), NoEntropy> {
    let mut last = healthy(word, 0)?;
    for chunk in bytes.chunks_mut(8) {
        last = healthy(word, last)?;
        for (to, from) in chunk.iter_mut().zip(last.to_le_bytes()) {
            *to = from;
        }
    }
    Ok(())
}

/// A word unlike the last one. Broken generators are known that repeat one value for ever (all ones, mostly).
fn healthy(word: &mut dyn FnMut() -> Option<u64>, last: u64) -> Result<u64, NoEntropy> {
    for _ in 0..TRIES {
        match word() {
            Some(value) if value != last && value != 0 && value != u64::MAX => return Ok(value),
            _ => {}
        }
    }
    Err(NoEntropy)
}

#[cfg(target_arch = "x86_64")]
mod hardware {
    use core::arch::x86_64::{__cpuid, _rdrand64_step};

    /// CPUID.01H:ECX.RDRAND (SDM vol. 2A, CPUID).
    const RDRAND: u32 = 1 << 30;

    pub(super) fn is_present() -> bool {
        __cpuid(1).ecx & RDRAND != 0
    }

    #[target_feature(enable = "rdrand")]
    fn step() -> Option<u64> {
        let mut value = 0;
        (_rdrand64_step(&mut value) == 1).then_some(value)
    }

    pub(super) fn word() -> Option<u64> {
        // SAFETY: `fill` has checked that the processor has the instruction.
        unsafe { step() }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod hardware {
    pub(super) fn is_present() -> bool {
        false
    }

    pub(super) fn word() -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_generator_is_asked_again() {
        let mut calls = 0u64;
        let mut word = || {
            calls += 1;
            calls.is_multiple_of(3).then_some(calls)
        };
        let mut bytes = [0; 20];
        assert_eq!(fill_from(&mut bytes, &mut word), Ok(()));
        assert_eq!(
            bytes[..16],
            [6, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(bytes[16], 12, "the last, short word");
    }

    #[test]
    fn a_dead_or_stuck_generator_is_an_error() {
        let mut bytes = [0; 8];
        assert_eq!(fill_from(&mut bytes, &mut || None), Err(NoEntropy));
        assert_eq!(fill_from(&mut bytes, &mut || Some(7)), Err(NoEntropy));
        assert_eq!(
            fill_from(&mut bytes, &mut || Some(u64::MAX)),
            Err(NoEntropy)
        );
    }
}
