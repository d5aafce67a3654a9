//! Kernel objects in frames, and who pays for each frame. One of the two portable modules with `unsafe`
//! (`phys` is the other): it turns a frame into a typed reference after checking, in
//! the table of frames, that the frame holds an object of that type and generation.
//!
//! An object never moves and has its frame for itself. [`Ref`]s are plain numbers: stale ones are
//! errors. Counts of references say when an object may be destroyed.

mod frames;
mod kinds;
mod others;
mod reference;
#[cfg(test)]
mod tests;

use crate::boot::BootError;
use crate::object::Budget;
use crate::phys::{Frame, PhysMemory};
use core::ops::Range;
use core::ptr::NonNull;
pub(crate) use frames::FrameKind;
use frames::{Frames, NAMES_IN_PAGE};
use kernel_abi::{Error, PAGE_SIZE};
pub(crate) use others::Others;
use reference::MAX_FRAMES;
pub(crate) use reference::Ref;

/// Something that lives alone in a frame.
///
/// # Safety
/// 1. With one store, all types of one `KIND` agree on layout (one may be a `repr(C)` prefix of another), so
///    that a value written as one may be read as the other.
/// 2. The type fits in a frame, has no `Drop`, and holds no pointers into user memory.
pub(crate) unsafe trait Object: Sized {
    /// The kind of the frames that hold it.
    const KIND: FrameKind;
}

/// An object for which a frame of zeros is a valid value.
///
/// # Safety
/// All fields are integers or arrays of integers.
pub(crate) unsafe trait Zeroed: Object {}

/// All frames and the objects in them.
pub(crate) struct Store {
    pub(crate) memory: PhysMemory,
    frames: Frames,
    managed: u32,
    /// First object without references that was not destroyed yet.
    dead: u32,
}

impl Store {
    /// Takes over all usable memory; its own tables come out of it. The frames of the boot archive are
    /// known, but belong to nobody.
    pub(crate) fn new(
        memory: PhysMemory,
        usable: &[Range<u64>],
        archive: &Range<u64>,
    ) -> Result<Store, BootError> {
        let page = PAGE_SIZE as u64;
        let limit = memory.frames().min(MAX_FRAMES);
        // Inward to whole frames, and never frame 0.
        let inward = |range: &Range<u64>| {
            let first = range.start.div_ceil(page).clamp(1, limit as u64) as u32;
            let end = (range.end / page).min(limit as u64) as u32;
            first..end.max(first)
        };
        if !archive.start.is_multiple_of(page) || archive.end.div_ceil(page) > limit as u64 {
            return Err(BootError::BadArchivePlace);
        }
        let archive = (archive.start / page) as u32..archive.end.div_ceil(page) as u32;
        // Records are needed up to the last usable frame and for the archive.
        let ends = usable.iter().map(|range| inward(range).end);
        let len = ends.max().unwrap_or(0).max(archive.end);
        if len > memory.frames() {
            return Err(BootError::BadArchivePlace);
        }
        let table_frames = Frames::table_bytes(len).div_ceil(page) as u32;
        let place = usable
            .iter()
            .map(inward)
            .filter(|range| range.len() as u64 > table_frames as u64)
            .max_by_key(|range| range.start)
            .ok_or(BootError::TooLittleMemory)?;
        let table = memory
            .frame_pointer(Frame(place.start))
            .map_err(|_| BootError::TooLittleMemory)?;
        // Begins with a page of names. One part in 64 is plenty for objects that everybody has few of.
        let start = (place.start + table_frames).next_multiple_of(NAMES_IN_PAGE);
        let zone = start..start.saturating_add(place.len() as u32 / 64);
        // SAFETY: `table_frames` frames from `place.start` are usable RAM below the limit, and are kept out of
        // the free ones below, so nobody else touches them.
        let mut frames = unsafe { Frames::new(table, len, zone) };
        let mut managed = 0u32;
        for range in usable.iter().map(inward) {
            managed = managed.saturating_add(range.len() as u32);
            if range == place {
                frames.add(range.start + table_frames, range.end);
            } else {
                frames.add(range.start, range.end);
            }
        }
        for frame in place.start..place.start + table_frames {
            frames.set_kind(frame, FrameKind::Kernel);
        }
        for frame in archive {
            match frames.kind(frame) {
                FrameKind::Reserved => frames.set_kind(frame, FrameKind::Archive),
                _ => return Err(BootError::BadArchivePlace),
            }
        }
        Ok(Store {
            memory,
            frames,
            managed,
            dead: 0,
        })
    }

    /// Frames under management, those of the kernel's own tables included.
    pub(crate) fn managed(&self) -> u32 {
        self.managed
    }

