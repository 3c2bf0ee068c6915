//! The documents name every flag of the controller with its default, and every metric.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use qoe_controller::args::Cli;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_flag_is_documented_with_its_default() {
    let text = read("docs/configuration.md");
    let section = text.split("\n## ").find(|part| part.starts_with("qoe-controller\n"));
    let section = section.expect("the section `qoe-controller`");
    let command = Cli::command();
    let command = command.find_subcommand("run").expect("`run`");
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

#[test]
fn every_metric_is_documented() {
    let text = read("docs/operations.md");
    let mut names = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    assert!(
        names.len() > 10,
        "metrics are registered in another way than this test knows: {names:?}"
    );
    for name in names {
        // What the encoder adds for the kind and the unit.
        let row = |suffix| text.contains(&format!("| `qoe_controller_{name}{suffix}`"));
        let documented = ["", "_total", "_seconds", "_bytes"].into_iter().any(row);
        assert!(documented, "docs/operations.md lacks qoe_controller_{name}");
    }
}

/// The names that sources below `folder` give to the registry. They are read from the text: a family without series is
/// not on the page of metrics.
fn collect(folder: &Path, names: &mut Vec<String>) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("sources")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, names);
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        for call in [".register(", ".register_with_unit("] {
            for rest in text.split(call).skip(1) {
                if let Some(name) = rest.trim_start().strip_prefix('"') {
                    names.extend(name.split('"').next().map(str::to_owned));
                }
            }
        }
    }
}
