//! From what was found to the wire.

use std::time::Duration;

use super::proto;
use crate::{
    advice::{Cue, Priority, Routing, Stage},
    assessment::{Assessment, Claim, Confidence, Emotion, Evidence, Scored, Signal, Urgency},
    cache::Level,
    ticket::clean::{Reason, SetAside},
    triage::{ScoreSource, Triage, Triager},
};

/// The whole answer.
pub(super) fn triage(ticket_id: String, found: Triage, triager: &Triager) -> proto::Triage {
    let meta = proto::TriageMeta {
        bundle_version: format!("{}@{}", triager.bundle.name, triager.bundle.version),
        policy_version: triager.advisor.policy_version().to_owned(),
        catalogue_version: triager.advisor.catalogue_version().to_owned(),
        cache: cache_level(found.source).into(),
        elapsed: Some(duration(found.elapsed)),
    };
    proto::Triage {
        ticket_id,
        routing: Some(routing(found.advice.routing)),
        cues: found.advice.cues.into_iter().map(cue).collect(),
        assessment: Some(proto::Assessment {
            evidence: found.evidence.iter().map(evidence).collect(),
            language: Some(proto::Language {
                code: found.language.code.to_owned(),
                supported: found.language.supported,
            }),
            windows: count(found.windows),
            set_aside: found.set_aside.iter().map(|(message, stretch)| set_aside(*message, stretch)).collect(),
            ..assessment(&found.assessment)
        }),
        meta: Some(meta),
    }
}

/// A duration as protobuf has it.
pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    // Only durations of centuries do not fit.
    prost_types::Duration::try_from(duration).unwrap_or_default()
}

fn assessment(found: &Assessment) -> proto::Assessment {
    let emotions = found.emotions.iter().map(|found| proto::EmotionScore {
        emotion: emotion(found.label).into(),
        score: found.score,
        confidence: confidence(found.confidence).into(),
    });
    let signals = found.signals.iter().map(|found: &Scored<Signal>| proto::SignalScore {
        signal: signal(found.label).into(),
        score: found.score,
        confidence: confidence(found.confidence).into(),
    });
    let levels = [Urgency::Low, Urgency::Normal, Urgency::High, Urgency::Critical];
    let probabilities = levels.into_iter().zip(found.urgency_probabilities);
    proto::Assessment {
        emotions: emotions.collect(),
        primary: emotion(found.primary).into(),
        intensity: i32::from(found.intensity.level()),
        urgency: Some(proto::UrgencyAssessment {
            level: urgency(found.urgency.label).into(),
            score: found.urgency_score,
            probabilities: probabilities
                .map(|(level, probability)| proto::UrgencyProbability { level: urgency(level).into(), probability })
                .collect(),
            confidence: confidence(found.urgency.confidence).into(),
        }),
        signals: signals.collect(),
        ..proto::Assessment::default()
    }
}

fn evidence(found: &Evidence) -> proto::Evidence {
    use proto::evidence::Supports;
    proto::Evidence {
        message_index: count(found.message),
        start_byte: count(found.range.start),
        end_byte: count(found.range.end),
        score: found.score,
        supports: Some(match found.supports {
            Claim::Emotion(label) => Supports::Emotion(emotion(label).into()),
            Claim::Urgency(label) => Supports::Urgency(urgency(label).into()),
            Claim::Signal(label) => Supports::Signal(signal(label).into()),
        }),
    }
}

fn set_aside(message: usize, stretch: &SetAside) -> proto::SetAside {
    let reason = match stretch.reason {
        Reason::QuotedReply => proto::SetAsideReason::QuotedReply,
        Reason::Signature => proto::SetAsideReason::Signature,
        Reason::LegalFooter => proto::SetAsideReason::LegalFooter,
    };
    proto::SetAside {
        message_index: count(message),
        start_byte: count(stretch.range.start),
        end_byte: count(stretch.range.end),
        reason: reason.into(),
    }
}

