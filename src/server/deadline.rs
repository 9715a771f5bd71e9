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

/// How long before tonic's own timeout a call is to be given up.
const HEAD_START: Duration = Duration::from_millis(5);

/// How long after a call's deadline this layer cuts a handler short that has not given up by itself; less than the head start.
const PATIENCE: Duration = Duration::from_millis(2);

/// When the handler is to give up on a call; an extension of every request.
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
            match timeout_at((deadline + PATIENCE).into(), call).await {
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

#[cfg(test)]
mod tests {
    use tower::{ServiceExt, service_fn};

    use super::*;

    /// The status of a call with this `grpc-timeout` to a handler that never answers, and the time it was given.
    async fn call(timeout: Option<&str>, longest: Duration) -> (i32, Option<Duration>) {
        let (told, given) = std::sync::mpsc::channel();
        let handler = service_fn(move |request: Request<Body>| {
            let deadline = request.extensions().get::<Deadline>().map(|deadline| deadline.0);
            let _ = told.send(deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())));
            std::future::pending::<Result<Response<Body>, Infallible>>()
        });
        let mut request = Request::new(Body::empty());
        if let Some(timeout) = timeout {
            request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
        }
        let Ok(response) = DeadlineLayer::new(longest).layer(handler).oneshot(request).await;
        let code = response.headers()["grpc-status"].to_str().unwrap().parse().unwrap();
        (code, given.try_recv().ok().flatten())
    }

    #[tokio::test]
    async fn the_earlier_of_the_callers_and_the_servers_deadline_holds() {
        let hour = Duration::from_secs(3600);
        for (timeout, longest, most) in [
            (Some("20m"), hour, Duration::from_millis(15)),
            (Some("20000u"), hour, Duration::from_millis(15)),
            (Some("1H"), Duration::from_millis(20), Duration::from_millis(20)),
            (None, Duration::from_millis(20), Duration::from_millis(20)),
        ] {
            let (code, given) = call(timeout, longest).await;
            assert_eq!(code, tonic::Code::DeadlineExceeded as i32, "{timeout:?}");
            assert!(given.unwrap() <= most, "{timeout:?} {given:?}");
        }
    }

    #[tokio::test]
    async fn a_malformed_timeout_never_reaches_the_handler() {
        for timeout in ["", "m", "5", "5x", "-5m", "123456789m", "1.5S"] {
            let (code, given) = call(Some(timeout), Duration::from_secs(1)).await;
            assert_eq!((code, given), (tonic::Code::InvalidArgument as i32, None), "{timeout:?}");
        }
    }

    #[tokio::test]
    async fn a_panicking_handler_is_an_internal_error() {
        let handler = service_fn(|_: Request<Body>| async { panic!("oh no") });
        let handler = DeadlineLayer::new(Duration::from_secs(60)).layer(handler);
        let Ok(response): Result<Response<Body>, Infallible> = handler.oneshot(Request::new(Body::empty())).await;
        assert_eq!(response.headers()["grpc-status"], "13");
    }
}
