//! A cue's example line, whose optional parts appear when the ticket's attributes can fill them.
//!
//! `[{customer_name}, ]I can see the charge[ for {product}] on [card {card}|your card].` A part in square brackets is dropped
//! when one of its placeholders has no value, or gives way to the words after its `|`, so an agent never sees a hole.

use std::collections::BTreeMap;

use unicode_segmentation::UnicodeSegmentation;

use super::fault::Fault;

/// The most characters of a value that an example takes in; a longer one is cut, with an ellipsis.
pub(super) const LONGEST_VALUE: usize = 60;

/// Phrases that customers know for formulas; an example that holds one does not load.
const HOLLOW: [&str; 11] = [
    "understand your frustration",
    "understand how you feel",
    "know how you feel",
    "sorry you feel",
    "value you",
    "valued customer",
    "any inconvenience",
    "your call is important",
    "calm down",
    "rest assured",
    "at your earliest convenience",
];

/// An example that parsed.
pub(super) struct Example(Vec<Part>);

enum Part {
    Fixed(String),
    Optional { pieces: Vec<Piece>, otherwise: String },
}

enum Piece {
    Words(String),
    Value(String),
}

impl Example {
    /// Parses an example that may use the `known` placeholders.
    pub(super) fn parse(source: &str, known: &BTreeMap<String, String>) -> Result<Example, Vec<Fault>> {
        let mut faults = Vec::new();
        let lower = source.to_lowercase();
        faults.extend(HOLLOW.into_iter().filter(|phrase| lower.contains(phrase)).map(Fault::Hollow));
        let parts = parts(source.trim(), known, &mut faults);
        let left = Example(parts);
        if faults.is_empty() && left.render(&BTreeMap::new()).trim().is_empty() {
            faults.push(Fault::EmptyExample);
        }
        if faults.is_empty() { Ok(left) } else { Err(faults) }
    }

    /// The line for a ticket with these attributes.
    pub(super) fn render(&self, attributes: &BTreeMap<String, String>) -> String {
        let mut line = String::new();
        let mut dropped_the_start = false;
        for part in &self.0 {
            match part {
                Part::Fixed(words) => line.push_str(words),
                Part::Optional { pieces, otherwise } => match fill(pieces, attributes) {
                    Some(filled) => line.push_str(&filled),
                    None => {
                        dropped_the_start |= line.is_empty();
                        line.push_str(otherwise);
                    }
                },
            }
        }
        if dropped_the_start { capitalised(line.trim_start()) } else { line }
    }
}

/// The pieces with their values, or nothing when one is unknown.
fn fill(pieces: &[Piece], attributes: &BTreeMap<String, String>) -> Option<String> {
    let mut filled = String::new();
    for piece in pieces {
        match piece {
            Piece::Words(words) => filled.push_str(words),
            Piece::Value(name) => filled.push_str(&plain(attributes.get(name)?)?),
        }
    }
    Some(filled)
}

/// A value as harmless plain text on one line, or nothing when it is blank. Besides control characters it loses those that
/// turn the direction of text or break lines unseen, with which a value could disguise the words around it.
fn plain(value: &str) -> Option<String> {
    let unseen = |c: char| {
        c.is_control() || matches!(c, '\u{200B}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
    };
    let spaced: String = value.chars().map(|c| if unseen(c) { ' ' } else { c }).collect();
    let words = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut graphemes = words.grapheme_indices(true);
    match graphemes.nth(LONGEST_VALUE) {
        Some((end, _)) => Some(format!("{}…", words[..end].trim_end())),
        None => (!words.is_empty()).then_some(words),
    }
}

/// The line with its first letter as a capital.
fn capitalised(line: &str) -> String {
    let mut chars = line.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Splits an example into parts. Each character belongs to the fixed text, to a part in brackets, or to a name in braces
/// within one.
fn parts(source: &str, known: &BTreeMap<String, String>, faults: &mut Vec<Fault>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['[', ']', '{', '}']) {
        if at > 0 {
            parts.push(Part::Fixed(rest[..at].to_owned()));
        }
        // What was found is one byte long, so slicing after it is within bounds and between characters.
        let (found, after) = (rest.as_bytes()[at], &rest[at + 1..]);
        let (close, what) = match found {
            b'[' => (']', "a [ without ]"),
            b'{' => ('}', "a { without }"),
            _ => {
                faults.push(Fault::Unpaired("a ] or } that closes nothing"));
                return parts;
            }
        };
        let Some(end) = after.find(close) else {
            faults.push(Fault::Unpaired(what));
            return parts;
        };
        let inner = &after[..end];
        if found == b'[' {
            let (inner, otherwise) = inner.split_once('|').unwrap_or((inner, ""));
            if otherwise.contains(['[', '{', '}', '|']) {
                faults.push(Fault::Unpaired("more than plain words after |"));
            }
            parts.push(Part::Optional { pieces: pieces(inner, known, faults), otherwise: otherwise.to_owned() });
        } else {
            faults.push(Fault::BarePlaceholder(inner.to_owned()));
        }
        rest = &after[end + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Fixed(rest.to_owned()));
    }
    parts
}

/// Splits what stands in brackets into words and placeholders.
fn pieces(inner: &str, known: &BTreeMap<String, String>, faults: &mut Vec<Fault>) -> Vec<Piece> {
    if !inner.contains('{') {
        faults.push(if inner.contains('[') {
            Fault::Unpaired("a [ within [ ]")
        } else {
            Fault::IdleBrackets(inner.to_owned())
        });
        return Vec::new();
    }
    let mut pieces = Vec::new();
    let mut rest = inner;
    while let Some((words, after)) = rest.split_once('{') {
        pieces.push(Piece::Words(words.to_owned()));
        let Some((name, after)) = after.split_once('}') else {
            faults.push(Fault::Unpaired("a { without }"));
            return pieces;
        };
        if !known.contains_key(name) {
            faults.push(Fault::UnknownPlaceholder(name.to_owned()));
        }
        pieces.push(Piece::Value(name.to_owned()));
        rest = after;
    }
    pieces.push(Piece::Words(rest.to_owned()));
    let stray = |piece: &Piece| matches!(piece, Piece::Words(words) if words.contains(['[', '}']));
    if pieces.iter().any(stray) {
        faults.push(Fault::Unpaired("a [ or } within [ ] that has no partner"));
    }
    pieces
}
