// SPDX-License-Identifier: MIT OR Apache-2.0

//! The channel's driver against a register file that behaves as the channel does.

use super::*;
use std::collections::BTreeMap;

/// How the channel ends a transfer.
#[derive(Clone, Copy)]
enum End {
    Done,
    Error(u32),
    Never,
}

/// A register file that completes transfers and remembers what was written.
struct FakeRegisters {
    values: BTreeMap<usize, u32>,
    writes: Vec<(usize, u32)>,
    end: End,
}

impl Registers for FakeRegisters {
    fn read(&self, offset: usize) -> u32 {
        self.values.get(&offset).copied().unwrap_or(0)
    }

    fn write(&mut self, offset: usize, value: u32) {
        self.writes.push((offset, value));
        let before = self.read(offset);
        match offset {
            // Write 1 to clear.
            ISR | TOTAL_BYTE => self.values.insert(offset, before & !value),
            _ => self.values.insert(offset, value),
        };
        if (offset, value) == (CTRL2, CTRL2_EN) {
            self.transfer();
        }
    }
}

impl FakeRegisters {
    fn transfer(&mut self) {
        match self.end {
            End::Done => {
                let moved = self.read(TOTAL_BYTE) + self.read(SRC_DSCR + 8);
                self.values.insert(TOTAL_BYTE, moved);
                self.values.insert(ISR, self.read(ISR) | ISR_DMA_DONE);
            }
            End::Error(bits) => {
                self.values.insert(ISR, bits);
            }
            End::Never => {}
        }
    }
}

fn zdma(end: End) -> Zdma<FakeRegisters> {
    let registers = FakeRegisters {
        values: BTreeMap::new(),
        writes: Vec::new(),
        end,
    };
    Zdma {
        registers,
        patience: Duration::from_millis(1),
    }
}

const SRC: DeviceAddr = DeviceAddr::new(0x1_2345_6000);
const DST: DeviceAddr = DeviceAddr::new(0x8_6000_0000);

#[test]
fn programs_both_addresses_and_sizes_before_the_start() {
    let mut zdma = zdma(End::Done);
    zdma.program(SRC, DST, 0x1000);
    zdma.run().unwrap();
    assert_eq!(
        zdma.registers.writes,
        [
            (0x100, 0xfff),
            (0x188, 0xffff_ffff),
            (0x128, 0x2345_6000),
            (0x12c, 1),
            (0x130, 0x1000),
            (0x138, 0x6000_0000),
            (0x13c, 8),
            (0x140, 0x1000),
            (0x200, 1),
        ]
    );
}

#[test]
fn does_not_start_what_is_only_programmed() {
    let mut zdma = zdma(End::Done);
    zdma.program(SRC, DST, 64);
    assert_eq!(zdma.registers.read(CTRL2), 0);
    assert_eq!(zdma.moved_bytes(), 0);
}

#[test]
fn reports_the_bytes_of_the_last_transfer_only() {
    let mut zdma = zdma(End::Done);
    for size in [100, 36] {
        zdma.program(SRC, DST, size);
        assert_eq!(zdma.run().unwrap(), usize::try_from(size).unwrap());
    }
}

#[test]
fn an_old_completion_is_not_taken_for_a_new_one() {
    let mut zdma = zdma(End::Never);
    zdma.registers.values.insert(ISR, ISR_DMA_DONE);
    zdma.program(SRC, DST, 64);
    assert!(matches!(zdma.run(), Err(ZdmaError::Timeout { isr: 0, .. })));
}

#[test]
fn waits_for_its_patience_and_no_longer() {
    let mut zdma = zdma(End::Never);
    zdma.program(SRC, DST, 64);
    let Err(ZdmaError::Timeout { waited, .. }) = zdma.run() else {
        panic!("the transfer ended");
    };
    assert!(waited >= zdma.patience);
}

#[test]
fn an_error_is_reported_even_if_the_transfer_is_done() {
    let mut zdma = zdma(End::Error(ISR_DMA_DONE | 1 << 9));
    zdma.program(SRC, DST, 64);
    let error = zdma.run().unwrap_err();
    assert!(matches!(error, ZdmaError::Failed { isr: 0x600 }));
    assert!(error
        .to_string()
        .contains("error response to a write of data (ISR 0x600)"));
}

#[test]
fn every_error_bit_fails_the_transfer() {
    for (bit, _) in ISR_ERRORS {
        let mut zdma = zdma(End::Error(bit));
        zdma.program(SRC, DST, 64);
        assert!(matches!(zdma.run(), Err(ZdmaError::Failed { isr }) if isr == bit));
    }
}

#[test]
fn a_transfer_fits_both_buffers_and_the_register() {
    assert_eq!(transfer_size(64, 64, 64).unwrap(), 64);
    assert_eq!(
        transfer_size(MAX_BYTES, usize::MAX, usize::MAX).unwrap(),
        0x3fff_ffff
    );
    for (len, src, dst) in [
        (0, 64, 64),
        (65, 64, 128),
        (65, 128, 64),
        (MAX_BYTES + 1, usize::MAX, usize::MAX),
    ] {
        let error = transfer_size(len, src, dst).unwrap_err();
        assert!(matches!(error, ZdmaError::Length { len: l, .. } if l == len));
    }
}
