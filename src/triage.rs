//! The spine: one ticket from arrival to answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::{JoinError, spawn_blocking},
    time::timeout_at,
};

use crate::{
    advice::{Advice, Advisor, Facts},
    assessment::{Assessment, Claim, Emotion, Evidence, Interpreter, Reading, Signal},
    cache::{Fingerprint, FingerprintKey, Flight, Flights, Level, Scope, ScoreCache, Scores},
    model::{
        Bundle, Scheduler, ScoreError, Selection, TextEncoder,
        scheduler::{Lane, Pending},
    },
    ticket::{
        Author, Ticket,
        clean::{Cleaned, SetAside, clean},
        language::{self, Language},
        sentences::sentences,
    },
};

/// At most so many of the customer's messages are read, the latest ones; older ones hardly weigh any more.
const MESSAGES_READ: usize = 6;

/// At most so many sentences of the latest message are looked at for evidence, the first ones.
const SENTENCES_READ: usize = 40;

/// Everything a ticket passes on its way. Built once, shared by all requests.
pub struct Triager {
    /// The loaded bundle.
    pub bundle: Bundle,
    /// What runs it, and why.
    pub selection: Selection,
    /// Its tokenizer.
    pub encoder: TextEncoder,
    /// The workers that run it.
    pub scheduler: Scheduler,
    /// Decides from its scores.
    pub interpreter: Interpreter,
    /// Scores of texts seen before.
    pub cache: Box<dyn ScoreCache>,
    /// Texts that are being computed.
    pub flights: Flights,
    /// The secret that fingerprints are made with.
    pub fingerprint_key: FingerprintKey,
    /// What fingerprints cover beside the text.
    pub scope: Scope,
    /// Routing policy and cue catalogue.
    pub advisor: Advisor,
}

/// How to answer.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Also find the sentences that speak for the answer.
    pub explain: bool,
    /// At most so many cues.
    pub max_cues: usize,
    /// Neither read nor write the cache.
    pub bypass_cache: bool,
    /// Whether someone waits for the answer.
    pub lane: Lane,
}

/// Everything that was found about one ticket.
pub struct Triage {
    /// How the customer feels and how soon someone must act.
    pub assessment: Assessment,
    /// The probabilities of the latest customer message, of labels that do not hold too.
    pub reading: Reading,
    /// Sentences that speak for it; empty unless asked for.
    pub evidence: Vec<Evidence>,
    /// The language of the latest customer message.
    pub language: Language,
    /// Into how many windows the latest customer message was cut.
    pub windows: u32,
    /// What was not scored: message index and stretch.
    pub set_aside: Vec<(usize, SetAside)>,
    /// Routing and cues.
    pub advice: Advice,
    /// Where the scores of the latest customer message came from.
    pub source: ScoreSource,
    /// Which of GoEmotions' 28 labels the latest customer message has, where the bundle has them.
    pub goemotions: Option<Vec<bool>>,
    /// Time spent.
    pub elapsed: Duration,
}

/// Where scores came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScoreSource {
    /// The model, for this request.
    Model,
    /// A level of the cache.
    Cache(Level),
    /// Another request with the same text at the same time.
    Shared,
    /// The model, since the request asked not to use the cache.
    Bypass,
}

