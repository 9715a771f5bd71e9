//! Ticket text is personal data: it is in no log line at any level, no metric, no error.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod service;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use bedside::server::proto::triage_service_client::TriageServiceClient;
use service::{explained, request, ticket};
use tonic::Request;

const CANARY: &str = "xylophonist";

/// Kills the process when the test ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The `serving` line of the log names the addresses.
fn address(line: &serde_json::Value, listener: &str) -> String {
    line[listener].as_str().unwrap_or_else(|| panic!("{listener} is not in {line}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_in_logs_metrics_or_errors() {
    let state = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_bedside"))
        .args(["serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0"])
        .args(["--log", "trace"])
        .env_remove("BEDSIDE_CONFIG")
        .env("XDG_STATE_HOME", state.path())
        .env("BEDSIDE_LOG__FORMAT", "json")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = child.stderr.take().unwrap();
    let running = Running(child);
    let (lines, log) = mpsc::channel();
    let reader = thread::spawn(move || {
        BufReader::new(stderr).lines().map_while(Result::ok).for_each(|line| drop(lines.send(line)));
    });
    let mut seen = Vec::new();
    let serving = loop {
        let line = log.recv_timeout(Duration::from_secs(120)).expect("the service says that it serves");
        let parsed: serde_json::Value = serde_json::from_str(&line).expect("every line is JSON");
        seen.push(line);
        if parsed["message"] == "serving" {
            break parsed;
        }
    };
    let mut client = TriageServiceClient::connect(format!("http://{}", address(&serving, "grpc"))).await.unwrap();
    let text = format!("{CANARY} here, my card was stolen and I am scared, reach me at {CANARY}@example.com.");
    let mut errors = Vec::new();
    let mut with_canary = ticket(&text);
    with_canary.subject = CANARY.to_owned();
    with_canary.attributes.insert("customer_name".to_owned(), CANARY.to_owned());
    client.triage_ticket(explained(with_canary.clone())).await.unwrap();
    client.triage_ticket(request(ticket(&text.repeat(60)))).await.unwrap();
    let mut bad = with_canary.clone();
    bad.channel = 99;
    bad.attributes.insert(CANARY.repeat(30), CANARY.repeat(30));
    errors.push(client.triage_ticket(request(bad)).await.unwrap_err());
    let mut late = Request::new(request(ticket(&format!("{text} again ").repeat(200))));
    late.metadata_mut().insert("grpc-timeout", "1m".parse().unwrap());
    errors.push(client.triage_ticket(late).await.unwrap_err());
    let mut ops = TcpStream::connect(address(&serving, "ops")).unwrap();
    ops.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut metrics = String::new();
    ops.read_to_string(&mut metrics).unwrap();
    drop(client);
    drop(running);
    reader.join().unwrap();
    seen.extend(log.try_iter());

    assert!(seen.iter().filter(|line| line.contains("answered")).count() >= 3, "the calls were logged");
    // It would write the text it works on, a character a line.
    assert!(!seen.iter().any(|line| line.contains("tokenizers::")));
    let leaks: Vec<_> = seen.iter().filter(|line| line.contains(CANARY)).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    assert!(!metrics.contains(CANARY));
    for error in errors {
        assert!(!error.message().contains(CANARY), "{}", error.message());
        assert!(!error.details().windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
    }
}
