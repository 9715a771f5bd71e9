//! What an engine is: something that turns tokens into logits. A new engine is one file beside [`super::rust_bert`] and
//! one arm in [`EngineKind`].

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

use super::Bundle;

/// Runs one bundle. Belongs to one thread and is used by it alone.
pub trait Engine {
    /// Scores rows of token ids, each complete with its marks at start and end; the answer holds one row of logits for
    /// each, in the same order.
    ///
    /// # Errors
    /// When the computation fails; the engine may be used again.
    fn score(&mut self, rows: &[&[u32]]) -> Result<Vec<Vec<f32>>, EngineError>;
}

/// Which engine, chosen by `model.engine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum EngineKind {
    /// BERT by rust-bert on libtorch.
    RustBert,
}

/// Number format of the computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point.
    F32,
    /// bfloat16.
    Bf16,
}

/// Which number format, chosen by `model.precision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionChoice {
    /// bf16 where the processor computes in it and the bundle allows it, f32 otherwise.
    Auto,
    /// Always f32.
    F32,
    /// Always bf16, slow where the processor has to emulate it.
    Bf16,
}

/// Why an engine could not do its work. Holds no text of a ticket.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// This build does not contain the engine.
    #[error("this build has no {0} engine")]
    NotBuilt(EngineKind),
    /// The bundle could not be loaded.
    #[error("cannot load {file}: {reason}")]
    Load {
        /// The file of the bundle.
        file: String,
        /// What the engine's library said.
        reason: String,
    },
    /// The computation failed.
    #[error("inference failed: {0}")]
    Inference(String),
}

impl PrecisionChoice {
    /// The format to use for `bundle` on this processor.
    pub fn resolve(self, bundle: &Bundle) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
            Self::Auto if bundle.bf16 && processor_has_bf16() => Precision::Bf16,
            Self::Auto => Precision::F32,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn processor_has_bf16() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(target_arch = "aarch64")]
fn processor_has_bf16() -> bool {
    std::arch::is_aarch64_feature_detected!("bf16")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn processor_has_bf16() -> bool {
    false
}

impl EngineKind {
    /// Loads `bundle` for use by the calling thread, which computes with one thread of its own.
    ///
    /// # Errors
    /// When this build does not contain the engine or the bundle's weights do not fit it.
    pub fn load(self, bundle: &Bundle, precision: Precision) -> Result<Box<dyn Engine>, EngineError> {
        match self {
            #[cfg(feature = "rust-bert")]
            Self::RustBert => Ok(Box::new(super::rust_bert::RustBert::load(bundle, precision)?)),
            #[cfg(not(feature = "rust-bert"))]
            Self::RustBert => {
                let _ = (bundle, precision);
                Err(EngineError::NotBuilt(self))
            }
        }
    }
}
