#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use strum::VariantArray;

use super::{example::Example, *};

mod refusals;

/// A ticket of which only some things are of interest.
struct Case {
    emotions: Vec<Emotion>,
    intensity: Intensity,
    urgency: Urgency,
    signals: Vec<Signal>,
    channel: Option<Channel>,
    language: &'static str,
    language_supported: bool,
    attributes: BTreeMap<String, String>,
}

impl Case {
    fn new(primary: Emotion, urgency: Urgency) -> Case {
        let intensity = if primary == Emotion::Neutral { Intensity::None } else { Intensity::Mild };
        Case {
            emotions: vec![primary],
            intensity,
            urgency,
            signals: Vec::new(),
            channel: None,
            language: "en",
            language_supported: true,
            attributes: BTreeMap::new(),
        }
    }

    fn signal(mut self, signal: Signal) -> Case {
        self.signals.push(signal);
        self
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            emotions: &self.emotions,
            primary: self.emotions[0],
            intensity: self.intensity,
            urgency: self.urgency,
            signals: &self.signals,
            channel: self.channel,
            language: self.language,
            language_supported: self.language_supported,
            attributes: &self.attributes,
        }
    }
}

fn advisor() -> Advisor {
    Advisor::load(None, None).unwrap_or_else(|error| panic!("{error}"))
}

/// Every primary emotion at every intensity it can have, with every urgency and each signal alone, and none.
fn combinations() -> impl Iterator<Item = Case> {
    let signals = || Signal::VARIANTS.iter().copied().map(Some).chain([None]);
    Emotion::VARIANTS.iter().flat_map(move |&primary| {
        Intensity::VARIANTS
            .iter()
            .filter(move |&&intensity| (primary == Emotion::Neutral) == (intensity == Intensity::None))
            .flat_map(move |&intensity| {
                Urgency::VARIANTS.iter().flat_map(move |&urgency| {
                    signals().map(move |signal| Case {
                        intensity,
                        signals: signal.into_iter().collect(),
                        ..Case::new(primary, urgency)
                    })
                })
            })
    })
}

#[test]
fn the_shipped_files_load_and_can_be_shared() {
    fn shareable<T: Send + Sync>(_: &T) {}
    let advisor = advisor();
    shareable(&advisor);
    assert_eq!(advisor.policy_version(), "1.0.0");
    assert_eq!(advisor.catalogue_version(), "1.0.0");
}

#[test]
fn files_given_by_path_replace_the_shipped_ones() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    std::fs::write(
        &policy,
        "version: mine\ndefault: { reason: All to one, route: { queue: all, priority: low, first_response: 2d } }\nrules: []\n",
    )
    .unwrap();
    let advisor = Advisor::load(Some(&policy), None).unwrap();
    assert_eq!(advisor.policy_version(), "mine");
    let routing = advisor.advise(&Case::new(Emotion::Anger, Urgency::Critical).facts(), 3).routing;
    assert_eq!((routing.queue.as_str(), routing.rule.as_str()), ("all", DEFAULT_RULE));
    assert_eq!(routing.first_response, Duration::from_secs(2 * 24 * 3600));
}

#[test]
fn every_combination_gets_cues_that_do_not_contradict() {
    let advisor = advisor();
    let stances: BTreeMap<_, _> = advisor.catalogue.stances().collect();
    for case in combinations() {
        let facts = case.facts();
        let cues = advisor.advise(&facts, 3).cues;
        let what = format!("{} {:?} {} {:?}", facts.primary, facts.intensity, facts.urgency, facts.signals);
        assert!((1..=3).contains(&cues.len()), "{what}: {} cues", cues.len());
        for (index, one) in cues.iter().enumerate() {
            for other in &cues[..index] {
                assert_ne!(one.id, other.id, "{what}");
                assert!(
                    !stances[one.id.as_str()].contradicts(stances[other.id.as_str()]),
                    "{what}: {} against {}",
                    one.id,
                    other.id
                );
            }
        }
        assert!(advisor.advise(&facts, 1).cues.len() == 1 && advisor.advise(&facts, 0).cues.is_empty(), "{what}");
    }
}

#[test]
fn the_same_facts_get_the_same_advice() {
    let (one, other) = (advisor(), advisor());
    for case in combinations().step_by(7) {
        assert_eq!(one.advise(&case.facts(), 3), other.advise(&case.facts(), 3));
    }
}

