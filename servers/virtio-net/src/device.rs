//! The device as a whole: reset, features, and what its configuration says.
//!
//! Touches the device's registers through its transport, no memory.
#![forbid(unsafe_code)]

use crate::{error::DeviceError, registers::Registers, transport::PciTransport};
use bitflags::bitflags;
use core::fmt;
use ipc_proto::frame::{BUFFER_SIZE, HEADROOM, Offloads};
use virtio_drivers::transport::{DeviceStatus, Transport};

bitflags! {
    /// Features that are used here (VIRTIO 1.2 sections 5.1.3 and 6). The others stay off: there is no
    /// VIRTIO_F_INDIRECT_DESC among them.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Features: u64 {
        /// The device fills in checksums of what it sends.
        const CSUM = 1 << 0;
        /// The driver takes frames whose checksums are unfinished, or looked at already.
        const GUEST_CSUM = 1 << 1;
        /// The device says how large packets may be.
        const MTU = 1 << 3;
        /// The device has a hardware address.
        const MAC = 1 << 5;
        /// The driver takes TCP segments over IPv4 joined to large packets, ...
        const GUEST_TSO4 = 1 << 7;
        /// ... and over IPv6.
        const GUEST_TSO6 = 1 << 8;
        /// The device cuts TCP segments over IPv4.
        const HOST_TSO4 = 1 << 11;
        /// The device says whether the link is up.
        const STATUS = 1 << 16;
        /// Interrupts and notifications are asked for by index.
        const EVENT_IDX = 1 << 29;
        /// It follows the standard from version 1.0 on.
        const VERSION_1 = 1 << 32;
        /// Its accesses to memory go through the IOMMU, if there is one.
        const ACCESS_PLATFORM = 1 << 33;
    }
}

impl Features {
    /// Those with which the device does so much.
    fn of(offloads: Offloads) -> Features {
        let mut features = Features::empty();
        features.set(Features::CSUM, offloads.transmit_checksum);
        features.set(Features::GUEST_CSUM, offloads.receive_checksum);
        features.set(Features::HOST_TSO4, offloads.transmit_segments);
        let joined = Features::GUEST_TSO4 | Features::GUEST_TSO6;
        features.set(joined, offloads.receive_segments);
        features
    }

    /// What the device does with these. A feature without what it needs (VIRTIO 1.2 section 5.1.3.1) is none.
    pub fn offloads(self) -> Offloads {
        let offloads = Offloads {
            transmit_checksum: self.contains(Features::CSUM),
            receive_checksum: self.contains(Features::GUEST_CSUM),
            transmit_segments: self.contains(Features::HOST_TSO4),
            receive_segments: self.intersects(Features::GUEST_TSO4 | Features::GUEST_TSO6),
        };
        offloads.and(offloads)
    }
}

/// All that a device can do with frames.
pub const EVERYTHING: Offloads = Offloads {
    transmit_checksum: true,
    receive_checksum: true,
    transmit_segments: true,
    receive_segments: true,
};

/// Length of an Ethernet header in bytes.
pub const ETHERNET_HEADER: usize = 14;
/// Largest frame that fits in a small buffer, in bytes.
pub const MAX_FRAME: usize = BUFFER_SIZE - HEADROOM;
/// Largest IP packet where the device does not say otherwise.
const DEFAULT_MTU: u16 = 1500;
/// Smallest MTU that is believed: below, not even IPv4 works (RFC 791 section 3.1).
const MIN_MTU: u16 = 68;
const MAX_MTU: u16 = (MAX_FRAME - ETHERNET_HEADER) as u16;

/// Offsets in network configuration (VIRTIO 1.2 section 5.1.4).
const CONFIG_MAC: usize = 0;
const CONFIG_STATUS: usize = 6;
const CONFIG_MTU: usize = 10;
const LINK_UP: u16 = 1;

/// Reads of the status register that a reset may take; QEMU is done at the first.
const RESET_POLLS: u32 = if cfg!(any(miri, feature = "testing")) {
    10
} else {
    100_000
};
/// Attempts at reading configuration between two changes of it.
const CONFIG_ATTEMPTS: u32 = 16;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// What was negotiated, and what the device is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Features in use.
    pub features: Features,
    /// Its hardware address.
    pub mac: Mac,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Whether the link is up.
    pub link_up: bool,
}

