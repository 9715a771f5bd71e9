//! What the README shows works as it stands there: the commands, the clients, the answer, the settings, the links.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../examples/triage.rs"]
#[allow(dead_code)]
mod example;

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, LazyLock, Mutex,
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

use bedside::{
    config::Settings,
    server::proto::{
        self, BatchTriageTicketsRequest, BatchTriageTicketsResponse, CueStage, Emotion, TriageTicketRequest,
        TriageTicketResponse, Urgency,
        triage_service_server::{TriageService, TriageServiceServer},
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, transport::Server};
use tonic_types::{ErrorDetails, StatusExt};

const README: &str = include_str!("../README.md");

/// Far beyond what the slowest step here needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A fenced block of the README.
struct Block {
    /// What `<!-- test: NAME -->` on the line before the fence calls it.
    name: Option<&'static str>,
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut previous = "";
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let name = previous.strip_prefix("<!-- test: ").and_then(|rest| rest.strip_suffix(" -->"));
            let text = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            blocks.push(Block { name, text });
        }
        previous = line;
    }
    blocks
}

fn block(name: &str) -> String {
    let found = blocks().into_iter().find(|block| block.name == Some(name));
    found.unwrap_or_else(|| panic!("the README has no block called {name}")).text
}

/// The packages that the Python and Node clients need: where `make test` has put them, else installed for this test.
/// (The variable is not called BEDSIDE_..., which the service would take for a setting.)
static CLIENTS: LazyLock<PathBuf> = LazyLock::new(|| match env::var_os("README_CLIENTS") {
    Some(folder) => folder.into(),
    None => {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
        let installed = Command::new("bash").arg("tests/readme/install.sh").arg(&folder).status().unwrap();
        assert!(installed.success(), "what the clients need cannot be installed");
        folder
    }
});

/// A folder in which the README's commands run and leave what they write: it sees the project, but is not the project.
struct Workshop(TempDir);

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["models", "proto"] {
            symlink(project.join(name), folder.path().join(name)).unwrap();
        }
        // Some of the tickets say as much about a command as all.
        let tickets = fs::read_to_string(project.join("tests/data/tickets.jsonl")).unwrap();
        let some: String = tickets.split_inclusive('\n').take(5).collect();
        fs::create_dir_all(folder.path().join("tests/data")).unwrap();
        fs::write(folder.path().join("tests/data/tickets.jsonl"), some).unwrap();
        symlink(CLIENTS.join("node_modules"), folder.path().join("node_modules")).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    /// What a command line prints that must succeed.
    fn run(&self, command: &str) -> String {
        let done = self.attempt(command);
        let (stdout, stderr) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{command}\nends with {}\n{stdout}\n{stderr}", done.status);
        stdout
    }

    /// Runs a command line with the built `bedside`, the clients' Python and the stand-in for grpcurl in reach.
    fn attempt(&self, command: &str) -> Output {
        let bin = Path::new(env!("CARGO_BIN_EXE_bedside")).parent().unwrap();
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readme");
        let inherited = env::var_os("PATH").unwrap_or_default();
        let folders = [bin.to_owned(), CLIENTS.join("python/bin"), stand_in];
        let path = env::join_paths(folders.into_iter().chain(env::split_paths(&inherited))).unwrap();
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", command])
            .current_dir(&self.0)
            .env("PATH", path)
            .env("XDG_STATE_HOME", self.0.path())
            .output()
            .unwrap()
    }

    /// Gets the Python and the Node client ready to ask the service at `grpc`; the answer is how to run them.
    fn clients(&self, grpc: &str) -> [&'static str; 2] {
        self.run(&block("python stubs"));
        for file in ["triage.py", "triage.mjs"] {
            self.write(file, &at(&block(file), grpc));
        }
        ["python3 triage.py", "node triage.mjs"]
    }
}

/// The text with the address of a service in the place of the default one.
fn at(text: &str, grpc: &str) -> String {
    assert!(text.contains("127.0.0.1:50051"), "there is no address in\n{text}");
    text.replace("127.0.0.1:50051", grpc)
}

/// The service as a process of its own.
struct Running {
    child: Child,
    grpc: String,
    log: Receiver<String>,
    _state: TempDir,
}

