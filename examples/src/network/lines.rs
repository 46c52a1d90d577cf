// SPDX-License-Identifier: MIT OR Apache-2.0

//! What layers do with buffers, as lines of a trace.

use super::{elements, Convolution, Layer, PARALLEL_OUTPUTS, PREDICTIONS, TAIL};
use std::fmt::Write as _;

/// A buffer of the trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer {
    id: u32,
    pub(super) bytes: usize,
}

/// The lines of a trace, as they are written.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) text: String,
    next: u32,
    /// Buffers that live to the end, and those among them that go first.
    live: Vec<Buffer>,
    first: Vec<Buffer>,
}

impl Lines {
    fn line(&mut self, what: char, buffer: Buffer, range: &str) {
        // A string has room for everything.
        let _ = writeln!(self.text, "{what} {}{range}", buffer.id);
    }

    /// A buffer that the caller frees.
    fn alloc(&mut self, bytes: usize) -> Buffer {
        let id = self.next;
        self.next += 1;
        let buffer = Buffer { id, bytes };
        self.line('A', buffer, &format!(" {bytes}"));
        buffer
    }

    fn free(&mut self, buffer: Buffer) {
        self.line('F', buffer, "");
    }

    fn flush(&mut self, buffer: Buffer) {
        self.line('C', buffer, &format!(" 0 {}", buffer.bytes));
    }

    fn invalidate(&mut self, buffer: Buffer) {
        self.line('I', buffer, &format!(" 0 {}", buffer.bytes));
    }

    /// A tensor that the caller frees, cleared as every new one is.
    fn temporary(&mut self, bytes: usize) -> Buffer {
        let buffer = self.alloc(bytes + TAIL);
        self.flush(buffer);
        buffer
    }

    /// A tensor that lives to the end.
    pub(super) fn tensor(&mut self, bytes: usize) -> Buffer {
        let buffer = self.temporary(bytes);
        self.live.push(buffer);
        buffer
    }

    /// A tensor that lives to the end, where it is among the first that go.
    fn prepared(&mut self, bytes: usize) -> Buffer {
        let buffer = self.temporary(bytes);
        self.first.push(buffer);
        buffer
    }

    /// Loads the parameters of a layer: the filter, and what belongs to each output.
    pub(super) fn load(&mut self, layer: &Layer) -> Vec<Buffer> {
        let Layer::Convolution(convolution) = layer else {
            return Vec::new();
        };
        let mut parameters = vec![self.temporary(convolution.filter(convolution.outputs))];
        let of_outputs = if convolution.normalized { 4 } else { 1 };
        for _ in 0..of_outputs {
            parameters.push(self.tensor(4 * convolution.outputs));
        }
        parameters
    }

    /// Prepares a layer and runs it, after which its filter is not needed as it was loaded.
    pub(super) fn first_run(&mut self, layer: &Convolution, parameters: &[Buffer]) {
        self.tensor(elements(layer.outputs, layer.side) * 2);
        let sums = [0; 2].map(|_| self.prepared(4 * layer.outputs));
        sums.iter().for_each(|sum| self.flush(*sum));
        for (parameter, sum) in parameters[1..].iter().zip(sums).rev() {
            self.invalidate(*parameter);
            self.flush(sum);
        }
        let mut rest = layer.outputs;
        while rest > 0 {
            let outputs = rest.min(layer.outputs_at_once());
            rest -= outputs;
            self.prepare(layer, outputs);
        }
        self.free(parameters[0]);
    }

    /// Brings so many outputs of a filter into the accelerator's format.
    fn prepare(&mut self, layer: &Convolution, outputs: usize) {
        let copy = self.temporary(layer.filter(outputs));
        self.flush(copy);
        let result = self.prepared(layer.filter(outputs));
        let mut formats = layer.formats(outputs).into_iter();
        let mut last = None;
        for bytes in &mut formats {
            let next = self.alloc(bytes);
            if let Some(last) = last.replace(next) {
                self.free(last);
            }
        }
        if let Some(last) = last {
            self.flush(last);
            self.flush(result);
            self.free(last);
        }
        self.flush(result);
        let sums = [0; 2].map(|_| self.temporary(4 * outputs));
        sums.iter().rev().for_each(|sum| self.flush(*sum));
        // Pairs, in half the bytes; those that do not fill the accelerator stay as they are.
        let whole = outputs % PARALLEL_OUTPUTS == 0;
        let pairs = self.prepared(if whole { 4 } else { 8 } * outputs);
        self.flush(pairs);
        sums.iter().rev().for_each(|sum| self.free(*sum));
        self.free(copy);
    }

    /// Converts the input to what the accelerator reads.
    pub(super) fn convert(&mut self, input: Buffer, picture: Buffer) {
        self.flush(input);
        let temporary = self.temporary(picture.bytes - TAIL);
        for _ in 0..3 {
            self.invalidate(temporary);
        }
        self.flush(picture);
        self.free(temporary);
    }

    /// Converts what a head predicts to what the CPU reads.
    pub(super) fn read_head(&mut self, side: usize) {
        let temporaries = [0; 2].map(|_| self.temporary(elements(PREDICTIONS, side) * 2));
        for temporary in temporaries {
            self.invalidate(temporary);
            self.free(temporary);
        }
    }

    /// Frees what is left.
    pub(super) fn end(&mut self) {
        for buffer in std::mem::take(&mut self.first) {
            self.free(buffer);
        }
        for buffer in std::mem::take(&mut self.live) {
            self.free(buffer);
        }
    }
}
