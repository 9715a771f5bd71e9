"""Fixes which texts train, tune and test, so that neither an author nor a scenario is on both sides.

    python models/training/split.py --public FOLDER

What split.json already places stays where it is; only new texts are placed. Authored tickets: the test side is one whole
author plus whole domains of the others, the tuning (dev) side whole scenarios. A scenario is a set of tickets linked by
embedding similarity or written as a minimal pair. A new ticket that is like one of the test side or of models/data/criticals,
and a ticket of any age that is like one of criticals, is set aside: it is neither trained nor tested on; so is a ticket of
the tuning side that has a relative in training. Real texts: a tenth of each source each for test and tuning, drawn when the source
was new; what is nearly a copy of one of those is set aside. The result, ids beside a hash of the labels, is committed; training refuses labels
that no longer match.
"""

import argparse
import functools
import hashlib
import json
import random
import re
from pathlib import Path

import numpy as np
import torch

import encoder
from real_texts import FILLERS
from records import DATA, Ticket, read_authored, read_criticals, read_real

PARTS = ("train", "dev", "test", "set_aside")
SCENARIO_SIMILARITY = 0.72
# Authors who wrote groups of so many tickets that belong together: one fact changed, or the same facts in another manner.
GROUPED = {"author20": 3, "author32": 4, "author35": 2}
SHARE = 0.10
FILLED = re.compile(rf"\b({'|'.join(FILLERS)})\b")
SEED = 20261122


def label_hash(tickets: list[Ticket]) -> str:
    """One hash over every id, text and label, so that a silent relabelling is noticed."""
    digest = hashlib.sha256()
    for ticket in sorted(tickets, key=lambda ticket: ticket.id):
        fields = [ticket.id, ticket.model_text, *ticket.emotions, ticket.primary, str(ticket.intensity)]
        digest.update("\x1f".join([*fields, ticket.urgency, *ticket.signals, "\x1e"]).encode())
    return digest.hexdigest()


def embed(texts: list[str]) -> np.ndarray:
    """Sentence embeddings, unit length: the base encoder's mean over the first 160 tokens."""
    tokenizer, model = encoder.tokenizer(), encoder.sentence_encoder()
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    rows = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            part = order[start : start + 64]
            batch = tokenizer(
                [texts[index] for index in part], padding=True, truncation=True, max_length=160, return_tensors="pt"
            )
            hidden = model(**batch).last_hidden_state
            weights = batch["attention_mask"].unsqueeze(-1)
            mean = (hidden * weights).sum(1) / weights.sum(1)
            rows[part] = torch.nn.functional.normalize(mean, dim=1).numpy()
    return rows