impl Running {
    fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_bedside"))
            .args(["serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0"])
            .env("XDG_STATE_HOME", state.path())
            .env("BEDSIDE_LOG__FORMAT", "json")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, log) = mpsc::channel();
        // Whole from here on, so that the process ends with the test however that ends.
        let mut service = Self { child, grpc: String::new(), log, _state: state };
        let stderr = BufReader::new(service.child.stderr.take().unwrap());
        thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(lines.send(line))));
        loop {
            let line = service.log.recv_timeout(PATIENCE).expect("the service says that it serves");
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            if line["message"] == "serving" {
                service.grpc = line["grpc"].as_str().unwrap().to_owned();
                return service;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The line that the Rust client prints; `None` when it fails.
async fn run_example(grpc: &str) -> Option<String> {
    let answer = example::ask(&format!("http://{grpc}")).await.ok()?;
    Some(format!("{answer}\n"))
}

/// A service that refuses the first two calls, in both ways that may pass, before it answers.
#[derive(Clone)]
struct Busy {
    /// When it asks its callers to come back.
    later: Duration,
    /// Whether each call so far had a deadline.
    deadlines: Arc<Mutex<Vec<bool>>>,
}

impl Busy {
    async fn start(later: Duration) -> (Self, String) {
        let busy = Self { later, deadlines: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = listener.local_addr().unwrap().to_string();
        let server = Server::builder().add_service(TriageServiceServer::new(busy.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (busy, grpc)
    }

    /// What it answers in the end, as the clients show it.
    const ANSWER: &str = "EMOTION_ANXIETY URGENCY_HIGH -> payments: Say when.\n";
}

#[tonic::async_trait]
impl TriageService for Busy {
    async fn triage_ticket(
        &self,
        request: Request<TriageTicketRequest>,
    ) -> Result<Response<TriageTicketResponse>, Status> {
        let mut deadlines = self.deadlines.lock().unwrap();
        deadlines.push(request.metadata().contains_key("grpc-timeout"));
        let refusal = |code| {
            let details = ErrorDetails::with_retry_info(Some(self.later));
            Err(Status::with_error_details(code, "later", details))
        };
        match deadlines.len() {
            1 => return refusal(Code::ResourceExhausted),
            2 => return refusal(Code::Unavailable),
            _ => {}
        }
        let urgency = proto::UrgencyAssessment { level: Urgency::High.into(), ..Default::default() };
        let assessment =
            proto::Assessment { primary: Emotion::Anxiety.into(), urgency: Some(urgency), ..Default::default() };
        let routing = proto::Routing { queue: "payments".to_owned(), ..Default::default() };
        let cue = proto::Cue { stage: CueStage::Open.into(), r#do: "Say when.".to_owned(), ..Default::default() };
        let triage = proto::Triage {
            assessment: Some(assessment),
            routing: Some(routing),
            cues: vec![cue],
            ..Default::default()
        };
        Ok(Response::new(TriageTicketResponse { triage: Some(triage) }))
    }

    async fn batch_triage_tickets(
        &self,
        _: Request<BatchTriageTicketsRequest>,
    ) -> Result<Response<BatchTriageTicketsResponse>, Status> {
        Err(Status::unimplemented("no client of the README sends a batch"))
    }
}

/// Off the runtime's threads, which have a service to run meanwhile.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[test]
fn the_rust_client_is_the_example() {
    assert_eq!(block("examples/triage.rs"), include_str!("../examples/triage.rs"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_gets_the_same_answer() {
    let service = blocking(Running::start).await;
    let expected = run_example(&service.grpc).await.unwrap();
    let grpc = service.grpc.clone();
    let answers = blocking(move || {
        let workshop = Workshop::new();
        workshop.clients(&grpc).map(|client| workshop.run(client))
    });
    assert_eq!(answers.await, [expected.clone(), expected]);
}

/// What each client prints when it meets a busy service, `None` when it fails, and whether its calls had a deadline.
async fn meet_busy(later: Duration) -> [(Option<String>, Vec<bool>); 3] {
    let (busy, grpc) = Busy::start(later).await;
    let rust = run_example(&grpc).await;
    let rust = (rust, busy.deadlines.lock().unwrap().clone());
    let other = async |index: usize| {
        let (busy, grpc) = Busy::start(later).await;
        let output = blocking(move || {
            let workshop = Workshop::new();
            let client = workshop.clients(&grpc)[index];
            workshop.attempt(client)
        })
        .await;
        let printed = output.status.success().then(|| String::from_utf8(output.stdout).unwrap());
        (printed, busy.deadlines.lock().unwrap().clone())
    };
    [rust, other(0).await, other(1).await]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_has_a_deadline_and_tries_again_when_told_to() {
    for (printed, deadlines) in meet_busy(Duration::from_millis(50)).await {
        assert_eq!(printed.as_deref(), Some(Busy::ANSWER));
        assert_eq!(deadlines, [true; 3]);
    }
}

/// That each asks only once shows that it heeds what it was told.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_told_to_wait_for_too_long_gives_up() {
    for (printed, deadlines) in meet_busy(Duration::from_secs(3600)).await {
        assert_eq!(printed, None);
        assert_eq!(deadlines, [true]);
    }
}

#[test]
fn the_commands_work() {
    let service = Running::start();
    let workshop = Workshop::new();
    workshop.write("bedside.toml", &block("bedside.toml"));
    let commands = block("commands");
    let shown = workshop.run(&at(&commands, &service.grpc).replace(
        "bedside demo",
        "BEDSIDE_SERVER__GRPC_ADDR=127.0.0.1:0 BEDSIDE_SERVER__HTTP_ADDR=127.0.0.1:0 \
         BEDSIDE_SERVER__OPS_ADDR=127.0.0.1:0 bedside demo",
    ));
    for part in ["the configuration is valid", r#""primary_emotion":"#, "s-005", "urgency: rows should have been"] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }

    let answer = workshop.run(&at(&block("grpcurl"), &service.grpc));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert!(answer["triage"]["assessment"]["primary"].is_string(), "{answer:#}");
}

/// A value without its figures and words: names and kinds alone, and of a list only what its items have in common.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(items) => Value::Array(items.iter().take(1).map(shape).collect()),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!(0),
        Value::Bool(_) | Value::Null => json!(false),
    }
}

/// What to do when the answer has changed.
const ANEW: &str = "tests/readme/answer.py writes the README's answer anew";

#[test]
fn the_answer_is_that_of_the_model() {
    // f32, since bf16 differs a little and not every machine has it.
    let quoted = README.lines().find_map(|line| line.strip_prefix("> ")).unwrap();
    let workshop = Workshop::new();
    workshop.write("ticket.txt", quoted);
    let answer: Value = serde_json::from_str(&workshop.run("bedside classify ticket.txt --precision f32")).unwrap();
    let shown: Value = serde_json::from_str(&block("answer")).unwrap();
    // Figures may differ from one processor to the next.
    assert_eq!(shape(&shown), shape(&answer), "{ANEW}");
    for label in ["primary_emotion", "intensity", "language", "routing"] {
        assert_eq!(shown[label], answer[label], "{ANEW}");
    }
    assert_eq!(shown["urgency"]["level"], answer["urgency"]["level"], "{ANEW}");
    assert_eq!(shown["cues"][0], answer["cues"][0], "{ANEW}");
}

/// Every setting that can be set, and its default as the README writes it.
fn leaves(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            leaves(&path, value, found);
        }),
        Value::Null => drop(found.insert(path.to_owned(), "unset".to_owned())),
        Value::String(text) => drop(found.insert(path.to_owned(), text.clone())),
        other => drop(found.insert(path.to_owned(), other.to_string())),
    }
}

/// The cells of a row of a table, without the marks for code.
fn cells(row: &str) -> Vec<String> {
    row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
}

#[test]
fn the_settings_are_those_of_the_code() {
    let mut expected = BTreeMap::new();
    leaves("", &serde_json::to_value(Settings::default()).unwrap(), &mut expected);
    let (_, section) = README.split_once("\n## Settings\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut documented = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")).map(cells) {
        let [setting, default, variable, meaning] = row.as_slice() else { panic!("{row:?}") };
        assert_eq!(*variable, format!("BEDSIDE_{}", setting.to_uppercase().replace('.', "__")));
        assert!(!meaning.is_empty(), "{setting}");
        assert!(documented.insert(setting.clone(), default.clone()).is_none(), "{setting} is there twice");
    }
    assert_eq!(documented, expected);
}

#[test]
fn every_make_target_exists() {
    let makefile = fs::read_to_string("Makefile").unwrap();
    // In running text code is marked; in a block of commands it starts the line.
    let named = README.split("`make ").skip(1).chain(README.lines().filter_map(|line| line.strip_prefix("make ")));
    let after = |c: char| !c.is_ascii_lowercase();
    let targets: Vec<&str> = named.map(|rest| rest.split(after).next().unwrap()).collect();
    assert!(targets.contains(&"run") && targets.contains(&"test"), "{targets:?}");
    for target in targets {
        assert!(makefile.lines().any(|line| line.starts_with(&format!("{target}: "))), "make {target}");
    }
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    let targets = README.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let references =
        README.lines().filter(|line| line.starts_with('[')).filter_map(|line| Some(line.split_once("]: ")?.1));
    for target in targets.chain(references).filter(|target| !target.contains("://")) {
        assert!(Path::new(target).exists(), "{target}");
    }
}
