//! Arithmetic on the memory map: which RAM there is, and which of it nobody uses yet. Plain data.

use core::ops::Range;
use heapless::Vec;
use kernel_abi::PAGE_SIZE;

/// Most separate pieces of RAM that are told apart; further pieces stay unused.
pub(crate) const MAX_PIECES: usize = 64;

/// Pieces of physical memory, sorted, page aligned, not overlapping.
pub(crate) type Pieces = Vec<Range<u64>, MAX_PIECES>;

/// What an entry of the memory map describes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RegionKind {
    /// RAM that the operating system may use.
    Ram,
    /// Anything else: firmware tables, device registers, bad memory.
    Reserved,
}

/// An entry of the memory map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Region {
    /// Physical addresses.
    pub(crate) range: Range<u64>,
    /// What is there.
    pub(crate) kind: RegionKind,
}

impl Region {
    /// Whether this is RAM that contains all of `part`.
    pub(crate) fn holds(&self, part: &Range<u64>) -> bool {
        self.kind == RegionKind::Ram && self.range.start <= part.start && part.end <= self.range.end
    }
}

/// All RAM below `limit`, aligned inward to pages. What any other entry also claims is not RAM.
pub(crate) fn ram(regions: &[Region], limit: u64) -> Pieces {
    let mut pieces = Pieces::new();
    for region in regions
        .iter()
        .filter(|region| region.kind == RegionKind::Ram)
    {
        let page = PAGE_SIZE as u64;
        let start = region.range.start.div_ceil(page).saturating_mul(page);
        let end = region.range.end.min(limit) / page * page;
        // An entry that overlaps an earlier one counts once.
        let mut fresh = Pieces::new();
        insert(&mut fresh, start..end);
        for piece in &pieces.clone() {
            exclude(&mut fresh, piece);
        }
        for piece in fresh {
            insert(&mut pieces, piece);
        }
    }
    for region in regions
        .iter()
        .filter(|region| region.kind != RegionKind::Ram)
    {
        exclude(&mut pieces, &region.range);
    }
    pieces.sort_unstable_by_key(|piece| piece.start);
    pieces
}

/// Removes `taken`, rounded outward to pages, from the pieces.
pub(crate) fn exclude(pieces: &mut Pieces, taken: &Range<u64>) {
    if taken.is_empty() {
        return;
    }
    let page = PAGE_SIZE as u64;
    let start = taken.start / page * page;
    let end = taken.end.div_ceil(page).saturating_mul(page);
    for piece in core::mem::take(pieces) {
        insert(pieces, piece.start..piece.end.min(start));
        insert(pieces, piece.start.max(end)..piece.end);
    }
}

/// Adds a piece unless it is empty. With no room left it replaces the smallest, if that is smaller.
fn insert(pieces: &mut Pieces, piece: Range<u64>) {
    let size = |range: &Range<u64>| range.end - range.start;
    if piece.is_empty() {
        return;
    }
    if let Err(piece) = pieces.push(piece)
        && let Some(smallest) = pieces.iter_mut().min_by_key(|range| size(range))
        && size(smallest) < size(&piece)
    {
        *smallest = piece;
    }
}

#[cfg(test)]
mod tests;
