//! Which engine runs a bundle, in which number format, and why.

use std::path::Path;

use serde::{Deserialize, Serialize};
use strum::Display;

use super::{Bundle, EngineKind, Precision};

/// The file of a bundle that the onnx engine runs.
pub(super) const ONNX_FILE: &str = "model.onnx";

/// What the setting `model.engine` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum EngineChoice {
    /// onnx where its library and the bundle's int8 graph are there, rust-bert otherwise.
    Auto,
    /// BERT by rust-bert on libtorch.
    RustBert,
    /// The bundle's int8 graph on ONNX Runtime.
    Onnx,
}

/// What the setting `model.precision` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionChoice {
    /// What the engine is fastest in: int8 on onnx; on rust-bert bf16 where the processor computes in it and the bundle
    /// allows it, f32 otherwise.
    Auto,
    /// f32, which rust-bert computes in.
    F32,
    /// bf16, which rust-bert computes in; slow where the processor has to emulate it.
    Bf16,
}

/// What runs a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The engine.
    pub engine: EngineKind,
    /// The number format that it computes in.
    pub precision: Precision,
    /// Why this engine, in a phrase for people.
    pub reason: String,
}

/// No engine can run the bundle as the settings want.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// `model.precision` names a format that the engine does not have.
    #[error("the onnx engine computes in int8 only: leave it at auto")]
    Precision,
    /// `model.engine` names an engine that cannot be used.
    #[error("{0} cannot be used: {1}")]
    Engine(EngineKind, String),
}

impl SelectionError {
    /// The setting at fault.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::Precision => "model.precision",
            Self::Engine(..) => "model.engine",
        }
    }
}

impl Selection {
    /// What the settings choose for `bundle` on this machine; `library` is the file of ONNX Runtime's library, where it is
    /// not the environment that names it.
    ///
    /// # Errors
    /// When an engine that is named cannot be used, or does not have the number format that is.
    pub fn of(
        engine: EngineChoice,
        precision: PrecisionChoice,
        library: Option<&Path>,
        bundle: &Bundle,
    ) -> Result<Self, SelectionError> {
        let (engine, reason) = match engine {
            EngineChoice::RustBert => (EngineKind::RustBert, "set by model.engine".to_owned()),
            EngineChoice::Onnx => {
                onnx_available(bundle, library).map_err(|missing| SelectionError::Engine(EngineKind::Onnx, missing))?;
                (EngineKind::Onnx, "set by model.engine".to_owned())
            }
            EngineChoice::Auto if precision != PrecisionChoice::Auto => {
                (EngineKind::RustBert, "it has the format that model.precision sets".to_owned())
            }
            EngineChoice::Auto => match onnx_available(bundle, library) {
                Ok(()) => (EngineKind::Onnx, "its library and the bundle's int8 graph are there".to_owned()),
                Err(missing) => (EngineKind::RustBert, format!("onnx cannot be used: {missing}")),
            },
        };
        let precision = match (engine, precision) {
            (EngineKind::Onnx, PrecisionChoice::Auto) => Precision::Int8,
            (EngineKind::Onnx, PrecisionChoice::F32 | PrecisionChoice::Bf16) => return Err(SelectionError::Precision),
            (EngineKind::RustBert, PrecisionChoice::F32) => Precision::F32,
            (EngineKind::RustBert, PrecisionChoice::Bf16) => Precision::Bf16,
            (EngineKind::RustBert, PrecisionChoice::Auto) if bundle.bf16 && processor_has_bf16() => Precision::Bf16,
            (EngineKind::RustBert, PrecisionChoice::Auto) => Precision::F32,
        };
        if engine == EngineKind::RustBert && !cfg!(feature = "rust-bert") {
            return Err(SelectionError::Engine(engine, format!("this build does not contain it ({reason})")));
        }
        Ok(Self { engine, precision, reason })
    }
}

#[cfg_attr(not(feature = "onnx"), expect(unused_variables, reason = "nothing to load"))]
fn onnx_available(bundle: &Bundle, library: Option<&Path>) -> Result<(), String> {
    if !bundle.lists(ONNX_FILE) {
        return Err(format!("the bundle has no {ONNX_FILE}"));
    }
    #[cfg(feature = "onnx")]
    return super::onnx::library_available(library);
    #[cfg(not(feature = "onnx"))]
    Err("this build does not contain it".to_owned())
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
