// SPDX-License-Identifier: MIT OR Apache-2.0

//! A build folder of BitBake, and what BitBake says in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context as _, Result};

use crate::context::Context;
use crate::kernel::parallel;
use crate::process::{capture, run_logged};
use crate::ui::Step;

/// How long BitBake's server waits for the next command, in seconds: it has parsed everything.
const SERVER_SECONDS: u32 = 60;

/// A build folder of BitBake.
pub(super) struct Build {
    bitbake: PathBuf,
    dir: PathBuf,
}

/// The tasks of a build, each with the tasks that come before it.
pub(super) struct Graph {
    /// How many recipes BitBake has parsed.
    pub(super) summary: String,
    tasks: BTreeMap<String, Vec<String>>,
}

/// The variables of a recipe as BitBake has them in the end.
pub(super) struct Values(BTreeMap<String, Option<String>>);

impl Build {
    pub(super) fn new(context: &Context, bitbake: &Path, name: &str) -> Result<Self> {
        let dir = context.target.join("bitbake").join(name);
        fs::create_dir_all(dir.join("conf"))?;
        // BitBake wants this locale; all that it uses of it is in the one that every machine has.
        let locale = dir.join("locale/en_US.UTF-8");
        if !locale.is_dir() {
            fs::create_dir_all(dir.join("locale"))?;
            let mut copy = Command::new("cp");
            capture(copy.args(["-R", "/usr/lib/locale/C.utf8"]).arg(&locale))?;
        }
        Ok(Self {
            bitbake: bitbake.to_owned(),
            dir,
        })
    }

    /// An empty layer in the place of meta-arm, which meta-xilinx asks for.
    pub(super) fn stand_in(&self, release: &str) -> Result<PathBuf> {
        let layer = self.dir.join("meta-arm");
        fs::create_dir_all(layer.join("conf"))?;
        let text = format!(
            "BBFILE_COLLECTIONS += \"meta-arm\"\n\
             BBFILE_PATTERN_meta-arm = \"^${{LAYERDIR}}/\"\n\
             BBFILE_PATTERN_IGNORE_EMPTY_meta-arm = \"1\"\n\
             LAYERSERIES_COMPAT_meta-arm = \"{release}\"\n"
        );
        fs::write(layer.join("conf/layer.conf"), text)?;
        Ok(layer)
    }

