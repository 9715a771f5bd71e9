//! Answers as JSON Lines or as a table.

use std::io::{self, BufWriter, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width, presets};

use super::{answer::Line, client::Answer, input::RecordError};
use crate::server::proto;

/// The width of a table that is not shown on a terminal.
const PLAIN_WIDTH: u16 = 140;

/// Fixed shares of the width, in percent, so that a table written in parts lines up.
const COLUMNS: [(&str, u16); 6] =
    [("ticket", 25), ("emotions", 15), ("urgency", 9), ("signals", 18), ("queue", 11), ("first cue", 22)];

/// How answers are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One JSON object a line, whole.
    Jsonl,
    /// For people, in excerpts.
    Table,
}

impl Format {
    pub(super) fn of_stdout() -> Self {
        if io::stdout().is_terminal() { Self::Table } else { Self::Jsonl }
    }
}

/// What is said about one record of the input.
pub(super) struct Row {
    /// The first words of the ticket, to tell it from others.
    opening: String,
    line: Line,
}

impl Row {
    /// The service's answer for `ticket`.
    pub(super) fn new(ticket: &proto::Ticket, answer: Answer) -> Self {
        let opening = opening(ticket.messages.first().map_or("", |message| &message.text));
        Self { opening, line: Line::answered(&ticket.id, answer) }
    }

    /// A record that is no ticket.
    pub(super) fn malformed(error: RecordError) -> Self {
        Self { opening: String::new(), line: Line::malformed(error) }
    }

    pub(super) fn failed(&self) -> bool {
        matches!(self.line, Line::Failed { .. })
    }

    fn cells(&self) -> [String; 6] {
        let ticket = |id: &str| format!("{id} {}", self.opening);
        match &self.line {
            Line::Triaged(triaged) => [
                ticket(&triaged.id),
                format!("{} ({})", triaged.emotion_names(), triaged.intensity),
                triaged.urgency.level.clone(),
                triaged.signal_names(),
                triaged.routing.queue.clone(),
                triaged.cues.first().map_or_else(String::new, |cue| cue.r#do.clone()),
            ],
            Line::Failed { id, error } => {
                let empty = String::new;
                [ticket(id), "failed".to_owned(), empty(), empty(), empty(), error.message.clone()]
            }
        }
    }
}

/// Where answers go.
pub(super) struct Sink<W: Write> {
    out: BufWriter<W>,
    format: Format,
    begun: bool,
}

impl<W: Write> Sink<W> {
    pub(super) fn new(out: W, format: Format) -> Self {
        Self { out: BufWriter::new(out), format, begun: false }
    }

    /// Writes the rows, and all the way through.
    pub(super) fn write(&mut self, rows: &[Row]) -> io::Result<()> {
        match self.format {
            Format::Jsonl => {
                for row in rows {
                    serde_json::to_writer(&mut self.out, &row.line)?;
                    self.out.write_all(b"\n")?;
                }
            }
            Format::Table if rows.is_empty() => {}
            Format::Table => writeln!(self.out, "{}", self.part(rows))?,
        }
        self.begun |= !rows.is_empty();
        self.out.flush()
    }

    /// A part of the table; the first one has the header.
    fn part(&self, rows: &[Row]) -> Table {
        const RULE: LineStyle = LineStyle::none().fill('─').junction('─');
        const STYLE: TableStyle = presets::NOTHING.header_separator(RULE).row_separator(RULE).bottom_border(RULE);
        let mut table = Table::new();
        table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
        if table.width().is_none() {
            table.set_width(PLAIN_WIDTH);
        }
        if !self.begun {
            table.set_header(COLUMNS.map(|(name, _)| name));
        }
        table.add_rows(rows.iter().map(Row::cells));
        table.set_constraints(COLUMNS.map(|(_, share)| ColumnConstraint::Absolute(Width::Percentage(share))));
        table
    }
}

/// The first words of a text.
fn opening(text: &str) -> String {
    const LENGTH: usize = 60;
    let mut opening = String::new();
    for word in text.split_whitespace() {
        if opening.chars().count() + word.chars().count() >= LENGTH {
            opening.push('…');
            break;
        }
        if !opening.is_empty() {
            opening.push(' ');
        }
        opening.push_str(word);
    }
    opening
}
