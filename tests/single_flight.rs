//! Equal tickets that arrive at the same time cost one inference.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod service;

use std::{collections::BTreeMap, time::Duration};

use bedside::server::proto::CacheLevel;
use futures::future::join_all;
use service::{Service, request, ticket};
use tonic::Code;

const TEXT: &str = "My card was charged twice for the same order and the shop does not answer. What can I do?";

fn sources(answers: impl Iterator<Item = bedside::server::proto::TriageTicketResponse>) -> BTreeMap<String, usize> {
    let mut sources = BTreeMap::new();
    for answer in answers {
        let level = answer.triage.unwrap().meta.unwrap().cache();
        *sources.entry(level.as_str_name().to_owned()).or_default() += 1;
    }
    sources
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_equal_tickets_at_once_are_computed_once() {
    let service = Service::start(&[("server.max_in_flight", "1000"), ("server.max_deadline_ms", "120000")]).await;
    let client = service.triage();
    let calls = (0..1_000).map(|_| {
        let mut client = client.clone();
        async move { client.triage_ticket(request(ticket(TEXT))).await.unwrap().into_inner() }
    });
    let sources = sources(join_all(calls).await.into_iter());
    println!("{sources:?}");
    assert_eq!(sources[CacheLevel::Miss.as_str_name()], 1, "{sources:?}");
    assert_eq!(sources.values().sum::<usize>(), 1_000);
    assert!(sources.contains_key(CacheLevel::Shared.as_str_name()), "{sources:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_gives_up_does_not_take_the_others_along() {
    let service = Service::start(&[("server.max_deadline_ms", "120000")]).await;
    // Keeps the only worker busy, so that the hasty caller leads and is gone before its turn.
    let long = "The parcel has not come and nobody answers. ".repeat(300);
    let busy = tokio::spawn({
        let mut client = service.triage();
        async move { client.triage_ticket(request(ticket(&long))).await }
    });
    service::until("the worker is busy", || async { metric(&service, "bedside_queue_tokens").await > 0.0 }).await;
    let mut hasty = tonic::Request::new(request(ticket(TEXT)));
    hasty.set_timeout(Duration::from_millis(30));
    let (mut first, mut second) = (service.triage(), service.triage());
    let (hasty, patient) = tokio::join!(first.triage_ticket(hasty), async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        second.triage_ticket(request(ticket(TEXT))).await
    });
    assert_eq!(hasty.unwrap_err().code(), Code::DeadlineExceeded);
    assert!(patient.is_ok(), "{patient:?}");
    busy.await.unwrap().unwrap();
}

/// A gauge or counter without labels, as operations see it.
async fn metric(service: &Service, name: &str) -> f64 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(service.ops).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    line.trim().parse().unwrap()
}
