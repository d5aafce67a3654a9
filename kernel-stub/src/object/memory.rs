//! Memory objects: pages of RAM or of a device's registers. Data only.

/// Frame numbers in the header: frames of a small object, or page lists of a large one.
pub(crate) const LIST_ENTRIES: usize = 1000;

/// Frame numbers in a page list.
const PAGE_LIST: usize = 1024;

/// Most pages of an object that is listed page by page.
pub(crate) const MAX_PAGES: u64 = (LIST_ENTRIES * PAGE_LIST) as u64;

/// Header of a memory object.
#[repr(C)]
pub(crate) struct Memory {
    /// Exact length in bytes.
    pub(crate) bytes: u64,
    /// Pages.
    pub(crate) pages: u32,
    /// First frame if the pages lie in a row, else zero and they are listed.
    pub(crate) first: u32,
    /// 1 if these are registers of a device.
    pub(crate) device: u32,
    /// Writable mappings and pins for devices.
    pub(crate) writers: u32,
    /// Executable mappings.
    pub(crate) executers: u32,
    /// Pages of a device that nobody may map (first and end of two ranges): MSI-X table and pending bits.
    pub(crate) holes: [u32; 4],
    /// Frames, or page lists if there are more than [`LIST_ENTRIES`] pages.
    pub(crate) list: [u32; LIST_ENTRIES],
}

impl Memory {
    /// Whether the pages are in a row.
    pub(crate) fn is_contiguous(&self) -> bool {
        self.first != 0 || self.pages == 1
    }

    /// Where the number of a listed page's frame is: index in the header, and index in the page list
    /// that stands there if the object is large.
    pub(crate) fn place(&self, page: u32) -> (usize, Option<usize>) {
        let page = page as usize;
        if self.pages as usize <= LIST_ENTRIES {
            (page, None)
        } else {
            (page / PAGE_LIST, Some(page % PAGE_LIST))
        }
    }

    /// Whether nobody may map this page.
    pub(crate) fn is_hole(&self, page: u32) -> bool {
        let [first, end, first2, end2] = self.holes;
        (first..end).contains(&page) || (first2..end2).contains(&page)
    }
}

/// A frame of frame numbers.
pub(crate) struct PageList(pub(crate) [u32; PAGE_LIST]);
