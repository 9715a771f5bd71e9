//! Stopping: what is in flight is answered, and nobody can hold the process up.

#![allow(clippy::unwrap_used, clippy::expect_used)]

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
    until("calls waiting for a worker, or all of them done", || async {
        let waiting = !metrics(ops).await.contains("bedside_queue_tokens 0\n");
        waiting || calls.iter().all(tokio::task::JoinHandle::is_finished)
    })
    .await;
    let stopped = service.stop();
    for answer in join_all(calls).await {
        match answer.unwrap() {
            Ok(_) => {}
            // A call whose connection was not yet made when the listener closed has cost nothing and can be sent elsewhere.
            Err(status) => assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}"),
        }
    }
    stopped.await.unwrap().unwrap();
}

/// What operations would scrape.
async fn metrics(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
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
