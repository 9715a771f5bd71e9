//! What a ticket costs outside the model, step by step.
//!
//! `cargo bench --bench hot_path` prints times; `benches/instructions.py` counts the instructions of the functions in
//! [`step`], which do not depend on how busy the machine is.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::LazyLock};

use bedside::{
    advice::{Advisor, Facts},
    assessment::{Emotion, Intensity, Interpreter, Signal, Urgency},
    cache::{Fingerprint, FingerprintKey, Scope, ScoreCache, Scores, memory::MemoryCache, settings::MemorySettings},
    config::Settings,
    model::{Bundle, TextEncoder},
    server::{Deps, Listeners, proto::triage_service_client::TriageServiceClient, serve},
    startup,
    telemetry::Metrics,
};
use divan::Bencher;
use tokio::{net::TcpListener, runtime::Runtime};
use tonic::transport::{Channel, Endpoint};

const TICKET: &str = "Hi team, this is the third time this week that the export of our invoices stops at 80 percent. \
    Our accountant needs them by tomorrow noon and I have no other way to get them. I wrote to you on Monday and got an \
    automatic answer, nothing else. Please have somebody look at this today. Kind regards, Dana Whitfield";

const HTML: &str = "<html><body><div>Hello,<br><br>we were <b>charged twice</b> for order 55-1902 and nobody answers. \
    The money is missing from my account &amp; the rent is due.</div><p>Please refund it.</p><div>--<br>Jo Ashby<br>Ashby \
    &amp; Sons, 4 Mill Lane</div><blockquote>On Mon, 3 Nov 2025 at 10:12, Support wrote:<br>&gt; Dear customer, we have \
    received your request.</blockquote></body></html>";

static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| Bundle::open(Path::new("models/bedside-minilm")).unwrap());

/// One function a step, each with a symbol of its own in the program.
mod step {
    use bedside::{
        advice::{Advice, Advisor, Facts},
        assessment::{Assessment, Interpreter},
        cache::{FingerprintKey, Level, Scope, ScoreCache, Scores, memory::MemoryCache},
        model::TextEncoder,
        server::proto::{self, triage_service_client::TriageServiceClient},
        ticket::clean::{self, Cleaned},
    };
    use tokio::runtime::Runtime;
    use tonic::transport::Channel;

    #[inline(never)]
    pub fn clean(text: &str) -> Cleaned {
        clean::clean(text)
    }

    #[inline(never)]
    pub fn clean_html(text: &str) -> Cleaned {
        clean::clean(text)
    }

    #[inline(never)]
    pub fn tokenise(encoder: &TextEncoder, text: &str) -> Vec<Vec<u32>> {
        encoder.windows(text)
    }

    #[inline(never)]
    pub fn tokenise_long(encoder: &TextEncoder, text: &str) -> Vec<Vec<u32>> {
        encoder.windows(text)
    }

    #[inline(never)]
    pub fn cache_hit(
        runtime: &Runtime,
        cache: &MemoryCache,
        key: &FingerprintKey,
        scope: &Scope,
        text: &str,
    ) -> Vec<Option<(Scores, Level)>> {
        runtime.block_on(cache.get(&[key.fingerprint(scope, text)]))
    }

    #[inline(never)]
    pub fn interpret(interpreter: &Interpreter, logits: &[f32]) -> Assessment {
        interpreter.assess(&[interpreter.read(logits)])
    }

    #[inline(never)]
    pub fn advise(advisor: &Advisor, facts: &Facts<'_>) -> Advice {
        advisor.advise(facts, 3)
    }

    #[inline(never)]
    pub fn cached_call(runtime: &Runtime, client: &mut TriageServiceClient<Channel>, text: &str) -> proto::Triage {
        let message = proto::Message { author: proto::Author::Customer.into(), text: text.to_owned(), sent_at: None };
        let ticket = proto::Ticket { messages: vec![message], ..Default::default() };
        let request = proto::TriageTicketRequest { ticket: Some(ticket), options: None };
        let answer = runtime.block_on(client.triage_ticket(request)).unwrap();
        answer.into_inner().triage.unwrap()
    }
}

