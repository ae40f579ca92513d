//! Every rule of [`engine::io::Disk`], each a named scenario over any disk, so that the simulator
//! judges the code that runs. `engine/sim/tests/contract.rs` runs them on the simulated disk and
//! `engine/store/tests/contract.rs` on a real one.

mod files;
mod memory;
mod names;

use engine::io::{BLOCK, Disk, FileName, IO_BYTES_MAX, Open};

/// The pool that a scenario's disk must have, in bytes.
pub const POOL_BYTES: usize = 8 * IO_BYTES_MAX;

/// Calls a macro with the list of all scenarios.
#[macro_export]
macro_rules! for_each_scenario {
    ($then:ident $(, $extra:path)?) => {
        $then! { $($extra;)?
            written_blocks_are_read_back,
            an_overwrite_changes_only_its_own_blocks,
            a_read_past_the_end_is_short,
            writes_and_reads_in_flight_together_do_not_mix,
            allocated_bytes_read_as_zero_and_old_ones_stay,
            truncated_bytes_are_gone_and_read_as_zero_when_they_return,
            flushing_one_or_many_files_keeps_their_bytes,
            a_chunk_that_was_read_can_be_written,
            opening_what_is_missing_is_not_found,
            opening_twice_is_the_same_file,
            a_rename_replaces_and_open_files_follow,
            a_renamed_directory_takes_all_with_it,
            removing_is_deep_and_removing_nothing_succeeds,
            a_removed_file_stays_readable_while_open,
            directories_come_with_their_parents_and_list_sorted,
            a_replaced_file_holds_the_new_bytes,
            one_sync_takes_names_and_bytes,
            a_small_file_has_a_limit,
            syncing_a_missing_directory_is_not_found,
            a_buffer_costs_a_power_of_two,
            the_pool_runs_out_and_recovers,
            a_read_waits_for_memory,
            readers_leave_half_of_the_pool,
            a_read_that_is_dropped_gives_its_memory_back,
        }
    };
}

macro_rules! dispatch {
    ($($name:ident,)*) => {
        /// Runs the scenario of this name on a disk with an empty tree and a pool of [`POOL_BYTES`].
        ///
        /// # Panics
        /// If the disk breaks the rule, or there is no such scenario.
        pub async fn run<D: Disk>(name: &str, disk: D) {
            use {files::*, memory::*, names::*};
            match name {
                $(stringify!($name) => $name(&disk).await,)*
                other => panic!("no scenario {other}"),
            }
        }
    };
}

for_each_scenario!(dispatch);

/// One `#[test]` for every scenario, each of which calls a `fn(&'static str)` with its name.
#[macro_export]
macro_rules! contract_tests {
    ($harness:path; $($name:ident,)*) => {
        $(#[test]
        fn $name() {
            $harness(stringify!($name));
        })*
    };
}

/// A file name.
fn name(path: &str) -> FileName {
    FileName::new(path)
}

/// A chunk of `blocks` blocks, each full of its own byte: `first`, `first + 1` …
fn blocks<D: Disk>(disk: &D, first: u8, blocks: usize) -> D::Chunk {
    let mut buf = disk.take(blocks * BLOCK).expect("the pool has room");
    for i in 0..blocks {
        buf[i * BLOCK..(i + 1) * BLOCK].fill(first.wrapping_add(i as u8));
    }
    disk.seal(buf, blocks * BLOCK)
}

async fn create<D: Disk>(disk: &D, path: &str) -> D::File {
    disk.open(&name(path), Open::OrCreate).await.expect("a file can be created")
}

/// The bytes `from..from + len`.
async fn bytes<D: Disk>(disk: &D, file: &D::File, from: u64, len: usize) -> Vec<u8> {
    disk.read(file, from, len).await.expect("a file can be read").to_vec()
}
