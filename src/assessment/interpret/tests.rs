#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use super::*;
use crate::assessment::Assessment;

fn interpreter() -> Interpreter {
    Interpreter::new(&Bundle::open(Path::new("models/bedside-minilm")).unwrap())
}

/// Logits in which only the given labels hold, and those by a wide margin.
fn logits(interpreter: &Interpreter, labels: &[&str]) -> Vec<f32> {
    let names = interpreter
        .bundle
        .groups
        .iter()
        .flat_map(|group| group.labels.iter().map(move |label| format!("{}/{label}", group.name)));
    names.map(|name| if labels.contains(&name.as_str()) { 9.0 } else { -9.0 }).collect()
}

fn assess(interpreter: &Interpreter, messages: &[&[&str]]) -> Assessment {
    let readings: Vec<_> = messages.iter().map(|labels| interpreter.read(&logits(interpreter, labels))).collect();
    interpreter.assess(&readings)
}

#[test]
fn what_holds_clearly_is_found_with_high_confidence() {
    let interpreter = interpreter();
    let found = assess(
        &interpreter,
        &[&["emotion/anger", "emotion/anxiety", "intensity/3", "urgency/high", "signal/deadline"]],
    );
    let emotions: Vec<_> = found.emotions.iter().map(|found| found.label).collect();
    assert!(emotions.contains(&Emotion::Anger) && emotions.contains(&Emotion::Anxiety) && emotions.len() == 2);
    assert!(found.emotions.iter().all(|found| found.confidence == Confidence::High));
    assert_eq!(found.primary, found.emotions[0].label);
    assert_eq!(found.intensity, Intensity::Extreme);
    assert_eq!((found.urgency.label, found.urgency.confidence), (Urgency::High, Confidence::High));
    assert_eq!(found.signals.iter().map(|found| found.label).collect::<Vec<_>>(), [Signal::Deadline]);
}

#[test]
fn without_a_feeling_it_is_neutral_alone_and_of_no_intensity() {
    let interpreter = interpreter();
    for labels in [&["intensity/3", "urgency/low"][..], &["emotion/neutral", "intensity/0", "urgency/low"]] {
        let found = assess(&interpreter, &[labels]);
        assert_eq!(found.emotions.iter().map(|found| found.label).collect::<Vec<_>>(), [Emotion::Neutral]);
        assert_eq!((found.primary, found.intensity), (Emotion::Neutral, Intensity::None));
    }
}

#[test]
fn a_missed_emergency_costs_more_than_a_false_alarm() {
    let costs = interpreter().bundle.urgency_costs;
    let missed = costs[3];
    for (level, row) in costs.iter().enumerate() {
        assert!(missed[level] >= row[3], "missing critical must not be cheaper");
    }
    // As likely critical as low, and nothing in between: the middle is cheaper than either extreme by the square.
    assert!(cheapest(&[0.5, 0.0, 0.0, 0.5], &costs) >= 1);
    assert_eq!(cheapest(&[0.0, 0.0, 0.0, 1.0], &costs), 3);
    assert_eq!(cheapest(&[1.0, 0.0, 0.0, 0.0], &costs), 0);
}

#[test]
fn windows_combine_to_the_gravest() {
    let interpreter = interpreter();
    let calm = logits(&interpreter, &["emotion/neutral", "intensity/0", "urgency/low"]);
    let grave = logits(&interpreter, &["emotion/anxiety", "intensity/2", "urgency/critical", "signal/safety_risk"]);
    for windows in [[calm.clone(), grave.clone()], [grave.clone(), calm.clone()]] {
        let combined = interpreter.combine(&windows);
        assert_eq!(interpreter.assess(&[interpreter.read(&combined)]), interpreter.assess(&[interpreter.read(&grave)]));
    }
    assert_eq!(interpreter.combine(std::slice::from_ref(&calm)), calm);
}

#[test]
fn the_latest_message_leads_and_earlier_urgency_is_not_forgotten() {
    let interpreter = interpreter();
    let outage: &[&str] = &["emotion/anger", "intensity/2", "urgency/critical"];
    let news: &[&str] = &["emotion/neutral", "intensity/0", "urgency/normal"];
    let thanks: &[&str] = &["emotion/gratitude", "intensity/1", "urgency/low"];
    assert!(assess(&interpreter, &[outage, news]).urgency.label >= Urgency::Normal);
    let calmed = assess(&interpreter, &[outage, thanks]);
    assert_eq!(calmed.primary, Emotion::Gratitude);
    assert!(calmed.urgency.label < Urgency::Critical);
    assert!(calmed.urgency_probabilities.iter().sum::<f32>() > 0.999);
}

#[test]
fn doubt_touches_confidence_only() {
    let interpreter = interpreter();
    let sure = assess(&interpreter, &[&["emotion/anger", "intensity/2", "urgency/high", "signal/praise"]]);
    let doubted = sure.clone().doubted();
    assert_eq!(doubted.urgency.confidence, Confidence::Low);
    assert!(doubted.emotions.iter().all(|found| found.confidence == Confidence::Low));
    assert!(doubted.signals.iter().all(|found| found.confidence == Confidence::Low));
    assert_eq!((doubted.primary, doubted.urgency.score), (sure.primary, sure.urgency.score));
}