/// Why a ticket could not be triaged. Holds no text of it.
#[derive(Debug, thiserror::Error)]
pub enum TriageError {
    /// The model could not score it.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// A step ended before its time: a defect.
    #[error("a step of the triage panicked")]
    Panicked(#[from] JoinError),
}

/// A customer message as the model reads it.
struct Text {
    message: usize,
    cleaned: Cleaned,
    /// The cleaned words, in the first of the texts after the ticket's subject.
    model_text: String,
}

impl Triager {
    /// Triages one ticket, giving up at `deadline`.
    ///
    /// # Errors
    /// When the model is at capacity, fails, stops or is too late. The cache and the advice never fail.
    pub async fn triage(
        self: &Arc<Self>,
        ticket: Arc<Ticket>,
        options: Options,
        deadline: Instant,
    ) -> Result<Triage, TriageError> {
        let began = Instant::now();
        let (texts, language) = {
            let ticket = ticket.clone();
            spawn_blocking(move || read(&ticket)).await?
        };
        let model_texts = texts.iter().map(|text| text.model_text.clone()).collect();
        let scored = self.score(model_texts, options, deadline).await?;
        let readings: Vec<Reading> = scored.iter().map(|(scores, _)| self.interpreter.read(&scores.logits)).collect();
        // `read` answers with one text at least, and each is scored.
        let (Some(latest), Some((scores, source)), Some(reading)) = (texts.last(), scored.last(), readings.last())
        else {
            return Err(ScoreError::Stopped.into());
        };

        let mut assessment = self.interpreter.assess(&readings);
        if !language.supported || latest.cleaned.text().is_empty() {
            assessment = assessment.doubted();
        }
        let evidence =
            if options.explain { self.evidence(latest, &assessment, options, deadline).await? } else { Vec::new() };
        let set_aside = texts.iter().flat_map(|text| {
            let stretches = text.cleaned.set_aside().iter();
            stretches.map(|stretch| (text.message, stretch.clone()))
        });
        Ok(Triage {
            advice: self.advise(&ticket, &assessment, language, options.max_cues),
            reading: reading.clone(),
            evidence,
            language,
            windows: scores.windows,
            set_aside: set_aside.collect(),
            source: *source,
            goemotions: self.interpreter.holds("goemotions", &scores.logits),
            assessment,
            elapsed: began.elapsed(),
        })
    }

    /// The scores of each text, from the cache where they are there. Of equal texts that are asked for at the same time,
    /// here or by other requests, one is computed.
    async fn score(
        self: &Arc<Self>,
        texts: Vec<String>,
        options: Options,
        deadline: Instant,
    ) -> Result<Vec<(Scores, ScoreSource)>, TriageError> {
        if options.bypass_cache {
            let scores = self.compute(texts, options.lane, deadline).await?;
            return Ok(scores.into_iter().map(|scores| (scores, ScoreSource::Bypass)).collect());
        }
        let fingerprints: Vec<Fingerprint> =
            texts.iter().map(|text| self.fingerprint_key.fingerprint(&self.scope, text)).collect();
        let mut found: Vec<Option<(Scores, ScoreSource)>> = vec![None; texts.len()];
        loop {
            let (mut leads, mut follows) = (Vec::new(), Vec::new());
            for index in (0..texts.len()).filter(|index| found[*index].is_none()) {
                match self.flights.join(fingerprints[index]) {
                    Flight::Lead(lead) => leads.push((index, lead)),
                    Flight::Follow(follow) => follows.push((index, follow)),
                }
            }
            if leads.is_empty() && follows.is_empty() {
                return Ok(found.into_iter().flatten().collect());
            }
            // Only after joining: what landed a moment ago is in the cache by now, and is not computed twice.
            let wanted: Vec<Fingerprint> = leads.iter().map(|(index, _)| fingerprints[*index]).collect();
            let mut missing = Vec::new();
            for ((index, lead), cached) in leads.into_iter().zip(self.cache.get(&wanted).await) {
                match cached {
                    Some((scores, level)) => {
                        lead.land(&scores);
                        found[index] = Some((scores, ScoreSource::Cache(level)));
                    }
                    None => missing.push((index, lead)),
                }
            }
            if !missing.is_empty() {
                let unread = missing.iter().map(|(index, _)| texts[*index].clone()).collect();
                let computed = self.compute(unread, options.lane, deadline).await?;
                let entries = missing.iter().map(|(index, _)| fingerprints[*index]).zip(computed.iter().cloned());
                self.cache.put(&entries.collect::<Vec<_>>()).await;
                for ((index, lead), scores) in missing.into_iter().zip(computed) {
                    lead.land(&scores);
                    found[index] = Some((scores, ScoreSource::Model));
                }
            }
            for (index, follow) in follows {
                let landed = timeout_at(deadline.into(), follow.landed()).await;
                let landed = landed.map_err(|_| ScoreError::DeadlineExceeded)?;
                // Whoever computed it may have had less time or have gone; then it is looked for again.
                found[index] = landed.map(|scores| (scores, ScoreSource::Shared));
            }
        }
    }

    /// Has the model read `texts`, in their order.
    async fn compute(
        self: &Arc<Self>,
        texts: Vec<String>,
        lane: Lane,
        deadline: Instant,
    ) -> Result<Vec<Scores>, TriageError> {
        let triager = self.clone();
        let pending = spawn_blocking(move || triager.submit(&texts, lane, deadline)).await??;
        let mut computed = Vec::with_capacity(pending.len());
        for windows in pending {
            computed.push(self.combined(windows, deadline).await?);
        }
        Ok(computed)
    }

