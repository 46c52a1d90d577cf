// SPDX-License-Identifier: MIT OR Apache-2.0

//! A client of the two families that a pool with the property `fpgamem,paddle` serves, on the raw
//! commands.

use crate::{Errno, MapFlags, Mapping, Node, Stats, PAGE, READ_WRITE};
use fpgamem_shared::paddle_abi as abi;

/// The node of family A.
pub const NODE: &str = "/dev/fpgadrv0";

/// The two kinds of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Paddle-Lite: user addresses, on [`NODE`].
    A,
    /// paddle-mobile: distances in the region, on the native node.
    B,
}

/// Both of them.
pub const FAMILIES: [Family; 2] = [Family::A, Family::B];

/// Issues a command whose argument is two numbers, and gives back what the kernel left of them.
pub fn call(node: &Node, command: u32, first: u64, second: u64) -> Result<(u64, u64), Errno> {
    // The oldest numbers promise more than their structure has.
    let memory = Mapping::anonymous(2 * PAGE, READ_WRITE);
    memory.store(0, first);
    memory.store(8, second);
    node.command_at(command, &memory, 0)?;
    Ok((memory.load(0), memory.load(8)))
}

/// An open node of one family.
#[derive(Debug)]
pub struct Client {
    family: Family,
    node: Node,
}

impl Client {
    /// Opens the node.
    ///
    /// # Panics
    ///
    /// Where that fails.
    pub fn open(family: Family) -> Self {
        let node = match family {
            Family::A => Node::open_path(NODE),
            Family::B => Node::open(),
        };
        Self { family, node }
    }

    /// The open file.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Allocates a tensor of `len` bytes.
    pub fn alloc(&self, len: u64) -> Result<Tensor, Errno> {
        let offset = match self.family {
            Family::A => 0,
            Family::B => abi::B_BASE,
        };
        let shared = MapFlags::MAP_SHARED;
        let memory = self.node.map_with(len, READ_WRITE, shared, offset)?;
        let base = match self.family {
            Family::A => memory.addr(),
            Family::B => {
                let (_, phys_addr) = call(&self.node, abi::B_VM_TO_PHYS, memory.addr(), 0)?;
                phys_addr - abi::B_BASE
            }
        };
        Ok(Tensor { memory, base })
    }

    /// Cleans `size` bytes from `address` on, as [`Tensor::base`] counts.
    pub fn flush(&self, address: u64, size: u64) -> Result<(), Errno> {
        let command = match self.family {
            Family::A => abi::A_FLUSH,
            Family::B => abi::B_FLUSH,
        };
        call(&self.node, command, address, size).map(drop)
    }

    /// Cleans and invalidates `size` bytes from `address` on, as [`Tensor::base`] counts.
    pub fn invalidate(&self, address: u64, size: u64) -> Result<(), Errno> {
        let command = match self.family {
            Family::A => abi::A_INVALIDATE,
            Family::B => abi::B_INVALIDATE,
        };
        call(&self.node, command, address, size).map(drop)
    }
}

/// A buffer of a client, which unmaps it on drop.
#[derive(Debug)]
pub struct Tensor {
    /// Its memory.
    pub memory: Mapping,
    /// What the commands of the family call its first byte.
    pub base: u64,
}

impl Tensor {
    /// All of it, as the commands of the family name it: where it begins, and its length.
    pub fn range(&self) -> (u64, u64) {
        (self.base, self.memory.len())
    }
}

/// Panics unless a client can have the whole region in one piece.
pub fn expect_whole_region() {
    let Stats {
        blocks_used,
        blocks,
        block_bytes,
        ..
    } = Stats::read();
    assert_eq!(blocks_used, 0);
    let whole = Client::open(Family::A).alloc(blocks * block_bytes);
    drop(whole.expect("nothing is in the way"));
}
