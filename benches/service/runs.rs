//! The measurements, part by part.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use bedside::server::proto::{self, triage_service_client::TriageServiceClient};
use serde::Serialize;
use tonic::transport::Endpoint;

use crate::{
    Part,
    engines::{Engines, median},
    load::{Load, Outcome},
    peers::{self, Protocol},
    report,
    server::{SERVER_CORE, Server, free_port, pinned},
};

/// Rounds of what is compared in turns.
const ROUNDS: usize = 3;

/// Everything that was measured.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) engines: Option<Engines>,
    pub(crate) load: Vec<Loaded>,
    pub(crate) cache: Option<Cached>,
    pub(crate) bulk: Option<Bulk>,
    pub(crate) linear: Option<f64>,
    pub(crate) peers: Vec<PeerResult>,
    pub(crate) footprint: Vec<Footprint>,
}

/// One engine behind the service at several loads.
#[derive(Serialize)]
pub(crate) struct Loaded {
    pub(crate) engine: String,
    /// Closed loop, 16 callers: tickets a second.
    pub(crate) saturation: f64,
    pub(crate) cpu_seconds_per_ticket: f64,
    /// The same with this share of tickets sent before.
    pub(crate) repeats: Vec<(f64, f64)>,
    pub(crate) points: Vec<Point>,
    /// Resident MiB before and after the overload.
    pub(crate) resident_mib: (f64, f64),
}

/// Open loop at a share of saturation.
#[derive(Serialize)]
pub(crate) struct Point {
    pub(crate) share: f64,
    pub(crate) outcome: Outcome,
}

#[derive(Serialize)]
pub(crate) struct Cached {
    pub(crate) cached: f64,
    pub(crate) echo: f64,
}

#[derive(Serialize)]
pub(crate) struct Bulk {
    pub(crate) alone: Outcome,
    pub(crate) beside_bulk: Outcome,
    pub(crate) bulk: f64,
}

#[derive(Serialize)]
pub(crate) struct PeerResult {
    /// Its folder below `benches/peers`.
    pub(crate) name: String,
    pub(crate) title: String,
    /// Why there are no figures.
    pub(crate) problem: Option<String>,
    pub(crate) at: Vec<PeerAt>,
}

/// Tickets a second at one concurrency: the peer's, and ours with either engine, in turns.
#[derive(Serialize)]
pub(crate) struct PeerAt {
    pub(crate) concurrency: usize,
    pub(crate) peer: f64,
    pub(crate) onnx: f64,
    pub(crate) rust_bert: f64,
    pub(crate) failed: u64,
}

#[derive(Serialize)]
pub(crate) struct Footprint {
    pub(crate) build: String,
    pub(crate) start_ms: f64,
    pub(crate) resident_mib: f64,
    pub(crate) binary_mib: f64,
}

/// Hands out numbers of tickets that no run has sent yet.
struct Numbers(usize);

impl Numbers {
    fn next(&mut self) -> usize {
        self.0 += 1_000_000;
        self.0
    }
}

pub(crate) fn all(only: &[Part], seconds: f64, out: &Path) {
    let wanted = |part| only.is_empty() || only.contains(&part);
    fs::create_dir_all(out).unwrap();
    // Peers work in folders of their own below it.
    let out = &out.canonicalize().unwrap();
    let mut numbers = Numbers(0);
    let mut report = Report { machine: machine(), ..Default::default() };
    // Written after every part, so that what was measured outlives a part that fails.
    if wanted(Part::Engines) || wanted(Part::Load) {
        step("engines alone");
        report.engines = Some(engines());
        report::write(&report, out);
    }
    if wanted(Part::Load) {
        report.load = ["onnx", "rust-bert"].map(|engine| loaded(engine, seconds, &mut numbers)).into();
        report.linear = Some(linear());
        report::write(&report, out);
    }
    if wanted(Part::Cache) {
        report.cache = Some(cached(seconds, &mut numbers));
        report::write(&report, out);
    }
    if wanted(Part::Bulk) {
        report.bulk = Some(bulk(seconds, &mut numbers));
        report::write(&report, out);
    }
    if wanted(Part::Footprint) {
        report.footprint = footprint(&mut numbers);
        report::write(&report, out);
    }
    if wanted(Part::Peers) {
        peers(seconds, &mut numbers, &out.join("peers"), |peer| {
            report.peers.push(peer);
            report::write(&report, out);
        });
    }
    println!("{}", out.join("report.md").display());
}

