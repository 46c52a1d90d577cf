// SPDX-License-Identifier: GPL-2.0-or-later

//! ZynqMP's ZDMA as QEMU models it: which transfers a store to its registers makes happen.
//!
//! QEMU executes them within the store. The registers follow AMD's Zynq UltraScale+ register
//! reference, modules GDMA and ADMA; what QEMU leaves out is left out here.

use crate::memory::host;

/// Addresses of the channels' register pages.
const BASES: [u64; 2] = [0xfd50_0000, 0xffa8_0000];
const CHANNEL_STRIDE: u64 = 0x1_0000;
const CHANNELS_PER_BASE: u64 = 8;

/// Interrupts of the first channels, as the interrupt controller counts: 32 more than in a device tree.
const GDMA_INTERRUPT: u32 = 124 + 32;
const ADMA_INTERRUPT: u32 = 77 + 32;

/// Number of channels: eight of GDMA, then eight of ADMA.
pub const NR_CHANNELS: usize = 16;

const ISR: u64 = 0x100;
const CTRL0: u64 = 0x110;
const CTRL0_POINT_TYPE_MEMORY: u32 = 1 << 6;
const CTRL0_CONT_ADDR: u32 = 1 << 2;
const CTRL0_CONT: u32 = 1 << 1;
const DATA_ATTR: u64 = 0x120;
const SOURCE: u64 = 0x128;
const DESTINATION: u64 = 0x138;
const WRITE_ONLY: u64 = 0x148;
const SOURCE_START: u64 = 0x158;
const DESTINATION_START: u64 = 0x160;
const CTRL2: u64 = 0x200;
const CTRL2_EN: u32 = 1;
const REGISTERS: usize = 0x204 / 4;

const SIZE_MASK: u32 = (1 << 30) - 1;
const ADDRESS_HIGH_MASK: u32 = (1 << 17) - 1;
const ATTR_COHERENT: u32 = 1;
const ATTR_LINKED: u32 = 1 << 1;
const COMMAND_HALT: u32 = 1;
const COMMAND_STOP: u32 = 2;
const DESCRIPTOR_BYTES: u64 = 16;

/// A list of descriptors that has not ended after so many is taken for one that never ends.
const MOST_DESCRIPTORS: usize = 1 << 16;

/// One thing that a channel does to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reads `len` bytes of descriptors.
    ReadDescriptor {
        /// Physical address.
        address: u64,
        /// Bytes.
        len: u64,
    },
    /// Copies `len` bytes.
    Copy {
        /// Physical address of the source.
        from: u64,
        /// Whether the source is read through the caches.
        from_coherent: bool,
        /// Physical address of the destination.
        to: u64,
        /// Whether the destination is written through the caches.
        to_coherent: bool,
        /// Bytes.
        len: u64,
    },
    /// Reads `len` bytes and drops them.
    Read {
        /// Physical address.
        from: u64,
        /// Whether it is read through the caches.
        coherent: bool,
        /// Bytes.
        len: u64,
    },
    /// Writes the 16-byte pattern over `len` bytes.
    Fill {
        /// What to write.
        pattern: [u8; 16],
        /// Physical address.
        to: u64,
        /// Whether it is written through the caches.
        coherent: bool,
        /// Bytes.
        len: u64,
    },
}

/// The channel and register that a physical address is, if any.
pub fn channel_at(address: u64) -> Option<(usize, u64)> {
    BASES.iter().enumerate().find_map(|(bank, base)| {
        let offset = address.checked_sub(*base)?;
        let (channel, register) = (offset / CHANNEL_STRIDE, offset % CHANNEL_STRIDE);
        let exists = channel < CHANNELS_PER_BASE && register < 0x1000;
        exists.then(|| (bank * host(CHANNELS_PER_BASE) + host(channel), register))
    })
}

/// Whether a store to a register can start a transfer.
pub fn may_start(register: u64) -> bool {
    register == CTRL0 || register == CTRL2
}

/// Whether a store to a register tells that a program knows of a transfer's end.
pub fn acknowledges(register: u64) -> bool {
    register == ISR
}

