//! The modern PCI transport (VIRTIO 1.2 section 4.1) over mapped registers, with MSI-X.
//!
//! Reaches the device's registers only through [`Region`]. Keeps what it was told about each queue, so that a
//! notification is one register write.
#![forbid(unsafe_code)]

use crate::{
    error::{DeviceError, ProbeError},
    pci::{Layout, Location},
    registers::{Region, Registers},
};
use virtio_drivers::{
    Error, PhysAddr, Result as VirtioResult,
    transport::{DeviceStatus, DeviceType, InterruptStatus, Transport},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Receive queue of the first pair (VIRTIO 1.2 section 5.1.2).
pub const RECEIVE: u16 = 0;
/// Transmit queue of the first pair.
pub const TRANSMIT: u16 = 1;
const QUEUES: usize = 2;

/// Offsets in common configuration (VIRTIO 1.2 section 4.1.4.3).
mod common {
    pub(super) const DEVICE_FEATURE_SELECT: usize = 0x00;
    pub(super) const DEVICE_FEATURE: usize = 0x04;
    pub(super) const DRIVER_FEATURE_SELECT: usize = 0x08;
    pub(super) const DRIVER_FEATURE: usize = 0x0c;
    pub(super) const CONFIG_VECTOR: usize = 0x10;
    pub(super) const DEVICE_STATUS: usize = 0x14;
    pub(super) const CONFIG_GENERATION: usize = 0x15;
    pub(super) const QUEUE_SELECT: usize = 0x16;
    pub(super) const QUEUE_SIZE: usize = 0x18;
    pub(super) const QUEUE_VECTOR: usize = 0x1a;
    pub(super) const QUEUE_ENABLE: usize = 0x1c;
    pub(super) const QUEUE_NOTIFY_OFF: usize = 0x1e;
    pub(super) const QUEUE_DESC: usize = 0x20;
    pub(super) const QUEUE_DRIVER: usize = 0x28;
    pub(super) const QUEUE_DEVICE: usize = 0x30;
}

/// Entries of the MSI-X table that the device is told to use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vectors {
    /// Changes of configuration.
    pub config: u16,
    /// The receive queue.
    pub receive: u16,
    /// The transmit queue.
    pub transmit: u16,
}

impl Vectors {
    /// One entry each, shared from the last on if the table is short; `None` without a table.
    pub fn for_table(entries: u16) -> Option<Vectors> {
        let last = entries.checked_sub(1)?;
        Some(Vectors {
            config: 0,
            receive: last.min(1),
            transmit: last.min(2),
        })
    }
}

/// What is known of a queue that was set up.
#[derive(Clone, Copy, Debug)]
struct QueueState {
    /// Offset of its notification register.
    notify: usize,
    /// Address, for the device, of its used ring.
    used: PhysAddr,
}

/// The registers of a device.
#[derive(Clone, Debug)]
pub struct PciTransport<R> {
    common: Region<R>,
    notify: Region<R>,
    notify_multiplier: u32,
    config: Region<R>,
    vectors: Vectors,
    queues: [Option<QueueState>; QUEUES],
    /// The first thing that went wrong while queues were set up: `Transport::queue_set` can't return it.
    trouble: Option<DeviceError>,
}

impl<R: Registers> PciTransport<R> {
    /// Puts the structures of `layout` together; `bar` maps a base address register. `entries` is the length
    /// of the device's MSI-X table.
    ///
    /// # Errors
    /// What `bar` returned, or [`ProbeError::NoMsix`].
    pub fn new(
        layout: &Layout,
        entries: u16,
        mut bar: impl FnMut(u8) -> Result<R, ProbeError>,
    ) -> Result<PciTransport<R>, ProbeError> {
        let vectors = Vectors::for_table(entries).ok_or(ProbeError::NoMsix)?;
        let mut region = |place: Location| {
            Ok::<_, ProbeError>(Region::new(bar(place.bar)?, place.start, place.len))
        };
        Ok(PciTransport {
            common: region(layout.common)?,
            notify: region(layout.notify)?,
            notify_multiplier: layout.notify_multiplier,
            config: region(layout.device)?,
            vectors,
            queues: [None; QUEUES],
            trouble: None,
        })
    }

    /// The MSI-X entries in use.
    pub fn vectors(&self) -> Vectors {
        self.vectors
    }

    /// Network configuration: the structure at which `read_config_space` reads.
    pub fn config(&self) -> &Region<R> {
        &self.config
    }

    /// Forgets the queues, as the device does on reset.
    pub fn forget_queues(&mut self) {
        self.queues = [None; QUEUES];
        self.trouble = None;
    }

    /// Has changes of configuration signalled on their MSI-X entry.
    ///
    /// # Errors
    /// [`DeviceError::VectorRefused`] if the device does not take the entry.
    pub fn set_config_vector(&mut self) -> Result<(), DeviceError> {
        let vector = self.vectors.config;
        self.common.write16(common::CONFIG_VECTOR, vector);
        if self.common.read16(common::CONFIG_VECTOR) == vector {
            Ok(())
        } else {
            Err(DeviceError::VectorRefused)
        }
    }

