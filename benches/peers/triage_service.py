"""What the two gRPC servers share: the bundle's decisions, the reply, and the server around a scoring function.

The reply has emotions, intensity, urgency and signals, decided as the service itself decides them. It has no routing,
no cues, no confidence: a team that serves the checkpoint by itself has none of these either.
"""

import argparse
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from bedside.v1 import assessment_pb2, triage_pb2, triage_pb2_grpc

# From a text to its logits, one for each label of the bundle. Called from several threads.
Score = Callable[[str], np.ndarray]


@dataclass(frozen=True)
class Group:
    """Labels that are decided together."""

    labels: list[str]
    columns: slice
    exclusive: bool
    temperature: float
    thresholds: np.ndarray

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        scaled = logits[self.columns] / self.temperature
        if not self.exclusive:
            return 1 / (1 + np.exp(-scaled))
        weights = np.exp(scaled - scaled.max())
        return weights / weights.sum()

    def held(self, probabilities: np.ndarray) -> list[int]:
        """The labels that reach their thresholds, the one that is farthest above its own, in log-odds, first."""
        distances = log_odds(probabilities) - log_odds(self.thresholds)
        return [int(label) for label in np.argsort(-distances, kind="stable") if distances[label] >= 0]


class Bundle:
    """What `bundle.toml` says about reading logits."""

    def __init__(self, folder: Path) -> None:
        settings = tomllib.loads((folder / "bundle.toml").read_text())
        self.window_tokens: int = settings["window_tokens"]
        self.groups: dict[str, Group] = {}
        self.urgency_costs = np.array(settings["urgency"]["costs"])
        start = 0
        for group in settings["groups"]:
            columns = slice(start, start + len(group["labels"]))
            start = columns.stop
            self.groups[group["name"]] = Group(
                labels=group["labels"],
                columns=columns,
                exclusive=group["exclusive"],
                temperature=group["temperature"],
                thresholds=np.array(group.get("thresholds", [])),
            )

    def assess(self, logits: np.ndarray) -> assessment_pb2.Assessment:
        emotions = self._emotions(logits)
        neutral = emotions[0].emotion == assessment_pb2.EMOTION_NEUTRAL
        return assessment_pb2.Assessment(
            emotions=emotions,
            primary=emotions[0].emotion,
            intensity=0 if neutral else self._intensity(logits),
            urgency=self._urgency(logits),
            signals=self._signals(logits),
        )

    def _emotions(self, logits: np.ndarray) -> list[assessment_pb2.EmotionScore]:
        group = self.groups["emotion"]
        scores, neutral = group.probabilities(logits), group.labels.index("neutral")
        # Neutral is what is left when no feeling holds.
        held = [label for label in group.held(scores) if label != neutral] or [neutral]
        value = assessment_pb2.Emotion.Value
        return [
            assessment_pb2.EmotionScore(emotion=value(f"EMOTION_{group.labels[label].upper()}"), score=scores[label])
            for label in held
        ]

    def _signals(self, logits: np.ndarray) -> list[assessment_pb2.SignalScore]:
        group = self.groups["signal"]
        scores, value = group.probabilities(logits), assessment_pb2.Signal.Value
        return [
            assessment_pb2.SignalScore(signal=value(f"SIGNAL_{group.labels[label].upper()}"), score=scores[label])
            for label in group.held(scores)
        ]

    def _intensity(self, logits: np.ndarray) -> int:
        """The median of the levels from mild to extreme, given that there is a feeling."""
        felt = self.groups["intensity"].probabilities(logits)[1:].cumsum()
        return 1 + int((felt >= felt[-1] / 2).argmax())

    def _urgency(self, logits: np.ndarray) -> assessment_pb2.UrgencyAssessment:
        group = self.groups["urgency"]
        scores = group.probabilities(logits)
        levels = [assessment_pb2.Urgency.Value(f"URGENCY_{label.upper()}") for label in group.labels]
        # Read from critical down, so that a tie goes to the more urgent level.
        cheapest = len(levels) - 1 - int((scores @ self.urgency_costs)[::-1].argmin())
        return assessment_pb2.UrgencyAssessment(
            level=levels[cheapest],
            score=scores @ np.arange(len(levels)) / (len(levels) - 1),
            probabilities=[
                assessment_pb2.UrgencyProbability(level=level, probability=score)
                for level, score in zip(levels, scores)
            ],
        )


class TriageService(triage_pb2_grpc.TriageServiceServicer):
    """Answers each call with one inference, on the thread that the call came in on."""

    def __init__(self, bundle: Bundle, score: Score) -> None:
        self.bundle = bundle
        self.score = score

    def TriageTicket(
        self, request: triage_pb2.TriageTicketRequest, context: grpc.ServicerContext
    ) -> triage_pb2.TriageTicketResponse:
        ticket = request.ticket
        texts = [message.text for message in ticket.messages if message.author == triage_pb2.AUTHOR_CUSTOMER]
        if not texts:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the ticket has no message by the customer")
        text = f"{ticket.subject}\n{texts[-1]}" if ticket.subject else texts[-1]
        assessment = self.bundle.assess(self.score(text))
        return triage_pb2.TriageTicketResponse(
            triage=triage_pb2.Triage(ticket_id=ticket.id, assessment=assessment)
        )


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The flags that both servers have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--bundle", type=Path, required=True, help="the checkpoint's folder")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1, help="inferences at the same time, each on one thread")
    return parser


def serve(bundle: Bundle, score: Score, port: int, threads: int) -> None:
    """Serves until the process is ended."""
    # Whatever an engine does once, it does before the port accepts calls.
    score("warm-up")
    server = grpc.server(ThreadPoolExecutor(max_workers=threads))
    triage_pb2_grpc.add_TriageServiceServicer_to_server(TriageService(bundle, score), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    clipped = probabilities.clip(1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))
