//! An array that is not collected: a window on the frame, or a slice that is to be written.

use std::fmt;

use super::field::array_size_min;
use super::{DecodeError, Field, Reader, Shape, Writer};

/// An array of the hot paths. Decoded, it is a window on the frame whose elements were checked once
/// and are parsed again while iterating; built with [`List::of`], it is a borrowed slice.
pub struct List<'a, T> {
    repr: Repr<'a, T>,
}

enum Repr<'a, T> {
    Items(&'a [T]),
    Wire { count: u32, body: Reader<'a>, shape: Shape },
}

impl<'a, T> List<'a, T> {
    /// A list of these elements, to be written.
    pub const fn of(items: &'a [T]) -> Self {
        Self { repr: Repr::Items(items) }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self.repr {
            Repr::Items(items) => items.len(),
            Repr::Wire { count, .. } => count as usize,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: Field<'a> + Clone> List<'a, T> {
    /// The elements, in order.
    pub fn iter(&self) -> ListIter<'a, T> {
        ListIter { list: *self }
    }
}

/// Iterates over a [`List`].
pub struct ListIter<'a, T> {
    list: List<'a, T>,
}

impl<'a, T: Field<'a> + Clone> Iterator for ListIter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.list.repr {
            Repr::Items(items) => {
                let (first, rest) = items.split_first()?;
                *items = rest;
                Some(first.clone())
            }
            Repr::Wire { count, body, shape } => {
                *count = count.checked_sub(1)?;
                Some(T::read(body, *shape).expect("the decoder has read these elements before"))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.list.len(), Some(self.list.len()))
    }
}

impl<'a, T: Field<'a> + Clone> ExactSizeIterator for ListIter<'a, T> {}

impl<'a, T: Field<'a> + Clone> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'a, T>;
    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Field<'a> + Clone> IntoIterator for &List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'a, T>;
    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Field<'a> + Clone> Field<'a> for List<'a, T> {
    fn size_min(shape: Shape) -> usize {
        array_size_min(shape)
    }

    fn read(r: &mut Reader<'a>, shape: Shape) -> Result<Self, DecodeError> {
        let count = r.count(T::size_min(shape), shape)?.ok_or(DecodeError::Null { at: r.position() })?;
        let body = *r;
        for _ in 0..count {
            T::read(r, shape)?;
        }
        Ok(Self { repr: Repr::Wire { count, body, shape } })
    }

    fn write(&self, w: &mut Writer, shape: Shape) {
        w.count(Some(self.len()), shape);
        match self.repr {
            Repr::Items(items) => items.iter().for_each(|item| item.write(w, shape)),
            Repr::Wire { .. } => self.iter().for_each(|item| item.write(w, shape)),
        }
    }
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl<T> Clone for Repr<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Repr<'_, T> {}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl<'a, T: Field<'a> + Clone + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Field<'a> + Clone + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}
