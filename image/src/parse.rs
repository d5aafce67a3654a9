//! The manifest as it is written: TOML into plain structures, each value with its place in the text. Meaning is checked
//! in `check`.

use crate::source::Source;
use serde::Deserialize;
use toml::Spanned;

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Memory of the smallest machine that the image is meant for.
    pub(crate) memory: Spanned<String>,
    /// The processes.
    #[serde(default)]
    pub(crate) process: Vec<Spanned<Process>>,
}

/// A `[[process]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Process {
    pub(crate) name: Spanned<String>,
    pub(crate) program: Spanned<String>,
    pub(crate) priority: Spanned<i64>,
    pub(crate) patient: Option<Spanned<i64>>,
    pub(crate) budget: Spanned<String>,
    pub(crate) stack: Option<Spanned<String>>,
    pub(crate) restart: Restart,
    #[serde(default)]
    pub(crate) caps: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) provides: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) uses: Vec<Spanned<String>>,
    pub(crate) policy: Option<Spanned<Policy>>,
    #[serde(default)]
    pub(crate) device: Vec<Spanned<Device>>,
    pub(crate) args: Option<Spanned<toml::Table>>,
}

/// `restart`.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Restart {
    Always,
    OnFailure,
    Never,
}

/// `[process.policy]`: what the process may do on the network.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Policy {
    pub(crate) allow: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) remote: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) remote_ports: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) local_ports: Vec<Spanned<String>>,
    pub(crate) max_sockets: Spanned<i64>,
    pub(crate) buffers: Spanned<String>,
    pub(crate) packets_per_second: Option<Spanned<i64>>,
}

/// `[[process.device]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Device {
    pub(crate) name: Spanned<String>,
    pub(crate) vendor: Spanned<i64>,
    pub(crate) device: Spanned<i64>,
}

/// Reads the text.
pub(crate) fn parse(source: &Source<'_>) -> Result<File, Vec<String>> {
    toml::from_str(source.text()).map_err(|error| {
        let at = error.span().unwrap_or(0..0);
        vec![source.error(at, error.message())]
    })
}
