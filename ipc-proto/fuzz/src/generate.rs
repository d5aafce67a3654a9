//! Values of any type that can be deserialized, made from the input of a fuzzer: what to generate is read off the type
//! itself, so that a message that is added or changed is covered without a line here. No behaviour of ours is in it.

use arbitrary::Unstructured;
use core::fmt;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, SeqAccess, VariantAccess,
    Visitor,
};

/// A value. `None` if the input asks for one that its type forbids (a list that is too long).
pub fn value<T: DeserializeOwned>(input: &mut Unstructured<'_>) -> Option<T> {
    T::deserialize(Generator(input)).ok()
}

/// A number below 2^(8 * `bytes`). Small ones take one byte of the input.
pub fn number(input: &mut Unstructured<'_>, bytes: u32) -> u64 {
    let first = byte(input);
    match first.checked_sub(0xf0) {
        None => first.into(),
        Some(more) => (0..=u32::from(more & 7).min(bytes - 1))
            .fold(0, |number, _| number << 8 | u64::from(byte(input))),
    }
}

/// The next byte; zero at the end of the input.
pub fn byte(input: &mut Unstructured<'_>) -> u8 {
    input.arbitrary().unwrap_or(0)
}

/// The next bytes, fewer at the end of the input.
pub fn bytes<'a>(input: &mut Unstructured<'a>, len: usize) -> &'a [u8] {
    input.bytes(len.min(input.len())).unwrap_or(&[])
}

/// One of several things.
pub fn choose<T: Copy>(input: &mut Unstructured<'_>, among: &[T]) -> T {
    among[usize::from(byte(input)) % among.len()]
}

/// The type does not take what was generated.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused by the type")
    }
}

impl core::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Refused
    }
}

struct Generator<'a, 'b>(&'a mut Unstructured<'b>);

impl Generator<'_, '_> {
    fn text(&mut self) -> &str {
        let len = byte(self.0);
        let bytes = bytes(self.0, len.into());
        match core::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
        }
    }
}

/// So many elements, fields or bytes.
struct Elements<'a, 'b>(&'a mut Unstructured<'b>, usize);

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Refused> {
        let Some(left) = self.1.checked_sub(1) else {
            return Ok(None);
        };
        self.1 = left;
        seed.deserialize(Generator(self.0)).map(Some)
    }
}

struct Variant<'a, 'b>(&'a mut Unstructured<'b>, usize);

impl<'de, 'a, 'b> EnumAccess<'de> for Variant<'a, 'b> {
    type Error = Refused;
    type Variant = Generator<'a, 'b>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), Refused> {
        let number = u32::from(byte(self.0)) % self.1 as u32;
        let number = de::value::U32Deserializer::new(number);
        Ok((seed.deserialize(number)?, Generator(self.0)))
    }
}

impl<'de> VariantAccess<'de> for Generator<'_, '_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Refused> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_seq(Elements(self.0, len))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_seq(Elements(self.0, fields.len()))
    }
}

macro_rules! numbers {
    ($($name:ident $visit:ident $type:ty;)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            visitor.$visit(number(self.0, <$type>::BITS / 8) as $type)
        }
    )*};
}

impl<'de> Deserializer<'de> for Generator<'_, '_> {
    type Error = Refused;

    numbers! {
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
    }

    /// As in postcard.
    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_bool(byte(self.0) & 1 != 0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match byte(self.0) & 1 {
            0 => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_str(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let len = usize::from(byte(self.0)) % 10;
        visitor.visit_seq(Elements(self.0, len))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_seq(Elements(self.0, len))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_seq(Elements(self.0, fields.len()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_enum(Variant(self.0, variants.len()))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    /// No message has one of these.
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused)
    }

    serde::forward_to_deserialize_any! {
        f32 f64 char bytes byte_buf unit unit_struct tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_proto::{setup, socket, system};
    use std::collections::HashSet;

    /// Variants that some thousand inputs give.
    fn variants<T: DeserializeOwned + fmt::Debug>() -> usize {
        let mut names = HashSet::new();
        for seed in 0..4000_u32 {
            let data: Vec<u8> = (0..300)
                .map(|at| ((seed.wrapping_mul(2_654_435_761) >> (at % 23)) ^ (at * 7)) as u8)
                .collect();
            if let Some(value) = value::<T>(&mut Unstructured::new(&data)) {
                let text = format!("{value:?}");
                let end = text.find([' ', '(', '{']).unwrap_or(text.len());
                names.insert(text[..end].to_owned());
            }
        }
        names.len()
    }

    #[test]
    fn every_variant_comes_up() {
        assert_eq!(variants::<socket::Request>(), 14);
        assert_eq!(variants::<socket::Reply>(), 11);
        assert_eq!(variants::<system::Request>(), 6);
        assert_eq!(variants::<system::Reply>(), 6);
        assert_eq!(variants::<setup::NetRequest>(), 3);
        assert_eq!(variants::<setup::NetReply>(), 4);
    }
}