    /// Writes the configuration; `settings` is what a user adds to it.
    pub(super) fn configure(
        &self,
        layers: &[PathBuf],
        xilinx: bool,
        masked: &[String],
        settings: &str,
    ) -> Result<()> {
        let layers: Vec<String> = layers.iter().map(|l| l.display().to_string()).collect();
        let text = format!(
            "BBPATH = \"${{TOPDIR}}\"\nBBFILES ?= \"\"\nBBLAYERS = \"{}\"\n",
            layers.join(" ")
        );
        fs::write(self.dir.join("conf/bblayers.conf"), text)?;
        let machine = if xilinx {
            "zynqmp-generic"
        } else {
            "qemuarm64"
        };
        let text = format!(
            "MACHINE = \"{machine}\"\n\
             DISTRO ?= \"nodistro\"\n\
             DISTRO_FEATURES:append = \" ptest\"\n\
             INHERIT:remove = \"sanity\"\n\
             HOSTTOOLS = \"\"\n\
             HOSTTOOLS_NONFATAL = \"\"\n\
             BB_NUMBER_PARSE_THREADS = \"{}\"\n\
             BB_SERVER_TIMEOUT = \"{SERVER_SECONDS}\"\n\
             BBMASK = \"{}\"\n\
             INHERIT += \"extrausers\"\n\
             SYSTEM_DTFILE = \"${{FPGAMEM_ROOT}}/dts/qemu-zcu102.dts\"\n\
             {settings}",
            parallel(),
            masked.join(" ")
        );
        fs::write(self.dir.join("conf/local.conf"), text)?;
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bitbake.join("bin/bitbake"));
        self.prepare(command.args(arguments));
        command
    }

    /// The folder and environment of whatever runs BitBake.
    fn prepare(&self, command: &mut Command) {
        let path = format!(
            "{}/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            self.bitbake.display()
        );
        command.current_dir(&self.dir);
        command.env("PATH", path);
        for (name, folder) in [
            ("BBPATH", self.dir.clone()),
            ("BUILDDIR", self.dir.clone()),
            ("LOCPATH", self.dir.join("locale")),
        ] {
            command.env(name, folder);
        }
        command.env("LC_ALL", "en_US.UTF-8");
        command.env("BB_ENV_PASSTHROUGH_ADDITIONS", "LOCPATH");
    }

    /// Parses everything that the layers hold, and resolves all that the targets need.
    pub(super) fn graph(&self, targets: &[&str]) -> Result<Graph> {
        let mut step = Step::start("parse all recipes; the first time takes minutes");
        let log = self.dir.join("parse.log");
        let arguments = [&["-g"], targets].concat();
        run_logged(&mut self.command(&arguments), &log, |line| {
            step.progress(|| line.chars().take(60).collect());
        })?;
        step.done();
        let said = fs::read_to_string(&log)?;
        let unresolved: Vec<&str> = said.lines().filter(|l| l.contains("Nothing ")).collect();
        if !unresolved.is_empty() {
            bail!("{}", unresolved.join("\n"));
        }
        let summary = said.lines().find(|line| line.starts_with("Parsing of "));
        let file = self.dir.join("task-depends.dot");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(Graph {
            summary: summary.unwrap_or("all was in BitBake's cache").to_owned(),
            tasks: edges(&text),
        })
    }

    /// Variables of recipes, as BitBake has them in the end.
    pub(super) fn values(
        &self,
        wanted: &BTreeMap<&str, Vec<&str>>,
    ) -> Result<BTreeMap<String, Values>> {
        let step = Step::start("ask for the values of variables");
        let file = self.dir.join("values.json");
        let mut python = Command::new("python3");
        python.args(["-c", include_str!("values.py")]);
        python.arg(serde_json::to_string(wanted)?).arg(&file);
        python.env("PYTHONPATH", self.bitbake.join("lib"));
        self.prepare(&mut python);
        run_logged(&mut python, &self.dir.join("values.log"), |_| {})?;
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let found: BTreeMap<String, BTreeMap<String, Option<String>>> =
            serde_json::from_str(&text).context("values.json")?;
        step.done();
        Ok(found
            .into_iter()
            .map(|(recipe, values)| (recipe, Values(values)))
            .collect())
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // Should it fail, the server ends by itself soon.
        let _ = capture(&mut self.command(&["--kill-server"]));
    }
}

impl Graph {
    /// How many tasks there are.
    pub(super) fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Whether a task comes before another one, over whatever others.
    pub(super) fn before(&self, first: &str, then: &str) -> bool {
        let mut seen = std::collections::BTreeSet::new();
        let mut open = vec![then];
        while let Some(task) = open.pop() {
            for earlier in self.tasks.get(task).into_iter().flatten() {
                if earlier == first {
                    return true;
                }
                if seen.insert(earlier) {
                    open.push(earlier);
                }
            }
        }
        false
    }
}

/// The lines `"RECIPE.TASK" -> "RECIPE.TASK"` of a graph, by what is before the arrow.
fn edges(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut tasks = BTreeMap::<String, Vec<String>>::new();
    for (then, first) in text.lines().filter_map(|line| line.split_once("\" -> \"")) {
        let then = then.trim_start_matches('"').to_owned();
        let first = first.trim_end_matches('"').to_owned();
        tasks.entry(then).or_default().push(first);
    }
    tasks
}

impl Values {
    pub(super) fn get(&self, name: &str) -> Result<&str> {
        let value = self.0.get(name).and_then(Option::as_deref);
        value.with_context(|| format!("there is no {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_comes_before() {
        let text =
            "digraph depends {\n\"a.x\" [label=\"a x\\n:1-r0\\n/l/a_1.bb\"]\n\"a.x\" -> \"b.y\"\n\"b.y\" -> \"c.z\"\n}\n";
        let graph = Graph {
            summary: String::new(),
            tasks: edges(text),
        };
        assert!(graph.before("c.z", "a.x"));
        assert!(!graph.before("a.x", "c.z"));
        assert_eq!(graph.count(), 2);
    }
}
