//! System calls on devices and interrupts. What they make is paid by the caller's process, and derived
//! from the capability to the device: it goes when that is revoked.

use super::{Caller, DONE, done, made};
use crate::cap::{Found, Grant};
use crate::kernel::{Kernel, Outcome};
use crate::object::{Device, Memory};
use crate::platform::Platform;
use crate::store::Ref;
use kernel_abi::{Error, Kind, Rights, Words};

/// A first capability to an object that hangs below the one to its device.
fn below<T>(device: Found, kind: Kind, rights: Rights, object: Ref<T>) -> Grant {
    Grant {
        parent: device.at,
        ..Grant::new(kind, rights, object)
    }
}

impl<P: Platform> Kernel<P> {
    pub(super) fn device_get_info(
        &mut self,
        me: Caller,
        device: u64,
        to: u64,
    ) -> Result<Outcome, Error> {
        let found = self.own(me, device, Kind::Device, Rights::READ)?;
        let info = self.device_info(found.object())?;
        self.words_to_user(self.sched.root(), to, &info.to_words())?;
        Ok(DONE)
    }

    pub(super) fn device_config_read(
        &mut self,
        me: Caller,
        device: u64,
        offset: u64,
        width: u64,
    ) -> Result<Outcome, Error> {
        let found = self.own(me, device, Kind::Device, Rights::READ)?;
        self.device_config(found.object(), offset, width).map(done)
    }

    pub(super) fn device_get_bar(
        &mut self,
        me: Caller,
        device: u64,
        index: u64,
    ) -> Result<Outcome, Error> {
        let found = self.own(me, device, Kind::Device, Rights::MANAGE)?;
        let payer = self.store.get(me.process)?.budget;
        let memory = self.device_bar(payer, found.object(), index)?;
        let grant = below(found, Kind::Memory, Rights::READ | Rights::WRITE, memory);
        self.hand_over(me.process, grant).map(made)
    }

    pub(super) fn device_dma_map(
        &mut self,
        me: Caller,
        device: u64,
        memory: u64,
    ) -> Result<Outcome, Error> {
        let found = self.own(me, device, Kind::Device, Rights::DMA)?;
        let memory = self.own(me, memory, Kind::Memory, Rights::DMA | Rights::READ)?;
        let writes = memory.rights.contains(Rights::WRITE);
        let payer = self.store.get(me.process)?.budget;
        let memory = memory.object::<Memory>();
        let (address, bytes) = self.pin_memory(payer, found.object(), memory, writes)?;
        Ok(Outcome::Done([address, bytes, 0]))
    }

    pub(super) fn device_interrupt(
        &mut self,
        me: Caller,
        device: u64,
        entry: u64,
        [notification, bits]: [u64; 2],
    ) -> Result<Outcome, Error> {
        let found = self.own(me, device, Kind::Device, Rights::MANAGE)?;
        let watch = self.watch(me, notification, bits)?;
        let payer = self.store.get(me.process)?.budget;
        let interrupt = self.create_interrupt(payer, found.object(), entry, watch)?;
        let grant = below(found, Kind::Interrupt, Rights::MANAGE, interrupt);
        self.hand_over(me.process, grant).map(made)
    }

    pub(super) fn device_start(&mut self, me: Caller, device: u64) -> Result<Outcome, Error> {
        let found = self.own(me, device, Kind::Device, Rights::MANAGE)?;
        self.start_device(found.object::<Device>())?;
        Ok(DONE)
    }

    pub(super) fn device_quiesce(&mut self, me: Caller, device: u64) -> Result<Outcome, Error> {
        let found = self.own(me, device, Kind::Device, Rights::MANAGE)?;
        self.quiesce_device(found.object::<Device>())?;
        Ok(DONE)
    }

    pub(super) fn device_watch(
        &mut self,
        me: Caller,
        device: u64,
        notification: u64,
        bits: u64,
    ) -> Result<Outcome, Error> {
        let found = self.own(me, device, Kind::Device, Rights::GRANT)?;
        let watch = self.optional_watch(me, notification, bits)?;
        self.watch_device(found.object(), watch)?;
        Ok(DONE)
    }

    pub(super) fn interrupt_ack(&mut self, me: Caller, interrupt: u64) -> Result<Outcome, Error> {
        let found = self.own(me, interrupt, Kind::Interrupt, Rights::MANAGE)?;
        self.acknowledge(found.object())?;
        Ok(DONE)
    }
}
