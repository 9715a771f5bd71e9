"""Shows that a peer works: starts it on a free port with one thread, sends it tickets, prints the answers, stops it.

    python3 smoke.py transformers
"""

import argparse
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from install import HERE, install

REPOSITORY = HERE.parents[1]
TICKETS = REPOSITORY / "tests/data/tickets.jsonl"
START_SECONDS = 300
ANSWER_SECONDS = 60
STOP_SECONDS = 10
SHOWN = 6

Ticket = dict[str, str]
Scores = dict[str, float]


class Peer:
    """A peer's description with its placeholders filled."""

    def __init__(self, name: str, environment: Path | None, work: Path, port: int) -> None:
        self.description = tomllib.loads((HERE / name / "peer.toml").read_text())
        self.address = f"127.0.0.1:{port}"
        self.places = {
            "{here}": str(HERE / name),
            "{bundle}": str(REPOSITORY / "models/bedside-minilm"),
            "{work}": str(work),
            "{port}": str(port),
            "{threads}": "1",
            "{tei_bin}": os.environ.get("TEI_BIN", "text-embeddings-router"),
        }
        if environment:
            self.places |= {"{python}": str(environment / "bin/python"), "{bin}": str(environment / "bin")}
        added = self.description.get("env", {})
        self.environment = os.environ | {name: self._filled(value) for name, value in added.items()}

    def prepare(self) -> None:
        if "prepare" in self.description:
            subprocess.run(self._command("prepare"), env=self.environment, check=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        # A group of its own, so that the processes that it starts end with it.
        process = subprocess.Popen(
            self._command("command"), env=self.environment, stdout=sys.stderr, start_new_session=True
        )
        try:
            self._wait(process)
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def ask(self, ticket: Ticket) -> Scores:
        """Every score that the peer answers with, by label."""
        if self.description["protocol"] == "bedside":
            return self._ask_grpc(ticket)
        text = f"{ticket['subject']}\n{ticket['text']}" if ticket.get("subject") else ticket["text"]
        body = self.description["body"].replace("{text}", json.dumps(text))
        url = f"http://{self.address}{self.description['path']}"
        request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            return ANSWERS[self.description["protocol"]](json.load(answer))

    def _ask_grpc(self, ticket: Ticket) -> Scores:
        # Of the peer's own environment: see `main`.
        sys.path.append(self.places["{work}"])
        import grpc
        from bedside.v1 import assessment_pb2, triage_pb2, triage_pb2_grpc

        message = triage_pb2.Message(author=triage_pb2.AUTHOR_CUSTOMER, text=ticket["text"])
        sent = triage_pb2.Ticket(id=ticket["id"], subject=ticket.get("subject", ""), messages=[message])
        with grpc.insecure_channel(self.address) as channel:
            service = triage_pb2_grpc.TriageServiceStub(channel)
            request = triage_pb2.TriageTicketRequest(ticket=sent)
            answer = service.TriageTicket(request, timeout=ANSWER_SECONDS).triage.assessment
        emotion, signal = assessment_pb2.Emotion.Name, assessment_pb2.Signal.Name
        urgency = assessment_pb2.Urgency.Name
        print(f"  {emotion(answer.primary)}, intensity {answer.intensity}, {urgency(answer.urgency.level)}")
        scores = {emotion(each.emotion): each.score for each in answer.emotions}
        scores |= {signal(each.signal): each.score for each in answer.signals}
        return scores | {urgency(each.level): each.probability for each in answer.urgency.probabilities}

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                sys.exit(f"it ended with status {process.returncode} while it started")
            if self._ready():
                return
            time.sleep(0.2)
        sys.exit(f"it was not ready within {START_SECONDS} s")

    def _ready(self) -> bool:
        host, port = self.address.split(":")
        try:
            if "ready" in self.description:
                urllib.request.urlopen(f"http://{self.address}{self.description['ready']}", timeout=5).close()
            else:
                socket.create_connection((host, int(port)), timeout=5).close()
        except OSError:
            return False
        return True

    def _command(self, name: str) -> list[str]:
        return [self._filled(argument) for argument in self.description[name]]

    def _filled(self, value: str) -> str:
        for place, filling in self.places.items():
            value = value.replace(place, filling)
        return value


def infinity_scores(answer: dict) -> Scores:
    return {each["label"]: each["score"] for each in answer["data"][0]}


def v2_scores(answer: dict) -> Scores:
    (output,) = answer["outputs"]
    return {each["label"]: each["score"] for each in map(json.loads, output["data"])}


def tei_scores(answer: list) -> Scores:
    return {each["label"]: 1 / (1 + math.exp(-each["score"])) for each in answer}


ANSWERS: dict[str, Callable[..., Scores]] = {"infinity": infinity_scores, "v2": v2_scores, "tei": tei_scores}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=sorted(file.parent.name for file in HERE.glob("*/peer.toml")))
    parser.add_argument("--tickets", type=int, default=3, help="how many to send")
    flags = parser.parse_args()
    environment = install(flags.peer) if (HERE / flags.peer / "requirements.txt").exists() else None
    # gRPC peers are asked with the packages that they are made of.
    if environment and sys.prefix != str(environment):
        # By its full name: the interpreter finds its environment through it.
        os.execv(environment / "bin/python", [str(environment / "bin/python"), *sys.argv])

    # So that the peer is stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with tempfile.TemporaryDirectory() as work:
        peer = Peer(flags.peer, environment, Path(work), free_port())
        peer.prepare()
        began = time.monotonic()
        with peer.running(), TICKETS.open() as tickets:
            print(f"{peer.description['title']}: ready after {time.monotonic() - began:.1f} s")
            for _, line in zip(range(flags.tickets), tickets):
                ticket = json.loads(line)
                print(ticket["id"], ticket["text"][:60].replace("\n", " "))
                scores = peer.ask(ticket)
                top = sorted(scores.items(), key=lambda score: -score[1])[:SHOWN]
                print(f"  {len(scores)} scores:", ", ".join(f"{label} {score:.4f}" for label, score in top))


if __name__ == "__main__":
    main()
