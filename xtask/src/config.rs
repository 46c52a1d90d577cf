// SPDX-License-Identifier: MIT OR Apache-2.0

//! Kernel configuration fragments: layering them, and checking that each line took.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{bail, Context, Result};

/// Values by symbol, `CONFIG_` included; `n` stands for "is not set".
pub(crate) type Values = BTreeMap<String, String>;

/// Reads `DIR/NAME.config` over the fragment that its `# base: NAME` line names, if any.
pub(crate) fn named(dir: &Path, name: &str) -> Result<Values> {
    let mut chain = Vec::new();
    let mut next = Some(name.to_owned());
    while let Some(name) = next {
        let path = dir.join(format!("{name}.config"));
        let text = fs::read_to_string(&path).with_context(|| {
            format!(
                "there is no kernel {name:?}: cannot read {}",
                path.display()
            )
        })?;
        if chain.len() > 8 {
            bail!("the base lines of the kernel configurations run in a circle at {name:?}");
        }
        next = text
            .lines()
            .find_map(|l| l.strip_prefix("# base:"))
            .map(|b| b.trim().to_owned());
        chain.push(text);
    }
    let mut values = Values::new();
    for text in chain.iter().rev() {
        layer(&mut values, text)?;
    }
    Ok(values)
}

/// Sets what a fragment says over what is there.
///
/// # Errors
///
/// On a line that is neither a setting nor a comment.
pub(crate) fn layer(values: &mut Values, text: &str) -> Result<()> {
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let unset = line
            .strip_prefix("# ")
            .and_then(|l| l.strip_suffix(" is not set"));
        if let Some(symbol) = unset {
            values.insert(symbol.to_owned(), "n".to_owned());
        } else if line.is_empty() || line.starts_with('#') {
            continue;
        } else if let Some((symbol, value)) = line.split_once('=') {
            values.insert(symbol.to_owned(), value.to_owned());
        } else {
            bail!("line {} is no kernel configuration: {line:?}", number + 1);
        }
    }
    Ok(())
}

/// The fragment as text, one line per symbol, in a fixed order.
pub(crate) fn render(values: &Values) -> String {
    values
        .iter()
        .map(|(symbol, value)| match value.as_str() {
            "n" => format!("# {symbol} is not set\n"),
            _ => format!("{symbol}={value}\n"),
        })
        .collect()
}

/// Lines of the fragment that the finished `.config` does not hold.
pub(crate) fn not_taken(wanted: &Values, config: &str) -> Result<Vec<String>> {
    let mut got = Values::new();
    layer(&mut got, config)?;
    let value_in = |symbol: &String| got.get(symbol).map_or("n", String::as_str);
    Ok(wanted
        .iter()
        .filter(|(symbol, value)| value_in(symbol) != value.as_str())
        .map(|(symbol, value)| format!("{symbol}={value} (is {})", value_in(symbol)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Values {
        let mut values = Values::new();
        layer(&mut values, text).unwrap();
        values
    }

    #[test]
    fn a_later_fragment_overrides_an_earlier_one() {
        let mut all = values("CONFIG_A=y\nCONFIG_B=\"text\"\n");
        layer(&mut all, "# why\n# CONFIG_A is not set\n").unwrap();
        assert_eq!(render(&all), "# CONFIG_A is not set\nCONFIG_B=\"text\"\n");
    }

    #[test]
    fn a_line_without_a_value_is_an_error() {
        assert!(layer(&mut Values::new(), "CONFIG_A\n").is_err());
    }

    #[test]
    fn reports_a_symbol_that_was_dropped_and_one_that_changed() {
        let wanted = values("CONFIG_A=y\nCONFIG_B=m\nCONFIG_C=4\n# CONFIG_D is not set\n");
        let missing = not_taken(&wanted, "CONFIG_B=y\nCONFIG_C=4\n").unwrap();
        assert_eq!(missing, ["CONFIG_A=y (is n)", "CONFIG_B=m (is y)"]);
    }
}
