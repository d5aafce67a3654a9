//! Which programs run, with what: the types that the image tool writes into the boot archive and init
//! reads ([`Manifest`]), and what init tells a program about itself ([`StartInfo`]).
//!
//! Plain data in postcard encoding, no behaviour but that. Both records are made by trusted sides (the
//! build, init), yet the readers check them all the same: an archive can be truncated or of another version.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::fmt;
use ipc_proto::policy::Policy;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Name of the manifest in the boot archive.
pub const MANIFEST_FILE: &str = "manifest.bin";
/// Version of the encoding; grows whenever a type of this crate changes.
pub const VERSION: u32 = 2;
/// Longest name of a process, endpoint or device, in bytes.
pub const MAX_NAME: usize = ipc_proto::system::MAX_PROCESS_NAME;
/// Most processes in a manifest.
pub const MAX_PROCESSES: usize = 64;
/// Name of the endpoint that init itself serves (`ipc_proto::system`).
pub const SYSTEM_ENDPOINT: &str = "system";
/// Longest encoding of a [`StartInfo`], in bytes.
pub const MAX_START_INFO: usize = 64 * 1024;

/// Everything that init starts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// The processes, in the order in which they are started.
    pub processes: Vec<Process>,
}

/// One process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Process {
    /// Its name, unique.
    pub name: String,
    /// The file of the boot archive that it runs.
    pub program: String,
    /// Its highest (and first) priority.
    pub priority: u8,
    /// With which priority it is served at first when it becomes ready; its own at most.
    pub patient: u8,
    /// Its memory, in pages.
    pub budget: u64,
    /// Its stack, in pages.
    pub stack: u32,
    /// What happens when it ends.
    pub restart: Restart,
    /// Which capabilities of the machine it gets.
    pub caps: Caps,
    /// Endpoints that it serves.
    pub provides: Vec<String>,
    /// Endpoints of others that it may call.
    pub uses: Vec<Use>,
    /// Devices that it drives. Without all of them it is not started.
    pub devices: Vec<DeviceMatch>,
    /// Arguments, key and value.
    pub args: Vec<(String, String)>,
}

/// What happens when a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Restart {
    /// It is started again, however it ended.
    Always,
    /// It is started again unless it exited with code 0.
    OnFailure,
    /// It stays ended.
    Never,
}

/// Capabilities of the machine, one flag each. None is implied by another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Caps {
    /// Append to the log (capability `log`).
    pub log: bool,
    /// Read the time (capability `clock`).
    pub clock: bool,
    /// Read and write the console (capability `console`).
    pub console: bool,
    /// Read the counters of the machine (capability `machine`).
    pub machine: bool,
}

/// An endpoint of another process that a process may call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Use {
    /// Name of the endpoint.
    pub endpoint: String,
    /// On [`SYSTEM_ENDPOINT`]: may also act (kill, power off), not just look.
    pub act: bool,
    /// On an endpoint that gives out network sessions: what the session may do.
    pub policy: Option<Policy>,
}

/// A device, named by what it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceMatch {
    /// Name of the capability that the process gets.
    pub name: String,
    /// PCI vendor.
    pub vendor: u16,
    /// PCI device.
    pub device: u16,
}

/// What init tells a program about itself; mapped read-only into it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StartInfo {
    /// Name of the process.
    pub name: String,
    /// Log lines up to this level are worth sending: 1 error .. 5 trace.
    pub log_level: u8,
    /// Its capabilities.
    pub caps: Vec<NamedCap>,
    /// Its arguments: those of the manifest, replaced or added to by the kernel command line.
    pub args: Vec<(String, String)>,
    /// Who may open sessions at the endpoints that it provides, and what each session may do.
    pub sessions: Vec<Session>,
}

/// A capability by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NamedCap {
    /// The name that the program asks for.
    pub name: String,
    /// Where it is.
    pub slot: u32,
}

/// A client of a server that gives out sessions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Session {
    /// The badge that tells the client's calls from others.
    pub badge: u64,
    /// The client's name.
    pub name: String,
    /// What its sessions may do.
    pub policy: Policy,
}

/// Why bytes are not a manifest (or start record).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadError {
    /// Made by an image tool of another version.
    Version {
        /// The version that the bytes name.
        found: u32,
    },
    /// Truncated or damaged.
    Malformed,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Version { found } => write!(
                f,
                "of version {found}, but this program reads version {VERSION}"
            ),
            ReadError::Malformed => f.write_str("truncated or damaged"),
        }
    }
}

impl core::error::Error for ReadError {}

/// The record was larger than what postcard can write (out of memory).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too large to encode")
    }
}

impl core::error::Error for TooLarge {}

/// A record that is written with the version in front.
pub trait Record: Serialize + DeserializeOwned {
    /// The encoding: [`VERSION`], then the record.
    ///
    /// # Errors
    /// [`TooLarge`] if it can't be encoded.
    fn to_bytes(&self) -> Result<Vec<u8>, TooLarge> {
        postcard::to_allocvec(&(VERSION, self)).map_err(|_| TooLarge)
    }

    /// Reads an encoding that fills `bytes` exactly.
    ///
    /// # Errors
    /// [`ReadError`] on anything that [`Record::to_bytes`] of this version does not write.
    fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        let (found, rest) =
            postcard::take_from_bytes::<u32>(bytes).map_err(|_| ReadError::Malformed)?;
        if found != VERSION {
            return Err(ReadError::Version { found });
        }
        match postcard::take_from_bytes(rest) {
            Ok((record, [])) => Ok(record),
            _ => Err(ReadError::Malformed),
        }
    }
}

impl Record for Manifest {}
impl Record for StartInfo {}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> StartInfo {
        StartInfo {
            name: "shell".into(),
            log_level: 3,
            caps: [NamedCap {
                name: "log".into(),
                slot: 3,
            }]
            .into(),
            args: [("exec".into(), "ps; ip".into())].into(),
            sessions: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = info().to_bytes().unwrap();
        assert_eq!(StartInfo::from_bytes(&bytes), Ok(info()));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = info().to_bytes().unwrap();
        for len in 0..bytes.len() {
            assert_eq!(
                StartInfo::from_bytes(&bytes[..len]),
                Err(ReadError::Malformed),
                "first {len} bytes"
            );
        }
    }

    #[test]
    fn trailing_bytes_and_other_versions_are_errors() {
        let mut bytes = info().to_bytes().unwrap();
        bytes.push(0);
        assert_eq!(StartInfo::from_bytes(&bytes), Err(ReadError::Malformed));
        assert_eq!(
            Manifest::from_bytes(&[9, 0]),
            Err(ReadError::Version { found: 9 })
        );
    }
}
