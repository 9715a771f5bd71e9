//! The real binary with the real model, as a user runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod service;

use std::{
    fs,
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use service::Service;
use tempfile::TempDir;

const TICKETS: &str = "tests/data/tickets.jsonl";

/// The binary, without any setting of the one who runs the tests; cargo runs these in the repository's folder.
fn bedside(state: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedside"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BEDSIDE_")) {
        command.env_remove(name);
    }
    command.env("XDG_STATE_HOME", state.path()).env("BEDSIDE_MODEL__WORKERS", "1");
    command
}

fn run(arguments: &[&str], input: &str) -> Output {
    let state = TempDir::new().unwrap();
    let mut command = bedside(&state);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read its input may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The lines of an output that must have ended with `status`.
fn answers(output: &Output, status: i32) -> Vec<Value> {
    assert_eq!(output.status.code(), Some(status), "{}", stderr(output));
    let lines = str::from_utf8(&output.stdout).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Asserts that `value` is a number from `least` to `most`.
fn assert_within(value: &Value, least: f64, most: f64) {
    let number = value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    assert!((least..=most).contains(&number), "{number} is not within {least} and {most}");
}

fn assert_answer(answer: &Value) {
    let emotions = answer["emotions"].as_array().unwrap();
    assert!(emotions.iter().any(|found| found["label"] == answer["primary_emotion"]), "{answer}");
    assert_within(&emotions[0]["score"], 0.0, 1.0);
    assert!(["low", "medium", "high"].map(Value::from).contains(&emotions[0]["confidence"]));
    assert_within(&answer["intensity"], 0.0, 3.0);
    let urgency = &answer["urgency"];
    assert!(["low", "normal", "high", "critical"].map(Value::from).contains(&urgency["level"]));
    assert_within(&urgency["score"], 0.0, 1.0);
    let probabilities = urgency["probabilities"].as_object().unwrap();
    let total: f64 =
        ["low", "normal", "high", "critical"].iter().map(|level| probabilities[*level].as_f64().unwrap()).sum();
    assert!((total - 1.0).abs() < 1e-3, "{total}");
    assert!(answer["signals"].is_array() && answer["routing"]["tags"].is_array());
    assert!(answer["routing"]["first_response_seconds"].as_i64().unwrap() > 0);
    assert!(!answer["routing"]["queue"].as_str().unwrap().is_empty());
    let cues = answer["cues"].as_array().unwrap();
    assert!((1..=3).contains(&cues.len()));
    assert!(cues[0]["source_url"].as_str().unwrap().starts_with("http"));
    assert_eq!(answer["cache"], "miss");
    assert!(answer["windows"].as_i64().unwrap() >= 1 && answer["language"]["code"].is_string());
}

#[test]
fn classify_reads_plain_lines() {
    let output =
        run(&["classify"], "Where can I find my invoices of last year?\n\nSomeone is emptying my account right now!\n");
    let answers = answers(&output, 0);
    assert_eq!(answers.iter().map(|answer| &answer["id"]).collect::<Vec<_>>(), ["1", "3"]);
    answers.iter().for_each(assert_answer);
}

#[test]
fn classify_reads_json_lines_and_keeps_the_order() {
    let output = run(&["classify", TICKETS], "");
    let answers = answers(&output, 0);
    let records = fs::read_to_string(TICKETS).unwrap();
    let ids = records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone());
    assert_eq!(answers.iter().map(|answer| answer["id"].clone()).collect::<Vec<_>>(), ids.collect::<Vec<_>>());
    answers.iter().for_each(assert_answer);
}

#[test]
fn classify_reads_csv() {
    let csv = "id,subject,text,tier\nx-1,Parcel,\"It is late, again.\nThird time!\",gold\nx-2,,Thank you so much!,\n";
    let output = run(&["classify", "-"], csv);
    let answers = answers(&output, 0);
    assert_eq!(answers.iter().map(|answer| &answer["id"]).collect::<Vec<_>>(), ["x-1", "x-2"]);
    answers.iter().for_each(assert_answer);
}

#[test]
fn classify_draws_a_table() {
    let output = run(&["classify", "--format", "table"], "I want my money back, you thieves.\n");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("urgency") && table.contains("I want my money"), "{table}");
}

