//! The build without libtorch: it contains none of it and decides as the other one does.
//!
//! `make test` builds it and names it in `ONNX_BINARY`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

fn binary() -> String {
    std::env::var("ONNX_BINARY").expect("ONNX_BINARY names the build without libtorch: run `make test`")
}

fn classify(program: &str, settings: &[(&str, &str)]) -> Vec<Value> {
    let state = TempDir::new().unwrap();
    let mut command = Command::new(program);
    command.args(["classify", "--format", "jsonl", "tests/data/tickets.jsonl"]).env("XDG_STATE_HOME", state.path());
    let output = command.envs(settings.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn it_needs_no_libtorch() {
    let libraries = Command::new("ldd").arg(binary()).output().unwrap();
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    assert!(libraries.contains("libc.so"), "{libraries}");
    assert!(!libraries.contains("torch") && !libraries.contains("libc10"), "{libraries}");
    let whole = Path::new(env!("CARGO_BIN_EXE_bedside"));
    let linked = Command::new("ldd").arg(whole).output().unwrap();
    assert!(String::from_utf8(linked.stdout).unwrap().contains("libtorch"), "the other build has it");
}

#[test]
fn it_answers_as_the_other_build_does() {
    let answers = classify(&binary(), &[]);
    assert_eq!(answers.len(), 72);
    let same_engine = classify(env!("CARGO_BIN_EXE_bedside"), &[("BEDSIDE_MODEL__ENGINE", "onnx")]);
    for (left, right) in answers.iter().zip(&same_engine) {
        for part in ["emotions", "urgency", "signals", "routing"] {
            assert_eq!(left[part], right[part], "{}", left["id"]);
        }
    }
}

#[test]
fn it_refuses_the_engine_that_it_does_not_contain() {
    let refused = Command::new(binary()).arg("serve").env("BEDSIDE_MODEL__ENGINE", "rust-bert").output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("model.engine") && said.contains("does not contain it"), "{said}");
}
