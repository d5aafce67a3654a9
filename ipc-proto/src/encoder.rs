//! Writes messages in postcard's format: `serde`'s way to a byte string. Touches no shared memory.
//!
//! Postcard's own writer makes each number in a buffer of its own and copies it from there; this one writes it where it belongs. What
//! no message has (floats, maps, signed numbers, lists of unknown length) does not fit.
#![forbid(unsafe_code)]

use crate::codec::BufferTooSmall;
use core::fmt;
use serde::ser::{self, Impossible, Serialize, Serializer};

/// Bit of a number's byte: more bytes follow. The other seven are the number's, the lowest first.
const MORE: u8 = 0x80;

/// The room that is left.
pub(crate) struct Encoder<'a> {
    rest: &'a mut [u8],
}

type Result<T = ()> = core::result::Result<T, BufferTooSmall>;

impl ser::Error for BufferTooSmall {
    fn custom<T: fmt::Display>(_: T) -> Self {
        BufferTooSmall
    }
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self { rest: buffer }
    }

    /// Bytes of room that are left.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) -> Result {
        let rest = core::mem::take(&mut self.rest);
        let (place, rest) = rest.split_first_chunk_mut().ok_or(BufferTooSmall)?;
        *place = bytes;
        self.rest = rest;
        Ok(())
    }

    #[inline(always)]
    fn varint(&mut self, number: u64) -> Result {
        let low = number as u8;
        if number < 1 << 7 {
            return self.put([low]);
        }
        // Nearly all numbers in messages have two bytes at most.
        if number < 1 << 14 {
            return self.put([low | MORE, (number >> 7) as u8]);
        }
        // By value, so that what is left of the room stays in registers.
        self.rest = long_varint(core::mem::take(&mut self.rest), number)?;
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result {
        self.varint(bytes.len() as u64)?;
        let rest = core::mem::take(&mut self.rest);
        let (place, rest) = rest
            .split_at_mut_checked(bytes.len())
            .ok_or(BufferTooSmall)?;
        place.copy_from_slice(bytes);
        self.rest = rest;
        Ok(())
    }
}

/// Puts the number at the start of `rest`; returns what is behind it.
#[inline(never)]
fn long_varint(mut rest: &mut [u8], mut number: u64) -> Result<&mut [u8]> {
    loop {
        let (place, behind) = rest.split_first_mut().ok_or(BufferTooSmall)?;
        rest = behind;
        let low = number as u8;
        number >>= 7;
        if number == 0 {
            *place = low;
            return Ok(rest);
        }
        *place = low | MORE;
    }
}

macro_rules! varints {
    ($($method:ident $type:ty),*) => {$(
        #[inline(always)]
        fn $method(self, number: $type) -> Result {
            self.varint(number.into())
        }
    )*};
}

/// What no message has.
macro_rules! never {
    ($($method:ident $type:ty),*) => {$(
        fn $method(self, _: $type) -> Result {
            Err(BufferTooSmall)
        }
    )*};
}

impl Serializer for &mut Encoder<'_> {
    type Ok = ();
    type Error = BufferTooSmall;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Impossible<(), BufferTooSmall>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    #[inline(always)]
    fn serialize_bool(self, flag: bool) -> Result {
        self.put([flag.into()])
    }

    #[inline(always)]
    fn serialize_u8(self, byte: u8) -> Result {
        self.put([byte])
    }

    varints!(serialize_u16 u16, serialize_u32 u32, serialize_u64 u64);

    never!(serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64);
    never!(serialize_f32 f32, serialize_f64 f64, serialize_char char);

    fn serialize_str(self, text: &str) -> Result {
        self.bytes(text.as_bytes())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result {
        self.bytes(bytes)
    }

    #[inline]
    fn serialize_none(self) -> Result {
        self.put([0])
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result {
        self.put([1])?;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result {
        Ok(())
    }

    #[inline(always)]
    fn serialize_unit_variant(self, _: &'static str, number: u32, _: &'static str) -> Result {
        self.varint(number.into())
    }

    #[inline(always)]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        number: u32,
        _: &'static str,
        value: &T,
    ) -> Result {
        self.varint(number.into())?;
        value.serialize(self)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self> {
        self.varint(len.ok_or(BufferTooSmall)? as u64)?;
        Ok(self)
    }

    #[inline(always)]
    fn serialize_tuple(self, _: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline(always)]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        number: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self> {
        self.varint(number.into())?;
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap> {
        Err(BufferTooSmall)
    }

    #[inline(always)]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline(always)]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        number: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self> {
        self.varint(number.into())?;
        Ok(self)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result {
        Err(BufferTooSmall)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Parts of a whole: one behind the other.
macro_rules! parts {
    ($($of:ident $method:ident ($($key:ty)?)),*) => {$(
        impl ser::$of for &mut Encoder<'_> {
            type Ok = ();
            type Error = BufferTooSmall;

            #[inline(always)]
            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $key,)? part: &T) -> Result {
                part.serialize(&mut **self)
            }

            #[inline(always)]
            fn end(self) -> Result {
                Ok(())
            }
        }
    )*};
}

parts!(
    SerializeSeq serialize_element (),
    SerializeTuple serialize_element (),
    SerializeTupleStruct serialize_field (),
    SerializeTupleVariant serialize_field (),
    SerializeStruct serialize_field (&'static str),
    SerializeStructVariant serialize_field (&'static str)
);
