"""Writes a model card: a text with the measured figures in their place, from the reports of `bedside evaluate`.

    python models/training/card.py --run FOLDER --card models/training/card.md --out CARD

FOLDER holds the reports that `make model` writes, and those of `make unseen` where they were made.
"""

import argparse
import json
from pathlib import Path

from train import WITHOUT_SHARE

BEGIN, END = "<!-- figures: written by models/training/card.py -->", "<!-- end of figures -->"
SETS = {"authored": "authored test", "real": "real test", "criticals": "plain criticals"}
UNSEEN = ("cfpb", "banking77", "mozilla_support_forum", "multidogo", "github_incivility")


def between(interval: list[float]) -> str:
    return f"({interval[0]:.3f}–{interval[1]:.3f})"


def headline(report: dict) -> list[str]:
    """The column of one report in the table of headlines."""
    emotion, urgency, signal = report["emotion"], report["urgency"], report["signal"]
    labels, level = report["label_calibration"], report["urgency_calibration"]
    frequent = [f"{group['macro_f1_n30']:.3f}" if group["macro_f1_n30"] else "–" for group in (emotion, signal)]
    critical = urgency["critical_n"] > 0
    return [
        str(report["n"]),
        f"{emotion['macro_f1']:.3f}",
        frequent[0],
        f"{emotion['micro_f1']:.3f} {between(report['emotion_micro_f1_interval'])}",
        f"{report['primary']['accuracy']:.3f}",
        f"{report['intensity']['mae']:.3f}",
        f"{urgency['qwk']:.3f} {between(urgency['qwk_interval'])}",
        f"{urgency['mae']:.3f}",
        f"{urgency['macro_f1']:.3f}",
        f"{urgency['under_triage']:.3f}",
        str(urgency["critical_n"]),
        f"{urgency['critical_recall']:.3f} {between(urgency['critical_recall_interval'])}" if critical else "–",
        f"{urgency['critical_precision']:.3f} {between(urgency['critical_precision_interval'])}" if critical else "–",
        f"{urgency['critical_recall_at_tenth']:.3f}" if critical else "–",
        f"{signal['macro_f1']:.3f}",
        frequent[1],
        f"{labels['ece']:.3f} {between(labels['ece_interval'])}",
        f"{labels['brier']:.3f} {between(labels['brier_interval'])}",
        f"{level['ece']:.3f} {between(level['ece_interval'])}",
        f"{level['brier']:.3f} {between(level['brier_interval'])}",
    ]


ROWS = [
    "texts", "emotions, macro-F1", "emotions, macro-F1, labels with n >= 30", "emotions, micro-F1",
    "primary emotion, accuracy", "intensity, mean absolute error", "urgency, quadratic weighted kappa",
    "urgency, mean absolute error", "urgency, macro-F1", "urgency, share said less urgent than it is",
    "`critical`, texts", "`critical`, recall", "`critical`, precision", "`critical`, share found in the likeliest tenth, of those that fit",
    "signals, macro-F1", "signals, macro-F1, labels with n >= 30", "emotions and signals said to hold, adaptive calibration error",
    "emotions and signals said to hold, Brier score", "urgency, adaptive calibration error", "urgency, Brier score",
]  # fmt: skip


def headlines(columns: dict[str, dict]) -> list[str]:
    cells = [headline(report) for report in columns.values()]
    lines = [f"| | {' | '.join(columns)} |", f"| --- | {' | '.join(['---:'] * len(columns))} |"]
    return lines + [f"| {row} | {' | '.join(column[place] for column in cells)} |" for place, row in enumerate(ROWS)]


def per_label(reports: dict[str, dict]) -> list[str]:
    lines = ["| label | " + " | ".join(f"{name}: n | P | R | F1" for name in reports) + " |"]
    lines.append("| --- | " + " | ".join(["---: | ---: | ---: | ---:"] * len(reports)) + " |")
    for group in ("emotion", "signal"):
        for label in next(iter(reports.values()))[group]["per_label"]:
            found = [report[group]["per_label"][label] for report in reports.values()]
            cells = [f"{f['n']} | {f['precision']:.2f} | {f['recall']:.2f} | {f['f1']:.2f}" for f in found]
            lines.append(f"| `{label}` | {' | '.join(cells)} |")
    return lines


