//! Gives every call a deadline, answers `DEADLINE_EXCEEDED` when it passes, and keeps a handler's panic from taking the
//! connection with it.
//!
//! tonic's own timeout answers `CANCELLED`, which callers take for their own doing; so this layer ends a call a moment
//! before tonic would.

use std::{
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::FutureExt;
use http::{HeaderMap, Request, Response};
use tokio::time::timeout_at;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::error;

/// How long before tonic's own timeout this layer answers.
const HEAD_START: Duration = Duration::from_millis(5);

/// When to give up on a call; an extension of every request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(pub(super) Instant);

/// The layer; `longest` holds for callers with a later deadline or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeadlineLayer {
    longest: Duration,
}

impl DeadlineLayer {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService { inner, longest: self.longest }
    }
}

/// See [`DeadlineLayer`].
#[derive(Debug, Clone)]
pub(super) struct DeadlineService<S> {
    inner: S,
    longest: Duration,
}

impl<S> Service<Request<Body>> for DeadlineService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let arrived = Instant::now();
        let wanted = match caller_timeout(request.headers()) {
            Ok(wanted) => wanted.map(|timeout| timeout - HEAD_START.min(timeout / 2)),
            Err(problem) => {
                let status = error::invalid(vec![error::violation("grpc-timeout", problem)]);
                return Box::pin(async move { Ok(status.into_http()) });
            }
        };
        let deadline = arrived + wanted.unwrap_or(self.longest).min(self.longest);
        request.extensions_mut().insert(Deadline(deadline));
        // The ready service is the one to call; its clone takes its place.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let call = AssertUnwindSafe(async move { inner.call(request).await }).catch_unwind();
            match timeout_at(deadline.into(), call).await {
                Ok(Ok(response)) => response,
                Ok(Err(_)) => Ok(Status::internal("an internal error occurred").into_http()),
                Err(_) => Ok(error::deadline_exceeded().into_http()),
            }
        })
    }
}

/// The timeout of the `grpc-timeout` header: up to eight digits and a unit.
fn caller_timeout(headers: &HeaderMap) -> Result<Option<Duration>, &'static str> {
    const PROBLEM: &str = "must be up to eight digits and one of the units H, M, S, m, u, n";
    let Some(header) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let text = header.to_str().map_err(|_| PROBLEM)?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(PROBLEM)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PROBLEM);
    }
    let amount: u64 = digits.parse().map_err(|_| PROBLEM)?;
    let timeout = match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return Err(PROBLEM),
    };
    Ok(Some(timeout))
}
