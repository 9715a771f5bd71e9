//! What an evaluation found, as JSON or as tables.

use std::fmt::{self, Display};

use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;
use strum::VariantArray;

use crate::{
    assessment::Urgency,
    evaluation::{Calibration, MultiLabelScores, TicketScores, interval::Interval, ordinal::Confusion},
};

#[derive(Serialize)]
pub(super) struct Report {
    /// Tickets.
    pub(super) n: usize,
    #[serde(flatten)]
    pub(super) selected: Option<Selected>,
    #[serde(flatten)]
    pub(super) tickets: Option<TicketScores>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) goemotions: Option<GoEmotions>,
    /// Time for all answers, without loading the model.
    pub(super) seconds: f64,
    pub(super) engine: String,
    pub(super) precision: String,
    pub(super) bundle: String,
}

/// What a split left out.
#[derive(Serialize)]
pub(super) struct Selected {
    /// Tickets that it does not list.
    pub(super) skipped: usize,
    /// Ids that it lists and no ticket has.
    pub(super) missing: usize,
}

#[derive(Serialize)]
pub(super) struct GoEmotions {
    /// Comments.
    pub(super) n: usize,
    #[serde(flatten)]
    pub(super) scores: MultiLabelScores,
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n, engine, precision, bundle, seconds, .. } = self;
        let comments = self.goemotions.as_ref().map_or(0, |found| found.n);
        write!(f, "{bundle} on {engine} in {precision}: {n} tickets, {comments} comments, {seconds:.1} s")?;
        if let Some(Selected { skipped, missing }) = &self.selected {
            write!(f, "\nnot in the split: {skipped} tickets; in the split, but not in the data: {missing}")?;
        }
        if let Some(tickets) = &self.tickets {
            write!(f, "\n{}", overview(tickets))?;
            write!(f, "\nurgency: rows should have been, columns were\n{}", confusion(&tickets.urgency.confusion))?;
            write!(f, "\nemotions\n{}", per_label(&tickets.emotion))?;
            write!(f, "\nsignals\n{}", per_label(&tickets.signal))?;
        }
        if let Some(found) = &self.goemotions {
            write!(f, "\nGoEmotions: {}\n{}", summary(&found.scores), per_label(&found.scores))?;
        }
        Ok(())
    }
}

fn overview(scores: &TicketScores) -> Table {
    let mut table = table(["", "score"]);
    let urgency = &scores.urgency;
    let between = |[low, high]: Interval| format!("({low:.3} to {high:.3})");
    let critical = format!(
        "{:.3} {} / {:.3} {}, n {}",
        urgency.critical_recall,
        between(urgency.critical_recall_interval),
        urgency.critical_precision,
        between(urgency.critical_precision_interval),
        urgency.critical_n
    );
    let calibration = |found: &Calibration| {
        format!("{:.3} {} / {:.3}, n {}", found.ece, between(found.ece_interval), found.brier, found.n)
    };
    let rows = [
        ("emotions: F1", summary(&scores.emotion)),
        ("emotions: interval of the micro F1", between(scores.emotion_micro_f1_interval)),
        ("primary emotion: accuracy", format!("{:.3}", scores.primary.accuracy)),
        ("intensity: mean error in levels", format!("{:.3}", scores.intensity.mae)),
        ("urgency: quadratic weighted kappa", format!("{:.3} {}", urgency.qwk, between(urgency.qwk_interval))),
        ("urgency: mean error in levels", format!("{:.3}", urgency.mae)),
        ("urgency: macro F1", format!("{:.3}", urgency.macro_f1)),
        ("urgency: accuracy", format!("{:.3}", urgency.accuracy)),
        ("urgency: share said less urgent than it is", format!("{:.3}", urgency.under_triage)),
        ("urgency critical: recall / precision", critical),
        ("urgency critical: recall in the likeliest tenth", format!("{:.3}", urgency.critical_recall_at_tenth)),
        ("signals: F1", summary(&scores.signal)),
        ("emotions and signals: calibration error / Brier score", calibration(&scores.label_calibration)),
        ("urgency: calibration error / Brier score", calibration(&scores.urgency_calibration)),
    ];
    table.add_rows(rows.map(|(name, score)| [name.to_owned(), score]));
    table
}

fn summary(scores: &MultiLabelScores) -> String {
    let frequent = scores.macro_f1_n30.map_or_else(String::new, |f1| format!(", macro {f1:.3} where n >= 30"));
    format!("macro {:.3}, micro {:.3}{frequent}", scores.macro_f1, scores.micro_f1)
}

fn per_label(scores: &MultiLabelScores) -> Table {
    let mut table = table(["label", "n", "precision", "recall", "F1"]);
    for (name, label) in &scores.per_label {
        let numbers = [label.precision, label.recall, label.f1].map(|number| format!("{number:.3}"));
        let [precision, recall, f1] = numbers;
        table.add_row([name.clone(), label.n.to_string(), precision, recall, f1]);
    }
    numeric_from(&mut table, 1);
    table
}

fn confusion(confusion: &Confusion) -> Table {
    let levels = Urgency::VARIANTS.iter().map(<&str>::from);
    let mut table = table([""].into_iter().chain(levels.clone()));
    for (level, row) in levels.zip(&confusion.0) {
        table.add_row([level.to_owned()].into_iter().chain(row.iter().map(u64::to_string)));
    }
    numeric_from(&mut table, 1);
    table
}

fn table<'a>(header: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    table
}

/// Aligns the columns from `first` on as numbers.
fn numeric_from(table: &mut Table, first: usize) {
    for column in table.column_iter_mut().skip(first) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
