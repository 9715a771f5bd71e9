//! Other servers of the same model, as `benches/peers/*/peer.toml` describes them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use crate::server::{SERVER_CORE, Server, free_port, http_ok, pinned};

/// What a server speaks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Protocol {
    /// bedside's own contract.
    Bedside,
    /// JSON over HTTP; `{text}` in the body stands for the text as a JSON string.
    Http {
        /// The path that is posted to.
        path: String,
        /// The body.
        body: String,
    },
}

#[derive(Deserialize)]
struct Description {
    title: String,
    protocol: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    ready: String,
    #[serde(default)]
    prepare: Vec<String>,
    command: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) protocol: Protocol,
    description: Description,
    here: PathBuf,
}

/// All that are described, by name.
pub(crate) fn all() -> Vec<Peer> {
    let mut folders: Vec<_> = fs::read_dir("benches/peers").unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.into_iter().filter(|folder| folder.join("peer.toml").is_file()).map(|folder| Peer::read(&folder)).collect()
}

impl Peer {
    fn read(folder: &Path) -> Self {
        let description = fs::read_to_string(folder.join("peer.toml")).unwrap();
        let description: Description =
            toml::from_str(&description).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let protocol = match description.protocol.as_str() {
            "bedside" => Protocol::Bedside,
            _ => Protocol::Http { path: description.path.clone(), body: description.body.clone() },
        };
        Self {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            title: description.title.clone(),
            protocol,
            description,
            here: folder.canonicalize().unwrap(),
        }
    }

    /// Installs what it needs, unless that was done before, and starts it on the server's core.
    pub(crate) fn start(&self, work: &Path) -> Result<Server, String> {
        let venv = self.installed()?;
        let port = free_port();
        let work = work.join(&self.name);
        // What an earlier run left there is not to be mixed with this one.
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work).map_err(|error| error.to_string())?;
        let filled = |text: &String| {
            let bin = venv.join("bin");
            let places = [
                ("{python}", bin.join("python").display().to_string()),
                ("{bin}", bin.display().to_string()),
                ("{here}", self.here.display().to_string()),
                ("{bundle}", fs::canonicalize("models/bedside-minilm").unwrap().display().to_string()),
                ("{work}", work.display().to_string()),
                ("{port}", port.to_string()),
                ("{threads}", "1".to_owned()),
                ("{tei_bin}", std::env::var("TEI_BIN").unwrap_or_default()),
            ];
            places.iter().fold(text.clone(), |text, (name, value)| text.replace(name, value))
        };
        let command = |argv: &[String]| {
            let argv: Vec<String> = argv.iter().map(filled).collect();
            let mut command = pinned(SERVER_CORE, argv.first().map_or("", String::as_str));
            command.args(&argv[1..]).envs(self.description.env.iter().map(|(name, value)| (name, filled(value))));
            command.stderr(fs::File::create(work.join("stderr.txt")).map_or_else(|_| Stdio::null(), Stdio::from));
            command
        };
        if !self.description.prepare.is_empty() {
            let prepared = command(&self.description.prepare).stdout(Stdio::null()).status();
            if !prepared.as_ref().is_ok_and(std::process::ExitStatus::success) {
                return Err(format!("cannot be prepared: {prepared:?}"));
            }
        }
        let mut command = command(&self.description.command);
        command.current_dir(&work);
        let ready = &self.description.ready;
        Server::start(command, port, |port| match self.protocol {
            Protocol::Bedside => std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(),
            Protocol::Http { .. } => http_ok(port, ready),
        })
    }

    /// The virtual environment with what `requirements.txt` pins, made by `install.py` unless it is there; none is needed
    /// where there is no such file.
    fn installed(&self) -> Result<PathBuf, String> {
        if self.name == "tei" && std::env::var_os("TEI_BIN").is_none() {
            return Err("not run: TEI_BIN does not name its program".to_owned());
        }
        if !self.here.join("requirements.txt").is_file() {
            return Ok(PathBuf::new());
        }
        let installed = Command::new("python3").args(["benches/peers/install.py", &self.name]).output();
        match installed {
            Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().into()),
            _ => Err("cannot be installed".to_owned()),
        }
    }
}
