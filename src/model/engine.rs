//! What an engine is: something that turns tokens into logits. A new engine is one file beside [`super::rust_bert`] and
//! one arm in [`EngineKind`].

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

    /// Whether several rows of like length cost less together than one after the other.
    fn gains_from_batches(&self) -> bool;
}

/// An engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum EngineKind {
    /// BERT by rust-bert on libtorch.
    RustBert,
    /// The bundle's int8 graph on ONNX Runtime.
    Onnx,
}

/// Number format of the computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point.
    F32,
    /// bfloat16.
    Bf16,
    /// Weights and activations in 8-bit integers.
    Int8,
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

impl EngineKind {
    /// Loads `bundle` for use by the calling thread, which computes with one thread of its own.
    ///
    /// # Errors
    /// When this build does not contain the engine or the bundle's weights do not fit it.
    pub fn load(self, bundle: &Bundle, precision: Precision) -> Result<Box<dyn Engine>, EngineError> {
        let _ = (bundle, precision); // unused in a build without engines
        match self {
            #[cfg(feature = "rust-bert")]
            Self::RustBert => Ok(Box::new(super::rust_bert::RustBert::load(bundle, precision)?)),
            #[cfg(feature = "onnx")]
            Self::Onnx => Ok(Box::new(super::onnx::Onnx::load(bundle, precision)?)),
            #[cfg(not(all(feature = "rust-bert", feature = "onnx")))]
            _ => Err(EngineError::NotBuilt(self)),
        }
    }
}
