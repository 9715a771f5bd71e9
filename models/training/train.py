"""Trains all label groups together, from the base encoder to a checkpoint that bundle.py turns into a bundle.

    python models/training/train.py --real FOLDER --goemotions FOLDER --out FOLDER

Batches come from one source each, GoEmotions comments or tickets, and only the groups of that source add to the loss.
They are interleaved over one learning-rate schedule, comments denser at the start, tickets towards the end. A run that
was cut short goes on from its last checkpoint when it is started again with the same --out.
"""

import argparse
import json
import math
import random
from pathlib import Path

import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import BertConfig, BertForSequenceClassification

import encoder
import split
from labels import Labels
from records import Comment, Ticket, goemotions_labels, read_folder, read_goemotions

SEED = 20261122
COMMENT_EPOCHS, COMMENT_BATCH, COMMENT_TOKENS = 1.2, 32, 64
TICKET_EPOCHS, TICKET_BATCH, TICKET_TOKENS = 4, 16, 192
ENCODER_RATE, HEAD_RATE, WEIGHT_DECAY, WARM_UP = 2.5e-4, 1e-3, 0.01, 0.06
# Where in the schedule the i-th of n batches lies: (i/n) ** exponent. Above 1 crowds the start, below 1 the end.
COMMENT_EXPONENT, TICKET_EXPONENT = 1.3, 0.8
# Loss weights per group; binary groups are means over their labels, so they need more to weigh as much as a choice.
LOSS_WEIGHTS = {"emotion": 6.0, "signal": 6.0, "urgency": 1.0, "intensity": 0.5, "goemotions": 8.0}
CHECKPOINT_STEPS = 250


def model_with_prior(labels: Labels, comments: list[Comment], tickets: list[Ticket]) -> BertForSequenceClassification:
    """The base encoder under a fresh head whose biases are the log-odds of each label's share in training."""
    config = BertConfig.from_pretrained(
        encoder.CHECKPOINT,
        id2label=dict(enumerate(labels.names)),
        label2id={name: index for index, name in enumerate(labels.names)},
    )
    model = BertForSequenceClassification.from_pretrained(encoder.CHECKPOINT, config=config)
    share = torch.stack([labels.targets(ticket) for ticket in tickets]).mean(0)
    span = labels.span("goemotions")
    share[span] = torch.stack([labels.targets(comment) for comment in comments]).mean(0)[span]
    share = share.clamp(1e-4, 1 - 1e-4)
    bias = torch.logit(share)
    for group in ("intensity", "urgency"):
        bias[labels.span(group)] = share[labels.span(group)].log()
    with torch.no_grad():
        model.classifier.weight.normal_(0.0, 0.02)
        model.classifier.bias.copy_(bias)
    return model


def batches(records: list, lengths: list[int], size: int, epochs: float, seed: int) -> list[list]:
    """Shuffled batches of records of like length, for all epochs; the last epoch may be cut short."""
    generator = random.Random(seed)
    made = []
    for _ in range(math.ceil(epochs)):
        order = list(range(len(records)))
        generator.shuffle(order)
        for start in range(0, len(order), size * 50):
            pool = sorted(order[start : start + size * 50], key=lambda index: lengths[index])
            chunks = [[records[index] for index in pool[at : at + size]] for at in range(0, len(pool), size)]
            generator.shuffle(chunks)
            made += chunks
    return made[: round(epochs * len(records) / size)]


def schedule(comment_batches: list, ticket_batches: list) -> list[list]:
    placed = [((i / len(comment_batches)) ** COMMENT_EXPONENT, 0, b) for i, b in enumerate(comment_batches)]
    placed += [((i / len(ticket_batches)) ** TICKET_EXPONENT, 1, b) for i, b in enumerate(ticket_batches)]
    return [batch for _, _, batch in sorted(placed, key=lambda item: item[:2])]


def loss_of(logits: torch.Tensor, targets: torch.Tensor, labels: Labels, groups: tuple[str, ...]) -> torch.Tensor:
    total = logits.new_zeros(())
    for group in groups:
        span = labels.span(group)
        if group in ("intensity", "urgency"):
            loss = cross_entropy(logits[:, span], targets[:, span].argmax(1))
        else:
            loss = bce(logits[:, span], targets[:, span])
        total = total + LOSS_WEIGHTS[group] * loss
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="folder of labelled real texts")
    parser.add_argument("--goemotions", type=Path, required=True, help="folder of GoEmotions")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    arguments = parser.parse_args()
    random.seed(SEED)
    torch.manual_seed(SEED)
    arguments.out.mkdir(parents=True, exist_ok=True)

    labels = Labels(goemotions_labels(arguments.goemotions))
    tickets = split.load(read_folder(split.DATA / "tickets"), "authored")["train"]
    tickets += split.load(read_folder(arguments.real), "real")["train"]
    comments = read_goemotions(arguments.goemotions, "train")
    tokenizer = encoder.tokenizer()
    plan = schedule(
        batches(comments, [len(c.text) for c in comments], COMMENT_BATCH, COMMENT_EPOCHS, SEED),
        batches(tickets, [len(t.model_text) for t in tickets], TICKET_BATCH, TICKET_EPOCHS, SEED + 1),
    )
    model = model_with_prior(labels, comments, tickets)
    head = [p for name, p in model.named_parameters() if name.startswith(("classifier", "bert.pooler"))]
    body = [p for name, p in model.named_parameters() if not name.startswith(("classifier", "bert.pooler"))]
    optimizer = torch.optim.AdamW(
        [{"params": body, "lr": ENCODER_RATE}, {"params": head, "lr": HEAD_RATE}], weight_decay=WEIGHT_DECAY, fused=True
    )
    warm_up = round(WARM_UP * len(plan))
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: step / warm_up
        if step < warm_up
        else 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (len(plan) - warm_up))),
    )
    done, resume = 0, arguments.out / "resume.pt"
    if resume.exists():
        state = torch.load(resume, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        rate.load_state_dict(state["rate"])
        done = state["step"]
        print(f"going on from step {done}")

    model.train()
    progress = tqdm(plan[done:], initial=done, total=len(plan), unit="step", mininterval=5.0)
    smooth = {}
    with (arguments.out / "loss.jsonl").open("a") as curve:
        for step, batch in enumerate(progress, done + 1):
            kind, tokens = (
                ("comments", COMMENT_TOKENS) if isinstance(batch[0], Comment) else ("tickets", TICKET_TOKENS)
            )
            texts = [r.text if isinstance(r, Comment) else r.model_text for r in batch]
            encoded = tokenizer(texts, padding=True, truncation=True, max_length=tokens, return_tensors="pt")
            targets = torch.stack([labels.targets(record) for record in batch])
            groups = ("goemotions",) if kind == "comments" else ("emotion", "intensity", "urgency", "signal")
            loss = loss_of(model(**encoded).logits, targets, labels, groups)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            rate.step()
            smooth[kind] = 0.98 * smooth.get(kind, loss.item()) + 0.02 * loss.item()
            progress.set_postfix({name: f"{value:.3f}" for name, value in smooth.items()}, refresh=False)
            curve.write(json.dumps({"step": step, "kind": kind, "loss": round(loss.item(), 4)}) + "\n")
            if step % CHECKPOINT_STEPS == 0:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rate": rate.state_dict()}
                torch.save({**state, "step": step}, resume.with_suffix(".part"))
                resume.with_suffix(".part").replace(resume)
    model.save_pretrained(arguments.out / "checkpoint")
    tokenizer.save_pretrained(arguments.out / "checkpoint")
    resume.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
