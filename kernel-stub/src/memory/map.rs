//! Mappings: pages of memory objects in address spaces. Touches page tables (through the
//! platform), the mapping records of a process, and the counts of writers and executers of memory objects.
//!
//! Every mapping stands on a capability in the process's own table, and goes with it when the process deletes that. When
//! somebody else revokes it, the process's scratch page takes the place of every page: the memory is out of
//! reach at once, and yet its former holder does not fault in the middle of an access.

use crate::cap::CapRef;
use crate::kernel::Kernel;
use crate::object::{MAP_ENTRIES, MapTable, Mapping, Memory, Process};
use crate::phys::Frame;
use crate::platform::{MapError, Platform};
use crate::store::{FrameKind, Ref};
use kernel_abi::{Error, PAGE_SIZE, Prot, USER_END, USER_START};

/// Most mappings of a process. Bounds the search for a record, which is made for each mapped capability that goes.
const MAX_MAPPINGS: u32 = 2048;

/// Spare frames for page tables, kept while pages are mapped.
const SPARE: usize = 8;

const PAGE: u64 = PAGE_SIZE as u64;

/// What to map where.
#[derive(Clone, Copy)]
pub(crate) struct MapRequest {
    pub(crate) cap: CapRef,
    pub(crate) memory: Ref<Memory>,
    pub(crate) address: u64,
    pub(crate) first: u32,
    pub(crate) pages: u32,
    pub(crate) prot: Prot,
}

/// Where a mapping record is.
#[derive(Clone, Copy)]
struct Place {
    table: u32,
    index: usize,
}

/// First address past a range of pages, if the range lies where users may map.
fn range_end(address: u64, pages: u64) -> Result<u64, Error> {
    let bytes = pages.checked_mul(PAGE).ok_or(Error::BadArgument)?;
    let end = address.checked_add(bytes).ok_or(Error::BadArgument)?;
    let fits = address.is_multiple_of(PAGE) && address >= USER_START && end <= USER_END;
    (fits && pages > 0).then_some(end).ok_or(Error::BadArgument)
}

impl<P: Platform> Kernel<P> {
    /// Maps pages into a process, all or none.
    pub(crate) fn map(&mut self, process: Ref<Process>, request: MapRequest) -> Result<(), Error> {
        const { assert!(P::MAX_TABLES_PER_MAP <= SPARE) };
        let MapRequest {
            cap,
            memory,
            address,
            first,
            pages,
            prot,
        } = request;
        range_end(address, pages as u64)?;
        let object = self.store.get(memory)?;
        let end = first.checked_add(pages).ok_or(Error::BadArgument)?;
        if end > object.pages {
            return Err(Error::BadArgument);
        }
        let (writes, executes) = (prot.contains(Prot::WRITE), prot.contains(Prot::EXEC));
        let in_hole = object.device != 0 && (first..end).any(|page| object.is_hole(page));
        if writes && executes || in_hole {
            return Err(Error::Refused);
        }
        if writes && object.executers > 0 || executes && object.writers > 0 {
            return Err(Error::Busy);
        }
        let owner = self.store.get(process)?;
        if !owner.is_alive() {
            return Err(Error::BadState);
        }
        let root = owner.root;
        let place = self.free_record(process)?;
        self.map_pages(process, root, request)?;
        if let Some(table) = self.store.at_mut::<MapTable>(place.table) {
            table.used += 1;
            if let Some(entry) = table.entries.get_mut(place.index) {
                *entry = Mapping {
                    address,
                    cap: cap.0,
                    pages,
                    prot: prot.bits(),
                };
            }
        }
        let owner = self.store.get_mut(process)?;
        owner.map_count += 1;
        owner.pages += pages as u64;
        if let Some(cap) = cap.get_mut(&mut self.store) {
            // Fewer than MAX_MAPPINGS, which `free_record` sees to.
            cap.mappings += 1;
        }
        let object = self.store.get_mut(memory)?;
        object.writers += writes as u32;
        object.executers += executes as u32;
        Ok(())
    }

