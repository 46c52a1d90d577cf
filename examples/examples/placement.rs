// SPDX-License-Identifier: MIT OR Apache-2.0

//! Compares placement policies by the smallest region in which the traces of three networks, and random
//! allocations, succeed: `cargo run --release -p fpgamem-examples --example placement`.

use fpgamem_examples::placement::{Alignments, Choice, Lengths, Policy, Rule, Workload};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let random = [
        Workload::random("even", Lengths::Even),
        Workload::random("octaves", Lengths::Octaves),
        Workload::random("mixed", Lengths::Mixed),
    ];
    let workloads: Vec<_> = Workload::networks()?.into_iter().chain(random).collect();
    let cells = |cell: &dyn Fn(&Workload) -> String| {
        let cells = workloads.iter().map(cell);
        cells.collect::<Vec<_>>().join(" | ")
    };
    println!("| policy | {} |", cells(&|w| w.name.to_owned()));
    println!("|---|{}", "---:|".repeat(workloads.len()));
    println!("| peak | {} |", cells(&|w| w.peak().to_string()));
    for (name, policy) in policies() {
        let cell = |workload: &Workload| match workload.fewest_blocks(policy) {
            Some(blocks) => {
                let factor = f64::from(blocks) / f64::from(workload.peak());
                format!("{blocks} ({factor:.3})")
            }
            None => "-".to_owned(),
        };
        println!("| {name} | {} |", cells(&cell));
    }
    Ok(())
}

fn policies() -> Vec<(String, Policy)> {
    let mut policies = vec![("driver".to_owned(), Policy::Driver)];
    for (when, alignments) in [
        ("never aligned", Alignments::Never),
        ("aligned if plenty", Alignments::IfPlenty),
        ("aligned", Alignments::Always),
    ] {
        for (choice, name) in [
            (Choice::First, "first fit"),
            (Choice::Segregated, "segregated fit"),
            (Choice::Best, "best fit"),
        ] {
            for (from_end, ends) in [
                (None, ""),
                (Some(8), ", from 8 blocks on at the end"),
                (Some(16), ", from 16 blocks on at the end"),
                (Some(64), ", from 64 blocks on at the end"),
            ] {
                let rule = Rule {
                    choice,
                    from_end,
                    alignments,
                };
                policies.push((format!("{name}{ends}, {when}"), Policy::Other(rule)));
            }
        }
    }
    policies
}
