// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a small convolutional network on the accelerator, layer by layer, and compares every layer
//! with a reference on the CPU.
//!
//! Exits with 0 where all layers are right, 1 where one is not, 2 where something failed.

use clap::Parser;
use fpgamem::Device;
use fpgamem_examples::accel::Accel;
use fpgamem_examples::cnn::picture::Picture;
use fpgamem_examples::cnn::run::{run, Outcome, Run};
use fpgamem_examples::cnn::{reference, Network};
use fpgamem_examples::exit_code;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Run a convolutional network on the accelerator, comparing every layer with the CPU.
///
/// Every tensor is a buffer, handed over to the accelerator and taken back, layer by layer. A table
/// says what each layer moved, by the accelerator's own counters, and whether its output equals that
/// of a reference on the CPU, byte for byte.
///
/// Exits with 0 if every layer is right, 1 if one is not, 2 if something failed.
#[derive(Parser)]
struct Arguments {
    /// The picture, in one of Netpbm's binary formats P5 and P6, of the size that the network takes
    image: PathBuf,
    /// The network, as make-cnn writes it
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Hand the input of layer LAYER over before the CPU stores it, and not again: on a board, and
    /// under the cache model, the layer must come out wrong
    #[arg(long, value_name = "LAYER")]
    skip_sync: Option<usize>,
    /// Sleep until the accelerator's interrupt comes, instead of polling
    #[arg(long)]
    interrupt: bool,
    /// Print the outcome as one line of JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    exit_code("cnn", start(&Arguments::parse()))
}

/// Says whether every layer is right.
fn start(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let network = read(&arguments.weights, Network::parse)?;
    let picture = read(&arguments.image, Picture::parse)?;
    let input = network.input(&picture)?;
    let device = Device::open()?;
    let mut accel = Accel::open(&device)?;
    if arguments.interrupt {
        accel.use_interrupt();
    }
    let run = run(&device, &mut accel, &network, &input, arguments.skip_sync)?;
    if arguments.json {
        println!("{}", json(&run));
    } else {
        println!(
            "{} on the accelerator, {} layers of {}",
            arguments.image.display(),
            run.layers.len(),
            arguments.weights.display()
        );
        print!("{}", table(&run));
    }
    Ok(run.is_right())
}

/// Reads a file and understands it.
fn read<T, E: Error>(
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
) -> Result<T, Box<dyn Error>> {
    let failed = |e: &dyn Error| format!("{}: {e}", path.display());
    let bytes = std::fs::read(path).map_err(|e| failed(&e))?;
    Ok(parse(&bytes).map_err(|e| failed(&e))?)
}

/// What a person reads.
fn table(run: &Run) -> String {
    let mut text = format!(
        "{:>5}  {:<22}  {:<9}  {:>10}  {:>13}  {:>12}  matches\n",
        "layer", "operation", "output", "bytes read", "bytes written", "lines synced"
    );
    let mut remarks = String::new();
    for (layer, number) in run.layers.iter().zip(1..) {
        let Outcome {
            name,
            output,
            device,
        } = layer;
        let Some(part) = device else {
            text += &format!("{number:>5}  {name:<22}  {output:<9}  on the CPU\n");
            continue;
        };
        let right = if part.difference.is_some() {
            "NO"
        } else {
            "yes"
        };
        text += &format!(
            "{number:>5}  {name:<22}  {output:<9}  {:>10}  {:>13}  {:>12}  {right}\n",
            part.traffic.read, part.traffic.written, part.synced_lines
        );
        if let Some(difference) = part.difference {
            remarks += &format!(
                "MISMATCH  layer {number} differs from the reference in {} of {} bytes, first in \
                 byte {}: {} instead of {}\n",
                difference.count,
                output.values(),
                difference.first,
                difference.found,
                difference.expected
            );
        }
    }
    let class = reference::argmax(&run.output);
    let scores: Vec<_> = run.output.iter().map(i8::to_string).collect();
    text + &remarks + &format!("class {class}, by the scores {}\n", scores.join(" "))
}

/// What a program reads.
fn json(run: &Run) -> String {
    let layers = run.layers.iter().map(|layer| {
        let Outcome {
            name,
            output,
            device,
        } = layer;
        let shape = [output.height, output.width, output.channels];
        let part = device.as_ref().map_or_else(String::new, |part| {
            format!(
                ",\"bytes_read\":{},\"bytes_written\":{},\"lines_synced\":{},\"bytes_wrong\":{}",
                part.traffic.read,
                part.traffic.written,
                part.synced_lines,
                part.difference.map_or(0, |difference| difference.count)
            )
        });
        format!("{{\"operation\":\"{name}\",\"output\":{shape:?}{part}}}")
    });
    format!(
        "{{\"layers\":[{}],\"scores\":{:?},\"class\":{},\"right\":{}}}",
        layers.collect::<Vec<_>>().join(","),
        run.output,
        reference::argmax(&run.output),
        run.is_right()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use fpgamem_examples::accel::Traffic;
    use fpgamem_examples::cnn::run::{DevicePart, Difference};
    use fpgamem_examples::cnn::Shape;

    fn layers(difference: Option<Difference>) -> Run {
        let part = DevicePart {
            traffic: Traffic {
                read: 12600,
                written: 32772,
            },
            synced_lines: 1221,
            difference,
        };
        let layer = |name, height, device| Outcome {
            name,
            output: Shape {
                height,
                width: 64,
                channels: 8,
            },
            device,
        };
        Run {
            layers: vec![layer("conv", 32, Some(part)), layer("pool", 16, None)],
            output: vec![-5, 9, 9],
        }
    }

    const WRONG: Difference = Difference {
        count: 3,
        first: 70,
        found: -1,
        expected: 4,
    };

    #[test]
    fn a_right_run_is_a_table_and_the_class() {
        let expected = "\
layer  operation               output     bytes read  bytes written  lines synced  matches
    1  conv                    32x64x8         12600          32772          1221  yes
    2  pool                    16x64x8    on the CPU
class 1, by the scores -5 9 9
";
        assert_eq!(table(&layers(None)), expected);
    }

    #[test]
    fn a_wrong_layer_is_marked_and_explained() {
        let text = table(&layers(Some(WRONG)));
        assert!(text.contains("  1221  NO\n"));
        let remark = "MISMATCH  layer 1 differs from the reference in 3 of 16384 bytes, first in \
                      byte 70: -1 instead of 4\n";
        assert!(text.contains(remark), "{text}");
    }

    #[test]
    fn json_says_the_same() {
        let expected = concat!(
            r#"{"layers":[{"operation":"conv","output":[32, 64, 8],"bytes_read":12600,"#,
            r#""bytes_written":32772,"lines_synced":1221,"bytes_wrong":3},"#,
            r#"{"operation":"pool","output":[16, 64, 8]}],"#,
            r#""scores":[-5, 9, 9],"class":1,"right":false}"#
        );
        assert_eq!(json(&layers(Some(WRONG))), expected);
        assert!(json(&layers(None)).ends_with(r#""right":true}"#));
    }

    #[test]
    fn a_file_that_is_not_understood_is_named() {
        let error = read(Path::new("/dev/null"), Picture::parse).unwrap_err();
        assert!(error
            .to_string()
            .starts_with("/dev/null: the file begins with"));
    }
}
