//! The report: a table of what is to be reached, the figures behind it, plots, and all of it as JSON.

use std::{fmt::Write, fs, path::Path};

use plotters::prelude::*;

use crate::runs::{Loaded, PeerAt, Report};

/// One promise: the figure, what it is to reach, what it did reach.
struct Goal {
    figure: String,
    target: String,
    measured: String,
    reached: bool,
}

fn at_least(figure: impl Into<String>, value: f64, target: f64) -> Goal {
    Goal {
        figure: figure.into(),
        target: format!(">= {target}"),
        measured: format!("{value:.2}"),
        reached: value >= target,
    }
}

fn at_most(figure: impl Into<String>, value: f64, target: f64) -> Goal {
    Goal {
        figure: figure.into(),
        target: format!("<= {target}"),
        measured: format!("{value:.2}"),
        reached: value <= target,
    }
}

pub(crate) fn write(report: &Report, out: &Path) {
    fs::write(out.join("report.json"), serde_json::to_string_pretty(report).unwrap()).unwrap();
    if !report.load.is_empty() {
        latency_plot(&report.load, &out.join("latency.svg"));
    }
    if report.peers.iter().any(|peer| !peer.at.is_empty()) {
        peers_plot(report, &out.join("peers.svg"));
    }
    fs::write(out.join("report.md"), markdown(report)).unwrap();
}

fn goals(report: &Report) -> Vec<Goal> {
    let mut goals = Vec::new();
    let peer = |name: &str, concurrency: usize| {
        let peer = report.peers.iter().find(|peer| peer.name == name)?;
        peer.at.iter().find(|at| at.concurrency == concurrency && at.peer > 0.0)
    };
    let best = |concurrency: usize| {
        let rivals = ["transformers", "infinity", "mlserver"].into_iter().filter_map(|name| peer(name, concurrency));
        rivals.map(|at| at.onnx / at.peer).reduce(f64::min)
    };
    for (concurrency, target) in [(1, 2.5), (16, 4.0)] {
        if let Some(ratio) = best(concurrency) {
            let figure = if concurrency == 1 {
                "onnx int8 / best of transformers, Infinity, MLServer, concurrency 1"
            } else {
                "the same at concurrency 16"
            };
            goals.push(at_least(figure, ratio, target));
        }
    }
    let worst = |name: &str, ratio: fn(&PeerAt) -> f64| {
        [1, 16].into_iter().filter_map(|concurrency| peer(name, concurrency)).map(ratio).reduce(f64::min)
    };
    if let Some(ratio) = worst("onnxruntime", |at| at.onnx / at.peer) {
        goals.push(at_least("onnx int8 / the same file behind Python gRPC, worse of 1 and 16", ratio, 1.2));
    }
    if let Some(ratio) = worst("transformers", |at| at.rust_bert / at.peer) {
        goals.push(at_least("rust-bert f32 / transformers f32, worse of 1 and 16", ratio, 1.2));
    }
    for loaded in &report.load {
        let Some(mix) = report
            .engines
            .as_ref()
            .and_then(|engines| engines.mix.iter().find(|mix| mix.engine.starts_with(&loaded.engine)))
        else {
            continue;
        };
        let engine = &loaded.engine;
        goals.push(at_most(
            format!("{engine}: processor time per ticket / engine alone"),
            loaded.cpu_seconds_per_ticket / mix.seconds_per_ticket,
            1.07,
        ));
        for point in &loaded.points {
            if point.share == 0.7 {
                goals.push(at_most(
                    format!("{engine}: p99 at 70 % / one inference of the longest common length"),
                    point.outcome.latency.p99 / mix.common_ms,
                    4.0,
                ));
            }
            if point.share == 1.5 {
                goals.push(at_least(
                    format!("{engine}: goodput at 150 % / saturation"),
                    point.outcome.goodput() / loaded.saturation,
                    0.95,
                ));
                goals.push(at_most(format!("{engine}: p99 of refusals at 150 %, ms"), point.outcome.refusal.p99, 10.0));
            }
        }
    }
    if let Some(cached) = &report.cache {
        goals.push(at_least("cached tickets / a bare tonic echo", cached.cached / cached.echo, 0.6));
    }
    if let Some(bulk) = &report.bulk {
        let ratio = bulk.beside_bulk.latency.p99 / bulk.alone.latency.p99;
        goals.push(at_most("p99 of single tickets beside a bulk job / without", ratio, 1.5));
    }
    for (footprint, (start, memory)) in report.footprint.iter().zip([(600.0, 150.0), (3_000.0, 700.0)]) {
        let engine = &footprint.build;
        goals.push(at_most(format!("{engine}: start to ready, ms"), footprint.start_ms, start));
        goals.push(at_most(format!("{engine}: resident memory, MiB"), footprint.resident_mib, memory));
    }
    if let Some(ratio) = report.linear {
        goals.push(at_most("a text of 2,048 tokens / one of 512", ratio, 4.4));
    }
    goals
}