fn main() {
    divan::main();
}

#[divan::bench]
fn clean(bencher: Bencher) {
    bencher.bench(|| step::clean(divan::black_box(TICKET)));
}

#[divan::bench]
fn clean_html(bencher: Bencher) {
    bencher.bench(|| step::clean_html(divan::black_box(HTML)));
}

#[divan::bench]
fn tokenise(bencher: Bencher) {
    let encoder = TextEncoder::open(&BUNDLE).unwrap();
    bencher.bench(|| step::tokenise(&encoder, divan::black_box(TICKET)));
}

#[divan::bench]
fn tokenise_long(bencher: Bencher) {
    let (encoder, long) = (TextEncoder::open(&BUNDLE).unwrap(), TICKET.repeat(20));
    bencher.bench(|| step::tokenise_long(&encoder, divan::black_box(&long)));
}

#[divan::bench]
fn cache_hit(bencher: Bencher) {
    let scope = Scope::new("default", &BUNDLE.digest, "onnx", "int8");
    let key = FingerprintKey::from_hex(&"00".repeat(32)).unwrap();
    let cache = MemoryCache::new(&MemorySettings::default());
    let runtime = on_this_thread();
    let entry: (Fingerprint, Scores) =
        (key.fingerprint(&scope, TICKET), Scores { logits: logits().into(), windows: 1 });
    runtime.block_on(cache.put(&[entry]));
    bencher.bench_local(|| step::cache_hit(&runtime, &cache, &key, &scope, divan::black_box(TICKET)));
}

#[divan::bench]
fn interpret(bencher: Bencher) {
    let (interpreter, logits) = (Interpreter::new(&BUNDLE), logits());
    bencher.bench(|| step::interpret(&interpreter, divan::black_box(&logits)));
}

#[divan::bench]
fn advise(bencher: Bencher) {
    let (advisor, attributes) = (Advisor::load(None, None).unwrap(), BTreeMap::new());
    let facts = Facts {
        emotions: &[Emotion::Frustration, Emotion::Anxiety],
        primary: Emotion::Frustration,
        intensity: Intensity::Strong,
        urgency: Urgency::High,
        signals: &[Signal::Deadline, Signal::RepeatContact],
        channel: None,
        language: "en",
        language_supported: true,
        attributes: &attributes,
    };
    bencher.bench(|| step::advise(&advisor, divan::black_box(&facts)));
}

/// A whole call over loopback, client included, answered from the cache.
#[divan::bench]
fn cached_call(bencher: Bencher) {
    let runtime = on_this_thread();
    let mut client = TriageServiceClient::new(service(&runtime));
    step::cached_call(&runtime, &mut client, TICKET);
    bencher.bench_local(|| step::cached_call(&runtime, &mut client, TICKET));
}

fn on_this_thread() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Some labels hold, most do not.
fn logits() -> Vec<f32> {
    (0..BUNDLE.label_count()).map(|column| if column % 7 == 0 { 1.5 } else { -2.5 }).collect()
}

/// A channel to a service with the shipped bundle and the defaults.
fn service(runtime: &Runtime) -> Channel {
    // Under callgrind the first call takes many seconds.
    let deadline = ("server.max_deadline_ms", "600000".to_owned());
    let overrides = [("cache.key", "00".repeat(32)), ("model.workers", "1".to_owned()), deadline];
    let settings = Settings::load(&[], None, [], &overrides).unwrap();
    let _context = runtime.enter();
    let mut metrics = Metrics::new();
    let triager = startup::triager(&settings, startup::open(&settings).unwrap(), metrics.registry()).unwrap();
    let bind = || runtime.block_on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    let listeners = Listeners { grpc: bind(), http: bind(), ops: bind() };
    let address = listeners.grpc.local_addr().unwrap();
    runtime.spawn(serve(listeners, Deps::new(&settings, triager, metrics), std::future::pending()));
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}
