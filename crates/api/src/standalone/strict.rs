//! Unknown fields. In a cluster the API server drops them; in a file they are errors.
//!
//! The known fields are those of the schema. The types themselves accept unknown fields, so that a controller can read
//! objects that a newer release wrote.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::path::FieldPath;
use crate::standalone::error::LoadError;
use crate::standalone::yaml::{Document, Node, Tree};

/// An error for each field of `document` that `T` does not have.
pub(super) fn unknown_fields<T: JsonSchema>(document: &Document) -> Vec<LoadError> {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut walk = Walk { document, errors: Vec::new() };
    walk.node(&document.root, schema.as_value(), &FieldPath::default());
    walk.errors
}

struct Walk<'a> {
    document: &'a Document,
    errors: Vec<LoadError>,
}

impl Walk<'_> {
    fn node(&mut self, node: &Node, schema: &Value, path: &FieldPath) {
        let schema = without_option(schema);
        match &node.tree {
            Tree::Scalar(_) => {}
            // serde would read a list as a struct, value by value.
            Tree::List(_) if schema["properties"].is_object() => {
                let message = "expected a mapping, found a list";
                self.errors.push(self.document.site(path.clone()).error(message));
            }
            Tree::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.node(item, &schema["items"], &path.index(i));
                }
            }
            Tree::Map(members) => {
                let Some(known) = schema["properties"].as_object() else { return };
                for member in members {
                    let path = path.key(&member.name);
                    match known.get(&member.name) {
                        Some(schema) => self.node(&member.value, schema, &path),
                        None => self.unknown(path, &member.name, known.keys()),
                    }
                }
            }
        }
    }

    fn unknown<'k>(
        &mut self,
        path: FieldPath,
        name: &str,
        known: impl Iterator<Item = &'k String>,
    ) {
        let known: Vec<_> = known.map(|key| format!("`{key}`")).collect();
        let message = format!("unknown field `{name}`, expected one of {}", known.join(", "));
        self.errors.push(self.document.site(path).error(message));
    }
}

/// Returns the schema of `T` from the schema of `Option<T>`.
fn without_option(schema: &Value) -> &Value {
    let choices = schema["anyOf"].as_array().map_or(&[][..], Vec::as_slice);
    choices.iter().find(|choice| choice["properties"].is_object()).unwrap_or(schema)
}
