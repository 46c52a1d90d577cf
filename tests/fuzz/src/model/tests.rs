// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the model makes of what happens.

use super::*;

const BLOCK: u64 = 16384;

/// A process with a file, whose buffer of four blocks has a handle and is mapped at 1 MiB.
fn model() -> (Model, u32) {
    let mut model = Model {
        base: 0x4000_0000,
        block_bytes: BLOCK,
        nr_blocks: 16,
        ..Model::default()
    };
    let file = model.opened(false, false);
    let process = Process {
        descriptors: vec![(3, file)],
        ..Process::default()
    };
    model.processes.insert(1, process);
    let buffer = Buffer {
        blocks: 4,
        file,
        handle: 7,
        ..Buffer::default()
    };
    model.allocated(0, buffer);
    let vma = Vma {
        end: (1 << 20) + 4 * BLOCK,
        buffer: 0,
        offset: 0,
        file,
        protection: 3,
        stays: false,
    };
    model.mapped(1, 1 << 20, vma);
    (model, file)
}

#[test]
fn a_buffer_lives_while_a_handle_or_a_mapping_does() {
    let (mut model, file) = model();
    model.free_handle(file, 7);
    assert_eq!(model.blocks_used(), 4);
    model.unmap(1, 1 << 20, (1 << 20) + 2 * BLOCK);
    assert_eq!(model.blocks_used(), 4);
    model.unmap(1, 0, u64::MAX);
    assert_eq!((model.blocks_used(), model.counts.frees), (0, 1));
}

#[test]
fn a_buffer_lives_while_it_is_held() {
    let (mut model, file) = model();
    let hold = Hold {
        buffer: 0,
        offset: BLOCK,
        bytes: 1,
    };
    model.held(3, hold);
    model.free_handle(file, 7);
    model.ended(1, true);
    assert_eq!((model.blocks_used(), model.counts.frees), (4, 0));
    model.let_go(2);
    assert_eq!(model.blocks_used(), 4);
    model.let_go(3);
    assert_eq!((model.blocks_used(), model.counts.frees), (0, 1));
    // The device may write on behalf of nobody that died, for the driver has let go.
    assert_eq!(model.counts.quarantined, 0);
}

#[test]
fn a_mapping_keeps_the_handles_of_a_closed_file() {
    let (mut model, file) = model();
    model.processes.insert(
        1,
        Process {
            descriptors: Vec::new(),
            ..model.processes[&1].clone()
        },
    );
    model.release(file);
    assert_eq!(model.files[&file].handles.len(), 1);
    model.unmap(1, 0, u64::MAX);
    assert!(model.files.is_empty() && model.buffers.is_empty());
}

#[test]
fn a_hole_in_the_middle_makes_two_mappings() {
    let (mut model, _) = model();
    model.unmap(1, (1 << 20) + BLOCK, (1 << 20) + 2 * BLOCK);
    assert_eq!(model.buffers[&0].vmas, 2);
    assert_eq!(model.contiguous(1, 1 << 20), BLOCK);
    assert_eq!(model.address_of(1, 0, BLOCK), None);
    assert_eq!(
        model.address_of(1, 0, 2 * BLOCK),
        Some((1 << 20) + 2 * BLOCK)
    );
}

#[test]
fn a_changed_part_is_contiguous_with_the_rest() {
    let (mut model, _) = model();
    model.change(1, (1 << 20) + BLOCK, (1 << 20) + 2 * BLOCK, |vma| {
        vma.protection = 0
    });
    assert_eq!(model.buffers[&0].vmas, 3);
    assert_eq!(model.contiguous(1, 1 << 20), 4 * BLOCK);
}

#[test]
fn the_death_of_a_process_leaves_what_its_child_has() {
    let (mut model, _) = model();
    model.forked(1, 2, 99);
    model.ended(1, true);
    assert_eq!((model.buffers[&0].vmas, model.counts.quarantined), (1, 0));
    model.ended(2, true);
    assert!(model.files.is_empty() && model.buffers.is_empty());
    assert_eq!(model.counts.quarantined, 1);
}

#[test]
fn the_lowest_aligned_run_is_found() {
    let (model, _) = model();
    assert_eq!(model.find(2, 0), Some(4));
    assert_eq!(model.find(2, 8 * BLOCK), Some(8));
    assert_eq!(model.find(13, 0), None);
    let longer = Model {
        nr_blocks: 1024,
        ..model.clone()
    };
    assert_eq!(longer.find(127, 0), Some(4));
    assert_eq!(longer.find(128, 0), Some(128));
    assert_eq!(longer.find(500, 0), Some(4));
    assert_eq!(longer.find(250, 0), Some(128));
    assert_eq!(longer.find(254, 0), Some(4));
    assert_eq!((model.largest(4096), model.largest(8 * BLOCK)), (12, 8));
}

#[test]
fn what_was_freed_may_be_taken_again_for_as_many_blocks() {
    let (mut model, _) = model();
    model.freed = vec![(6, 2), (9, 2), (8, 2), (12, 3)];
    assert_eq!(model.places(2, 0), [4, 6, 9, 8]);
    assert_eq!(model.places(2, 4 * BLOCK), [4, 8]);
    assert_eq!(model.places(4, 0), [4]);
    assert_eq!(model.places(13, 0), []);
    assert!(model.is_free(4, 12) && !model.is_free(3, 2) && !model.is_free(4, 13));
}

#[test]
fn a_mark_outlives_the_file_and_quarantines() {
    let (mut model, file) = model();
    model.areas.insert(
        file,
        Area {
            pages: 1,
            ..Area::default()
        },
    );
    let slot = model.clear_next_slot(file);
    assert_eq!(slot, Some(0));
    let buffer = Buffer {
        blocks: 1,
        file,
        handle: 8,
        slot,
        ..Buffer::default()
    };
    model.allocated(4, buffer);
    assert_eq!(model.clear_next_slot(file), Some(1));
    model.areas.get_mut(&file).unwrap().store(0, 5);
    model.ended(1, false);
    assert_eq!((model.counts.frees, model.counts.quarantined), (2, 1));
    assert!(model.areas[&file].used.is_empty());
}

#[test]
fn who_tells_by_a_status_area_is_believed_in_a_crash() {
    let (mut model, file) = model();
    model.areas.insert(file, Area::default());
    model.ended(1, true);
    assert_eq!((model.counts.frees, model.counts.quarantined), (1, 0));
}
