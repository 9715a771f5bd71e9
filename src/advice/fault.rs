//! What can be wrong with a policy or a catalogue, said so that its author can mend it.

use std::{fmt, io};

use thiserror::Error;

/// Everything that is wrong with the files that were loaded.
#[derive(Debug, Error)]
#[error("{}", lines(.faults))]
pub struct AdviceError {
    /// The faults in the order of the files; never empty.
    pub faults: Vec<Place>,
}

fn lines(faults: &[Place]) -> String {
    faults.iter().map(Place::to_string).collect::<Vec<_>>().join("\n")
}

/// A fault and where it is.
#[derive(Debug)]
pub struct Place {
    /// The file as it was named to the service.
    pub file: String,
    /// Line and column, counted from 1, where they are known.
    pub position: Option<(u64, u64)>,
    /// What of the file is meant, such as "rule `legal`"; empty for the file as a whole.
    pub item: String,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some((line, column)) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if !self.item.is_empty() {
            write!(f, " {}:", self.item)?;
        }
        write!(f, " {}", self.fault)
    }
}

/// One thing that is wrong, and what to do about it.
#[derive(Debug, Error)]
pub enum Fault {
    /// The file cannot be read.
    #[error("cannot be read ({0}); check the path and the permissions")]
    Unreadable(#[source] io::Error),
    /// Not YAML, or not of the file's form: a missing or unknown key, a wrong type.
    #[error("{0}")]
    Form(String),
    /// A text that must say something is blank.
    #[error("`{0}` is blank; write it, or remove the entry")]
    Blank(&'static str),
    /// A list or map that must have entries has none.
    #[error("there are no `{0}`; add at least one")]
    None(&'static str),
    /// Two entries share an id.
    #[error("the id is used before, at line {0}; give each its own, so that answers can be traced")]
    DuplicateId(u64),
    /// An id that logs, tags and addresses could not carry.
    #[error("the id must be of lower-case letters, digits and hyphens, at most 64 of them")]
    BadId,
    /// A rule bears the name that stands for "no rule matched".
    #[error("`default` is the name of the answer when no rule matches; choose another id")]
    ReservedId,
    /// A time that does not parse or is out of bounds.
    #[error(
        "first_response `{0}` is not a time from 1m to 30d; write a whole number and a unit, such as 15m, 4h or 2d"
    )]
    BadDuration(String),
    /// A tag is listed twice.
    #[error("the tag `{0}` is listed twice; remove one")]
    DuplicateTag(String),
    /// The condition is not CEL.
    #[error("the condition does not parse: {0}")]
    Syntax(String),
    /// The condition names a variable that there is none of.
    #[error("the condition uses `{name}`, which is not a variable; there are {known}")]
    UnknownVariable {
        /// The name as written.
        name: String,
        /// The variables there are.
        known: String,
    },
    /// The condition compares a variable with something it never is, so the comparison can never hold.
    #[error("the condition compares `{variable}` with {value}, which it never is; it can be {known}")]
    UnknownLabel {
        /// The variable.
        variable: &'static str,
        /// The value as written.
        value: String,
        /// What the variable can be.
        known: String,
    },
    /// The condition orders labels, which CEL does by alphabet.
    #[error(
        "the condition orders `{0}` with < or >, which goes by alphabet; list what you mean: {0} in [\"…\", \"…\"]"
    )]
    OrderedLabels(&'static str),
    /// The condition is the same whatever the ticket.
    #[error("the condition is always {0}; for what should always hold use the default, otherwise remove the entry")]
    Constant(bool),
    /// Part of the condition fails, or is no yes or no, on a trial ticket.
    #[error(
        "on a trial ticket {ticket} part of the condition {problem}; every part joined by &&, || or ! must be true or false"
    )]
    Unsound {
        /// What is special about the trial ticket.
        ticket: &'static str,
        /// What happened.
        problem: String,
    },
    /// A cue rests on a source that the file does not list.
    #[error("the source `{0}` is not listed under `sources`; list it there with citation, url and evidence")]
    UnknownSource(String),
    /// A source that no cue rests on.
    #[error("no cue rests on this source; remove it, or name it in a cue")]
    UnusedSource,
    /// An address that is not one.
    #[error("`{0}` is not a web address; write it in full, starting with https:// or http://")]
    BadUrl(String),
    /// A weight out of bounds.
    #[error("the weight {0} is not from 1 to 100")]
    BadWeight(u32),
    /// A placeholder that the file does not list.
    #[error("the example uses {{{0}}}, which is not listed under `placeholders`; list it there, or correct the name")]
    UnknownPlaceholder(String),
    /// A placeholder that would leave a hole when its value is unknown.
    #[error("the example uses {{{0}}} outside square brackets; put it and the words that depend on it in [ ]")]
    BarePlaceholder(String),
    /// An optional part that depends on nothing.
    #[error("the example has [{0}] without a placeholder; remove the brackets, or add one")]
    IdleBrackets(String),
    /// Brackets or braces that do not pair up.
    #[error("the example has {0}; brackets and braces pair up and do not nest")]
    Unpaired(&'static str),
    /// An example of which nothing is left when no value is known.
    #[error("nothing is left of the example when no value is known; leave a full sentence outside the brackets")]
    EmptyExample,
    /// A line that only sounds kind.
    #[error("the example says `{0}`, which reads as a formula; say what is true of this ticket instead")]
    Hollow(&'static str),
}