    /// Free frames.
    pub(crate) fn free_frames(&self) -> u32 {
        self.frames.free_count()
    }

    /// What a frame holds.
    pub(crate) fn kind(&self, frame: Frame) -> FrameKind {
        self.frames.kind(frame.0)
    }

    // ---- frames and their payers --------------------------------------------------------------

    /// Allocates a frame with undefined content, paid by `payer` (`None`: by the kernel, at boot).
    pub(crate) fn alloc(
        &mut self,
        payer: Option<Ref<Budget>>,
        kind: FrameKind,
    ) -> Result<Frame, Error> {
        self.alloc_run(payer, kind, 1)
    }

    /// Allocates a frame of zeros.
    pub(crate) fn alloc_zeroed(
        &mut self,
        payer: Option<Ref<Budget>>,
        kind: FrameKind,
    ) -> Result<Frame, Error> {
        let frame = self.alloc(payer, kind)?;
        self.zero(frame);
        Ok(frame)
    }

    /// Allocates `count` frames in a row with undefined content.
    pub(crate) fn alloc_run(
        &mut self,
        payer: Option<Ref<Budget>>,
        kind: FrameKind,
        count: u32,
    ) -> Result<Frame, Error> {
        if let Some(payer) = payer {
            let budget = self.get_mut(payer)?;
            if count as u64 > budget.limit.saturating_sub(budget.used) {
                return Err(Error::NoBudget);
            }
            budget.used += count as u64;
        }
        let taken = match count {
            1 => self.frames.take(kind),
            _ => self.frames.take_run(count),
        };
        let Some(first) = taken else {
            if let Some(payer) = payer {
                self.get_mut(payer)?.used -= count as u64;
            }
            return Err(Error::NoBudget);
        };
        for frame in first..first + count {
            if let Some(meta) = self.frames.get_mut(frame) {
                meta.kind = kind;
                meta.dying = false;
                meta.refs = 0;
                meta.payer = payer.map_or(0, Ref::frame);
            }
        }
        Ok(Frame(first))
    }

    /// Fills a frame that the store handed out with zeros.
    pub(crate) fn zero(&mut self, frame: Frame) {
        // Frames come from usable memory, which lies below the limit.
        let zeroed = self.memory.zero_frame(frame);
        debug_assert!(zeroed.is_ok());
    }

    /// Frees a frame and credits its payer, which is itself freed if it was waiting for that.
    pub(crate) fn free(&mut self, frame: Frame) {
        let mut next = Some(frame.0);
        while let Some(frame) = next.take() {
            let Some(meta) = self.frames.get_mut(frame) else {
                return;
            };
            let payer = meta.payer;
            meta.dying = false;
            self.frames.forget(frame);
            self.frames.release(frame);
            if let Some(budget) = self.at_mut::<Budget>(payer) {
                budget.used -= 1;
                next = self.spent_budget(payer);
            }
        }
    }

    /// If the budget is neither named nor in use any more: returns its frames to its parent, and its own frame, which the caller frees.
    fn spent_budget(&mut self, frame: u32) -> Option<u32> {
        let budget = self.at::<Budget>(frame)?;
        let unused = budget.used == 0 && self.frames.get(frame)?.refs == 0;
        if !unused {
            return None;
        }
        let (parent, limit) = (budget.parent?, budget.limit);
        self.get_mut(parent).ok()?.used -= limit;
        Some(frame)
    }

    // ---- objects ------------------------------------------------------------------------------

    /// Puts an object into a frame of its own, with no references yet.
    pub(crate) fn create<T: Object>(
        &mut self,
        payer: Option<Ref<Budget>>,
        value: T,
    ) -> Result<Ref<T>, Error> {
        const {
            assert!(size_of::<T>() <= PAGE_SIZE && align_of::<T>() <= PAGE_SIZE);
            assert!(!core::mem::needs_drop::<T>());
        }
        let frame = self.alloc(payer, FrameKind::Kernel)?;
        let place = self
            .memory
            .frame_pointer(frame)
            .map_err(|_| Error::BadArgument)?;
        // SAFETY: the frame was free, so nothing refers to it; it is RAM in the direct map, page aligned,
        // and the type fits (asserted above).
        unsafe { place.cast::<T>().write(value) };
        self.frames.set_kind(frame.0, T::KIND);
        Ok(self.name(frame))
    }

