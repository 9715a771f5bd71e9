//! Malformed files: each is refused with a message that names the place and what to do.

use std::path::PathBuf;

use super::*;

/// A policy with one rule of this condition.
fn rule(when: &str) -> String {
    POLICY_OF_ONE.replace("WHEN", &serde_json::to_string(when).unwrap())
}

const POLICY_OF_ONE: &str = r#"version: "1"
default:
  reason: In turn.
  route: { queue: support, priority: normal, first_response: 1d }
rules:
  - id: one
    when: WHEN
    reason: A reason.
    route: { queue: first, priority: high, first_response: 2h, escalate: true, tags: [a, b] }
"#;

const CATALOGUE_OF_ONE: &str = r#"version: "1"
placeholders: { product: what it is about }
sources:
  - { id: someone-2020, citation: "Someone 2020, Title", url: "https://example.org", evidence: lab }
cues:
  - id: one
    when: primary == "anger"
    weight: 50
    stage: open
    do: Do it.
    avoid: Not that.
    example: "I can see it[ for {product}]."
    source: someone-2020
"#;

fn refusal(policy: Option<&str>, catalogue: Option<&str>) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: Option<&str>| -> Option<PathBuf> {
        let path = folder.path().join(name);
        std::fs::write(&path, text?).unwrap();
        Some(path)
    };
    let (policy, catalogue) = (write("policy.yaml", policy), write("cues.yaml", catalogue));
    Advisor::load(policy.as_deref(), catalogue.as_deref()).map(|_| ()).map_err(|error| error.to_string())
}

#[track_caller]
fn check(message: Result<(), String>, parts: &[&str]) {
    let message = message.expect_err("a malformed file was taken");
    for part in parts {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
}

#[track_caller]
fn refuses_policy(text: &str, parts: &[&str]) {
    check(refusal(Some(text), None), &[&["policy.yaml"], parts].concat());
}

#[track_caller]
fn refuses_catalogue(text: &str, parts: &[&str]) {
    check(refusal(None, Some(text)), &[&["cues.yaml"], parts].concat());
}

/// A file with one thing changed.
fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "nothing to change");
    text.replace(from, to)
}

#[test]
fn the_patterns_of_these_tests_are_sound() {
    assert_eq!(refusal(Some(&rule("urgency == \"high\"")), Some(CATALOGUE_OF_ONE)), Ok(()));
}

#[test]
fn files_that_cannot_be_read() {
    let error = Advisor::load(Some(Path::new("no/such/policy.yaml")), Some(Path::new("no/such/cues.yaml"))).map(|_| ());
    check(error.map_err(|e| e.to_string()), &["no/such/policy.yaml:", "no/such/cues.yaml:", "check the path"]);
}

#[test]
fn policies_of_the_wrong_form() {
    let sound = rule("urgency == \"high\"");
    refuses_policy("rules: [", &[":1:"]);
    refuses_policy("", &[]);
    refuses_policy(&with(&sound, "    reason: A reason.\n", ""), &[":8:5: entry `one`:", "missing field `reason`"]);
    refuses_policy(&with(&sound, "escalate: true", "escalation: true"), &[":9:", "entry `one`", "escalation"]);
    refuses_policy(&with(&sound, "escalate: true", "escalate: maybe"), &[":9:"]);
    refuses_policy(&with(&sound, "priority: high", "priority: highest"), &[":9:", "highest", "urgent"]);
    refuses_policy(&with(&sound, "queue: first, ", "queue: first, queue: second, "), &[":9:", "queue"]);
    refuses_policy(&format!("{sound}extra: 1\n"), &[":10:", "extra"]);
    refuses_policy(&format!("{sound}rules: []\n"), &["rules"]);
}