    fn map_pages(
        &mut self,
        process: Ref<Process>,
        root: Frame,
        request: MapRequest,
    ) -> Result<(), Error> {
        let budget = self.store.get(process)?.budget;
        let device = self.store.get(request.memory)?.device != 0;
        let mut spare = heapless::Vec::<Frame, SPARE>::new();
        let mut result = Ok(());
        let mut done = 0;
        while done < request.pages && result.is_ok() {
            // As many as one page can need; with fewer (the budget is short), it may still work out.
            while spare.len() < P::MAX_TABLES_PER_MAP {
                match self.store.alloc_zeroed(Some(budget), FrameKind::PageTable) {
                    Ok(frame) if spare.push(frame).is_ok() => {}
                    _ => break,
                }
            }
            let frame = self.page_frame(request.memory, request.first + done)?;
            let mapped = self.platform.map(
                &mut self.store.memory,
                root,
                request.address + done as u64 * PAGE,
                frame,
                request.prot,
                device,
                &mut |_| spare.pop(),
            );
            match mapped {
                Ok(()) => done += 1,
                Err(MapError::NoFrame) => result = Err(Error::NoBudget),
                Err(MapError::Busy) => result = Err(Error::Busy),
            }
        }
        for frame in spare {
            self.store.free(frame);
        }
        if result.is_err() {
            self.unmap_pages(root, request.address, done);
        }
        result
    }

    fn unmap_pages(&mut self, root: Frame, address: u64, pages: u32) {
        for page in 0..pages as u64 {
            let memory = &mut self.store.memory;
            let was = self.platform.unmap(memory, root, address + page * PAGE);
            debug_assert!(was.is_some(), "a recorded page was not mapped");
        }
    }

    /// An unused mapping record, in a new frame if need be.
    fn free_record(&mut self, process: Ref<Process>) -> Result<Place, Error> {
        let owner = self.store.get(process)?;
        let (budget, head) = (owner.budget, owner.maps);
        if owner.map_count >= MAX_MAPPINGS {
            return Err(Error::NoBudget);
        }
        let mut next = head;
        while let Some(table) = self.store.at::<MapTable>(next) {
            let unused = table.entries.iter().position(|entry| entry.address == 0);
            if (table.used as usize) < MAP_ENTRIES
                && let Some(index) = unused
            {
                return Ok(Place { table: next, index });
            }
            next = table.next;
        }
        let table = self.store.create_zeroed::<MapTable>(Some(budget))?;
        self.store.get_mut(table)?.next = head;
        self.store.get_mut(process)?.maps = table.frame();
        Ok(Place {
            table: table.frame(),
            index: 0,
        })
    }

    /// Calls `visit` for every mapping of a process.
    fn each_mapping(
        &mut self,
        process: Ref<Process>,
        mut visit: impl FnMut(&mut Self, Place, Mapping),
    ) {
        let mut next = self.store.get(process).map_or(0, |owner| owner.maps);
        while let Some(table) = self.store.at::<MapTable>(next) {
            let (this, mut left) = (next, table.used);
            next = table.next;
            for index in 0..MAP_ENTRIES {
                if left == 0 {
                    break;
                }
                let entry = self.store.at::<MapTable>(this);
                let entry = entry.and_then(|table| table.entries.get(index)).copied();
                if let Some(mapping) = entry.filter(|mapping| mapping.address != 0) {
                    left -= 1;
                    visit(self, Place { table: this, index }, mapping);
                }
            }
        }
    }

