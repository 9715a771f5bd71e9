//! Labelled data. Whatever is malformed is refused by file and line, without a word of its text.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use serde::Deserialize;
use strum::{IntoStaticStr, VariantArray};

use crate::{
    assessment::{Emotion, Intensity, Signal, Urgency},
    cli::{
        Failure,
        classify::record::{Fault, Fields},
    },
    evaluation::Labels,
    ticket::{Author, Channel, Message, Ticket},
};

/// A ticket and what should be said about it.
pub(super) struct GoldTicket {
    pub(super) ticket: Ticket,
    pub(super) labels: Labels,
}

/// A GoEmotions comment, as a ticket, and which labels hold.
pub(super) struct Comment {
    pub(super) ticket: Ticket,
    pub(super) labels: Vec<bool>,
}

/// A part of a split.
#[derive(Debug, Clone, Copy, ValueEnum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Part {
    /// What the model learned from.
    Train,
    /// What it was tuned on.
    Dev,
    /// What it has never seen.
    Test,
}

/// A set of tickets that is split.
#[derive(Debug, Clone, Copy, ValueEnum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Set {
    /// Tickets written for this project.
    Authored,
    /// Texts from public sources.
    Real,
}

/// All tickets of all files, in order.
pub(super) fn tickets(files: &[PathBuf]) -> Result<Vec<GoldTicket>, Failure> {
    let mut tickets = Vec::new();
    for file in files {
        let mut ids = HashMap::new();
        for (number, line) in lines(&read(file)?) {
            let at = |fault: Fault| format!("{}:{number}: {fault}", file.display());
            let ticket = ticket(line).map_err(at)?;
            if let Some(first) = ids.insert(ticket.ticket.id.clone(), number) {
                return Err(at(Fault::field("id", format!("is that of line {first}"))).into());
            }
            tickets.push(ticket);
        }
    }
    Ok(tickets)
}

/// All comments of a GoEmotions file; there are `labels` labels.
pub(super) fn comments(file: &Path, labels: usize) -> Result<Vec<Comment>, Failure> {
    let mut comments = Vec::new();
    for (number, line) in lines(&read(file)?) {
        let comment = comment(line, labels).map_err(|fault| format!("{}:{number}: {fault}", file.display()))?;
        comments.push(comment);
    }
    Ok(comments)
}

/// The ids that a split lists for `part` of `set`.
pub(super) fn listed(file: &Path, set: Set, part: Part) -> Result<HashSet<String>, Failure> {
    #[derive(Deserialize)]
    struct Parts {
        train: HashSet<String>,
        dev: HashSet<String>,
        test: HashSet<String>,
    }
    let malformed = |error| format!("{}: {error}", file.display());
    let mut sets: BTreeMap<String, Parts> = serde_json::from_str(&read(file)?).map_err(malformed)?;
    let name: &str = set.into();
    let parts = sets.remove(name).ok_or_else(|| format!("{}: there is no {name}", file.display()))?;
    Ok(match part {
        Part::Train => parts.train,
        Part::Dev => parts.dev,
        Part::Test => parts.test,
    })
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()).into())
}

/// The lines that are not blank, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (u64, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty())
}

fn ticket(line: &str) -> Result<GoldTicket, Fault> {
    let mut fields = Fields::parse(line.as_bytes())?;
    let (id, text) = (fields.required_text("id")?, fields.required_text("text")?);
    let (subject, channel) = (fields.optional_text("subject")?, fields.optional_label::<Channel>("channel")?);
    let labels = Labels {
        emotions: fields.labels::<Emotion>("emotions")?,
        primary: fields.label("primary_emotion")?,
        intensity: intensity(fields.number("intensity")?)?,
        urgency: fields.label::<Urgency>("urgency")?,
        signals: fields.labels::<Signal>("signals")?,
    };
    if labels.emotions.is_empty() {
        return Err(Fault::field("emotions", "is empty"));
    }
    if labels.emotions.contains(&Emotion::Neutral) && labels.emotions.len() > 1 {
        return Err(Fault::field("emotions", "holds neutral beside others"));
    }
    if !labels.emotions.contains(&labels.primary) {
        return Err(Fault::field("primary_emotion", "is none of the emotions"));
    }
    if (labels.intensity == Intensity::None) != (labels.primary == Emotion::Neutral) {
        return Err(Fault::field("intensity", "must be 0 exactly when the emotion is neutral"));
    }
    let ticket = Ticket { channel, subject, ..of_text(id, text) };
    Ok(GoldTicket { ticket, labels })
}

