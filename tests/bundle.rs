//! A bundle that is not whole does not load, and the error says what is wrong with which file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, path::Path};

use bedside::model::{Bundle, EngineChoice, EngineKind, Precision, PrecisionChoice, Selection, TextEncoder};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const SHIPPED: &str = "models/bedside-minilm";

/// A copy of the shipped bundle.
fn copy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(SHIPPED).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

/// Changes a file and the checksum that vouches for it.
fn change(folder: &Path, name: &str, edit: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let bytes = fs::read(folder.join(name)).unwrap();
    let old = hex::encode(Sha256::digest(&bytes));
    let bytes = edit(bytes);
    let new = hex::encode(Sha256::digest(&bytes));
    fs::write(folder.join(name), bytes).unwrap();
    replace(folder, &old, &new);
}

/// Changes the manifest.
fn replace(folder: &Path, from: &str, to: &str) {
    let manifest = folder.join("bundle.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    assert!(text.contains(from), "bundle.toml does not contain {from:?}");
    fs::write(manifest, text.replacen(from, to, 1)).unwrap();
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[track_caller]
fn refused(folder: &Path, parts: &[&str]) {
    let error = Bundle::open(folder).unwrap_err().to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

#[test]
fn the_shipped_bundle_is_whole() {
    let bundle = Bundle::open(Path::new(SHIPPED)).unwrap();
    assert_eq!(bundle.label_count(), 60);
    assert!(TextEncoder::open(&bundle).is_ok());
}

#[test]
fn a_missing_or_changed_file_is_named() {
    refused(Path::new("models/no-such-bundle"), &["bundle.toml"]);
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let folder = copy();
        fs::remove_file(folder.path().join(name)).unwrap();
        refused(folder.path(), &[name]);

        let folder = copy();
        let mut bytes = fs::read(folder.path().join(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(folder.path().join(name), bytes).unwrap();
        refused(folder.path(), &[name, "SHA-256"]);

        let folder = copy();
        replace(folder.path(), &format!("\"{name}\" = "), &format!("\"../{name}\" = "));
        refused(folder.path(), &["bundle.toml", name]);
    }
}

#[test]
fn a_manifest_that_does_not_fit_is_refused() {
    let cases: [(&str, &str, &[&str]); 10] = [
        ("schema = 1", "schema = 2", &["schema is 2"]),
        ("schema = 1", "schema = 1\nnickname = \"x\"", &["nickname"]),
        ("\"churn_risk\"", "\"churn\"", &["signal/churn_risk is missing"]),
        ("\"anger\", \"frustration\"", "\"frustration\", \"anger\"", &["in this order"]),
        ("name = \"urgency\"", "name = \"hurry\"", &["\"urgency\" is missing"]),
        ("temperature = ", "temperature = -", &["temperature"]),
        ("thresholds = [", "thresholds = [0.5, ", &["13 thresholds"]),
        ("costs = [[0.0", "costs = [[0.5", &["urgency.costs[0][0]"]),
        ("window_tokens = 256", "window_tokens = 4096", &["config.json", "window_tokens is 4096"]),
        ("name = \"bedside-minilm\"", "name = 5", &["bundle.toml", "name"]),
    ];
    for (from, to, parts) in cases {
        let folder = copy();
        replace(folder.path(), from, to);
        refused(folder.path(), parts);
    }
}

#[test]
fn a_checkpoint_that_does_not_fit_is_refused() {
    let folder = copy();
    change(folder.path(), "config.json", |bytes| text(bytes).replacen("emotion/anger", "emotion/rage", 1).into());
    refused(folder.path(), &["config.json", "id2label[0]", "emotion/anger"]);

    let folder = copy();
    change(folder.path(), "tokenizer.json", |bytes| text(bytes).replacen("[SEP]", "[END]", usize::MAX).into());
    let bundle = Bundle::open(folder.path()).unwrap();
    let error = TextEncoder::open(&bundle).err().unwrap().to_string();
    assert!(error.contains("tokenizer.json") && error.contains("[SEP]"), "{error}");
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    for (from, to) in [("classifier.weight", "classifier.weirdo"), ("bert.pooler.dense.bias", "bert.pooler.dense.bios")]
    {
        let folder = copy();
        change(folder.path(), "model.safetensors", |mut bytes| {
            let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            bytes
        });
        let bundle = Bundle::open(folder.path()).unwrap();
        let error = EngineKind::RustBert.load(&bundle, Precision::F32).err().unwrap().to_string();
        assert!(error.contains("model.safetensors"), "{error}");
    }
    let folder = copy();
    change(folder.path(), "config.json", |bytes| {
        text(bytes).replacen("\"num_hidden_layers\": 6", "\"num_hidden_layers\": 7", 1).into()
    });
    let bundle = Bundle::open(folder.path()).unwrap();
    assert!(EngineKind::RustBert.load(&bundle, Precision::F32).is_err());
}

#[test]
fn auto_takes_the_twin_where_it_can_and_says_why_not_where_it_cannot() {
    let select =
        |folder: &Path, engine, precision| Selection::of(engine, precision, None, &Bundle::open(folder).unwrap());
    let auto = |folder: &Path| select(folder, EngineChoice::Auto, PrecisionChoice::Auto).unwrap();
    let whole = auto(Path::new(SHIPPED));
    assert_eq!((whole.engine, whole.precision), (EngineKind::Onnx, Precision::Int8));

    let f32 = select(Path::new(SHIPPED), EngineChoice::Auto, PrecisionChoice::F32).unwrap();
    assert_eq!((f32.engine, f32.precision), (EngineKind::RustBert, Precision::F32));

    // The file alone does not count: the manifest must vouch for it.
    let folder = copy();
    let manifest = fs::read_to_string(folder.path().join("bundle.toml")).unwrap();
    let without: Vec<&str> = manifest.lines().filter(|line| !line.starts_with("\"model.onnx\"")).collect();
    fs::write(folder.path().join("bundle.toml"), without.join("\n")).unwrap();
    let fallback = auto(folder.path());
    assert_eq!(fallback.engine, EngineKind::RustBert);
    assert!(fallback.reason.contains("model.onnx"), "{}", fallback.reason);
    let refused = select(folder.path(), EngineChoice::Onnx, PrecisionChoice::Auto).unwrap_err();
    assert_eq!(refused.setting(), "model.engine");
}
