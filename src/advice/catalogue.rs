//! The catalogue of cues: what to do and say, each with its condition, its rank and its source.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{
    Cue, Evidence, Stage,
    condition::{Condition, Scene},
    example::Example,
    fault::{Fault, Place},
    file::{Faults, Text},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueFile {
    version: String,
    /// Name to meaning.
    placeholders: BTreeMap<String, String>,
    sources: Vec<SourceEntry>,
    cues: Vec<CueEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceEntry {
    id: Spanned<String>,
    citation: String,
    url: String,
    evidence: Evidence,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CueEntry {
    id: Spanned<String>,
    when: String,
    weight: u32,
    stage: Stage,
    #[serde(default)]
    stance: Stance,
    r#do: String,
    avoid: String,
    example: String,
    source: String,
}

/// Where a cue stands on questions that two cues beside each other must not answer differently.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stance {
    #[serde(default)]
    apology: Option<Apology>,
    #[serde(default)]
    sympathy: Option<Sympathy>,
    #[serde(default)]
    cause: Option<Cause>,
    #[serde(default)]
    tone: Option<Tone>,
}

/// Whether the reply says sorry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Apology {
    Once,
    None,
}

/// Whether the reply speaks of the customer's feelings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sympathy {
    Show,
    Skip,
}

/// Whether the reply explains how the trouble came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cause {
    Explain,
    Skip,
}

/// Whether the reply may be light-hearted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tone {
    Grave,
    Light,
}

impl Stance {
    /// Whether a reply cannot follow both.
    pub(super) fn contradicts(&self, other: &Stance) -> bool {
        fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.is_some() && other.is_some() && one != other
        }
        differ(self.apology, other.apology)
            || differ(self.sympathy, other.sympathy)
            || differ(self.cause, other.cause)
            || differ(self.tone, other.tone)
    }
}

/// A catalogue whose cues are checked and compiled, the fittest first.
pub(super) struct Catalogue {
    pub(super) version: String,
    entries: Vec<Entry>,
}

struct Entry {
    condition: Condition,
    weight: u32,
    stance: Stance,
    example: Example,
    /// The cue without its example.
    cue: Cue,
}

impl Catalogue {
    pub(super) fn parse(text: &Text) -> Result<Catalogue, Vec<Place>> {
        let file: CatalogueFile = text.parse()?;
        let mut faults = text.faults();
        if file.version.trim().is_empty() {
            faults.of_file(Fault::Blank("version"));
        }
        if file.cues.is_empty() {
            faults.of_file(Fault::None("cues"));
        }
        if file.placeholders.iter().any(|(name, meaning)| name.trim().is_empty() || meaning.trim().is_empty()) {
            faults.of_file(Fault::Blank("placeholders"));
        }
        faults.of_ids("source", file.sources.iter().map(|source| &source.id));
        faults.of_ids("cue", file.cues.iter().map(|cue| &cue.id));

        let used: BTreeSet<&str> = file.cues.iter().map(|cue| cue.source.as_str()).collect();
        for source in &file.sources {
            faults.of_blanks("source", &source.id, &[("citation", &source.citation)]);
            if !["https://", "http://"]
                .iter()
                .any(|scheme| source.url.len() > scheme.len() && source.url.starts_with(scheme))
            {
                faults.of("source", &source.id, Fault::BadUrl(source.url.clone()));
            }
            if !used.contains(source.id.value.as_str()) {
                faults.of("source", &source.id, Fault::UnusedSource);
            }
        }
        let sources: HashMap<&str, &SourceEntry> =
            file.sources.iter().map(|source| (source.id.value.as_str(), source)).collect();
        let mut entries: Vec<Entry> =
            file.cues.iter().filter_map(|cue| entry(&mut faults, cue, &sources, &file.placeholders)).collect();
        // Stable, so cues of one weight stay in the order of the file and the same facts get the same cues.
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.weight));
        faults.or(Catalogue { version: file.version, entries })
    }

    /// At most `most` cues that hold, the fittest first. Those for different parts of a reply go before a second one for
    /// the same part, and none contradicts a fitter one.
    pub(super) fn pick(&self, scene: &Scene, attributes: &BTreeMap<String, String>, most: usize) -> Vec<Cue> {
        let fit: Vec<&Entry> =
            self.entries.iter().filter(|entry| entry.condition.holds(scene, "cue", &entry.cue.id)).collect();
        let mut picked: Vec<usize> = Vec::new();
        for second_of_a_stage in [false, true] {
            for (rank, entry) in fit.iter().enumerate() {
                if picked.len() >= most {
                    break;
                }
                let clash = |&other: &usize| {
                    let other = fit[other];
                    other.stance.contradicts(&entry.stance)
                        || (!second_of_a_stage && other.cue.stage == entry.cue.stage)
                };
                if !picked.contains(&rank) && !picked.iter().any(clash) {
                    picked.push(rank);
                }
            }
        }
        picked.sort_unstable();
        picked.into_iter().map(|rank| fit[rank].fill(attributes)).collect()
    }

    #[cfg(test)]
    pub(super) fn stances(&self) -> impl Iterator<Item = (&str, &Stance)> {
        self.entries.iter().map(|entry| (entry.cue.id.as_str(), &entry.stance))
    }

    #[cfg(test)]
    pub(super) fn examples(&self, attributes: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
        self.entries.iter().map(|entry| entry.example.render(attributes))
    }
}

impl Entry {
    fn fill(&self, attributes: &BTreeMap<String, String>) -> Cue {
        Cue { example: self.example.render(attributes), ..self.cue.clone() }
    }
}

fn entry(
    faults: &mut Faults<'_>,
    cue: &CueEntry,
    sources: &HashMap<&str, &SourceEntry>,
    placeholders: &BTreeMap<String, String>,
) -> Option<Entry> {
    let mut note = |fault| faults.of("cue", &cue.id, fault);
    if !(1..=100).contains(&cue.weight) {
        note(Fault::BadWeight(cue.weight));
    }
    let source = sources.get(cue.source.as_str());
    if source.is_none() {
        note(Fault::UnknownSource(cue.source.clone()));
    }
    let condition = Condition::compile(&cue.when).map_err(|wrong| wrong.into_iter().for_each(&mut note));
    // A blank example is noted below, with the other texts.
    let example = Example::parse(&cue.example, placeholders);
    let example = example.map_err(|wrong| {
        wrong.into_iter().filter(|_| !cue.example.trim().is_empty()).for_each(&mut note);
    });
    faults.of_blanks("cue", &cue.id, &[("do", &cue.r#do), ("avoid", &cue.avoid), ("example", &cue.example)]);
    let source = source?;
    Some(Entry {
        condition: condition.ok()?,
        weight: cue.weight,
        stance: cue.stance,
        example: example.ok()?,
        cue: Cue {
            id: cue.id.value.clone(),
            stage: cue.stage,
            action: cue.r#do.trim().to_owned(),
            avoid: cue.avoid.trim().to_owned(),
            example: String::new(),
            source: source.citation.trim().to_owned(),
            source_url: source.url.clone(),
            evidence: source.evidence,
        },
    })
}
