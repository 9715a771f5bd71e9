//! What the shipped bundle must do whatever its scores on a test set are, in the manner of CheckList (Ribeiro et al. 2020).
//!
//! The cases lie in `tests/behaviour`, with the share of each family that has to pass in `required.toml`; every case that
//! fails is printed with its texts. They were written without looking at what any model makes of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use bedside::{
    assessment::{Assessment, Claim, Emotion, Reading, Signal, Urgency},
    config::Settings,
    model::scheduler::Lane,
    startup,
    telemetry::Metrics,
    ticket::{Author, Message, Ticket},
    triage::{Options, Triager},
};
use futures::{StreamExt, stream};
use serde::{Deserialize, de::DeserializeOwned};
use strum::VariantArray;
use tokio::sync::OnceCell;

#[derive(Deserialize)]
struct Change {
    family: String,
    text: String,
    changed: String,
}

#[derive(Deserialize)]
struct Direction {
    #[serde(flatten)]
    change: Change,
    watch: String,
    expect: Expectation,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Expectation {
    NotLower,
    NotHigher,
    Absent,
}

#[derive(Deserialize)]
struct Minimum {
    family: String,
    text: String,
    label: String,
    holds: bool,
}

/// The same facts in four manners.
#[derive(Deserialize)]
struct Manners {
    facts: String,
    plain: String,
    rude: String,
    polite: String,
    non_native: String,
}

/// What the service says about one text.
struct Answer {
    assessment: Assessment,
    reading: Reading,
}

/// A probability may move so little the wrong way without counting: between labels that are as good as certain, or as good
/// as ruled out, the order means nothing.
const TOLERANCE: f32 = 0.02;

fn cases<C: DeserializeOwned>(name: &str) -> Vec<C> {
    let text = fs::read_to_string(format!("tests/behaviour/{name}.jsonl")).unwrap();
    let parse = |(number, line)| serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}:{number}: {error}"));
    (1..).zip(text.lines()).map(parse).collect()
}

/// The shipped bundle, loaded once for all tests of this file.
async fn triager() -> &'static Arc<Triager> {
    static TRIAGER: OnceCell<Arc<Triager>> = OnceCell::const_new();
    let load = || async {
        // The reference engine: it is the bundle that is looked at here.
        let overrides = [("cache.key", "00".repeat(32)), ("model.precision", "f32".to_owned())];
        let settings = Settings::load(&[], None, [], &overrides).unwrap();
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let _context = runtime.enter();
            let parts = startup::open(&settings).unwrap();
            Arc::new(startup::triager(&settings, parts, Metrics::new().registry()).unwrap())
        })
        .await
        .unwrap()
    };
    TRIAGER.get_or_init(load).await
}

async fn answers<'a>(texts: impl Iterator<Item = &'a str>) -> HashMap<&'a str, Answer> {
    let triager = triager().await;
    let asked = stream::iter(texts).map(|text| async move {
        let message = Message { author: Author::Customer, text: text.to_owned() };
        let ticket = Ticket {
            id: "case".to_owned(),
            subject: String::new(),
            messages: vec![message],
            channel: None,
            locale: None,
            attributes: BTreeMap::new(),
        };
        let options = Options { explain: false, max_cues: 1, bypass_cache: true, lane: Lane::Bulk };
        let deadline = Instant::now() + Duration::from_secs(600);
        let triage = triager.triage(Arc::new(ticket), options, deadline).await.unwrap();
        (text, Answer { assessment: triage.assessment, reading: triage.reading })
    });
    asked.buffer_unordered(16).collect().await
}

/// The label with `name` in its group.
fn label<L: VariantArray + Copy + Into<&'static str>>(name: &str) -> L {
    let named = L::VARIANTS.iter().find(|label| Into::<&str>::into(**label) == name);
    *named.unwrap_or_else(|| panic!("there is no label {name}"))
}

fn claim(name: &str) -> Claim {
    match name.split_once('/') {
        Some(("emotion", name)) => Claim::Emotion(label::<Emotion>(name)),
        Some(("signal", name)) => Claim::Signal(label::<Signal>(name)),
        Some(("urgency", name)) => Claim::Urgency(label::<Urgency>(name)),
        _ => panic!("{name} is no label"),
    }
}

impl Answer {
    fn holds(&self, name: &str) -> bool {
        match claim(name) {
            Claim::Emotion(emotion) => self.assessment.emotions.iter().any(|found| found.label == emotion),
            Claim::Signal(signal) => self.assessment.signals.iter().any(|found| found.label == signal),
            Claim::Urgency(urgency) => self.assessment.urgency.label == urgency,
        }
    }

    fn score(&self, watch: &str) -> f32 {
        if watch == "urgency" { self.assessment.urgency_score } else { self.reading.probability(claim(watch)) }
    }

    fn brief(&self) -> String {
        let Assessment { emotions, urgency, signals, .. } = &self.assessment;
        let emotions: Vec<&str> = emotions.iter().map(|found| found.label.into()).collect();
        let signals: Vec<&str> = signals.iter().map(|found| found.label.into()).collect();
        let urgency: &str = urgency.label.into();
        format!("{} | {urgency} | {}", emotions.join(" "), signals.join(" "))
    }
}

/// Counts by family, and what failed.
#[derive(Default)]
struct Tally(BTreeMap<String, (usize, usize)>);

