"""How far two independent readings of the same texts agree, as tables in Markdown.

    python models/training/agreement.py > models/data/AGREEMENT.md

Both readings lie in models/data/readings, by id; the second readers saw the texts and the guide, not the first labels.
"""

import krippendorff
import numpy as np
from sklearn.metrics import cohen_kappa_score, f1_score

from records import EMOTIONS, SIGNALS, URGENCIES, Ticket, read_readings

SETS = {
    "authored": "tickets authored for bedside",
    "criticals": "emergencies and look-alikes",
    "criticals_dev": "emergencies and look-alikes to tune with",
    "real": "real texts",
}


def masks(tickets: tuple[Ticket, ...], labels: list[str], field: str) -> np.ndarray:
    return np.array([[label in getattr(ticket, field) for label in labels] for ticket in tickets], dtype=int)


def alpha(first: np.ndarray, second: np.ndarray, level: str) -> float:
    if len({*first, *second}) < 2:
        return float("nan")
    return krippendorff.alpha(np.array([first, second], dtype=float), level_of_measurement=level)


def kappa(first: np.ndarray, second: np.ndarray, weights: str | None = None) -> float:
    return cohen_kappa_score(first, second, weights=weights) if len({*first, *second}) > 1 else float("nan")


def shown(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"


def table(first: tuple[Ticket, ...], second: tuple[Ticket, ...]) -> list[str]:
    lines = ["| | first n | second n | Cohen's kappa | Krippendorff's alpha |", "| --- | ---: | ---: | ---: | ---: |"]
    for field, labels in (("emotions", EMOTIONS), ("signals", SIGNALS)):
        left, right = masks(first, labels, field), masks(second, labels, field)
        for column, label in enumerate(labels):
            a, b = left[:, column], right[:, column]
            lines.append(f"| `{label}` | {a.sum()} | {b.sum()} | {shown(kappa(a, b))} | {shown(alpha(a, b, 'nominal'))} |")
    for field, levels in (("urgency", URGENCIES), ("intensity", [0, 1, 2, 3])):
        a, b = ([levels.index(getattr(ticket, field)) for ticket in side] for side in (first, second))
        numbers = shown(kappa(a, b, "quadratic")), shown(alpha(a, b, "ordinal"))
        lines.append(f"| {field} (quadratic weights, ordinal) | {len(a)} | {len(b)} | {numbers[0]} | {numbers[1]} |")
    return lines


def overview(first: tuple[Ticket, ...], second: tuple[Ticket, ...]) -> str:
    emotions, signals = (
        f1_score(masks(first, labels, field), masks(second, labels, field), average="micro", zero_division=0)
        for field, labels in (("emotions", EMOTIONS), ("signals", SIGNALS))
    )
    same = np.mean([a.primary == b.primary for a, b in zip(first, second)])
    levels = [[URGENCIES.index(ticket.urgency) for ticket in side] for side in (first, second)]
    return (
        f"{len(first)} | {emotions:.2f} | {same:.2f} | {signals:.2f} | "
        f"{cohen_kappa_score(*levels, weights='quadratic'):.2f} | {np.mean(np.equal(*levels)):.2f}"
    )


def main() -> None:
    lines = [
        "# Agreement of two readers",
        "",
        "Written by `models/training/agreement.py`. The second reader saw text and guide, not the first reader's labels.",
        "",
        "| | n | emotions, micro-F1 | same primary | signals, micro-F1 | urgency, QWK | same urgency |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    tables = []
    for name, title in SETS.items():
        first, second = zip(*read_readings(name))
        lines.append(f"| {title} | {overview(first, second)} |")
        tables += ["", f"## {title[0].upper()}{title[1:]}", "", *table(first, second)]
    print("\n".join(lines + tables))


if __name__ == "__main__":
    main()
