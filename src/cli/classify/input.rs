//! Tickets from JSON Lines, CSV or plain lines, one record at a time.

use std::{
    io::{self, BufRead, Cursor, Read},
    path::Path,
    str,
};

use clap::ValueEnum;

use super::record::{Fault, Fields};
use crate::server::proto;

/// How tickets are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One JSON object a line: text, and optionally id, subject, channel, locale; other keys are ignored.
    Jsonl,
    /// A header with a column text, and optionally id, subject, channel, locale; other columns are ignored.
    Csv,
    /// One ticket a line.
    Lines,
}

impl Format {
    /// By the extension of the file's name, where it has one of the usual ones.
    pub(super) fn of(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "txt" => Some(Self::Lines),
            _ => None,
        }
    }

    /// By the first line that is not blank.
    fn of_content(head: &[u8]) -> Self {
        let head = String::from_utf8_lossy(head);
        let first = head.trim();
        let cells: Vec<&str> = first.split(',').map(|cell| cell.trim().trim_matches('"')).collect();
        if first.starts_with('{') {
            Self::Jsonl
        } else if cells.iter().any(|cell| is_text_column(cell)) && !cells.iter().any(|cell| cell.contains(' ')) {
            Self::Csv
        } else {
            Self::Lines
        }
    }
}

/// A ticket, or why a record is none.
pub(super) type Entry = Result<proto::Ticket, RecordError>;

/// A record that is no ticket.
#[derive(Debug, thiserror::Error)]
#[error("{line}: {fault}")]
pub(in crate::cli) struct RecordError {
    /// The line it starts at, from 1.
    pub(super) line: u64,
    /// Its id where that could be read, else the line.
    pub(super) id: String,
    /// What is wrong.
    pub(super) fault: Fault,
}

/// The tickets of a text in JSON Lines.
///
/// # Errors
/// The first record that is none.
pub(in crate::cli) fn records(text: &str) -> Result<Vec<proto::Ticket>, RecordError> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines.map(|(line, number)| from_json(number, line.as_bytes())).collect()
}

/// The records that `reader` holds, as they are read; `format` is found out where it is not given.
///
/// # Errors
/// When the beginning cannot be read or is no beginning of the format. Later on an error is the last item.
pub(super) fn entries(
    mut reader: impl BufRead + 'static,
    format: Option<Format>,
) -> io::Result<Box<dyn Iterator<Item = io::Result<Entry>>>> {
    let head = head(&mut reader)?;
    let format = format.unwrap_or_else(|| Format::of_content(&head));
    let reader = Cursor::new(head).chain(reader);
    Ok(match format {
        Format::Jsonl => Box::new(lines(reader).map(|line| line.map(|(number, line)| from_json(number, &line)))),
        Format::Lines => Box::new(lines(reader).map(|line| line.map(|(number, line)| from_line(number, &line)))),
        Format::Csv => Box::new(from_csv(reader)?),
    })
}

/// Everything up to and including the first line that is not blank, without a byte order mark.
fn head(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut start = 0;
    while reader.read_until(b'\n', &mut head)? > 0 && head[start..].trim_ascii().is_empty() {
        start = head.len();
    }
    if head.starts_with(b"\xef\xbb\xbf") {
        head.drain(..3);
    }
    Ok(head)
}

/// The lines that are not blank, with their numbers.
fn lines(reader: impl BufRead) -> impl Iterator<Item = io::Result<(u64, Vec<u8>)>> {
    let numbered = reader.split(b'\n').zip(1..).map(|(line, number)| Ok((number, line?)));
    numbered.filter(|line| line.as_ref().map_or(true, |(_, line)| !line.trim_ascii().is_empty()))
}

fn from_json(line: u64, record: &[u8]) -> Entry {
    let mut id = String::new();
    let ticket = Fields::parse(record).and_then(|mut fields| {
        id = fields.optional_text("id")?;
        let text = fields.required_text("text")?;
        let subject = fields.optional_text("subject")?;
        let channel = channel(&fields.optional_text("channel")?)?;
        Ok(ticket(text, subject, channel, fields.optional_text("locale")?))
    });
    identified(line, id, ticket)
}

fn from_line(line: u64, text: &[u8]) -> Entry {
    let text = str::from_utf8(text.trim_ascii_end()).map_err(|_| Fault::whole("not UTF-8"));
    let ticket = text.map(|text| ticket(text.to_owned(), String::new(), proto::Channel::Unspecified, String::new()));
    identified(line, String::new(), ticket)
}

fn from_csv(reader: impl Read) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
    let mut reader = csv::Reader::from_reader(reader);
    let names = reader.byte_headers()?.iter();
    let columns: Vec<String> = names.map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase()).collect();
    if !columns.iter().any(|column| is_text_column(column)) {
        let problem = "the CSV's header has no column called text";
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(reader.into_byte_records().map(move |record| match record {
        Ok(record) => Ok(from_cells(&columns, &record)),
        Err(error) if error.is_io_error() => Err(error.into()),
        Err(error) => {
            let line = error.position().map_or(0, csv::Position::line);
            Ok(identified(line, String::new(), Err(Fault::whole("does not have as many cells as the header"))))
        }
    }))
}

fn from_cells(columns: &[String], record: &csv::ByteRecord) -> Entry {
    let cell = |name: &'static str| {
        let found = columns.iter().zip(record).find(|(column, _)| *column == name);
        let text = str::from_utf8(found.map_or(&[], |(_, cell)| cell));
        text.map(str::to_owned).map_err(|_| Fault::field(name, "is not UTF-8"))
    };
    let read = || {
        let (text, subject) = (cell("text")?, cell("subject")?);
        Ok(ticket(text, subject, channel(&cell("channel")?)?, cell("locale")?))
    };
    let line = record.position().map_or(0, csv::Position::line);
    match cell("id") {
        Ok(id) => identified(line, id, read()),
        Err(fault) => identified(line, String::new(), Err(fault)),
    }
}

fn is_text_column(name: &str) -> bool {
    name.eq_ignore_ascii_case("text")
}

fn ticket(text: String, subject: String, channel: proto::Channel, locale: String) -> proto::Ticket {
    let message = proto::Message { author: proto::Author::Customer.into(), text, sent_at: None };
    proto::Ticket { subject, messages: vec![message], channel: channel.into(), locale, ..proto::Ticket::default() }
}

fn channel(name: &str) -> Result<proto::Channel, Fault> {
    if name.is_empty() {
        return Ok(proto::Channel::Unspecified);
    }
    let known = proto::Channel::from_str_name(&format!("CHANNEL_{}", name.to_ascii_uppercase()));
    let problem = "is none of email, chat, web_form, social, voice_transcript";
    known.ok_or_else(|| Fault::field("channel", problem))
}

/// Gives the outcome the record's id, or the line's number for want of one.
fn identified(line: u64, id: String, ticket: Result<proto::Ticket, Fault>) -> Entry {
    let id = if id.is_empty() { line.to_string() } else { id };
    match ticket {
        Ok(ticket) => Ok(proto::Ticket { id, ..ticket }),
        Err(fault) => Err(RecordError { line, id, fault }),
    }
}

#[cfg(test)]
mod tests;
