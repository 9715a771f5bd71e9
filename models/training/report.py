"""Draws a training run and what `bedside evaluate` said about its bundle, as pictures.

    python models/training/report.py --run FOLDER --evaluation NAME=FILE [NAME=FILE ...] --out FOLDER
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

from records import URGENCIES
from train import STAGES


def curves(run: Path, out: Path) -> None:
    """Training loss by step, each stage after the other, smoothed; stages that were not trained in this run are left out."""
    figure, axis = plt.subplots(figsize=(9, 4))
    begun = 0
    for stage in (stage for stage in STAGES if (run / f"{stage.name}.loss.jsonl").exists()):
        lines = [json.loads(line) for line in (run / f"{stage.name}.loss.jsonl").read_text().splitlines()]
        for kind, colour in (("comments", "tab:orange"), ("tickets", "tab:blue")):
            points = [(begun + line["step"], line["loss"]) for line in lines if line["kind"] == kind]
            if len(points) < 20:
                continue
            steps, losses = map(np.array, zip(*points))
            width = min(50, len(losses) // 4)
            smooth = np.convolve(losses, np.ones(width) / width, "valid")
            axis.plot(steps[width - 1 :], smooth, color=colour, label=kind if stage is STAGES[-1] else None)
        axis.axvline(begun, color="grey", linewidth=0.5)
        axis.text(begun, axis.get_ylim()[1], f" {stage.name}", va="top")
        begun += lines[-1]["step"]
    axis.set(xlabel="step", ylabel="training loss, mean of 50 batches")
    axis.legend()
    save(figure, out / "curves.png")


def per_label(reports: dict[str, dict], out: Path) -> None:
    """F1 of each label, a bar for each set; labels with fewer than 30 texts pale."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 6))
    for axis, group in zip(axes, ("emotion", "signal")):
        names = list(next(iter(reports.values()))[group]["per_label"])
        height = 0.8 / len(reports)
        for place, (name, report) in enumerate(reports.items()):
            labels = report[group]["per_label"]
            rows = np.arange(len(names)) + place * height
            bars = axis.barh(rows, [labels[label]["f1"] for label in names], height, label=name)
            for bar, label in zip(bars, names):
                bar.set_alpha(1.0 if labels[label]["n"] >= 30 else 0.35)
                axis.text(bar.get_width() + 0.01, bar.get_y() + height / 2, labels[label]["n"], va="center", fontsize=6)
        axis.set_yticks(np.arange(len(names)) + 0.4 - height / 2, names)
        axis.invert_yaxis()
        axis.set(xlim=(0, 1.08), xlabel="F1 (beside it n; pale: n < 30)", title=f"{group}s")
    axes[0].legend(fontsize=8)
    save(figure, out / "labels.png")


def confusions(reports: dict[str, dict], out: Path) -> None:
    """Urgency: rows should have been, columns were."""
    figure, axes = plt.subplots(1, len(reports), figsize=(4 * len(reports), 4), squeeze=False)
    for axis, (name, report) in zip(axes[0], reports.items()):
        counts = np.array([[report["urgency"]["confusion"][row][column] for column in URGENCIES] for row in URGENCIES])
        axis.imshow(counts / counts.sum(1, keepdims=True).clip(1), cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            axis.text(column, row, count, ha="center", va="center")
        axis.set_xticks(range(4), URGENCIES)
        axis.set_yticks(range(4), URGENCIES)
        axis.set(title=f"{name}: QWK {report['urgency']['qwk']:.2f}", xlabel="said", ylabel="is")
    save(figure, out / "urgency.png")


def reliability(reports: dict[str, dict], out: Path) -> None:
    """What was said with a probability against how often it was so."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 5))
    for axis, part in zip(axes, ("label_calibration", "urgency_calibration")):
        axis.plot([0, 1], [0, 1], color="grey", linewidth=0.5)
        for name, report in reports.items():
            bins = report[part]["bins"]
            label = f"{name}: error {report[part]['ece']:.3f}, Brier {report[part]['brier']:.3f}"
            axis.plot([found["said"] for found in bins], [found["so"] for found in bins], marker="o", label=label)
        axis.set(xlabel="probability", ylabel="share that is so", xlim=(0, 1), ylim=(0, 1))
        axis.set_title("emotions and signals said to hold" if part == "label_calibration" else "urgency said")
        axis.legend(fontsize=8)
    save(figure, out / "reliability.png")


def save(figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder that train.py wrote")
    parser.add_argument("--evaluation", nargs="+", required=True, help="a name and a report of `bedside evaluate`")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    pairs = (argument.partition("=") for argument in arguments.evaluation)
    reports = {name: json.loads(Path(file).read_text()) for name, _, file in pairs}
    curves(arguments.run, arguments.out)
    per_label(reports, arguments.out)
    confusions(reports, arguments.out)
    reliability(reports, arguments.out)


if __name__ == "__main__":
    main()