fn intensity(level: u64) -> Result<Intensity, Fault> {
    let level = usize::try_from(level).ok().and_then(|level| Intensity::VARIANTS.get(level));
    level.copied().ok_or_else(|| Fault::field("intensity", "must be 0 to 3"))
}

fn comment(line: &str, labels: usize) -> Result<Comment, Fault> {
    let mut fields = line.split('\t');
    let (Some(text), Some(numbers), Some(id), None) = (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(Fault::whole("does not have three fields separated by tabs"));
    };
    let mut held = vec![false; labels];
    for number in numbers.split(',') {
        let place = number.parse::<usize>().ok().and_then(|number| held.get_mut(number));
        *place.ok_or_else(|| Fault::whole("the second field holds a number that is no label's"))? = true;
    }
    Ok(Comment { ticket: of_text(id.to_owned(), text.to_owned()), labels: held })
}

fn of_text(id: String, text: String) -> Ticket {
    Ticket {
        id,
        subject: String::new(),
        messages: vec![Message { author: Author::Customer, text }],
        channel: None,
        locale: None,
        attributes: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::{Value, json};

    use super::*;

    fn record() -> Value {
        json!({
            "id": "a", "text": "secret", "channel": "email", "emotions": ["anger", "anxiety"], "primary_emotion": "anger",
            "intensity": 2, "urgency": "high", "signals": ["deadline"], "source": "authored",
        })
    }

    fn fault(change: impl FnOnce(&mut Value)) -> String {
        let mut record = record();
        change(&mut record);
        ticket(&record.to_string()).err().expect("a fault").to_string()
    }

    #[test]
    fn a_record_is_read_whole() {
        let gold = ticket(&record().to_string()).unwrap();
        assert_eq!(gold.ticket.channel, Some(Channel::Email));
        assert_eq!(gold.labels.emotions, [Emotion::Anger, Emotion::Anxiety]);
        assert_eq!((gold.labels.intensity, gold.labels.urgency), (Intensity::Strong, Urgency::High));
    }

    #[test]
    fn what_the_labelling_guide_rules_out_is_refused() {
        assert_eq!(fault(|record| record["emotions"] = json!(["fury"])), "emotions holds a label that is not known");
        assert_eq!(
            fault(|record| record["emotions"] = json!(["anger", "neutral"])),
            "emotions holds neutral beside others"
        );
        assert_eq!(fault(|record| record["emotions"] = json!(["anger", "anger"])), "emotions holds a label twice");
        assert_eq!(fault(|record| record["emotions"] = json!([])), "emotions is empty");
        assert_eq!(
            fault(|record| record["primary_emotion"] = json!("sadness")),
            "primary_emotion is none of the emotions"
        );
        assert_eq!(
            fault(|record| record["intensity"] = json!(0)),
            "intensity must be 0 exactly when the emotion is neutral"
        );
        assert_eq!(fault(|record| record["intensity"] = json!(4)), "intensity must be 0 to 3");
        assert_eq!(fault(|record| record["intensity"] = json!(1.5)), "intensity must be a whole number");
        assert_eq!(fault(|record| record["text"] = json!("  ")), "text is blank");
        assert_eq!(fault(|record| record["signals"] = json!("deadline")), "signals must be a list");
        assert_eq!(fault(|record| record["channel"] = json!("pigeon")), "channel holds a label that is not known");
    }

    #[test]
    fn comments_are_split_at_tabs_alone() {
        let found = comment("He said \"no\", twice\t1,3\tx7", 4).unwrap();
        assert_eq!((found.ticket.id.as_str(), found.labels), ("x7", vec![false, true, false, true]));
        assert!(comment("text\t4\tx", 4).is_err());
        assert!(comment("text\t1", 4).is_err());
    }
}
