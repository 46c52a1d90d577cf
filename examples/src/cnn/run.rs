// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a network on the accelerator, layer by layer, and compares each with the reference.
//!
//! The reference gets what the CPU sees of a layer's input, so a mistake shows in the layer where it is
//! made and not in all that follow.

use super::{reference, Network, Operation, Shape, Weights};
use crate::accel::{Accel, AccelError, Traffic};
use fpgamem::{Buffer, Device, DeviceBuffer, Direction};

/// Bytes of a cache line where the driver does not know: those of ZynqMP's processors.
const USUAL_LINE_BYTES: usize = 64;

/// Why a network could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A buffer could not be had, handed over or taken back.
    #[error("layer {layer}")]
    Buffer {
        /// Which layer, from 1 on.
        layer: usize,
        /// Why.
        source: fpgamem::Error,
    },

    /// The accelerator could not do its part.
    #[error("layer {layer}")]
    Accel {
        /// Which layer, from 1 on.
        layer: usize,
        /// Why.
        source: AccelError,
    },

    /// A hand-over is to be left out that there is not.
    #[error("layer {layer} hands nothing over to the accelerator; layers that do are {layers:?}")]
    NoHandOver {
        /// Which layer, from 1 on.
        layer: usize,
        /// The layers that the accelerator computes.
        layers: Vec<usize>,
    },
}

/// How one layer went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the layer does.
    pub name: &'static str,
    /// What it puts out.
    pub output: Shape,
    /// What the accelerator did for it; `None` where the CPU computed it.
    pub device: Option<DevicePart>,
}

/// What the accelerator did for a layer.
#[derive(Clone, Debug)]
pub struct DevicePart {
    /// Bytes that it moved, by its own counters.
    pub traffic: Traffic,
    /// Cache lines that were maintained for the tensors, before and after.
    pub synced_lines: usize,
    /// How its output differs from the reference, if it does.
    pub difference: Option<Difference>,
}

/// How a tensor differs from another of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Values that differ.
    pub count: usize,
    /// Index of the first one.
    pub first: usize,
    /// What it is.
    pub found: i8,
    /// What it should be.
    pub expected: i8,
}

/// Compares two tensors.
#[must_use]
pub fn difference(found: &[i8], expected: &[i8]) -> Option<Difference> {
    let pairs = || found.iter().zip(expected).enumerate();
    let (first, (found, expected)) = pairs().find(|(_, (found, expected))| found != expected)?;
    let count = pairs()
        .filter(|(_, (found, expected))| found != expected)
        .count();
    Some(Difference {
        count,
        first,
        found: *found,
        expected: *expected,
    })
}

/// A run: every layer's outcome, and what the last one put out.
#[derive(Clone, Debug)]
pub struct Run {
    /// In the order of the network.
    pub layers: Vec<Outcome>,
    /// The network's output.
    pub output: Vec<i8>,
}

impl Run {
    /// Whether every layer that the accelerator computed equals the reference.
    #[must_use]
    pub fn is_right(&self) -> bool {
        let parts = self.layers.iter().filter_map(|layer| layer.device.as_ref());
        parts.into_iter().all(|part| part.difference.is_none())
    }
}

/// Runs a network.
///
/// The input of layer `late`, counted from 1, is handed over before the CPU stores it: a mistake, for
/// which the accelerator may see old bytes.
///
/// # Errors
///
/// The layer at which something failed, and what.
pub fn run(
    device: &Device,
    accel: &mut Accel,
    network: &Network,
    input: &[i8],
    late: Option<usize>,
) -> Result<Run, RunError> {
    check_late(network, late)?;
    let setup = |source| RunError::Buffer { layer: 1, source };
    let info = device.info().map_err(setup)?;
    let line_bytes = info
        .cache_line_bytes
        .and_then(|bytes| usize::try_from(bytes).ok());
    let line_bytes = line_bytes.unwrap_or(USUAL_LINE_BYTES);
    let mut shape = network.input;
    let mut tensor = filled(device, input).map_err(setup)?;
    let mut layers = Vec::with_capacity(network.layers.len());
    for (layer, number) in network.layers.iter().zip(1..) {
        let output = layer.output(shape);
        let expected = reference::layer(layer, shape, &values(&tensor));
        let part =
            if let (Some(weights), Some(operation)) = (layer.weights(), layer.operation(shape)) {
                let mut stage = Stage {
                    device,
                    accel,
                    number,
                    line_bytes,
                    synced_lines: 0,
                };
                let input = stage.hand_over_input(tensor, late == Some(number))?;
                let traffic;
                (tensor, traffic) = stage.compute(&operation, weights, input, output.values())?;
                let synced_lines = stage.synced_lines;
                let difference = difference(&values(&tensor), &expected);
                Some(DevicePart {
                    traffic,
                    synced_lines,
                    difference,
                })
            } else {
                let failed = |source| RunError::Buffer {
                    layer: number,
                    source,
                };
                tensor = filled(device, &expected).map_err(failed)?;
                None
            };
        layers.push(Outcome {
            name: layer.name(),
            output,
            device: part,
        });
        shape = output;
    }
    Ok(Run {
        layers,
        output: values(&tensor),
    })
}

fn check_late(network: &Network, late: Option<usize>) -> Result<(), RunError> {
    let numbered = network.layers.iter().zip(1..);
    let computed = numbered.filter(|(layer, _)| layer.weights().is_some());
    let layers: Vec<usize> = computed.map(|(_, number)| number).collect();
    match late {
        Some(layer) if !layers.contains(&layer) => Err(RunError::NoHandOver { layer, layers }),
        _ => Ok(()),
    }
}