    /// Unmaps every mapping in a range, which must not cut one in two.
    pub(crate) fn unmap(
        &mut self,
        process: Ref<Process>,
        address: u64,
        pages: u64,
    ) -> Result<(), Error> {
        let end = range_end(address, pages)?;
        let (mut inside, mut cut) = (0u32, false);
        let is_inside = |mapping: &Mapping| {
            let mapping_end = mapping.address + mapping.pages as u64 * PAGE;
            let inside = mapping.address >= address && mapping_end <= end;
            (
                inside,
                mapping.address < end && mapping_end > address && !inside,
            )
        };
        self.each_mapping(process, |_, _, mapping| {
            let (is_in, is_cut) = is_inside(&mapping);
            inside += is_in as u32;
            cut |= is_cut;
        });
        if inside == 0 || cut {
            return Err(Error::BadArgument);
        }
        self.each_mapping(process, |kernel, place, mapping| {
            if is_inside(&mapping).0 {
                kernel.drop_mapping(process, place, mapping);
            }
        });
        Ok(())
    }

    /// Unmaps everything that stands on a capability.
    pub(crate) fn unmap_cap(&mut self, process: Ref<Process>, cap: CapRef) {
        self.each_mapping(process, |kernel, place, mapping| {
            if mapping.cap == cap.0 {
                kernel.drop_mapping(process, place, mapping);
            }
        });
    }

    /// Puts the scratch page in the place of everything that stands on a capability.
    pub(crate) fn strand_cap(&mut self, process: Ref<Process>, cap: CapRef) {
        self.each_mapping(process, |kernel, place, mapping| {
            if mapping.cap == cap.0 {
                kernel.strand(process, place, mapping);
            }
        });
    }

    fn strand(&mut self, process: Ref<Process>, place: Place, mapping: Mapping) {
        let Ok(owner) = self.store.get(process) else {
            return;
        };
        let (root, scratch) = (owner.root, owner.scratch);
        // Never executable: what was code faults when it runs.
        let prot = Prot::from_bits_truncate(mapping.prot).difference(Prot::EXEC);
        for page in 0..mapping.pages as u64 {
            let address = mapping.address + page * PAGE;
            let memory = &mut self.store.memory;
            let was = self.platform.unmap(memory, root, address);
            debug_assert!(was.is_some(), "a recorded page was not mapped");
            // The tables are there already, so no frame is asked for.
            let mapped =
                self.platform
                    .map(memory, root, address, scratch, prot, false, &mut |_| None);
            debug_assert!(mapped.is_ok(), "the scratch page could not be mapped");
        }
        self.forget(mapping);
        if let Some(table) = self.store.at_mut::<MapTable>(place.table)
            && let Some(entry) = table.entries.get_mut(place.index)
        {
            entry.cap = CapRef::NONE.0;
            entry.prot = prot.bits();
        }
    }

    fn drop_mapping(&mut self, process: Ref<Process>, place: Place, mapping: Mapping) {
        let Ok(owner) = self.store.get_mut(process) else {
            return;
        };
        owner.map_count -= 1;
        owner.pages -= mapping.pages as u64;
        let root = owner.root;
        self.unmap_pages(root, mapping.address, mapping.pages);
        self.forget(mapping);
        if let Some(table) = self.store.at_mut::<MapTable>(place.table) {
            table.used -= 1;
            if let Some(entry) = table.entries.get_mut(place.index) {
                entry.address = 0;
            }
        }
    }

    /// Takes a mapping off the counts of its capability and its object.
    fn forget(&mut self, mapping: Mapping) {
        let Some(cap) = CapRef(mapping.cap).get_mut(&mut self.store) else {
            return;
        };
        cap.mappings -= 1;
        let frame = cap.frame;
        let prot = Prot::from_bits_truncate(mapping.prot);
        if let Some(object) = self.store.at_mut::<Memory>(frame) {
            object.writers -= prot.contains(Prot::WRITE) as u32;
            object.executers -= prot.contains(Prot::EXEC) as u32;
        }
    }

    /// Takes all mappings of a process off the counts: its page tables go as a whole, and so do the records.
    pub(crate) fn forget_mappings(&mut self, process: Ref<Process>) {
        self.each_mapping(process, |kernel, _, mapping| kernel.forget(mapping));
    }
}
