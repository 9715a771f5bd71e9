"""Reads the labelled records that training and evaluation share, and refuses malformed ones by file and line."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from real_texts import DATA, numbered_lines, real_records

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
    """A line that is not a record as models/data/README.md has it; the message starts with file and line."""


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

    @property
    def model_text(self) -> str:
        return self.text


def _tickets(lines: Iterable[tuple[str, str | dict]]) -> list[Ticket]:
    """The tickets of `lines`, each with its file and line; ids must be unique."""
    tickets, seen = [], set()
    for place, line in lines:
        try:
            ticket = _ticket(json.loads(line) if isinstance(line, str) else line, Path(place.rpartition(":")[0]).stem)
            if ticket.id in seen:
                raise ValueError(f"id {ticket.id} occurs twice")
        except (ValueError, KeyError, TypeError) as error:
            raise MalformedRecord(f"{place}: {error!r}") from error
        seen.add(ticket.id)
        tickets.append(ticket)
    return tickets


def _ticket(record: dict, author: str) -> Ticket:
    emotions, signals = record["emotions"], record["signals"]
    _known("emotions", emotions, EMOTIONS)
    _known("signals", signals, SIGNALS)
    _known("urgency", [record["urgency"]], URGENCIES)
    _known("channel", [record.get("channel", CHANNELS[0])], CHANNELS)
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
        origin=author if authored else record["source"],
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


def read_authored() -> list[Ticket]:
    """The tickets of models/data, in file order."""
    return _authored("tickets")


def read_criticals() -> list[Ticket]:
    """Emergencies in plain words and their look-alikes, written to test with and never trained on."""
    return _authored("criticals")


def read_criticals_dev() -> list[Ticket]:
    """The same kind of tickets by other authors, to tune the urgency decision with."""
    return _authored("criticals_dev")


def read_readings(name: str) -> list[tuple[Ticket, Ticket]]:
    """Two independent readings of each text of the set `name` that has them, without the texts."""
    pairs = []
    for place, line in numbered_lines(DATA / "readings" / f"{name}.jsonl"):
        record = json.loads(line)
        sides = [{"id": record["id"], "text": "-", "source": name, **record[side]} for side in ("first", "second")]
        pairs.append(tuple(_tickets([(place, side)])[0] for side in sides))
    return pairs


def _authored(folder: str) -> list[Ticket]:
    return _tickets(line for file in sorted((DATA / folder).glob("*.jsonl")) for line in numbered_lines(file))


def read_real(public: Path) -> list[Ticket]:
    """The labelled real texts below the folder of public data sets."""
    return _tickets(real_records(public))


def read_goemotions(public: Path, part: str) -> list[Comment]:
    comments = []
    path = public / "goemotions" / f"{part}.tsv"
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            fields = line.rstrip("\n").split("\t")
            try:
                text, labels, identifier = fields
                comments.append(Comment(identifier, text, tuple(int(label) for label in labels.split(","))))
            except ValueError as error:
                raise MalformedRecord(f"{path}:{number}: {error}") from error
    return comments


def goemotions_labels(public: Path) -> list[str]:
    return (public / "goemotions" / "labels.txt").read_text(encoding="utf-8").split()
