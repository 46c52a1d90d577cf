// SPDX-License-Identifier: MIT OR Apache-2.0

//! What BitBake must make of the layer's recipes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{bail, Result};

use super::bitbake::{Graph, Values};

/// The kernel that the layer has an append for.
pub(super) const KERNEL_RECIPE: &str = "linux-xlnx";

/// Its variable with the version of the kernel.
pub(super) const KERNEL_VERSION: &str = "LINUX_VERSION";

/// A configuration, as far as it decides what to expect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Configuration {
    /// meta-xilinx is there.
    pub(super) xilinx: bool,
    /// The release needs the layer that brings Rust for the kernel.
    pub(super) backport: bool,
    /// How many crates the lock file names.
    pub(super) crates: usize,
}

/// A recipe, one of its variables, and texts that must be in it.
type Row = (&'static str, &'static str, &'static [&'static str]);

/// On every release.
const ALWAYS: &[Row] = &[
    (
        "fpgamem-module",
        "SRC_URI",
        &["file://driver;subdir=fpgamem", "file://LICENSES;"],
    ),
    (
        "fpgamem-module",
        "LIC_FILES_CHKSUM",
        &["file://../LICENSES/GPL-2.0.txt;md5="],
    ),
    ("fpgamem-module", "S", &["/fpgamem/driver"]),
    (
        "fpgamem-module",
        "EXTRA_OEMAKE",
        &["/kernel-source", "KDIR=/", "KRUSTFLAGS="],
    ),
    ("fpgamem-module", "PACKAGES", &["fpgamem-module-dev"]),
    (
        "fpgamem-module",
        "FILES:fpgamem-module-dev",
        &["/usr/include"],
    ),
    (
        "fpgamem-module",
        "RPROVIDES:fpgamem-module",
        &["kernel-module-fpgamem"],
    ),
    (
        "fpgamem-module",
        "RDEPENDS:fpgamem-module",
        &["fpgamem-udev"],
    ),
    ("fpgamem-module", "KERNEL_MODULE_AUTOLOAD", &["fpgamem"]),
    ("fpgamem-udev", "SRC_URI", &["file://70-fpgamem.rules"]),
    (
        "fpgamem-udev",
        "LIC_FILES_CHKSUM",
        &["file://LICENSES/MIT.txt;md5="],
    ),
    ("fpgamem-udev", "GROUPADD_PARAM:fpgamem-udev", &["fpgamem"]),
    (
        "fpgamem-udev",
        "FILES:fpgamem-udev",
        &["/udev/rules.d/70-fpgamem.rules"],
    ),
    (
        "libfpgamem",
        "SRC_URI",
        &["file://Cargo.lock;", "file://tool;", "file://libfpgamem;"],
    ),
    (
        "libfpgamem",
        "LIC_FILES_CHKSUM",
        &["file://LICENSES/Apache-2.0.txt;md5="],
    ),
    (
        "libfpgamem",
        "DEPENDS",
        &["cargo-native", "fpgamem-tool-native"],
    ),
    (
        "libfpgamem",
        "CARGO_BUILD_FLAGS",
        &["--frozen", "--release", "--package fpgamem-capi"],
    ),
    (
        "libfpgamem",
        "PACKAGES",
        &["fpgamem-tool-doc", "fpgamem-examples", "libfpgamem-dev"],
    ),
    ("libfpgamem", "FILES:libfpgamem", &["/usr/lib/lib*.so.*"]),
    (
        "libfpgamem",
        "FILES:libfpgamem-dev",
        &["/usr/include", "/usr/lib/pkgconfig", "/usr/lib/cmake"],
    ),
    ("libfpgamem", "FILES:fpgamem-tool", &["/usr/bin/fpgamem"]),
    (
        "libfpgamem",
        "FILES:fpgamem-tool-doc",
        &["/usr/share/man/man1/fpgamem"],
    ),
    (
        "libfpgamem",
        "FILES:fpgamem-tool-bash-completion",
        &["/usr/share/bash-completion"],
    ),
    (
        "libfpgamem",
        "FILES:fpgamem-examples",
        &["/usr/bin/fpgamem-*"],
    ),
    (
        "libfpgamem",
        "RRECOMMENDS:fpgamem-tool",
        &["fpgamem-module"],
    ),
    ("fpgamem-tool-native", "DEPENDS", &["cargo-native"]),
    (
        "fpgamem-tool-native",
        "CARGO_BUILD_FLAGS",
        &["--package fpgamem-tool"],
    ),
    (
        "packagegroup-fpgamem",
        "RDEPENDS:packagegroup-fpgamem",
        &["fpgamem-module", "fpgamem-tool", "libfpgamem"],
    ),
    ("fpgamem-image", "IMAGE_INSTALL", &["packagegroup-fpgamem"]),
    (
        "fpgamem-image",
        "EXTRA_USERS_PARAMS",
        &["usermod -a -G fpgamem"],
    ),
];

