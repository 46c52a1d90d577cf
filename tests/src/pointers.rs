// SPDX-License-Identifier: MIT OR Apache-2.0

//! Looking for addresses of the kernel in what it gives away.

use std::fs;
use std::path::Path;

/// Whether a word is an address of the kernel: the upper half of a 48-bit address space.
pub fn is_pointer(word: u64) -> bool {
    word >> 48 == 0xffff
}

/// The first number in `text`, in hexadecimal and with all its digits, that is an address of the
/// kernel.
pub fn in_text(text: &str) -> Option<u64> {
    text.split(|c: char| !c.is_ascii_hexdigit())
        .filter(|digits| digits.len() == 16)
        .filter_map(|digits| u64::from_str_radix(digits, 16).ok())
        .find(|&word| is_pointer(word))
}

/// The offset of the first word in `bytes` that is an address of the kernel, aligned to four bytes.
pub fn in_bytes(bytes: &[u8]) -> Option<usize> {
    let words = bytes.windows(8).step_by(4);
    words
        .map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes")))
        .position(is_pointer)
        .map(|word| 4 * word)
}

/// Searches `path`, or every file below it, as far as this process may read; links are not followed.
/// Returns how many files were read.
///
/// # Panics
///
/// Where an address of the kernel stands.
pub fn search(path: &Path) -> usize {
    let Ok(kind) = fs::symlink_metadata(path) else {
        return 0;
    };
    if kind.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        return entries.map(|entry| search(&entry.path())).sum();
    }
    // Some files cannot be read although their mode says so.
    let Some(bytes) = kind.is_file().then(|| fs::read(path).ok()).flatten() else {
        return 0;
    };
    if let Some(word) = in_text(&String::from_utf8_lossy(&bytes)) {
        panic!("{} has {word:#x}", path.display());
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_kernel_are_found_in_text() {
        assert_eq!(
            in_text("ffff80007b4c1000 t probe"),
            Some(0xffff_8000_7b4c_1000)
        );
        assert_eq!(
            in_text("at 0xffff000012345678,"),
            Some(0xffff_0000_1234_5678)
        );
        let others = "ffff 00000000f5d6a1b2 0x40000000 0000ffff12345678 ffff8000 ffff";
        assert_eq!(in_text(others), None);
    }

    #[test]
    fn addresses_of_the_kernel_are_found_in_bytes() {
        let mut bytes = [0; 32];
        bytes[12..20].copy_from_slice(&0xffff_8000_1234_5678_u64.to_ne_bytes());
        assert_eq!(in_bytes(&bytes), Some(12));
        assert_eq!(in_bytes(&[0x7f; 32]), None);
    }

    #[test]
    #[should_panic(expected = "/proc/kallsyms has 0xffff")]
    fn what_shows_addresses_to_root_is_found() {
        search(Path::new("/proc/kallsyms"));
    }
}