fn markdown(report: &Report) -> String {
    let mut text =
        format!("# bedside, measured\n\n{}. Server on one core, load generator on another.\n\n", report.machine);
    let mut line = |line: String| writeln!(text, "{line}").unwrap();
    line("| figure | to reach | measured | |\n| --- | --- | ---: | --- |".to_owned());
    for goal in goals(report) {
        let verdict = if goal.reached { "reached" } else { "**missed**" };
        line(format!("| {} | {} | {} | {verdict} |", goal.figure, goal.target, goal.measured));
    }
    if let Some(engines) = &report.engines {
        line(format!(
            "\n## Engines alone\n\nPeak of one core, large f32 matrices by libtorch: {:.0} GFLOP/s. GFLOP/s below are of the whole model's \
            multiplications, which the int8 graph partly leaves out.\n",
            engines.gemm_gflops
        ));
        line("| engine | one text at a time, corpus mix: ms a ticket | tokens/s | one text of the longest common length, ms |\n| --- | ---: | ---: | ---: |".to_owned());
        for mix in &engines.mix {
            line(format!(
                "| {} | {:.2} | {:.0} | {:.2} |",
                mix.engine,
                mix.seconds_per_ticket * 1e3,
                mix.tokens_per_second,
                mix.common_ms
            ));
        }
        line(format!(
            "\nLongest common length: {} tokens, which 95 of 100 tickets do not exceed.\n",
            engines.common_tokens
        ));
        line("| engine | threads | batch | tokens | tokens/s | GFLOP/s | of the peak |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |".to_owned());
        for cell in &engines.cells {
            let share = cell.gflops / (engines.gemm_gflops * cell.threads as f64);
            line(format!(
                "| {} | {} | {} | {} | {:.0} | {:.1} | {:.0} % |",
                cell.engine,
                cell.threads,
                cell.batch,
                cell.length,
                cell.tokens_per_second,
                cell.gflops,
                share * 100.0
            ));
        }
    }
    for loaded in &report.load {
        line(format!(
            "\n## {} under load\n\nSaturation, 16 callers: {:.1} tickets/s, {:.2} ms of processor time a ticket. Resident before and after overload: {:.0} and {:.0} MiB.\n",
            loaded.engine,
            loaded.saturation,
            loaded.cpu_seconds_per_ticket * 1e3,
            loaded.resident_mib.0,
            loaded.resident_mib.1
        ));
        for (share, rate) in &loaded.repeats {
            line(format!("- {:.0} % repeats: {rate:.1} tickets/s", share * 100.0));
        }
        line("\n| offered | answered/s | refused | failed | p50 ms | p99 | p99.9 | refusals' p99 |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |".to_owned());
        for point in &loaded.points {
            let outcome = &point.outcome;
            line(format!(
                "| {:.0} % | {:.1} | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
                point.share * 100.0,
                outcome.goodput(),
                outcome.refused,
                outcome.failed,
                outcome.latency.p50,
                outcome.latency.p99,
                outcome.latency.p999,
                outcome.refusal.p99
            ));
        }
    }
    if let Some(cached) = &report.cache {
        line(format!("\n## Cached tickets\n\n{:.0} a second, a bare tonic echo {:.0}.", cached.cached, cached.echo));
    }
    if let Some(bulk) = &report.bulk {
        line(format!(
            "\n## Beside a bulk job\n\nSingle tickets at 30 % of saturation: p50 {:.1}, p99 {:.1} ms alone; p50 {:.1}, p99 {:.1} ms while a bulk job takes {:.1} tickets/s.",
            bulk.alone.latency.p50,
            bulk.alone.latency.p99,
            bulk.beside_bulk.latency.p50,
            bulk.beside_bulk.latency.p99,
            bulk.bulk
        ));
    }
    if !report.peers.is_empty() {
        line("\n## Peers on the same checkpoint\n\n| peer | concurrency | its tickets/s | bedside onnx | ratio | bedside rust-bert f32 | ratio | failed |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |".to_owned());
        for peer in &report.peers {
            if let Some(problem) = &peer.problem {
                line(format!("| {} | | {problem} | | | | | |", peer.title));
                continue;
            }
            for at in &peer.at {
                line(format!(
                    "| {} | {} | {:.1} | {:.1} | {:.2} | {:.1} | {:.2} | {} |",
                    peer.title,
                    at.concurrency,
                    at.peer,
                    at.onnx,
                    at.onnx / at.peer,
                    at.rust_bert,
                    at.rust_bert / at.peer,
                    at.failed
                ));
            }
        }
    }
    if !report.footprint.is_empty() {
        line("\n## Footprint\n\n| build | start to ready, ms, median of 10 | resident, MiB | program, MiB |\n| --- | ---: | ---: | ---: |".to_owned());
        for footprint in &report.footprint {
            line(format!(
                "| {} | {:.0} | {:.0} | {:.1} |",
                footprint.build, footprint.start_ms, footprint.resident_mib, footprint.binary_mib
            ));
        }
    }
    text
}

