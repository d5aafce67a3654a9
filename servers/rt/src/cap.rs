//! Capabilities as owned values, one type for each kind of object. Safe: the kernel checks kind, rights and
//! liveness on every use, so a wrong slot is an error and nothing worse.
//!
//! Dropping a capability that the program made or received deletes it. Those that the process was started
//! with stay for its whole life, however often they are asked for.

use crate::syscall;
use core::fmt;
use kernel_abi::{Error, Kind, Rights, Slot, Syscall};

/// A slot of this process's capability table, deleted on drop if owned.
pub struct Cap {
    slot: Slot,
    owned: bool,
}

impl Cap {
    /// Takes over the capability in `slot`.
    pub const fn owned(slot: Slot) -> Cap {
        Cap { slot, owned: true }
    }

    /// Names the capability in `slot` without ever deleting it.
    pub const fn borrowed(slot: Slot) -> Cap {
        Cap { slot, owned: false }
    }

    /// Where it is.
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// Gives the slot up: nobody deletes it now.
    pub fn into_raw(mut self) -> Slot {
        self.owned = false;
        self.slot
    }
}

impl Drop for Cap {
    fn drop(&mut self) {
        if self.owned && self.slot != Slot::NULL {
            // It can only fail if the capability is already gone (revoked), which is what was wanted.
            let _ = syscall::simple(Syscall::CapDelete, self.slot);
        }
    }
}

impl fmt::Debug for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot.index(), self.slot.generation())
    }
}

/// What [`info`] tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapDetails {
    /// What it names.
    pub kind: Kind,
    /// What it allows.
    pub rights: Rights,
    /// Its badge, zero for none.
    pub badge: u64,
    /// Whether capabilities derived from it exist.
    pub has_children: bool,
}

/// Kind, rights, badge and children of a capability.
///
/// # Errors
/// [`Error::BadSlot`].
pub fn info(slot: Slot) -> Result<CapDetails, Error> {
    let [packed, badge, _] = syscall::simple(Syscall::CapInfo, slot)?;
    Ok(CapDetails {
        kind: Kind::from_number(packed & 0xff).ok_or(Error::WrongKind)?,
        rights: Rights::from_bits_truncate((packed >> 8) as u32 & 0xff_ffff),
        badge,
        has_children: packed >> 32 & 1 != 0,
    })
}

/// Whether capabilities derived from `slot` exist. A capability that is gone has none.
pub fn has_children(slot: Slot) -> bool {
    info(slot).is_ok_and(|details| details.has_children)
}

/// Makes a narrower copy; `badge` zero keeps the badge.
///
/// # Errors
/// [`Error::TableFull`], [`Error::Refused`] for a second badge, [`Error::BadSlot`].
pub fn derive(slot: Slot, rights: Rights, badge: u64) -> Result<Slot, Error> {
    let args = [slot.0.into(), rights.bits().into(), badge, 0, 0, 0];
    let [new, ..] = syscall::values(Syscall::CapDerive, args)?;
    Ok(Slot(new as u32))
}

/// Deletes everything that was derived from `slot`, in all processes.
///
/// # Errors
/// [`Error::BadSlot`].
pub fn revoke(slot: Slot) -> Result<(), Error> {
    syscall::simple(Syscall::CapRevoke, slot).map(drop)
}

/// When the last capability derived from `slot` goes, signal `bits` on `notification`; at once if there is
/// none now.
///
/// # Errors
/// [`Error::BadSlot`], [`Error::NoRights`].
pub fn watch(slot: Slot, notification: &crate::Notification, bits: u64) -> Result<(), Error> {
    let args = [slot.0.into(), notification.slot().0.into(), bits, 0, 0, 0];
    syscall::values(Syscall::CapWatch, args).map(drop)
}

/// Defines a capability type over [`Cap`] with the methods that all kinds share.
macro_rules! kind {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name($crate::cap::Cap);

        impl $name {
            /// Takes over the capability in `slot`; a wrong kind shows at the first use.
            pub const fn from_raw(slot: kernel_abi::Slot) -> Self {
                Self($crate::cap::Cap::owned(slot))
            }

            /// Names the capability in `slot` without ever deleting it.
            pub const fn borrowed(slot: kernel_abi::Slot) -> Self {
                Self($crate::cap::Cap::borrowed(slot))
            }

            /// Where it is.
            pub const fn slot(&self) -> kernel_abi::Slot {
                self.0.slot()
            }

            /// Gives the slot up: nobody deletes it now.
            pub fn into_raw(self) -> kernel_abi::Slot {
                self.0.into_raw()
            }

            /// A narrower copy.
            ///
            /// # Errors
            /// [`kernel_abi::Error::TableFull`].
            pub fn derive(&self, rights: kernel_abi::Rights) -> Result<Self, kernel_abi::Error> {
                $crate::cap::derive(self.slot(), rights, 0).map(Self::from_raw)
            }
        }
    };
}
pub(crate) use kind;
