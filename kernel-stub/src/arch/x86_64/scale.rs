//! Conversion between ticks of a counter and nanoseconds, without division. Plain arithmetic.

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Multiplies by a ratio with 32 bits after the point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scale(u64);

impl Scale {
    /// From ticks of a counter with this frequency in hertz to nanoseconds; `None` outside 1 MHz to 1 THz.
    pub(crate) fn to_nanos(hertz: u64) -> Option<Scale> {
        Scale::of(NANOS_PER_SECOND, in_range(hertz)?)
    }

    /// From nanoseconds to ticks of a counter with this frequency in hertz; `None` outside 1 MHz to 1 THz.
    pub(crate) fn to_ticks(hertz: u64) -> Option<Scale> {
        Scale::of(in_range(hertz)?, NANOS_PER_SECOND)
    }

    fn of(numerator: u128, denominator: u128) -> Option<Scale> {
        u64::try_from((numerator << 32) / denominator)
            .ok()
            .map(Scale)
    }

    /// The ratio, with 32 bits after the point.
    #[cfg(target_os = "none")]
    pub(crate) fn ratio(self) -> u64 {
        self.0
    }

    /// Converts, rounding down; what does not fit 64 bits is the largest value.
    pub(crate) fn apply(self, value: u64) -> u64 {
        u64::try_from((value as u128 * self.0 as u128) >> 32).unwrap_or(u64::MAX)
    }
}

impl Scale {
    /// The same where the result is known to fit: nanoseconds since boot do for 584 years.
    #[cfg(any(test, target_os = "none"))]
    pub(crate) fn apply_small(self, value: u64) -> u64 {
        ((value as u128 * self.0 as u128) >> 32) as u64
    }
}

fn in_range(hertz: u64) -> Option<u128> {
    (1_000_000..=1_000_000_000_000)
        .contains(&hertz)
        .then_some(hertz as u128)
}

/// Frequency of a counter that advanced by `ticks` while a reference of `reference_hertz` advanced by
/// `reference_ticks`.
pub(crate) fn frequency(ticks: u64, reference_ticks: u64, reference_hertz: u64) -> Option<u64> {
    let product = ticks as u128 * reference_hertz as u128;
    u64::try_from(product.checked_div(reference_ticks as u128)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const YEAR: u64 = 365 * 86_400;

    #[test]
    fn ten_years_do_not_overflow() {
        let hertz = 2_311_000_000;
        let scale = Scale::to_nanos(hertz).unwrap();
        let nanos = scale.apply(hertz * 10 * YEAR) as i128;
        let error = nanos - 10 * YEAR as i128 * 1_000_000_000;
        // 2^-32 of a nanosecond for each tick is half a nanosecond a second.
        assert!(error.abs() <= 10 * YEAR as i128, "{error}");
    }

    #[test]
    fn nonsense_frequencies_are_refused() {
        for hertz in [0, 1, 999_999, 1_000_000_000_001, u64::MAX] {
            assert_eq!(Scale::to_nanos(hertz), None);
            assert_eq!(Scale::to_ticks(hertz), None);
        }
        assert_eq!(frequency(5, 0, 1_000_000), None);
        assert_eq!(frequency(u64::MAX, 1, u64::MAX), None);
    }

    #[test]
    fn saturates_instead_of_wrapping() {
        assert_eq!(
            Scale::to_ticks(2_000_000_000).unwrap().apply(u64::MAX),
            u64::MAX
        );
        let (scale, century) = (Scale::to_nanos(3_000_000_000).unwrap(), 100 * YEAR);
        let ticks = 3_000_000_000 * century;
        assert_eq!(scale.apply_small(ticks), scale.apply(ticks));
    }

    proptest! {
        #[test]
        fn never_goes_back(hertz in 1_000_000_u64..100_000_000_000, a: u64, b: u64) {
            let scale = Scale::to_nanos(hertz).unwrap();
            prop_assert!(scale.apply(a.min(b)) <= scale.apply(a.max(b)));
        }

        #[test]
        fn there_and_back(hertz in 1_000_000_u64..10_000_000_000, nanos in 0..1_000_000_000_000_u64) {
            let ticks = Scale::to_ticks(hertz).unwrap().apply(nanos);
            let back = Scale::to_nanos(hertz).unwrap().apply(ticks);
            // One tick is at most 1000 ns; the ratios are exact to 2^-32.
            prop_assert!(back <= nanos + 1 && nanos - back.min(nanos) <= 1001 + nanos / 1_000_000, "{back} {nanos}");
        }
    }
}
