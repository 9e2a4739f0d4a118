//! Holds docs/agents.md to the source: every test that its tables name exists, and no cell claims what none shows.

use std::collections::BTreeSet;
use std::path::Path;

use super::architecture::rust_files;

/// A table that names tests begins its head so.
const HEADS: [&str; 2] = ["| verb |", "| what |"];

/// Names of all functions with a test attribute, and those in `proptest!`, which the parser does not see.
fn tests_in_source() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for file in rust_files(&root.join("src")).into_iter().chain(rust_files(&root.join("tests"))) {
        let text = std::fs::read_to_string(file).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            let signature = line.trim_start_matches("async ").strip_prefix("fn ");
            match signature.and_then(|rest| rest.split(['(', '<']).next()) {
                Some(name) if is_test => _ = names.insert(name.to_owned()),
                _ => {}
            }
            is_test = line == "#[test]" || line.starts_with("#[tokio::test") || is_test && line.starts_with("#[");
        }
    }
    names
}

/// What stands between backquotes and looks like a test: words joined by at least two `_`.
fn names_in(cell: &str) -> Vec<&str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    let is_name = |text: &&str| text.matches('_').count() >= 2 && !text.contains(['"', '{', ' ']);
    quoted.filter(is_name).map(|name| name.rsplit("::").next().unwrap()).collect()
}

/// What is wrong with a document's tables of tests, and how many names they have.
fn faults(document: &str, known: &BTreeSet<String>) -> (Vec<String>, usize) {
    let (mut faults, mut count, mut inside) = (Vec::new(), 0, false);
    for line in document.lines() {
        inside = line.starts_with('|') && (inside || HEADS.iter().any(|head| line.starts_with(head)));
        if !inside || HEADS.iter().any(|head| line.starts_with(head)) || line.starts_with("|---") {
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        for cell in &cells[1..] {
            let names = names_in(cell);
            count += names.len();
            faults.extend(names.iter().filter(|name| !known.contains(**name)).map(|name| format!("no test {name}")));
            if names.is_empty() && !cell.starts_with('–') {
                faults.push(format!("{}: nothing shows {cell:?}", cells[0]));
            }
        }
    }
    (faults, count)
}

#[test]
fn every_cell_of_what_agents_can_do_is_backed_by_a_test_that_exists() {
    let known = tests_in_source();
    let document = include_str!("../../docs/agents.md");
    let (faults, count) = faults(document, &known);
    assert!(faults.is_empty(), "docs/agents.md:\n{}", faults.join("\n"));
    assert!(count > 60, "only {count} names were found");
}

#[test]
fn a_renamed_test_and_an_empty_claim_are_found() {
    let known = BTreeSet::from(["it_works_well".to_owned()]);
    let table = |cell: &str| format!("| verb | agent |\n|---|---|\n| prompt | {cell} |\n\n| type | `no_such_name` |\n");
    for (cell, count) in
        [("`m::it_works_well`", 0), ("–", 0), ("– [1]", 0), ("`it_worked_well`", 1), ("yes", 1), ("", 1)]
    {
        assert_eq!(faults(&table(cell), &known).0.len(), count, "{cell}");
    }
}
