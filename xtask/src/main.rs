// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds, boots and tests fpgamem: the one front door of the project.

#![forbid(unsafe_code)]

mod apt;
mod bench;
mod board;
mod cache;
mod cache_model;
mod capi;
mod compat;
mod config;
mod console;
mod context;
mod coverage;
mod debian_rust;
mod demo;
mod deny;
mod driver;
mod dt;
mod files;
mod fuzz;
mod guest;
mod guest_tests;
mod image;
mod initramfs;
mod kernel;
mod library;
mod libtest;
mod lint;
mod mistakes;
mod mutate;
mod paddle;
mod petalinux;
mod plugins;
mod process;
mod programs;
mod python;
mod qemu;
mod recipe;
mod serial;
mod setup;
mod situations;
mod source;
mod sources;
mod test;
mod toolchain;
mod tree_copy;
mod u_dma_buf;
mod ui;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::context::Context;
use crate::kernel::KernelArgs;

/// Builds, boots and tests fpgamem.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what the machine lacks; every other command does it too
    Setup,
    /// Build the kernel of the test bed
    Kernel(KernelArgs),
    /// Build the kernel module
    Driver(KernelArgs),
    /// Boot the emulated board, run COMMAND in it and exit with its status
    Guest(guest::GuestArgs),
    /// Build all, boot the board, and show buffers handed to a bus master and back
    Demo(KernelArgs),
    /// Show that the cache model finds seeded mistakes, and reports nothing else
    Mistakes(mistakes::MistakesArgs),
    /// Compare random sequences of the driver's whole ABI with a model
    Fuzz(fuzz::FuzzArgs),
    /// Show that the guest's tests notice what mutants of the driver do wrong
    Mutate(mutate::MutateArgs),
    /// Run the memory calls of a checkout of Paddle-Lite on the driver
    Paddle(paddle::PaddleArgs),
    /// Run the library on the u-dma-buf module of a checkout of yours
    UDmaBuf(u_dma_buf::UDmaBufArgs),
    /// Run everything that must pass
    Test(test::TestArgs),
    /// Put an image's file system together by the Yocto recipes
    Image(image::ImageArgs),
    /// Write the list of crates of the Yocto recipes from Cargo.lock
    Crates,
    /// Measure in guest instructions
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A status that a command in the guest may have must not stand for a failed build.
    let failure = match cli.command {
        Command::Guest(_) | Command::Paddle(_) => guest::HARNESS_FAILED,
        _ => 1,
    };
    let status = run(&cli.command).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        failure
    });
    ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
}

fn run(command: &Command) -> Result<i32> {
    let context = Context::prepare()?;
    match command {
        Command::Setup => {}
        Command::Kernel(args) => println!("{}", kernel::build(&context, args)?.image().display()),
        Command::Driver(args) => {
            let module = driver::build(
                &context,
                &kernel::build(&context, args)?,
                driver::Checks::Compiler,
            )?;
            println!("{}", module.display());
        }
        Command::Guest(args) => return guest::main(&context, args),
        Command::Demo(args) => return demo::main(&context, args),
        Command::Bench(args) => return bench::main(&context, args),
        Command::Mistakes(args) => return mistakes::main(&context, args),
        Command::Fuzz(args) => return fuzz::main(&context, args),
        Command::Mutate(args) => return mutate::main(&context, args),
        Command::Paddle(args) => return paddle::main(&context, args),
        Command::UDmaBuf(args) => return u_dma_buf::main(&context, args),
        Command::Test(args) => return test::main(&context, args),
        Command::Image(args) => return image::main(&context, args),
        Command::Crates => petalinux::write_crates(&context)?,
    }
    Ok(0)
}
