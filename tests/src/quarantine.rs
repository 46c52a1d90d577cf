// SPDX-License-Identifier: MIT OR Apache-2.0

//! Looking at the quarantine of the pool under test.

use crate::{abi, block_map, request, Balance, Child, Mapping, Node, Stats};

/// A test about the quarantine: it starts and ends with none, and returns every block.
#[derive(Debug)]
pub struct Ward {
    /// For calls that are nobody's in particular.
    pub node: Node,
    before: Stats,
    // Checked after the quarantine is over.
    _balance: Balance,
}

impl Ward {
    /// Ends every quarantine.
    #[expect(clippy::new_without_default, reason = "it uses the device")]
    pub fn new() -> Self {
        let node = Node::open();
        node.quiet().expect("root may say so");
        Self {
            node,
            before: Stats::read(),
            _balance: Balance::new(),
        }
    }

    /// Buffers that were quarantined since the test began, those that are free again included.
    pub fn quarantined(&self) -> u64 {
        Stats::read().quarantined - self.before.quarantined
    }

    /// Quarantines that have ended since the test began because their time was over.
    pub fn expired(&self) -> u64 {
        Stats::read().quarantine_expired - self.before.quarantine_expired
    }

    /// Quarantines that were ended since the test began.
    pub fn quieted(&self) -> u64 {
        Stats::read().quarantine_quieted - self.before.quarantine_quieted
    }

    /// Quarantines a buffer of `len` bytes and returns its physical address.
    pub fn quarantine(&self, len: u64) -> u64 {
        quarantine(&self.node, len)
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        // The device of its own file may have been unbound.
        let quiet = Node::open().quiet();
        assert!(std::thread::panicking() || quiet.is_ok(), "{quiet:?}");
    }
}

/// Quarantines a buffer of `len` bytes and returns its physical address.
pub fn quarantine(node: &Node, len: u64) -> u64 {
    let buffer = node.alloc(request(len)).expect("there is room");
    node.set_owner(buffer.handle, abi::OWNER_DEVICE)
        .expect("the handle is good");
    node.free(buffer.handle).expect("the handle is good");
    buffer.phys_addr
}

/// What the block map says of a physical address: `cpu`, `device`, `quarantined`, or `free`.
pub fn state_of(phys_addr: u64) -> String {
    block_map::line_of(phys_addr).map_or_else(|| "free".to_owned(), |line| line.state)
}

/// A child that holds a buffer of `len` bytes, mapped, and waits. `prepare` comes before the
/// allocation, `mark` after it.
pub fn holder<T>(
    len: u64,
    prepare: impl FnOnce(&Node) -> T,
    mark: impl FnOnce(&Node, &abi::UserToPhys, &Mapping, &T),
) -> (Child, u64) {
    let mut child = Child::start(|link| {
        let node = Node::open();
        let prepared = prepare(&node);
        let mapping = node.map(len).expect("there is room");
        let answer = node
            .user_to_phys(mapping.addr())
            .expect("the mapping is ours");
        mark(&node, &answer, &mapping, &prepared);
        link.send(answer.phys_addr);
        link.receive();
        // Without any destructor.
        crate::child::exit_now(3);
    });
    let phys_addr = child.link.receive();
    (child, phys_addr)
}
