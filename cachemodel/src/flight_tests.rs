// SPDX-License-Identifier: GPL-2.0-or-later

//! Situations in which a device may still be at work, as far as the program can know.

use crate::master::Master;
use crate::memory::tests::Ram;
use crate::memory::Memory;
use crate::model::{Access, Maintenance, Model};
use crate::policy::Policy;
use crate::report::{Kind, Place};
use crate::walk::Attribute;

const REGION: u64 = 0x1_0000;
/// Two lines of what the device writes.
const PAYLOAD: u64 = REGION + 0x1040;
const STATUS: u64 = REGION + 0x1080;
const DEVICE: u32 = 1;

const POLICIES: [&str; 3] = ["never", "evict:3", "prefetch:3"];

const USER: Access = Access {
    place: Place {
        pc: 1,
        link: 0,
        process: 0,
        master: 0,
    },
    kernel: false,
    attribute: Attribute::Cacheable,
};

/// A board on which the CPU has read both lines, and dropped them before the device writes 7s.
fn after_transfer(policy: &str) -> Model<Ram> {
    let policy: Policy = policy.parse().unwrap();
    let ram = Ram::new(REGION - 0x1000, 0x6000);
    let mut model = Model::new(ram, REGION..REGION + 0x4000, policy);
    for line in [PAYLOAD, STATUS] {
        load(&mut model, line);
        invalidate(&mut model, line);
    }
    model.start_transfer();
    let start = Place {
        pc: 4,
        master: DEVICE,
        ..Place::default()
    };
    let master = Master {
        start,
        barriers: model.barriers(),
        coherent: false,
    };
    model.master_write(&master, PAYLOAD, &[7; 64]);
    model.master_write(&master, STATUS, &[7; 64]);
    model
}

fn load(model: &mut Model<Ram>, address: u64) -> u8 {
    let mut bytes = [0];
    model.memory.read(address, &mut bytes);
    model.load(&USER, address, 1);
    bytes[0]
}

fn invalidate(model: &mut Model<Ram>, address: u64) {
    model.maintain(Maintenance::CleanInvalidate, &USER, address);
    model.barrier();
}

fn kinds(model: &Model<Ram>) -> Vec<Kind> {
    assert_eq!(model.first_wrong_line(), None, "the file is out of step");
    model.reports.list().iter().map(|r| r.kind).collect()
}

#[test]
fn invalidating_before_anybody_looked_is_too_early() {
    for policy in POLICIES {
        let mut model = after_transfer(policy);
        invalidate(&mut model, PAYLOAD);
        model.look_at(DEVICE);
        let seen = load(&mut model, PAYLOAD);
        assert_eq!(kinds(&model), [Kind::MissingInvalidate], "{policy}");
        assert_eq!(seen == 7, policy != "prefetch:3", "{policy}");
    }
}

#[test]
fn invalidating_after_a_look_is_in_time() {
    for policy in POLICIES {
        let mut model = after_transfer(policy);
        model.look_at(DEVICE);
        invalidate(&mut model, PAYLOAD);
        assert_eq!(load(&mut model, PAYLOAD), 7, "{policy}");
        assert_eq!(kinds(&model), [], "{policy}");
    }
}

#[test]
fn a_look_at_another_device_tells_nothing() {
    let mut model = after_transfer("never");
    model.look_at(DEVICE + 1);
    invalidate(&mut model, PAYLOAD);
    model.look_at(DEVICE);
    load(&mut model, PAYLOAD);
    assert_eq!(kinds(&model), [Kind::MissingInvalidate]);
}

#[test]
fn a_device_is_done_when_the_cpu_has_slept() {
    let mut model = after_transfer("never");
    model.sleep();
    invalidate(&mut model, PAYLOAD);
    load(&mut model, PAYLOAD);
    assert_eq!(kinds(&model), []);
}

#[test]
fn a_status_in_memory_can_be_polled() {
    for policy in POLICIES {
        let mut model = after_transfer(policy);
        let mut looks = 0;
        loop {
            invalidate(&mut model, STATUS);
            looks += 1;
            if load(&mut model, STATUS) == 7 {
                break;
            }
            assert!(looks < 3, "{policy}");
        }
        invalidate(&mut model, PAYLOAD);
        assert_eq!(load(&mut model, PAYLOAD), 7, "{policy}");
        assert_eq!(kinds(&model), [], "{policy}");
    }
}

#[test]
fn a_payload_invalidated_before_its_status_was_seen_is_too_early() {
    for policy in POLICIES {
        let mut model = after_transfer(policy);
        invalidate(&mut model, PAYLOAD);
        invalidate(&mut model, STATUS);
        load(&mut model, STATUS);
        load(&mut model, PAYLOAD);
        assert_eq!(kinds(&model), [Kind::MissingInvalidate], "{policy}");
    }
}

#[test]
fn a_store_to_a_line_that_the_device_writes_is_lost() {
    let mut model = after_transfer("never");
    model.memory.write(PAYLOAD, &[9]);
    model.store(&USER, PAYLOAD, 1);
    assert_eq!(kinds(&model), [Kind::LostToEviction]);
}

#[test]
fn a_store_after_the_device_is_done_and_the_line_dropped_is_not() {
    let mut model = after_transfer("never");
    model.look_at(DEVICE);
    invalidate(&mut model, PAYLOAD);
    model.memory.write(PAYLOAD, &[9]);
    model.store(&USER, PAYLOAD, 1);
    assert_eq!(kinds(&model), []);
}

/// A device reads the first half of a line.
fn device_reads_half(model: &mut Model<Ram>) {
    model.start_transfer();
    let start = Place {
        pc: 4,
        master: DEVICE,
        ..Place::default()
    };
    let master = Master {
        start,
        barriers: model.barriers(),
        coherent: false,
    };
    model.master_read(&master, REGION + 0x2000, &mut [0; 32]);
}

fn store(model: &mut Model<Ram>, address: u64) {
    model.memory.write(address, &[9]);
    model.store(&USER, address, 1);
}

#[test]
fn a_store_to_what_the_device_reads_is_too_early() {
    let mut model = after_transfer("never");
    load(&mut model, REGION + 0x2000);
    device_reads_half(&mut model);
    // The rest of the line is nobody's.
    store(&mut model, REGION + 0x2020);
    assert_eq!(kinds(&model), []);
    store(&mut model, REGION + 0x201f);
    assert_eq!(kinds(&model), [Kind::MissingClean]);
}

#[test]
fn a_store_after_the_device_has_read_is_not() {
    let mut model = after_transfer("never");
    load(&mut model, REGION + 0x2000);
    device_reads_half(&mut model);
    model.look_at(DEVICE);
    store(&mut model, REGION + 0x2000);
    assert_eq!(kinds(&model), []);
}