fn routing(found: Routing) -> proto::Routing {
    let priority = match found.priority {
        Priority::Low => proto::Priority::Low,
        Priority::Normal => proto::Priority::Normal,
        Priority::High => proto::Priority::High,
        Priority::Urgent => proto::Priority::Urgent,
    };
    proto::Routing {
        queue: found.queue,
        priority: priority.into(),
        first_response: Some(duration(found.first_response)),
        escalate: found.escalate,
        tags: found.tags,
        rule: found.rule,
        reason: found.reason,
    }
}

fn cue(found: Cue) -> proto::Cue {
    let stage = match found.stage {
        Stage::Open => proto::CueStage::Open,
        Stage::Explore => proto::CueStage::Explore,
        Stage::Resolve => proto::CueStage::Resolve,
        Stage::Close => proto::CueStage::Close,
    };
    proto::Cue {
        id: found.id,
        stage: stage.into(),
        r#do: found.action,
        avoid: found.avoid,
        example: found.example,
        source: found.source,
        source_url: found.source_url,
    }
}

fn cache_level(source: ScoreSource) -> proto::CacheLevel {
    match source {
        ScoreSource::Model => proto::CacheLevel::Miss,
        ScoreSource::Cache(Level::Memory) => proto::CacheLevel::Memory,
        ScoreSource::Cache(Level::Redis) => proto::CacheLevel::Redis,
        ScoreSource::Shared => proto::CacheLevel::Shared,
        ScoreSource::Bypass => proto::CacheLevel::Bypassed,
    }
}

fn confidence(confidence: Confidence) -> proto::Confidence {
    match confidence {
        Confidence::Low => proto::Confidence::Low,
        Confidence::Medium => proto::Confidence::Medium,
        Confidence::High => proto::Confidence::High,
    }
}

fn emotion(emotion: Emotion) -> proto::Emotion {
    match emotion {
        Emotion::Anger => proto::Emotion::Anger,
        Emotion::Frustration => proto::Emotion::Frustration,
        Emotion::Disappointment => proto::Emotion::Disappointment,
        Emotion::Distrust => proto::Emotion::Distrust,
        Emotion::Anxiety => proto::Emotion::Anxiety,
        Emotion::Confusion => proto::Emotion::Confusion,
        Emotion::Sadness => proto::Emotion::Sadness,
        Emotion::Surprise => proto::Emotion::Surprise,
        Emotion::Apologetic => proto::Emotion::Apologetic,
        Emotion::Gratitude => proto::Emotion::Gratitude,
        Emotion::Satisfaction => proto::Emotion::Satisfaction,
        Emotion::Neutral => proto::Emotion::Neutral,
    }
}

fn urgency(urgency: Urgency) -> proto::Urgency {
    match urgency {
        Urgency::Low => proto::Urgency::Low,
        Urgency::Normal => proto::Urgency::Normal,
        Urgency::High => proto::Urgency::High,
        Urgency::Critical => proto::Urgency::Critical,
    }
}

fn signal(signal: Signal) -> proto::Signal {
    match signal {
        Signal::ChurnRisk => proto::Signal::ChurnRisk,
        Signal::LegalThreat => proto::Signal::LegalThreat,
        Signal::SecurityIncident => proto::Signal::SecurityIncident,
        Signal::SafetyRisk => proto::Signal::SafetyRisk,
        Signal::ServiceOutage => proto::Signal::ServiceOutage,
        Signal::FinancialImpact => proto::Signal::FinancialImpact,
        Signal::Deadline => proto::Signal::Deadline,
        Signal::RepeatContact => proto::Signal::RepeatContact,
        Signal::AbusiveLanguage => proto::Signal::AbusiveLanguage,
        Signal::EscalationRequest => proto::Signal::EscalationRequest,
        Signal::VulnerableCustomer => proto::Signal::VulnerableCustomer,
        Signal::Praise => proto::Signal::Praise,
    }
}

/// Counts and offsets are far below the limits on a request's size.
fn count(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}
