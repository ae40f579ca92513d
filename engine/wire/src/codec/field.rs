//! What can be a field: the primitive types, strings, bytes, arrays and nullable structs.

use std::borrow::Cow;

use uuid::Uuid;

use super::{DecodeError, Reader, Shape, Writer};

/// A value that lies on the wire.
pub trait Field<'a>: Sized {
    /// The fewest bytes that a value takes; at least one. Bounds the counts of arrays.
    fn size_min(shape: Shape) -> usize;
    /// Reads a value.
    fn read(r: &mut Reader<'a>, shape: Shape) -> Result<Self, DecodeError>;
    /// Writes the value.
    fn write(&self, w: &mut Writer, shape: Shape);
}

macro_rules! primitive {
    ($($type:ty, $size:literal, $read:expr, $write:expr;)*) => {
        $(
            impl<'a> Field<'a> for $type {
                fn size_min(_: Shape) -> usize {
                    $size
                }
                fn read(r: &mut Reader<'a>, _: Shape) -> Result<Self, DecodeError> {
                    $read(r)
                }
                fn write(&self, w: &mut Writer, _: Shape) {
                    $write(w, *self)
                }
            }
        )*
    };
}

primitive! {
    bool, 1, |r: &mut Reader<'a>| Ok(r.u8()? != 0), |w: &mut Writer, v| w.u8(u8::from(v));
    i8, 1, Reader::i8, |w: &mut Writer, v: i8| w.u8(v as u8);
    i16, 2, Reader::i16, Writer::i16;
    u16, 2, |r: &mut Reader<'a>| Ok(r.i16()? as u16), |w: &mut Writer, v: u16| w.i16(v as i16);
    i32, 4, Reader::i32, Writer::i32;
    i64, 8, Reader::i64, Writer::i64;
    Uuid, 16, Reader::uuid, Writer::uuid;
}

/// The length prefix of an empty or null string.
fn string_size_min(shape: Shape) -> usize {
    if shape.flexible { 1 } else { 2 }
}

/// The count of an empty or null array.
pub(super) fn array_size_min(shape: Shape) -> usize {
    if shape.flexible { 1 } else { 4 }
}

impl<'a> Field<'a> for Option<&'a str> {
    fn size_min(shape: Shape) -> usize {
        string_size_min(shape)
    }
    fn read(r: &mut Reader<'a>, shape: Shape) -> Result<Self, DecodeError> {
        r.string(shape)
    }
    fn write(&self, w: &mut Writer, shape: Shape) {
        w.string(*self, shape);
    }
}

impl<'a> Field<'a> for &'a str {
    fn size_min(shape: Shape) -> usize {
        string_size_min(shape)
    }
    fn read(r: &mut Reader<'a>, shape: Shape) -> Result<Self, DecodeError> {
        r.string(shape)?.ok_or(DecodeError::Null { at: r.position() })
    }
    fn write(&self, w: &mut Writer, shape: Shape) {
        w.string(Some(self), shape);
    }
}

impl<'a> Field<'a> for Option<Cow<'a, str>> {
    fn size_min(shape: Shape) -> usize {
        string_size_min(shape)
    }
    fn read(r: &mut Reader<'a>, shape: Shape) -> Result<Self, DecodeError> {
        Ok(r.string(shape)?.map(Cow::Borrowed))
    }
    fn write(&self, w: &mut Writer, shape: Shape) {
        w.string(self.as_deref(), shape);
    }
}

impl<'a> Field<'a> for Cow<'a, str> {
    fn size_min(shape: Shape) -> usize {
        string_size_min(shape)
    }
    fn read(r: &mut Reader<'a>, shape: Shape) -> Result<Self, DecodeError> {
        <&str>::read(r, shape).map(Cow::Borrowed)
    }
    fn write(&self, w: &mut Writer, shape: Shape) {
        w.string(Some(self), shape);
    }
}

impl<'a> Field<'a> for &'a [u8] {
    fn size_min(shape: Shape) -> usize {
        array_size_min(shape)
    }
    fn read(r: &mut Reader<'a>, shape: Shape) -> Result<Self, DecodeError> {
        r.bytes(shape)?.ok_or(DecodeError::Null { at: r.position() })
    }
    fn write(&self, w: &mut Writer, shape: Shape) {
        w.bytes_length(Some(self.len()), shape);
        w.raw(self);
    }
}

impl<'a> Field<'a> for Cow<'a, [u8]> {
    fn size_min(shape: Shape) -> usize {
        array_size_min(shape)
    }
    fn read(r: &mut Reader<'a>, shape: Shape) -> Result<Self, DecodeError> {
        <&[u8]>::read(r, shape).map(Cow::Borrowed)
    }
    fn write(&self, w: &mut Writer, shape: Shape) {
        (&**self).write(w, shape);
    }
}

impl<'a, T: Field<'a>> Field<'a> for Option<Vec<T>> {
    fn size_min(shape: Shape) -> usize {
        array_size_min(shape)
    }
    fn read(r: &mut Reader<'a>, shape: Shape) -> Result<Self, DecodeError> {
        let Some(count) = r.count(T::size_min(shape), shape)? else { return Ok(None) };
        let mut items = Vec::with_capacity(count as usize);
        for _ in 0..count {
            items.push(T::read(r, shape)?);
        }
        Ok(Some(items))
    }
    fn write(&self, w: &mut Writer, shape: Shape) {
        w.count(self.as_ref().map(Vec::len), shape);
        for item in self.iter().flatten() {
            item.write(w, shape);
        }
    }
}

impl<'a, T: Field<'a>> Field<'a> for Vec<T> {
    fn size_min(shape: Shape) -> usize {
        array_size_min(shape)
    }
    fn read(r: &mut Reader<'a>, shape: Shape) -> Result<Self, DecodeError> {
        Option::<Vec<T>>::read(r, shape)?.ok_or(DecodeError::Null { at: r.position() })
    }
    fn write(&self, w: &mut Writer, shape: Shape) {
        w.count(Some(self.len()), shape);
        for item in self {
            item.write(w, shape);
        }
    }
}

/// Makes `Option<Struct>` a field: one byte, -1 for null, then the struct.
macro_rules! nullable {
    ($type:ident $(<$lt:lifetime>)?) => {
        impl<'a> $crate::codec::Field<'a> for Option<$type $(<$lt>)?> {
            fn size_min(_: $crate::codec::Shape) -> usize {
                1
            }
            fn read(
                r: &mut $crate::codec::Reader<'a>,
                shape: $crate::codec::Shape,
            ) -> Result<Self, $crate::codec::DecodeError> {
                if r.i8()? < 0 { Ok(None) } else { <$type as $crate::codec::Field>::read(r, shape).map(Some) }
            }
            fn write(&self, w: &mut $crate::codec::Writer, shape: $crate::codec::Shape) {
                match self {
                    None => w.u8(0xff),
                    Some(value) => {
                        w.u8(1);
                        $crate::codec::Field::write(value, w, shape);
                    }
                }
            }
        }
    };
}
