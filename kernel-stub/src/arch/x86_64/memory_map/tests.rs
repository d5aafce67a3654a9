//! Memory maps against a model that marks single pages.

use super::*;
use RegionKind::{Ram, Reserved};
use proptest::prelude::*;

const PAGE: u64 = PAGE_SIZE as u64;

fn region(range: Range<u64>, kind: RegionKind) -> Region {
    Region { range, kind }
}

fn one(piece: Range<u64>) -> Pieces {
    core::iter::once(piece).collect()
}

#[test]
fn ram_is_aligned_inward() {
    let pieces = ram(
        &[region(0x10..0x3010, Ram), region(0x4001..0x4fff, Ram)],
        u64::MAX,
    );
    assert_eq!(pieces, one(0x1000..0x3000));
}

#[test]
fn reserved_wins() {
    let regions = [
        region(0x2800..0x2801, Reserved),
        region(0..0x5000, Ram),
        region(0x4fff..0x9000, Reserved),
    ];
    assert_eq!(ram(&regions, u64::MAX), [0..0x2000, 0x3000..0x4000]);
}

#[test]
fn overlapping_ram_counts_once() {
    let regions = [region(0x1000..0x4000, Ram), region(0x2000..0x6000, Ram)];
    let total: u64 = ram(&regions, u64::MAX)
        .iter()
        .map(|piece| piece.end - piece.start)
        .sum();
    assert_eq!(total, 0x5000);
}

#[test]
fn ends_at_the_limit_and_at_the_end_of_the_world() {
    let regions = [region(0x1000..u64::MAX, Ram)];
    assert_eq!(ram(&regions, 0x3fff), one(0x1000..0x3000));
    assert_eq!(ram(&regions, 0x800), []);
    let mut pieces = ram(&regions, u64::MAX);
    exclude(&mut pieces, &(0x2000..u64::MAX));
    assert_eq!(pieces, one(0x1000..0x2000));
    assert_eq!(ram(&[region(u64::MAX - 5..u64::MAX, Ram)], u64::MAX), []);
}

#[test]
fn with_too_many_pieces_the_smallest_go() {
    let mut pieces = Pieces::new();
    insert(&mut pieces, 0..1000 * PAGE);
    for hole in 0..2 * MAX_PIECES as u64 {
        exclude(&mut pieces, &(hole * 2 * PAGE..(hole * 2 + 1) * PAGE));
    }
    assert_eq!(pieces.len(), MAX_PIECES);
    let largest = pieces.iter().max_by_key(|piece| piece.end - piece.start);
    let last_hole_end = (2 * (2 * MAX_PIECES as u64 - 1) + 1) * PAGE;
    assert_eq!(largest, Some(&(last_hole_end..1000 * PAGE)));
}

proptest! {
    #[test]
    fn agrees_with_marking_pages(
        regions in prop::collection::vec((0..60_u64 * PAGE, 0..20 * PAGE, any::<bool>()), 0..8),
        taken in prop::collection::vec((0..60_u64 * PAGE, 0..20 * PAGE), 0..5),
    ) {
        let regions: std::vec::Vec<Region> = regions
            .into_iter()
            .map(|(start, len, is_ram)| region(start..start + len, if is_ram { Ram } else { Reserved }))
            .collect();
        let mut pieces = ram(&regions, 64 * PAGE);
        for (start, len) in &taken {
            exclude(&mut pieces, &(*start..start + len));
        }
        for page in 0..100 {
            let bytes = page * PAGE..(page + 1) * PAGE;
            let touches = |range: &Range<u64>| {
                !range.is_empty() && range.start < bytes.end && bytes.start < range.end
            };
            let whole = regions.iter().any(|region| region.holds(&bytes));
            let free = page < 64
                && whole
                && !regions.iter().any(|region| region.kind == Reserved && touches(&region.range))
                && !taken.iter().any(|(start, len)| touches(&(*start..start + len)));
            let holders = pieces.iter().filter(|piece| touches(piece)).count();
            prop_assert_eq!(holders, usize::from(free), "page {}", page);
        }
    }
}