#[test]
fn every_cue_and_every_rule_can_come_up() {
    let advisor = advisor();
    let (mut cues, mut rules) = (BTreeSet::new(), BTreeSet::new());
    let mut try_out = |case: &Case| {
        let advice = advisor.advise(&case.facts(), 3);
        cues.extend(advice.cues.into_iter().map(|cue| cue.id));
        rules.insert(advice.routing.rule);
    };
    for mut case in combinations() {
        try_out(&case);
        case.channel = Some(if case.urgency == Urgency::Low { Channel::Email } else { Channel::Social });
        case.attributes.insert("tier".to_owned(), "enterprise".to_owned());
        try_out(&case);
        case.channel = Some(Channel::WebForm);
        case.emotions.push(Emotion::Gratitude);
        try_out(&case);
        case.emotions =
            vec![case.emotions[0], Emotion::Satisfaction, Emotion::Frustration, Emotion::Confusion, Emotion::Anxiety];
        (case.language, case.language_supported) = ("fi", false);
        try_out(&case);
    }
    let all: BTreeSet<_> = advisor.catalogue.stances().map(|(id, _)| id.to_owned()).collect();
    assert!(all.len() >= 45, "{} cues", all.len());
    assert_eq!(all.difference(&cues).collect::<Vec<_>>(), Vec::<&String>::new(), "cues that never come up");
    let all: BTreeSet<_> = advisor.policy.rule_ids().map(str::to_owned).chain([DEFAULT_RULE.to_owned()]).collect();
    assert_eq!(all.difference(&rules).collect::<Vec<_>>(), Vec::<&String>::new(), "rules that never decide");
}

#[test]
fn graver_matters_go_first() {
    let advisor = advisor();
    let queue = |case: Case| advisor.advise(&case.facts(), 3).routing;
    let plain = |signal| Case::new(Emotion::Neutral, Urgency::Normal).signal(signal);

    for urgency in Urgency::VARIANTS {
        let routing = queue(Case::new(Emotion::Gratitude, *urgency).signal(Signal::Praise).signal(Signal::SafetyRisk));
        assert_eq!((routing.queue.as_str(), routing.priority, routing.escalate), ("safety", Priority::Urgent, true));
        assert!(
            routing.first_response <= Duration::from_secs(600) && routing.tags.contains(&"no-auto-reply".to_owned())
        );
    }
    for case in combinations().filter(|case| case.urgency == Urgency::Critical) {
        let routing = queue(case);
        assert!(
            routing.priority == Priority::Urgent
                && routing.escalate
                && routing.first_response <= Duration::from_secs(900)
        );
    }
    for case in combinations().filter(|case| case.urgency == Urgency::High) {
        let routing = queue(case);
        assert!(
            routing.priority >= Priority::High && routing.first_response <= Duration::from_secs(4 * 3600),
            "{}",
            routing.rule
        );
    }
    for (signal, expected) in [
        (Signal::ChurnRisk, "retention"),
        (Signal::LegalThreat, "complaints"),
        (Signal::SecurityIncident, "security"),
        (Signal::SafetyRisk, "safety"),
        (Signal::ServiceOutage, "incidents"),
        (Signal::FinancialImpact, "payments"),
        (Signal::Deadline, "support"),
        (Signal::RepeatContact, "senior"),
        (Signal::AbusiveLanguage, "senior"),
        (Signal::EscalationRequest, "senior"),
        (Signal::VulnerableCustomer, "care"),
        (Signal::Praise, "support"),
    ] {
        assert_eq!(queue(plain(signal)).queue, expected, "{signal}");
    }
    assert_eq!(queue(Case::new(Emotion::Gratitude, Urgency::Low)).queue, "feedback");
    assert_eq!(queue(Case::new(Emotion::Anger, Urgency::Low)).priority, Priority::Low);
    assert_eq!(queue(Case::new(Emotion::Neutral, Urgency::Normal)).rule, DEFAULT_RULE);
}

#[test]
fn a_guess_at_a_foreign_language_does_not_decide_but_danger_does() {
    let advisor = advisor();
    let mut case = Case::new(Emotion::Satisfaction, Urgency::Low).signal(Signal::Praise);
    (case.language, case.language_supported) = ("fi", false);
    let advice = advisor.advise(&case.facts(), 3);
    assert_eq!(advice.routing.rule, "unsupported-language");
    assert_eq!(advice.cues[0].id, "language-unsure");
    case.signals.push(Signal::SafetyRisk);
    assert_eq!(advisor.advise(&case.facts(), 3).routing.rule, "safety");
}

#[test]
fn cues_meet_the_feeling_and_the_matter() {
    let advisor = advisor();
    let ids = |case: &Case| advisor.advise(&case.facts(), 3).cues.into_iter().map(|cue| cue.id).collect::<Vec<_>>();

    let danger = ids(&Case::new(Emotion::Sadness, Urgency::Critical).signal(Signal::SafetyRisk));
    assert_eq!(danger, ["safety-take-seriously", "safety-immediate-help", "safety-ask-plainly"]);

    assert_eq!(ids(&Case::new(Emotion::Neutral, Urgency::Normal))[0], "neutral-just-the-fix");

    let mut thanks = Case::new(Emotion::Gratitude, Urgency::High).signal(Signal::FinancialImpact);
    assert_eq!(ids(&thanks)[0], "money-name-it");
    thanks.signals.clear();
    assert_eq!(ids(&thanks)[0], "gratitude-with-a-problem");

    let mut fury = Case::new(Emotion::Anger, Urgency::Normal);
    fury.intensity = Intensity::Extreme;
    assert_eq!(ids(&fury), ["anger-strong-restate", "anger-why-it-happened", "anger-two-options"]);
    // Whoever was told sorry before is not told so again.
    let again = ids(&fury.signal(Signal::RepeatContact));
    assert!(
        again.contains(&"repeat-act-not-sorry".to_owned()) && !again.contains(&"anger-one-apology".to_owned()),
        "{again:?}"
    );
}

