//! The bundle's int8 graph on ONNX Runtime, a library that is loaded when the first engine is.

use std::{
    env,
    ffi::OsString,
    fmt::Display,
    path::Path,
    sync::{Mutex, PoisonError},
};

use ort::{
    environment::Environment,
    session::{Session, builder::GraphOptimizationLevel},
    value::TensorRef,
};

use super::{Bundle, Engine, EngineError, Precision, selection::ONNX_FILE};

/// Names the library's file where no setting does; without either the system's loader looks for [`LIBRARY`].
const LIBRARY_VARIABLE: &str = "ONNXRUNTIME_LIB";
const LIBRARY: &str = "libonnxruntime.so";

/// ONNX Runtime allows one environment in a process. Kept for ever, since sessions come and go with their workers.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// A bundle's graph, for one thread.
pub struct Onnx {
    session: Session,
    labels: usize,
}

impl Onnx {
    /// Loads the library, if no other engine has, and the graph.
    ///
    /// # Errors
    /// When the library or the graph cannot be loaded.
    pub fn load(bundle: &Bundle, precision: Precision) -> Result<Self, EngineError> {
        let file = bundle.file(ONNX_FILE);
        let failed = |reason: String| EngineError::Load { file: file.display().to_string(), reason };
        if precision != Precision::Int8 {
            return Err(failed(format!("its numbers are int8, not {precision}")));
        }
        if !bundle.lists(ONNX_FILE) {
            return Err(failed("bundle.toml does not list it".to_owned()));
        }
        let environment = environment(None).map_err(failed)?;
        let session = || -> ort::Result<Session> {
            let mut builder = Session::builder(&environment)?
                .with_intra_threads(1)?
                .with_optimization_level(GraphOptimizationLevel::Level3)?;
            builder.commit_from_file(&file)
        };
        let session = session().map_err(|error| failed(error.to_string()))?;
        Ok(Self { session, labels: bundle.label_count() })
    }
}

/// Whether ONNX Runtime can be loaded, from the file `library` if one is named; if not, why.
pub(super) fn library_available(library: Option<&Path>) -> Result<(), String> {
    environment(library).map(|_| ())
}

/// The process's environment: the library that is asked for first is the one. Its errors are strings, since making one of
/// ort's own needs the library and panics without it.
fn environment(library: Option<&Path>) -> Result<Environment, String> {
    let mut environment = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = environment.as_ref() {
        return Ok(environment.clone());
    }
    let library = library.map(|file| file.as_os_str().to_owned());
    let library = library.or_else(|| env::var_os(LIBRARY_VARIABLE)).unwrap_or_else(|| OsString::from(LIBRARY));
    let failed = |error: &dyn Display| format!("{}: {error}", library.display());
    let loaded = ort::init_from(&library).map_err(|error| failed(&error))?;
    Ok(environment.insert(loaded.with_telemetry(false).build().map_err(|error| failed(&error))?).clone())
}

impl Engine for Onnx {
    /// One row at a time: the graph rounds activations by the range that a whole batch has, so that a text's scores would
    /// depend on its neighbours, and padding would cost more than a batch gains.
    fn score(&mut self, rows: &[&[u32]]) -> Result<Vec<Vec<f32>>, EngineError> {
        let mut score = |row: &[u32]| -> ort::Result<Vec<f32>> {
            let ids: Vec<i64> = row.iter().map(|token| i64::from(*token)).collect();
            let mask = vec![1_i64; row.len()];
            let shape = [1, row.len()];
            let outputs = self.session.run(ort::inputs![
                "input_ids" => TensorRef::from_array_view((shape, ids.as_slice()))?,
                "attention_mask" => TensorRef::from_array_view((shape, mask.as_slice()))?,
            ])?;
            let logits = outputs.get("logits").ok_or_else(|| ort::Error::new("the graph has no output logits"))?;
            let logits = logits.try_extract_tensor::<f32>()?.1.to_vec();
            if logits.len() != self.labels {
                return Err(ort::Error::new(format!("the graph answers {} logits, not {}", logits.len(), self.labels)));
            }
            Ok(logits)
        };
        rows.iter().map(|row| score(row).map_err(|error| EngineError::Inference(error.to_string()))).collect()
    }

    /// See [`Self::score`].
    fn gains_from_batches(&self) -> bool {
        false
    }
}