/// Where the tests can be built.
const TESTS: &[Row] = &[
    ("fpgamem-tests", "SRC_URI", &["file://tests;"]),
    ("fpgamem-tests", "PACKAGES", &["fpgamem-tests-ptest"]),
    ("fpgamem-tests", "PTEST_ENABLED", &["1"]),
    (
        "fpgamem-tests",
        "PTEST_PATH",
        &["/usr/lib/fpgamem-tests/ptest"],
    ),
    (
        "fpgamem-tests",
        "FILES:fpgamem-tests-ptest",
        &["/usr/lib/fpgamem-tests/ptest"],
    ),
    (
        "fpgamem-tests",
        "RDEPENDS:fpgamem-tests-ptest",
        &["fpgamem-module"],
    ),
];

/// With Rust of oe-core.
const WITHOUT_BACKPORT: &[Row] = &[("fpgamem-module", "DEPENDS", &["rust-native"])];

/// With Rust of the layer for older releases.
const BACKPORT: &[Row] = &[
    (
        "fpgamem-module",
        "DEPENDS",
        &[
            "rust-kernel-bin-native",
            "bindgen-cli-native",
            "libclang-bin-native",
        ],
    ),
    (
        "fpgamem-module",
        "EXTRA_OEMAKE",
        &["/rust-kernel/bin/rustc", "BINDGEN=/"],
    ),
    ("fpgamem-module", "LIBCLANG_PATH", &["/libclang-bin"]),
    (
        "make-mod-scripts",
        "EXTRA_OEMAKE",
        &["/rust-kernel/bin/rustc"],
    ),
    (
        "rust-kernel-bin-native",
        "SRC_URI",
        &["rustc-1.", "rust-std-1.", "rust-src-1."],
    ),
    ("libclang-bin-native", "SRC_URI", &["libclang-18."]),
    (
        "bindgen-cli-native",
        "SRC_URI",
        &[
            "crate://crates.io/bindgen-cli/",
            "crate://crates.io/clang-sys/",
        ],
    ),
];

/// With meta-xilinx.
const XILINX: &[Row] = &[
    (
        KERNEL_RECIPE,
        "SRC_URI",
        &["file://fpgamem.cfg", "file://fpgamem-kmeta;type=kmeta"],
    ),
    (KERNEL_RECIPE, "KERNEL_FEATURES", &["rust"]),
    (
        KERNEL_RECIPE,
        "KERNEL_MODULE_AUTOLOAD",
        &["uio_pdrv_genirq"],
    ),
    (
        KERNEL_RECIPE,
        "KERNEL_MODULE_PROBECONF",
        &["uio_pdrv_genirq"],
    ),
    (
        KERNEL_RECIPE,
        "module_conf_uio_pdrv_genirq",
        &["of_id=generic-uio"],
    ),
    ("device-tree", "SRC_URI", &["file://fpgamem.dtsi"]),
];

/// With meta-xilinx and Rust of oe-core.
const XILINX_WITHOUT_BACKPORT: &[Row] = &[(
    KERNEL_RECIPE,
    "DEPENDS",
    &["rust-native", "clang-native", "bindgen-cli-native"],
)];

/// With meta-xilinx and Rust of the layer for older releases.
const XILINX_BACKPORT: &[Row] = &[
    (KERNEL_RECIPE, "SRC_URI", &["file://rust-irq-static.patch"]),
    (
        KERNEL_RECIPE,
        "KERNEL_FEATURES",
        &["features/kernel-rust/kernel-rust.scc"],
    ),
    (
        KERNEL_RECIPE,
        "DEPENDS",
        &[
            "rust-kernel-bin-native",
            "bindgen-cli-native",
            "libclang-bin-native",
        ],
    ),
    (
        KERNEL_RECIPE,
        "EXTRA_OEMAKE",
        &["/rust-kernel/bin/rustc", "BINDGEN=/"],
    ),
];

