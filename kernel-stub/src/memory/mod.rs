//! Memory objects: allocating their pages, finding them, giving them back. Touches memory objects, their
//! page lists and pages. `map` puts them into address spaces.
#![forbid(unsafe_code)]

mod map;
pub(crate) use map::MapRequest;

use crate::kernel::Kernel;
use crate::object::{Budget, LIST_ENTRIES, MAX_PAGES, Memory, PageList};
use crate::phys::{Frame, PhysMemory};
use crate::platform::Platform;
use crate::store::{FrameKind, Ref};
use kernel_abi::{Error, PAGE_SIZE};

/// How the frames of a new memory object shall lie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Anywhere,
    Contiguous,
}

impl<P: Platform> Kernel<P> {
    /// A memory object of zeroed pages, without a reference yet.
    pub(crate) fn create_memory(
        &mut self,
        budget: Ref<Budget>,
        pages: u64,
        layout: Layout,
    ) -> Result<Ref<Memory>, Error> {
        let count = u32::try_from(pages).map_err(|_| Error::BadArgument)?;
        if pages == 0 || pages > MAX_PAGES {
            return Err(Error::BadArgument);
        }
        // Before any work: page lists are the small rest, for which the loop looks itself.
        let entry = self.store.get(budget)?;
        if pages >= entry.limit.saturating_sub(entry.used) {
            return Err(Error::NoBudget);
        }
        let memory = self.store.create_zeroed::<Memory>(Some(budget))?;
        let entry = self.store.get_mut(memory)?;
        entry.pages = count;
        entry.bytes = pages * PAGE_SIZE as u64;
        let filled = match layout {
            Layout::Contiguous => self.fill_run(budget, memory, count),
            Layout::Anywhere => self.fill_list(budget, memory, count),
        };
        if let Err(error) = filled {
            self.destroy_memory(Frame(memory.frame()));
            return Err(error);
        }
        Ok(memory)
    }

    fn fill_run(
        &mut self,
        budget: Ref<Budget>,
        memory: Ref<Memory>,
        count: u32,
    ) -> Result<(), Error> {
        let first = self.store.alloc_run(Some(budget), FrameKind::User, count)?;
        for frame in first.0..first.0 + count {
            self.store.zero(Frame(frame));
        }
        self.store.get_mut(memory)?.first = first.0;
        Ok(())
    }

    fn fill_list(
        &mut self,
        budget: Ref<Budget>,
        memory: Ref<Memory>,
        count: u32,
    ) -> Result<(), Error> {
        let (last, in_list) = self.store.get(memory)?.place(count - 1);
        if in_list.is_some() {
            for index in 0..=last {
                let list = self.store.create_zeroed::<PageList>(Some(budget))?;
                if let Some(place) = self.store.get_mut(memory)?.list.get_mut(index) {
                    *place = list.frame();
                }
            }
        }
        for page in 0..count {
            let frame = self.store.alloc_zeroed(Some(budget), FrameKind::User)?;
            let entry = self.store.get_mut(memory)?;
            let (index, in_list) = entry.place(page);
            let place = entry.list.get_mut(index);
            match (place, in_list) {
                (Some(place), None) => *place = frame.0,
                (Some(list), Some(index)) => {
                    let list = *list;
                    let list = self.store.at_mut::<PageList>(list);
                    if let Some(place) = list.and_then(|list| list.0.get_mut(index)) {
                        *place = frame.0;
                    }
                }
                (None, _) => return Err(Error::BadArgument),
            }
        }
        Ok(())
    }

    /// A memory object over frames that are not the kernel's to free: the boot archive, or a device's registers.
    pub(crate) fn create_window(
        &mut self,
        budget: Ref<Budget>,
        first: Frame,
        bytes: u64,
        device: bool,
    ) -> Result<Ref<Memory>, Error> {
        let pages = u32::try_from(bytes.div_ceil(PAGE_SIZE as u64));
        let pages = pages.map_err(|_| Error::BadArgument)?;
        let memory = self.store.create_zeroed::<Memory>(Some(budget))?;
        let entry = self.store.get_mut(memory)?;
        entry.pages = pages;
        entry.bytes = bytes;
        entry.first = first.0;
        entry.device = device as u32;
        Ok(memory)
    }

    /// Frame of a page.
    pub(crate) fn page_frame(&self, memory: Ref<Memory>, page: u32) -> Result<Frame, Error> {
        let entry = self.store.get(memory)?;
        if page >= entry.pages {
            return Err(Error::BadArgument);
        }
        if entry.first != 0 {
            return Ok(Frame(entry.first.saturating_add(page)));
        }
        let (index, in_list) = entry.place(page);
        let number = *entry.list.get(index).ok_or(Error::BadArgument)?;
        let number = match in_list {
            None => number,
            Some(index) => {
                let list = self.store.at::<PageList>(number).ok_or(Error::Gone)?;
                *list.0.get(index).ok_or(Error::BadArgument)?
            }
        };
        match number {
            0 => Err(Error::Gone),
            _ => Ok(Frame(number)),
        }
    }

    /// Frees a memory object that nothing refers to, with its pages if they are its own.
    pub(crate) fn destroy_memory(&mut self, frame: Frame) {
        let Some(memory) = self.store.live::<Memory>(frame.0) else {
            return;
        };
        let pages = self.store.get(memory).map_or(0, |entry| entry.pages);
        for page in 0..pages {
            // Pages that were not reached when filling failed are not there.
            if let Ok(page) = self.page_frame(memory, page)
                && self.store.kind(page) == FrameKind::User
            {
                self.store.free(page);
            } else {
                break;
            }
        }
        for index in 0..LIST_ENTRIES {
            let list = self.store.get(memory).ok().and_then(|entry| {
                let is_large = entry.first == 0 && entry.place(0).1.is_some();
                entry.list.get(index).copied().filter(|_| is_large)
            });
            match list {
                Some(list) if list != 0 => self.store.free(Frame(list)),
                _ => break,
            }
        }
        self.store.free(frame);
    }

    /// Frees every table that `walk` hands out.
    ///
    /// The platform walks tables while the store takes them back, which it may do only afterwards: a freed frame is not
    /// written before it is handed out again, so a chain through the first word of each holds them.
    pub(crate) fn free_tables(
        &mut self,
        walk: impl FnOnce(&mut P, &mut PhysMemory, &mut dyn FnMut(&mut PhysMemory, Frame)),
    ) {
        let mut chain = 0u64;
        let memory = &mut self.store.memory;
        walk(&mut self.platform, memory, &mut |memory, frame| {
            let linked = memory.write_u64(frame.address(), chain);
            debug_assert!(linked.is_ok());
            chain = frame.0 as u64;
        });
        while chain != 0 {
            let frame = Frame(chain as u32);
            chain = self.store.memory.read_u64(frame.address()).unwrap_or(0);
            self.store.free(frame);
        }
    }
}
