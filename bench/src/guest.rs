//! The guests that are compared, and the networks on which they are.

use crate::{Failure, Outcome};
use std::path::{Path, PathBuf};

/// A guest: what boots, and how its address is told to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Name in tables.
    pub name: String,
    /// What it is.
    pub system: System,
    /// Kernel.
    pub kernel: PathBuf,
    /// Boot archive or initial RAM disk.
    pub archive: PathBuf,
    /// Whether an IOMMU stands between its card and memory.
    pub iommu: bool,
    /// Whether its programs say what they do.
    pub chatty: bool,
}

/// Which system a guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// This one.
    Causeway,
    /// The yardstick.
    Linux,
}

impl Guest {
    /// Causeway, from a folder with `kernel` and an archive.
    pub fn causeway(name: &str, folder: &Path, archive: &str) -> Guest {
        Guest {
            name: name.into(),
            system: System::Causeway,
            kernel: folder.join("kernel"),
            archive: folder.join(archive),
            iommu: false,
            chatty: false,
        }
    }

    /// Linux, from a folder with `vmlinuz` and `initramfs.cpio`.
    pub fn linux(folder: &Path) -> Guest {
        Guest {
            name: "linux".into(),
            system: System::Linux,
            kernel: folder.join("vmlinuz"),
            archive: folder.join("initramfs.cpio"),
            iommu: false,
            chatty: false,
        }
    }

    /// Kernel command line for an address.
    pub fn command_line(&self, address: &str, router: &str) -> String {
        match self.system {
            System::Causeway => {
                let log = if self.chatty { "info" } else { "warn" };
                format!("netstack.ip={address}/24,gw={router} log={log}")
            }
            // The clock that it would choose after watching it for a while; without the words it may take a slow one.
            System::Linux => {
                format!(
                    "console=ttyS0 quiet panic=-1 nokaslr tsc=reliable address={address} router={router}"
                )
            }
        }
    }
}

/// A network between host and guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Net {
    /// A tap interface, with all that its card offers: checksums and large segments in both directions.
    Tap,
    /// The same without: every frame is whole and has at most 1514 bytes.
    TapPlain,
    /// QEMU's own network, over which only TCP goes.
    Slirp,
}

impl Net {
    /// All of them.
    pub const ALL: [Net; 3] = [Net::Tap, Net::TapPlain, Net::Slirp];

    /// Name on the command line and in results.
    pub const fn name(self) -> &'static str {
        match self {
            Net::Tap => "tap",
            Net::TapPlain => "tap-plain",
            Net::Slirp => "slirp",
        }
    }

    /// For a heading.
    pub const fn title(self) -> &'static str {
        match self {
            Net::Tap => "tap, offloads offered",
            Net::TapPlain => "tap, no offloads",
            Net::Slirp => "QEMU's user network",
        }
    }

    /// The network of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn parse(name: &str) -> Outcome<Net> {
        Net::ALL
            .into_iter()
            .find(|net| net.name() == name)
            .ok_or_else(|| Failure(format!("no network '{name}': tap, tap-plain or slirp")))
    }

    /// Properties of the card that take the offloads away.
    pub const fn card(self) -> &'static str {
        match self {
            Net::Tap | Net::Slirp => "",
            Net::TapPlain => {
                ",csum=off,gso=off,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,\
                 guest_ufo=off,host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off,mrg_rxbuf=off"
            }
        }
    }
}
