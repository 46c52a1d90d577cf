// SPDX-License-Identifier: MIT OR Apache-2.0

//! The doctor on copies of boards, each with one thing wrong.

use super::*;
use std::fs;

/// A board's files, removed at the end of a test.
struct Board(PathBuf);

impl Drop for Board {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A name, how to spoil a board, and what the doctor says then.
type Case<'a> = (&'a str, &'a dyn Fn(&Board), &'a str);

const POOL: &str = "/proc/device-tree/fpgamem-pool";
const REGION: &str = "/proc/device-tree/reserved-memory/fpgamem@40000000";

impl Board {
    /// A board on which all is well, for a test of that name.
    fn healthy(test: &str) -> Self {
        let root =
            std::env::temp_dir().join(format!("fpgamem-doctor-{}-{test}", std::process::id()));
        let board = Self(root);
        board.text("/proc/sys/kernel/arch", "aarch64\n");
        board.text("/proc/sys/kernel/osrelease", "6.18.15\n");
        board.text(
            "/boot/config-6.18.15",
            "CONFIG_RUST=y\nCONFIG_MODULES=y\nCONFIG_DEBUG_FS=y\nCONFIG_UIO_PDRV_GENIRQ=y\n",
        );
        board.text("/proc/device-tree/model", "A board\0");
        board.text("/proc/device-tree/memory@0/device_type", "memory\0");
        board.cells("/proc/device-tree/#address-cells", &[2]);
        board.cells("/proc/device-tree/#size-cells", &[2]);
        board.cells("/proc/device-tree/memory@0/reg", &[0, 0, 0, 0x8000_0000]);
        board.cells("/proc/device-tree/reserved-memory/#address-cells", &[2]);
        board.cells("/proc/device-tree/reserved-memory/#size-cells", &[2]);
        board.cells(&format!("{REGION}/reg"), &[0, 0x4000_0000, 0, 0x4000_0000]);
        board.text(&format!("{REGION}/no-map"), "");
        board.cells(&format!("{REGION}/phandle"), &[7]);
        board.text(&format!("{POOL}/compatible"), "fpgamem,memory-pool\0");
        board.cells(&format!("{POOL}/memory-region"), &[7]);
        board.text(
            "/proc/iomem",
            "00000000-3fffffff : System RAM\n40000000-7fffffff : reserved\n",
        );
        board.text("/sys/module/fpgamem/refcnt", "0\n");
        board.text(
            "/sys/bus/platform/devices/fpgamem-pool/of_node/compatible",
            "fpgamem,memory-pool\0",
        );
        board.text("/sys/bus/platform/devices/fpgamem-pool/driver/uevent", "");
        board.text("/etc/group", "root:x:0:\nfpgamem:x:1234:ada\n");
        board.text(
            "/dev/kmsg",
            "6,1,2,-;fpgamem fpgamem-pool: /dev/fpgamem0: 65536 blocks\n",
        );
        board.text("/dev/fpgamem0", "");
        board
    }

