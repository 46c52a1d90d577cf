// SPDX-License-Identifier: MIT OR Apache-2.0

//! Numbers for people: sizes and addresses, written and read.

/// A size in the largest binary unit of which it is 1 or more, with up to one digit after the point.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut unit = 0;
    let mut scale = 1_u64;
    while unit + 1 < UNITS.len() && bytes / scale >= 1024 {
        scale *= 1024;
        unit += 1;
    }
    let (whole, tenth) = (bytes / scale, bytes % scale * 10 / scale);
    match tenth {
        0 => format!("{whole} {}", UNITS[unit]),
        _ => format!("{whole}.{tenth} {}", UNITS[unit]),
    }
}

/// Reads a number of bytes: decimal or 0x…, with K, M or G for the binary multiples.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let trimmed = lower.trim_end_matches('b').trim_end_matches('i');
    // A "b" is also a digit of a hexadecimal number.
    let number = if lower.starts_with("0x") {
        &lower
    } else {
        trimmed
    };
    let (digits, shift) = match number.as_bytes().last() {
        Some(b'k') => (&number[..number.len() - 1], 10),
        Some(b'm') => (&number[..number.len() - 1], 20),
        Some(b'g') => (&number[..number.len() - 1], 30),
        _ => (number, 0),
    };
    let value = parse_number(digits);
    let bytes = value.and_then(|value| value.checked_mul(1 << shift));
    bytes.ok_or_else(|| {
        format!("expected a number of bytes as 4096, 0x1000, 16K, 1M or 1G, found \"{text}\"")
    })
}

/// Reads an address or another number: decimal or 0x….
pub(crate) fn parse_address(text: &str) -> Result<u64, String> {
    parse_number(&text.trim().to_ascii_lowercase())
        .ok_or_else(|| format!("expected a number as 4096 or 0x40000000, found \"{text}\""))
}

fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(16384), "16 KiB");
        assert_eq!(size(1_600_000), "1.5 MiB");
        assert_eq!(size(1 << 30), "1 GiB");
        assert_eq!(size(u64::MAX), "17179869183.9 GiB");
    }

    #[test]
    fn sizes_are_read_in_every_form() {
        for (text, bytes) in [
            ("4096", 4096),
            ("0x1000", 4096),
            ("0xb", 11),
            ("16K", 16384),
            ("16kib", 16384),
            ("2MiB", 2 << 20),
            ("1G", 1 << 30),
            (" 1m ", 1 << 20),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_told() {
        for text in ["", "K", "-1", "1.5M", "99999999999G", "12q", "0x"] {
            let error = parse_size(text).unwrap_err();
            assert!(error.contains(&format!("found \"{text}\"")), "{error}");
        }
    }

    #[test]
    fn addresses_are_decimal_or_hexadecimal() {
        assert_eq!(parse_address("0x4000_0000").ok(), None);
        assert_eq!(parse_address("0x40000000"), Ok(1 << 30));
        assert_eq!(parse_address("7"), Ok(7));
    }
}
