//! What goes wrong inside, as gRPC says it: the one place where errors become statuses.

use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{model::ScoreError, triage::TriageError};

/// The domain of `ErrorInfo`.
const DOMAIN: &str = "bedside.v1";

/// When to try again after a refusal that says nothing better.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// One field at fault; `field` is its path in the request, such as `ticket.messages[0].text`.
pub(super) fn violation(field: impl Into<String>, description: impl Into<String>) -> FieldViolation {
    FieldViolation::new(field, description)
}

/// The request is at fault, in all the fields listed.
pub(super) fn invalid(violations: Vec<FieldViolation>) -> Status {
    let message = violations.iter().map(|violation| format!("{}: {}", violation.field, violation.description));
    let message = message.collect::<Vec<_>>().join("; ");
    Status::with_error_details(Code::InvalidArgument, message, ErrorDetails::with_bad_request(violations))
}

/// The service is at capacity.
pub(super) fn exhausted(retry_after: Duration) -> Status {
    let mut details = ErrorDetails::with_retry_info(Some(retry_after));
    details.set_error_info("OVERLOADED", DOMAIN, []);
    Status::with_error_details(Code::ResourceExhausted, "the service is at capacity; try again later", details)
}

/// The service is at capacity, counted in requests in flight.
pub(super) fn too_many_in_flight() -> Status {
    exhausted(RETRY_AFTER)
}

/// The deadline passed.
pub(super) fn deadline_exceeded() -> Status {
    Status::deadline_exceeded("the deadline passed before the answer was ready")
}

/// The service is stopping; another instance may take the call.
pub(super) fn stopping() -> Status {
    let mut details = ErrorDetails::with_retry_info(Some(RETRY_AFTER));
    details.set_error_info("STOPPING", DOMAIN, []);
    Status::with_error_details(Code::Unavailable, "the service is stopping; try another instance", details)
}

impl From<TriageError> for Status {
    fn from(error: TriageError) -> Self {
        match error {
            TriageError::Score(ScoreError::Overloaded { retry_after }) => exhausted(retry_after),
            TriageError::Score(ScoreError::DeadlineExceeded) => deadline_exceeded(),
            TriageError::Score(ScoreError::Stopped) => stopping(),
            // Already in the log where it happened; what the engine says is not for callers.
            TriageError::Score(ScoreError::Engine(_)) => Self::internal("the model failed on this ticket"),
            TriageError::Panicked(error) => {
                // Not the error itself: what a panic says can quote the text it was about.
                tracing::error!(panicked = error.is_panic(), "a step of the triage did not end well");
                Self::internal("an internal error occurred")
            }
        }
    }
}

/// A status as an item of a batch carries it.
pub(super) fn item(status: &Status) -> tonic_types::Status {
    // The details of a status are a whole google.rpc.Status, or empty.
    let details = tonic_types::Status::decode(status.details()).map(|status| status.details).unwrap_or_default();
    tonic_types::Status { code: status.code() as i32, message: status.message().to_owned(), details }
}