    fn text(&self, file: &str, text: &str) {
        let path = System::at(&self.0).path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn cells(&self, file: &str, cells: &[u32]) {
        let path = System::at(&self.0).path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        fs::write(path, bytes).unwrap();
    }

    fn remove(&self, file: &str) {
        let path = System::at(&self.0).path(file);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    fn findings(&self) -> Vec<Finding> {
        examine(&System::at(&self.0), Path::new("/dev/fpgamem0"))
    }

    /// The only bad finding: what it says, and the way out.
    fn trouble(&self) -> (String, String) {
        let findings = self.findings();
        let bad: Vec<_> = findings
            .iter()
            .filter(|f| f.status == Status::Bad)
            .collect();
        let [finding] = bad[..] else {
            panic!("{findings:#?}");
        };
        (finding.text.clone(), finding.mend.clone().unwrap())
    }
}

#[test]
fn nothing_is_wrong_with_a_healthy_board() {
    let findings = Board::healthy("healthy").findings();
    let serious = |f: &&Finding| matches!(f.status, Status::Bad | Status::Unknown);
    assert_eq!(findings.iter().find(serious), None);
    let text = text(&findings, true);
    assert!(
        text.contains("region [0x40000000, 0x80000000), 1 GiB, no-map"),
        "{text}"
    );
    assert!(text.ends_with("Nothing is wrong with what could be looked at.\n"));
}

#[test]
fn an_old_kernel_is_told() {
    let board = Board::healthy("kernel");
    board.text("/proc/sys/kernel/osrelease", "6.12.40-xilinx\n");
    board.text(
        "/boot/config-6.12.40-xilinx",
        "CONFIG_RUST=y\nCONFIG_MODULES=y\n",
    );
    let (text, mend) = board.trouble();
    assert!(
        text.contains("6.12.40") && mend.contains("6.18"),
        "{text} {mend}"
    );
}

#[test]
fn a_kernel_without_rust_is_told() {
    let board = Board::healthy("rust");
    board.text(
        "/boot/config-6.18.15",
        "CONFIG_MODULES=y\n# CONFIG_RUST is not set\n",
    );
    let (text, mend) = board.trouble();
    assert!(
        text.contains("CONFIG_RUST") && mend.contains("fpgamem.cfg"),
        "{text} {mend}"
    );
}

#[test]
fn a_packed_configuration_is_read() {
    use std::io::Write;
    let board = Board::healthy("packed");
    let file = fs::File::create(board.0.join("proc/config.gz")).unwrap();
    let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::default());
    file.write_all(b"CONFIG_MODULES=y\n").unwrap();
    file.finish().unwrap();
    assert!(board.trouble().0.contains("CONFIG_RUST"));
}

#[test]
fn a_module_that_is_not_loaded_is_told() {
    let board = Board::healthy("unloaded");
    board.remove("/sys/module/fpgamem");
    let (text, mend) = board.trouble();
    assert!(
        text.contains("not loaded") && mend.contains("build it"),
        "{text} {mend}"
    );
    board.text("/lib/modules/6.18.15/updates/fpgamem.ko.zst", "");
    assert!(board.trouble().1.starts_with("modprobe fpgamem"));
}

#[test]
fn a_device_that_the_driver_has_not_taken_is_told() {
    let board = Board::healthy("unbound");
    board.remove("/sys/bus/platform/devices/fpgamem-pool/driver");
    assert!(board.trouble().0.contains("not taken fpgamem-pool"));
}

#[test]
fn a_tree_without_the_node_is_told() {
    let board = Board::healthy("no-node");
    board.remove(POOL);
    let (text, mend) = board.trouble();
    assert!(text.contains("fpgamem,memory-pool") && mend.contains("fpgamem.dtsi"));
}

#[test]
fn every_mistake_in_the_tree_is_told() {
    let cases: [Case<'_>; 9] = [
        (
            "no-map",
            &|b| b.remove(&format!("{REGION}/no-map")),
            "lacks no-map",
        ),
        (
            "reusable",
            &|b| b.text(&format!("{REGION}/reusable"), ""),
            "has reusable",
        ),
        (
            "shared",
            &|b| b.text(&format!("{REGION}/compatible"), "shared-dma-pool\0"),
            "has compatible",
        ),
        ("reg", &|b| b.remove(&format!("{REGION}/reg")), "no reg"),
        (
            "phandle",
            &|b| b.cells(&format!("{POOL}/memory-region"), &[8]),
            "no child of",
        ),
        (
            "block",
            &|b| b.cells(&format!("{POOL}/fpgamem,block-size"), &[12288]),
            "12288",
        ),
        (
            "align",
            &|b| b.cells(&format!("{REGION}/reg"), &[0, 0x4000_1000, 0, 0x4000]),
            "begin and end",
        ),
        (
            "status",
            &|b| b.text(&format!("{POOL}/status"), "disabled\0"),
            "is disabled",
        ),
        (
            "other",
            &|b| {
                b.cells(
                    "/proc/device-tree/reserved-memory/rproc@7ff00000/reg",
                    &[0, 0x7ff0_0000, 0, 0x1000],
                );
            },
            "overlaps rproc",
        ),
    ];
    for (name, spoil, expected) in cases {
        let board = Board::healthy(&format!("tree-{name}"));
        spoil(&board);
        let (text, _) = board.trouble();
        assert!(text.contains(expected), "{name}: {text}");
    }
}

#[test]
fn what_the_boot_loader_did_is_told() {
    let blob = |reserved: [u64; 2]| {
        let mut blob = vec![0; 40];
        blob[..4].copy_from_slice(&0xd00d_feed_u32.to_be_bytes());
        blob[16..20].copy_from_slice(&40_u32.to_be_bytes());
        blob.extend(
            reserved
                .into_iter()
                .chain([0, 0])
                .flat_map(u64::to_be_bytes),
        );
        blob
    };
    let initrd = |b: &Board| {
        b.cells(
            "/proc/device-tree/chosen/linux,initrd-start",
            &[0, 0x7000_0000],
        );
        b.cells(
            "/proc/device-tree/chosen/linux,initrd-end",
            &[0, 0x7100_0000],
        );
    };
    let cases: [Case<'_>; 4] = [
        ("initrd", &initrd, "initial file system"),
        (
            "ddr",
            &|b| b.cells("/proc/device-tree/memory@0/reg", &[0, 0, 0, 0x6000_0000]),
            "no DDR in all",
        ),
        (
            "ram",
            &|b| b.text("/proc/iomem", "00000000-7fffffff : System RAM\n"),
            "as its own memory",
        ),
        (
            "blob",
            &|b| {
                b.text("/sys/firmware/x", "");
                fs::write(b.0.join("sys/firmware/fdt"), blob([0x7fff_0000, 0x8000])).unwrap();
            },
            "has reserved [0x7fff0000, 0x7fff8000)",
        ),
    ];
    for (name, spoil, expected) in cases {
        let board = Board::healthy(&format!("boot-{name}"));
        spoil(&board);
        let (text, _) = board.trouble();
        assert!(text.contains(expected), "{name}: {text}");
    }
}

#[test]
fn a_missing_node_names_those_that_there_are() {
    let board = Board::healthy("node");
    board.remove("/dev/fpgamem0");
    assert!(board.trouble().1.contains("appears when"));
    board.text("/dev/fpgamem1", "");
    assert!(board.trouble().1.contains("/dev/fpgamem1"));
}

#[test]
fn the_log_is_explained() {
    let board = Board::healthy("log");
    board.text(
        "/dev/kmsg",
        "3,1,2,-;fpgamem fpgamem-pool: region [0x1, 0x2) lacks the no-map property (-22)\n",
    );
    let (text, mend) = board.trouble();
    assert!(
        text.contains("-22") && mend.contains("add no-map"),
        "{text} {mend}"
    );
    board.text(
        "/dev/kmsg",
        "6,1,2,-;fpgamem: information\n4,2,3,-;another driver complains\n",
    );
    assert!(board
        .findings()
        .iter()
        .all(|finding| finding.status != Status::Bad));
}

#[test]
fn a_machine_without_a_device_tree_is_no_board() {
    let board = Board::healthy("laptop");
    board.remove("/proc/device-tree");
    board.text("/proc/sys/kernel/arch", "x86_64\n");
    let findings = board.findings();
    let bad: Vec<_> = findings
        .iter()
        .filter(|f| f.status == Status::Bad)
        .map(|f| f.check)
        .collect();
    assert_eq!(bad, ["processor", "device tree"]);
}