#[test]
fn policies_with_wrong_values() {
    let sound = rule("urgency == \"high\"");
    let second = "  - { id: one, when: urgency == \"low\", reason: r, route: { queue: q, priority: low, first_response: 1h } }\n";
    refuses_policy(&format!("{sound}{second}"), &[":10:", "rule `one`", "line 6"]);
    refuses_policy(&with(&sound, "id: one", "id: Rule One"), &[":6:", "rule `Rule One`", "lower-case"]);
    refuses_policy(&with(&sound, "id: one", "id: default"), &["rule `default`", "another id"]);
    refuses_policy(&with(&sound, "reason: A reason.", "reason: '  '"), &["rule `one`", "`reason` is blank"]);
    refuses_policy(&with(&sound, "queue: first", "queue: ''"), &["rule `one`", "`queue` is blank"]);
    refuses_policy(&with(&sound, "version: \"1\"", "version: ''"), &["`version` is blank"]);
    refuses_policy(&with(&sound, "[a, b]", "[a, a]"), &["rule `one`", "tag `a` is listed twice"]);
    refuses_policy(&with(&sound, "[a, b]", "[a, '']"), &["rule `one`", "`tags` is blank"]);
    for time in ["2", "2 h", "h", "0m", "-1h", "+1h", "1.5h", "31d", "99999999999999999999d", "2w", "2é"] {
        refuses_policy(
            &with(&sound, "2h", &format!("'{time}'")),
            &["rule `one`", &format!("first_response `{time}`"), "15m"],
        );
    }
    refuses_policy(&with(&sound, "1d", "soon"), &["route `default`", "first_response `soon`"]);
}

#[test]
fn conditions_that_are_not_sound() {
    for (when, says) in [
        ("urgency ==", "does not parse: line 1"),
        ("", "does not parse"),
        ("urgencey == \"high\"", "`urgencey`, which is not a variable; there are emotions, primary"),
        ("ticket.attributes.tier == \"gold\"", "`ticket`"),
        ("signals.exists(s, t == \"praise\")", "`t`"),
        ("urgency == \"hihg\"", "`urgency` with \"hihg\", which it never is; it can be \"low\", \"normal\""),
        ("\"lawyer\" in signals", "`signals` with \"lawyer\""),
        ("!(\"rage\" in emotions)", "`emotions` with \"rage\""),
        ("primary in [\"anger\", \"fury\"]", "`primary` with \"fury\""),
        ("primary != \"Anger\"", "`primary` with \"Anger\""),
        ("channel == \"telegram\"", "`channel` with \"telegram\""),
        ("signals.exists(s, s == \"fraud\")", "`signals` with \"fraud\""),
        ("size(signals.filter(s, s in [\"praise\", \"hate\"])) > 0", "`signals` with \"hate\""),
        ("signals == [\"refund\"]", "`signals` with \"refund\""),
        ("intensity == 4", "`intensity` with 4"),
        ("intensity > 3.5 || intensity >= 7", "`intensity` with 7"),
        ("urgency >= \"high\"", "urgency in ["),
        ("true", "always true"),
        ("urgency", "gives a string"),
        ("size(signals)", "gives a int"),
        ("urgency == \"low\" && intensity", "gives a int"),
        ("urgency == \"low\" && severe(intensity)", "severe"),
        ("urgency == \"low\" && intensity == 1 ? language : \"x\"", "gives a string"),
        ("urgency == \"low\" && language > 3", "fails"),
        ("signals[0] == \"praise\"", "no label and no attribute"),
        ("attributes.tier", "gives a string"),
    ] {
        refuses_policy(&rule(when), &[":6:", "rule `one`", says]);
        let cue = with(CATALOGUE_OF_ONE, "primary == \"anger\"", &serde_json::to_string(when).unwrap());
        refuses_catalogue(&cue, &[":6:", "cue `one`", says]);
    }
}

#[test]
fn conditions_that_are_sound() {
    for when in [
        "signals.exists(s, s in [\"praise\", \"deadline\"]) && !(\"anger\" in emotions)",
        "has(attributes.tier) && attributes.tier in [\"gold\", \"vip\"]",
        "attributes[\"tier\"].startsWith(\"g\") || int(attributes.seats) > 10",
        "channel == \"\" || language == \"de\" || language.startsWith(\"en-\")",
    ] {
        assert_eq!(refusal(Some(&rule(when)), None), Ok(()), "{when}");
    }
}

