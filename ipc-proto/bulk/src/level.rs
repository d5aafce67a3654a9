//! Which registers this process may use, and which instructions. Asks the processor once.

use core::arch::{
    asm,
    x86_64::{__cpuid, __cpuid_count},
};
use core::sync::atomic::{AtomicU8, Ordering};

/// The widest registers that may be used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(crate) enum Level {
    /// General registers: the kernel switches no others.
    General = 1,
    /// 16 bytes.
    Sse = 2,
    /// 32 bytes.
    Avx = 3,
}

/// CPUID.01H:ECX.OSXSAVE (XGETBV may be used) and AVX.
const OSXSAVE: u32 = 1 << 27;
const AVX: u32 = 1 << 28;
/// XCR0: the kernel switches the registers of SSE; of SSE and AVX.
const SWITCHES_SSE: u32 = 0b010;
const SWITCHES_AVX: u32 = 0b110;

/// CPUID.07H:EBX.ADX: additions that touch no flag but the carry.
const ADX: u32 = 1 << 19;

/// A [`Level`]; zero: not asked yet. Asking twice gives the same answer, so relaxed accesses do.
static CURRENT: AtomicU8 = AtomicU8::new(0);
/// [`HAS_ADX`] or [`LACKS_ADX`]; zero: not asked yet.
static WITH_ADX: AtomicU8 = AtomicU8::new(0);
const LACKS_ADX: u8 = 1;
const HAS_ADX: u8 = 2;

impl Level {
    /// What this process may use.
    #[inline]
    pub(crate) fn current() -> Level {
        if CURRENT.load(Ordering::Relaxed) == Level::Avx as u8 {
            Level::Avx
        } else {
            less_or_unknown()
        }
    }
}

/// Apart from the common case.
#[cold]
fn less_or_unknown() -> Level {
    match CURRENT.load(Ordering::Relaxed) {
        1 => Level::General,
        2 => Level::Sse,
        _ => detect(),
    }
}

fn detect() -> Level {
    let features = __cpuid(1).ecx;
    let switched = if features & OSXSAVE != 0 { xcr0() } else { 0 };
    let level = if features & AVX != 0 && switched & SWITCHES_AVX == SWITCHES_AVX {
        Level::Avx
    } else if switched & SWITCHES_SSE == SWITCHES_SSE {
        Level::Sse
    } else {
        Level::General
    };
    CURRENT.store(level as u8, Ordering::Relaxed);
    level
}

/// Whether the processor has ADX.
#[inline]
pub(crate) fn has_adx() -> bool {
    match WITH_ADX.load(Ordering::Relaxed) {
        HAS_ADX => true,
        LACKS_ADX => false,
        _ => look_for_adx(),
    }
}

#[cold]
fn look_for_adx() -> bool {
    let has = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & ADX != 0;
    let answer = if has { HAS_ADX } else { LACKS_ADX };
    WITH_ADX.store(answer, Ordering::Relaxed);
    has
}

/// The register sets that the kernel has enabled, and therefore switches.
fn xcr0() -> u32 {
    let low;
    // SAFETY: reads a register; the caller has seen OSXSAVE.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack, preserves_flags));
    }
    low
}