/// The channel that interrupts with a number, as the interrupt controller counts.
pub fn channel_of_interrupt(number: u32) -> Option<usize> {
    let of_base = |first: u32| {
        let channel = number.checked_sub(first)?;
        (u64::from(channel) < CHANNELS_PER_BASE).then_some(channel)
    };
    let per_base = host(CHANNELS_PER_BASE);
    let channel = of_base(GDMA_INTERRUPT).map(|channel| host(u64::from(channel)));
    channel.or_else(|| Some(per_base + host(u64::from(of_base(ADMA_INTERRUPT)?))))
}

/// The name of a channel.
pub fn channel_name(channel: usize) -> String {
    let per_base = host(CHANNELS_PER_BASE);
    let bank = if channel < per_base { "gdma" } else { "adma" };
    format!("{bank} channel {}", channel % per_base)
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Disabled,
    Enabled,
    Paused,
}

#[derive(Clone, Copy, Debug, Default)]
struct Descriptor {
    address: u64,
    size: u32,
    attributes: u32,
}

impl Descriptor {
    fn is_coherent(&self) -> bool {
        self.attributes & ATTR_COHERENT != 0
    }

    fn command(&self) -> u32 {
        self.attributes >> 3 & 3
    }
}

/// One channel.
#[derive(Clone, Debug)]
pub struct Channel {
    registers: [u32; REGISTERS],
    state: State,
    next_source: u64,
    next_destination: u64,
    destination: Descriptor,
}

impl Default for Channel {
    fn default() -> Self {
        let mut registers = [0; REGISTERS];
        registers[host(CTRL0 / 4)] = 0x80;
        registers[host(DATA_ATTR / 4)] = 0x0483_d20f;
        Self {
            registers,
            state: State::Disabled,
            next_source: 0,
            next_destination: 0,
            destination: Descriptor::default(),
        }
    }
}

impl Channel {
    fn register(&self, offset: u64) -> u32 {
        self.registers[host(offset / 4)]
    }

    fn address_at(&self, offset: u64) -> u64 {
        let high = self.register(offset + 4) & ADDRESS_HIGH_MASK;
        u64::from(high) << 32 | u64::from(self.register(offset))
    }

    fn descriptor_at(&self, offset: u64) -> Descriptor {
        Descriptor {
            address: self.address_at(offset),
            size: self.register(offset + 8) & SIZE_MASK,
            attributes: self.register(offset + 12),
        }
    }

    /// The CPU stores a register. Returns what the channel then does, in order; it reads descriptors
    /// in memory through `read`.
    pub fn store(
        &mut self,
        offset: u64,
        value: u32,
        read: &mut dyn FnMut(u64, &mut [u8]),
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        let Some(register) = self.registers.get_mut(host(offset / 4)) else {
            return steps;
        };
        *register = value;
        if !may_start(offset) {
            return steps;
        }
        let (control, enabled) = (self.register(CTRL0), self.register(CTRL2) & CTRL2_EN != 0);
        let resumes = self.state == State::Paused && control & CTRL0_CONT != 0;
        let mut memory = Descriptors {
            read,
            steps: &mut steps,
        };
        if enabled && resumes {
            if control & CTRL0_CONT_ADDR != 0 {
                self.start(&mut memory);
            }
            self.registers[host(CTRL0 / 4)] &= !CTRL0_CONT;
            self.state = State::Enabled;
        } else if enabled && self.state == State::Disabled {
            self.start(&mut memory);
            self.state = State::Enabled;
        } else if resumes {
            self.state = State::Disabled;
        }
        let mut left = MOST_DESCRIPTORS;
        while self.state == State::Enabled && left > 0 {
            self.process(&mut memory);
            left -= 1;
        }
        steps
    }

    fn in_memory(&self) -> bool {
        self.register(CTRL0) & CTRL0_POINT_TYPE_MEMORY != 0
    }

    fn start(&mut self, memory: &mut Descriptors<'_>) {
        self.next_source = self.address_at(SOURCE_START);
        self.next_destination = self.address_at(DESTINATION_START);
        self.load_destination(memory);
    }

    fn load_destination(&mut self, memory: &mut Descriptors<'_>) {
        if !self.in_memory() {
            self.destination = self.descriptor_at(DESTINATION);
            return;
        }
        let (descriptor, next) = memory.load(self.next_destination);
        self.destination = descriptor;
        self.next_destination = next;
    }

