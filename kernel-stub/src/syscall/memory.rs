//! System calls on memory objects.

use super::{Caller, DONE, made};
use crate::cap::{Grant, lookup};
use crate::init::MEMORY_RIGHTS;
use crate::kernel::{Kernel, Outcome};
use crate::memory::{Layout, MapRequest};
use crate::object::{Budget, Memory};
use crate::platform::Platform;
use kernel_abi::{Error, Kind, Prot, Rights};

fn page_number(number: u64) -> Result<u32, Error> {
    u32::try_from(number).map_err(|_| Error::BadArgument)
}

impl<P: Platform> Kernel<P> {
    pub(super) fn memory_create(
        &mut self,
        me: Caller,
        budget: u64,
        pages: u64,
        layout: u64,
    ) -> Result<Outcome, Error> {
        let found = self.own(me, budget, Kind::Budget, Rights::ALLOC)?;
        let layout = match layout {
            0 => Layout::Anywhere,
            1 => Layout::Contiguous,
            _ => return Err(Error::BadArgument),
        };
        let memory = self.create_memory(found.object::<Budget>(), pages, layout)?;
        let grant = Grant::new(Kind::Memory, MEMORY_RIGHTS, memory);
        self.hand_over(me.process, grant).map(made)
    }

    pub(super) fn memory_map(
        &mut self,
        me: Caller,
        process: u64,
        memory: u64,
        [address, first, pages, prot]: [u64; 4],
    ) -> Result<Outcome, Error> {
        let process = self.process_or_self(me, process)?;
        let prot = u32::try_from(prot).ok().and_then(Prot::from_bits);
        let prot = prot.ok_or(Error::BadArgument)? | Prot::READ;
        let mut rights = Rights::READ;
        rights.set(Rights::WRITE, prot.contains(Prot::WRITE));
        rights.set(Rights::EXEC, prot.contains(Prot::EXEC));
        let found = lookup(&self.store, process, memory, Kind::Memory, rights)?;
        let request = MapRequest {
            cap: found.at,
            memory: found.object::<Memory>(),
            address,
            first: page_number(first)?,
            pages: page_number(pages)?,
            prot,
        };
        self.map(process, request)?;
        Ok(DONE)
    }

    pub(super) fn memory_unmap(
        &mut self,
        me: Caller,
        process: u64,
        address: u64,
        pages: u64,
    ) -> Result<Outcome, Error> {
        let process = self.process_or_self(me, process)?;
        self.unmap(process, address, pages)?;
        Ok(DONE)
    }

    pub(super) fn memory_info(&mut self, me: Caller, memory: u64) -> Result<Outcome, Error> {
        let found = self.own(me, memory, Kind::Memory, Rights::empty())?;
        let entry = self.store.get(found.object::<Memory>())?;
        Ok(Outcome::Done([entry.pages as u64, entry.bytes, 0]))
    }
}
