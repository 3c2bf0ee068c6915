//! YAML in which every value keeps its position, so that every later step can report where an error is.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::{Location, Spanned};

use crate::path::{FieldPath, Segment};
use crate::standalone::error::LoadError;

/// One document of a file.
#[derive(Debug)]
pub(super) struct Document {
    /// The number of the document in the file, from 1.
    number: usize,
    pub(super) root: Node,
}

/// A value and the position where it begins.
#[derive(Debug)]
pub(super) struct Node {
    at: Position,
    pub(super) tree: Tree,
}

/// The kinds of values.
#[derive(Debug)]
pub(super) enum Tree {
    /// A string, number, boolean, or null.
    Scalar(Value),
    /// A list of values.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Member>),
}

/// One entry of a mapping.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    at: Position,
    pub(super) value: Node,
}

/// A line and a column, both from 1.
#[derive(Clone, Copy, Debug)]
struct Position {
    line: u64,
    column: u64,
}

/// A field of a document, which errors can point to.
#[derive(Clone, Debug)]
pub(super) struct Site<'a> {
    document: &'a Document,
    path: FieldPath,
}

/// Reads the documents of a file. Empty documents are left out.
pub(super) fn read(text: &str) -> Result<Vec<Document>, LoadError> {
    let options = serde_saphyr::options! {
        // `yes`, `no`, `on` and `off` are strings, as in YAML 1.2.
        strict_booleans: true,
        with_snippet: false,
    };
    let roots: Vec<Node> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| syntax_error(&error))?;
    let documents = roots.into_iter().enumerate().map(|(i, root)| Document { number: i + 1, root });
    Ok(documents.filter(|document| !document.root.is_null()).collect())
}

fn syntax_error(error: &serde_saphyr::Error) -> LoadError {
    let at = error.location().map_or(Position { line: 0, column: 0 }, Position::from);
    let message = match error {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("duplicate field `{key}`: remove one of the two")
        }
        other => {
            // The position is already printed before the message.
            let message = other.to_string();
            let end = message.rfind(" at line ").unwrap_or(message.len());
            format!("invalid YAML: {}", &message[..end])
        }
    };
    let path = FieldPath::default();
    LoadError { document: 0, line: at.line, column: at.column, path, message }
}

impl Document {
    /// The field at `path`.
    pub(super) const fn site(&self, path: FieldPath) -> Site<'_> {
        Site { document: self, path }
    }
}

impl Site<'_> {
    /// Makes an error about this field.
    pub(super) fn error(&self, message: impl Into<String>) -> LoadError {
        let at = self.position();
        LoadError {
            document: self.document.number,
            line: at.line,
            column: at.column,
            path: self.path.clone(),
            message: message.into(),
        }
    }

    /// The field `key` within this field.
    pub(super) fn key(&self, key: &str) -> Self {
        Self { document: self.document, path: self.path.key(key) }
    }

    /// The line of the field.
    pub(super) fn line(&self) -> u64 {
        self.position().line
    }

    /// The position of the field. If the file does not have the field, that of the nearest enclosing one.
    fn position(&self) -> Position {
        let (mut node, mut at) = (&self.document.root, self.document.root.at);
        for segment in self.path.segments() {
            match (segment, &node.tree) {
                (Segment::Key(key), Tree::Map(members)) => {
                    let Some(member) = members.iter().find(|m| m.name == *key) else { break };
                    (node, at) = (&member.value, member.at);
                }
                (Segment::Index(index), Tree::List(items)) => {
                    let Some(item) = items.get(*index) else { break };
                    (node, at) = (item, item.at);
                }
                _ => break,
            }
        }
        at
    }
}

impl Node {
    /// The value of the field `name`, if this is a mapping that has it.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Tree::Map(members) = &self.tree else { return None };
        members.iter().find(|member| member.name == name).map(|member| &member.value)
    }

    /// The string, if this is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        let Tree::Scalar(Value::String(text)) = &self.tree else { return None };
        Some(text)
    }

    fn is_null(&self) -> bool {
        matches!(self.tree, Tree::Scalar(Value::Null))
    }

    /// The value without positions. Fields without a value are left out, as the API server does.
    pub(super) fn to_json(&self) -> Value {
        match &self.tree {
            Tree::Scalar(value) => value.clone(),
            Tree::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Tree::Map(members) => {
                let written = members.iter().filter(|member| !member.value.is_null());
                let pairs = written.map(|member| (member.name.clone(), member.value.to_json()));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }
}

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self { at: spanned.referenced.into(), tree: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(truth.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        // JSON has no infinity, so it stays a string and is rejected where a number is expected.
        let value = serde_json::Number::from_f64(number);
        Ok(Tree::Scalar(value.map_or_else(|| number.to_string().into(), Value::Number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = pairs.next_entry::<Spanned<String>, Node>()? {
            members.push(Member { name: name.value, at: name.referenced.into(), value });
        }
        Ok(Tree::Map(members))
    }
}
