//! JSON records, taken apart field by field. What is wrong is said without the value: it may be a customer's words.

use std::{fmt, str::FromStr};

use serde_json::{Map, Value};

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Fault {
    /// The field at fault; `None`: the record as a whole.
    pub(in crate::cli) field: Option<&'static str>,
    /// What is wrong with it.
    pub(in crate::cli) problem: String,
}

impl Fault {
    pub(in crate::cli) fn whole(problem: impl Into<String>) -> Self {
        Self { field: None, problem: problem.into() }
    }

    pub(in crate::cli) fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field: Some(field), problem: problem.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            Some(field) => write!(f, "{field} {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

/// The fields of one record that have not been taken yet.
pub(in crate::cli) struct Fields(Map<String, Value>);

impl Fields {
    pub(in crate::cli) fn parse(record: &[u8]) -> Result<Self, Fault> {
        match serde_json::from_slice(record) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Fault::whole("not a JSON object")),
            Err(error) => Err(Fault::whole(format!("not valid JSON at column {}", error.column()))),
        }
    }

    /// A string that must be there and not be blank.
    pub(in crate::cli) fn required_text(&mut self, name: &'static str) -> Result<String, Fault> {
        match self.0.remove(name) {
            None => Err(Fault::field(name, "is missing")),
            Some(Value::String(text)) if text.trim().is_empty() => Err(Fault::field(name, "is blank")),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(Fault::field(name, "must be a string")),
        }
    }

    /// A string that may be missing or null, and is empty then.
    pub(in crate::cli) fn optional_text(&mut self, name: &'static str) -> Result<String, Fault> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(Fault::field(name, "must be a string")),
        }
    }

    /// A label by its name.
    pub(in crate::cli) fn label<L: FromStr>(&mut self, name: &'static str) -> Result<L, Fault> {
        let value = self.0.remove(name).ok_or_else(|| Fault::field(name, "is missing"))?;
        label(name, &value)
    }

    /// A label by its name, or none when it is missing or null.
    pub(in crate::cli) fn optional_label<L: FromStr>(&mut self, name: &'static str) -> Result<Option<L>, Fault> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => label(name, &value).map(Some),
        }
    }

    /// Several labels, each at most once.
    pub(in crate::cli) fn labels<L: FromStr + PartialEq>(&mut self, name: &'static str) -> Result<Vec<L>, Fault> {
        let values = match self.0.remove(name) {
            None => return Err(Fault::field(name, "is missing")),
            Some(Value::Array(values)) => values,
            Some(_) => return Err(Fault::field(name, "must be a list")),
        };
        let mut labels = Vec::with_capacity(values.len());
        for value in &values {
            let label = label(name, value)?;
            if labels.contains(&label) {
                return Err(Fault::field(name, "holds a label twice"));
            }
            labels.push(label);
        }
        Ok(labels)
    }

    /// A whole number that is not negative.
    pub(in crate::cli) fn number(&mut self, name: &'static str) -> Result<u64, Fault> {
        let value = self.0.remove(name).ok_or_else(|| Fault::field(name, "is missing"))?;
        value.as_u64().ok_or_else(|| Fault::field(name, "must be a whole number"))
    }
}

fn label<L: FromStr>(field: &'static str, value: &Value) -> Result<L, Fault> {
    let name = value.as_str().ok_or_else(|| Fault::field(field, "must be a label's name"))?;
    name.parse().map_err(|_| Fault::field(field, "holds a label that is not known"))
}