fn step(what: &str) {
    eprintln!("== {what}");
}

fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("").trim_matches([' ', '\t', ':']);
    format!("{model}, {} cores", info.matches("processor\t").count())
}

/// The build without libtorch where `ONNX_BINARY` names it.
fn binary(engine: &str) -> PathBuf {
    let own = PathBuf::from(env!("CARGO_BIN_EXE_bedside"));
    if engine == "onnx" { std::env::var_os("ONNX_BINARY").map_or(own, PathBuf::from) } else { own }
}

fn bedside(engine: &str, more: &[(&str, &str)]) -> Server {
    let precision = if engine == "onnx" { "auto" } else { "f32" };
    let key = "00".repeat(32);
    let mut settings =
        vec![("model.engine", engine), ("model.precision", precision), ("cache.key", &key), ("log.format", "json")];
    settings.extend(more);
    Server::bedside(&binary(engine), SERVER_CORE, &settings)
}

/// In a process of its own, so that it has its core and its libraries for itself.
fn engines() -> Engines {
    let own = std::env::current_exe().unwrap();
    let output = Command::new(own).arg("engines").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn base(seconds: f64, numbers: &mut Numbers) -> Load {
    Load {
        port: 0,
        protocol: None,
        rate: None,
        concurrency: 16,
        seconds,
        repeats: 0.0,
        first: numbers.next(),
        batch: None,
    }
}

fn warm_up(server: &Server, protocol: Option<&str>, numbers: &mut Numbers) {
    server.load(&Load { concurrency: 4, ..base(2.0, numbers) }, protocol);
}

fn loaded(engine: &str, seconds: f64, numbers: &mut Numbers) -> Loaded {
    step(&format!("{engine} under load"));
    let server = bedside(engine, &[]);
    warm_up(&server, None, numbers);
    let mut saturations = Vec::new();
    let (began, mut answered) = (server.cpu_seconds(), 0);
    for _ in 0..ROUNDS {
        let outcome = server.load(&base(seconds, numbers), None);
        saturations.push(outcome.goodput());
        answered += outcome.answered;
    }
    let cpu_seconds_per_ticket = (server.cpu_seconds() - began) / answered as f64;
    let saturation = median(&mut saturations);
    let repeats =
        [0.3, 0.9].map(|repeats| (repeats, server.load(&Load { repeats, ..base(seconds, numbers) }, None).goodput()));
    let before = server.resident_mib();
    let points = [0.5, 0.7, 0.9, 1.5].map(|share| {
        let load = Load { rate: Some(share * saturation), ..base(2.0 * seconds, numbers) };
        Point { share, outcome: server.load(&load, None) }
    });
    Loaded {
        engine: engine.to_owned(),
        saturation,
        cpu_seconds_per_ticket,
        repeats: repeats.into(),
        points: points.into(),
        resident_mib: (before, server.resident_mib()),
    }
}

/// The time for a text of about 2,048 tokens over that for one of 512.
fn linear() -> f64 {
    step("long texts");
    let server = bedside("onnx", &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", server.port)).unwrap();
        let mut client = TriageServiceClient::new(endpoint.connect_lazy());
        let sentence = "The parcel has still not come and nobody answers me. "; // 11 tokens
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..20 {
            for (times, sentences) in times.iter_mut().zip([46, 186]) {
                let text = format!("{round} {}", sentence.repeat(sentences));
                let message = proto::Message { author: proto::Author::Customer.into(), text, sent_at: None };
                let ticket = proto::Ticket { messages: vec![message], ..Default::default() };
                let began = Instant::now();
                client.triage_ticket(proto::TriageTicketRequest { ticket: Some(ticket), options: None }).await.unwrap();
                times.push(began.elapsed().as_secs_f64());
            }
        }
        let [mut short, mut long] = times;
        median(&mut long) / median(&mut short)
    })
}

