// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers of elements instead of bytes.

use crate::alloc::AllocOptions;
use crate::buffer::{Buffer, DeviceBuffer};
use crate::device::Device;
use crate::direction::Direction;
use crate::error::{Error, HandOverError, Result};
use crate::inner::resolve;
use crate::view::ViewMut;
use bytemuck::{AnyBitPattern, NoUninit};
use std::fmt;
use std::marker::PhantomData;
use std::mem::{align_of, size_of};
use std::ops::{Deref, DerefMut, Range, RangeBounds};

/// A buffer that the CPU owns: a slice of elements.
///
/// Elements are types for which every bit pattern is a value ([`AnyBitPattern`]), since the device may
/// write any; to be written by the CPU they have no padding ([`NoUninit`]). Numbers are such types, and
/// arrays of them. Their bytes are in the CPU's order.
///
/// ```
/// use fpgamem::{Device, Direction};
///
/// # fn main() -> Result<(), fpgamem::Error> {
/// # let device = Device::emulated().open()?;
/// let mut weights = device.alloc_elements::<f32>(1000)?;
/// weights[999] = 0.5;
/// assert_eq!(weights.iter().sum::<f32>(), 0.5);
/// let weights = weights.into_device(Direction::ToDevice)?;
/// # drop(unsafe { weights.into_cpu() }?);
/// # Ok(())
/// # }
/// ```
///
/// INVARIANT: The bytes are whole elements, and the first is aligned for them.
pub struct TypedBuffer<T> {
    bytes: Buffer,
    elements: PhantomData<T>,
}

/// A buffer of elements that the device owns; made by [`TypedBuffer::into_device`].
pub struct TypedDeviceBuffer<T> {
    bytes: DeviceBuffer,
    elements: PhantomData<T>,
}

impl Buffer {
    /// Takes the bytes for elements: those that are there, in the CPU's byte order.
    ///
    /// # Errors
    ///
    /// The buffer comes back with the error, unchanged:
    ///
    /// * [`Error::InvalidElements`]: the length is no multiple of the size of an element, or the first
    ///   byte is not aligned for one, or elements have no bytes. Allocations are aligned to blocks,
    ///   parts of them to cache lines.
    pub fn typed<T: AnyBitPattern>(self) -> Result<TypedBuffer<T>, HandOverError<Self>> {
        // Nor is there a slice of elements without bytes that has these, at least one.
        if bytemuck::try_cast_slice::<u8, T>(&self).is_ok() {
            return Ok(TypedBuffer {
                bytes: self,
                elements: PhantomData,
            });
        }
        Err(HandOverError {
            error: Error::InvalidElements {
                len: self.len(),
                size: size_of::<T>(),
                align: align_of::<T>(),
            },
            buffer: self,
        })
    }
}

impl Device {
    /// Allocates a buffer of `count` elements, all bytes of which are 0.
    ///
    /// # Errors
    ///
    /// Those of [`alloc`](Self::alloc), of whose numbers lengths are in bytes.
    pub fn alloc_elements<T: AnyBitPattern>(&self, count: usize) -> Result<TypedBuffer<T>> {
        self.alloc_elements_with(count, AllocOptions::new())
    }

    /// Allocates a buffer of `count` elements, all bytes of which are 0, as the options say.
    ///
    /// # Errors
    ///
    /// Those of [`alloc_with`](Self::alloc_with), of whose numbers lengths are in bytes.
    pub fn alloc_elements_with<T: AnyBitPattern>(
        &self,
        count: usize,
        options: AllocOptions,
    ) -> Result<TypedBuffer<T>> {
        // What is no number is longer than every region.
        let len = count.saturating_mul(size_of::<T>());
        Ok(self.alloc_with(len, options)?.typed()?)
    }
}

impl<T> TypedBuffer<T> {
    /// The bytes of the elements, as a buffer of them.
    #[must_use]
    pub fn into_bytes(self) -> Buffer {
        self.bytes
    }

    /// The buffer of bytes, for its addresses.
    #[must_use]
    pub fn as_bytes(&self) -> &Buffer {
        &self.bytes
    }

