// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the examples share: bus masters to hand buffers to, traces of what an inference engine asks of
//! the allocator, and a neural network.

#![deny(unsafe_code)]

// Where the driver says that the accelerator has stopped.
#[allow(unsafe_code)]
pub mod accel;
pub mod cnn;
pub mod footprint;
// Where the driver says that the kernel has finished.
#[allow(unsafe_code)]
pub mod hls;
pub mod network;
// Commands of Paddle's clients, and slices of their tensors.
#[allow(unsafe_code)]
pub mod paddle;
pub mod pattern;
pub mod placement;
// Where the program says that the ZDMA has finished.
#[allow(unsafe_code)]
pub mod replay;
// Where the program says that the ZDMA has finished.
#[allow(unsafe_code)]
pub mod stream;
pub mod trace;
// The promise about the bus masters.
#[allow(unsafe_code)]
pub mod uio;
pub mod zdma;

use std::error::Error;
use std::process::ExitCode;

/// The exit code of a program that verifies something: 0 where it is right, 1 where it is not, 2 where
/// the program failed, whose error it prints with all causes.
pub fn exit_code(program: &str, result: Result<bool, Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{program}: {}", with_causes(error.as_ref()));
            ExitCode::from(2)
        }
    }
}

/// The message of an error followed by those of its causes.
fn with_causes(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message += &format!(": {error}");
        cause = error.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_followed_by_its_causes() {
        let source = fpgamem::Device::open_path("/nonexistent").unwrap_err();
        let error = replay::ReplayError {
            trace: "x.trace".into(),
            line: 3,
            operation: "flush",
            id: 7,
            source: source.into(),
        };
        let message = with_causes(&error);
        assert!(
            message.starts_with("x.trace:3: flush of buffer 7 failed: cannot open /nonexistent")
        );
        assert!(message.ends_with("(os error 2)"));
    }
}