    /// Puts an object of zeros into a frame of its own.
    pub(crate) fn create_zeroed<T: Zeroed>(
        &mut self,
        payer: Option<Ref<Budget>>,
    ) -> Result<Ref<T>, Error> {
        const {
            assert!(size_of::<T>() <= PAGE_SIZE && align_of::<T>() <= PAGE_SIZE);
            assert!(!core::mem::needs_drop::<T>());
        }
        let frame = self.alloc_zeroed(payer, T::KIND)?;
        Ok(self.name(frame))
    }

    /// The first reference to the `T` that a frame holds from now on.
    fn name<T: Object>(&mut self, frame: Frame) -> Ref<T> {
        self.frames.set_name(frame.0, Ref::<T>::low(frame.0));
        let name = self.frames.name(frame.0).unwrap_or(0);
        Ref::new(frame.0, (name >> 32) as u32)
    }

    /// Where the `T` is that the reference names; `None` if it was destroyed.
    #[inline]
    fn find<T: Object>(&self, object: Ref<T>) -> Option<NonNull<T>> {
        if self.frames.name(object.frame())? != object.word() {
            return None;
        }
        // SAFETY: it has a name, and there are no more names than frames (`new`).
        Some(unsafe { self.memory.known_frame(Frame(object.frame())) }.cast())
    }

    /// The object. [`Error::Gone`] if it was destroyed.
    #[inline]
    pub(crate) fn get<T: Object>(&self, object: Ref<T>) -> Result<&T, Error> {
        let place = self.find(object).ok_or(Error::Gone)?;
        // SAFETY: the frame's name says that it holds a `T` (a `Ref<T>` names its kind, too), which only `create` and
        // `create_zeroed` do after writing one; `&self` keeps everybody from changing it.
        Ok(unsafe { place.as_ref() })
    }

    /// The object, to be changed. [`Error::Gone`] if it was destroyed.
    #[inline]
    pub(crate) fn get_mut<T: Object>(&mut self, object: Ref<T>) -> Result<&mut T, Error> {
        let mut place = self.find(object).ok_or(Error::Gone)?;
        // SAFETY: as in `get`; `&mut self` makes it the only reference into any frame.
        Ok(unsafe { place.as_mut() })
    }

    /// The reference to what a frame holds now; `None` if that is no `T`.
    #[inline]
    pub(crate) fn live<T: Object>(&self, frame: u32) -> Option<Ref<T>> {
        let name = self.frames.name(frame)?;
        (name as u32 == Ref::<T>::low(frame)).then_some(Ref::new(frame, (name >> 32) as u32))
    }

    /// What a frame holds now, if it is a `T`.
    #[inline]
    pub(crate) fn at<T: Object>(&self, frame: u32) -> Option<&T> {
        self.get(self.live::<T>(frame)?).ok()
    }

    /// What a frame holds now, if it is a `T`, to be changed.
    #[inline]
    pub(crate) fn at_mut<T: Object>(&mut self, frame: u32) -> Option<&mut T> {
        let object = self.live::<T>(frame)?;
        self.get_mut(object).ok()
    }

    // ---- references ---------------------------------------------------------------------------

    /// Counts one more reference to the object in a frame.
    pub(crate) fn retain(&mut self, frame: u32) {
        if let Some(meta) = self.frames.get_mut(frame) {
            // A reference costs at least 64 bytes of frame, so there are fewer than 2^32.
            meta.refs += 1;
        }
    }

    /// Counts one reference less. With the last, the object joins the dead ([`Store::next_dead`]);
    /// a budget dies by itself, once it pays for nothing.
    pub(crate) fn release(&mut self, frame: u32) {
        let dead = self.dead;
        let Some(meta) = self.frames.get_mut(frame) else {
            return;
        };
        meta.refs -= 1;
        if meta.refs > 0 {
            return;
        }
        if meta.kind == FrameKind::Budget {
            if let Some(frame) = self.spent_budget(frame) {
                self.free(Frame(frame));
            }
        } else if !meta.dying {
            meta.dying = true;
            meta.refs = dead;
            self.dead = frame;
        }
    }

    /// Takes one object off the list of those that lost their last reference. The caller destroys it.
    pub(crate) fn next_dead(&mut self) -> Option<(FrameKind, Frame)> {
        let frame = self.dead;
        if frame == 0 {
            return None;
        }
        let meta = self.frames.get_mut(frame)?;
        let kind = meta.kind;
        let next = core::mem::take(&mut meta.refs);
        self.dead = next;
        Some((kind, Frame(frame)))
    }

    /// References to an object.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn refs(&self, frame: u32) -> u32 {
        self.frames.get(frame).map_or(0, |meta| meta.refs)
    }

    /// Frame of the budget that pays for a frame.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn payer(&self, frame: u32) -> u32 {
        self.frames.get(frame).map_or(0, |meta| meta.payer)
    }
}
