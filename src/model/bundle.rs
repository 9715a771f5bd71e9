//! A model bundle: a folder with weights, tokenizer and labels, and `bundle.toml`, which says how to decide from the
//! scores and holds the checksum of every file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, File},
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use strum::VariantArray;

use crate::assessment::{Emotion, Intensity, Signal, Urgency};

const MANIFEST: &str = "bundle.toml";
const SCHEMA: u32 = 1;
/// Files that every bundle holds; `bundle.toml` may list more.
const REQUIRED_FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// Expected cost of each urgency decision: `costs[truth][decision]`, levels from low to critical, 0 on the diagonal.
pub type UrgencyCosts = [[f32; 4]; 4];

/// A bundle whose files are all there, unchanged and consistent with each other and with the taxonomy.
#[derive(Debug, Clone)]
pub struct Bundle {
    folder: PathBuf,
    files: BTreeSet<String>,
    /// Its name, such as `bedside-minilm`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 over `bundle.toml`, which holds the checksums of all other files; hexadecimal.
    pub digest: String,
    /// SPDX expression of the weights' licence.
    pub license: String,
    /// Languages it was trained for, ISO 639-3.
    pub languages: Vec<String>,
    /// Tokens that fit one window, the two that mark its ends included.
    pub window_tokens: usize,
    /// Whether its decisions were measured to hold in bf16.
    pub bf16: bool,
    /// Label groups in the order of the output.
    pub groups: Vec<Group>,
    /// What each wrong urgency costs.
    pub urgency_costs: UrgencyCosts,
}

/// Labels that belong together, and how to decide among them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The group's name, the prefix of its labels in the checkpoint.
    pub name: String,
    /// The labels in the order of the output.
    pub labels: Vec<String>,
    /// The logits are divided by it before they become probabilities; above 0.
    pub temperature: f32,
    /// True when exactly one label holds (softmax), false when each holds or not by itself (sigmoid).
    pub exclusive: bool,
    /// For each label the probability from which on it holds; absent in exclusive groups.
    #[serde(default)]
    pub thresholds: Vec<f32>,
}

/// Why a bundle was refused.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file is missing or cannot be read.
    #[error("{}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file's content is not what `bundle.toml` promises.
    #[error("{}: SHA-256 is {found}, bundle.toml says {expected}", file.display())]
    Checksum {
        /// The file.
        file: PathBuf,
        /// The checksum in `bundle.toml`.
        expected: String,
        /// The checksum of what is there.
        found: String,
    },
    /// A file does not say what it must.
    #[error("{}: {reason}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    schema: u32,
    name: String,
    version: String,
    license: String,
    languages: Vec<String>,
    window_tokens: usize,
    bf16: bool,
    groups: Vec<Group>,
    urgency: UrgencyDecision,
    files: BTreeMap<String, String>,
    /// Measured scores, for readers.
    #[serde(rename = "scores")]
    _scores: toml::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UrgencyDecision {
    costs: UrgencyCosts,
}

/// The part of a checkpoint's `config.json` that must fit the manifest.
#[derive(Deserialize)]
struct CheckpointConfig {
    id2label: BTreeMap<usize, String>,
    max_position_embeddings: usize,
}

impl Bundle {
    /// Opens the bundle in `folder` and verifies it whole.
    ///
    /// # Errors
    /// The first file at fault and what is wrong with it.
    pub fn open(folder: &Path) -> Result<Self, BundleError> {
        let path = folder.join(MANIFEST);
        let text =
            fs::read_to_string(&path).map_err(|source| BundleError::Unreadable { file: path.clone(), source })?;
        let malformed = |reason: String| BundleError::Malformed { file: path.clone(), reason };
        let manifest: Manifest = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if manifest.schema != SCHEMA {
            let found = manifest.schema;
            return Err(malformed(format!("schema is {found}, this service reads {SCHEMA}")));
        }
        verify_files(folder, &manifest.files, malformed)?;
        verify_groups(&manifest.groups).map_err(malformed)?;
        verify_costs(&manifest.urgency.costs).map_err(malformed)?;
        verify_checkpoint(folder, &manifest)?;
        Ok(Self {
            folder: folder.to_owned(),
            files: manifest.files.into_keys().collect(),
            digest: hex::encode(Sha256::digest(text.as_bytes())),
            name: manifest.name,
            version: manifest.version,
            license: manifest.license,
            languages: manifest.languages,
            window_tokens: manifest.window_tokens,
            bf16: manifest.bf16,
            groups: manifest.groups,
            urgency_costs: manifest.urgency.costs,
        })
    }

    /// Whether the manifest vouches for the file `name`.
    pub fn lists(&self, name: &str) -> bool {
        self.files.contains(name)
    }

    /// The path of one of the bundle's files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// How many labels, and so logits, there are.
    pub fn label_count(&self) -> usize {
        self.groups.iter().map(|group| group.labels.len()).sum()
    }

