// SPDX-License-Identifier: GPL-2.0-or-later

//! What is held, since when, and the longest of it.

use std::collections::BTreeMap;

/// What holds belong to: the two numbers of the program in the guest.
pub type Subject = (u64, u64);

/// What one processor does.
#[derive(Clone, Debug, Default)]
struct Processor {
    /// Instructions that it has executed.
    instructions: u64,
    /// Interrupts that it has taken.
    interrupts: u64,
    /// Calls that lock and have not returned.
    calls: Vec<Call>,
    held: Vec<Held>,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    lock: u64,
    returns_to: u64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    lock: u64,
    /// The instruction after the call that locked.
    place: u64,
    since: u64,
    interrupts: u64,
}

/// The holds of one subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Longest {
    /// How many there were.
    pub holds: u64,
    /// Instructions in the longest in which there was no interrupt.
    pub undisturbed: u64,
    /// The instruction that it began with.
    pub place: u64,
    /// Instructions in the longest in which there was one.
    pub interrupted: u64,
}

/// All that is counted.
#[derive(Debug, Default)]
pub struct Holds {
    processors: Vec<Processor>,
    subject: Option<Subject>,
    longest: BTreeMap<Subject, Longest>,
}

impl Holds {
    fn processor(&mut self, number: usize) -> &mut Processor {
        if self.processors.len() <= number {
            self.processors.resize(number + 1, Processor::default());
        }
        &mut self.processors[number]
    }

    /// A processor executes the instruction at `pc`.
    pub fn instruction(&mut self, number: usize, pc: u64) {
        let processor = self.processor(number);
        processor.instructions += 1;
        let Some(index) = processor
            .calls
            .iter()
            .rposition(|call| call.returns_to == pc)
        else {
            return;
        };
        let Call { lock, .. } = processor.calls.remove(index);
        processor.held.push(Held {
            lock,
            place: pc,
            since: processor.instructions,
            interrupts: processor.interrupts,
        });
    }

    /// A module calls what locks, and is to go on at `returns_to`.
    pub fn locks(&mut self, number: usize, lock: u64, returns_to: u64) {
        self.processor(number).calls.push(Call { lock, returns_to });
    }

    /// Somebody calls what unlocks.
    pub fn unlocks(&mut self, number: usize, lock: u64) {
        let processor = self.processor(number);
        // It may be a lock of the kernel's own.
        let Some(index) = processor.held.iter().rposition(|held| held.lock == lock) else {
            return;
        };
        let held = processor.held.remove(index);
        let instructions = processor.instructions - held.since;
        let disturbed = processor.interrupts != held.interrupts;
        let Some(subject) = self.subject else {
            return;
        };
        let longest = self.longest.entry(subject).or_default();
        longest.holds += 1;
        if disturbed {
            longest.interrupted = instructions.max(longest.interrupted);
        } else if instructions > longest.undisturbed {
            (longest.undisturbed, longest.place) = (instructions, held.place);
        }
    }

    /// A processor takes an interrupt in the kernel.
    pub fn interrupt(&mut self, number: usize) {
        self.processor(number).interrupts += 1;
    }

    /// The program in the guest says what follows; two zeroes for nothing that counts.
    pub fn begin(&mut self, subject: Subject) {
        self.subject = Some(subject).filter(|subject| *subject != (0, 0));
    }

    /// A line of JSON for each subject.
    pub fn json(&self) -> String {
        let lines = self.longest.iter().map(|((bytes, live), longest)| {
            let Longest {
                holds,
                undisturbed,
                place,
                interrupted,
            } = longest;
            format!(
                "{{\"bytes\":{bytes},\"live\":{live},\"holds\":{holds},\
                 \"undisturbed\":{undisturbed},\"place\":\"{place:#x}\",\"interrupted\":{interrupted}}}\n"
            )
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: u64 = 0x10;
    const RETURN: u64 = 0x1000;

    /// Locks, executes `count` instructions, and unlocks, on a processor.
    fn hold(holds: &mut Holds, processor: usize, count: u64) {
        holds.locks(processor, LOCK, RETURN);
        // In the function that locks.
        holds.instruction(processor, 0x2000);
        holds.instruction(processor, RETURN);
        (0..count).for_each(|_| holds.instruction(processor, RETURN + 4));
        holds.unlocks(processor, LOCK);
    }

    #[test]
    fn a_hold_is_what_is_executed_between_return_and_call() {
        let mut holds = Holds::default();
        holds.begin((16384, 2));
        hold(&mut holds, 0, 7);
        hold(&mut holds, 3, 5);
        let line = "{\"bytes\":16384,\"live\":2,\"holds\":2,\"undisturbed\":7,\
                    \"place\":\"0x1000\",\"interrupted\":0}\n";
        assert_eq!(holds.json(), line);
    }

    #[test]
    fn an_interrupt_is_told_apart() {
        let mut holds = Holds::default();
        holds.begin((1, 0));
        holds.locks(0, LOCK, RETURN);
        holds.instruction(0, RETURN);
        holds.interrupt(0);
        (0..100).for_each(|_| holds.instruction(0, 0x3000));
        holds.unlocks(0, LOCK);
        hold(&mut holds, 0, 3);
        let longest = holds.longest[&(1, 0)];
        assert_eq!((longest.undisturbed, longest.interrupted), (3, 100));
    }

    #[test]
    fn other_processors_and_other_locks_do_not_count() {
        let mut holds = Holds::default();
        holds.begin((1, 0));
        holds.locks(0, LOCK, RETURN);
        holds.instruction(0, RETURN);
        holds.instruction(1, RETURN);
        holds.unlocks(0, LOCK + 8);
        holds.instruction(0, 0x3000);
        holds.unlocks(0, LOCK);
        assert_eq!(holds.longest[&(1, 0)].undisturbed, 1);
        assert_eq!(holds.longest[&(1, 0)].holds, 1);
    }

    #[test]
    fn what_belongs_to_nothing_is_not_kept() {
        let mut holds = Holds::default();
        hold(&mut holds, 0, 7);
        holds.begin((1, 1));
        holds.begin((0, 0));
        hold(&mut holds, 0, 7);
        assert_eq!(holds.json(), "");
    }
}
