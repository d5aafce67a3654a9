//! Reads messages in postcard's format: `serde`'s view of a byte string. Touches no shared memory.
//!
//! Postcard's own reader takes numbers that are encoded longer than need be. This one refuses them while it reads, so that a message
//! need not be encoded again to be sure that its encoding is the only one. What no message has (floats, maps, signed numbers) is malformed.
#![forbid(unsafe_code)]

use crate::codec::DecodeError;
use core::fmt;
use serde::{
    de::{
        self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, SeqAccess,
        VariantAccess, Visitor,
    },
    forward_to_deserialize_any,
};

/// Bit of a number's byte: more bytes follow. The other seven are the number's, the lowest first.
const MORE: u8 = 0x80;

/// The bytes that were not read yet.
pub(crate) struct Decoder<'de> {
    rest: &'de [u8],
}

type Result<T> = core::result::Result<T, DecodeError>;

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(_: T) -> Self {
        DecodeError::Malformed
    }
}

impl<'de> Decoder<'de> {
    pub(crate) fn new(bytes: &'de [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or(DecodeError::Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Malformed),
        }
    }

    /// A number of at most `bits` bits, 14 or more.
    #[inline]
    fn varint(&mut self, bits: u32) -> Result<u64> {
        let (first, rest) = self.rest.split_first().ok_or(DecodeError::Malformed)?;
        if *first < MORE {
            self.rest = rest;
            return Ok((*first).into());
        }
        // Nearly all numbers in messages have two bytes at most.
        let (second, rest) = rest.split_first().ok_or(DecodeError::Malformed)?;
        if (1..MORE).contains(second) {
            self.rest = rest;
            return Ok(u64::from(*first & !MORE) | u64::from(*second) << 7);
        }
        // By value, so that what is left of the bytes stays in registers.
        let (number, rest) = long_varint(self.rest, bits)?;
        self.rest = rest;
        Ok(number)
    }

    #[inline]
    fn length(&mut self) -> Result<usize> {
        let length = self.varint(u64::BITS)?;
        // Nothing takes less than a byte: a list cannot be longer than what is left.
        if length > self.rest.len() as u64 {
            return Err(DecodeError::Malformed);
        }
        Ok(length as usize)
    }
}

/// The number at the start of `rest`, and what follows it.
#[inline(never)]
fn long_varint(mut rest: &[u8], bits: u32) -> Result<(u64, &[u8])> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (byte, behind) = rest.split_first().ok_or(DecodeError::Malformed)?;
        rest = behind;
        let part = u64::from(*byte & !MORE);
        // Bits that have no place in the number.
        if shift >= bits || part >> (bits - shift).min(7) != 0 {
            return Err(DecodeError::Malformed);
        }
        number |= part << shift;
        if *byte < MORE {
            // With a last byte of zero, it would be the same without that byte.
            return if *byte == 0 && shift > 0 {
                Err(DecodeError::Malformed)
            } else {
                Ok((number, rest))
            };
        }
        shift += 7;
    }
}

macro_rules! varints {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            visitor.$visit(self.varint(<$type>::BITS)? as $type)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = DecodeError;

    /// Bytes do not say what they are.
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
        Err(DecodeError::Malformed)
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_bool(self.flag()?)
    }

    #[inline]
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u8(self.byte()?)
    }

    varints!(deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64);

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let length = self.length()?;
        let (text, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(DecodeError::Malformed)?;
        self.rest = rest;
        visitor.visit_borrowed_str(str::from_utf8(text).map_err(|_| DecodeError::Malformed)?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.flag()? {
            visitor.visit_some(self)
        } else {
            visitor.visit_none()
        }
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let left = self.length()?;
        visitor.visit_seq(Elements {
            decoder: self,
            left,
        })
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(Elements {
            decoder: self,
            left,
        })
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char bytes byte_buf unit unit_struct map identifier ignored_any
    }
}

/// Messages up to so many bytes are put together in registers.
const IN_REGISTERS: usize = 32;

/// One kind of a message by itself. Many kinds in one function would all go through its stack frame, byte by byte.
#[inline(never)]
fn apart<'de, V: Visitor<'de>>(visitor: V, elements: Elements<'_, 'de>) -> Result<V::Value> {
    visitor.visit_seq(elements)
}

/// The elements of a list, or the fields of a struct, that were not read yet.
struct Elements<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        seed.deserialize(&mut *self.decoder).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> EnumAccess<'de> for &mut Decoder<'de> {
    type Error = DecodeError;
    type Variant = Self;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let number = self.varint(u32::BITS)? as u32;
        let variant =
            seed.deserialize(IntoDeserializer::<DecodeError>::into_deserializer(number))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Decoder<'de> {
    type Error = DecodeError;

    #[inline]
    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let elements = Elements {
            decoder: self,
            left: fields.len(),
        };
        if const { size_of::<V::Value>() <= IN_REGISTERS } {
            visitor.visit_seq(elements)
        } else {
            apart(visitor, elements)
        }
    }
}
