//! Too much or too late is refused clearly and leaves the service well.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod service;

use std::time::Duration;

use futures::future::join_all;
use service::{Service, request, ticket};
use tonic::Code;
use tonic_types::StatusExt;

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_limit_holds_for_callers_without_a_deadline() {
    let service = Service::start(&[("server.max_deadline_ms", "1")]).await;
    let long = request(ticket(&"My parcel has not arrived and I am worried. ".repeat(200)));
    assert_eq!(service.triage().triage_ticket(long).await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_count_over_all_connections_and_say_when_to_retry() {
    let service = Service::start(&[("server.max_in_flight", "2"), ("server.max_deadline_ms", "120000")]).await;
    let calls = (0..40).map(|number| {
        let mut client = service.triage(); // a connection of its own
        let text = format!("{number} My parcel has not arrived and I am worried. ").repeat(100);
        async move { client.triage_ticket(request(ticket(&text))).await }
    });
    let (served, refused): (Vec<_>, Vec<_>) = join_all(calls).await.into_iter().partition(Result::is_ok);
    assert!(!served.is_empty());
    assert!(!refused.is_empty());
    for status in refused.into_iter().filter_map(Result::err) {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        let retry = status.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert!(retry > Duration::ZERO);
    }
    service.triage().triage_ticket(request(ticket("Where is my parcel?"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_refused_and_drains() {
    let limits = [("model.queue_tokens", "1000"), ("server.max_deadline_ms", "120000")];
    let service = Service::start(&limits).await;
    let calls = (0..40).map(|number| {
        let mut client = service.triage();
        let text = format!("{number} My parcel has not arrived and I am worried. ").repeat(40);
        async move { client.triage_ticket(request(ticket(&text))).await }
    });
    let answers = join_all(calls).await;
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(!refused.is_empty());
    assert!(answers.iter().any(Result::is_ok));
    for status in refused {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.get_details_retry_info().is_some());
    }
    service.triage().triage_ticket(request(ticket("Where is my parcel?"))).await.unwrap();
}
