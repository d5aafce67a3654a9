//! The protocol reference, `docs/protocol.md`, from the types themselves; and the examples of the wire format that page and tests share.
//! Touches nothing: `main.rs` prints, the tests compare.
#![forbid(unsafe_code)]

pub mod errors;
mod layout;
pub mod machines;
pub mod schema;
pub mod source;
pub mod vectors;

use core::fmt::{Debug, Write};
use ipc_proto::{codec::Message, hello::Hello};
use postcard_schema::Schema;
use schema::Definitions;
use source::Source;
use vectors::{Rows, Visitor, visit_all};

/// How to write the page anew.
pub const COMMAND: &str = "cargo run --locked -p protocol-reference > docs/protocol.md";

struct Writer<'a> {
    definitions: Definitions<'a>,
    examples: String,
}

impl Visitor for Writer<'_> {
    fn visit<M>(&mut self, module: &'static str, name: &'static str, rows: Rows<M>)
    where
        M: Message + Schema + PartialEq + Debug,
    {
        self.definitions.message(module, M::SCHEMA, M::MAX_SIZE);
        let _ = writeln!(self.examples, "# {module}::{name}");
        for (message, bytes) in rows {
            let value = serde_json::to_string(&message).unwrap_or_default();
            let _ = writeln!(self.examples, "{value}\n= {}", hex(bytes));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

/// The definitions of all messages, and the paths that have no doc comment.
pub fn definitions(source: &Source) -> (String, Vec<String>, String) {
    let mut writer = Writer {
        definitions: Definitions::new(source),
        examples: String::new(),
    };
    visit_all(&mut writer);
    let Definitions {
        text, undocumented, ..
    } = writer.definitions;
    (text, undocumented, writer.examples)
}

fn protocols() -> String {
    let mut text = String::from("| protocol | version | schema | messages |\n|---|---:|---|---|\n");
    for (hello, messages) in [
        (Hello::SOCKET, "`socket::Request`, `socket::Reply`"),
        (Hello::FRAME, "`frame::ToDriver`, `frame::ToStack`"),
        (Hello::SYSTEM, "`system::Request`, `system::Reply`"),
    ] {
        let schema = hex(&hello.schema);
        let _ = writeln!(
            text,
            "| `{:?}` | {} | `{schema}` | {messages} |",
            hello.protocol, hello.version
        );
    }
    text
}

/// The whole page.
pub fn render() -> String {
    let source = Source::read();
    let (definitions, _, examples) = definitions(&source);
    let mut page = String::new();
    // Lines `@name` of the template stand for what is computed.
    for line in include_str!("page.md").lines() {
        let part = match line {
            "@protocols" => protocols(),
            "@channels" => layout::channels(),
            "@control" => layout::control(),
            "@status" => layout::status(),
            "@records" => layout::records(),
            "@frames" => layout::frames(),
            "@definitions" => definitions.clone(),
            "@machines" => machines::render(),
            "@errors" => errors::render(&source),
            "@examples" => examples.clone(),
            "@command" => COMMAND.into(),
            text => text.into(),
        };
        let _ = writeln!(page, "{}", part.trim_end());
    }
    page
}
