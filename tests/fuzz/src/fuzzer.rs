// SPDX-License-Identifier: MIT OR Apache-2.0

//! The coordinator: chooses operations, has workers carry them out, and compares.

use crate::commands::Commands;
use crate::coverage::Trace;
use crate::ioctls::low;
use crate::kinds::{Kind, Tally, KINDS};
use crate::message::{Action, Answer, Request, Socket};
use crate::model::Model;
use crate::Args;
use fpgamem_tests::accelerator::Accelerator;
use fpgamem_tests::pattern::Random;
use fpgamem_tests::zdma::Zdma;
use fpgamem_tests::{Errno, Node, Stats};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::time::Instant;

/// Requests that a report shows.
const SHOWN: usize = 30;

/// Operations after which a line tells how far it is.
const PROGRESS: u64 = 10_000;

/// What an operation came to; `None` if there is nothing that it could be done to.
pub(crate) type Step = Result<Option<Result<(), Errno>>, String>;

/// A request as a report shows it: number of the operation, worker, and result.
type Recent = (u64, u32, Request, Option<Result<u64, Errno>>);

/// The coordinator.
pub(crate) struct Fuzzer {
    pub(crate) model: Model,
    pub(crate) random: Random,
    pub(crate) sockets: BTreeMap<u32, Socket>,
    pub(crate) last_process: u32,
    pub(crate) zdma: Zdma,
    /// The module of the accelerator's driver, which is unloaded at the end.
    pub(crate) _accelerator: Accelerator,
    /// For what is asked beside the sequence.
    pub(crate) node: Node,
    /// The counts before the sequence.
    pub(crate) before: Stats,
    /// The last requests.
    recent: VecDeque<Recent>,
    number: u64,
    commands: Commands,
    /// What the coordinator itself reaches.
    pub(crate) trace: Option<Trace>,
    /// How often a storm allocates and frees its buffers.
    pub(crate) storm_rounds: u64,
    /// Allocations and frees in storms.
    pub(crate) storm_calls: u64,
}

/// Compares.
pub(crate) fn same<T: Debug + PartialEq>(what: &str, expected: T, seen: T) -> Result<(), String> {
    if expected == seen {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:x?}, seen {seen:x?}"))
}

impl Fuzzer {
    /// Runs a request in a worker.
    pub(crate) fn call(&mut self, process: u32, request: Request) -> Result<Answer, String> {
        let mut request = request;
        let threadable = !matches!(
            request.action,
            Action::Fork | Action::Exit | Action::Give | Action::Take
        );
        // Only a thread can be another user for a moment.
        let nobody = request.action == Action::IoctlAsNobody;
        request.thread = threadable && (self.random.below(64) == 0 || nobody);
        self.note(process, request);
        let gone = |errno| format!("the worker is gone ({errno})");
        let socket = self.sockets.get(&process).ok_or("no such worker")?;
        socket.send_request(&request, None).map_err(gone)?;
        let (answer, _) = socket.receive_answer().map_err(gone)?;
        self.answered(answer.result);
        let ioctls = [Action::Ioctl, Action::IoctlReadOnly, Action::IoctlAsNobody];
        if ioctls.contains(&request.action) {
            let command = low(request.args[1]);
            self.commands.add(command, answer.result.is_ok());
        }
        Ok(answer)
    }

    /// A system call in a worker.
    pub(crate) fn syscall(
        &mut self,
        process: u32,
        number: libc::c_long,
        args: &[u64],
    ) -> Result<Result<u64, Errno>, String> {
        let mut all = vec![number.unsigned_abs()];
        all.extend_from_slice(args);
        Ok(self
            .call(process, Request::new(Action::Syscall, &all))?
            .result)
    }

    pub(crate) fn note(&mut self, process: u32, request: Request) {
        if self.recent.len() == SHOWN {
            self.recent.pop_front();
        }
        self.recent.push_back((self.number, process, request, None));
    }

    pub(crate) fn answered(&mut self, result: Result<u64, Errno>) {
        if let Some(last) = self.recent.back_mut() {
            last.3 = Some(result);
        }
    }

