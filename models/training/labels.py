"""The model's output layer: every label with its group as prefix, in the order of the logits, and the targets for it."""

import torch

from records import EMOTIONS, INTENSITIES, SIGNALS, URGENCIES, Comment, Ticket

# How GoEmotions labels read as a customer's emotions; the four of NEUTRAL_ALONE say nothing unless they stand alone.
EMOTION_OF = {
    "anger": "anger", "disgust": "anger", "annoyance": "frustration", "disappointment": "disappointment",
    "disapproval": "disappointment", "fear": "anxiety", "nervousness": "anxiety", "confusion": "confusion",
    "sadness": "sadness", "grief": "sadness", "surprise": "surprise", "remorse": "apologetic",
    "embarrassment": "apologetic", "gratitude": "gratitude", "neutral": "neutral",
} | dict.fromkeys(
    ["admiration", "amusement", "approval", "excitement", "joy", "love", "optimism", "pride", "relief"], "satisfaction"
)
NEUTRAL_ALONE = {"caring", "curiosity", "desire", "realization"}
# Exactly one label of a choice group holds; the labels of the others are independent of each other.
CHOICE_GROUPS = ("intensity", "urgency")
TICKET_GROUPS = ("emotion", "intensity", "urgency", "signal")


class Labels:
    """All groups with their labels; `span` gives a group's columns in the logits."""

    def __init__(self, goemotions: list[str]):
        self.groups = {
            "emotion": EMOTIONS,
            "intensity": INTENSITIES,
            "urgency": URGENCIES,
            "signal": SIGNALS,
            "goemotions": goemotions,
        }
        self.names = [f"{group}/{label}" for group, labels in self.groups.items() for label in labels]

    def span(self, group: str) -> slice:
        start = self.names.index(f"{group}/{self.groups[group][0]}")
        return slice(start, start + len(self.groups[group]))

    def emotions_of(self, comment: Comment) -> set[str]:
        """The emotions that a comment's labels stand for; distrust is never among them."""
        names = {self.groups["goemotions"][label] for label in comment.labels} - NEUTRAL_ALONE
        emotions = {EMOTION_OF[name] for name in names}
        return emotions - {"neutral"} or {"neutral"}

    def targets(self, record: Ticket | Comment) -> torch.Tensor:
        """A 0/1 row over all labels; the columns of groups that the record's source does not have stay 0, unused."""
        row = torch.zeros(len(self.names))
        if isinstance(record, Comment):
            row[self.span("goemotions").start + torch.tensor(record.labels)] = 1.0
            for emotion in self.emotions_of(record):
                row[self.names.index(f"emotion/{emotion}")] = 1.0
            return row
        present = [f"emotion/{emotion}" for emotion in record.emotions]
        present += [f"signal/{signal}" for signal in record.signals]
        present += [f"intensity/{record.intensity}", f"urgency/{record.urgency}"]
        for name in present:
            row[self.names.index(name)] = 1.0
        return row
