//! The service's answer as JSON: flat, with labels by their names.

use serde::Serialize;
use tonic::Code;
use tonic_types::RpcStatusExt;

use super::{client::Answer, input::RecordError};
use crate::server::proto;

/// One line of output.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Line {
    Triaged(Box<Triaged>),
    Failed { id: String, error: Error },
}

#[derive(Serialize)]
pub(super) struct Triaged {
    pub(super) id: String,
    emotions: Vec<Scored>,
    primary_emotion: String,
    pub(super) intensity: i32,
    pub(super) urgency: Urgency,
    signals: Vec<Scored>,
    language: Language,
    windows: i32,
    pub(super) routing: Routing,
    pub(super) cues: Vec<Cue>,
    cache: String,
}

#[derive(Serialize)]
struct Scored {
    label: String,
    score: f32,
    confidence: String,
}

#[derive(Serialize)]
pub(super) struct Urgency {
    pub(super) level: String,
    score: f32,
    confidence: String,
    probabilities: Probabilities,
}

#[derive(Serialize)]
struct Probabilities {
    low: f32,
    normal: f32,
    high: f32,
    critical: f32,
}

#[derive(Serialize)]
struct Language {
    code: String,
    supported: bool,
}

#[derive(Serialize)]
pub(super) struct Routing {
    pub(super) queue: String,
    priority: String,
    first_response_seconds: i64,
    escalate: bool,
    tags: Vec<String>,
    rule: String,
    reason: String,
}

#[derive(Serialize)]
pub(super) struct Cue {
    id: String,
    stage: String,
    pub(super) r#do: String,
    avoid: String,
    example: String,
    source: String,
    source_url: String,
}

#[derive(Serialize)]
pub(super) struct Error {
    code: String,
    pub(super) message: String,
    fields: Vec<Field>,
}

#[derive(Serialize)]
struct Field {
    field: String,
    description: String,
}

impl Line {
    pub(super) fn answered(id: &str, answer: Answer) -> Self {
        match answer {
            Ok(triage) => Self::Triaged(Box::new(triage.into())),
            Err(status) => Self::Failed { id: id.to_owned(), error: status.into() },
        }
    }

    pub(super) fn malformed(error: RecordError) -> Self {
        let message = format!("line {error}");
        let description = error.fault.problem;
        let field = error.fault.field.map(|field| Field { field: field.to_owned(), description });
        let code = code_name(Code::InvalidArgument);
        Self::Failed { id: error.id, error: Error { code, message, fields: field.into_iter().collect() } }
    }
}

impl Triaged {
    pub(super) fn emotion_names(&self) -> String {
        names(&self.emotions)
    }

    pub(super) fn signal_names(&self) -> String {
        names(&self.signals)
    }
}

impl From<proto::Triage> for Triaged {
    fn from(triage: proto::Triage) -> Self {
        let assessment = triage.assessment.unwrap_or_default();
        let emotions = assessment.emotions.iter().map(|found| Scored {
            label: label(found.emotion().as_str_name(), "EMOTION_"),
            score: found.score,
            confidence: confidence(found.confidence()),
        });
        let signals = assessment.signals.iter().map(|found| Scored {
            label: label(found.signal().as_str_name(), "SIGNAL_"),
            score: found.score,
            confidence: confidence(found.confidence()),
        });
        let language = assessment.language.clone().unwrap_or_default();
        Self {
            id: triage.ticket_id,
            emotions: emotions.collect(),
            primary_emotion: label(assessment.primary().as_str_name(), "EMOTION_"),
            intensity: assessment.intensity,
            signals: signals.collect(),
            language: Language { code: language.code, supported: language.supported },
            windows: assessment.windows,
            urgency: assessment.urgency.unwrap_or_default().into(),
            routing: triage.routing.unwrap_or_default().into(),
            cues: triage.cues.into_iter().map(Cue::from).collect(),
            cache: label(triage.meta.unwrap_or_default().cache().as_str_name(), "CACHE_LEVEL_"),
        }
    }
}

impl From<proto::UrgencyAssessment> for Urgency {
    fn from(urgency: proto::UrgencyAssessment) -> Self {
        let probability = |level: proto::Urgency| {
            let found = urgency.probabilities.iter().find(|found| found.level() == level);
            found.map_or(0.0, |found| found.probability)
        };
        Self {
            level: label(urgency.level().as_str_name(), "URGENCY_"),
            score: urgency.score,
            confidence: confidence(urgency.confidence()),
            probabilities: Probabilities {
                low: probability(proto::Urgency::Low),
                normal: probability(proto::Urgency::Normal),
                high: probability(proto::Urgency::High),
                critical: probability(proto::Urgency::Critical),
            },
        }
    }
}

impl From<proto::Routing> for Routing {
    fn from(routing: proto::Routing) -> Self {
        Self {
            priority: label(routing.priority().as_str_name(), "PRIORITY_"),
            first_response_seconds: routing.first_response.map_or(0, |duration| duration.seconds),
            queue: routing.queue,
            escalate: routing.escalate,
            tags: routing.tags,
            rule: routing.rule,
            reason: routing.reason,
        }
    }
}

impl From<proto::Cue> for Cue {
    fn from(cue: proto::Cue) -> Self {
        Self {
            stage: label(cue.stage().as_str_name(), "CUE_STAGE_"),
            id: cue.id,
            r#do: cue.r#do,
            avoid: cue.avoid,
            example: cue.example,
            source: cue.source,
            source_url: cue.source_url,
        }
    }
}

impl From<tonic_types::Status> for Error {
    fn from(status: tonic_types::Status) -> Self {
        let violations = status.get_details_bad_request().map(|request| request.field_violations).unwrap_or_default();
        let fields = violations.into_iter().map(|found| Field { field: found.field, description: found.description });
        Self { code: code_name(Code::from(status.code)), fields: fields.collect(), message: status.message }
    }
}

fn names(found: &[Scored]) -> String {
    let names = found.iter().map(|found| found.label.as_str());
    names.collect::<Vec<_>>().join(", ")
}

fn confidence(confidence: proto::Confidence) -> String {
    label(confidence.as_str_name(), "CONFIDENCE_")
}

/// An enum value's name without the prefix of its enum, in small letters.
fn label(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_ascii_lowercase()
}

/// A code's name as gRPC writes it: `INVALID_ARGUMENT` for `InvalidArgument`.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}
