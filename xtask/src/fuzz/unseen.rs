// SPDX-License-Identifier: MIT OR Apache-2.0

//! Functions of the driver that KCOV does not see, or not wholly: it traces a task in its calls, and ends
//! before the task lets go of its memory.

use super::places::Frame;

/// A function, and why not all of it is seen.
#[derive(Debug)]
pub(super) struct Unseen {
    /// Relative to the driver's folder.
    pub(super) file: &'static str,
    /// Without the types of a generic one; empty where the compiler gives no name.
    pub(super) function: &'static str,
    pub(super) why: &'static str,
}

impl Unseen {
    /// Whether a place's frame is of this function.
    pub(super) fn is(&self, frame: &Frame) -> bool {
        let name = frame.function.split('<').next();
        self.file == frame.file && name == Some(self.function)
    }
}

const fn unseen(file: &'static str, function: &'static str, why: &'static str) -> Unseen {
    Unseen {
        file,
        function,
        why,
    }
}

const THREAD: &str = "a thread of the kernel runs it";
const DYING: &str = "a process that dies of a signal runs the rest, after its trace has ended";
const RACE: &str = "the rest is for two that come at the same time";

/// All of them.
pub(super) const UNSEEN: &[Unseen] = &[
    unseen("buffer.rs", "is_suspect", DYING),
    unseen(
        "buffer.rs",
        "vma_removed",
        "the rest is for who inspects a process while that dies",
    ),
    unseen("kapi/huge.rs", "enter_huge", RACE),
    unseen("kapi/huge.rs", "enter_pages", RACE),
    unseen("kapi/module.rs", "new", RACE),
    unseen("kapi/module.rs", "drop", RACE),
    unseen("kapi/task.rs", "cleans_up_after_a_crash", DYING),
    unseen("kapi/thread.rs", "", THREAD),
    unseen("scrub.rs", "run", THREAD),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generic_function_is_known_by_its_name() {
        let frame = |function: &str| Frame {
            file: "file.rs".to_owned(),
            line: 1,
            column: 1,
            function: function.to_owned(),
        };
        let unseen = unseen("file.rs", "enter", RACE);
        assert!(unseen.is(&frame("enter<main::Buffer>")) && unseen.is(&frame("enter")));
        assert!(!unseen.is(&frame("enter_all")));
        assert!(!super::unseen("other.rs", "enter", RACE).is(&frame("enter")));
    }
}
