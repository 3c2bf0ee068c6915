//! Crosses a whole value, whatever it is, without recursion.

use crate::json::error::{JsonError, JsonErrorKind};
use crate::json::scanner::Scanner;
use crate::json::text;
use crate::json::value::{Kind, Value};

/// The arrays and objects that are open inside one value: one bit each, innermost lowest, 1 for an object.
/// [`MAX_DEPTH`](crate::json::error::MAX_DEPTH) bounds them, so the bits suffice.
#[derive(Default)]
struct Nest {
    objects: u128,
    depth: u32,
}

impl Nest {
    fn push(&mut self, object: bool) {
        self.objects = self.objects << 1 | u128::from(object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

impl<'a> Scanner<'a> {
    /// Crosses the next value, whatever it is, and checks all of it.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn skip(&mut self) -> Result<Value<'a>, JsonError> {
        let kind = self.peek()?;
        let at = self.at;
        let mut nest = Nest::default();
        loop {
            if self.opens(&mut nest)? {
                continue;
            }
            if !self.closes(&mut nest)? {
                return Ok(Value { kind, raw: &self.text[at..self.at], at });
            }
        }
    }

    /// Crosses a scalar or an empty container: `false`. Or enters a container, up to its first value: `true`.
    fn opens(&mut self, nest: &mut Nest) -> Result<bool, JsonError> {
        let (object, close) = match self.peek()? {
            Kind::Object => (true, b'}'),
            Kind::Array => (false, b']'),
            scalar => return self.scalar(scalar).map(|()| false),
        };
        self.deeper(nest.depth + 1)?;
        self.at += 1;
        self.blank();
        if self.byte()? == close {
            self.at += 1;
            return Ok(false);
        }
        nest.push(object);
        if object {
            self.name()?;
        }
        Ok(true)
    }

    /// A value ended: leaves the containers that end with it. `true`: another value follows.
    fn closes(&mut self, nest: &mut Nest) -> Result<bool, JsonError> {
        while nest.depth > 0 {
            self.blank();
            match (self.byte()?, nest.in_object()) {
                (b'}', true) | (b']', false) => nest.pop(),
                (b',', object) => {
                    self.at += 1;
                    self.blank();
                    if object {
                        self.name()?;
                    }
                    return Ok(true);
                }
                (_, true) => {
                    return Err(JsonErrorKind::Expected("a comma or the object's end").at(self.at));
                }
                (_, false) => {
                    return Err(JsonErrorKind::Expected("a comma or the array's end").at(self.at));
                }
            }
            self.at += 1;
        }
        Ok(false)
    }

    fn scalar(&mut self, kind: Kind) -> Result<(), JsonError> {
        match kind {
            Kind::String => {
                self.at = text::string_end(self.text, self.at)?;
                Ok(())
            }
            Kind::Number => self.number(),
            Kind::Null => self.word(b"null"),
            _ if self.byte()? == b't' => self.word(b"true"),
            _ => self.word(b"false"),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(JsonErrorKind::Expected("a value").at(self.at));
        }
        self.at += word.len();
        Ok(())
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    fn number(&mut self) -> Result<(), JsonError> {
        self.eat(b"-");
        if !self.eat(b"0") {
            self.digits()?;
        }
        if self.eat(b".") {
            self.digits()?;
        }
        if self.eat(b"eE") {
            self.eat(b"+-");
            self.digits()?;
        }
        Ok(())
    }

    fn eat(&mut self, one_of: &[u8]) -> bool {
        let found = self.text.get(self.at).is_some_and(|byte| one_of.contains(byte));
        self.at += usize::from(found);
        found
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let from = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == from { Err(JsonErrorKind::BadNumber.at(from)) } else { Ok(()) }
    }
}
