// SPDX-License-Identifier: MIT OR Apache-2.0

//! Copies of ranges, and the widths of accesses.

use super::*;

/// 32 bytes, aligned to 8, and views of them.
#[derive(Clone)]
struct Memory([u64; 4]);

impl Memory {
    fn counting() -> Self {
        let mut memory = Self([0; 4]);
        let mut view = memory.view_mut();
        for offset in 0..32_u8 {
            view.write_at(offset.into(), &[offset]).unwrap();
        }
        memory
    }

    fn view(&self) -> View<'_> {
        View {
            start: self.0.as_ptr().cast(),
            len: 32,
            buffer: None,
        }
    }

    fn view_mut(&mut self) -> ViewMut<'_> {
        ViewMut {
            start: self.0.as_mut_ptr().cast(),
            len: 32,
            buffer: None,
            _exclusive: PhantomData,
        }
    }
}

#[test]
fn reads_every_range_as_it_is() {
    let memory = Memory::counting();
    for start in 0..32_u8 {
        for end in start..=32 {
            let mut bytes = vec![0xff; (end - start).into()];
            memory.view().read_at(start.into(), &mut bytes).unwrap();
            assert_eq!(bytes, (start..end).collect::<Vec<_>>());
        }
    }
}

#[test]
fn writes_every_range_and_nothing_beside_it() {
    for start in 0..32_usize {
        for end in start..=32 {
            let mut memory = Memory::counting();
            memory
                .view_mut()
                .write_at(start, &vec![0xee; end - start])
                .unwrap();
            let mut bytes = [0; 32];
            memory.view().read_at(0, &mut bytes).unwrap();
            for (offset, byte) in (0..32_u8).zip(bytes) {
                let inside = (start..end).contains(&offset.into());
                assert_eq!(byte, if inside { 0xee } else { offset });
            }
        }
    }
}

#[test]
fn refuses_a_range_that_leaves_the_buffer() {
    let mut memory = Memory::counting();
    let error = memory.view().read_at(28, &mut [0; 5]).unwrap_err();
    assert!(matches!(
        error,
        Error::OutOfRange {
            start: 28,
            end: 33,
            len: 32
        }
    ));
    let error = memory.view_mut().write_at(33, &[]).unwrap_err();
    assert!(matches!(
        error,
        Error::OutOfRange {
            start: 33,
            end: 33,
            len: 32
        }
    ));
}

#[test]
fn refuses_a_range_whose_end_is_no_number() {
    let memory = Memory::counting();
    let error = memory.view().read_at(usize::MAX, &mut [0; 2]).unwrap_err();
    assert!(matches!(
        error,
        Error::OutOfRange {
            end: usize::MAX,
            ..
        }
    ));
}

#[test]
fn an_aligned_word_is_one_access() {
    assert_eq!(access_width(0x1004, 4), 4);
    assert_eq!(access_width(0x1002, 2), 2);
    assert_eq!(access_width(0x1008, 8), 8);
}

#[test]
fn an_access_is_never_wider_than_alignment_and_range() {
    assert_eq!(access_width(0x1004, 100), 4);
    assert_eq!(access_width(0x1000, 3), 2);
    assert_eq!(access_width(0x1001, 8), 1);
}
