//! Tests of the documents: their YAML validates, the table of fields is complete, and every link has a target.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use qoe_api::standalone::load;
use qoe_api::{Policy, Predictive, QoERouteSpec, Weights};
use serde_json::Value;

const ROUTE: &str = "apiVersion: qoe-router.io/v1alpha1\nkind: QoERoute\nmetadata: {name: any}\n";
const ENDPOINTS: &str = "apiVersion: qoe-router.io/v1alpha1\nkind: EndpointList\nendpoints: []\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The Markdown documents of the repository, with their text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let own = ["", "docs", "charts/qoe-router", "deploy", "deploy/kustomize", "deploy/presets"];
    for folder in own.into_iter().chain(["deploy/samples", "deploy/sidecar", "tests/kubernetes"]) {
        let entries = fs::read_dir(root().join(folder)).expect("a folder with documents");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        for path in paths.filter(|path| path.extension().is_some_and(|ext| ext == "md")) {
            let text = fs::read_to_string(&path).expect("a text");
            found.push((path, text));
        }
    }
    found
}

/// The contents of the blocks fenced as YAML.
fn yaml_blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next())
}

#[test]
fn every_route_and_every_endpoint_list_in_the_documents_validates() {
    let mut checked = 0;
    for (path, text) in documents() {
        for block in yaml_blocks(&text) {
            let (route, endpoints) =
                (block.contains("kind: QoERoute"), block.contains("kind: EndpointList"));
            // `load` needs a document of each kind, so the one that a block leaves out is added.
            let file = match (route, endpoints) {
                (false, false) => continue,
                (true, true) => block.to_owned(),
                (true, false) => format!("{block}\n---\n{ENDPOINTS}"),
                (false, true) => format!("{block}\n---\n{ROUTE}"),
            };
            checked += 1;
            if let Err(errors) = load(&file) {
                panic!("{}:\n{errors}\nin\n{block}", path.display());
            }
        }
    }
    assert!(checked >= 5, "only {checked} blocks were found: are they fenced as ```yaml?");
}

#[test]
fn the_table_of_fields_has_every_field_with_its_default() {
    let text = fs::read_to_string(root().join("docs/configuration.md")).expect("configuration.md");
    let section = text.split("\n## ").find(|part| part.starts_with("The QoERoute document"));
    let rows = rows(section.expect("the section"));
    let schema = serde_json::to_value(schemars::schema_for!(QoERouteSpec)).expect("a schema");
    let mut fields = Vec::new();
    leaves(&schema, &schema, "", &mut fields);
    for field in &fields {
        let cells = rows.get(field.as_str()).unwrap_or_else(|| panic!("no row for `{field}`"));
        let wanted = default_of(field);
        assert!(
            cells[1].starts_with(&wanted),
            "the default of `{field}` is {wanted}, and not {}",
            cells[1]
        );
    }
    let unknown: Vec<_> = rows.keys().filter(|row| !fields.iter().any(|f| f == *row)).collect();
    assert!(unknown.is_empty(), "rows of fields that are not there: {unknown:?}");
}

/// The rows whose first cell is code, keyed by that cell. The values are the other cells.
fn rows(section: &str) -> BTreeMap<&str, Vec<&str>> {
    section
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            let name = cells.next()?.strip_suffix('`')?;
            Some((name, cells.collect()))
        })
        .collect()
}

/// Collects the paths of all fields that have no subfields.
fn leaves(schema: &Value, node: &Value, path: &str, found: &mut Vec<String>) {
    let node = resolved(schema, node);
    match node["properties"].as_object() {
        Some(properties) => {
            for (name, inner) in properties {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(schema, inner, &path, found);
            }
        }
        None => found.push(path.to_owned()),
    }
}

/// Resolves references and options to the schema itself.
fn resolved<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let optional = node["anyOf"].as_array().and_then(|any| any.first());
    let node = optional.unwrap_or(node);
    match node["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => schema.pointer(pointer).expect("a definition"),
        None => node,
    }
}

/// The default as the table writes it: as code, or "none".
fn default_of(field: &str) -> String {
    // Settings of one policy are absent from the default route, and have their own defaults.
    let policy = Policy {
        weights: Some(Weights::default()),
        predictive: Some(Predictive::default()),
        ..Policy::default()
    };
    let spec = QoERouteSpec { policy, ..QoERouteSpec::default() };
    let spec = serde_json::to_value(spec).expect("JSON");
    let value = spec.pointer(&format!("/{}", field.replace('.', "/"))).unwrap_or(&Value::Null);
    match value {
        Value::Null => "none".to_owned(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Object(members) if members.is_empty() => "none".to_owned(),
        Value::String(text) => format!("`{text}`"),
        value => format!("`{value}`"),
    }
}

#[test]
fn the_table_of_commands_has_every_target_of_the_makefile() {
    let read = |file| fs::read_to_string(root().join(file)).expect("a text");
    let (makefile, page) = (read("Makefile"), read("docs/development.md"));
    // `make help` lists the targets with `##`; the others are steps of these.
    let described = makefile.lines().filter(|line| line.contains(" ## "));
    let mut targets: Vec<&str> =
        described.filter_map(|line| Some(line.split_once(':')?.0)).collect();
    targets.sort_unstable();
    let section = page.split("\n## ").find(|part| part.starts_with("Commands"));
    let rows = rows(section.expect("the section"));
    let listed: Vec<&str> = rows.keys().filter_map(|row| row.strip_prefix("make ")).collect();
    assert_eq!(listed, targets);
}

#[test]
fn every_relative_link_leads_to_a_file_and_to_a_heading() {
    for (path, text) in documents() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.parent().expect("a folder").join(file)
            };
            assert!(target.exists(), "{}: `{link}` leads nowhere", path.display());
            let there = || headings(&target).any(|known| known == heading);
            assert!(heading.is_empty() || there(), "{}: no heading `{link}`", path.display());
        }
    }
}

/// The anchors that GitHub generates for a document's headings.
fn headings(path: &Path) -> impl Iterator<Item = String> + use<> {
    let text = fs::read_to_string(path).expect("a text");
    let headings: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            title.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect();
    headings.into_iter()
}