#[test]
fn the_fittest_cue_comes_first_and_stages_differ_before_they_repeat() {
    let advisor = advisor();
    let case =
        Case::new(Emotion::Frustration, Urgency::High).signal(Signal::FinancialImpact).signal(Signal::RepeatContact);
    let cues = advisor.advise(&case.facts(), 3).cues;
    assert_eq!(cues.iter().map(|cue| cue.stage).collect::<BTreeSet<_>>().len(), cues.len());
    let more = advisor.advise(&case.facts(), 6).cues;
    assert_eq!(more.len(), 6);
    assert_eq!(more[0], cues[0]);
}

#[test]
fn a_missing_attribute_makes_a_rule_not_match() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    let route = "{ queue: q, priority: low, first_response: 1h }";
    std::fs::write(
        &policy,
        format!(
            "version: '1'\ndefault: {{ reason: r, route: {route} }}\nrules:\n  \
             - {{ id: gold, when: attributes.tier == \"gold\", reason: r, route: {route} }}\n  \
             - {{ id: many, when: int(attributes.seats) > 5, reason: r, route: {route} }}\n"
        ),
    )
    .unwrap();
    let advisor = Advisor::load(Some(&policy), None).unwrap();
    let mut case = Case::new(Emotion::Neutral, Urgency::Low);
    let mut rule = |attributes: &[(&str, &str)]| {
        case.attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        advisor.advise(&case.facts(), 1).routing.rule
    };
    assert_eq!(rule(&[]), DEFAULT_RULE);
    assert_eq!(rule(&[("tier", "gold")]), "gold");
    assert_eq!(rule(&[("seats", "many")]), DEFAULT_RULE);
    assert_eq!(rule(&[("seats", "6")]), "many");
}

fn render(source: &str, attributes: &[(&str, &str)]) -> String {
    let known: BTreeMap<String, String> =
        ["name", "product", "order"].into_iter().map(|name| (name.to_owned(), "…".to_owned())).collect();
    let example = Example::parse(source, &known).unwrap_or_else(|faults| panic!("{source}: {faults:?}"));
    example.render(&attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

#[test]
fn optional_parts_come_and_go() {
    let line = "[{name}, ]the charge[ for {product}] is on [order {order}|your account].";
    assert_eq!(render(line, &[]), "The charge is on your account.");
    assert_eq!(render(line, &[("name", "bell"), ("order", "7")]), "bell, the charge is on order 7.");
    assert_eq!(render(line, &[("product", "Tea"), ("name", " \u{200B} ")]), "The charge for Tea is on your account.");
    assert_eq!(render("Hello[ {name} and {product}].", &[("name", "Ann")]), "Hello.");
    assert_eq!(render("Ça va[, {name}].", &[("name", "Zoë")]), "Ça va, Zoë.");
}

#[test]
fn values_are_plain_text_on_one_line() {
    assert_eq!(
        render("For[ {name}].", &[("name", "An\nn\u{202E}\u{2028}\t O'Neil {product} [x]")]),
        "For An n O'Neil {product} [x]."
    );
    assert_eq!(render("For[ {name}].", &[("name", "<b>&")]), "For <b>&.", "escaping is for the page that shows it");
    let long = render("For[ {name}].", &[("name", &"👩‍🔧".repeat(example::LONGEST_VALUE + 1))]);
    assert_eq!(long, format!("For {}….", "👩‍🔧".repeat(example::LONGEST_VALUE)));
}

#[test]
fn every_example_reads_well_with_and_without_values() {
    let advisor = advisor();
    let everything: BTreeMap<String, String> = [
        ("customer_name", "Ann Lee"),
        ("agent_name", "Sam"),
        ("product", "Tea Box"),
        ("order_id", "A-17"),
        ("case_id", "C-9"),
        ("amount", "£20"),
        ("wait_time", "2 hours"),
        ("update_time", "4 pm today"),
        ("deadline", "Friday"),
        ("specialist", "Kim"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for attributes in [&BTreeMap::new(), &everything] {
        for example in advisor.catalogue.examples(attributes) {
            let odd = ["  ", " ,", " .", ",.", "..", "[", "]", "{", "}", "|", " we ", "We ", " our "];
            assert!(odd.iter().all(|odd| !example.contains(odd)), "{example}");
            assert!(
                example.len() <= 300 && example.starts_with(|c: char| c.is_uppercase() || c.is_numeric()),
                "{example}"
            );
            assert!(example.ends_with(['.', '?']) || example.ends_with("Sam"), "{example}");
        }
    }
}
