//! The `message!` table: a struct is declared once, with the versions that carry each field, and its
//! reader and writer follow from it.

use super::{DecodeError, Field, Reader, Writer};
use crate::ApiKey;

/// A request or a response body.
pub trait Message<'a>: Field<'a> {
    /// The API that it belongs to.
    const KEY: ApiKey;

    /// Reads a body of `version`. Bytes behind it are left in the reader, as Kafka does.
    fn decode(version: i16, r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Self::read(r, Self::KEY.shape(version)?)
    }

    /// Writes the body in `version`. A field that the version does not carry is left out.
    ///
    /// # Panics
    /// If this build does not serve the version.
    fn encode(&self, version: i16, w: &mut Writer) {
        self.write(w, Self::KEY.shape(version).expect("encoding a version that this build serves"));
    }
}

/// Declares a struct of the protocol.
///
/// ```text
/// /// What it is.
/// pub struct Name<'a> {
///     /// What the field is.
///     VERSIONS [, null VERSIONS] => field: Type [= DEFAULT];
/// }
/// tags {
///     /// What the tagged field is.
///     TAG, VERSIONS => field: Type [= DEFAULT];
/// }
/// ```
///
/// Fields stand in wire order. `VERSIONS` is a range pattern: `0..`, `1..=3`, `8..`. A field outside
/// its versions is neither read nor written and keeps its default. `null` names the versions in which
/// an `Option` may be null, if not all. A tagged field is written only if it differs from its default.
macro_rules! message {
    ($(#[$meta:meta])* pub struct $name:ident<$lt:lifetime> { $($fields:tt)* } $(tags { $($tags:tt)* })?) => {
        message!(@define [$(#[$meta])*] $name [<$lt>] $lt { $($fields)* } { $($($tags)*)? });
    };
    ($(#[$meta:meta])* pub struct $name:ident { $($fields:tt)* } $(tags { $($tags:tt)* })?) => {
        message!(@define [$(#[$meta])*] $name [] 'r { $($fields)* } { $($($tags)*)? });
    };
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
    (@define [$(#[$meta:meta])*] $name:ident [$($generics:tt)*] $lt:lifetime
        { $( $(#[$fmeta:meta])* $versions:pat $(, null $null:pat)? => $field:ident: $type:ty $(= $default:expr)?; )* }
        { $( $(#[$tmeta:meta])* $tag:literal, $tversions:pat => $tfield:ident: $ttype:ty $(= $tdefault:expr)?; )* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name $($generics)* {
            $( $(#[$fmeta])* pub $field: $type, )*
            $( $(#[$tmeta])* pub $tfield: $ttype, )*
        }

        impl<$lt> Default for $name $($generics)* {
            fn default() -> Self {
                Self {
                    $( $field: message!(@default $($default)?), )*
                    $( $tfield: message!(@default $($tdefault)?), )*
                }
            }
        }

        impl<$lt> $crate::codec::Field<$lt> for $name $($generics)* {
            fn size_min(shape: $crate::codec::Shape) -> usize {
                usize::from(shape.flexible)
                $(
                    + if matches!(shape.version, $versions) {
                        <$type as $crate::codec::Field>::size_min(shape)
                    } else {
                        0
                    }
                )*
            }

            fn read(
                r: &mut $crate::codec::Reader<$lt>,
                shape: $crate::codec::Shape,
            ) -> Result<Self, $crate::codec::DecodeError> {
                let mut this = Self::default();
                $(
                    if matches!(shape.version, $versions) {
                        this.$field = <$type as $crate::codec::Field>::read(r, shape)?;
                        $(
                            if this.$field.is_none() && !matches!(shape.version, $null) {
                                return Err($crate::codec::DecodeError::Null { at: r.position() });
                            }
                        )?
                    }
                )*
                if shape.flexible {
                    r.tags(|tag, _r| match tag {
                        $(
                            $tag if matches!(shape.version, $tversions) => {
                                this.$tfield = <$ttype as $crate::codec::Field>::read(_r, shape)?;
                                Ok(true)
                            }
                        )*
                        _ => Ok(false),
                    })?;
                }
                Ok(this)
            }

            fn write(&self, w: &mut $crate::codec::Writer, shape: $crate::codec::Shape) {
                $(
                    if matches!(shape.version, $versions) {
                        $crate::codec::Field::write(&self.$field, w, shape);
                    }
                )*
                if shape.flexible {
                    let sent = [$(
                        {
                            let default: $ttype = message!(@default $($tdefault)?);
                            matches!(shape.version, $tversions) && self.$tfield != default
                        },
                    )*];
                    let sent: &[bool] = &sent;
                    w.uvarint(sent.iter().filter(|sent| **sent).count() as u32);
                    let mut _sent = sent.iter();
                    $(
                        if _sent.next() == Some(&true) {
                            w.tag($tag, |w| $crate::codec::Field::write(&self.$tfield, w, shape));
                        }
                    )*
                }
            }
        }

        #[cfg(feature = "sample")]
        impl<$lt> $crate::sample::Sample<$lt> for $name $($generics)* {
            fn sample(entropy: &mut $crate::sample::Entropy<'_>, version: i16) -> Self {
                let mut this = Self::default();
                $(
                    if matches!(version, $versions) {
                        let value = <$type as $crate::sample::Sample>::sample(entropy, version);
                        $( if value.is_some() || matches!(version, $null) )?
                        {
                            this.$field = value;
                        }
                    }
                )*
                $(
                    if matches!(version, $tversions) && entropy.byte() & 1 == 1 {
                        this.$tfield = <$ttype as $crate::sample::Sample>::sample(entropy, version);
                    }
                )*
                this
            }
        }
    };
}
