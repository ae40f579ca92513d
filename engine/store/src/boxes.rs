//! Reference-counted boxes that are used again: a chunk takes and gives back two of them for every
//! transfer, which would otherwise be two trips to the heap.

use std::cell::RefCell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::rc::Rc;
use std::thread::LocalKey;

/// Empty boxes of one kind that a thread keeps at most; further ones go back to the heap.
const SPARE_MAX: usize = 4096;

/// A thread's empty boxes for one kind of value.
pub(crate) type Spare<T> = RefCell<Vec<Rc<MaybeUninit<T>>>>;

/// A value whose boxes are used again.
pub(crate) trait Boxed: Sized + 'static {
    /// Where this thread keeps its empty boxes for it.
    fn spare() -> &'static LocalKey<Spare<Self>>;
}

/// Shares a value by reference count; the last owner on this thread keeps the box for the next value.
#[derive(Debug)]
pub(crate) struct Kept<T: Boxed>(ManuallyDrop<Rc<T>>);

impl<T: Boxed> Kept<T> {
    pub(crate) fn new(value: T) -> Kept<T> {
        let spare = T::spare().try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        let rc = match spare {
            Some(mut empty) => {
                Rc::get_mut(&mut empty).expect("an empty box has one owner").write(value);
                // SAFETY: the value was written in the line above.
                unsafe { empty.assume_init() }
            }
            None => Rc::new(value),
        };
        Kept(ManuallyDrop::new(rc))
    }

    /// The plain count, for who must have that. The box is kept only if it is given back before
    /// the last `Kept` goes.
    pub(crate) fn share(&self) -> Rc<T> {
        Rc::clone(&self.0)
    }
}

impl<T: Boxed> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Kept(self.0.clone())
    }
}

impl<T: Boxed> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Boxed> Drop for Kept<T> {
    fn drop(&mut self) {
        // SAFETY: `self.0` is not used after this.
        let mut rc = unsafe { ManuallyDrop::take(&mut self.0) };
        if Rc::get_mut(&mut rc).is_none() {
            return;
        }
        let raw = Rc::into_raw(rc).cast_mut();
        // SAFETY: nobody else has the box, so its value is dropped here, once, and never seen again;
        // `MaybeUninit<T>` has the size and alignment of `T`, as `Rc::from_raw` asks.
        let empty = unsafe {
            std::ptr::drop_in_place(raw);
            Rc::from_raw(raw.cast::<MaybeUninit<T>>())
        };
        // Without its list (the thread ends) the box goes back to the heap.
        let _ = T::spare().try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(empty);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Noted(Rc<RefCell<Vec<u32>>>, u32);

    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }

    impl Boxed for Noted {
        fn spare() -> &'static LocalKey<Spare<Noted>> {
            thread_local! { static SPARE: Spare<Noted> = const { RefCell::new(Vec::new()) } }
            &SPARE
        }
    }

    #[test]
    fn a_value_is_dropped_once_with_its_last_owner_and_its_box_serves_the_next() {
        let dropped = Rc::new(RefCell::new(Vec::new()));
        let first = Kept::new(Noted(dropped.clone(), 1));
        let place = std::ptr::from_ref::<Noted>(&first);
        let other = first.clone();
        drop(first);
        assert_eq!((dropped.borrow().len(), other.1), (0, 1));
        drop(other);
        assert_eq!(*dropped.borrow(), [1]);
        let second = Kept::new(Noted(dropped.clone(), 2));
        assert_eq!(std::ptr::from_ref::<Noted>(&second), place, "the same box");
        assert_eq!(second.1, 2);
        drop(second);
        assert_eq!(*dropped.borrow(), [1, 2]);
    }

    #[test]
    fn a_shared_count_that_outlives_its_keepers_frees_the_value_itself() {
        let dropped = Rc::new(RefCell::new(Vec::new()));
        let kept = Kept::new(Noted(dropped.clone(), 7));
        let shared = kept.share();
        drop(kept);
        assert!(dropped.borrow().is_empty());
        drop(shared);
        assert_eq!(*dropped.borrow(), [7]);
    }
}
