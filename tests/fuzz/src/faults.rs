// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the driver does where the kernel's memory is exhausted or a copy fails: each kind of call, with a
//! fault at one place after the other. For the kernel that injects faults, when coverage is asked for.

use crate::coverage::Trace;
use fpgamem_shared::paddle_abi as paddle;
use fpgamem_tests::accelerator::{command, Accelerator, Probe, Registration};
use fpgamem_tests::faults::{
    errno, nothing_is_left_and_no_spare, nothing_is_left_of, Faults, LARGE,
};
use fpgamem_tests::user_limit::{become_user, UserLimit};
use fpgamem_tests::{
    abi, driver, in_child, node, request, Errno, MapFlags, Mapping, Node, ProtFlags, Stats, PAGE,
    READ_WRITE,
};
use std::cell::RefCell;
use std::fs::{self, OpenOptions};

const PADDLE: &str = "/dev/fpgadrv0";

/// A user without any rights.
const NOBODY: u32 = 65534;

/// Calls something with faults, and enters what it reached.
struct Sweeps<'a> {
    faults: Faults,
    trace: &'a Trace,
    calls: u32,
}

impl Sweeps<'_> {
    fn of<T>(&mut self, call: impl FnMut() -> Result<T, Errno>) {
        self.with(call, nothing_is_left_of(Stats::read()));
    }

    fn with<T>(
        &mut self,
        call: impl FnMut() -> Result<T, Errno>,
        mut after: impl FnMut(Option<Errno>),
    ) {
        let trace = self.trace;
        trace.collect();
        let tally = self.faults.at_each_place(call, |errno| {
            after(errno);
            trace.collect();
        });
        trace.collect();
        self.calls += tally.no_memory + tally.bad_copy + tally.tolerated;
    }
}

/// Does something without faults when it is dropped.
struct Undo<F: FnMut()>(F);

impl<F: FnMut()> Drop for Undo<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Runs it all, in a pool that nobody uses.
pub(crate) fn run(trace: &Trace) {
    let mut sweeps = Sweeps {
        faults: Faults::new(),
        trace,
        calls: 0,
    };
    opening(&mut sweeps);
    buffers(&mut sweeps);
    pages(&mut sweeps);
    asking(&mut sweeps);
    paddles_clients(&mut sweeps);
    {
        let _module = Accelerator::load(Accelerator::PROBE).expect("the module loads");
        accelerator(&mut sweeps);
    }
    reading(&mut sweeps);
    binding(&mut sweeps);
    println!("{} calls with a fault inside", sweeps.calls);
    limited();
}

fn opening(sweeps: &mut Sweeps<'_>) {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    for path in [node::PATH, PADDLE] {
        sweeps.of(|| options.open(path).map_err(errno));
    }
}

fn alloc(node: &Node) -> Result<Undo<impl FnMut() + '_>, Errno> {
    let handle = node.alloc(request(PAGE))?.handle;
    Ok(Undo(move || node.free(handle).expect("it exists")))
}

fn buffers(sweeps: &mut Sweeps<'_>) {
    let (node, other) = (Node::open(), Node::open());
    sweeps.with(|| alloc(&node), nothing_is_left_and_no_spare(&other));
    let area = node.map_status(PAGE).expect("the file has none");
    sweeps.with(|| alloc(&node), nothing_is_left_and_no_spare(&other));
    drop((area, other));
    for len in [PAGE, LARGE - PAGE] {
        sweeps.of(|| node.map(len));
    }
    let buffer = node.alloc(request(LARGE)).expect("there is room");
    sweeps.of(|| node.map_buffer(&buffer));
    let (offset, len) = (buffer.mmap_offset + PAGE, LARGE - 2 * PAGE);
    sweeps.of(|| node.map_with(len, READ_WRITE, MapFlags::MAP_SHARED, offset));
    node.free(buffer.handle).expect("it exists");
    let fresh = RefCell::new(Node::open());
    sweeps.with(
        || fresh.borrow().map_status(8 * PAGE),
        |_| drop(fresh.replace(Node::open())),
    );
}

/// Page faults where huge pages were split.
fn pages(sweeps: &mut Sweeps<'_>) {
    let node = Node::open();
    sweeps.of(|| {
        let mapping = node.map(LARGE)?;
        for page in [3 * PAGE, LARGE - 5 * PAGE] {
            mapping.store(page, 1);
            mapping.protect(page..page + PAGE, ProtFlags::PROT_READ)?;
            assert_eq!(mapping.load(page), 1);
            assert_eq!(mapping.load(page + PAGE), 0);
        }
        Ok(())
    });
}

fn asking(sweeps: &mut Sweeps<'_>) {
    let node = Node::open();
    let buffer = node.alloc(request(PAGE)).expect("there is room");
    let mapping = node.map_buffer(&buffer).expect("it has a handle");
    let range = abi::Range {
        addr: mapping.addr(),
        len: 64,
        ..abi::Range::default()
    };
    let ranges = vec![range; 100];
    sweeps.of(|| node.info());
    sweeps.of(|| node.query(buffer.handle));
    sweeps.of(|| node.user_to_phys(mapping.addr()));
    sweeps.of(|| node.phys_to_user(buffer.phys_addr));
    sweeps.of(|| node.flush(range));
    sweeps.of(|| node.invalidate(range));
    sweeps.of(|| node.sync(abi::SYNC_FLUSH, &ranges));
    sweeps.of(|| node.set_owner(buffer.handle, abi::OWNER_DEVICE));
    sweeps.of(|| node.set_owner_at(mapping.addr(), abi::OWNER_CPU));
    sweeps.of(|| node.quiet());
    drop(mapping);
    sweeps.with(
        || match node.free(buffer.handle) {
            // Freed in an earlier sweep.
            Err(Errno::ENOENT) => Ok(()),
            other => other,
        },
        |_| (),
    );
}

