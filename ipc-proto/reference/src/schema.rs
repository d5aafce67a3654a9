//! Types as text, from their schemas: names, variants, fields in the order of the wire. Touches nothing.
//!
//! `postcard-schema` describes an IPv6 socket address with flow information and scope, which serde does not send; and leaves the bounds
//! of lists and strings out. Both are put right here.

use crate::source::Source;
use core::fmt::Write;
use postcard_schema::schema::{DataModelType, DataModelVariant, NamedType, NamedValue};

/// Writes definitions of types, each once.
pub struct Definitions<'a> {
    source: &'a Source,
    seen: Vec<&'static str>,
    /// What was written since it was last taken.
    pub text: String,
    /// Paths without a doc comment.
    pub undocumented: Vec<String>,
}

/// What travels of a struct: see the module.
pub fn fields_on_the_wire<'f>(
    name: &str,
    fields: &'f [&'static NamedValue],
) -> &'f [&'static NamedValue] {
    match (name, fields) {
        ("SocketAddrV6", [ip, port, ..]) if ip.name == "ip" && port.name == "port" => {
            fields.get(..2).unwrap_or(fields)
        }
        _ => fields,
    }
}

impl<'a> Definitions<'a> {
    /// None yet.
    pub fn new(source: &'a Source) -> Self {
        Self {
            source,
            seen: Vec::new(),
            text: String::new(),
            undocumented: Vec::new(),
        }
    }

    /// Defines a message of `module`, and before it the types that it is made of.
    pub fn message(&mut self, module: &str, ty: &'static NamedType, max_size: usize) {
        self.parts(ty);
        self.define(ty, &format!("{module}::{}", ty.name), Some(max_size));
    }

    /// Defines the types that `ty` is made of and that have a name of their own.
    fn parts(&mut self, ty: &'static NamedType) {
        match ty.ty {
            DataModelType::Option(inner)
            | DataModelType::Seq(inner)
            | DataModelType::NewtypeStruct(inner) => self.named(inner),
            DataModelType::Tuple(items) | DataModelType::TupleStruct(items) => {
                items.iter().for_each(|item| self.named(item));
            }
            DataModelType::Struct(fields) => {
                let fields = fields_on_the_wire(ty.name, fields);
                fields.iter().for_each(|field| self.named(field.ty));
            }
            DataModelType::Enum(variants) => {
                for variant in *variants {
                    match variant.ty {
                        DataModelVariant::UnitVariant => {}
                        DataModelVariant::NewtypeVariant(inner) => self.named(inner),
                        DataModelVariant::TupleVariant(items) => {
                            items.iter().for_each(|item| self.named(item));
                        }
                        DataModelVariant::StructVariant(fields) => {
                            fields.iter().for_each(|field| self.named(field.ty));
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn named(&mut self, ty: &'static NamedType) {
        self.parts(ty);
        let is_named = matches!(ty.ty, DataModelType::Struct(_) | DataModelType::Enum(_));
        if !is_named || self.seen.contains(&ty.name) {
            return;
        }
        self.seen.push(ty.name);
        let path = match self.source.module_of(ty.name) {
            Some(module) => format!("{module}::{}", ty.name),
            None => format!("core::net::{}", ty.name),
        };
        self.define(ty, &path, None);
    }

    fn define(&mut self, ty: &'static NamedType, path: &str, max_size: Option<usize>) {
        self.comment(0, path);
        let name = if max_size.is_some() { path } else { ty.name };
        let size = max_size.map_or(String::new(), |size| format!(" // at most {size} bytes"));
        match ty.ty {
            DataModelType::Struct(fields) => {
                self.line(0, &format!("struct {name} {{{size}"));
                self.fields(4, path, fields_on_the_wire(ty.name, fields));
            }
            DataModelType::Enum(variants) => {
                self.line(0, &format!("enum {name} {{{size}"));
                for (number, variant) in variants.iter().enumerate() {
                    let path = format!("{path}::{}", variant.name);
                    self.comment(4, &path);
                    let head = format!("{number} = {}", variant.name);
                    match variant.ty {
                        DataModelVariant::UnitVariant => self.line(4, &format!("{head},")),
                        DataModelVariant::NewtypeVariant(inner) => {
                            let inner = self.name_of(inner, &path);
                            self.line(4, &format!("{head}({inner}),"));
                        }
                        DataModelVariant::TupleVariant(items) => {
                            let items: Vec<_> =
                                items.iter().map(|item| self.name_of(item, &path)).collect();
                            self.line(4, &format!("{head}({}),", items.join(", ")));
                        }
                        DataModelVariant::StructVariant(fields) => {
                            self.line(4, &format!("{head} {{"));
                            self.fields(8, &path, fields);
                            self.line(4, "},");
                        }
                    }
                }
            }
            _ => {}
        }
        self.line(0, "}\n");
    }

    fn fields(&mut self, indent: usize, path: &str, fields: &[&'static NamedValue]) {
        for field in fields {
            let path = format!("{path}::{}", field.name);
            let ty = self.name_of(field.ty, &path);
            let doc = self.doc(&path);
            let comment = if doc.is_empty() {
                doc
            } else {
                format!(" // {doc}")
            };
            self.line(indent, &format!("{}: {ty},{comment}", field.name));
        }
    }

    /// How a type is written where it is used. `path` is the field's, whose source has the bounds.
    fn name_of(&self, ty: &'static NamedType, path: &str) -> String {
        let bound = || {
            let bound = self.source.get(path).and_then(|entry| entry.bound());
            bound.map_or("?".into(), |bound| bound.to_string())
        };
        match ty.ty {
            DataModelType::Bool => "bool".into(),
            DataModelType::U8 => "u8".into(),
            DataModelType::U16 => "u16".into(),
            DataModelType::U32 => "u32".into(),
            DataModelType::U64 => "u64".into(),
            DataModelType::String => format!("string<{}>", bound()),
            DataModelType::Option(inner) => format!("option<{}>", self.name_of(inner, path)),
            DataModelType::Seq(inner) => {
                format!("list<{}, {}>", self.name_of(inner, path), bound())
            }
            DataModelType::Tuple(items) => match items {
                [first, ..] if items.iter().all(|item| item == first) && items.len() > 2 => {
                    format!("[{}; {}]", self.name_of(first, path), items.len())
                }
                _ => {
                    let items: Vec<_> = items.iter().map(|item| self.name_of(item, path)).collect();
                    format!("({})", items.join(", "))
                }
            },
            DataModelType::Struct(_) | DataModelType::Enum(_) => ty.name.into(),
            _ => "?".into(),
        }
    }

    /// What the source says of a path; types of the language need no words.
    fn doc(&mut self, path: &str) -> String {
        if path.starts_with("core::net::") {
            return String::new();
        }
        let doc = self.source.get(path).map_or("", |entry| &entry.doc);
        if doc.is_empty() && !path.starts_with("socket::SocketState::") {
            self.undocumented.push(path.into());
        }
        doc.into()
    }

    fn comment(&mut self, indent: usize, path: &str) {
        let doc = self.doc(path);
        if doc.is_empty() {
            return;
        }
        let mut line = String::from("//");
        for word in doc.split(' ') {
            if indent + line.len() + word.len() >= 120 {
                self.line(indent, &line);
                line = String::from("//");
            }
            let _ = write!(line, " {word}");
        }
        self.line(indent, &line);
    }

    fn line(&mut self, indent: usize, line: &str) {
        let _ = writeln!(self.text, "{:indent$}{line}", "");
    }
}
