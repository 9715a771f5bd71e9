//! Real `redis-server` processes, found in `PATH`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use rustix::process::{Pid, Signal, kill_process};

/// A Redis of this test's own, killed when dropped.
pub(crate) struct Server {
    process: Child,
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
    password: Option<&'static str>,
}

impl Server {
    /// On a free port, without a password.
    pub(crate) async fn start() -> Self {
        Self::start_on(free_port(), None, &[]).await
    }

    /// On a port that is free, with more options; returns once it answers.
    pub(crate) async fn start_on(port: u16, password: Option<&'static str>, options: &[&str]) -> Self {
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .args(["--requirepass", password.unwrap_or_default()])
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server has to be installed");
        let mut server = Self { process, port, password };
        eventually("redis-server answers", async || {
            let ended = server.process.try_wait().unwrap();
            assert!(ended.is_none(), "redis-server ended: {ended:?}");
            server.connect().await.is_ok()
        })
        .await;
        server
    }

    /// What a client connects to.
    pub(crate) fn url(&self) -> String {
        match self.password {
            Some(password) => format!("redis://:{password}@127.0.0.1:{}", self.port),
            None => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    /// A connection past the cache.
    pub(crate) async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        // Patient, so that a busy machine does not fail a test.
        let patience = Some(Duration::from_secs(30));
        let config =
            redis::AsyncConnectionConfig::new().set_connection_timeout(patience).set_response_timeout(patience);
        redis::Client::open(self.url())?.get_multiplexed_async_connection_with_config(&config).await
    }

    /// All keys it holds.
    pub(crate) async fn keys(&self) -> Vec<String> {
        self.connect().await.unwrap().keys("*").await.unwrap()
    }

    /// Runs one command.
    pub(crate) async fn command(&self, words: &[&str]) {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let mut connection = self.connect().await.unwrap();
        command.exec_async(&mut connection).await.unwrap();
    }

    /// Stops or continues it.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A port below those the system gives to outgoing connections, so that it is still free when a server comes back.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() as u16;
    loop {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let port = 20_000 + offset;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Asks until the answer is yes.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A way to a port that is longer than the direct one, and on which connections can fall silent.
pub(crate) struct Way {
    /// Where it begins, on 127.0.0.1.
    pub(crate) port: u16,
    silenced: Arc<AtomicUsize>,
}

impl Way {
    /// A way to `port` on which each connection waits that long before its first byte arrives.
    pub(crate) fn to(port: u16, delay: Duration) -> Self {
        let begin = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self { port: begin.local_addr().unwrap().port(), silenced: Arc::default() };
        let silenced = way.silenced.clone();
        thread::spawn(move || {
            for client in begin.incoming() {
                let (silenced, born) = (silenced.clone(), silenced.load(Ordering::SeqCst));
                thread::spawn(move || -> io::Result<()> {
                    let mut client = client?;
                    thread::sleep(delay);
                    let mut redis = TcpStream::connect(("127.0.0.1", port))?;
                    let (mut answers, mut back) = (redis.try_clone()?, client.try_clone()?);
                    thread::spawn(move || io::copy(&mut answers, &mut back));
                    let mut buffer = [0; 4096];
                    loop {
                        let length = client.read(&mut buffer)?;
                        if silenced.load(Ordering::SeqCst) == born {
                            redis.write_all(&buffer[..length])?;
                        }
                        if length == 0 {
                            return redis.shutdown(Shutdown::Both);
                        }
                    }
                });
            }
        });
        way
    }

    /// Loses whatever is sent from now on over connections that exist now; new ones work.
    pub(crate) fn silence(&self) {
        self.silenced.fetch_add(1, Ordering::SeqCst);
    }
}
