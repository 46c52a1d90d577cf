// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the guest's kernel log says about a run.

/// What the guest's init reports.
const REPORT: &str = "fpgamem-guest: ";

/// Words of a kernel that found a fault in itself or in a module.
const FAULTS: [&str; 28] = [
    "[ cut here ]",
    "WARNING:",
    "BUG:",
    "BUG at ",
    "kernel BUG",
    "Oops",
    "Kernel panic",
    "Unable to handle kernel",
    "Internal error:",
    "KASAN:",
    "KFENCE:",
    "UBSAN:",
    "KCSAN:",
    "DMA-API:",
    "ODEBUG:",
    "refcount_t:",
    "list_add corruption",
    "list_del corruption",
    "possible recursive locking",
    "possible circular locking",
    "INFO: possible",
    "INFO: trying to register",
    "INFO: rcu",
    "rcu: INFO:",
    "INFO: task ",
    "unreferenced object",
    "scheduling while atomic",
    "rust_kernel: panicked",
];

/// What a kernel that watches says at its start although nothing is wrong.
const HARMLESS: [&str; 2] = [
    "DMA-API: preallocated ",
    "DMA-API: debugging enabled by kernel config",
];

/// The guest has started the command.
pub(crate) fn is_ready(log: &str) -> bool {
    report(log, "ready").is_some()
}

/// The command's exit status.
pub(crate) fn exit_status(log: &str) -> Option<i32> {
    report(log, "exit ")?.trim().parse().ok()
}

/// Why the guest's init gave up.
pub(crate) fn failure(log: &str) -> Option<&str> {
    report(log, "failed: ").map(str::trim)
}

/// The rest of the line on which init reports `what`.
fn report<'a>(log: &'a str, what: &str) -> Option<&'a str> {
    log.lines()
        .find_map(|line| line.split_once(REPORT)?.1.strip_prefix(what))
}

/// How a test announces the one fault of the driver's that it provokes: damage of free memory at an
/// address.
const EXPECTED: &str = "fpgamem-tests: will damage ";

/// Lines that no healthy kernel prints.
pub(crate) fn faults(log: &str) -> Vec<&str> {
    let expected: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once(EXPECTED)?.1.split_whitespace().next())
        .collect();
    let provoked = |line: &str| {
        expected.iter().any(|address| {
            line.contains(&format!(
                "fpgamem: BUG: free memory at {address} was written"
            ))
        })
    };
    log.lines()
        .filter(|line| FAULTS.iter().any(|fault| line.contains(fault)))
        .filter(|line| !HARMLESS.iter().any(|words| line.contains(words)))
        .filter(|line| !provoked(line))
        .collect()
}

/// The last lines of the log.
pub(crate) fn tail(log: &str, lines: usize) -> String {
    let all: Vec<&str> = log.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: &str =
        "[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x410fd034]\n\
        [    0.412345] fpgamem 40000000.memory: 1 GiB at 0x40000000, 65536 blocks of 16384 bytes\n\
        [    0.512345] fpgamem-guest: ready\n\
        [    1.000000] fpgamem-guest: exit 7\n\
        [    1.100000] reboot: Power down\n";

    #[test]
    fn reads_the_status_of_a_healthy_run() {
        assert!(is_ready(HEALTHY));
        assert_eq!(exit_status(HEALTHY), Some(7));
        assert_eq!(failure(HEALTHY), None);
        assert!(faults(HEALTHY).is_empty());
    }

    #[test]
    fn a_log_that_ends_early_has_no_status() {
        assert_eq!(exit_status(&HEALTHY[..200]), None);
    }

    #[test]
    fn reports_why_init_gave_up() {
        let log = "[ 1.0] fpgamem-guest: failed: the driver does not load\r\n";
        assert_eq!(failure(log), Some("the driver does not load"));
    }

    #[test]
    fn finds_each_kind_of_fault() {
        for line in [
            "[    2.0] WARNING: CPU: 0 PID: 1 at mm/memory.c:1 f+0x0/0x4",
            "[    2.0] BUG: KASAN: slab-use-after-free in f+0x10/0x20",
            "[    2.0] BUG: sleeping function called from invalid context at mm/x.c:1",
            "[    2.0] BUG: scheduling while atomic: test/1/0x2",
            "[    2.0] Unable to handle kernel paging request at virtual address 0",
            "[    2.0] Internal error: Oops: 96000004 [#1] SMP",
            "[    2.0] UBSAN: array-index-out-of-bounds in x.c:1:2",
            "[    2.0] refcount_t: underflow; use-after-free.",
            "[    2.0] rcu: INFO: rcu_sched self-detected stall on CPU",
            "[    2.0] WARNING: possible circular locking dependency detected",
            "[    2.0] unreferenced object 0xffff000001234 (size 128):",
            "[    2.0] rust_kernel: panicked at driver/pool.rs:1:1:",
        ] {
            assert_eq!(faults(line), [line]);
        }
    }

    #[test]
    fn what_a_debug_kernel_says_at_its_start_is_no_fault() {
        assert!(faults("[    0.1] DMA-API: preallocated 65536 debug entries").is_empty());
        let fault = "[    0.1] DMA-API: cacheline tracking ENOMEM, dma-debug disabled";
        assert_eq!(faults(fault), [fault]);
    }

    #[test]
    fn damage_is_a_fault_except_where_a_test_announced_it() {
        let damage = "[ 3.0] fpgamem: BUG: free memory at 0x41000040 was written, first byte 0x01";
        assert_eq!(faults(damage), [damage]);
        let announced = |address| format!("[ 2.0] fpgamem-tests: will damage {address}\n{damage}");
        assert!(faults(&announced("0x41000040")).is_empty());
        assert_eq!(faults(&announced("0x4100004")), [damage]);
        assert_eq!(faults(&announced("0x41000080")), [damage]);
    }

    #[test]
    fn the_tail_of_a_short_log_is_the_log() {
        assert_eq!(tail("a\nb\n", 5), "a\nb");
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
    }
}
