//! The documents name every flag of the router with its default, and every metric.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use qoe_router::args::Cli;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_flag_is_documented_with_its_default() {
    let text = read("docs/configuration.md");
    let section = text.split("\n## ").find(|part| part.starts_with("qoe-router\n"));
    let section = section.expect("the section `qoe-router`");
    let command = Cli::command();
    let documented =
        |flag: &str| section.lines().find(|line| line.starts_with(&format!("| `--{flag}`")));
    let mut flags = Vec::new();
    for argument in command.get_arguments() {
        let Some(flag) = argument.get_long().filter(|flag| !matches!(*flag, "help" | "version"))
        else {
            continue;
        };
        let row = documented(flag).unwrap_or_else(|| panic!("no row for --{flag}"));
        for default in argument.get_default_values() {
            let default = format!("`{}`", default.to_string_lossy());
            assert!(row.contains(&default), "--{flag} has the default {default}: {row}");
        }
        flags.push(flag);
    }
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `--")?.split('`').next());
    let unknown: Vec<_> = rows.filter(|flag| !flags.contains(flag)).collect();
    assert!(unknown.is_empty(), "rows of flags that are not there: {unknown:?}");
}

/// The names are those of the golden exposition, in which every metric has series.
#[test]
fn every_metric_is_documented() {
    let text = read("docs/operations.md");
    let exposition = read("crates/router/src/observe/metrics/golden.txt");
    let helps = exposition.lines().filter_map(|line| line.strip_prefix("# HELP "));
    let names: Vec<_> = helps.filter_map(|help| help.split(' ').next()).collect();
    assert!(names.len() > 15, "the exposition is not read as this test knows it: {names:?}");
    for name in names {
        // What the encoder adds to the names of counters.
        let row = |suffix| text.contains(&format!("| `{name}{suffix}`"));
        assert!(["", "_total"].into_iter().any(row), "docs/operations.md lacks {name}");
    }
}