def scenarios(tickets: list[Ticket], embeddings: np.ndarray) -> list[int]:
    """A scenario number for each ticket: connected components of similarity, and whole groups of minimal pairs."""
    parent = list(range(len(tickets)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for left, right in zip(*np.nonzero(np.triu(embeddings @ embeddings.T, 1) > SCENARIO_SIMILARITY)):
        parent[root(right)] = root(left)
    for group in groups(tickets):
        for index in group:
            parent[root(index)] = root(group[0])
    return [root(index) for index in range(len(tickets))]


def groups(tickets: list[Ticket]) -> list[list[int]]:
    """The places of the tickets that were written as a group."""
    found = []
    for author, size in GROUPED.items():
        places = [index for index, ticket in enumerate(tickets) if ticket.origin == author]
        found += [places[start : start + size] for start in range(0, len(places), size)]
    return found


def place_authored(tickets: list[Ticket], criticals: list[Ticket], placed: dict[str, str]) -> dict[str, str]:
    """Id to part for all tickets; `placed` holds those of an earlier split."""
    embeddings = embed([ticket.model_text for ticket in [*tickets, *criticals]])
    own, guarded = embeddings[: len(tickets)], embeddings[len(tickets) :]

    def alike(others: np.ndarray) -> np.ndarray:
        return (own @ others.T).max(1) > SCENARIO_SIMILARITY if len(others) else np.zeros(len(own), bool)

    like_test = alike(own[[placed.get(ticket.id) == "test" for ticket in tickets]])
    like_critical = alike(guarded)
    scenario = scenarios(tickets, own)
    new = {number: [] for number, ticket in zip(scenario, tickets) if ticket.id not in placed}
    for number, ticket in zip(scenario, tickets):
        if ticket.id not in placed:
            new[number].append(ticket.id)
    # Only scenarios that are new altogether may go to the tuning side.
    old = {number for number, ticket in zip(scenario, tickets) if ticket.id in placed}
    order = sorted(set(new) - old)
    random.Random(SEED + 1).shuffle(order)
    wanted, dev = SHARE * sum(map(len, new.values())), set()
    for number in order:
        if sum(len(new[chosen]) for chosen in dev) >= wanted:
            break
        dev.add(number)
    parts = {}
    for index, ticket in enumerate(tickets):
        part = placed.get(ticket.id)
        if part is None:
            part = "dev" if scenario[index] in dev else "train"
            part = "set_aside" if like_test[index] else part
        if part in ("train", "dev") and like_critical[index]:
            part = "set_aside"
        parts[ticket.id] = part
    # Nothing tunes that has a relative in training, be it older or newer.
    like_train = alike(own[[parts[ticket.id] == "train" for ticket in tickets]])
    for group in groups(tickets):
        sides = {parts[tickets[index].id] for index in group}
        like_train[group] |= len(sides) > 1
    for ticket, related in zip(tickets, like_train):
        if related and parts[ticket.id] == "dev":
            parts[ticket.id] = "set_aside"
    return parts


def place_real(tickets: list[Ticket], placed: dict[str, str]) -> dict[str, str]:
    parts = dict(placed)
    settled = {ticket.origin for ticket in tickets if placed.get(ticket.id) == "test"}
    for origin in sorted({ticket.origin for ticket in tickets}):
        ids = [ticket.id for ticket in tickets if ticket.origin == origin and ticket.id not in placed]
        random.Random(f"{SEED}{origin}").shuffle(ids)
        # A source that has its test and tuning sides keeps them.
        share = 0 if origin in settled else round(SHARE * len(ids))
        for index, identifier in enumerate(ids):
            parts[identifier] = "test" if index < share else "dev" if index < 2 * share else "train"
    held_out = [ticket for ticket in tickets if parts[ticket.id] in ("test", "dev")]
    for ticket in tickets:
        if parts[ticket.id] == "train" and is_copy(ticket, held_out):
            parts[ticket.id] = "set_aside"
    return parts


def is_copy(ticket: Ticket, others: list[Ticket]) -> bool:
    """Whether more than half of the runs of five words, of the shorter one, are those of another text, as with form letters."""
    runs = runs_of_words(ticket.text)
    return len(runs) > 5 and any(
        len(other) > 5 and len(runs & other) > 0.5 * min(len(runs), len(other))
        for other in (runs_of_words(o.text) for o in others)
    )


@functools.cache
def runs_of_words(text: str) -> frozenset[str]:
    # Masks of the same form letter are filled differently.
    words = re.findall(r"[^\W\d]+", FILLED.sub("", text).lower())
    return frozenset(" ".join(words[start : start + 5]) for start in range(len(words) - 4))


def load(tickets: list[Ticket], name: str) -> dict[str, list[Ticket]]:
    """The committed split applied to `tickets`; `name` is `authored` or `real`."""
    fixed = json.loads((DATA / "split.json").read_text())[name]
    if label_hash(tickets) != fixed["label_hash"]:
        raise SystemExit(f"{name}: texts or labels differ from the ones that split.json fixed; run split.py anew on purpose")
    by_id = {ticket.id: ticket for ticket in tickets}
    return {part: [by_id[identifier] for identifier in fixed[part]] for part in PARTS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--public", type=Path, required=True, help="folder of the public data sets")
    arguments = parser.parse_args()
    authored, real = read_authored(), read_real(arguments.public)
    earlier = json.loads((DATA / "split.json").read_text()) if (DATA / "split.json").exists() else {}
    placed = {
        name: {identifier: part for part in PARTS for identifier in parts.get(part, ())} for name, parts in earlier.items()
    }
    placements = {
        "authored": (authored, place_authored(authored, read_criticals(), placed.get("authored", {}))),
        "real": (real, place_real(real, placed.get("real", {}))),
    }
    fixed = {}
    for name, (tickets, parts) in placements.items():
        sides = {part: [ticket.id for ticket in tickets if parts[ticket.id] == part] for part in PARTS}
        fixed[name] = {"label_hash": label_hash(tickets), **sides}
        print(name, {part: len(ids) for part, ids in sides.items()})
    (DATA / "split.json").write_text(json.dumps(fixed, indent=1) + "\n")


if __name__ == "__main__":
    main()