def twin(full: dict[str, dict], int8: dict[str, dict]) -> list[str]:
    """How much the int8 twin loses, in points."""
    lines = ["| | f32 | int8 | points |", "| --- | ---: | ---: | ---: |"]
    figures = {
        "emotions, macro-F1": lambda r: r["emotion"]["macro_f1"],
        "urgency, quadratic weighted kappa": lambda r: r["urgency"]["qwk"],
        "signals, macro-F1": lambda r: r["signal"]["macro_f1"],
    }
    for name, title in SETS.items():
        for figure, value in figures.items():
            left, right = value(full[name]), value(int8[name])
            lines.append(f"| {title}: {figure} | {left:.3f} | {right:.3f} | {100 * (right - left):+.1f} |")
    left, right = (reports["goemotions"]["goemotions"]["macro_f1"] for reports in (full, int8))
    return [*lines, f"| GoEmotions test: macro-F1 | {left:.3f} | {right:.3f} | {100 * (right - left):+.1f} |"]


def baselines(lines: list[str], tickets: dict[str, dict]) -> list[str]:
    """The table of simpler means, from what baselines.py printed, with the model below it."""
    figures = ["emotion_macro_f1", "emotion_micro_f1", "urgency_qwk", "signal_macro_f1", "critical_recall", "critical_precision"]
    table = [f"| means | set | {' | '.join(figure.replace('_', ' ') for figure in figures)} |"]
    table.append(f"| --- | --- | {' | '.join(['---:'] * len(figures))} |")
    for line in lines:
        means, test, *rest = line.split(" | ")
        values = dict(pair.split(" ") for pair in rest)
        table.append(f"| {means} | {SETS[test]} | {' | '.join(values[figure] for figure in figures)} |")
    for name, r in tickets.items():
        urgency = r["urgency"]
        values = [r["emotion"]["macro_f1"], r["emotion"]["micro_f1"], urgency["qwk"], r["signal"]["macro_f1"]]
        values += [urgency["critical_recall"], urgency["critical_precision"]]
        table.append(f"| **bedside-minilm** | {name} | {' | '.join(f'{value:.3f}' for value in values)} |")
    return table


def read(run: Path, suffix: str = "") -> dict[str, dict]:
    return {name: json.loads((run / f"{name}{suffix}.json").read_text()) for name in (*SETS, "goemotions")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of the reports")
    parser.add_argument("--card", type=Path, required=True, help="the text, with the place for the figures")
    parser.add_argument("--out", type=Path, required=True, help="where to write it")
    arguments = parser.parse_args()
    full, int8 = read(arguments.run), read(arguments.run, "-int8")
    tickets = {SETS[name]: full[name] for name in SETS}
    comments = full["goemotions"]["goemotions"]
    lines = [
        BEGIN,
        "",
        *headlines(tickets),
        "",
        f"GoEmotions, test ({comments['n']:,} comments, 28 labels, thresholds tuned on dev): macro-F1 "
        f"**{comments['macro_f1']:.3f}**, micro-F1 {comments['micro_f1']:.3f}.",
        "",
        "The int8 twin on ONNX Runtime beside the f32 weights, both through the service's path:",
        "",
        *twin(full, int8),
        "",
        "Per label:",
        "",
        *per_label(tickets),
        "",
        "Simpler means on the same texts, tuned on the same dev texts (`models/training/baselines.py`):",
        "",
        *baselines((arguments.run / "baselines.txt").read_text(encoding="utf-8").splitlines(), tickets),
        "",
    ]
    files = {source: arguments.run / f"unseen-{source}.json" for source in UNSEEN}
    if all(file.exists() for file in files.values()):
        unseen = {source: json.loads(file.read_text()) for source, file in files.items()}
        means = [sum(value(r) for r in unseen.values()) / len(unseen) for value in (
            lambda r: r["emotion"]["micro_f1"], lambda r: r["urgency"]["qwk"],
        )]  # fmt: skip
        lines += [
            "Each source of real texts read by a model whose third and last stage was trained and tuned without it, "
            f"{WITHOUT_SHARE:.0%} as long as that stage of the shipped one; mean over the "
            f"sources: emotions micro-F1 **{means[0]:.3f}**, urgency kappa **{means[1]:.3f}**.",
            "",
            *headlines(unseen),
            "",
        ]
    text = arguments.card.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{arguments.card} has no place for the figures, between {BEGIN} and {END}")
    arguments.out.write_text(before + "\n".join(lines) + "\n" + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