/// Resets the device: from here on it touches no memory.
///
/// # Errors
/// [`DeviceError::ResetTimeout`].
pub fn reset<R: Registers>(transport: &mut PciTransport<R>) -> Result<(), DeviceError> {
    transport.set_status(DeviceStatus::empty());
    transport.forget_queues();
    for _ in 0..RESET_POLLS {
        // VIRTIO 1.2 section 4.1.4.3.2: the driver waits until it reads zero.
        if transport.get_status().is_empty() {
            return Ok(());
        }
        core::hint::spin_loop();
    }
    Err(DeviceError::ResetTimeout)
}

/// Resets the device and agrees on features (VIRTIO 1.2 section 3.1.1, steps 1 to 6), with no more done to frames than `wanted`;
/// queues come next, then [`go`].
///
/// # Errors
/// [`DeviceError`] if the device does not come along.
pub fn negotiate<R: Registers>(
    transport: &mut PciTransport<R>,
    wanted: Offloads,
) -> Result<Identity, DeviceError> {
    reset(transport)?;
    let mut status = DeviceStatus::ACKNOWLEDGE;
    transport.set_status(status);
    status |= DeviceStatus::DRIVER;
    transport.set_status(status);

    let mut features = Features::from_bits_truncate(transport.read_device_features());
    if !features.contains(Features::VERSION_1) {
        return Err(DeviceError::Legacy);
    }
    if !features.contains(Features::MAC) {
        return Err(DeviceError::NoMac);
    }
    let done = Features::of(features.offloads().and(wanted));
    features.remove(Features::of(EVERYTHING) - done);
    let mtu = if features.contains(Features::MTU) {
        stable(transport, |config| config.read16(CONFIG_MTU))?
    } else {
        DEFAULT_MTU
    };
    let believable = (MIN_MTU..=MAX_MTU).contains(&mtu);
    if !believable {
        features.remove(Features::MTU);
    }
    transport.write_driver_features(features.bits());
    status |= DeviceStatus::FEATURES_OK;
    transport.set_status(status);
    if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
        return Err(DeviceError::FeaturesRefused);
    }
    let mac = stable(transport, |config| {
        let mut mac = [0; 6];
        for (i, byte) in mac.iter_mut().enumerate() {
            *byte = config.read8(CONFIG_MAC + i);
        }
        Mac(mac)
    })?;
    Ok(Identity {
        features,
        mac,
        mtu: if believable { mtu } else { DEFAULT_MTU },
        link_up: link_up(transport, features)?,
    })
}

/// Tells the device that all is set up (VIRTIO 1.2 section 3.1.1, step 8).
///
/// # Errors
/// [`DeviceError::NeedsReset`] if it was not all right after all.
pub fn go<R: Registers>(transport: &mut PciTransport<R>) -> Result<(), DeviceError> {
    transport.finish_init();
    check(transport)
}

/// Asks whether the device is still well.
///
/// # Errors
/// [`DeviceError::NeedsReset`] if it says no, or is no longer running.
pub fn check<R: Registers>(transport: &PciTransport<R>) -> Result<(), DeviceError> {
    let status = transport.get_status();
    // A device that was unplugged or reset behind our back reads as all ones or zero.
    if status.contains(DeviceStatus::DEVICE_NEEDS_RESET)
        || !status.contains(DeviceStatus::DRIVER_OK)
    {
        return Err(DeviceError::NeedsReset);
    }
    Ok(())
}

/// Whether the link is up. A device that does not say has a link that is always up.
///
/// # Errors
/// [`DeviceError::UnstableConfig`].
pub fn link_up<R: Registers>(
    transport: &PciTransport<R>,
    features: Features,
) -> Result<bool, DeviceError> {
    if !features.contains(Features::STATUS) {
        return Ok(true);
    }
    Ok(stable(transport, |config| config.read16(CONFIG_STATUS))? & LINK_UP != 0)
}

/// Reads configuration of several bytes in one state (VIRTIO 1.2 section 2.5.1); unlike the crate's `read_consistent`,
/// not for ever.
fn stable<R: Registers, T>(
    transport: &PciTransport<R>,
    read: impl Fn(&crate::registers::Region<R>) -> T,
) -> Result<T, DeviceError> {
    for _ in 0..CONFIG_ATTEMPTS {
        let before = transport.read_config_generation();
        let value = read(transport.config());
        if transport.read_config_generation() == before {
            return Ok(value);
        }
    }
    Err(DeviceError::UnstableConfig)
}
