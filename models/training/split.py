"""Fixes which tickets train, tune and test, so that neither an author, a domain nor a scenario is on both sides.

    python models/training/split.py --real LABELLED_REAL_FOLDER

Authored tickets: the test side is one whole author plus whole domains of the others; the tuning (dev) side is whole
scenarios. A domain is a cluster of sentence embeddings, a scenario a set of tickets linked by embedding similarity;
a scenario that touches the test side goes there whole. Real texts: a fixed tenth of each source each for test and
tuning. The result, ids beside a hash of the labels, is committed; training refuses labels that no longer match.
"""

import argparse
import hashlib
import json
import random
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import KMeans

import encoder
from records import Ticket, read_folder

DATA = Path(__file__).resolve().parent.parent / "data"
TEST_AUTHOR = "author7"
DOMAINS = 40
TEST_DOMAINS = 2
SCENARIO_SIMILARITY = 0.72
# author12 wrote numbers 271 to 300 as minimal pairs: one fact changed, the right label with it.
MINIMAL_PAIRS = {f"w12-{number}" for number in range(271, 301)}
SHARE = 0.10
SEED = 20261122


def label_hash(tickets: list[Ticket]) -> str:
    """One hash over every id, text and label, so that a silent relabelling is noticed."""
    digest = hashlib.sha256()
    for ticket in sorted(tickets, key=lambda ticket: ticket.id):
        fields = [ticket.id, ticket.model_text, *ticket.emotions, ticket.primary, str(ticket.intensity)]
        digest.update("\x1f".join([*fields, ticket.urgency, *ticket.signals, "\x1e"]).encode())
    return digest.hexdigest()


def embed(texts: list[str]) -> np.ndarray:
    """Sentence embeddings, unit length: the base encoder's mean over tokens."""
    tokenizer, model = encoder.tokenizer(), encoder.sentence_encoder()
    rows = []
    with torch.inference_mode():
        for start in range(0, len(texts), 64):
            batch = tokenizer(texts[start : start + 64], padding=True, truncation=True, max_length=256, return_tensors="pt")
            hidden = model(**batch).last_hidden_state
            weights = batch["attention_mask"].unsqueeze(-1)
            rows.append(torch.nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=1))
    return torch.cat(rows).numpy()


def scenarios(tickets: list[Ticket], embeddings: np.ndarray) -> list[int]:
    """A scenario number for each ticket: connected components of similarity above the threshold."""
    parent = list(range(len(tickets)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for left, right in zip(*np.nonzero(np.triu(embeddings @ embeddings.T, 1) > SCENARIO_SIMILARITY)):
        parent[root(right)] = root(left)
    pairs = [index for index, ticket in enumerate(tickets) if ticket.id in MINIMAL_PAIRS]
    for index in pairs[1:]:
        parent[root(index)] = root(pairs[0])
    return [root(index) for index in range(len(tickets))]


def split_authored(tickets: list[Ticket]) -> dict[str, list[str]]:
    embeddings = embed([ticket.model_text for ticket in tickets])
    scenario = scenarios(tickets, embeddings)
    domain = KMeans(DOMAINS, random_state=SEED, n_init=4).fit_predict(embeddings)
    test_domains = set(random.Random(SEED).sample(range(DOMAINS), TEST_DOMAINS))
    test = {
        scenario[index]
        for index, ticket in enumerate(tickets)
        if ticket.origin == TEST_AUTHOR or domain[index] in test_domains
    }
    rest = sorted(set(scenario) - test)
    random.Random(SEED + 1).shuffle(rest)
    dev: set[int] = set()
    wanted = SHARE * len(tickets)
    sizes = {number: scenario.count(number) for number in rest}
    for number in rest:
        if sum(sizes[chosen] for chosen in dev) >= wanted:
            break
        dev.add(number)
    side = ["test" if number in test else "dev" if number in dev else "train" for number in scenario]
    return {name: [t.id for t, s in zip(tickets, side) if s == name] for name in ("train", "dev", "test")}


def split_real(tickets: list[Ticket]) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for origin in sorted({ticket.origin for ticket in tickets}):
        ids = [ticket.id for ticket in tickets if ticket.origin == origin]
        random.Random(f"{SEED}{origin}").shuffle(ids)
        share = round(SHARE * len(ids))
        parts["test"] += ids[:share]
        parts["dev"] += ids[share : 2 * share]
        parts["train"] += ids[2 * share :]
    return parts


def load(tickets: list[Ticket], name: str) -> dict[str, list[Ticket]]:
    """The committed split applied to `tickets`; `name` is `authored` or `real`."""
    fixed = json.loads((DATA / "split.json").read_text())[name]
    if label_hash(tickets) != fixed["label_hash"]:
        raise SystemExit(f"{name}: texts or labels differ from the ones that split.json fixed; run split.py anew on purpose")
    by_id = {ticket.id: ticket for ticket in tickets}
    return {part: [by_id[identifier] for identifier in fixed[part]] for part in ("train", "dev", "test")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="folder of labelled real texts, read and not copied")
    arguments = parser.parse_args()
    authored, real = read_folder(DATA / "tickets"), read_folder(arguments.real)
    fixed = {
        "authored": {"label_hash": label_hash(authored), **split_authored(authored)},
        "real": {"label_hash": label_hash(real), **split_real(real)},
    }
    (DATA / "split.json").write_text(json.dumps(fixed, indent=1) + "\n")
    for name, parts in fixed.items():
        print(name, {part: len(ids) for part, ids in parts.items() if part != "label_hash"})


if __name__ == "__main__":
    main()
