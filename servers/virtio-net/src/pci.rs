//! Finds the virtio structures of a PCI function (VIRTIO 1.2 section 4.1.4).
//!
//! Reads configuration space through [`ConfigSpace`], writes nothing. What it reads is the device's claim: the walk is
//! bounded, and each structure must lie within its base address register.
#![forbid(unsafe_code)]

use crate::error::{ProbeError, Structure};

/// PCI vendor of virtio devices.
pub const VENDOR: u16 = 0x1af4;
/// PCI device of a modern network device (0x1040 + device type 1).
pub const DEVICE: u16 = 0x1041;
/// PCI device of a transitional network device, which has the modern structures too.
pub const DEVICE_TRANSITIONAL: u16 = 0x1000;

/// Bytes of common configuration that this driver uses (VIRTIO 1.2 section 4.1.4.3, up to `queue_device`).
pub const COMMON_LEN: usize = 0x38;
/// Bytes of network configuration that are there whatever was negotiated: `mac` and `status`.
pub const DEVICE_LEN: usize = 8;

const STATUS: u8 = 0x06;
const STATUS_HAS_LIST: u32 = 1 << 4;
const LIST_HEAD: u8 = 0x34;
const FIRST_CAPABILITY: u8 = 0x40;
/// As many capabilities of four bytes fit behind the header: a longer list runs in a circle.
const MAX_CAPABILITIES: usize = (256 - FIRST_CAPABILITY as usize) / 4;

const VENDOR_SPECIFIC: u8 = 0x09;
const CAPABILITY_LEN: u8 = 16;
const NOTIFY_CAPABILITY_LEN: u8 = 20;
const TYPE_COMMON: u8 = 1;
const TYPE_NOTIFY: u8 = 2;
const TYPE_DEVICE: u8 = 4;

/// PCI configuration space of one function.
pub trait ConfigSpace {
    /// Reads the aligned 32-bit word that holds byte `offset`; `None` if that fails.
    fn read32(&self, offset: u8) -> Option<u32>;
}

/// Where a structure lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Location {
    /// Number of the base address register, below 6.
    pub bar: u8,
    /// First byte.
    pub start: usize,
    /// Bytes.
    pub len: usize,
}

/// Where the structures lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Common configuration.
    pub common: Location,
    /// Notification registers.
    pub notify: Location,
    /// Bytes between the registers of neighbouring queues, times `queue_notify_off`.
    pub notify_multiplier: u32,
    /// Network configuration.
    pub device: Location,
}

/// The byte at `offset`.
fn read8(config: &impl ConfigSpace, offset: u8) -> Result<u8, ProbeError> {
    let word = config.read32(offset & !3).ok_or(ProbeError::ConfigRead)?;
    Ok((word >> (8 * u32::from(offset & 3))) as u8)
}

/// The word at `offset`, which is aligned, of a capability at `at`.
fn read32(config: &impl ConfigSpace, at: u8, offset: u8) -> Result<u32, ProbeError> {
    let offset = at
        .checked_add(offset)
        .ok_or(ProbeError::BadCapabilityList)?;
    config.read32(offset).ok_or(ProbeError::ConfigRead)
}

/// A structure as a capability describes it, if it lies within its register, is long enough and aligned.
fn locate(
    config: &impl ConfigSpace,
    at: u8,
    bars: &[u64; 6],
    which: Structure,
    (min_len, alignment): (usize, usize),
) -> Result<Location, ProbeError> {
    let bad = ProbeError::BadStructure(which);
    let bar = read32(config, at, 4)? as u8;
    let start = read32(config, at, 8)?;
    let len = read32(config, at, 12)?;
    let available = *bars.get(usize::from(bar)).ok_or(bad)?;
    // Sums of two 32-bit numbers in 64 bits can't overflow.
    if u64::from(start) + u64::from(len) > available {
        return Err(bad);
    }
    let start = usize::try_from(start).map_err(|_| bad)?;
    let len = usize::try_from(len).map_err(|_| bad)?;
    if len < min_len || !start.is_multiple_of(alignment) {
        return Err(bad);
    }
    Ok(Location { bar, start, len })
}

/// Finds the structures. `bars` are the lengths in bytes of the base address registers, zero for those that
/// are not there. Of several structures of a type the first counts: it is the one that the device prefers.
///
/// # Errors
/// [`ProbeError`], whatever configuration space holds, after a bounded number of reads.
pub fn find(config: &impl ConfigSpace, bars: &[u64; 6]) -> Result<Layout, ProbeError> {
    let id = config.read32(0).ok_or(ProbeError::ConfigRead)?;
    let (vendor, device) = (id as u16, (id >> 16) as u16);
    if vendor != VENDOR || !matches!(device, DEVICE | DEVICE_TRANSITIONAL) {
        return Err(ProbeError::NotVirtioNet { vendor, device });
    }
    let status = config.read32(STATUS & !3).ok_or(ProbeError::ConfigRead)? >> 16;
    let (mut common, mut notify, mut device) = (None, None, None);
    let mut next = if status & STATUS_HAS_LIST == 0 {
        0
    } else {
        read8(config, LIST_HEAD)?
    };
    let mut left = MAX_CAPABILITIES;
    loop {
        // The two low bits are reserved (PCI 3.0 section 6.7).
        let at = next & !3;
        if at == 0 {
            break;
        }
        if at < FIRST_CAPABILITY || left == 0 {
            return Err(ProbeError::BadCapabilityList);
        }
        left = left.saturating_sub(1);
        let head = config.read32(at).ok_or(ProbeError::ConfigRead)?;
        let [id, following, len, kind] = head.to_le_bytes();
        next = following;
        if id != VENDOR_SPECIFIC {
            continue;
        }
        if len < CAPABILITY_LEN {
            return Err(ProbeError::BadCapabilityList);
        }
        match kind {
            TYPE_COMMON if common.is_none() => {
                let needs = (COMMON_LEN, 4);
                common = Some(locate(config, at, bars, Structure::Common, needs)?);
            }
            TYPE_NOTIFY if notify.is_none() => {
                if len < NOTIFY_CAPABILITY_LEN {
                    return Err(ProbeError::BadStructure(Structure::Notify));
                }
                let location = locate(config, at, bars, Structure::Notify, (2, 2))?;
                notify = Some((location, read32(config, at, 16)?));
            }
            TYPE_DEVICE if device.is_none() => {
                let needs = (DEVICE_LEN, 4);
                device = Some(locate(config, at, bars, Structure::Device, needs)?);
            }
            _ => {}
        }
    }
    let (notify, notify_multiplier) =
        notify.ok_or(ProbeError::MissingStructure(Structure::Notify))?;
    Ok(Layout {
        common: common.ok_or(ProbeError::MissingStructure(Structure::Common))?,
        notify,
        notify_multiplier,
        device: device.ok_or(ProbeError::MissingStructure(Structure::Device))?,
    })
}

#[cfg(test)]
mod tests;
