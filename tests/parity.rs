//! bf16 decides as f32 does: at least 99 % of primary emotions and of urgency levels are the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, path::Path};

use bedside::{
    assessment::{Assessment, Interpreter},
    model::{Bundle, EngineKind, Precision, PrecisionChoice, TextEncoder},
};

fn assessments(bundle: &Bundle, precision: Precision, texts: &[String]) -> Vec<Assessment> {
    let encoder = TextEncoder::open(bundle).unwrap();
    let interpreter = Interpreter::new(bundle);
    let mut engine = EngineKind::RustBert.load(bundle, precision).unwrap();
    let assess = |text: &String| {
        let windows = encoder.windows(text);
        let rows: Vec<&[u32]> = windows.iter().map(Vec::as_slice).collect();
        let logits = interpreter.combine(&engine.score(&rows).unwrap());
        interpreter.assess(&[interpreter.read(&logits)])
    };
    texts.iter().map(assess).collect()
}

#[test]
fn bf16_keeps_the_decisions_of_f32() {
    let bundle = Bundle::open(Path::new("models/bedside-minilm")).unwrap();
    // A processor without bf16 emulates it, a hundred times slower; then as many as one in a hundred can show in must do.
    let tickets = if PrecisionChoice::Auto.resolve(&bundle) == Precision::Bf16 { 300 } else { 100 };
    let records = fs::read_to_string("models/data/tickets/author11.jsonl").unwrap();
    let texts: Vec<String> = records
        .lines()
        .take(tickets)
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned())
        .collect();
    let full = assessments(&bundle, Precision::F32, &texts);
    let half = assessments(&bundle, Precision::Bf16, &texts);
    let same = |equal: fn(&Assessment, &Assessment) -> bool| {
        full.iter().zip(&half).filter(|(full, half)| equal(full, half)).count() as f64 / texts.len() as f64
    };
    let primary = same(|left, right| left.primary == right.primary);
    let urgency = same(|left, right| left.urgency.label == right.urgency.label);
    println!("of {} tickets: same primary emotion {primary:.3}, same urgency {urgency:.3}", texts.len());
    assert!(primary >= 0.99, "{primary}");
    assert!(urgency >= 0.99, "{urgency}");
}
