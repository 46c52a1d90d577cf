// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands of ioctl, and how often each was carried out and refused.

use fpgamem_shared::paddle_abi as paddle;
use fpgamem_tests::abi;
use std::collections::BTreeMap;

macro_rules! commands {
    ($($module:ident::$name:ident)*) => {
        /// Every command, by name.
        const COMMANDS: &[(&str, u32)] = &[$((stringify!($name), $module::$name)),*];
    };
}

commands! {
    abi::IOC_INFO abi::IOC_ALLOC abi::IOC_FREE abi::IOC_QUERY abi::IOC_USER_TO_PHYS
    abi::IOC_PHYS_TO_USER abi::IOC_FLUSH abi::IOC_INVALIDATE abi::IOC_SYNC abi::IOC_SET_OWNER
    abi::IOC_QUIET
    paddle::A_VERSION paddle::A_INVALIDATE paddle::A_FLUSH paddle::A_DEVICE_INFO
    paddle::OLD_INVALIDATE paddle::OLD_FLUSH
    paddle::B_INVALIDATE paddle::B_FLUSH paddle::B_VM_TO_PHYS
}

/// How often each command was carried out, and refused.
#[derive(Debug, Default)]
pub(crate) struct Commands(BTreeMap<u32, [u64; 2]>);

impl Commands {
    /// A command came to an end.
    pub(crate) fn add(&mut self, command: u32, carried_out: bool) {
        let counts = self.0.entry(command).or_default();
        counts[usize::from(!carried_out)] += 1;
    }

    /// Whether each command was carried out and refused.
    pub(crate) fn judge(&self) -> Result<(), String> {
        for (name, command) in COMMANDS {
            let [done, refused] = self.0.get(command).copied().unwrap_or_default();
            if done == 0 || refused == 0 {
                return Err(format!(
                    "{name}: {done} times carried out, {refused} refused"
                ));
            }
        }
        println!(
            "each of {} commands was carried out, and refused",
            COMMANDS.len()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_was_never_refused_is_named() {
        let mut commands = Commands::default();
        for (_, command) in COMMANDS {
            commands.add(*command, true);
            commands.add(*command, *command == abi::IOC_SYNC);
        }
        let why = commands.judge().unwrap_err();
        assert_eq!(why, "IOC_SYNC: 2 times carried out, 0 refused");
    }
}
