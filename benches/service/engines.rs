//! The engines alone, without a service around them: what the service cannot be faster than.

use std::{path::Path, thread, time::Instant};

use bedside::model::{Bundle, Engine, EngineKind, Precision, TextEncoder};
use serde::{Deserialize, Serialize};

use crate::texts;

/// Tickets of the mix.
const MIX: usize = 300;
/// Seconds that each cell of the table is measured.
const CELL_SECONDS: f64 = 1.0;

/// Everything measured on one core, or on as many as there are threads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Engines {
    /// What libtorch's multiplication of large matrices reaches on one core, in GFLOP/s; 0 without that engine.
    pub(crate) gemm_gflops: f64,
    pub(crate) cells: Vec<Cell>,
    pub(crate) mix: Vec<Mix>,
    /// Tokens of the corpus' tickets that 95 of 100 do not exceed.
    pub(crate) common_tokens: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) engine: String,
    pub(crate) threads: usize,
    pub(crate) batch: usize,
    pub(crate) length: usize,
    pub(crate) tokens_per_second: f64,
    pub(crate) gflops: f64,
}

/// One engine on the corpus' own mix of lengths, one text at a time on one core.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Mix {
    pub(crate) engine: String,
    pub(crate) seconds_per_ticket: f64,
    pub(crate) tokens_per_second: f64,
    /// One inference of a text of the longest common length.
    pub(crate) common_ms: f64,
}

pub(crate) fn run(bundle: &Path) -> Engines {
    let bundle = Bundle::open(bundle).unwrap();
    let encoder = TextEncoder::open(&bundle).unwrap();
    let corpus = texts::corpus();
    let rows: Vec<Vec<u32>> =
        corpus.iter().take(MIX).flat_map(|ticket| encoder.windows(&texts::plain(ticket))).collect();
    let mut lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
    lengths.sort_unstable();
    let common_tokens = lengths[lengths.len() * 95 / 100];
    let (mut cells, mut mix) = (Vec::new(), Vec::new());
    for (kind, precision) in kinds(&bundle) {
        let name = format!("{kind} {precision}");
        let Ok(mut engine) = kind.load(&bundle, precision) else { continue };
        mix.push(on_mix(&name, engine.as_mut(), &rows, common_tokens));
        for threads in [1, 2] {
            for batch in [1, 4, 16] {
                for length in [16, 64, 128, 256] {
                    let tokens_per_second = on_grid(&bundle, kind, precision, threads, batch, length);
                    let gflops = tokens_per_second * flops_per_token(length) / 1e9;
                    cells.push(Cell { engine: name.clone(), threads, batch, length, tokens_per_second, gflops });
                }
            }
        }
    }
    Engines { gemm_gflops: gemm_gflops(), cells, mix, common_tokens }
}

/// The engines this build has, in the formats that this processor computes in.
fn kinds(bundle: &Bundle) -> Vec<(EngineKind, Precision)> {
    let mut kinds = vec![(EngineKind::Onnx, Precision::Int8), (EngineKind::RustBert, Precision::F32)];
    #[cfg(target_arch = "x86_64")]
    if bundle.bf16 && std::arch::is_x86_feature_detected!("avx512bf16") {
        kinds.push((EngineKind::RustBert, Precision::Bf16));
    }
    let _ = bundle;
    kinds
}

fn on_mix(name: &str, engine: &mut dyn Engine, rows: &[Vec<u32>], common_tokens: usize) -> Mix {
    let tokens: usize = rows.iter().map(Vec::len).sum();
    let mut seconds = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        for row in rows {
            engine.score(&[row]).unwrap();
        }
        seconds.push(began.elapsed().as_secs_f64());
    }
    let seconds = median(&mut seconds);
    let row = vec![2_000; common_tokens];
    let mut times: Vec<f64> = (0..30)
        .map(|_| {
            let began = Instant::now();
            engine.score(&[&row]).unwrap();
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    Mix {
        engine: name.to_owned(),
        seconds_per_ticket: seconds / MIX as f64,
        tokens_per_second: tokens as f64 / seconds,
        common_ms: median(&mut times),
    }
}

/// Tokens a second of so many threads, each with an engine of its own, as the service has them.
fn on_grid(
    bundle: &Bundle,
    kind: EngineKind,
    precision: Precision,
    threads: usize,
    batch: usize,
    length: usize,
) -> f64 {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(move || {
                    let mut engine = kind.load(bundle, precision).unwrap();
                    let row = vec![2_000; length];
                    let rows = vec![row.as_slice(); batch];
                    engine.score(&rows).unwrap();
                    let (began, mut scored) = (Instant::now(), 0);
                    while began.elapsed().as_secs_f64() < CELL_SECONDS {
                        engine.score(&rows).unwrap();
                        scored += batch * length;
                    }
                    scored as f64 / began.elapsed().as_secs_f64()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    })
}

/// Of the whole model: 6 layers of hidden size 384, their weights' multiplications and those of attention.
fn flops_per_token(length: usize) -> f64 {
    let (layers, hidden) = (6.0, 384.0);
    layers * (2.0 * 12.0 * hidden * hidden + 4.0 * length as f64 * hidden)
}

#[cfg(feature = "rust-bert")]
fn gemm_gflops() -> f64 {
    const SIDE: i64 = 1_024;
    tch::set_num_threads(1);
    let matrix = tch::Tensor::rand([SIDE, SIDE], (tch::Kind::Float, tch::Device::Cpu));
    let _ = matrix.matmul(&matrix);
    let best = (0..10).map(|_| {
        let began = Instant::now();
        let _ = matrix.matmul(&matrix);
        2.0 * (SIDE as f64).powi(3) / began.elapsed().as_secs_f64() / 1e9
    });
    best.fold(0.0, f64::max)
}

#[cfg(not(feature = "rust-bert"))]
fn gemm_gflops() -> f64 {
    0.0
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