    fn step(&mut self, kind: Kind) -> Step {
        match kind {
            Kind::Info => self.info(),
            Kind::Alloc => self.alloc(),
            Kind::Free => self.free(),
            Kind::Query => self.query(),
            Kind::UserToPhys => self.user_to_phys(),
            Kind::PhysToUser => self.phys_to_user(),
            Kind::Flush => self.sync_one(false),
            Kind::Invalidate => self.sync_one(true),
            Kind::Sync => self.sync_many(),
            Kind::SetOwner => self.set_owner(),
            Kind::Quiet => self.quiet(),
            Kind::UnknownCommand => self.unknown_command(),
            Kind::BadPointer => self.bad_pointer(),
            Kind::MapNew => self.map_new(false),
            Kind::MapHandle => self.map_handle(),
            Kind::MapFixed => self.map_new(true),
            Kind::Unmap => self.unmap(),
            Kind::Remap => self.remap(),
            Kind::Protect => self.protect(),
            Kind::Advise => self.advise(),
            Kind::Load => self.load(),
            Kind::Store => self.store(),
            Kind::Digest => self.digest(),
            Kind::Fork => self.fork(),
            Kind::Start => self.start(),
            Kind::Exit => self.exit(),
            Kind::Kill => self.kill(),
            Kind::Open => self.open(),
            Kind::Duplicate => self.duplicate(),
            Kind::Close => self.close(),
            Kind::Pass => self.pass(),
            Kind::Fdinfo => self.fdinfo(),
            Kind::Debugfs => self.debugfs(),
            Kind::Zdma => self.copy_by_zdma(),
            Kind::Storm => self.storm(),
            Kind::MapStatus => self.map_status(),
            Kind::StatusWord => self.status_word(),
            Kind::OpenPaddle => self.open_paddle(),
            Kind::MapRegisters => self.map_registers(),
            Kind::UnmapOther => self.unmap_other(),
            Kind::PaddleSync => self.paddle_sync(),
            Kind::PaddleSyncB => self.paddle_sync_b(),
            Kind::PaddleAsk => self.paddle_ask(),
            Kind::Inspect => self.inspect(),
            Kind::Accelerator => self.accelerator(),
            Kind::Accelerate => self.accelerate(),
            Kind::UseHold => self.use_hold(),
        }
    }

    /// One operation, of whatever kind can be done now.
    fn one(&mut self, tally: &mut Tally) -> Result<(), String> {
        let sum: u64 = KINDS.iter().map(|(_, weight)| weight).sum();
        loop {
            let mut at = self.random.below(sum);
            let chosen = KINDS.iter().find(|(_, weight)| {
                let found = at < *weight;
                at = at.saturating_sub(*weight);
                found
            });
            let Some((kind, _)) = chosen else { continue };
            let quarantined = self.model.counts.quarantined;
            let start = Instant::now();
            let step = self.step(*kind).map_err(|why| format!("{kind:?}: {why}"))?;
            if self.model.counts.quarantined != quarantined {
                self.end_quarantines()?;
            }
            self.collect();
            if let Some(outcome) = step {
                tally.add(*kind, outcome, start.elapsed());
                return Ok(());
            }
        }
    }

    fn collect(&self) {
        if let Some(trace) = &self.trace {
            trace.collect();
        }
    }

    fn sequence(&mut self, operations: u64, tally: &mut Tally) -> Result<(), String> {
        self.start()?;
        self.start()?;
        for number in 1..=operations {
            self.number = number;
            self.one(tally)?;
            if number % PROGRESS == 0 {
                println!("{number} operations, {} frees", self.model.counts.frees);
            }
        }
        self.debugfs()?;
        self.rebind()?;
        while self.model.processes.len() > 1 {
            self.kill()?;
            self.end_quarantines()?;
        }
        let last = self.process();
        self.end(last, true)?;
        self.end_quarantines()?;
        self.end_accelerator()?;
        same("buffers at the end", 0, self.model.buffers.len())?;
        self.debugfs()?;
        self.wait_for_quarantine()?;
        self.debugfs()?;
        self.exceed_limit()?;
        self.renew()?;
        self.collect();
        Ok(())
    }

    fn report(&self, why: &str) -> String {
        let mut text = format!(
            "DIFFERENCE in operation {}: {why}\nthe last requests:",
            self.number
        );
        for (number, process, request, result) in &self.recent {
            let args = request.args;
            text.push_str(&format!(
                "\n  {number} worker {process} {:?}{} {args:x?} {:x?} = {result:x?}",
                request.action,
                if request.thread { " in a thread" } else { "" },
                &request.payload[..9],
            ));
        }
        text
    }
}

/// Runs the sequence of a seed.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    let node = Node::open();
    let info = node.info().map_err(|errno| format!("INFO: {errno}"))?;
    let before = Stats::read();
    if before.blocks_free != before.blocks {
        return Err("the pool is in use".to_owned());
    }
    let accelerator = Accelerator::load(Accelerator::PROBE);
    let accelerator = accelerator.map_err(|errno| format!("the accelerator's driver: {errno}"))?;
    let model = Model {
        base: info.phys_addr,
        block_bytes: info.block_bytes,
        nr_blocks: u32::try_from(before.blocks).map_err(|error| error.to_string())?,
        default_flags: info.flags,
        ..Model::default()
    };
    let mut fuzzer = Fuzzer {
        model,
        random: Random::new(args.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        sockets: BTreeMap::new(),
        last_process: 0,
        zdma: Zdma::open(),
        _accelerator: accelerator,
        node,
        before,
        recent: VecDeque::new(),
        number: 0,
        commands: Commands::default(),
        trace: Trace::start().map_err(|errno| format!("KCOV: {errno}"))?,
        storm_rounds: args.storm_rounds,
        storm_calls: 0,
    };
    let mut tally = Tally::default();
    let start = Instant::now();
    let result = fuzzer.sequence(args.operations, &mut tally);
    tally.print();
    println!(
        "{} allocations and frees in storms, {} frees, {} quarantined, {} s of the guest's clock",
        fuzzer.storm_calls,
        fuzzer.model.counts.frees,
        fuzzer.model.counts.quarantined,
        start.elapsed().as_secs()
    );
    result.map_err(|why| fuzzer.report(&why))?;
    tally.judge()?;
    fuzzer.commands.judge()
}
