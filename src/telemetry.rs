//! What the service tells its operators: structured logs and metrics. Neither ever holds text of a ticket.

use std::{
    fmt,
    io::{self, IsTerminal},
    panic,
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use tonic::Code;
use tracing_subscriber::EnvFilter;

use crate::{
    assessment::{Emotion, Urgency},
    cache::Level,
    config::{LogFormat, LogSettings},
    triage::{ScoreSource, Triage},
};

/// Has panics logged by their place alone: what they say can quote the text of a ticket.
pub fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        tracing::error!(place, "a thread panicked");
    }));
}

/// Starts logging to standard error, as `settings` say. Does nothing when logging has been started before.
pub fn init_logging(settings: &LogSettings) {
    // Validated with the settings; should the filter be bad all the same, "info" is better than silence.
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let human = match settings.format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // An error means that a subscriber is there already: a test or an embedding program brought its own.
    let _ = if human {
        builder.with_ansi(io::stderr().is_terminal()).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}

/// A call that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rpc {
    /// `TriageService.TriageTicket`.
    TriageTicket,
    /// `TriageService.BatchTriageTickets`.
    BatchTriageTickets,
}

impl Rpc {
    /// The method's name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::TriageTicket => "TriageTicket",
            Self::BatchTriageTickets => "BatchTriageTickets",
        }
    }
}

/// A label value that has a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Name(&'static str);

impl EncodeLabelValue for Name {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    rpc: Name,
    code: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RpcLabels {
    rpc: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EmotionLabels {
    primary: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UrgencyLabels {
    urgency: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: Name,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Everything that is counted, and the registry it is read from.
pub struct Metrics {
    registry: Registry,
    answers: Family<AnswerLabels, Counter>,
    seconds: Family<RpcLabels, Histogram, fn() -> Histogram>,
    emotions: Family<EmotionLabels, Counter>,
    urgencies: Family<UrgencyLabels, Counter>,
    sources: Family<SourceLabels, Counter>,
    /// Tokens that wait for a worker.
    pub queue_tokens: Gauge,
    /// Calls that are being worked on.
    pub calls_in_flight: Gauge,
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        // From half a millisecond, a cached ticket, to eight seconds, beyond which the deadline lies.
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.0005, 2.0, 15));
        let mut metrics = Self {
            registry: Registry::default(),
            answers: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            emotions: Family::default(),
            urgencies: Family::default(),
            sources: Family::default(),
            queue_tokens: Gauge::default(),
            calls_in_flight: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("bedside_answers", "Calls answered, by method and gRPC status code", metrics.answers.clone());
        registry.register(
            "bedside_answer_seconds",
            "Time from a call's arrival to its answer",
            metrics.seconds.clone(),
        );
        registry.register(
            "bedside_tickets_by_emotion",
            "Tickets triaged, by primary emotion",
            metrics.emotions.clone(),
        );
        registry.register("bedside_tickets_by_urgency", "Tickets triaged, by urgency", metrics.urgencies.clone());
        registry.register(
            "bedside_tickets_by_source",
            "Tickets triaged, by where the scores came from",
            metrics.sources.clone(),
        );
        let in_flight = metrics.calls_in_flight.clone();
        registry.register("bedside_calls_in_flight", "Calls that are being worked on", in_flight);
        registry.register("bedside_queue_tokens", "Tokens that wait for a worker", metrics.queue_tokens.clone());
        metrics
    }

    /// The registry, for other rooms to register what they count.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Counts one call's outcome.
    pub fn answered(&self, rpc: Rpc, code: Code, elapsed: Duration) {
        let rpc = Name(rpc.name());
        self.answers.get_or_create(&AnswerLabels { rpc, code: Name(code_name(code)) }).inc();
        self.seconds.get_or_create(&RpcLabels { rpc }).observe(elapsed.as_secs_f64());
    }

    /// Counts one ticket's answer.
    pub fn triaged(&self, found: &Triage) {
        let (primary, urgency): (Emotion, Urgency) = (found.assessment.primary, found.assessment.urgency.label);
        self.emotions.get_or_create(&EmotionLabels { primary: Name(primary.into()) }).inc();
        self.urgencies.get_or_create(&UrgencyLabels { urgency: Name(urgency.into()) }).inc();
        let source = match found.source {
            ScoreSource::Model => "model",
            ScoreSource::Cache(Level::Memory) => "memory",
            ScoreSource::Cache(Level::Redis) => "redis",
            ScoreSource::Shared => "shared",
            ScoreSource::Bypass => "bypass",
        };
        self.sources.get_or_create(&SourceLabels { source: Name(source) }).inc();
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// When a metric cannot be written, which would be a defect of one registered.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut buffer = String::new();
        text::encode(&mut buffer, &self.registry)?;
        Ok(buffer)
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
