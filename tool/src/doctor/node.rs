// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device node: who may open it, and what is behind it.

use super::Finding;
use crate::debugfs;
use crate::system::System;
use crate::units::size;
use fpgamem::{Device, Info};
use nix::unistd::{getegid, geteuid, getgroups, User};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const NODE: &str = "node";
const GROUP: &str = "group";
/// The group that the udev rule gives the nodes to.
const GROUP_NAME: &str = "fpgamem";

/// A line of /etc/group.
struct Group {
    id: u32,
    members: Vec<String>,
}

/// What the driver says, if the node could be opened.
pub(super) fn examine(system: &System, node: &Path, findings: &mut Vec<Finding>) -> Option<Info> {
    let name = node.display();
    let Ok(data) = std::fs::metadata(system.path(&node.display().to_string())) else {
        let others = system
            .list("/dev")
            .into_iter()
            .filter(|name| name.starts_with("fpgamem"));
        let others: Vec<_> = others.map(|name| format!("/dev/{name}")).collect();
        let mend = match &others[..] {
            [] => "it appears when the module is loaded and finds its node in the device tree"
                .to_owned(),
            others => format!("give one of these by --device: {}", others.join(", ")),
        };
        findings.push(Finding::bad(NODE, format!("{name} is not there"), mend));
        return None;
    };
    let group = group(system);
    findings.push(permissions(
        &name.to_string(),
        data.mode(),
        data.gid(),
        group.as_ref(),
    ));
    findings.extend(uio(system));
    if !system.is_this() {
        return None;
    }
    findings.extend(debug_files(node));
    findings.extend(membership(data.gid(), data.mode(), group.as_ref()));
    match Device::open_path(node).and_then(|device| device.info()) {
        Ok(info) => {
            let free = size(info.free_bytes);
            let text = format!(
                "can be opened: ABI {}, {free} of {} free",
                info.abi,
                size(info.region_bytes)
            );
            findings.push(Finding::good(NODE, text));
            Some(info)
        }
        Err(error) => {
            findings.push(Finding::bad(NODE, error.to_string(), "as it says"));
            None
        }
    }
}

fn group(system: &System) -> Option<Group> {
    let text = system.text("/etc/group")?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(GROUP_NAME) {
            return None;
        }
        let id = fields.nth(1)?.parse().ok()?;
        let members = fields.next().unwrap_or_default().split(',');
        let members = members
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        Some(Group { id, members })
    })
}

fn permissions(name: &str, mode: u32, gid: u32, group: Option<&Group>) -> Finding {
    let text = format!("{name} has mode {:o} and group {gid}", mode & 0o7777);
    let rule =
        "copy petalinux/recipes-core/fpgamem-udev/files/70-fpgamem.rules to /etc/udev/rules.d/, then: udevadm control \
                --reload && udevadm trigger";
    let Some(group) = group else {
        let mend = format!("groupadd -r {GROUP_NAME}; {rule}; until then it is root's alone");
        return Finding::note(
            GROUP,
            format!("there is no group {GROUP_NAME}; {text}"),
            mend,
        );
    };
    if mode & 0o006 != 0 {
        let mend = "who may open it can program the FPGA to read all memory: give it mode 660";
        return Finding::note(NODE, format!("{text}: everybody may open it"), mend);
    }
    if gid != group.id || mode & 0o060 != 0o060 {
        let text = format!("{text}: it is not that of {GROUP_NAME} ({})", group.id);
        return Finding::note(NODE, text, rule);
    }
    Finding::good(NODE, text)
}

/// Whether this user may open the node as a member of its group.
fn membership(gid: u32, mode: u32, group: Option<&Group>) -> Option<Finding> {
    let user = geteuid();
    if user.is_root() || mode & 0o006 == 0o006 {
        return None;
    }
    let groups = getgroups().unwrap_or_default();
    if groups
        .iter()
        .chain([&getegid()])
        .any(|group| group.as_raw() == gid)
    {
        return Some(Finding::good(GROUP, "this user is in the node's group"));
    }
    let name = User::from_uid(user).ok().flatten();
    let name = name.map_or_else(|| user.to_string(), |user| user.name);
    if group.is_some_and(|group| group.id == gid && group.members.contains(&name)) {
        let text = format!("{name} has been added to group {GROUP_NAME} since this login");
        return Some(Finding::bad(GROUP, text, "log in again"));
    }
    let text = format!("{name} is not in the node's group {gid}");
    let mend = format!("usermod -aG {GROUP_NAME} {name}, and log in again");
    Some(Finding::bad(GROUP, text, mend))
}

fn debug_files(node: &Path) -> Option<Finding> {
    let failure = debugfs::read(node, "stats").err()?;
    let text = "map and top need root, debugfs and the driver's files in it";
    let failure = failure.to_string();
    let way_out = failure
        .split("way out: ")
        .nth(1)
        .unwrap_or(&failure)
        .to_owned();
    Some(Finding::note("debugfs", text, way_out))
}

/// The devices whose registers programs can reach.
fn uio(system: &System) -> Option<Finding> {
    let folder = "/sys/class/uio";
    let names = system.list(folder).into_iter();
    let names: Vec<_> = names
        .filter_map(|node| system.text(&format!("{folder}/{node}/name")))
        .collect();
    let text = format!("registers can be reached of: {}", names.join(", "));
    (!names.is_empty()).then(|| Finding::good("UIO", text))
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    fn group() -> Group {
        Group {
            id: 77,
            members: vec!["ada".to_owned()],
        }
    }

    #[test]
    fn the_mode_of_the_rule_is_good() {
        assert_eq!(
            permissions("n", 0o20660, 77, Some(&group())).status,
            Status::Good
        );
    }

    #[test]
    fn a_node_for_everybody_is_told() {
        let finding = permissions("n", 0o20666, 77, Some(&group()));
        assert!(finding.text.contains("everybody"));
    }

    #[test]
    fn a_node_of_another_group_needs_the_rule() {
        for (mode, gid) in [(0o20660, 0), (0o20640, 77), (0o20600, 77)] {
            let finding = permissions("n", mode, gid, Some(&group()));
            assert!(finding.mend.unwrap().contains("70-fpgamem.rules"));
        }
    }

    #[test]
    fn without_the_group_it_is_to_be_made() {
        let finding = permissions("n", 0o20660, 0, None);
        assert!(finding.mend.unwrap().starts_with("groupadd"));
    }
}
