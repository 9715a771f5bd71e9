//! A ticket goes in, an answer comes out: what the answer promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod service;

use bedside::server::proto::{
    Author, BatchTriageTicketsRequest, CacheLevel, Confidence, Emotion, SetAsideReason, Signal, TriageOptions,
    TriageTicketRequest, Urgency, batch_triage_tickets_result::Outcome, evidence::Supports,
};
use service::{Service, explained, message, request, ticket};

const FURIOUS: &str = "This is the third time I write and you people still have not fixed it. Absolutely unacceptable. \
    I have been charged twice and my rent bounced because of you. If it is not refunded by Friday I am cancelling.";
const GAS: &str =
    "Hello, there is a strong smell of gas in our kitchen since your engineer left and my daughter feels dizzy.";
const PRAISE: &str =
    "Just wanted to say thank you so much, Maria on your team was wonderful and everything works perfectly!";

#[tokio::test(flavor = "multi_thread")]
async fn answers_emotion_urgency_signals_routing_and_cues() {
    let service = Service::start(&[]).await;
    let mut client = service.triage();
    let triage = client.triage_ticket(request(ticket(FURIOUS))).await.unwrap().into_inner().triage.unwrap();
    let assessment = triage.assessment.clone().unwrap();
    assert_eq!(triage.ticket_id, "t-1");
    let negative = [Emotion::Anger, Emotion::Frustration];
    assert!(negative.contains(&assessment.primary()), "{:?}", assessment.primary());
    assert!(assessment.intensity >= 2);
    assert!(assessment.urgency.as_ref().unwrap().level() >= Urgency::High);
    let sum: f32 = assessment.urgency.as_ref().unwrap().probabilities.iter().map(|level| level.probability).sum();
    assert!((sum - 1.0).abs() < 1e-3);
    let signals: Vec<Signal> = assessment.signals.iter().map(|found| found.signal()).collect();
    assert!(signals.contains(&Signal::RepeatContact) && signals.contains(&Signal::FinancialImpact), "{signals:?}");
    let routing = triage.routing.unwrap();
    assert!(!routing.queue.is_empty() && !routing.rule.is_empty() && !routing.reason.is_empty());
    assert!((1..=3).contains(&triage.cues.len()));
    for cue in &triage.cues {
        assert!(!cue.r#do.is_empty() && !cue.avoid.is_empty() && !cue.example.is_empty() && !cue.source.is_empty());
    }
    let meta = triage.meta.unwrap();
    assert!(meta.bundle_version.starts_with("bedside-minilm@"));
    assert!(!meta.policy_version.is_empty() && !meta.catalogue_version.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn calm_words_about_danger_are_critical_and_thanks_are_not() {
    let service = Service::start(&[]).await;
    let mut client = service.triage();
    let danger = client.triage_ticket(request(ticket(GAS))).await.unwrap().into_inner().triage.unwrap();
    let assessment = danger.assessment.unwrap();
    assert_eq!(assessment.urgency.unwrap().level(), Urgency::Critical);
    assert!(assessment.signals.iter().any(|found| found.signal() == Signal::SafetyRisk));
    assert!(danger.routing.unwrap().escalate);

    let praise = client.triage_ticket(request(ticket(PRAISE))).await.unwrap().into_inner().triage.unwrap();
    let assessment = praise.assessment.unwrap();
    assert_eq!(assessment.urgency.unwrap().level(), Urgency::Low);
    let emotions: Vec<Emotion> = assessment.emotions.iter().map(|found| found.emotion()).collect();
    assert!(emotions.contains(&Emotion::Gratitude), "{emotions:?}");
    assert!(assessment.signals.iter().any(|found| found.signal() == Signal::Praise));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_keeps_order_and_one_bad_item_spoils_no_other() {
    let service = Service::start(&[]).await;
    let texts = [GAS, " ", PRAISE];
    let requests = texts.iter().enumerate().map(|(index, text)| {
        let mut ticket = ticket(text);
        ticket.id = index.to_string();
        request(ticket)
    });
    let batch = BatchTriageTicketsRequest { requests: requests.collect() };
    let results = service.triage().batch_triage_tickets(batch).await.unwrap().into_inner().results;
    assert_eq!(results.len(), 3);
    let ids = results.iter().map(|result| match result.outcome.as_ref().unwrap() {
        Outcome::Triage(triage) => triage.ticket_id.clone(),
        Outcome::Error(error) => format!("error {}", error.code),
    });
    assert_eq!(ids.collect::<Vec<_>>(), ["0", "error 3", "2"]);
    let Some(Outcome::Error(error)) = &results[1].outcome else { panic!("the blank one is at fault") };
    assert_eq!(error.details[0].type_url, "type.googleapis.com/google.rpc.BadRequest");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_time_comes_from_memory_with_the_same_answer() {
    let service = Service::start(&[]).await;
    let mut client = service.triage();
    let mut levels = Vec::new();
    let mut assessments = Vec::new();
    let bypass = TriageOptions { bypass_cache: true, ..Default::default() };
    for options in [Some(bypass), None, None] {
        let request = TriageTicketRequest { ticket: Some(ticket(FURIOUS)), options };
        let triage = client.triage_ticket(request).await.unwrap().into_inner().triage.unwrap();
        levels.push(triage.meta.unwrap().cache());
        assessments.push(triage.assessment.unwrap());
    }
    assert_eq!(levels, [CacheLevel::Bypassed, CacheLevel::Miss, CacheLevel::Memory]);
    assert_eq!(assessments[1], assessments[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_points_into_the_text_as_sent() {
    let service = Service::start(&[]).await;
    let sent = "<p>Hi —&nbsp;quick one.</p><p>My card was charged <b>twice</b> for order 1182 &amp; nobody answers.</p>\
        <p>I'm really fed up with this.</p>";
    let triage = service.triage().triage_ticket(explained(ticket(sent))).await.unwrap().into_inner().triage.unwrap();
    let assessment = triage.assessment.unwrap();
    assert!(!assessment.evidence.is_empty());
    for evidence in &assessment.evidence {
        assert_eq!(evidence.message_index, 0);
        let range = evidence.start_byte as usize..evidence.end_byte as usize;
        assert!(sent.get(range.clone()).is_some_and(|sentence| !sentence.trim().is_empty()), "{range:?}");
        assert!((0.0..=1.0).contains(&evidence.score));
    }
    let money = assessment
        .evidence
        .iter()
        .find(|found| found.supports == Some(Supports::Signal(Signal::FinancialImpact.into())));
    if let Some(money) = money {
        assert!(sent[money.start_byte as usize..money.end_byte as usize].contains("charged"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quotes_signature_and_footer_are_set_aside() {
    let service = Service::start(&[]).await;
    let own = "Thank you so much, that solved it!";
    let sent = format!(
        "{own}\n\n-- \nAnn Miller\nAcme Ltd\n\nOn Tue, 3 Nov 2026 at 10:12, Support <help@example.com> wrote:\n\
         > We are sorry that your account was hacked and all your money was stolen.\n> Please call us immediately.\n"
    );
    let triage = service.triage().triage_ticket(request(ticket(&sent))).await.unwrap().into_inner().triage.unwrap();
    let alone = service.triage().triage_ticket(request(ticket(own))).await.unwrap().into_inner().triage.unwrap();
    let (quoted, alone) = (triage.assessment.unwrap(), alone.assessment.unwrap());
    assert_eq!(quoted.emotions, alone.emotions);
    assert_eq!(quoted.urgency, alone.urgency);
    let reasons: Vec<_> = quoted.set_aside.iter().map(|stretch| stretch.reason()).collect();
    assert!(reasons.contains(&SetAsideReason::QuotedReply), "{reasons:?}");
    for stretch in &quoted.set_aside {
        assert!(sent.get(stretch.start_byte as usize..stretch.end_byte as usize).is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_text_is_read_to_its_end() {
    let service = Service::start(&[]).await;
    let filler = "The parcel was booked on Monday and the label was printed in the office. ".repeat(60);
    let sent = format!("{filler}{GAS}");
    let triage = service.triage().triage_ticket(request(ticket(&sent))).await.unwrap().into_inner().triage.unwrap();
    let assessment = triage.assessment.unwrap();
    assert!(assessment.windows > 1, "{}", assessment.windows);
    assert!(assessment.urgency.unwrap().level() >= Urgency::High);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_language_is_answered_and_doubted() {
    let service = Service::start(&[]).await;
    let german = "Guten Tag, ich habe gestern meine Rechnung bezahlt, aber das Konto ist immer noch gesperrt. Bitte helfen Sie mir.";
    let triage = service.triage().triage_ticket(request(ticket(german))).await.unwrap().into_inner().triage.unwrap();
    let assessment = triage.assessment.unwrap();
    let language = assessment.language.unwrap();
    assert_eq!((language.code.as_str(), language.supported), ("deu", false));
    assert_eq!(assessment.urgency.unwrap().confidence(), Confidence::Low);
    assert!(assessment.emotions.iter().all(|found| found.confidence() == Confidence::Low));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_customer_is_read_and_the_latest_message_leads() {
    let service = Service::start(&[]).await;
    let mut client = service.triage();
    let mut thread = ticket(FURIOUS);
    thread.messages.push(message(Author::Agent, "I am so angry about this bug, it is a disaster, call the police!"));
    thread.messages.push(message(Author::Customer, PRAISE));
    let triage = client.triage_ticket(request(thread)).await.unwrap().into_inner().triage.unwrap();
    let assessment = triage.assessment.unwrap();
    assert!([Emotion::Gratitude, Emotion::Satisfaction].contains(&assessment.primary()), "{:?}", assessment.primary());
}

#[tokio::test(flavor = "multi_thread")]
async fn max_cues_is_respected() {
    let service = Service::start(&[]).await;
    let options = TriageOptions { max_cues: Some(1), ..Default::default() };
    let request = TriageTicketRequest { ticket: Some(ticket(FURIOUS)), options: Some(options) };
    let triage = service.triage().triage_ticket(request).await.unwrap().into_inner().triage.unwrap();
    assert_eq!(triage.cues.len(), 1);
}
