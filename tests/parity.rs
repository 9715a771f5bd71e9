//! Other number formats decide as f32 does: of primary emotions and of urgency levels bf16 keeps 99 %, int8 98 %.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, path::Path};

use bedside::{
    assessment::{Assessment, Interpreter},
    model::{Bundle, EngineChoice, EngineKind, Precision, PrecisionChoice, Selection, TextEncoder},
};

fn assessments(bundle: &Bundle, engine: EngineKind, precision: Precision, texts: &[String]) -> Vec<Assessment> {
    let encoder = TextEncoder::open(bundle).unwrap();
    let interpreter = Interpreter::new(bundle);
    let mut engine = engine.load(bundle, precision).unwrap();
    let assess = |text: &String| {
        let windows = encoder.windows(text);
        let rows: Vec<&[u32]> = windows.iter().map(Vec::as_slice).collect();
        let logits = interpreter.combine(&engine.score(&rows).unwrap());
        interpreter.assess(&[interpreter.read(&logits)])
    };
    texts.iter().map(assess).collect()
}

fn texts(count: usize) -> Vec<String> {
    let records = fs::read_to_string("models/data/tickets/author7.jsonl").unwrap();
    let text = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
    records.lines().take(count).map(text).collect()
}

#[track_caller]
fn keeps(least: f64, full: &[Assessment], other: &[Assessment]) {
    let same = |equal: fn(&Assessment, &Assessment) -> bool| {
        full.iter().zip(other).filter(|(full, other)| equal(full, other)).count() as f64 / full.len() as f64
    };
    let primary = same(|left, right| left.primary == right.primary);
    let urgency = same(|left, right| left.urgency.label == right.urgency.label);
    println!("of {} tickets: same primary emotion {primary:.3}, same urgency {urgency:.3}", full.len());
    assert!(primary >= least, "{primary}");
    assert!(urgency >= least, "{urgency}");
}

#[test]
fn bf16_keeps_the_decisions_of_f32() {
    let bundle = Bundle::open(Path::new("models/bedside-minilm")).unwrap();
    let auto = Selection::of(EngineChoice::RustBert, PrecisionChoice::Auto, None, &bundle).unwrap();
    // A processor without bf16 emulates it, a hundred times slower; then as many as one in a hundred can show in must do.
    let texts = texts(if auto.precision == Precision::Bf16 { 300 } else { 100 });
    let full = assessments(&bundle, EngineKind::RustBert, Precision::F32, &texts);
    keeps(0.99, &full, &assessments(&bundle, EngineKind::RustBert, Precision::Bf16, &texts));
}

#[test]
fn int8_keeps_the_decisions_of_f32() {
    let bundle = Bundle::open(Path::new("models/bedside-minilm")).unwrap();
    let texts = texts(300);
    let full = assessments(&bundle, EngineKind::RustBert, Precision::F32, &texts);
    keeps(0.98, &full, &assessments(&bundle, EngineKind::Onnx, Precision::Int8, &texts));
}