    /// Address, for the device, of the used ring of a queue.
    ///
    /// # Errors
    /// What went wrong when the queue was set up.
    pub fn used_ring(&self, queue: u16) -> Result<PhysAddr, DeviceError> {
        match (self.trouble, self.queues.get(usize::from(queue))) {
            (Some(trouble), _) => Err(trouble),
            (None, Some(Some(state))) => Ok(state.used),
            _ => Err(DeviceError::QueueSetup(queue)),
        }
    }

    fn select(&self, queue: u16) {
        self.common.write16(common::QUEUE_SELECT, queue);
    }

    /// The selected queue's notification register (VIRTIO 1.2 section 4.1.4.4).
    fn notify_offset(&self, queue: u16) -> Result<usize, DeviceError> {
        let position = self.common.read16(common::QUEUE_NOTIFY_OFF);
        let offset = u64::from(position).checked_mul(u64::from(self.notify_multiplier));
        offset
            .and_then(|offset| usize::try_from(offset).ok())
            .filter(|offset| offset.is_multiple_of(2) && self.notify.contains(*offset, 2))
            .ok_or(DeviceError::NotifyOutside(queue))
    }

    /// Writes addresses and vector of the selected queue and turns it on.
    fn enable(
        &self,
        queue: u16,
        [descriptors, driver, device]: [PhysAddr; 3],
    ) -> Result<QueueState, DeviceError> {
        let vector = match queue {
            RECEIVE => self.vectors.receive,
            _ => self.vectors.transmit,
        };
        self.common.write16(common::QUEUE_VECTOR, vector);
        // The device answers 0xffff if it has no resources for it (VIRTIO 1.2 section 4.1.5.1.2).
        if self.common.read16(common::QUEUE_VECTOR) != vector {
            return Err(DeviceError::VectorRefused);
        }
        self.common.write64(common::QUEUE_DESC, descriptors);
        self.common.write64(common::QUEUE_DRIVER, driver);
        self.common.write64(common::QUEUE_DEVICE, device);
        let notify = self.notify_offset(queue)?;
        self.common.write16(common::QUEUE_ENABLE, 1);
        Ok(QueueState {
            notify,
            used: device,
        })
    }
}

impl<R: Registers> Transport for PciTransport<R> {
    fn device_type(&self) -> DeviceType {
        DeviceType::Network
    }

    fn read_device_features(&mut self) -> u64 {
        self.common.write32(common::DEVICE_FEATURE_SELECT, 0);
        let low = self.common.read32(common::DEVICE_FEATURE);
        self.common.write32(common::DEVICE_FEATURE_SELECT, 1);
        let high = self.common.read32(common::DEVICE_FEATURE);
        u64::from(high) << 32 | u64::from(low)
    }

    fn write_driver_features(&mut self, features: u64) {
        self.common.write32(common::DRIVER_FEATURE_SELECT, 0);
        self.common.write32(common::DRIVER_FEATURE, features as u32);
        self.common.write32(common::DRIVER_FEATURE_SELECT, 1);
        let high = (features >> 32) as u32;
        self.common.write32(common::DRIVER_FEATURE, high);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.select(queue);
        self.common.read16(common::QUEUE_SIZE).into()
    }

    fn notify(&mut self, queue: u16) {
        if let Some(Some(state)) = self.queues.get(usize::from(queue)) {
            self.notify.write16(state.notify, queue);
        }
    }

    fn get_status(&self) -> DeviceStatus {
        let status = self.common.read8(common::DEVICE_STATUS);
        DeviceStatus::from_bits_retain(status.into())
    }

    fn set_status(&mut self, status: DeviceStatus) {
        let status = status.bits() as u8;
        self.common.write8(common::DEVICE_STATUS, status);
    }

    fn set_guest_page_size(&mut self, _guest_page_size: u32) {
        // Legacy devices only.
    }

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        self.select(queue);
        self.common.write16(common::QUEUE_SIZE, size as u16);
        match self.enable(queue, [descriptors, driver_area, device_area]) {
            Ok(state) => {
                if let Some(slot) = self.queues.get_mut(usize::from(queue)) {
                    *slot = Some(state);
                }
            }
            Err(error) => self.trouble = self.trouble.or(Some(error)),
        }
    }

    fn queue_unset(&mut self, _queue: u16) {
        // Nothing: on PCI a queue is turned off by resetting the device only.
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.select(queue);
        self.common.read16(common::QUEUE_ENABLE) != 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        // The ISR register belongs to INTx; with MSI-X it is not used (VIRTIO 1.2 section 4.1.4.5).
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        self.common.read8(common::CONFIG_GENERATION).into()
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> VirtioResult<T> {
        if !self.config.contains(offset, size_of::<T>()) {
            return Err(Error::ConfigSpaceTooSmall);
        }
        let mut value = T::new_zeroed();
        for (i, byte) in value.as_mut_bytes().iter_mut().enumerate() {
            *byte = self.config.read8(offset.saturating_add(i));
        }
        Ok(value)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        offset: usize,
        value: T,
    ) -> VirtioResult<()> {
        if !self.config.contains(offset, size_of::<T>()) {
            return Err(Error::ConfigSpaceTooSmall);
        }
        for (i, byte) in value.as_bytes().iter().enumerate() {
            self.config.write8(offset.saturating_add(i), *byte);
        }
        Ok(())
    }
}
