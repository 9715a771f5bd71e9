//! A server under test: a process on a core of its own, watched through /proc, stopped when it is dropped.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::load::{Load, Outcome};

/// The core of the server under test, and that of the load generator.
pub(crate) const SERVER_CORE: &str = "0";
const CLIENT_CORE: &str = "1";

/// How long a server may take to come up; some peers compile and warm up.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) ready_after: Duration,
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

impl Server {
    /// Starts `command` on `core`, which is to listen on `port`; `ready` says when it can be used.
    pub(crate) fn start(mut command: Command, port: u16, ready: impl Fn(u16) -> bool) -> Result<Self, String> {
        let began = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("{:?}: {error}", command.get_program()))?;
        let mut server = Self { child, port, ready_after: Duration::ZERO };
        loop {
            if ready(port) {
                server.ready_after = began.elapsed();
                return Ok(server);
            }
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(format!("ended with {status} before it was ready"));
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("not ready after {} s", PATIENCE.as_secs()));
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// bedside itself, with `settings`.
    pub(crate) fn bedside(program: &Path, core: &str, settings: &[(&str, &str)]) -> Self {
        let (port, ops) = (free_port(), free_port());
        let mut command = pinned(core, program.to_str().unwrap());
        command.arg("serve").stderr(Stdio::null());
        command.env("BEDSIDE_SERVER__GRPC_ADDR", format!("127.0.0.1:{port}"));
        command.env("BEDSIDE_SERVER__HTTP_ADDR", "127.0.0.1:0");
        command.env("BEDSIDE_SERVER__OPS_ADDR", format!("127.0.0.1:{ops}"));
        for (setting, value) in settings {
            command.env(format!("BEDSIDE_{}", setting.to_uppercase().replace('.', "__")), value);
        }
        Self::start(command, port, |_| http_ok(ops, "/readyz")).unwrap_or_else(|error| panic!("bedside: {error}"))
    }

    /// Loads this server from the generator's core.
    pub(crate) fn load(&self, load: &Load, protocol: Option<&str>) -> Outcome {
        let output = self.loading(load, protocol).wait_with_output().unwrap();
        serde_json::from_slice(&output.stdout).expect("the load generator answers with an outcome")
    }

    /// Begins to load this server and goes on.
    pub(crate) fn loading(&self, load: &Load, protocol: Option<&str>) -> Child {
        let own = std::env::current_exe().unwrap();
        let mut command = pinned(CLIENT_CORE, own.to_str().unwrap());
        command.args(["load", "--port", &self.port.to_string(), "--seconds", &load.seconds.to_string()]);
        command.args(["--repeats", &load.repeats.to_string(), "--first", &load.first.to_string()]);
        command.args(["--concurrency", &load.concurrency.to_string()]);
        let optional = [
            ("--rate", load.rate.map(|rate| rate.to_string())),
            ("--batch", load.batch.map(|batch| batch.to_string())),
            ("--protocol", protocol.map(str::to_owned)),
        ];
        for (flag, value) in optional {
            command.args(value.iter().flat_map(|value| [flag, value.as_str()]));
        }
        command.stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Seconds of processor time so far, in user and system mode, its children's included.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        processes(self.child.id()).iter().map(|process| cpu_seconds(*process)).sum()
    }

    /// Resident memory in MiB, its children's included.
    pub(crate) fn resident_mib(&self) -> f64 {
        processes(self.child.id()).iter().map(|process| resident_mib(*process)).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for process in processes(self.child.id()).into_iter().rev() {
            let _ = Command::new("kill").args(["-TERM", &process.to_string()]).stderr(Stdio::null()).status();
        }
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && asked.elapsed() < Duration::from_secs(10) {
            sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that runs on one core.
pub(crate) fn pinned(core: &str, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core, program]);
    command
}

/// Whether a GET is answered with 200.
pub(crate) fn http_ok(port: u16, path: &str) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let asked = write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let mut start = [0; 12];
    asked.is_ok() && stream.read_exact(&mut start).is_ok() && start.ends_with(b" 200")
}

/// A process and all that it started.
fn processes(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(process) = found.get(next) {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let children: Vec<u32> = children
            .flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
            .collect();
        found.extend(children);
        next += 1;
    }
    found
}

fn cpu_seconds(process: u32) -> f64 {
    // Fields after the command's name, which may hold blanks: the 12th and 13th are ticks of 10 ms.
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn resident_mib(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
