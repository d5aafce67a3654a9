//! What the schema does not hold: doc comments, and the bounds of lists and strings. Read from the source of the types, which is a
//! part of this program; touches no files.
//!
//! Reads formatted Rust only: items at column 0, variants and fields at 4, fields of variants at 8.

use std::collections::HashMap;

const MODULES: [(&str, &str); 14] = [
    ("hello", include_str!("../../src/hello.rs")),
    ("setup", include_str!("../../src/setup.rs")),
    ("policy", include_str!("../../src/policy.rs")),
    ("socket", include_str!("../../src/socket.rs")),
    ("socket", include_str!("../../src/socket/error.rs")),
    ("socket", include_str!("../../src/socket/info.rs")),
    ("rings", include_str!("../../src/rings.rs")),
    ("frame", include_str!("../../src/frame.rs")),
    ("system", include_str!("../../src/system.rs")),
    ("error", include_str!("../../src/error.rs")),
    ("codec", include_str!("../../src/codec.rs")),
    ("channel", include_str!("../../src/channel.rs")),
    ("layout", include_str!("../../src/channel/layout.rs")),
    ("fifo", include_str!("../../src/fifo.rs")),
];

/// Bounds that the source names.
const BOUNDS: [(&str, usize); 5] = [
    ("MAX_RULES", ipc_proto::policy::MAX_RULES),
    ("MAX_NAME", ipc_proto::socket::MAX_NAME),
    ("MAX_ADDRESSES", ipc_proto::socket::MAX_ADDRESSES),
    ("MAX_PROCESS_NAME", ipc_proto::system::MAX_PROCESS_NAME),
    ("MAX_LINE", ipc_proto::system::MAX_LINE),
];

/// An item, a variant or a field.
#[derive(Default)]
pub struct Entry {
    /// Its doc comment in one line; links are code.
    pub doc: String,
    /// The declared type of a field.
    declared: String,
}

impl Entry {
    /// The bound of a list or string: the last parameter of its type.
    pub fn bound(&self) -> Option<usize> {
        let (_, last) = self
            .declared
            .trim_end_matches('>')
            .rsplit_once([',', '<'])?;
        let last = last.trim();
        let named = BOUNDS.iter().find(|(name, _)| *name == last);
        named.map(|(_, bound)| *bound).or_else(|| last.parse().ok())
    }
}

/// Everything found, by path: `socket::Request::TcpConnect::id`.
pub struct Source(HashMap<String, Entry>);

impl Source {
    /// Reads all modules.
    pub fn read() -> Self {
        let mut entries = HashMap::new();
        for (module, text) in MODULES {
            let (mut doc, mut item, mut variant) = (Vec::new(), String::new(), None);
            let mut attribute = false;
            for line in text.lines() {
                let code = line.trim_start();
                let depth = line.len() - code.len();
                // Attributes may have several lines.
                attribute |= code.starts_with("#[");
                if attribute {
                    attribute = !code.ends_with(']');
                    continue;
                }
                if let Some(text) = code.strip_prefix("///") {
                    // What holds for every message is said once on the page.
                    if !text.is_empty() && !text.starts_with(" Variant order is") {
                        doc.push(text.trim());
                    }
                    continue;
                }
                let name = |text: &str| -> String {
                    let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
                    text.chars().take_while(is_name).collect()
                };
                let public = code.strip_prefix("pub ").unwrap_or(code);
                let (path, declared) = match depth {
                    0 => {
                        let Some(rest) = ["enum ", "struct "]
                            .iter()
                            .find_map(|kind| public.strip_prefix(kind))
                        else {
                            if code != "}" {
                                doc.clear();
                            }
                            continue;
                        };
                        item = format!("{module}::{}", name(rest));
                        variant = None;
                        (item.clone(), "")
                    }
                    4 | 8 => {
                        let (parent, rest) = match (&variant, depth) {
                            (Some(variant), 8) => (format!("{item}::{variant}"), public),
                            (_, 4) => (item.clone(), public),
                            _ => continue,
                        };
                        let found = name(rest);
                        let after = rest.get(found.len()..).unwrap_or_default();
                        if found.is_empty() {
                            continue;
                        }
                        if depth == 4 {
                            variant = after.starts_with(" {").then(|| found.clone());
                        }
                        let declared = after.strip_prefix(": ").unwrap_or_default();
                        (format!("{parent}::{found}"), declared)
                    }
                    _ => continue,
                };
                let entry = Entry {
                    doc: plain(&doc.join(" ")),
                    declared: declared.trim_end_matches(',').into(),
                };
                doc.clear();
                entries.entry(path).or_insert(entry);
            }
        }
        Self(entries)
    }

    /// The entry of a path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path)
    }

    /// The module that declares a type.
    pub fn module_of(&self, name: &str) -> Option<&'static str> {
        let declares = |module: &&str| self.0.contains_key(&format!("{module}::{name}"));
        MODULES
            .map(|(module, _)| module)
            .into_iter()
            .find(|module| declares(module))
    }
}

/// Links of rustdoc without their targets.
fn plain(doc: &str) -> String {
    let mut plain = String::new();
    let mut rest = doc;
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((name, after)) = link.split_once("`]") else {
            break;
        };
        plain.push_str(before);
        plain.push('`');
        plain.push_str(name.trim_start_matches("crate::"));
        plain.push('`');
        rest = match after.strip_prefix('(') {
            Some(target) => target.split_once(')').map_or("", |(_, after)| after),
            None => after,
        };
    }
    plain.push_str(rest);
    plain.replace("\\[", "[").replace("\\]", "]")
}
