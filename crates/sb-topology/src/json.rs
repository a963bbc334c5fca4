//! JSON with places: every value knows its pointer and its line.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jsonc_parser::ast::{self, ObjectPropName};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use crate::findings::{Findings, Place, Placed, sentence, shown};
use crate::nearest::nearest;

/// JSON as RFC 8259 has it: none of the parser's liberties.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Finds the line of a byte.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    /// Offset of the first byte of each line but the first.
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Self {
        Self { starts: text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1).collect() }
    }

    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset) + 1
    }
}

/// The text of a document, parsed.
pub(crate) struct Document<'a> {
    file: &'static str,
    lines: Lines,
    root: ast::Value<'a>,
}

impl<'a> Document<'a> {
    /// Parses a document; what prevents that is a finding.
    pub(crate) fn parse(file: &'static str, bytes: &'a [u8], findings: &mut Findings) -> Option<Self> {
        let place = |line| Place { file, pointer: String::new(), line };
        if bytes.len() > crate::DOCUMENT_BYTES_MAX {
            findings.error(&place(1), "json.too_long", format!("`{file}` is too long")).detail(format!(
                "{} bytes; {} are read.",
                bytes.len(),
                crate::DOCUMENT_BYTES_MAX
            ));
            return None;
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let line = bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
                findings.error(&place(line), "json.encoding", format!("`{file}` is not UTF-8"));
                return None;
            }
        };
        let lines = Lines::new(text);
        let value = parse_to_ast(text, &CollectOptions::default(), &STRICT);
        let problem = match value.map(|result| result.value) {
            Ok(Some(root)) => return Some(Self { file, lines, root }),
            Ok(None) => (1, "The file is empty.".to_owned()),
            Err(error) => {
                let line = lines.line(error.range().start);
                (line, format!("{}, at column {}.", error.kind(), error.column_display()))
            }
        };
        findings.error(&place(problem.0), "json.syntax", format!("`{file}` is not JSON")).detail(problem.1);
        None
    }

    /// The outermost value.
    pub(crate) fn root(&self) -> Node<'_> {
        let place =
            Place { file: self.file, pointer: String::new(), line: self.lines.line(self.root.start()) };
        Node { key: self.file, value: &self.root, lines: &self.lines, place }
    }
}

/// A value in a document.
#[derive(Clone)]
pub(crate) struct Node<'a> {
    key: &'a str,
    value: &'a ast::Value<'a>,
    lines: &'a Lines,
    pub(crate) place: Place,
}

impl<'a> Node<'a> {
    fn at(&self, key: &'a str, segment: &str, value: &'a ast::Value<'a>) -> Node<'a> {
        let segment = segment.replace('~', "~0").replace('/', "~1");
        let pointer = format!("{}/{segment}", self.place.pointer);
        let place = Place { file: self.place.file, pointer, line: self.lines.line(value.start()) };
        Node { key, value, lines: self.lines, place }
    }

    /// The value as an object.
    pub(crate) fn object(&self, findings: &mut Findings) -> Option<Object<'a>> {
        let ast::Value::Object(object) = self.value else { return self.wrong_type("an object", findings) };
        let mut members: Vec<(&'a str, Node<'a>)> = Vec::new();
        for property in &object.properties {
            let name = match &property.name {
                ObjectPropName::String(literal) => literal.value.as_ref(),
                ObjectPropName::Word(literal) => literal.value,
            };
            let node = self.at(name, name, &property.value);
            match members.iter().find(|(earlier, _)| *earlier == name) {
                Some((_, earlier)) => {
                    findings
                        .error(
                            &node.place,
                            "json.key.duplicate",
                            format!("key {} is given twice", shown(name)),
                        )
                        .detail(format!("The first one is on line {}.", earlier.place.line));
                }
                None => members.push((name, node)),
            }
        }
        Some(Object { place: self.place.clone(), members, known: Vec::new() })
    }

