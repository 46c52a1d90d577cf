// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers of elements on an emulated device.

use super::*;

fn device() -> Device {
    let options = Device::emulated().region_bytes(1 << 20);
    options.open().unwrap()
}

fn take_back<T>(buffer: TypedDeviceBuffer<T>) -> TypedBuffer<T> {
    // SAFETY: No device runs.
    unsafe { buffer.into_cpu() }.unwrap()
}

#[test]
fn elements_start_as_zeroes_and_keep_what_they_are_given() {
    let mut numbers = device().alloc_elements::<u32>(3).unwrap();
    assert_eq!(numbers[..], [0; 3]);
    numbers.copy_from_slice(&[1, 2, 0x0403_0201]);
    assert_eq!(numbers.as_bytes().len(), 12);
    let bytes = numbers.into_bytes();
    assert_eq!(bytes[8..], 0x0403_0201_u32.to_ne_bytes());
    assert_eq!(bytes.typed::<u16>().unwrap().len(), 6);
}

#[test]
fn elements_change_hands() {
    let mut numbers = device().alloc_elements::<f32>(100).unwrap();
    numbers[99] = 0.5;
    let mut numbers = numbers.into_device(Direction::Bidirectional).unwrap();
    assert_eq!(numbers.len(), 100);
    let seven = 7_f32.to_ne_bytes();
    numbers.view_mut().write_at(4, &seven).unwrap();
    assert_eq!(numbers.read(1).unwrap(), 7.0);
    assert_eq!(numbers.read(99).unwrap(), 0.5);
    let error = numbers.read(100).unwrap_err();
    assert!(matches!(
        error,
        Error::OutOfRange {
            start: 400,
            end: 404,
            len: 400
        }
    ));
    assert_eq!(take_back(numbers)[99], 0.5);
}

#[test]
fn syncs_are_of_the_lines_of_the_elements() {
    let device = device();
    let mut numbers = device.alloc_elements::<u32>(100).unwrap();
    numbers.sync_for_device(15..17).unwrap();
    numbers.sync_for_cpu(32..).unwrap();
    let counts = device.emulator().unwrap().counts();
    assert_eq!((counts.cleaned, counts.invalidated), (2, 5));
    let error = numbers.sync_for_cpu(99..101).unwrap_err();
    assert!(matches!(
        error,
        Error::OutOfRange {
            start: 99,
            end: 101,
            len: 100
        }
    ));
}

#[test]
fn bytes_that_are_no_whole_elements_come_back() {
    let bytes = device().alloc(7).unwrap();
    let failed = bytes.typed::<u32>().unwrap_err();
    assert!(matches!(
        failed.error,
        Error::InvalidElements {
            len: 7,
            size: 4,
            align: 4
        }
    ));
    assert_eq!(failed.buffer.len(), 7);
    let failed = failed.buffer.typed::<()>().unwrap_err();
    assert!(matches!(
        failed.error,
        Error::InvalidElements { size: 0, .. }
    ));
}

#[derive(Clone, Copy)]
#[repr(C, align(256))]
struct Wide([u8; 256]);

// SAFETY: Every byte is a value of its own, and so is 0.
unsafe impl bytemuck::Zeroable for Wide {}
// SAFETY: As above.
unsafe impl AnyBitPattern for Wide {}

#[test]
fn elements_are_aligned_or_come_back() {
    let (_, high) = device().alloc(1024).unwrap().split_at(256).unwrap();
    let wide = high.typed::<Wide>().unwrap();
    assert_eq!((wide.len(), wide[2].0[255]), (3, 0));
    let (_, high) = device().alloc(1024).unwrap().split_at(64).unwrap();
    let (high, _) = high.split_at(512).unwrap();
    let failed = high.typed::<Wide>().unwrap_err();
    assert!(matches!(
        failed.error,
        Error::InvalidElements {
            len: 512,
            size: 256,
            align: 256
        }
    ));
}

#[test]
fn a_number_of_elements_that_is_no_number_of_bytes_is_refused() {
    let error = device().alloc_elements::<u64>(usize::MAX).unwrap_err();
    assert!(matches!(error, Error::InvalidLength { .. }));
}