    /// The group called `name` and its columns in the output.
    pub fn group(&self, name: &str) -> Option<(&Group, Range<usize>)> {
        let mut start = 0;
        for group in &self.groups {
            let end = start + group.labels.len();
            if group.name == name {
                return Some((group, start..end));
            }
            start = end;
        }
        None
    }
}

fn verify_files(
    folder: &Path,
    files: &BTreeMap<String, String>,
    malformed: impl Fn(String) -> BundleError,
) -> Result<(), BundleError> {
    for required in REQUIRED_FILES {
        if !files.contains_key(required) {
            return Err(malformed(format!("[files] does not list {required}")));
        }
    }
    for (name, expected) in files {
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(malformed(format!("[files] names {name:?}, which is not a plain file name")));
        }
        let file = folder.join(name);
        let found = match checksum(&file) {
            Ok(found) => found,
            Err(source) => return Err(BundleError::Unreadable { file, source }),
        };
        if found != *expected {
            return Err(BundleError::Checksum { file, expected: expected.clone(), found });
        }
    }
    Ok(())
}

fn checksum(file: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(file)?, &mut HashWriter(&mut hasher))?;
    Ok(hex::encode(hasher.finalize()))
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn verify_groups(groups: &[Group]) -> Result<(), String> {
    let emotions = Emotion::VARIANTS.iter().map(ToString::to_string).collect();
    let intensities = Intensity::VARIANTS.iter().map(|level| level.level().to_string()).collect();
    let urgencies = Urgency::VARIANTS.iter().map(ToString::to_string).collect();
    let signals = Signal::VARIANTS.iter().map(ToString::to_string).collect();
    let required: [(&str, bool, Vec<String>); 4] = [
        ("emotion", false, emotions),
        ("intensity", true, intensities),
        ("urgency", true, urgencies),
        ("signal", false, signals),
    ];
    for (name, exclusive, labels) in required {
        let group =
            groups.iter().find(|group| group.name == name).ok_or_else(|| format!("label group {name:?} is missing"))?;
        if let Some(missing) = labels.iter().find(|label| !group.labels.contains(label)) {
            return Err(format!("label {name}/{missing} is missing"));
        }
        if group.labels != labels {
            return Err(format!("labels of group {name:?} must be exactly {labels:?}, in this order"));
        }
        if group.exclusive != exclusive {
            return Err(format!("group {name:?} must have exclusive = {exclusive}"));
        }
    }
    for group in groups {
        let mut fault = String::new();
        if !(group.temperature.is_finite() && group.temperature > 0.0) {
            let _ = write!(fault, "temperature {} is not above 0", group.temperature);
        }
        let wanted = if group.exclusive { 0 } else { group.labels.len() };
        if group.thresholds.len() != wanted {
            let _ = write!(fault, "{} thresholds, {wanted} expected", group.thresholds.len());
        }
        if !group.thresholds.iter().all(|value| (0.0..=1.0).contains(value)) {
            fault.push_str("a threshold is not between 0 and 1");
        }
        if !fault.is_empty() {
            return Err(format!("group {:?}: {fault}", group.name));
        }
    }
    Ok(())
}

fn verify_costs(costs: &UrgencyCosts) -> Result<(), String> {
    for (truth, row) in costs.iter().enumerate() {
        for (decision, cost) in row.iter().enumerate() {
            if !cost.is_finite() || *cost < 0.0 || (truth == decision) != (*cost == 0.0) {
                return Err(format!(
                    "urgency.costs[{truth}][{decision}] is {cost}: costs are 0 on the diagonal and above 0 elsewhere"
                ));
            }
        }
    }
    Ok(())
}

fn verify_checkpoint(folder: &Path, manifest: &Manifest) -> Result<(), BundleError> {
    let file = folder.join("config.json");
    let malformed = |reason: String| BundleError::Malformed { file: file.clone(), reason };
    let text = fs::read_to_string(&file).map_err(|source| BundleError::Unreadable { file: file.clone(), source })?;
    let config: CheckpointConfig = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    let promised = manifest.groups.iter().flat_map(|group| {
        let name = &group.name;
        group.labels.iter().map(move |label| format!("{name}/{label}"))
    });
    let promised: BTreeMap<usize, String> = promised.enumerate().collect();
    if let Some((index, label)) = promised.iter().find(|(index, label)| config.id2label.get(index) != Some(label)) {
        let found = config.id2label.get(index);
        return Err(malformed(format!("id2label[{index}] is {found:?}, bundle.toml says {label:?}")));
    }
    if config.id2label.len() != promised.len() {
        return Err(malformed(format!(
            "id2label has {} labels, bundle.toml has {}",
            config.id2label.len(),
            promised.len()
        )));
    }
    if !(16..=config.max_position_embeddings).contains(&manifest.window_tokens) {
        return Err(malformed(format!(
            "window_tokens is {}, the encoder reads 16 to {}",
            manifest.window_tokens, config.max_position_embeddings
        )));
    }
    Ok(())
}