/// p99 over the offered load, for each engine.
fn latency_plot(load: &[Loaded], file: &Path) {
    let points = |loaded: &Loaded| {
        loaded
            .points
            .iter()
            .map(|point| (point.share * loaded.saturation, point.outcome.latency.p99))
            .collect::<Vec<_>>()
    };
    let all: Vec<(f64, f64)> = load.iter().flat_map(points).collect();
    let (widest, highest) =
        all.iter().fold((1.0_f64, 1.0_f64), |most, point| (most.0.max(point.0), most.1.max(point.1)));
    let area = SVGBackend::new(file, (720, 420)).into_drawing_area();
    area.fill(&WHITE).unwrap();
    let mut chart = ChartBuilder::on(&area)
        .caption("p99 of answered tickets, ms", ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..widest * 1.05, 0.0..highest * 1.05)
        .unwrap();
    chart.configure_mesh().x_desc("tickets offered a second").draw().unwrap();
    for (index, loaded) in load.iter().enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        let series = chart.draw_series(LineSeries::new(points(loaded), colour.stroke_width(2))).unwrap();
        series.label(&loaded.engine).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw().unwrap();
    area.present().unwrap();
}

/// Tickets a second of each peer and of bedside beside it, 16 callers.
fn peers_plot(report: &Report, file: &Path) {
    let bars: Vec<(&str, f64)> = report
        .peers
        .iter()
        .flat_map(|peer| {
            let at = peer.at.iter().find(|at| at.concurrency == 16);
            at.into_iter().flat_map(|at| {
                [(peer.title.as_str(), at.peer), ("bedside onnx", at.onnx), ("bedside rust-bert", at.rust_bert)]
            })
        })
        .collect();
    let highest = bars.iter().fold(1.0_f64, |most, bar| most.max(bar.1));
    let area = SVGBackend::new(file, (860, 60 + 28 * bars.len() as u32)).into_drawing_area();
    area.fill(&WHITE).unwrap();
    let mut chart = ChartBuilder::on(&area)
        .caption("tickets a second, 16 callers, one core", ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(30)
        .build_cartesian_2d(0.0..highest * 1.6, 0.0..bars.len() as f64)
        .unwrap();
    chart.configure_mesh().disable_y_mesh().disable_y_axis().draw().unwrap();
    for (index, (title, rate)) in bars.iter().enumerate() {
        let (top, bottom) = (bars.len() as f64 - index as f64 - 0.15, bars.len() as f64 - index as f64 - 0.85);
        let colour = Palette99::pick(index % 3).to_rgba();
        chart.draw_series([Rectangle::new([(0.0, bottom), (*rate, top)], colour.filled())]).unwrap();
        let label = Text::new(format!(" {rate:.0}  {title}"), (*rate, top - 0.1), ("sans-serif", 14));
        chart.draw_series([label]).unwrap();
    }
    area.present().unwrap();
}