    /// Runs one source descriptor.
    fn process(&mut self, memory: &mut Descriptors<'_>) {
        let in_memory = self.in_memory();
        let (source, next) = if in_memory {
            if !self.next_source.is_multiple_of(DESCRIPTOR_BYTES) {
                self.state = State::Disabled;
                return;
            }
            memory.load(self.next_source)
        } else {
            (self.descriptor_at(SOURCE), 0)
        };
        self.next_source = next;
        if in_memory {
            self.copy(memory, &source);
        } else {
            let step = self.simple(&source);
            memory.steps.push(step);
        }
        if !in_memory || source.command() == COMMAND_STOP {
            self.registers[host(CTRL2 / 4)] &= !CTRL2_EN;
            self.state = State::Disabled;
        } else if source.command() == COMMAND_HALT {
            self.state = State::Paused;
        }
    }

    /// A transfer that registers describe. Bursts to a fixed address, which QEMU knows too, make no
    /// sense in memory and are taken for ordinary ones.
    fn simple(&self, source: &Descriptor) -> Step {
        let (to, to_coherent) = (self.destination.address, self.destination.is_coherent());
        match self.register(CTRL0) >> 4 & 3 {
            1 => {
                let mut pattern = [0; 16];
                for (word, bytes) in (0..).zip(pattern.chunks_exact_mut(4)) {
                    let value = self.register(WRITE_ONLY + word * 4);
                    bytes.copy_from_slice(&value.to_le_bytes());
                }
                Step::Fill {
                    pattern,
                    to,
                    coherent: to_coherent,
                    len: u64::from(self.destination.size),
                }
            }
            2 => Step::Read {
                from: source.address,
                coherent: source.is_coherent(),
                len: u64::from(source.size),
            },
            // As on hardware, the size of the source counts.
            _ => Step::Copy {
                from: source.address,
                from_coherent: source.is_coherent(),
                to,
                to_coherent,
                len: u64::from(source.size),
            },
        }
    }

    /// Copies what one source descriptor in memory names to where the destination descriptors say.
    fn copy(&mut self, memory: &mut Descriptors<'_>, source: &Descriptor) {
        let (mut from, mut left) = (source.address, source.size);
        while left > 0 {
            if self.destination.size & SIZE_MASK == 0 {
                self.load_destination(memory);
                if self.destination.size & SIZE_MASK == 0 {
                    // QEMU would look for room forever.
                    return;
                }
            }
            let len = left.min(self.destination.size & SIZE_MASK);
            memory.steps.push(Step::Copy {
                from,
                from_coherent: source.is_coherent(),
                to: self.destination.address,
                to_coherent: self.destination.is_coherent(),
                len: u64::from(len),
            });
            from += u64::from(len);
            self.destination.address += u64::from(len);
            self.destination.size -= len;
            left -= len;
        }
    }
}

/// Descriptors in memory.
struct Descriptors<'a> {
    read: &'a mut dyn FnMut(u64, &mut [u8]),
    steps: &'a mut Vec<Step>,
}

impl Descriptors<'_> {
    /// Reads the descriptor at `address` and the address of the one after it.
    fn load(&mut self, address: u64) -> (Descriptor, u64) {
        let mut words = [0; 16];
        (self.read)(address, &mut words);
        let word = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&words[at..at + 4]);
            u32::from_le_bytes(bytes)
        };
        let descriptor = Descriptor {
            address: u64::from(word(4)) << 32 | u64::from(word(0)),
            size: word(8) & SIZE_MASK,
            attributes: word(12),
        };
        let linked = descriptor.attributes & ATTR_LINKED != 0;
        let mut next = address + DESCRIPTOR_BYTES;
        let mut len = DESCRIPTOR_BYTES;
        if linked {
            let mut bytes = [0; 8];
            (self.read)(next, &mut bytes);
            next = u64::from_le_bytes(bytes);
            len += 8;
        }
        self.steps.push(Step::ReadDescriptor { address, len });
        (descriptor, next)
    }
}

#[cfg(test)]
mod tests;