/// What a layer is computed with.
struct Stage<'a> {
    device: &'a Device,
    accel: &'a mut Accel,
    /// The layer, from 1 on.
    number: usize,
    /// Bytes of a cache line.
    line_bytes: usize,
    synced_lines: usize,
}

impl Stage<'_> {
    fn buffer_error(&self, source: impl Into<fpgamem::Error>) -> RunError {
        RunError::Buffer {
            layer: self.number,
            source: source.into(),
        }
    }

    fn hand_over(
        &mut self,
        buffer: Buffer,
        direction: Direction,
    ) -> Result<DeviceBuffer, RunError> {
        self.count_lines(&buffer);
        buffer
            .into_device(direction)
            .map_err(|failed| self.buffer_error(failed))
    }

    /// Hands a layer's input over; where `late`, before it is stored.
    fn hand_over_input(&mut self, tensor: Buffer, late: bool) -> Result<DeviceBuffer, RunError> {
        if !late {
            return self.hand_over(tensor, Direction::ToDevice);
        }
        let empty = self
            .device
            .alloc(tensor.len())
            .map_err(|e| self.buffer_error(e))?;
        let mut input = self.hand_over(empty, Direction::ToDevice)?;
        input
            .view_mut()
            .write_at(0, &tensor)
            .map_err(|e| self.buffer_error(e))?;
        Ok(input)
    }

    /// Has the accelerator compute a layer that puts out `values` values; gives them, taken back.
    fn compute(
        &mut self,
        operation: &Operation,
        weights: &Weights,
        input: DeviceBuffer,
        values: usize,
    ) -> Result<(Buffer, Traffic), RunError> {
        let factors = self.constant(weights.weights.iter().map(|weight| weight.to_le_bytes()))?;
        let bias = self.constant(weights.bias.iter().map(|bias| bias.to_le_bytes()))?;
        let output = self
            .device
            .alloc(values)
            .map_err(|e| self.buffer_error(e))?;
        let output = self.hand_over(output, Direction::FromDevice)?;
        let accel = &mut *self.accel;
        let done = match operation {
            Operation::Conv3x3(conv) => accel.conv3x3(conv, &input, &factors, &bias, &output),
            Operation::MatMul(product) => accel.matmul(product, &input, &factors, &bias, &output),
        };
        let traffic = done.map_err(|source| RunError::Accel {
            layer: self.number,
            source,
        })?;
        let read = vec![input, factors, bias];
        // SAFETY: The accelerator is the only device that was told of these buffers, and it has
        // finished with them, as `Ok` says.
        unsafe { self.device.take_back_all(read) }.map_err(|e| self.buffer_error(e))?;
        // SAFETY: As above.
        let output = unsafe { output.into_cpu() }.map_err(|e| self.buffer_error(e))?;
        self.count_lines(&output);
        Ok((output, traffic))
    }

    /// A buffer with numbers that the accelerator only reads.
    fn constant<const N: usize>(
        &mut self,
        numbers: impl Iterator<Item = [u8; N]>,
    ) -> Result<DeviceBuffer, RunError> {
        let bytes: Vec<u8> = numbers.flatten().collect();
        let mut buffer = self
            .device
            .alloc(bytes.len())
            .map_err(|e| self.buffer_error(e))?;
        buffer.copy_from_slice(&bytes);
        self.hand_over(buffer, Direction::ToDevice)
    }

    fn count_lines(&mut self, buffer: &Buffer) {
        if !buffer.is_coherent() {
            self.synced_lines += buffer.len().div_ceil(self.line_bytes);
        }
    }
}

fn filled(device: &Device, values: &[i8]) -> Result<Buffer, fpgamem::Error> {
    let mut buffer = device.alloc(values.len())?;
    for (byte, value) in buffer.iter_mut().zip(values) {
        *byte = *value as u8;
    }
    Ok(buffer)
}

fn values(buffer: &[u8]) -> Vec<i8> {
    buffer.iter().map(|byte| *byte as i8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cnn::Layer;

    #[test]
    fn only_what_the_accelerator_computes_can_be_handed_over_late() {
        let weights = Weights {
            outputs: 1,
            shift: 0,
            bias: vec![0],
            weights: vec![0; 9],
        };
        let network = Network {
            input: Shape {
                height: 2,
                width: 2,
                channels: 1,
            },
            layers: vec![
                Layer::Conv(weights.clone()),
                Layer::MaxPool,
                Layer::Dense(weights),
            ],
        };
        for late in [None, Some(1), Some(3)] {
            assert!(check_late(&network, late).is_ok());
        }
        for late in [0, 2, 4] {
            let error = check_late(&network, Some(late)).unwrap_err();
            let expected = format!(
                "layer {late} hands nothing over to the accelerator; layers that do are [1, 3]"
            );
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn equal_tensors_do_not_differ() {
        assert_eq!(difference(&[1, -2], &[1, -2]), None);
    }

    #[test]
    fn a_difference_is_counted_and_its_first_value_shown() {
        let expected = Difference {
            count: 2,
            first: 1,
            found: 9,
            expected: -2,
        };
        assert_eq!(difference(&[1, 9, 3, -128], &[1, -2, 3, 4]), Some(expected));
    }
}