fn cached(seconds: f64, numbers: &mut Numbers) -> Cached {
    step("cached tickets");
    let ours = bedside("onnx", &[]);
    let port = free_port();
    let mut echo = pinned(SERVER_CORE, std::env::current_exe().unwrap().to_str().unwrap());
    echo.args(["echo", &port.to_string()]);
    let ready = |port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    let echo = Server::start(echo, port, ready).unwrap();
    let (mut cached, mut echoed) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let load = Load { repeats: 1.0, ..base(seconds / 2.0, numbers) };
        cached.push(ours.load(&load, None).goodput());
        echoed.push(echo.load(&load, None).goodput());
    }
    Cached { cached: median(&mut cached), echo: median(&mut echoed) }
}

fn bulk(seconds: f64, numbers: &mut Numbers) -> Bulk {
    step("single tickets beside a bulk job");
    let server = bedside("onnx", &[("server.max_deadline_ms", "60000")]);
    warm_up(&server, None, numbers);
    let saturation = server.load(&base(seconds, numbers), None).goodput();
    let single = |numbers: &mut Numbers| Load { rate: Some(0.3 * saturation), ..base(3.0 * seconds, numbers) };
    let alone = server.load(&single(numbers), None);
    let job = Load { concurrency: 2, batch: Some(100), ..base(3.0 * seconds + 2.0, numbers) };
    let job = server.loading(&job, None);
    std::thread::sleep(Duration::from_secs(1));
    let beside_bulk = server.load(&single(numbers), None);
    let job: Outcome = serde_json::from_slice(&job.wait_with_output().unwrap().stdout).unwrap();
    Bulk { alone, beside_bulk, bulk: job.goodput() }
}

fn peers(seconds: f64, numbers: &mut Numbers, work: &Path, done: impl FnMut(PeerResult)) {
    let onnx = bedside("onnx", &[]);
    let rust_bert = bedside("rust-bert", &[]);
    for server in [&onnx, &rust_bert] {
        warm_up(server, None, numbers);
    }
    let compared = |peer: peers::Peer| {
        step(&peer.title);
        let (name, title) = (peer.name.clone(), peer.title.clone());
        let server = match peer.start(work) {
            Ok(server) => server,
            Err(problem) => return PeerResult { name, title, problem: Some(problem), at: Vec::new() },
        };
        let protocol =
            (!matches!(peer.protocol, Protocol::Bedside)).then(|| serde_json::to_string(&peer.protocol).unwrap());
        warm_up(&server, protocol.as_deref(), numbers);
        let at = [1, 16].map(|concurrency| {
            let (mut rates, mut failed) = ([Vec::new(), Vec::new(), Vec::new()], 0);
            for _ in 0..ROUNDS {
                let sides = [(&server, protocol.as_deref()), (&onnx, None), (&rust_bert, None)];
                for (rates, (server, protocol)) in rates.iter_mut().zip(sides) {
                    let outcome = server.load(&Load { concurrency, ..base(seconds / 2.0, numbers) }, protocol);
                    failed += outcome.failed;
                    rates.push(outcome.goodput());
                }
            }
            let [mut peer, mut onnx, mut rust_bert] = rates;
            let (peer, onnx, rust_bert) = (median(&mut peer), median(&mut onnx), median(&mut rust_bert));
            PeerAt { concurrency, peer, onnx, rust_bert, failed }
        });
        let nothing = at.iter().all(|at| at.peer == 0.0).then(|| "answered no ticket".to_owned());
        PeerResult { name, title, problem: nothing, at: at.into() }
    };
    peers::all().into_iter().map(compared).for_each(done);
}

fn footprint(numbers: &mut Numbers) -> Vec<Footprint> {
    ["onnx", "rust-bert"]
        .map(|engine| {
            step(&format!("start and memory of {engine}"));
            bedside(engine, &[]); // warms the page cache
            let mut starts: Vec<f64> = (0..10).map(|_| bedside(engine, &[]).ready_after.as_secs_f64() * 1e3).collect();
            let server = bedside(engine, &[]);
            warm_up(&server, None, numbers);
            let binary = binary(engine);
            Footprint {
                build: if engine == "onnx" && std::env::var_os("ONNX_BINARY").is_some() {
                    "onnx, without libtorch".to_owned()
                } else {
                    format!("both engines, running {engine}")
                },
                start_ms: median(&mut starts),
                resident_mib: server.resident_mib(),
                binary_mib: fs::metadata(binary).unwrap().len() as f64 / f64::from(1 << 20),
            }
        })
        .into()
}
