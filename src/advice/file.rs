//! A policy or catalogue file: its text, and the faults found in it.

use std::{collections::HashMap, fs, path::Path};

use serde::de::DeserializeOwned;
use serde_saphyr::{Location, Spanned};

use super::fault::{Fault, Place};

/// A file's name and text.
pub(super) struct Text {
    name: String,
    text: String,
}

impl Text {
    /// Reads the file at `path`, or takes the one that is compiled in.
    pub(super) fn open(path: Option<&Path>, built_in_name: &str, built_in: &str) -> Result<Text, Vec<Place>> {
        let Some(path) = path else {
            return Ok(Text { name: built_in_name.to_owned(), text: built_in.to_owned() });
        };
        let name = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Ok(Text { name, text }),
            Err(error) => {
                Err(vec![Place { file: name, position: None, item: String::new(), fault: Fault::Unreadable(error) }])
            }
        }
    }

    /// Reads the text as YAML of the form of `T`. Only here the first fault ends the reading: what follows a slip in the
    /// form cannot be told.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Vec<Place>> {
        let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
        serde_saphyr::from_str_with_options(&self.text, options).map_err(|error| {
            let position = error.location().map(position);
            let said = error.to_string();
            // The place is told once, before the message.
            let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
            vec![Place {
                file: self.name.clone(),
                position,
                item: position
                    .and_then(|(line, _)| self.entry_at(line))
                    .map_or_else(String::new, |id| format!("entry `{id}`")),
                fault: Fault::Form(said.to_owned()),
            }]
        })
    }

    /// The id of the entry that a line belongs to, read from the text itself, since a file of the wrong form has no
    /// entries yet.
    fn entry_at(&self, line: u64) -> Option<&str> {
        let lines: Vec<&str> = self.text.lines().take(usize::try_from(line).ok()?).collect();
        let inner = lines.iter().rev().take_while(|line| line.starts_with([' ', '-', '#']) || line.is_empty());
        let id = inner.into_iter().find_map(|line| line.trim_start_matches([' ', '-', '{']).strip_prefix("id:"))?;
        let id = id.split(',').next().unwrap_or(id).trim_matches([' ', '"', '\'']);
        (!id.is_empty()).then_some(id)
    }

    /// A list for the faults of this file.
    pub(super) fn faults(&self) -> Faults<'_> {
        Faults { file: &self.name, faults: Vec::new() }
    }
}

fn position(location: Location) -> (u64, u64) {
    (location.line(), location.column())
}

/// Collects the faults of one file.
pub(super) struct Faults<'a> {
    file: &'a str,
    faults: Vec<Place>,
}

impl Faults<'_> {
    /// Notes a fault of the file as a whole.
    pub(super) fn of_file(&mut self, fault: Fault) {
        self.faults.push(Place { file: self.file.to_owned(), position: None, item: String::new(), fault });
    }

    /// Notes a fault of an entry, at the place of its id.
    pub(super) fn of(&mut self, kind: &str, id: &Spanned<String>, fault: Fault) {
        self.faults.push(Place {
            file: self.file.to_owned(),
            position: Some(position(id.referenced)),
            item: format!("{kind} `{}`", id.value),
            fault,
        });
    }

    /// Notes which of an entry's texts are blank.
    pub(super) fn of_blanks(&mut self, kind: &str, id: &Spanned<String>, texts: &[(&'static str, &str)]) {
        for (key, text) in texts {
            if text.trim().is_empty() {
                self.of(kind, id, Fault::Blank(key));
            }
        }
    }

    /// Notes ids that are malformed or used twice.
    pub(super) fn of_ids<'i>(&mut self, kind: &str, ids: impl Iterator<Item = &'i Spanned<String>>) {
        let mut seen = HashMap::new();
        for id in ids {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if id.value.is_empty() || id.value.len() > 64 || !id.value.chars().all(fits) {
                self.of(kind, id, Fault::BadId);
            }
            if let Some(line) = seen.insert(&id.value, id.referenced.line()) {
                self.of(kind, id, Fault::DuplicateId(line));
            }
        }
    }

    /// `value`, unless there are faults.
    pub(super) fn or<T>(self, value: T) -> Result<T, Vec<Place>> {
        if self.faults.is_empty() { Ok(value) } else { Err(self.faults) }
    }
}
