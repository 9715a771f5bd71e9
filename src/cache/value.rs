//! How scores look in Redis: bytes that are believed only when this service wrote them under that very key.
//!
//! ```text
//! schema (1 byte) │ windows (u32) │ logits (f32 each) │ tag (32 bytes)      all little-endian
//! ```

use super::{Fingerprint, FingerprintKey, Scores};

/// The layout of a value. It is part of the Redis key too, so releases with different layouts do not meet.
pub(super) const SCHEMA: u8 = 1;

const HEAD: usize = 1 + size_of::<u32>();
const TAG: usize = blake3::OUT_LEN;

/// Writes and reads values.
pub(super) struct ValueCodec {
    tag_key: [u8; 32],
    labels: usize,
}

impl ValueCodec {
    /// A codec for scores of that many labels. The tags depend on the key, so whoever can write to Redis but lacks the
    /// key can take scores away but not put wrong ones there.
    pub(super) fn new(key: &FingerprintKey, labels: usize) -> Self {
        Self { tag_key: key.derive("bedside: tag of cached scores"), labels }
    }

    /// The value of scores under a fingerprint.
    pub(super) fn encode(&self, fingerprint: &Fingerprint, scores: &Scores) -> Vec<u8> {
        let mut value = Vec::with_capacity(HEAD + size_of_val(&*scores.logits) + TAG);
        value.push(SCHEMA);
        value.extend_from_slice(&scores.windows.to_le_bytes());
        for logit in scores.logits.iter() {
            value.extend_from_slice(&logit.to_le_bytes());
        }
        let tag = self.tag(fingerprint, &value);
        value.extend_from_slice(tag.as_bytes());
        value
    }

    /// The scores in a value, or `None` when this service did not write it under this fingerprint, with this key and
    /// for this number of labels.
    pub(super) fn decode(&self, fingerprint: &Fingerprint, value: &[u8]) -> Option<Scores> {
        let (body, tag) = value.split_last_chunk::<TAG>()?;
        if self.tag(fingerprint, body) != *tag {
            return None;
        }
        let (&schema, rest) = body.split_first()?;
        let (windows, logits) = rest.split_first_chunk()?;
        let (logits, odd) = logits.as_chunks();
        if schema != SCHEMA || logits.len() != self.labels || !odd.is_empty() {
            return None;
        }
        Some(Scores {
            logits: logits.iter().copied().map(f32::from_le_bytes).collect(),
            windows: u32::from_le_bytes(*windows),
        })
    }

    /// Covers the fingerprint as well, so that a value copied under another key is refused.
    fn tag(&self, fingerprint: &Fingerprint, body: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.tag_key);
        hasher.update(fingerprint.as_bytes());
        hasher.update(body);
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Scope;

    fn scores(labels: usize) -> Scores {
        Scores { logits: (0..labels).map(|i| i as f32 - 1.5).collect(), windows: 3 }
    }

    #[test]
    fn only_the_whole_value_under_its_own_name_is_believed() {
        let key = FingerprintKey::random().unwrap();
        let scope = Scope::new("acme", "b1", "rust-bert", "f32");
        let (mine, other) = (key.fingerprint(&scope, "a"), key.fingerprint(&scope, "b"));
        let codec = ValueCodec::new(&key, 4);
        let value = codec.encode(&mine, &scores(4));
        assert_eq!(value.len(), 1 + 4 + 4 * 4 + 32);
        assert_eq!(codec.decode(&mine, &value), Some(scores(4)));

        assert_eq!(codec.decode(&other, &value), None);
        for end in 0..value.len() {
            assert_eq!(codec.decode(&mine, &value[..end]), None, "cut at {end}");
        }
        for bit in 0..value.len() * 8 {
            let mut damaged = value.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(codec.decode(&mine, &damaged), None, "bit {bit}");
        }
        let longer = [&value[..], &[0]].concat();
        assert_eq!(codec.decode(&mine, &longer), None);
        let forger = ValueCodec::new(&FingerprintKey::random().unwrap(), 4);
        assert_eq!(codec.decode(&mine, &forger.encode(&mine, &scores(4))), None);
    }

    #[test]
    fn a_sealed_value_of_another_shape_is_refused() {
        let key = FingerprintKey::random().unwrap();
        let name = key.fingerprint(&Scope::new("acme", "b1", "rust-bert", "f32"), "a");
        let codec = ValueCodec::new(&key, 4);
        for labels in [0, 3, 5] {
            assert_eq!(codec.decode(&name, &codec.encode(&name, &scores(labels))), None);
        }
        for body in [&[][..], &[SCHEMA], &[SCHEMA + 1; 21], &[SCHEMA; 20], &[SCHEMA; 22]] {
            let sealed = [body, codec.tag(&name, body).as_bytes()].concat();
            assert_eq!(codec.decode(&name, &sealed), None, "{body:?}");
        }
    }
}