fn paddles_clients(sweeps: &mut Sweeps<'_>) {
    let (family_a, native) = (Node::open_path(PADDLE), Node::open());
    let mapping = native.map(PAGE).expect("there is room");
    let phys_addr = native.user_to_phys(mapping.addr()).map(|at| at.phys_addr);
    let distance = phys_addr.expect("it is mapped") - paddle::B_BASE;
    let argument = Mapping::anonymous(2 * PAGE, READ_WRITE);
    argument.fill(0);
    let (at, text) = (mapping.addr(), argument.addr() + PAGE);
    for (node, command, first, second) in [
        (&family_a, paddle::A_DEVICE_INFO, 0, 0),
        (&family_a, paddle::A_VERSION, text, 16),
        (&family_a, paddle::A_FLUSH, at, 64),
        (&family_a, paddle::OLD_INVALIDATE, at, 64),
        (&native, paddle::B_VM_TO_PHYS, at, 0),
        (&native, paddle::B_FLUSH, distance, 64),
        (&native, paddle::B_INVALIDATE, distance, 64),
    ] {
        sweeps.of(|| {
            argument.store(0, first);
            argument.store(8, second);
            match node.command_at(command, &argument, 0) {
                // Clients take `ENOMEM` for a failed allocation of theirs.
                Err(Errno::EIO) => Err(Errno::ENOMEM),
                other => other,
            }
        });
    }
    for (len, offset) in [(LARGE, 0), (PAGE, paddle::REGISTERS)] {
        sweeps.of(|| family_a.map_with(len, READ_WRITE, MapFlags::MAP_SHARED, offset));
    }
}

/// The driver of an accelerator.
fn accelerator(sweeps: &mut Sweeps<'_>) {
    let (control, client) = (Node::open_path(Probe::NODE), Node::open_path(PADDLE));
    let argument = Mapping::anonymous(PAGE, READ_WRITE);
    argument.fill(0);
    let tell = |node: &Node, command, [first, second, third]: [u64; 3]| {
        for (place, word) in (0..).step_by(8).zip([first, second, third, 0]) {
            argument.store(place, word);
        }
        node.command_at(command, &argument, 0)?;
        match argument.load(24).cast_signed() {
            0 => Ok(()),
            result => Err(Errno::from_raw(i32::try_from(-result).unwrap_or(0))),
        }
    };
    let good = Registration::Good as u64;
    let leave = || tell(&control, command::UNREGISTER, [0; 3]).expect("it may have registered");
    sweeps.with(
        || {
            tell(&control, command::REGISTER, [0, 0, good])?;
            Ok(Undo(leave))
        },
        // It has registered, too, if only telling so has failed.
        |_| leave(),
    );
    tell(&control, command::REGISTER, [0, 0, good]).expect("nobody else has");
    let mapping = client.map(PAGE).expect("there is room");
    sweeps.of(|| tell(&client, command::TRANSLATE, [mapping.addr(), 1, 0]));
    sweeps.of(|| tell(&client, command::SYNC, [mapping.addr(), 1, 1]));
    let mut let_go = nothing_is_left_of(Stats::read());
    sweeps.with(
        || {
            tell(&client, command::HOLD, [mapping.addr(), 1, 0]).or_else(|errno| match errno {
                // The one that held told of it where it may not write.
                Errno::EEXIST => Ok(()),
                errno => Err(errno),
            })
        },
        |errno| {
            tell(&control, command::RELEASE, [0; 3]).expect("it may be empty");
            let_go(errno);
        },
    );
    tell(&control, command::RELEASE, [0; 3]).expect("it may be empty");
    leave();
}

/// Files about the pool.
fn reading(sweeps: &mut Sweeps<'_>) {
    let node = Node::open();
    let mapping = node.map(PAGE).expect("there is room");
    let directory = fpgamem_tests::debugfs::directory();
    for entry in fs::read_dir(&directory).expect("it is there") {
        let path = entry.expect("it is readable").path();
        sweeps.of(|| fs::read(&path).map_err(errno));
    }
    drop(mapping);
}

fn binding(sweeps: &mut Sweeps<'_>) {
    let name = driver::device_name();
    driver::unbind(&name).expect("it is bound");
    sweeps.with(
        || {
            driver::bind(&name).map_err(errno)?;
            Ok(Undo(|| driver::unbind(&name).expect("it is bound")))
        },
        |_| assert!(!driver::node_exists(), "a node is left"),
    );
    driver::bind(&name).expect("without a fault");
}

/// Allocations of a user who has a limit.
fn limited() {
    let _limit = UserLimit::new(3 * LARGE);
    in_child(|| {
        let trace = Trace::start().expect("KCOV, if it is wanted");
        let mut sweeps = Sweeps {
            faults: Faults::new(),
            trace: &trace.expect("coverage is wanted"),
            calls: 0,
        };
        let node = Node::open();
        become_user(NOBODY);
        sweeps.with(|| alloc(&node), |_| ());
        sweeps.with(|| node.map(PAGE), |_| ());
    });
}
