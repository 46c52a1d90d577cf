// SPDX-License-Identifier: GPL-2.0-or-later

//! Stores to registers, and the transfers that they start.

use super::*;
use std::collections::BTreeMap;

fn no_memory(_: u64, _: &mut [u8]) {
    panic!("registers describe the transfer");
}

/// Stores pairs of offset and value and returns what the last one made happen.
fn run(channel: &mut Channel, stores: &[(u64, u32)]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (offset, value) in stores {
        assert_eq!(steps, [], "before {offset:#x}");
        steps = channel.store(*offset, *value, &mut no_memory);
    }
    steps
}

const COPY: [(u64, u32); 6] = [
    (SOURCE, 0x5000_0000),
    (SOURCE + 4, 0),
    (SOURCE + 8, 272),
    (DESTINATION, 0x6000_0000),
    (DESTINATION + 4, 8),
    (DESTINATION + 8, 1),
];

#[test]
fn registers_describe_a_copy() {
    let mut channel = Channel::default();
    assert_eq!(run(&mut channel, &COPY), []);
    let expected = [Step::Copy {
        from: 0x5000_0000,
        from_coherent: false,
        to: 0x8_6000_0000,
        to_coherent: false,
        len: 272,
    }];
    assert_eq!(run(&mut channel, &[(CTRL2, 1)]), expected);
    assert_eq!(run(&mut channel, &[(CTRL2, 0xffff_ffff)]), expected);
    assert_eq!(run(&mut channel, &[(CTRL2, 0)]), []);
}

#[test]
fn the_descriptors_say_which_side_is_coherent() {
    let mut channel = Channel::default();
    run(&mut channel, &COPY);
    let steps = run(&mut channel, &[(DESTINATION + 12, 1), (CTRL2, 1)]);
    let [Step::Copy {
        from_coherent,
        to_coherent,
        ..
    }] = steps[..]
    else {
        panic!("{steps:?}");
    };
    assert_eq!((from_coherent, to_coherent), (false, true));
}

#[test]
fn write_only_mode_fills_the_destination() {
    let mut channel = Channel::default();
    run(&mut channel, &COPY);
    let words = (0..4).map(|i| (WRITE_ONLY + i * 4, 0x0101_0101 * u32::try_from(i).unwrap()));
    run(&mut channel, &words.collect::<Vec<_>>());
    let steps = run(&mut channel, &[(CTRL0, 0x90), (CTRL2, 1)]);
    let pattern = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3];
    let fill = Step::Fill {
        pattern,
        to: 0x8_6000_0000,
        coherent: false,
        len: 1,
    };
    assert_eq!(steps, [fill]);
}

#[test]
fn read_only_mode_reads_the_source() {
    let mut channel = Channel::default();
    run(&mut channel, &COPY);
    let read = Step::Read {
        from: 0x5000_0000,
        coherent: false,
        len: 272,
    };
    assert_eq!(run(&mut channel, &[(CTRL0, 0xa0), (CTRL2, 1)]), [read]);
}

#[test]
fn descriptors_in_memory_are_followed_until_one_stops() {
    let mut memory = BTreeMap::new();
    let mut put = |at: u64, address: u64, size: u32, attributes: u32| {
        memory.insert(at, u64::to_le_bytes(address));
        let rest = u64::from(attributes) << 32 | u64::from(size);
        memory.insert(at + 8, u64::to_le_bytes(rest));
    };
    put(0x1000, 0xa000, 96, 0);
    put(0x1010, 0xb000, 32, 2 << 3);
    put(0x2000, 0xc000, 64, ATTR_LINKED);
    put(0x3000, 0xd000, 64, 0);
    memory.insert(0x2010, u64::to_le_bytes(0x3000));
    let mut read = |at: u64, bytes: &mut [u8]| {
        for (word, bytes) in bytes.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&memory[&(at + word as u64 * 8)]);
        }
    };

    let mut channel = Channel::default();
    let mut steps = Vec::new();
    for (offset, value) in [
        (CTRL0, 0xc0),
        (SOURCE_START, 0x1000),
        (DESTINATION_START, 0x2000),
        (CTRL2, 1),
    ] {
        steps = channel.store(offset, value, &mut read);
    }
    let descriptor = |address, len| Step::ReadDescriptor { address, len };
    let copy = |from, to, len| Step::Copy {
        from,
        from_coherent: false,
        to,
        to_coherent: false,
        len,
    };
    let expected = [
        descriptor(0x2000, 24),
        descriptor(0x1000, 16),
        copy(0xa000, 0xc000, 64),
        descriptor(0x3000, 16),
        copy(0xa040, 0xd000, 32),
        descriptor(0x1010, 16),
        copy(0xb000, 0xd020, 32),
    ];
    assert_eq!(steps, expected);
    assert_eq!(channel.state, State::Disabled);
}

#[test]
fn addresses_name_channels_and_registers() {
    assert_eq!(channel_at(0xfd51_0200), Some((1, 0x200)));
    assert_eq!(channel_at(0xffaf_0000), Some((15, 0)));
    assert_eq!(channel_at(0xfd58_0000), None);
    assert_eq!(channel_at(0xfd50_1000), None);
    assert_eq!(channel_name(1), "gdma channel 1");
    assert_eq!(channel_name(15), "adma channel 7");
}

#[test]
fn channels_interrupt_by_their_numbers() {
    let channel = |number| super::channel_of_interrupt(number);
    assert_eq!(
        [channel(156), channel(157), channel(163)],
        [Some(0), Some(1), Some(7)]
    );
    assert_eq!([channel(109), channel(116)], [Some(8), Some(15)]);
    assert_eq!(
        [
            channel(27),
            channel(108),
            channel(117),
            channel(164),
            channel(1023)
        ],
        [None; 5]
    );
}
