//! One line of the Prometheus text: `vllm:name{label="value",…} 1.0`.

use memchr::{memchr2, memchr3};

/// What all families of vLLM are called.
const PREFIX: &[u8] = b"vllm:";

/// A line of one of vLLM's families. Only its name was read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample<'a> {
    /// Without the prefix.
    pub(super) name: &'a [u8],
    /// What follows the name.
    rest: &'a [u8],
}

impl<'a> Sample<'a> {
    /// `None`: a comment, or another's line.
    pub(super) fn of(line: &'a [u8]) -> Option<Self> {
        let line = line.strip_prefix(PREFIX)?;
        let end = memchr3(b'{', b' ', b'\t', line)?;
        Some(Self { name: &line[..end], rest: &line[end..] })
    }

    /// The value, if it is a finite number that is not negative: no family that is read can be anything else.
    pub(super) fn value(&self) -> Option<f64> {
        let after_labels = self.each_label(|_, _| {})?;
        number(after_labels.split(u8::is_ascii_whitespace).find(|word| !word.is_empty())?)
    }

    /// Whether the line has this label.
    pub(super) fn is(&self, name: &str, value: &[u8]) -> bool {
        let mut found = false;
        self.each_label(|each, its| found |= each == name.as_bytes() && its == value);
        found
    }

    /// Looks at each label, name and value as they are written; then gives what follows. `None`: malformed.
    pub(super) fn each_label(&self, mut look: impl FnMut(&'a [u8], &'a [u8])) -> Option<&'a [u8]> {
        let Some(mut rest) = self.rest.strip_prefix(b"{") else {
            return Some(self.rest);
        };
        loop {
            rest = rest.trim_ascii_start();
            if let Some(after) = rest.strip_prefix(b"}") {
                return Some(after);
            }
            let equals = memchr2(b'=', b'}', rest)?;
            let name = rest[..equals].trim_ascii();
            let quoted =
                rest[equals..].strip_prefix(b"=")?.trim_ascii_start().strip_prefix(b"\"")?;
            let end = end_of_quoted(quoted)?;
            look(name, &quoted[..end]);
            rest = quoted[end + 1..].trim_ascii_start();
            rest = rest.strip_prefix(b",").unwrap_or(rest);
        }
    }
}

/// Where the closing quote is.
fn end_of_quoted(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// A finite number that is not negative.
pub(super) fn number(text: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}
