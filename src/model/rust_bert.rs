//! The reference engine: rust-bert's `BertForSequenceClassification` on libtorch.

use rust_bert::{
    Config,
    bert::{BertConfig, BertForSequenceClassification},
};
use tch::{Device, Kind, Tensor, nn};

use super::{Bundle, Engine, EngineError, Precision};

/// A bundle's weights in libtorch, for one thread.
pub struct RustBert {
    model: BertForSequenceClassification,
    // Owns the tensors that `model` refers to.
    _weights: nn::VarStore,
}

impl RustBert {
    /// Loads the weights and has libtorch compute on the calling thread alone.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than the configuration says.
    pub fn load(bundle: &Bundle, precision: Precision) -> Result<Self, EngineError> {
        tch::set_num_threads(1);
        let failed =
            |file: &str, reason: String| EngineError::Load { file: bundle.file(file).display().to_string(), reason };
        let mut config = std::panic::catch_unwind(|| BertConfig::from_file(bundle.file("config.json")))
            .map_err(|_| failed("config.json", "not a BERT configuration".to_owned()))?;
        config.output_attentions = None;
        config.output_hidden_states = None;
        let mut weights = nn::VarStore::new(Device::Cpu);
        let model = BertForSequenceClassification::new(weights.root(), &config)
            .map_err(|error| failed("config.json", error.to_string()))?;
        weights
            .load(bundle.file("model.safetensors"))
            .map_err(|error| failed("model.safetensors", error.to_string()))?;
        weights.freeze();
        // Loading takes over the f16 of the file, in which libtorch computes many times slower than in f32 on a CPU.
        match precision {
            Precision::F32 => weights.float(),
            Precision::Bf16 => weights.bfloat16(),
            Precision::Int8 => {
                return Err(failed("model.safetensors", "rust-bert does not compute in int8".to_owned()));
            }
        }
        Ok(Self { model, _weights: weights })
    }
}

impl Engine for RustBert {
    fn score(&mut self, rows: &[&[u32]]) -> Result<Vec<Vec<f32>>, EngineError> {
        let failed = |error: tch::TchError| EngineError::Inference(error.to_string());
        let length = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let mut ids = vec![0_i64; rows.len() * length];
        let mut mask = vec![0_i64; rows.len() * length];
        for (index, row) in rows.iter().enumerate() {
            for (column, token) in row.iter().enumerate() {
                ids[index * length + column] = i64::from(*token);
                mask[index * length + column] = 1;
            }
        }
        let shape = [rows.len() as i64, length as i64];
        tch::no_grad(|| {
            let ids = Tensor::from_slice(&ids).view(shape);
            let mask = Tensor::from_slice(&mask).view(shape);
            let output = self.model.forward_t(Some(&ids), Some(&mask), None, None, None, false);
            let logits = output.logits.f_to_kind(Kind::Float).map_err(failed)?;
            Vec::<Vec<f32>>::try_from(&logits).map_err(failed)
        })
    }

    fn gains_from_batches(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    #[test]
    fn weights_are_held_in_the_format_that_is_computed_in() {
        let bundle = Bundle::open(Path::new("models/bedside-minilm")).unwrap();
        for (precision, kind) in [(Precision::F32, Kind::Float), (Precision::Bf16, Kind::BFloat16)] {
            let engine = RustBert::load(&bundle, precision).unwrap();
            assert!(engine._weights.variables().values().all(|weight| weight.kind() == kind), "{precision}");
        }
        assert!(RustBert::load(&bundle, Precision::Int8).is_err());
    }
}