    /// The value as a list.
    pub(crate) fn list(&self, findings: &mut Findings) -> Option<Vec<Node<'a>>> {
        let ast::Value::Array(array) = self.value else { return self.wrong_type("a list", findings) };
        let nodes =
            array.elements.iter().enumerate().map(|(at, value)| self.at(self.key, &at.to_string(), value));
        Some(nodes.collect())
    }

    /// The value as text without control characters.
    pub(crate) fn text(&self, findings: &mut Findings) -> Option<Placed<&'a str>> {
        let ast::Value::StringLit(literal) = self.value else { return self.wrong_type("a text", findings) };
        if literal.value.chars().any(char::is_control) {
            let message = format!("`{}` contains a control character", self.key);
            findings.error(&self.place, "value.control_character", message);
            return None;
        }
        Some(Placed { value: literal.value.as_ref(), place: self.place.clone() })
    }

    /// The value as `true` or `false`.
    pub(crate) fn flag(&self, findings: &mut Findings) -> Option<bool> {
        match self.value {
            ast::Value::BooleanLit(literal) => Some(literal.value),
            _ => self.wrong_type("`true` or `false`", findings),
        }
    }

    /// Whether the value is an object.
    pub(crate) fn is_object(&self) -> bool {
        matches!(self.value, ast::Value::Object(_))
    }

    /// Whether the value is `true` or `false`.
    pub(crate) fn is_flag(&self) -> bool {
        matches!(self.value, ast::Value::BooleanLit(_))
    }

    /// The value as a whole number within limits.
    pub(crate) fn integer<T>(&self, limits: RangeInclusive<T>, findings: &mut Findings) -> Option<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        let ast::Value::NumberLit(literal) = self.value else { return self.wrong_type("a number", findings) };
        let number = literal.value.parse::<T>().ok().filter(|number| limits.contains(number));
        if number.is_none() {
            let message = format!("`{}` cannot be {}", self.key, shown(literal.value));
            let rule = format!("A whole number from {} to {}.", limits.start(), limits.end());
            findings.error(&self.place, "value.range", message).detail(rule);
        }
        number
    }

    /// The value as one of a few words.
    pub(crate) fn word<T: Copy>(&self, words: &[(&str, T)], findings: &mut Findings) -> Option<T> {
        let text = self.text(findings)?.value;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let all: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let message = format!("{} is not a value of `{}`", shown(text), self.key);
        let words = findings
            .error(&self.place, "value.unknown", message)
            .detail(format!("One of {}.", all.join(", ")));
        if let Some(meant) = nearest(text, all.iter().map(|word| word.trim_matches('`'))) {
            words.hint(format!("Did you mean `{meant}`?"));
        }
        None
    }

    /// The value as text of some form; an empty text counts as absent.
    pub(crate) fn parsed<T>(&self, findings: &mut Findings) -> Option<Placed<T>>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text(findings)?;
        if text.value.is_empty() {
            return None;
        }
        match text.value.parse() {
            Ok(value) => Some(Placed { value, place: text.place }),
            Err(error) => {
                let message = format!("`{}` cannot be {}", self.key, shown(text.value));
                findings.error(&self.place, "value.form", message).detail(sentence(&error));
                None
            }
        }
    }

    fn wrong_type<T>(&self, wanted: &str, findings: &mut Findings) -> Option<T> {
        let found = match self.value {
            ast::Value::StringLit(_) => "a text",
            ast::Value::NumberLit(_) => "a number",
            ast::Value::BooleanLit(_) => "`true` or `false`",
            ast::Value::Object(_) => "an object",
            ast::Value::Array(_) => "a list",
            ast::Value::NullKeyword(_) => "`null`",
        };
        let message = format!("{} must be {wanted}, not {found}", shown(self.key));
        findings.error(&self.place, "value.type", message);
        None
    }
}

/// An object of a document, and the keys that its reader has asked for.
pub(crate) struct Object<'a> {
    pub(crate) place: Place,
    members: Vec<(&'a str, Node<'a>)>,
    known: Vec<&'static str>,
}

impl<'a> Object<'a> {
    /// The value of a key; [`None`] when it is absent or `null`.
    pub(crate) fn optional(&mut self, key: &'static str) -> Option<Node<'a>> {
        self.known.push(key);
        let (_, node) = self.members.iter().find(|(name, _)| *name == key)?;
        (!matches!(node.value, ast::Value::NullKeyword(_))).then(|| node.clone())
    }

    /// The value of a key that has to be there.
    pub(crate) fn required(&mut self, key: &'static str, findings: &mut Findings) -> Option<Node<'a>> {
        let node = self.optional(key);
        if node.is_none() {
            findings.error(&self.place, "value.missing", format!("`{key}` is missing"));
        }
        node
    }

    /// Replaces `value` by that of `key`, if it is given and within limits.
    pub(crate) fn set_integer<T>(
        &mut self,
        key: &'static str,
        value: &mut T,
        limits: RangeInclusive<T>,
        findings: &mut Findings,
    ) where
        T: FromStr + PartialOrd + Display,
    {
        if let Some(given) = self.optional(key).and_then(|node| node.integer(limits, findings)) {
            *value = given;
        }
    }

    /// Replaces `value` by that of `key`, if it is given and one of the words.
    pub(crate) fn set_word<T: Copy>(
        &mut self,
        key: &'static str,
        value: &mut T,
        words: &[(&str, T)],
        findings: &mut Findings,
    ) {
        if let Some(given) = self.optional(key).and_then(|node| node.word(words, findings)) {
            *value = given;
        }
    }

    /// Where the value of `key` stands.
    pub(crate) fn place_of(&self, key: &str) -> &Place {
        self.members.iter().find(|(name, _)| *name == key).map_or(&self.place, |(_, node)| &node.place)
    }

    /// Every member, for an object whose keys are names.
    pub(crate) fn into_members(self) -> Vec<(&'a str, Node<'a>)> {
        self.members
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(self, findings: &mut Findings) {
        for (name, node) in &self.members {
            if self.known.contains(name) {
                continue;
            }
            let message = format!("unknown key {} is ignored", shown(name));
            let warning = findings.warning(&node.place, "json.key.unknown", message);
            match nearest(name, self.known.iter().copied()) {
                Some(meant) => warning.hint(format!("Did you mean `{meant}`?")),
                None if self.known.is_empty() => warning.detail("This object has no settings yet."),
                None => warning.detail(format!("Known keys: {}.", self.known.join(", "))),
            };
        }
    }
}