    /// As [`Buffer::sync_for_device`], for a range of elements.
    ///
    /// # Errors
    ///
    /// As [`Buffer::sync_for_device`]; ranges in errors are of elements.
    pub fn sync_for_device(&self, range: impl RangeBounds<usize>) -> Result<()> {
        self.bytes.sync_for_device(self.bytes_of(range)?)
    }

    /// As [`Buffer::sync_for_cpu`], for a range of elements.
    ///
    /// # Errors
    ///
    /// As [`Buffer::sync_for_cpu`]; ranges in errors are of elements.
    pub fn sync_for_cpu(&mut self, range: impl RangeBounds<usize>) -> Result<()> {
        let range = self.bytes_of(range)?;
        self.bytes.sync_for_cpu(range)
    }

    fn bytes_of(&self, range: impl RangeBounds<usize>) -> Result<Range<usize>> {
        let size = size_of::<T>();
        let range = resolve(range, self.bytes.len() / size)?;
        Ok(range.start * size..range.end * size)
    }

    /// As [`Buffer::into_device`].
    ///
    /// # Errors
    ///
    /// As [`Buffer::into_device`].
    pub fn into_device(
        self,
        direction: Direction,
    ) -> Result<TypedDeviceBuffer<T>, HandOverError<Self>> {
        match self.bytes.into_device(direction) {
            Ok(bytes) => Ok(TypedDeviceBuffer {
                bytes,
                elements: PhantomData,
            }),
            Err(HandOverError { error, buffer }) => Err(HandOverError {
                error,
                buffer: Self {
                    bytes: buffer,
                    elements: PhantomData,
                },
            }),
        }
    }
}

impl<T: AnyBitPattern> Deref for TypedBuffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // Never panics, by the type's invariant.
        bytemuck::cast_slice(&self.bytes)
    }
}

impl<T: AnyBitPattern + NoUninit> DerefMut for TypedBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // Never panics, by the type's invariant.
        bytemuck::cast_slice_mut(&mut self.bytes)
    }
}

impl<T> fmt::Debug for TypedBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedBuffer").field(&self.bytes).finish()
    }
}

impl<T> TypedDeviceBuffer<T> {
    /// The buffer of bytes, for its addresses, its syncs and its view.
    #[must_use]
    pub fn as_bytes(&self) -> &DeviceBuffer {
        &self.bytes
    }

    /// As [`DeviceBuffer::view_mut`]: of the bytes.
    #[must_use]
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        self.bytes.view_mut()
    }

    /// The bytes of the elements, as a buffer of them.
    #[must_use]
    pub fn into_bytes(self) -> DeviceBuffer {
        self.bytes
    }

    /// How many elements there are.
    #[must_use]
    // A buffer is never empty: the driver refuses length 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.bytes.len() / size_of::<T>()
    }

    /// As [`DeviceBuffer::into_cpu`].
    ///
    /// # Safety
    ///
    /// * No device accesses the memory of the buffer any more.
    ///
    /// # Errors
    ///
    /// As [`DeviceBuffer::into_cpu`].
    pub unsafe fn into_cpu(self) -> Result<TypedBuffer<T>, HandOverError<Self>> {
        // SAFETY: The caller promises the same.
        match unsafe { self.bytes.into_cpu() } {
            Ok(bytes) => Ok(TypedBuffer {
                bytes,
                elements: PhantomData,
            }),
            Err(HandOverError { error, buffer }) => Err(HandOverError {
                error,
                buffer: Self {
                    bytes: buffer,
                    elements: PhantomData,
                },
            }),
        }
    }
}

impl<T: AnyBitPattern> TypedDeviceBuffer<T> {
    /// Reads the element at `index` while the device may be writing: through the CPU's caches, as
    /// [`View`](crate::View) says.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]: there is no such element; the range is in bytes.
    pub fn read(&self, index: usize) -> Result<T>
    where
        T: NoUninit,
    {
        let mut element = T::zeroed();
        let offset = index.saturating_mul(size_of::<T>());
        let bytes = bytemuck::bytes_of_mut(&mut element);
        self.bytes.view().read_at(offset, bytes)?;
        Ok(element)
    }
}

impl<T> fmt::Debug for TypedDeviceBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedDeviceBuffer")
            .field(&self.bytes)
            .finish()
    }
}

#[cfg(test)]
mod tests;
