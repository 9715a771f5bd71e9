"""What the service makes of scores, in numpy: the same thresholds and costs that `bundle.toml` hands to the service."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import cohen_kappa_score, f1_score

from labels import Labels
from records import URGENCIES, Comment, Ticket

CRITICAL = URGENCIES.index("critical")


@dataclass
class Decisions:
    """A threshold for each label of each independent group, and costs[truth][decision] of urgency."""

    labels: Labels
    thresholds: dict[str, np.ndarray]
    costs: np.ndarray

    def held(self, group: str, logits: np.ndarray) -> np.ndarray:
        """For every label of an independent group whether it holds."""
        held = sigmoid(logits[:, self.labels.span(group)]) >= self.thresholds[group]
        if group == "emotion":
            # Neutral is what is left when no feeling holds.
            held[:, -1] = ~held[:, :-1].any(1)
        return held

    def urgency(self, logits: np.ndarray) -> np.ndarray:
        """The level with the least expected cost; a tie goes to the more urgent one."""
        expected = softmax(logits[:, self.labels.span("urgency")]) @ self.costs
        return expected.shape[1] - 1 - expected[:, ::-1].argmin(1)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def truth_of(labels: Labels, records: list[Ticket] | list[Comment], group: str) -> np.ndarray:
    return torch.stack([labels.targets(record) for record in records])[:, labels.span(group)].numpy()


def scores(decisions: Decisions, records: list[Ticket] | list[Comment], logits: np.ndarray) -> dict[str, float]:
    """The headline figures for the groups that the records have."""
    found, labels = {}, decisions.labels
    groups = ("goemotions",) if isinstance(records[0], Comment) else ("emotion", "signal")
    for group in groups:
        truth, held = truth_of(labels, records, group), decisions.held(group, logits)
        present = truth.any(0)
        found[f"{group}_macro_f1"] = f1_score(truth[:, present], held[:, present], average="macro", zero_division=0)
        found[f"{group}_micro_f1"] = f1_score(truth, held, average="micro", zero_division=0)
    if "emotion" in groups:
        levels, decided = truth_of(labels, records, "urgency").argmax(1), decisions.urgency(logits)
        found["urgency_qwk"] = cohen_kappa_score(levels, decided, weights="quadratic")
        hits = ((levels == CRITICAL) & (decided == CRITICAL)).sum()
        found["critical_recall"] = hits / max(1, (levels == CRITICAL).sum())
        found["critical_precision"] = hits / max(1, (decided == CRITICAL).sum())
    return found