    /// Queues all windows of all texts together; the answer holds one list of windows for each text.
    fn submit(&self, texts: &[String], lane: Lane, deadline: Instant) -> Result<Vec<Vec<Pending>>, ScoreError> {
        let windows: Vec<Vec<Vec<u32>>> = texts.iter().map(|text| self.encoder.windows(text)).collect();
        let counts: Vec<usize> = windows.iter().map(Vec::len).collect();
        let mut pending = self.scheduler.submit(windows.into_iter().flatten().collect(), lane, deadline)?.into_iter();
        Ok(counts.into_iter().map(|count| pending.by_ref().take(count).collect()).collect())
    }

    /// Awaits the windows of one text.
    async fn combined(&self, windows: Vec<Pending>, deadline: Instant) -> Result<Scores, ScoreError> {
        let mut rows = Vec::with_capacity(windows.len());
        for window in windows {
            let answer = timeout_at(deadline.into(), window).await.map_err(|_| ScoreError::DeadlineExceeded)?;
            rows.push(answer.map_err(|_| ScoreError::Stopped)??);
        }
        let windows = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        Ok(Scores { logits: self.interpreter.combine(&rows).into(), windows })
    }

    /// For each part of the assessment the sentence of the latest message that, by itself, speaks most for it.
    async fn evidence(
        self: &Arc<Self>,
        latest: &Text,
        assessment: &Assessment,
        options: Options,
        deadline: Instant,
    ) -> Result<Vec<Evidence>, TriageError> {
        let text = latest.cleaned.text();
        let mut ranges = sentences(text);
        ranges.truncate(SENTENCES_READ);
        let texts = ranges.iter().map(|range| text[range.clone()].to_owned()).collect();
        let scored = self.score(texts, options, deadline).await?;
        let readings: Vec<Reading> = scored.iter().map(|(scores, _)| self.interpreter.read(&scores.logits)).collect();
        let strongest = |claim: Claim| {
            let scores = readings.iter().map(|reading| reading.probability(claim));
            let (range, score) = ranges.iter().zip(scores).max_by(|left, right| left.1.total_cmp(&right.1))?;
            let range = latest.cleaned.source_range(range.clone());
            Some(Evidence { message: latest.message, range, supports: claim, score })
        };
        Ok(assessment.claims().filter_map(strongest).collect())
    }

    fn advise(&self, ticket: &Ticket, assessment: &Assessment, language: Language, max_cues: usize) -> Advice {
        let emotions: Vec<Emotion> = assessment.emotions.iter().map(|emotion| emotion.label).collect();
        let signals: Vec<Signal> = assessment.signals.iter().map(|signal| signal.label).collect();
        let facts = Facts {
            emotions: &emotions,
            primary: assessment.primary,
            intensity: assessment.intensity,
            urgency: assessment.urgency.label,
            signals: &signals,
            channel: ticket.channel,
            language: language.code,
            language_supported: language.supported,
            attributes: &ticket.attributes,
        };
        self.advisor.advise(&facts, max_cues)
    }
}

/// The customer's latest messages as the model reads them, oldest first, and the language of the last. Never empty: the
/// latest message stays even when nothing in it is the customer's own words.
fn read(ticket: &Ticket) -> (Vec<Text>, Language) {
    let by_customer = ticket.messages.iter().enumerate().filter(|(_, message)| message.author == Author::Customer);
    let mut texts: Vec<Text> = by_customer
        .map(|(message, content)| {
            let cleaned = clean(&content.text);
            Text { message, model_text: cleaned.text().to_owned(), cleaned }
        })
        .collect();
    let latest = texts.last().map(|text| text.message);
    texts.retain(|text| Some(text.message) == latest || !text.cleaned.text().is_empty());
    texts.drain(..texts.len().saturating_sub(MESSAGES_READ));
    let subject = clean(&ticket.subject);
    if let Some(first) = texts.first_mut().filter(|_| !subject.text().is_empty()) {
        first.model_text = format!("{}\n{}", subject.text(), first.model_text).trim_end().to_owned();
    }
    let latest = texts.last().map_or("", |text| text.cleaned.text());
    let language = language::detect(latest, ticket.locale.as_deref());
    (texts, language)
}
