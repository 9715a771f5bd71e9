//! Text in, scores out: the bundle that was trained, the tokens its encoder reads, the engines that can run it, and the
//! scheduler that shares them.

pub mod bundle;
pub mod encoder;
pub mod engine;
#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "rust-bert")]
pub mod rust_bert;
pub mod scheduler;
pub mod selection;

pub use bundle::{Bundle, BundleError, Group};
pub use encoder::TextEncoder;
pub use engine::{Engine, EngineError, EngineKind, Precision};
pub use scheduler::{Scheduler, ScoreError};
pub use selection::{EngineChoice, PrecisionChoice, Selection, SelectionError};
