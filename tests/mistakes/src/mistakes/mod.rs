// SPDX-License-Identifier: MIT OR Apache-2.0

//! The programs. Each takes whether to make its mistake; the two ways differ in one sync.
//!
//! `mistakes.toml` says of each what is wrong.

mod accelerator;
mod attributes;
mod from_device;
mod instructions;
mod library;
mod lines;
mod mappings;
mod others;
mod reuse;
mod rings;
mod timing;
mod to_device;

use crate::scene::Scene;
use crate::verdict::Verdict;

/// A program.
pub(crate) type Program = fn(&Scene, bool) -> Verdict;

macro_rules! programs {
    ($($module:ident: $($function:ident)*;)*) => {
        /// All programs by name, with `_` for `-`.
        pub(crate) const PROGRAMS: &[(&str, Program)] = &[
            $($((stringify!($function), $module::$function),)*)*
        ];
    };
}

programs! {
    to_device:
        missing_clean
        clean_before_store
        clean_after_start
        clean_wrong_buffer
        clean_without_offset
        clean_counts_elements
        clean_short_at_end
        clean_short_at_start
        clean_rounds_down
        clean_only_at_setup
        clean_other_half_of_double_buffer
        flag_after_clean
        input_synced_as_output
        vector_lacks_range
        vector_repeats_range;
    from_device:
        dirty_output
        dirty_last_line_of_output
        store_to_output_after_invalidate
        no_invalidate_of_fresh_output
        no_invalidate_of_used_output
        flush_where_invalidate_is_needed
        invalidate_before_start
        invalidate_before_device_is_done
        invalidate_wrong_buffer
        invalidate_short_at_end
        invalidate_short_at_start
        invalidate_rounds_start_up
        store_before_invalidate
        result_overwritten_in_part
        in_place_result_not_invalidated
        vector_with_wrong_operation;
    lines:
        status_shares_line
        tensors_share_line
        store_straddles_lines
        atomic_counter_not_cleaned
        cleared_lines_not_cleaned;
    others:
        thread_stores_late
        child_stores_without_clean
        child_reads_old_lines
        file_read_not_cleaned
        file_written_from_old_lines
        unmapping_is_no_clean
        second_mapping_synced_at_wrong_offset;
    rings:
        status_polled_without_invalidate
        payload_behind_status_not_invalidated
        ring_wraps_around
        descriptor_of_last_round
        chain_with_store_between
        chain_patched_without_invalidate
        chain_over_dirty_buffer
        chain_with_late_clean
        chain_with_load_between;
    attributes:
        dev_mem_read_behind_cache
        dev_mem_written_behind_cache
        coherent_flag_for_other_port
        coherent_transfer_not_asked_for
        write_combine_expected;
    library:
        address_used_without_hand_over
        second_round_without_hand_over
        output_handed_over_as_input
        in_place_handed_over_as_input
        coherent_port_claimed_for_input
        coherent_port_claimed_for_output
        view_written_without_sync
        view_read_without_sync
        sync_for_device_where_cpu_reads
        sync_for_cpu_counts_elements
        sync_for_device_one_line_short
        hand_over_all_lacks_one
        input_copied_by_memcpy
        output_compared_by_memcmp
        taken_back_before_device_is_done;
    instructions:
        el0_clean_without_dsb
        el0_dsb_before_clean
        el0_clean_stops_early
        el0_clean_from_middle_of_line
        el0_lines_of_128_bytes
        el0_clean_to_unification
        el0_dirty_output
        el0_clean_where_invalidate_is_needed
        el0_invalidate_without_first_line
        el0_past_end_of_mapping;
    accelerator:
        second_descriptor_not_cleaned
        completion_polled_without_invalidate
        result_invalidated_while_device_works
        operand_stored_after_descriptor
        neighbour_stored_while_device_works
        slot_patched_without_invalidate
        layer_read_between_layers;
    timing:
        invalidate_before_wait
        neighbour_stored_before_wait
        taken_back_before_wait
        descriptor_cleaned_after_doorbell
        operand_cleaned_after_doorbell
        operand_changed_after_doorbell
        result_cleaned_after_doorbell
        small_result_invalidated_before_wait
        no_invalidate_after_interrupt
        operand_reused_before_interrupt
        interrupt_is_no_barrier
        invalidate_before_interrupt
        input_refilled_before_wait;
    mappings:
        moved_mapping_cleaned_by_old_length
        tail_unmapped_before_clean
        handle_offset_counted_from_mapping
        overlapping_ranges_leave_the_end
        read_only_mapping_not_invalidated
        other_process_reads_what_was_invalidated_before
        mapping_again_is_no_invalidate
        pipe_written_from_old_lines
        reader_thread_does_not_wait_for_invalidate
        child_cleans_less_than_it_stored;
    reuse:
        output_edited_and_used_as_input
        input_used_as_output
        memcpy_overruns_into_result
        write_combine_store_without_barrier
        list_cleaned_by_its_first_line
        device_owned_words_in_shared_structure
        address_kept_after_take_back
        sync_for_device_without_offset;
}