#[test]
fn catalogues_of_the_wrong_form() {
    refuses_catalogue("cues: {", &[":1:"]);
    refuses_catalogue(
        &with(CATALOGUE_OF_ONE, "    weight: 50\n", ""),
        &[":12:5: entry `one`:", "missing field `weight`"],
    );
    refuses_catalogue(&with(CATALOGUE_OF_ONE, "stage: open", "stage: opening"), &[":9:", "opening", "explore"]);
    refuses_catalogue(&with(CATALOGUE_OF_ONE, "weight: 50", "weight: -1"), &[":8:"]);
    refuses_catalogue(&with(CATALOGUE_OF_ONE, "weight: 50", "weight: 50\n    mood: x"), &[":9:", "mood"]);
    refuses_catalogue(
        &with(CATALOGUE_OF_ONE, "weight: 50", "weight: 50\n    stance: { apology: twice }"),
        &[":9:", "twice"],
    );
    refuses_catalogue(
        &with(CATALOGUE_OF_ONE, "weight: 50", "weight: 50\n    stance: { apolgy: once }"),
        &[":9:", "apolgy"],
    );
    refuses_catalogue(&with(CATALOGUE_OF_ONE, "evidence: lab", "evidence: proof"), &[":4:", "proof"]);
}

#[test]
fn catalogues_with_wrong_values() {
    refuses_catalogue(&with(CATALOGUE_OF_ONE, "weight: 50", "weight: 101"), &["cue `one`", "weight 101"]);
    refuses_catalogue(
        &with(CATALOGUE_OF_ONE, "source: someone-2020", "source: nobody-1999"),
        &["cue `one`", "`nobody-1999`", "`someone-2020`"],
    );
    refuses_catalogue(
        &with(CATALOGUE_OF_ONE, "https://example.org", "example.org"),
        &[":4:", "source `someone-2020`", "web address"],
    );
    refuses_catalogue(
        &with(CATALOGUE_OF_ONE, "Someone 2020, Title", " "),
        &["source `someone-2020`", "`citation` is blank"],
    );
    refuses_catalogue(&with(CATALOGUE_OF_ONE, "avoid: Not that.", "avoid: ''"), &["cue `one`", "`avoid` is blank"]);
    refuses_catalogue(&with(CATALOGUE_OF_ONE, "do: Do it.", "do: ''"), &["cue `one`", "`do` is blank"]);
    refuses_catalogue(&with(CATALOGUE_OF_ONE, "what it is about", "''"), &["`placeholders` is blank"]);
    let no_cues = &CATALOGUE_OF_ONE[..CATALOGUE_OF_ONE.find("cues:").unwrap()];
    refuses_catalogue(&format!("{no_cues}cues: []\n"), &["no `cues`"]);
    let twice = CATALOGUE_OF_ONE[CATALOGUE_OF_ONE.find("  - id: one").unwrap()..].to_owned();
    refuses_catalogue(&format!("{CATALOGUE_OF_ONE}{twice}"), &[":14:", "cue `one`", "line 6"]);
}

#[test]
fn examples_that_would_show_holes_or_hollow_words() {
    for (example, says) in [
        ("", "`example` is blank"),
        ("For {product}.", "{product} outside square brackets"),
        ("For it[ in {colour}].", "{colour}, which is not listed"),
        ("For[ {product}", "[ without ]"),
        ("For[ {product].", "{ without }"),
        ("For] it.", "closes nothing"),
        ("For} it.", "closes nothing"),
        ("For[ it].", "[ it] without a placeholder"),
        ("For[ [{product}]].", "no partner"),
        ("For[ {product}}].", "no partner"),
        ("For [{product}|{order}].", "more than plain words"),
        ("[{product}]", "nothing is left"),
        ("I completely understand your frustration.", "understand your frustration"),
        ("Sorry for any inconvenience.", "any inconvenience"),
    ] {
        refuses_catalogue(
            &with(CATALOGUE_OF_ONE, "I can see it[ for {product}].", example),
            &[":6:", "cue `one`", says],
        );
    }
}

#[test]
fn all_faults_of_both_files_come_at_once() {
    let policy = with(&rule("urgency == \"hihg\" || mood == 1"), "2h", "2x");
    let catalogue = with(&with(CATALOGUE_OF_ONE, "weight: 50", "weight: 0"), "\"anger\"", "\"rage\"");
    check(
        refusal(Some(&policy), Some(&catalogue)),
        &["policy.yaml:6:", "hihg", "`mood`", "first_response `2x`", "cues.yaml:6:", "weight 0", "rage"],
    );
}
