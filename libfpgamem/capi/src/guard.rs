// SPDX-License-Identifier: MIT OR Apache-2.0

//! What surrounds the body of every exported function: no panic leaves it.

use crate::error::{fpgamem_error_t, Failure};
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Where a caller wants to be told what went wrong; `None` where it does not care.
pub(crate) type ErrorOut<'a> = Option<&'a mut MaybeUninit<fpgamem_error_t>>;

/// Where a result goes; `None` is refused.
pub(crate) type Out<'a, T> = Option<&'a mut MaybeUninit<T>>;

/// Runs the body of a call that can fail: 0, or its errno with the details in `error`.
pub(crate) fn run(error: ErrorOut<'_>, body: impl FnOnce() -> Result<(), Failure>) -> c_int {
    // What a panic leaves behind: buffers that say that they are lost.
    let done = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| Err(Failure::panicked()));
    match done {
        Ok(()) => 0,
        Err(failure) => {
            let errno = failure.errno;
            if let Some(error) = error {
                error.write(failure.into());
            }
            errno
        }
    }
}

/// Runs the body of a call that has a value for every case: `other` where it has nothing to say.
pub(crate) fn or<T>(other: T, body: impl FnOnce() -> Option<T>) -> T {
    let done = catch_unwind(AssertUnwindSafe(body));
    done.ok().flatten().unwrap_or(other)
}

/// What a pointer that must not be null points to.
pub(crate) fn required<T>(pointer: Option<T>, name: &str) -> Result<T, Failure> {
    pointer.ok_or_else(|| Failure::argument(format!("{name} is a null pointer")))
}

/// Makes a new handle and puts it where the caller wants it. What it replaces there is not looked at.
pub(crate) fn put<T>(
    to: Out<'_, Option<Box<T>>>,
    make: impl FnOnce() -> Result<T, Failure>,
) -> Result<(), Failure> {
    let to = required(to, "the place for the new handle")?;
    to.write(Some(Box::new(make()?)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_goes_no_further() {
        let mut error = MaybeUninit::zeroed();
        let status = run(Some(&mut error), || panic!("on purpose"));
        assert_eq!(status, Failure::panicked().errno);
        assert_eq!(or(7, || panic!("on purpose")), 7);
    }
}
