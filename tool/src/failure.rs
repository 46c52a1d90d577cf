// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a command could not do its work: what failed, the cause, and the way out.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

/// A command that could not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    cause: Option<Box<dyn Error>>,
    /// What to do about it; messages of the library say it themselves.
    way_out: Option<String>,
}

impl Failure {
    /// A failure without a cause but itself.
    pub(crate) fn new(what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            cause: None,
            way_out: Some(way_out.into()),
        }
    }

    /// The same with another error as its cause.
    pub(crate) fn because(self, cause: impl Into<Box<dyn Error>>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..self
        }
    }

    /// A file that could not be read.
    pub(crate) fn reading(path: &Path, error: io::Error, way_out: impl Into<String>) -> Self {
        Self::new(format!("cannot read {}", path.display()), way_out).because(error)
    }

    /// Whether the reader of the output has gone.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        let cause = self.cause.as_deref();
        let cause = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fpgamem: {}", self.what)?;
        let mut cause = self.cause.as_deref();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        match &self.way_out {
            Some(way_out) => write!(f, "\n  way out: {way_out}"),
            None => Ok(()),
        }
    }
}

/// The library's messages have their numbers and their way out.
impl From<fpgamem::Error> for Failure {
    fn from(error: fpgamem::Error) -> Self {
        let cause = error.source().map(|source| source.to_string().into());
        Self {
            what: error.to_string(),
            cause,
            way_out: None,
        }
    }
}

/// Output that could not be written.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new("cannot write the output", "look at where it goes to").because(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_why_and_the_way_out() {
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        let failure = Failure::reading(Path::new("/x"), error, "run it as root");
        assert_eq!(
            failure.to_string(),
            "fpgamem: cannot read /x: permission denied\n  way out: run it as root"
        );
    }

    #[test]
    fn keeps_the_causes_of_the_library() {
        let error = fpgamem::Device::open_path("/nonexistent").unwrap_err();
        let text = Failure::from(error).to_string();
        assert!(text.contains("modprobe fpgamem"), "{text}");
        assert!(text.ends_with("(os error 2)"), "{text}");
    }
}
