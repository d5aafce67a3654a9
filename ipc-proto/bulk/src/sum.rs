//! The sum that Internet checksums are made of. Reads only the bytes that it is given.

use core::arch::asm;

/// Bytes of a round.
const ROUND: usize = 64;
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
