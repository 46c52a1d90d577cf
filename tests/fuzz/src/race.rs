// SPDX-License-Identifier: MIT OR Apache-2.0

//! Races: processes with threads that call at the same time, on a file of their own and on one that
//! all share, some of which are killed. No outcome can be predicted then, so each thread checks that
//! errors are such as a race may cause, and that nobody else writes to what it maps; and after each
//! round, when all is still, nothing may be left.

use fpgamem_tests::abi::{self, Range};
use fpgamem_tests::pattern::Random;
use fpgamem_tests::{request, Child, Errno, Exit, Mapping, Node, Stats, PAGE};
use nix::sys::signal::Signal;
use std::sync::Mutex;
use std::time::Duration;

/// Processes of a round, and threads of each.
const PROCESSES: u64 = 4;
const THREADS: u64 = 3;

/// Operations of a thread.
const OPERATIONS: u64 = 40;

/// Mappings that a thread has at most.
const HELD: usize = 6;

/// Handles are tried up to this one; a file counts them from 1 on.
const HANDLES: u64 = 48;

/// How often the pool is looked at until nothing is left.
const LOOKS: u32 = 1500;

/// A mapping that only its thread uses, with what was stored there.
struct Held {
    mapping: Mapping,
    stamp: u64,
}

/// What the threads of a process share.
struct Process<'a> {
    /// Of this process, and of all.
    files: [&'a Node; 2],
    /// Addresses where something was mapped, and may be so still.
    addresses: Mutex<Vec<u64>>,
}

struct Thread<'a> {
    process: &'a Process<'a>,
    random: Random,
    held: Vec<Held>,
    stamp: u64,
}

/// Panics unless a call succeeded, or failed as a race lets it fail.
fn expect<T>(what: &str, result: Result<T, Errno>, allowed: &[Errno]) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(errno) if allowed.contains(&errno) => None,
        Err(errno) => panic!("{what} in a race: {errno}"),
    }
}

/// The same for a call whose result is of no interest.
fn tolerate<T>(what: &str, result: Result<T, Errno>, allowed: &[Errno]) {
    drop(expect(what, result, allowed));
}

impl Held {
    /// Takes a new mapping over, which must be full of zeroes.
    fn new(mapping: Mapping, stamp: u64) -> Self {
        for offset in (0..mapping.len()).step_by(512) {
            assert_eq!(mapping.load(offset), 0, "a new buffer, offset {offset}");
            mapping.store(offset, stamp ^ offset);
        }
        Self { mapping, stamp }
    }

    /// Panics if somebody else has written there.
    fn check(&self) {
        for offset in (0..self.mapping.len()).step_by(512) {
            let page = offset - offset % PAGE;
            if self.mapping.is_mapped(page..page + PAGE) {
                let word = self.mapping.load(offset);
                assert_eq!(word, self.stamp ^ offset, "a buffer, offset {offset}");
            }
        }
    }
}

