// SPDX-License-Identifier: MIT OR Apache-2.0

//! What only loading, unloading and binding reach, and what has to be switched on. When coverage is asked
//! for.

use crate::coverage::{self, Trace};
use crate::fuzzer::same;
use fpgamem_shared::paddle_abi as paddle;
use fpgamem_tests::accelerator::{command, Bench, Probe};
use fpgamem_tests::cgroup::Cgroup;
use fpgamem_tests::faults::errno;
use fpgamem_tests::{abi, driver, in_child, request, Errno, MapFlags, Node, PAGE, READ_WRITE};
use nix::kmod::{finit_module, ModuleInitFlags};
use std::fs;
use std::thread;
use std::time::Duration;

/// The devices of nodes that are wrong have such names, with or without an address before it.
const WRONG: &str = "bad-";

/// There, the device of the good node, and one that cuts the same region in other blocks.
const GOOD: &str = "good-pool";
const OTHER: &str = "bad-region-in-use";

/// Runs it all but [`bind_wrong_nodes`], in a pool that nobody uses.
pub(crate) fn run(trace: &Trace) {
    with_tracepoints(trace);
    in_a_cgroup();
    an_accelerator_leaves();
    load_again(trace);
}

fn with_tracepoints(trace: &Trace) {
    let switch = |value: &str| {
        let path = "/sys/kernel/tracing/events/fpgamem/enable";
        fs::write(path, value).expect("tracefs is writable");
    };
    switch("1");
    let node = Node::open();
    let buffer = node.alloc(request(PAGE)).expect("there is room");
    let range = abi::Range {
        handle: buffer.handle,
        len: 64,
        ..abi::Range::default()
    };
    node.flush(range).expect("the buffer is there");
    node.invalidate(range).expect("the buffer is there");
    let owner = node.set_owner(buffer.handle, abi::OWNER_DEVICE);
    owner.expect("the buffer is there");
    node.free(buffer.handle).expect("the buffer is there");
    node.quiet().expect("root may say so");
    switch("0");
    trace.collect();
}

/// A cgroup gets as much as its limit says.
fn in_a_cgroup() {
    let base = Node::open().info().expect("the pool is there").phys_addr;
    let cgroup = Cgroup::new("fuzz", base);
    let block = Node::open().info().expect("the pool is there").block_bytes;
    cgroup.limit(2 * block);
    cgroup.enter();
    in_child(|| {
        let trace = Trace::start().expect("KCOV, if it is wanted");
        let node = Node::open();
        let two = node.map(2 * block).expect("within the limit");
        assert_eq!(node.map(block).map(drop), Err(Errno::ENOMEM));
        drop(two);
        node.map(block)
            .map(drop)
            .expect("what was freed is free to use");
        if let Some(trace) = &trace {
            trace.collect();
        }
    });
    cgroup.leave();
}

/// The driver of an accelerator leaves while a call of a client is carried out.
fn an_accelerator_leaves() {
    let bench = Bench::registered();
    let traced = |work: &dyn Fn() -> Result<(), Errno>| {
        let trace = Trace::start().expect("KCOV, if it is wanted");
        let result = work();
        if let Some(trace) = &trace {
            trace.collect();
        }
        result
    };
    let nothing = Probe::default;
    let one_byte = Probe {
        len: 1,
        ..Probe::default()
    };
    thread::scope(|scope| {
        let call = || traced(&|| bench.call(command::WAIT, nothing()).map(drop));
        let call = scope.spawn(call);
        let arrived = bench.control(command::ARRIVED, nothing());
        arrived.expect("a call waits");
        // The call is no licence for the memory of another process.
        in_child(|| {
            traced(&|| {
                let stolen = bench.call(command::AS_OTHER, one_byte)?;
                assert_eq!(stolen.result, -(Errno::EFAULT as i64));
                Ok(())
            })
            .expect("the accelerator's driver is there");
        });
        let leave = scope.spawn(|| traced(&|| bench.unregister()));
        thread::sleep(Duration::from_millis(300));
        let late = bench.call(command::RETURN, nothing()).map(drop);
        assert_eq!(late, Err(Errno::ENOTTY));
        bench.control(command::GO, nothing()).expect("a call waits");
        assert_eq!(call.join().expect("no panic"), Ok(()));
        assert_eq!(leave.join().expect("no panic"), Ok(()));
    });
}

/// The module goes and comes, with values of its parameter that are none, and one that is.
fn load_again(trace: &Trace) {
    let module = driver::module_file();
    trace.collect();
    driver::unload().expect("nobody uses it");
    trace.collect();
    for (parameters, expected) in [
        (c"user_limit_bytes=some", Err(Errno::EINVAL)),
        (c"user_limit_bytes=-1", Err(Errno::EINVAL)),
        (c"user_limit_bytes=18446744073709551616", Err(Errno::ERANGE)),
        (c"user_limit_bytes=1048576", Ok(())),
    ] {
        let result = finit_module(&module, parameters, ModuleInitFlags::empty());
        assert_eq!(result, expected, "{parameters:?}");
    }
    coverage::moved().expect("the module is loaded");
    trace.collect();
    driver::unload().expect("nobody uses it");
    trace.collect();
    driver::load().expect("it was loaded before");
    coverage::moved().expect("the module is loaded");
    trace.collect();
}

/// Binds the devices of a board whose pool nodes are wrong: each is refused.
pub(crate) fn bind_wrong_nodes(trace: &Trace) -> Result<(), String> {
    let devices = "/sys/bus/platform/devices";
    let mut refused = 0;
    let mut names = Vec::new();
    for entry in fs::read_dir(devices).map_err(|error| format!("{devices}: {error}"))? {
        let name = entry.map_err(|error| error.to_string())?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    for name in names.iter().filter(|name| name.contains(WRONG)) {
        refused += u32::from(driver::bind(name).is_err());
        trace.collect();
    }
    println!("{refused} devices refused");
    // Blocks of the good pool are held while a device comes that would cut them otherwise.
    let held = Node::open().map(PAGE);
    let held = held.map_err(|errno| format!("a buffer: {errno}"))?;
    let paddles = Node::open_path("/dev/fpgadrv0");
    let (flags, offset) = (MapFlags::MAP_SHARED, paddle::REGISTERS);
    let registers = paddles.map_with(PAGE, READ_WRITE, flags, offset);
    same(
        "mmap of no registers",
        Err(Errno::ENXIO),
        registers.map(drop),
    )?;
    drop(paddles);
    let fail = |error: std::io::Error| format!("binding: {error}");
    driver::unbind(GOOD).map_err(fail)?;
    let result = driver::bind(OTHER).map_err(errno);
    same("binding what is held", Err(Errno::EBUSY), result)?;
    trace.collect();
    drop(held);
    for device in [OTHER, GOOD] {
        driver::bind(device).map_err(fail)?;
        if device == OTHER {
            driver::unbind(device).map_err(fail)?;
        }
        trace.collect();
    }
    match refused {
        0 => Err("no device was refused: this board has no wrong nodes".to_owned()),
        _ => Ok(()),
    }
}
