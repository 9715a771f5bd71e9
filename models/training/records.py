"""Reads the labelled records that training and evaluation share, and refuses malformed ones by file and line."""

import json
from dataclasses import dataclass
from pathlib import Path

EMOTIONS = [
    "anger", "frustration", "disappointment", "distrust", "anxiety", "confusion",
    "sadness", "surprise", "apologetic", "gratitude", "satisfaction", "neutral",
]
INTENSITIES = ["0", "1", "2", "3"]
URGENCIES = ["low", "normal", "high", "critical"]
SIGNALS = [
    "churn_risk", "legal_threat", "security_incident", "safety_risk", "service_outage", "financial_impact",
    "deadline", "repeat_contact", "abusive_language", "escalation_request", "vulnerable_customer", "praise",
]
CHANNELS = ["email", "chat", "web_form", "social", "voice_transcript"]


class MalformedRecord(Exception):
    """A line that is not a record by TAXONOMY.md; the message starts with file and line."""


@dataclass(frozen=True)
class Ticket:
    """One labelled ticket. `origin` is the author's file for authored text, the public source otherwise."""

    id: str
    origin: str
    subject: str
    text: str
    emotions: tuple[str, ...]
    primary: str
    intensity: int
    urgency: str
    signals: tuple[str, ...]

    @property
    def model_text(self) -> str:
        """The text as the service shows it to the encoder: the subject, a line break, the message."""
        return f"{self.subject}\n{self.text}" if self.subject else self.text


@dataclass(frozen=True)
class Comment:
    """One GoEmotions comment with its label numbers."""

    id: str
    text: str
    labels: tuple[int, ...]


def read_tickets(path: Path) -> list[Ticket]:
    tickets = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                tickets.append(_ticket(json.loads(line), path))
            except (ValueError, KeyError, TypeError) as error:
                raise MalformedRecord(f"{path}:{number}: {error!r}") from error
    return tickets


def _ticket(record: dict, path: Path) -> Ticket:
    emotions, signals = record["emotions"], record["signals"]
    _known("emotions", emotions, EMOTIONS)
    _known("signals", signals, SIGNALS)
    _known("urgency", [record["urgency"]], URGENCIES)
    _known("channel", [record["channel"]], CHANNELS)
    if not emotions or record["primary_emotion"] not in emotions:
        raise ValueError("primary_emotion must be one of the emotions")
    if "neutral" in emotions and len(emotions) > 1:
        raise ValueError("neutral stands alone")
    if record["intensity"] not in range(4) or (record["intensity"] == 0) != (emotions == ["neutral"]):
        raise ValueError("intensity is 0 to 3, and 0 exactly when neutral")
    if not record["text"].strip():
        raise ValueError("text is empty")
    authored = record["source"] == "authored"
    return Ticket(
        id=record["id"],
        origin=path.stem if authored else record["source"],
        subject=record.get("subject", ""),
        text=record["text"],
        emotions=tuple(emotions),
        primary=record["primary_emotion"],
        intensity=record["intensity"],
        urgency=record["urgency"],
        signals=tuple(signals),
    )


def _known(field: str, values: list[str], allowed: list[str]) -> None:
    unknown = [value for value in values if value not in allowed]
    if unknown:
        raise ValueError(f"{field} holds unknown {unknown}")


def read_folder(folder: Path) -> list[Ticket]:
    """All records below `folder`, in file order; ids must be unique."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no .jsonl file")
    tickets = [ticket for file in files for ticket in read_tickets(file)]
    seen: set[str] = set()
    for ticket in tickets:
        if ticket.id in seen:
            raise MalformedRecord(f"{folder}: id {ticket.id} occurs twice")
        seen.add(ticket.id)
    return tickets


def read_goemotions(folder: Path, part: str) -> list[Comment]:
    comments = []
    path = folder / f"{part}.tsv"
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            fields = line.rstrip("\n").split("\t")
            try:
                text, labels, identifier = fields
                comments.append(Comment(identifier, text, tuple(int(label) for label in labels.split(","))))
            except ValueError as error:
                raise MalformedRecord(f"{path}:{number}: {error}") from error
    return comments


def goemotions_labels(folder: Path) -> list[str]:
    return (folder / "labels.txt").read_text(encoding="utf-8").split()
