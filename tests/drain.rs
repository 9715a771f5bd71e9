//! Stopping: what is in flight is answered, and nobody can hold the process up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod service;

use std::net::SocketAddr;

use futures::future::join_all;
use service::{Service, request, ticket, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_are_answered() {
    let service = Service::start(&[("server.max_deadline_ms", "120000"), ("server.drain_ms", "120000")]).await;
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let mut client = service.triage();
            let text = format!("{number} My parcel has not arrived and I am worried. ").repeat(20);
            tokio::spawn(async move { client.triage_ticket(request(ticket(&text))).await })
        })
        .collect();
    let ops = service.ops;
    until("every call being let in", || async {
        let done = calls.iter().filter(|call| call.is_finished()).count();
        let metrics = get(ops, "/metrics").await;
        let line = metrics.lines().find_map(|line| line.strip_prefix("bedside_calls_in_flight ")).unwrap();
        done + line.parse::<usize>().unwrap() >= calls.len()
    })
    .await;
    let stopped = service.stop();
    until("operations saying not ready, or the end", || async {
        stopped.is_finished() || get(ops, "/readyz").await.contains("503 Service Unavailable")
    })
    .await;
    for answer in join_all(calls).await {
        answer.unwrap().expect("a call that was let in before the stop is answered");
    }
    stopped.await.unwrap().unwrap();
}

/// What operations answer; nothing when they are gone.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(address).await {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.read_to_string(&mut answer).await;
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_does_not_hold_the_process_up() {
    let service = Service::start(&[("server.drain_ms", "500")]).await;
    // Never sends the HTTP/2 preface.
    let silent = TcpStream::connect(service.grpc).await.unwrap();
    service.triage().triage_ticket(request(ticket("Where is my parcel?"))).await.unwrap();
    service.stop().await.unwrap().unwrap();
    drop(silent);
}