impl Configuration {
    /// The rows of this configuration.
    fn rows(self) -> Vec<Row> {
        let tables = [
            (true, ALWAYS),
            (self.tests(), TESTS),
            (self.backport, BACKPORT),
            (!self.backport, WITHOUT_BACKPORT),
            (self.xilinx, XILINX),
            (self.xilinx && self.backport, XILINX_BACKPORT),
            (self.xilinx && !self.backport, XILINX_WITHOUT_BACKPORT),
        ];
        let wanted = tables.into_iter().filter(|(wanted, _)| *wanted);
        wanted.flat_map(|(_, rows)| rows).copied().collect()
    }

    /// Whether the release's Rust is new enough for the tests.
    pub(super) fn tests(self) -> bool {
        !self.backport
    }

    /// The recipes to look at, and their variables.
    pub(super) fn variables(self) -> BTreeMap<&'static str, Vec<&'static str>> {
        let mut wanted = BTreeMap::<_, Vec<_>>::new();
        for (recipe, variable, _) in self.rows() {
            let variables = wanted.entry(recipe);
            let variables = variables.or_insert_with(|| vec!["SRC_URI", "FILESPATH"]);
            variables.push(variable);
        }
        if let Some(variables) = wanted.get_mut(KERNEL_RECIPE) {
            variables.push(KERNEL_VERSION);
        }
        wanted
    }

    /// Tasks, each with one that must come before it.
    fn tasks(self) -> Vec<(&'static str, &'static str)> {
        let mut tasks = vec![
            ("make-mod-scripts.do_configure", "fpgamem-module.do_compile"),
            (
                "fpgamem-tool-native.do_populate_sysroot",
                "libfpgamem.do_install",
            ),
            ("fpgamem-udev.do_packagedata", "fpgamem-image.do_rootfs"),
            ("fpgamem-module.do_packagedata", "fpgamem-image.do_rootfs"),
            ("libfpgamem.do_packagedata", "fpgamem-image.do_rootfs"),
        ];
        if self.tests() {
            tasks.push((
                "fpgamem-tests.do_compile_ptest_cargo",
                "fpgamem-tests.do_package",
            ));
            tasks.push((
                "fpgamem-tests.do_install_ptest_cargo",
                "fpgamem-tests.do_package",
            ));
        }
        let rust = if self.backport {
            "rust-kernel-bin-native.do_populate_sysroot"
        } else {
            "rust-native.do_populate_sysroot"
        };
        tasks.push((rust, "fpgamem-module.do_compile"));
        if self.xilinx {
            tasks.push(("linux-xlnx.do_shared_workdir", "fpgamem-module.do_compile"));
            tasks.push((rust, "linux-xlnx.do_kernel_configme"));
            tasks.push((
                "bindgen-cli-native.do_populate_sysroot",
                "linux-xlnx.do_kernel_configme",
            ));
            tasks.push(("linux-xlnx.do_packagedata", "fpgamem-image.do_rootfs"));
        }
        tasks
    }

    /// Checks the graph; how many of its relations were as expected.
    pub(super) fn check_tasks(self, graph: &Graph) -> Result<u64> {
        let mut count = 0;
        for (first, then) in self.tasks() {
            if !graph.before(first, then) {
                bail!(
                    "of {} tasks, {first} does not come before {then}",
                    graph.count()
                );
            }
            count += 1;
        }
        Ok(count)
    }

    /// Checks a recipe; how many texts were where they must be.
    pub(super) fn check_values(self, values: &Values, recipe: &str) -> Result<u64> {
        let mut count = 0;
        for (_, variable, texts) in self.rows().iter().filter(|(of, _, _)| *of == recipe) {
            let value = values.get(variable)?;
            for text in *texts {
                if !value.contains(text) {
                    bail!("{variable} lacks {text}: {value}");
                }
                count += 1;
            }
        }
        let uris = values.get("SRC_URI").unwrap_or_default();
        if recipe == "libfpgamem" {
            let crates = uris.matches("crate://").count();
            if crates != self.crates {
                bail!("SRC_URI has {crates} crates, Cargo.lock {}", self.crates);
            }
            count += 1;
        }
        Ok(count + found(values, uris)?)
    }
}

/// Checks that this project's local files are where BitBake looks for them; how many there are.
fn found(values: &Values, uris: &str) -> Result<u64> {
    let mut count = 0;
    for uri in uris.split_whitespace() {
        let Some(name) = uri.strip_prefix("file://") else {
            continue;
        };
        let name = name.split(';').next().unwrap_or(name);
        let mut folders = values.get("FILESPATH")?.split(':');
        if !folders.any(|folder| Path::new(folder).join(name).exists()) {
            bail!("SRC_URI has {uri}, which is nowhere in FILESPATH");
        }
        count += 1;
    }
    Ok(count)
}
