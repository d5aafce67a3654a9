//! The sum that Internet checksums are made of. Reads only the bytes that it is given.

use crate::level;
use core::arch::asm;

/// Bytes of a round.
pub(crate) const ROUND: usize = 64;
/// Bytes of a step.
const STEP: usize = size_of::<u64>();

/// The sum of bytes as words of 64 bits in the machine's byte order, the last one filled up with zeros, in one's complement: carries
/// come back in at the bottom. Folded to 16 bits it is the sum of RFC 1071, in the machine's byte order.
#[must_use]
#[inline]
pub fn sum(bytes: &[u8]) -> u64 {
    let (rounds, rest) = bytes.as_chunks::<ROUND>();
    let mut sum = 0;
    if !rounds.is_empty() {
        sum = sum_rounds(rounds);
    }
    let (steps, tail) = rest.as_chunks::<STEP>();
    for step in steps {
        sum = plus(sum, u64::from_ne_bytes(*step));
    }
    let mut last = [0; STEP];
    for (to, from) in last.iter_mut().zip(tail) {
        *to = *from;
    }
    plus(sum, u64::from_ne_bytes(last))
}

#[inline(always)]
fn plus(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    // With a carry the sum is not the largest number.
    sum.wrapping_add(u64::from(carry))
}

/// The same for whole rounds, at least one: one instruction for eight bytes, which no compiler makes of the loop above.
#[inline]
fn sum_rounds(rounds: &[[u8; ROUND]]) -> u64 {
    if level::has_adx() {
        // SAFETY: the processor has the instructions.
        unsafe { sum_rounds_adx(rounds) }
    } else {
        sum_rounds_plain(rounds)
    }
}

/// By ADCX, which touches no flag but the carry. Processors don't care, but an emulator does: what ADC leaves in the other flags makes it
/// work out the carry in a function of its own, for each word.
///
/// # Safety
/// The processor has ADX.
#[inline]
unsafe fn sum_rounds_adx(rounds: &[[u8; ROUND]]) -> u64 {
    let sum: u64;
    // SAFETY: reads the rounds, one after the other, and nothing else; there is at least one. Of the sum and the carry together, a round
    // makes at most the largest number: the last addition carries nothing.
    unsafe {
        asm!(
            "xor {sum:e}, {sum:e}",
            "2:",
            "xor {zero:e}, {zero:e}", // and no carry
            "adcx {sum}, [{at}]",
            "adcx {sum}, [{at} + 8]",
            "adcx {sum}, [{at} + 16]",
            "adcx {sum}, [{at} + 24]",
            "adcx {sum}, [{at} + 32]",
            "adcx {sum}, [{at} + 40]",
            "adcx {sum}, [{at} + 48]",
            "adcx {sum}, [{at} + 56]",
            "adcx {sum}, {zero}",
            "add {at}, 64",
            "dec {left}",
            "jnz 2b",
            sum = out(reg) sum,
            zero = out(reg) _,
            at = inout(reg) rounds.as_ptr() => _,
            left = inout(reg) rounds.len() => _,
            options(nostack, readonly),
        );
    }
    sum
}

/// By ADC, which every processor has.
#[inline(never)]
pub(crate) fn sum_rounds_plain(rounds: &[[u8; ROUND]]) -> u64 {
    let sum: u64;
    // SAFETY: reads the rounds, one after the other, and nothing else; there is at least one. Neither `lea` nor `dec` touches the carry.
    unsafe {
        asm!(
            "xor {sum:e}, {sum:e}",
            "2:",
            "adc {sum}, [{at}]",
            "adc {sum}, [{at} + 8]",
            "adc {sum}, [{at} + 16]",
            "adc {sum}, [{at} + 24]",
            "adc {sum}, [{at} + 32]",
            "adc {sum}, [{at} + 40]",
            "adc {sum}, [{at} + 48]",
            "adc {sum}, [{at} + 56]",
            "lea {at}, [{at} + 64]",
            "dec {left}",
            "jnz 2b",
            "adc {sum}, 0",
            sum = out(reg) sum,
            at = inout(reg) rounds.as_ptr() => _,
            left = inout(reg) rounds.len() => _,
            options(nostack, readonly),
        );
    }
    sum
}
