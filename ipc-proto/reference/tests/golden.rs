//! The bytes of every variant of every message: a change here is a change of the wire format, and needs a new version of the
//! protocol ([`ipc_proto::hello`]). Touches nothing.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use core::fmt::Debug;
use ipc_proto::{
    codec::{Message, decode, encode},
    hello::Hello,
};
use postcard_schema::{
    Schema,
    schema::{DataModelType, DataModelVariant, NamedType, NamedVariant},
};
use protocol_reference::{
    schema::fields_on_the_wire,
    vectors::{Rows, Visitor, visit_all},
};
use std::collections::BTreeSet;

/// Both ways, and nothing shorter or longer is the message.
fn check<M: Message + PartialEq + Debug>(message: &M, golden: &[u8]) {
    let mut buffer = [0xff; 512];
    let len = encode(message, &mut buffer).unwrap();
    assert_eq!(&buffer[..len], golden, "{message:?}");
    assert!(len <= M::MAX_SIZE, "{message:?}");
    assert_eq!(decode::<M>(golden).as_ref(), Ok(message));
    assert!(
        decode::<M>(&golden[..len - 1]).is_err(),
        "{message:?} without its end"
    );
    assert!(
        decode::<M>(&buffer[..=len]).is_err(),
        "{message:?} with another byte"
    );
    assert!(encode(message, &mut buffer[..len - 1]).is_err());
}

struct Check;

impl Visitor for Check {
    fn visit<M: Message + Schema + PartialEq + Debug>(
        &mut self,
        module: &'static str,
        name: &'static str,
        rows: Rows<M>,
    ) {
        assert_eq!(M::SCHEMA.name, name, "in {module}");
        for (message, bytes) in rows {
            check(&message, bytes);
        }
        let DataModelType::Enum(variants) = M::SCHEMA.ty else {
            panic!("{name} is no enum");
        };
        let unknown = [variants.len() as u8; 64];
        assert!(decode::<M>(&unknown).is_err());
    }
}

#[test]
fn every_example_is_its_bytes() {
    visit_all(&mut Check);
}

/// Which variants, and which contents of options and lists, the examples show; and which there are.
#[derive(Default)]
struct Coverage {
    /// The module of the message: `Request` is the name of several.
    module: &'static str,
    all: BTreeSet<String>,
    seen: BTreeSet<String>,
}

impl Coverage {
    fn variant(&self, ty: &NamedType, variant: &NamedVariant) -> String {
        let module = if ["Request", "Reply"].contains(&ty.name) {
            self.module
        } else {
            ""
        };
        format!("{module}::{}::{}", ty.name, variant.name)
    }

    /// Everything that a type can hold.
    fn expect(&mut self, ty: &'static NamedType) {
        match ty.ty {
            DataModelType::Option(inner) => {
                self.all.insert(format!("option<{}>: none", inner.name));
                self.all.insert(format!("option<{}>: some", inner.name));
                self.expect(inner);
            }
            DataModelType::Seq(inner) => {
                self.all.insert(format!("list<{}>: empty", inner.name));
                self.all.insert(format!("list<{}>: filled", inner.name));
                self.expect(inner);
            }
            DataModelType::Tuple(items) => items.iter().for_each(|item| self.expect(item)),
            DataModelType::Struct(fields) => {
                let fields = fields_on_the_wire(ty.name, fields);
                fields.iter().for_each(|field| self.expect(field.ty));
            }
            DataModelType::Enum(variants) => {
                for variant in *variants {
                    self.all.insert(self.variant(ty, variant));
                    match variant.ty {
                        DataModelVariant::UnitVariant => {}
                        DataModelVariant::NewtypeVariant(inner) => self.expect(inner),
                        DataModelVariant::TupleVariant(items) => {
                            items.iter().for_each(|item| self.expect(item));
                        }
                        DataModelVariant::StructVariant(fields) => {
                            fields.iter().for_each(|field| self.expect(field.ty));
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Walks over the encoding of a value, by its type alone.
    fn walk(&mut self, ty: &'static NamedType, bytes: &mut &[u8]) {
        match ty.ty {
            DataModelType::Bool | DataModelType::U8 => {
                *bytes = &bytes[1..];
            }
            DataModelType::U16 | DataModelType::U32 | DataModelType::U64 => {
                varint(bytes);
            }
            DataModelType::String => {
                let len = varint(bytes);
                *bytes = &bytes[len..];
            }
            DataModelType::Option(inner) => {
                let some = varint(bytes) == 1;
                let what = if some { "some" } else { "none" };
                self.seen.insert(format!("option<{}>: {what}", inner.name));
                if some {
                    self.walk(inner, bytes);
                }
            }
            DataModelType::Seq(inner) => {
                let len = varint(bytes);
                let what = if len > 0 { "filled" } else { "empty" };
                self.seen.insert(format!("list<{}>: {what}", inner.name));
                (0..len).for_each(|_| self.walk(inner, bytes));
            }
            DataModelType::Tuple(items) => items.iter().for_each(|item| self.walk(item, bytes)),
            DataModelType::Struct(fields) => {
                let fields = fields_on_the_wire(ty.name, fields);
                fields.iter().for_each(|field| self.walk(field.ty, bytes));
            }
            DataModelType::Enum(variants) => {
                let variant = variants[varint(bytes)];
                self.seen.insert(self.variant(ty, variant));
                match variant.ty {
                    DataModelVariant::UnitVariant => {}
                    DataModelVariant::NewtypeVariant(inner) => self.walk(inner, bytes),
                    DataModelVariant::TupleVariant(items) => {
                        items.iter().for_each(|item| self.walk(item, bytes));
                    }
                    DataModelVariant::StructVariant(fields) => {
                        fields.iter().for_each(|field| self.walk(field.ty, bytes));
                    }
                }
            }
            other => panic!("{other:?} is new: say on the page how it is encoded"),
        }
    }
}

fn varint(bytes: &mut &[u8]) -> usize {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value as usize;
        }
    }
}

impl Visitor for Coverage {
    fn visit<M: Message + Schema + PartialEq + Debug>(
        &mut self,
        module: &'static str,
        _: &'static str,
        rows: Rows<M>,
    ) {
        self.module = module;
        self.expect(M::SCHEMA);
        for (message, bytes) in rows {
            let mut rest = bytes;
            self.walk(M::SCHEMA, &mut rest);
            assert!(
                rest.is_empty(),
                "{message:?}: the schema is not the encoding"
            );
        }
    }
}

/// Every variant of every enum inside a message, both kinds of each option, an empty and a filled list.
#[test]
fn examples_show_everything() {
    let mut coverage = Coverage::default();
    visit_all(&mut coverage);
    let missing: Vec<_> = coverage.all.difference(&coverage.seen).collect();
    assert!(missing.is_empty(), "no example of {missing:?}");
}

/// The hashes cover all types down to the last field. When one changes, raise that protocol's version.
#[test]
fn schemas_are_those_of_their_version() {
    let ours = [Hello::SOCKET, Hello::FRAME, Hello::SYSTEM];
    assert_eq!(ours.map(|hello| hello.version), [2, 4, 1]);
    assert_eq!(
        ours.map(|hello| u64::from_be_bytes(hello.schema)),
        [0x661f8be8f38f5288, 0x606072692946b2b9, 0xf733b64a5fb2d0db,]
    );
}
