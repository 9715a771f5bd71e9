//! The name a text goes by in the cache: a keyed hash, so that who can read Redis cannot test guesses about a ticket.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The secret that fingerprints depend on. Replicas share scores only while they share it; a new key means an empty
/// cache and nothing worse, so it can be rotated at any time.
#[derive(Clone)]
pub struct FingerprintKey([u8; 32]);

/// Why there is no fingerprint key. No message holds any part of a key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The key is something else than 64 hexadecimal digits.
    #[error("a fingerprint key is 64 hexadecimal digits")]
    Malformed,
    /// The file was read, but it holds something else than 64 hexadecimal digits.
    #[error("{} does not hold 64 hexadecimal digits", .0.display())]
    MalformedFile(PathBuf),
    /// The file is there but cannot be read.
    #[error("cannot read the fingerprint key in {}: {source}", path.display())]
    Read {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such file yet and it cannot be created.
    #[error("cannot create the fingerprint key {}: {source}", path.display())]
    Create {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no randomness to make a key of.
    #[error("cannot make a random fingerprint key: {0}")]
    NoRandomness(getrandom::Error),
}

impl FingerprintKey {
    /// Reads a key from 64 hexadecimal digits; white space around them is ignored.
    pub fn from_hex(digits: &str) -> Result<Self, KeyError> {
        let mut key = [0; 32];
        hex::decode_to_slice(digits.trim(), &mut key).map_err(|_| KeyError::Malformed)?;
        Ok(Self(key))
    }

    /// Makes a key that lives as long as this process.
    pub fn random() -> Result<Self, KeyError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(KeyError::NoRandomness)?;
        Ok(Self(key))
    }

    /// Reads the key file, or creates it with a random key that only its owner can read (mode 0600). Of several
    /// processes that start at once, one creates the file and all use its key. The folder must exist.
    ///
    /// A file that others can read is used, with a warning: volumes often allow no stricter mode.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let key = Self::random()?;
                match key.create(path) {
                    Ok(()) => Ok(key),
                    // Another process was faster; its key is the one that counts.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
                    Err(source) => Err(KeyError::Create { path: path.to_owned(), source }),
                }
            }
            other => other,
        }
    }

    /// The name of a text within a scope. The text is the cleaned one, exactly as the model reads it.
    pub fn fingerprint(&self, scope: &Scope, text: &str) -> Fingerprint {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&scope.0);
        hasher.update(&length(text));
        hasher.update(text.as_bytes());
        Fingerprint(hasher.finalize().into())
    }

    /// A key for another purpose, which tells nothing about this one.
    pub(super) fn derive(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(purpose, &self.0)
    }

    fn load(path: &Path) -> Result<Self, KeyError> {
        let digits = fs::read_to_string(path).map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData => KeyError::MalformedFile(path.to_owned()),
            _ => KeyError::Read { path: path.to_owned(), source },
        })?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let others = fs::metadata(path).map(|file| file.permissions().mode() & 0o077);
            if others.is_ok_and(|bits| bits != 0) {
                let path = path.display().to_string();
                tracing::warn!(path, "others can read the fingerprint key; mode 0600 keeps it secret");
            }
        }
        Self::from_hex(&digits).map_err(|_| KeyError::MalformedFile(path.to_owned()))
    }

    fn create(&self, path: &Path) -> io::Result<()> {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        // Written in full under another name first, so that nobody ever reads half a key.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        writeln!(file, "{}", hex::encode(self.0))?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        Ok(())
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(..)")
    }
}

/// Whose scores, and from what: texts of different scopes never share a fingerprint. Built once for each tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(Vec<u8>);

impl Scope {
    /// All that scores depend on besides the text: who asks, the digest of the model bundle, and the engine and the
    /// precision it runs with.
    pub fn new(tenant: &str, bundle_digest: &str, engine: &str, precision: &str) -> Self {
        let mut parts = Vec::new();
        // Each part follows its length, so that no two scopes run together into the same bytes.
        for part in [tenant, bundle_digest, engine, precision] {
            parts.extend_from_slice(&length(part));
            parts.extend_from_slice(part.as_bytes());
        }
        Self(parts)
    }
}

fn length(part: &str) -> [u8; 8] {
    (part.len() as u64).to_le_bytes()
}

/// The name of a text in the cache. Shows as 64 hexadecimal digits, which tell nothing about the text without the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn every_part_counts_and_keeps_its_place() {
        let key = FingerprintKey::from_hex(DIGITS).unwrap();
        let other = FingerprintKey::random().unwrap();
        let scope = Scope::new("acme", "b1", "rust-bert", "f32");
        let all = [
            key.fingerprint(&scope, "text"),
            key.fingerprint(&scope, "texts"),
            other.fingerprint(&scope, "text"),
            key.fingerprint(&Scope::new("acm", "eb1", "rust-bert", "f32"), "text"),
            key.fingerprint(&Scope::new("acme", "b2", "rust-bert", "f32"), "text"),
            key.fingerprint(&Scope::new("acme", "b1", "onnx", "f32"), "text"),
            key.fingerprint(&Scope::new("acme", "b1", "rust-bert", "bf16"), "text"),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
        assert_eq!(all[0], key.clone().fingerprint(&scope, "text"));
    }

    /// Computed by another implementation of BLAKE3; a change here empties every cache.
    #[test]
    fn a_text_has_the_same_name_in_every_release() {
        let key = FingerprintKey::from_hex(DIGITS).unwrap();
        let name = key.fingerprint(&Scope::new("acme", "b1", "rust-bert", "f32"), "text");
        let expected = "922681ec91f084def920dfe813fef93591564c3952ea60e5fad967b3821fc001";
        assert_eq!(name.to_string(), expected);
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        let key = FingerprintKey::from_hex(DIGITS).unwrap();
        assert_eq!(format!("{key:?}"), "FingerprintKey(..)");
        let error = FingerprintKey::from_hex("c0ffee").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("c0ffee"));
    }

    #[test]
    fn the_key_file_is_created_once_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(|| FingerprintKey::load_or_create(&path).unwrap())).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| key.0 == keys[0].0));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_key_file_is_an_error_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for content in [&b"c0ffee"[..], b"", b"\xff\xfe"] {
            fs::write(&path, content).unwrap();
            let error = FingerprintKey::load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyError::MalformedFile(_)), "{error:?}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        let nowhere = folder.path().join("missing").join("key");
        let error = FingerprintKey::load_or_create(&nowhere).unwrap_err();
        assert!(matches!(error, KeyError::Create { .. }), "{error:?}");
    }
}