impl Tally {
    fn count(&mut self, family: &str, passed: bool, failure: impl FnOnce() -> String) {
        let (pass, all) = self.0.entry(family.to_owned()).or_default();
        *pass += usize::from(passed);
        *all += 1;
        if !passed {
            println!("FAILED {family}: {}", failure());
        }
    }

    /// Every family of `kind` reaches its required share, and no family is without one.
    fn check(&self, kind: &str) {
        let text = fs::read_to_string("tests/behaviour/required.toml").unwrap();
        let required: BTreeMap<String, BTreeMap<String, f64>> = toml::from_str(&text).unwrap();
        let mut short = Vec::new();
        let (mut passes, mut alls) = (0, 0);
        for (family, (pass, all)) in &self.0 {
            let share = *pass as f64 / *all as f64;
            let least = *required[kind].get(family).unwrap_or_else(|| panic!("{kind}.{family} has no required share"));
            assert!(least > 0.0, "{kind}.{family} requires nothing");
            println!("{kind} {family}: {pass} of {all} ({share:.3}), required {least}");
            if share < least {
                short.push(format!("{family} {share:.3} < {least}"));
            }
            (passes, alls) = (passes + pass, alls + all);
        }
        println!("{kind}: {passes} of {alls} ({:.3})", passes as f64 / alls as f64);
        assert_eq!(self.0.len(), required[kind].len(), "families of {kind} in required.toml");
        assert!(short.is_empty(), "{kind}: {}", short.join(", "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_matter_changes_nothing() {
    let cases: Vec<Change> = cases("invariance");
    let answers = answers(cases.iter().flat_map(|case| [case.text.as_str(), case.changed.as_str()])).await;
    let mut tally = Tally::default();
    for case in &cases {
        let (before, after) = (&answers[case.text.as_str()], &answers[case.changed.as_str()]);
        let same = before.assessment.primary == after.assessment.primary
            && before.assessment.urgency.label == after.assessment.urgency.label;
        tally.count(&case.family, same, || {
            format!("{}\n  {}\n  now {}\n  {}", case.text, before.brief(), case.changed, after.brief())
        });
    }
    tally.check("invariance");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_matters_moves_the_answer_the_right_way() {
    let cases: Vec<Direction> = cases("direction");
    let answers =
        answers(cases.iter().flat_map(|case| [case.change.text.as_str(), case.change.changed.as_str()])).await;
    let mut tally = Tally::default();
    let mut moves: BTreeMap<&str, f32> = BTreeMap::new();
    for Direction { change, watch, expect } in &cases {
        let (before, after) = (&answers[change.text.as_str()], &answers[change.changed.as_str()]);
        let forward = if matches!(expect, Expectation::NotLower) { 1.0 } else { -1.0 };
        *moves.entry(&change.family).or_default() += forward * (after.score(watch) - before.score(watch));
        let passed = match expect {
            Expectation::NotLower => after.score(watch) >= before.score(watch) - TOLERANCE,
            Expectation::NotHigher => after.score(watch) <= before.score(watch) + TOLERANCE,
            Expectation::Absent => !after.holds(watch),
        };
        tally.count(&change.family, passed, || {
            let scores = [before, after].map(|answer| format!("{watch} {:.2}", answer.score(watch)));
            format!("{}\n  {}\n  now {}\n  {}", change.text, scores[0], change.changed, scores[1])
        });
    }
    // A model that answers everything alike would pass case by case.
    for (family, sum) in &moves {
        assert!(*sum > 0.0, "{family} moves the wrong way, or nothing: {sum}");
    }
    tally.check("direction");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_cases_of_every_label_are_right() {
    let cases: Vec<Minimum> = cases("minimum");
    let answers = answers(cases.iter().map(|case| case.text.as_str())).await;
    let mut tally = Tally::default();
    for case in &cases {
        let answer = &answers[case.text.as_str()];
        tally.count(&case.family, answer.holds(&case.label) == case.holds, || {
            let wanted = if case.holds { "should hold" } else { "should not hold" };
            format!("{} {wanted}: {}\n  {}", case.label, case.text, answer.brief())
        });
    }
    tally.check("minimum");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manner_of_the_writer_does_not_decide_the_urgency() {
    let cases: Vec<Manners> = cases("fairness");
    let manners = |case: &Manners| {
        [("rude", case.rude.clone()), ("polite", case.polite.clone()), ("non_native", case.non_native.clone())]
    };
    let texts: Vec<String> = cases
        .iter()
        .flat_map(|case| [case.plain.clone()].into_iter().chain(manners(case).map(|(_, text)| text)))
        .collect();
    let answers = answers(texts.iter().map(String::as_str)).await;
    let mut tally = Tally::default();
    let mut gaps: BTreeMap<&str, f32> = BTreeMap::new();
    for case in &cases {
        let plain = &answers[case.plain.as_str()].assessment;
        for (manner, text) in manners(case) {
            let told = &answers[text.as_str()].assessment;
            *gaps.entry(manner).or_default() += (told.urgency_score - plain.urgency_score) / cases.len() as f32;
            tally.count(manner, told.urgency.label == plain.urgency.label, || {
                let levels = [plain, told].map(|found| Into::<&str>::into(found.urgency.label));
                format!("{}: {} ({})\n  {text} ({})", case.facts, case.plain, levels[0], levels[1])
            });
        }
    }
    println!("mean gap of the urgency score (0 to 1) to the plain manner: {gaps:.3?}");
    tally.check("fairness");
}