#[test]
fn bad_records_are_answered_in_their_places() {
    let long = "word ".repeat(20_000);
    let input = [
        r#"{"id": "good", "text": "My card was declined."}"#,
        r#"{"id": "bad", "text": "#,
        r#"{"id": "odd", "text": "Hidden words.", "channel": "pigeon"}"#,
        &format!(r#"{{"id": "long", "text": "{long}"}}"#),
        r#"{"id": "last", "text": "It works now."}"#,
    ];
    let output = run(&["classify"], &input.join("\n"));
    let answers = answers(&output, 1);
    assert_eq!(answers.iter().map(|answer| &answer["id"]).collect::<Vec<_>>(), ["good", "2", "odd", "long", "last"]);
    assert_answer(&answers[0]);
    assert_answer(&answers[4]);
    for failed in &answers[1..4] {
        assert_eq!(failed["error"]["code"], "INVALID_ARGUMENT");
        assert!(!failed["error"]["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(answers[1]["error"]["fields"], Value::Array(Vec::new()));
    assert_eq!(answers[2]["error"]["fields"][0]["field"], "channel");
    assert_eq!(answers[3]["error"]["fields"][0]["field"], "ticket");
    assert!(stderr(&output).contains("3 of 5 tickets failed"), "{}", stderr(&output));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("Hidden words"));
}

#[test]
fn classify_ends_quietly_when_its_reader_is_gone() {
    let state = TempDir::new().unwrap();
    let mut command = bedside(&state);
    command.args(["classify", TICKETS]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn classify_asks_a_running_service() {
    let service = Service::start(&[("limits.max_batch_items", "2")]).await;
    let address = format!("http://{}", service.grpc);
    let classify = move || run(&["classify", "--addr", &address], "Thanks!\nIt is broken.\nCall me.\n");
    let output = tokio::task::spawn_blocking(classify).await.unwrap();
    let answers = answers(&output, 0);
    assert_eq!(answers.iter().map(|answer| &answer["id"]).collect::<Vec<_>>(), ["1", "2", "3"]);
    answers.iter().for_each(assert_answer);
    service.stop().await.unwrap().unwrap();
}

#[test]
fn classify_says_when_nobody_serves() {
    // Port 9 of the loopback is reserved for a service that nobody runs.
    let output = run(&["classify", "--addr", "127.0.0.1:9"], "hello\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("does not answer"), "{}", stderr(&output));
}

#[test]
fn help_and_wrong_usage() {
    for arguments in [&["--help"][..], &["classify", "--help"], &["evaluate", "--help"], &["serve", "--help"]] {
        let output = run(arguments, "");
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains("Usage"));
    }
    for arguments in [&["classify", "--no-such-flag"][..], &["evaluate"], &["no-such-command"]] {
        assert_eq!(run(arguments, "").status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn every_violation_of_the_configuration_is_listed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("bedside.toml");
    let settings =
        "[server]\nflavour = 1\nmax_in_flight = \"many\"\nmax_deadline_ms = 0\n[limits]\nmax_messages = -1\n";
    fs::write(&file, settings).unwrap();
    let output = run(&["serve", "--config", file.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(64));
    let message = stderr(&output);
    for setting in ["server.flavour", "server.max_in_flight", "server.max_deadline_ms", "limits.max_messages"] {
        assert!(message.contains(setting), "{setting} is not in: {message}");
    }
}

#[test]
fn a_valid_configuration_can_be_checked_without_serving() {
    let output = run(&["serve", "--check-config", "--grpc-addr", "127.0.0.1:0"], "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("valid"));
}

#[test]
fn evaluate_reports_every_metric() {
    let folder = TempDir::new().unwrap();
    let comments = folder.path().join("comments.tsv");
    fs::write(&comments, "He said \"thanks\", twice\t15\ta\nThat is so sad.\t25,9\tb\n").unwrap();
    let output = run(&["evaluate", "--data", TICKETS, "--goemotions", comments.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["n"].as_u64().unwrap() as usize, fs::read_to_string(TICKETS).unwrap().lines().count());
    for metric in [
        "/emotion/macro_f1",
        "/emotion/micro_f1",
        "/emotion/per_label/anger/precision",
        "/primary/accuracy",
        "/urgency/macro_f1",
        "/urgency/accuracy",
        "/urgency/critical_recall",
        "/urgency/critical_precision",
        "/urgency/critical_recall_interval/0",
        "/urgency/critical_recall_at_tenth",
        "/urgency/under_triage",
        "/emotion_micro_f1_interval/1",
        "/label_calibration/ece",
        "/label_calibration/brier_interval/0",
        "/urgency_calibration/ece_interval/1",
        "/urgency_calibration/bins/0/said",
        "/signal/macro_f1",
        "/signal/micro_f1",
        "/signal/per_label/deadline/f1",
        "/goemotions/macro_f1",
        "/goemotions/micro_f1",
        "/goemotions/per_label/gratitude/recall",
    ] {
        assert_within(report.pointer(metric).unwrap_or(&Value::Null), 0.0, 1.0);
    }
    assert_within(&report["urgency"]["qwk"], -1.0, 1.0);
    assert_within(&report["intensity"]["mae"], 0.0, 3.0);
    assert!(report["emotion"].as_object().unwrap().contains_key("macro_f1_n30"));
    let confusion = report["urgency"]["confusion"].as_object().unwrap();
    let counted: u64 =
        confusion.values().flat_map(|row| row.as_object().unwrap().values()).map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(Some(counted), report["n"].as_u64());
    assert_eq!(report["goemotions"]["n"], 2);
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
    assert!(["engine", "precision", "bundle"].iter().all(|key| report[key].is_string()));
    // Chance alone would not get there; how good the model is, the reports say.
    assert_within(&report["primary"]["accuracy"], 0.2, 1.0);
    assert_within(&report["urgency"]["qwk"], 0.2, 1.0);
}

#[test]
fn evaluate_runs_the_int8_twin_and_says_so() {
    let output = run(&["evaluate", "--data", TICKETS, "--engine", "onnx"], "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["engine"], &report["precision"]), (&"onnx".into(), &"int8".into()));
    assert_within(&report["urgency"]["qwk"], 0.2, 1.0);
}

#[test]
fn a_number_format_that_the_engine_lacks_is_refused_by_its_setting() {
    let output = run(&["serve", "--check-config", "--engine", "onnx", "--precision", "f32"], "");
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
    assert!(stderr(&output).contains("model.precision"), "{}", stderr(&output));
}

#[test]
fn a_library_of_onnx_runtime_that_is_not_there_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("bedside.toml");
    let serve = |engine: &str| {
        fs::write(&file, format!("[model]\nengine = \"{engine}\"\nonnxruntime = \"nowhere/libonnxruntime.so\"\n"))
            .unwrap();
        run(&["serve", "--check-config", "--config", file.to_str().unwrap()], "")
    };
    let refused = serve("onnx");
    assert_eq!(refused.status.code(), Some(64), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("model.engine"), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("nowhere/libonnxruntime.so"), "{}", stderr(&refused));
    assert_eq!(serve("auto").status.code(), Some(0));
}

#[test]
fn evaluate_takes_what_a_split_lists() {
    let folder = TempDir::new().unwrap();
    let split = folder.path().join("split.json");
    let sets = r#"{"authored": {"label_hash": "", "train": [], "dev": [], "test": ["s-002", "s-003", "gone"]}}"#;
    fs::write(&split, sets).unwrap();
    let output = run(&["evaluate", "--data", TICKETS, "--split", split.to_str().unwrap(), "--part", "test"], "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = fs::read_to_string(TICKETS).unwrap().lines().count();
    assert_eq!((&report["n"], &report["skipped"], &report["missing"]), (&2.into(), &(all - 2).into(), &1.into()));
    assert!(report.get("goemotions").is_none());
}

#[test]
fn evaluate_names_the_line_of_a_malformed_record() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("records.jsonl");
    let first = fs::read_to_string(TICKETS).unwrap().lines().next().unwrap().to_owned();
    fs::write(&file, format!("{first}\n{{\"id\": \"x\", \"text\": \"Hidden words.\", \"channel\": \"email\"}}\n"))
        .unwrap();
    let output = run(&["evaluate", "--data", file.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains(&format!("{}:2: emotions is missing", file.display())), "{message}");
    assert!(!message.contains("Hidden words"));
}