impl Thread<'_> {
    fn file(&mut self) -> &Node {
        let shared = usize::from(self.random.below(3) == 0);
        self.process.files[shared]
    }

    fn length(&mut self) -> u64 {
        PAGE * (1 + self.random.below(10))
    }

    fn handle(&mut self) -> u32 {
        u32::try_from(1 + self.random.below(HANDLES)).expect("small")
    }

    /// An address at which one of the threads had something mapped, and something there.
    fn address(&mut self) -> u64 {
        let addresses = self.process.addresses.lock().expect("no panic goes on");
        let count = u64::try_from(addresses.len()).expect("few");
        let index = usize::try_from(self.random.below(count.max(1))).expect("few");
        let address = addresses.get(index).copied().unwrap_or(PAGE);
        address + self.random.below(PAGE)
    }

    fn keep(&mut self, mapping: Mapping) {
        self.stamp += 1;
        let mut addresses = self.process.addresses.lock().expect("no panic goes on");
        addresses.push(mapping.addr());
        if addresses.len() > 32 {
            addresses.remove(0);
        }
        drop(addresses);
        self.held.push(Held::new(mapping, self.stamp));
    }

    /// A buffer with a handle, which others may free or map at once.
    fn alloc(&mut self) {
        let (len, flags) = (self.length(), self.random.below(2));
        let alloc = abi::Alloc {
            flags: u32::try_from(flags).expect("small"),
            ..request(len)
        };
        let file = self.file();
        let Some(buffer) = expect("ALLOC", file.alloc(alloc), &[Errno::ENOMEM]) else {
            return;
        };
        // Another thread may have freed it, and got its blocks again by the same file.
        let mapping = file.map_buffer(&buffer);
        tolerate("mmap of a handle", mapping, &[Errno::EINVAL]);
    }

    fn map(&mut self) {
        if self.held.len() >= HELD {
            return;
        }
        let len = self.length();
        let mapping = self.file().map(len);
        if let Some(mapping) = expect("mmap", mapping, &[Errno::ENOMEM]) {
            self.keep(mapping);
        }
    }

    /// Something that happens to a mapping of this thread.
    fn use_held(&mut self) {
        let count = u64::try_from(self.held.len()).expect("few");
        if count == 0 {
            return;
        }
        let index = usize::try_from(self.random.below(count)).expect("few");
        match self.random.below(4) {
            0 => {
                let held = &mut self.held[index];
                if held.mapping.is_mapped(0..held.mapping.len()) {
                    expect("mremap", held.mapping.relocate(), &[]);
                }
            }
            1 => {
                let held = &mut self.held[index];
                held.mapping.unmap(0..PAGE);
            }
            2 => {
                let held = &self.held[index];
                Child::start(|_| held.check()).succeed();
            }
            _ => {
                self.held[index].check();
                self.held.swap_remove(index);
                return;
            }
        }
        self.held[index].check();
    }

    /// A call about an address or a handle that another thread may be taking away.
    fn ask(&mut self) {
        let (address, handle) = (self.address(), self.handle());
        let by_address = Range {
            addr: address,
            len: 1 + self.random.below(PAGE),
            ..Range::default()
        };
        let by_handle = Range {
            len: 1,
            handle,
            ..Range::default()
        };
        let (gone, nothing) = (&[Errno::ENOENT], &[Errno::EFAULT]);
        let either = &[Errno::ENOENT, Errno::EFAULT];
        let choice = self.random.below(10);
        let owner = u32::from(choice == 2);
        let file = self.file();
        match choice {
            0 => tolerate("FREE", file.free(handle), gone),
            1 => tolerate("QUERY", file.query(handle), gone),
            2 => tolerate("SET_OWNER", file.set_owner(handle, owner), gone),
            3 => tolerate("SET_OWNER", file.set_owner_at(address, owner), nothing),
            4 => tolerate("FLUSH", file.flush(by_address), nothing),
            5 => tolerate("INVALIDATE", file.invalidate(by_handle), gone),
            6 => {
                let ranges = [by_handle, by_address];
                tolerate("SYNC", file.sync(abi::SYNC_FLUSH, &ranges), either);
            }
            7 => tolerate("QUIET", file.quiet(), &[]),
            8 => {
                let area = file.map_status(PAGE);
                let area = expect("mmap of the status area", area, &[]).expect("no error");
                area.store(8 * u64::from(handle), address);
            }
            _ => {
                let place = expect("USER_TO_PHYS", file.user_to_phys(address), nothing);
                if let Some(place) = place {
                    let back = file.phys_to_user(place.phys_addr);
                    tolerate("PHYS_TO_USER", back, nothing);
                }
            }
        }
    }

    fn run(mut self) {
        for _ in 0..OPERATIONS {
            match self.random.below(10) {
                0..=1 => self.alloc(),
                2..=3 => self.map(),
                4..=5 => self.use_held(),
                _ => self.ask(),
            }
        }
        self.held.iter().for_each(Held::check);
    }
}

fn process(seed: u64, shared: &Node) {
    let own = Node::open();
    let process = Process {
        files: [&own, shared],
        addresses: Mutex::new(Vec::new()),
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let seed = seed * THREADS + thread;
            let process = &process;
            scope.spawn(move || {
                let thread = Thread {
                    process,
                    random: Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                    held: Vec::new(),
                    stamp: seed << 24,
                };
                thread.run();
            });
        }
    });
}

/// Says what is wrong with a pool that nobody uses, once the children of those that were killed have
/// come to their ends too.
fn look_at_rest(before: &Stats) -> Result<(), String> {
    let node = Node::open();
    let mut looks = 0;
    let (now, blocks) = loop {
        node.quiet().map_err(|errno| format!("QUIET: {errno}"))?;
        let now = Stats::read();
        let blocks = now.blocks_used + now.blocks_quarantined;
        looks += 1;
        if blocks == 0 || looks == LOOKS {
            break (now, blocks);
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let allocations = now.allocations - before.allocations;
    let frees = now.frees - before.frees;
    if blocks + now.buffers != 0 || allocations != frees {
        return Err(format!(
            "{allocations} allocations, {frees} frees, and then {now:?}"
        ));
    }
    let all = node.alloc(request(now.blocks * now.block_bytes));
    all.map(drop)
        .map_err(|errno| format!("an allocation of everything: {errno}"))
}

/// Runs so many rounds of races, and says what is left after one of them.
pub(crate) fn run(seed: u64, rounds: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let mut killed = 0;
    for round in 0..rounds {
        let before = Stats::read();
        let shared = Node::open();
        let seed = (seed << 20) + round * PROCESSES;
        let start = |index| Child::start(|_| process(seed + index, &shared));
        let children: Vec<Child> = (0..PROCESSES).map(start).collect();
        drop(shared);
        for child in children {
            if random.below(3) > 0 {
                child.succeed();
                continue;
            }
            std::thread::sleep(Duration::from_millis(random.below(40)));
            match child.kill() {
                Exit::Signal(Signal::SIGKILL) => killed += 1,
                Exit::Status(0) => {}
                exit => return Err(format!("round {round}: a process ended: {exit:?}")),
            }
        }
        look_at_rest(&before).map_err(|why| format!("after round {round} of races: {why}"))?;
    }
    if rounds > 0 {
        let calls = rounds * PROCESSES * THREADS * OPERATIONS;
        println!("{rounds} rounds of races, {calls} operations at most, {killed} processes killed");
    }
    Ok(())
}
