"""Trains all label groups from the base encoder to the checkpoint that bundle.py turns into a bundle, in stages.

    python models/training/train.py --public FOLDER --out FOLDER

1. `comments`: GoEmotions with its own labels, and with the emotions of a customer that they stand for.
2. `authored`: the tickets of models/data, comments among them so that their labels are kept.
3. `real`: the labelled real texts, with tickets and comments among them.
4. `joint`: all of it once more, in about equal parts.

Batches come from one source each, and only the groups of that source add to the loss. Each stage ends with the moving
average of its weights in OUT/STAGE, from which the next goes on; a stage found there is not trained again, and one that
was cut short goes on from its last checkpoint. `--without SOURCE` trains the third stage once more without one source of
real texts and writes it to OUT/real-without-SOURCE: what is left is a measure of how well unseen kinds of text are read.
`--begin-with BUNDLE` takes the weights of a bundle in place of the first three stages.
"""

import argparse
import hashlib
import json
import math
import random
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from tqdm import tqdm
from transformers import BertConfig, BertForSequenceClassification

import encoder
import split
from labels import EMOTION_OF, TICKET_GROUPS, Labels
from records import Comment, Ticket, goemotions_labels, read_authored, read_goemotions, read_readings, read_real
from variation import varied

SEED = 20261122
COMMENT_BATCH, COMMENT_TOKENS = 16, 64
TICKET_BATCH, TICKET_TOKENS = 8, 192
WEIGHT_DECAY, WARM_UP, FINAL_RATE = 0.01, 0.06, 0.05
# Loss weights per group; binary groups are means over their labels, so they need more to weigh as much as a choice.
LOSS_WEIGHTS = {"emotion": 6.0, "signal": 6.0, "urgency": 1.5, "intensity": 0.5, "goemotions": 4.0}
# A label's positives weigh more by this power of its odds of not holding, up to the limit: rare labels are learned at all.
# After 110 batches of tickets, mean average precision of emotions 0.499 against 0.487 without, of signals 0.280 against 0.260.
POSITIVE_POWER, POSITIVE_LIMIT = 0.5, 6.0
# Weight of the ranked probability score beside the cross-entropy of an ordinal group.
RANKED_WEIGHT = 2.0
CHECKPOINT_STEPS = 500
AVERAGE_STEPS, AVERAGE_DECAY = 5, 0.985
SETTINGS = "settings.txt"
# Sources of the same kind of text: whoever leaves one out to see how unseen text is read leaves the others out too.
RELATED = {"github_incivility": ("premo",)}


@dataclass(frozen=True)
class Stage:
    """What one stage trains on, in epochs of each source, its highest learning rates, its dropout, and the share that the
    weights it began with have in those it leaves."""

    name: str
    epochs: dict[str, float]
    encoder_rate: float
    head_rate: float
    dropout: float
    kept: float = 0.0


STAGES = (
    Stage("comments", {"comments": 2.5}, 3e-4, 1e-3, 0.1),
    Stage("authored", {"authored": 4.5, "comments": 0.25}, 2e-4, 1e-3, 0.05),
    Stage("real", {"real": 2.0, "authored": 0.8, "comments": 0.5}, 1.2e-4, 6e-4, 0.05),
    Stage("joint", {"real": 1.2, "authored": 1.2, "comments": 1.0}, 1.2e-4, 6e-4, 0.05, kept=0.3),
)
# Where a source is left out, the third stage is this share of its length: it is trained once for each source.
WITHOUT_SHARE = 0.25


def model_with_prior(labels: Labels, records: dict[str, list]) -> BertForSequenceClassification:
    """The base encoder under a fresh head whose biases are the log-odds of each label's share in the texts it is learned
    from first; what no comment is labelled with begins as good as never."""
    config = BertConfig.from_pretrained(
        encoder.CHECKPOINT,
        id2label=dict(enumerate(labels.names)),
        label2id={name: index for index, name in enumerate(labels.names)},
    )
    model = BertForSequenceClassification.from_pretrained(encoder.CHECKPOINT, config=config)
    share = torch.stack([labels.targets(ticket) for ticket in records["authored"]]).mean(0)
    comments = torch.stack([labels.targets(comment) for comment in records["comments"]]).mean(0)
    for group in ("goemotions", "emotion"):
        share[labels.span(group)] = comments[labels.span(group)]
    share = share.clamp(1e-3, 1 - 1e-3)
    bias = torch.logit(share)
    for group in ("intensity", "urgency"):
        bias[labels.span(group)] = share[labels.span(group)].log()
    with torch.no_grad():
        # The encoder comes with a pooler that nothing was trained on; passing the first token through as it is starts
        # ahead of that: mean average precision 0.436 against 0.409 after 300 batches of comments.
        model.bert.pooler.dense.weight.copy_(torch.eye(config.hidden_size))
        model.bert.pooler.dense.bias.zero_()
        model.classifier.weight.normal_(0.0, 0.02)
        model.classifier.bias.copy_(bias)
    return model


def forward(model: BertForSequenceClassification, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """The logits of `model(...)`, without the work that cannot reach them: of the last layer only the first token's row.

    Attention is not dropped out; everything else is as in the model's own forward.
    """
    hidden = model.bert.embeddings(ids)
    batch, _, width = hidden.shape
    mask = torch.zeros(batch, 1, 1, ids.shape[1]).masked_fill(attention_mask[:, None, None, :] == 0, float("-inf"))
    layers = model.bert.encoder.layer
    for layer in layers:
        attention = layer.attention.self
        rows = hidden[:, :1] if layer is layers[-1] else hidden
        query, key, value = (
            part.view(batch, -1, attention.num_attention_heads, attention.attention_head_size).transpose(1, 2)
            for part in (attention.query(rows), attention.key(hidden), attention.value(hidden))
        )
        context = scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)
        attended = layer.attention.output(context.reshape(batch, -1, width), rows)
        hidden = layer.output(layer.intermediate(attended), attended)
    return model.classifier(model.dropout(model.bert.pooler(hidden)))


def batches(records: list, size: int, epochs: float, seed: str) -> list[list]:
    """Shuffled batches of records of like length, for all epochs; the last epoch may be cut short."""
    generator = random.Random(seed)
    made = []
    for _ in range(math.ceil(epochs)):
        order = list(records)
        generator.shuffle(order)
        chunks = []
        for start in range(0, len(order), size * 50):
            pool = sorted(order[start : start + size * 50], key=lambda record: len(record.model_text))
            chunks += [pool[at : at + size] for at in range(0, len(pool), size)]
        generator.shuffle(chunks)
        made += chunks
    return made[: round(epochs * len(records) / size)]


def plan(stage: Stage, records: dict[str, list]) -> list[list]:
    """The stage's batches, those of each source spread evenly over it."""
    placed = []
    for source, epochs in stage.epochs.items():
        size = COMMENT_BATCH if source == "comments" else TICKET_BATCH
        made = batches(records[source], size, epochs, f"{SEED}{stage.name}{source}")
        placed += [((index + 0.5) / len(made), source, batch) for index, batch in enumerate(made)]
    return [batch for _, _, batch in sorted(placed, key=lambda item: item[:2])]


def targets_of(batch: list, labels: Labels, second: dict[str, Ticket]) -> torch.Tensor:
    """What the labels should be: the mean of two readings where a text was read twice."""
    rows = [[record, second[record.id]] if record.id in second else [record] for record in batch]
    return torch.stack([torch.stack([labels.targets(reading) for reading in row]).mean(0) for row in rows])


def ranked_probability_score(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A proper score that charges being two levels off more than one: the squared distance of the cumulated probabilities."""
    return (logits.softmax(1).cumsum(1) - targets.cumsum(1)).square().sum(1).mean()


def positive_weights(labels: Labels, records: dict[str, list]) -> torch.Tensor:
    """How much each label's positives weigh, from its share among the records that have its group."""
    share = torch.stack([labels.targets(ticket) for ticket in records["authored"] + records["real"]]).mean(0)
    comments, span = torch.stack([labels.targets(comment) for comment in records["comments"]]).mean(0), labels.span("goemotions")
    share[span] = comments[span]
    share = share.clamp(1e-3, 0.5)
    return ((1 - share) / share).pow(POSITIVE_POWER).clamp(max=POSITIVE_LIMIT)


def loss_of(
    logits: torch.Tensor, targets: torch.Tensor, batch: list, labels: Labels, stage: Stage, positive: torch.Tensor
) -> torch.Tensor:
    groups = TICKET_GROUPS
    if isinstance(batch[0], Comment):
        # Once tickets teach what a customer's emotions are, the coarser reading of comments would only blur it.
        groups = ("goemotions", "emotion") if stage.name == "comments" else ("goemotions",)
    total = logits.new_zeros(())
    for group in groups:
        span = labels.span(group)
        if group in ("intensity", "urgency"):
            loss = cross_entropy(logits[:, span], targets[:, span])
            loss = loss + RANKED_WEIGHT * ranked_probability_score(logits[:, span], targets[:, span])
        elif group == "emotion" and isinstance(batch[0], Comment):
            known = torch.tensor([name in EMOTION_OF.values() for name in labels.groups["emotion"]])
            loss = bce(logits[:, span][:, known], targets[:, span][:, known])
        else:
            loss = bce(logits[:, span], targets[:, span], pos_weight=positive[span])
        total = total + LOSS_WEIGHTS[group] * loss
    return total


def settings_of(stage: Stage, records: dict[str, list], second: dict[str, Ticket], before: str) -> str:
    """What a stage or its checkpoint must agree on to be taken over; `before` is that of the stage before."""
    digest = hashlib.sha256(before.encode())
    for source in sorted(set(stage.epochs) - {"comments"}):
        readings = [second[ticket.id] for ticket in records[source] if ticket.id in second]
        digest.update((split.label_hash(records[source]) + split.label_hash(readings)).encode())
    for name in ("labels", "variation"):
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    numbers = (
        SEED, LOSS_WEIGHTS, RANKED_WEIGHT, POSITIVE_POWER, POSITIVE_LIMIT, COMMENT_BATCH, COMMENT_TOKENS, TICKET_BATCH,
        TICKET_TOKENS, WEIGHT_DECAY, WARM_UP, FINAL_RATE, AVERAGE_STEPS, AVERAGE_DECAY,
    )  # fmt: skip
    return f"{stage}\n{numbers}\n{digest.hexdigest()}\n"


def train(
    model, tokenizer, labels: Labels, stage: Stage, records: dict[str, list], second: dict[str, Ticket], settings: str, out: Path
) -> None:
    """Trains one stage and leaves the average of its weights in `out`, with the `settings` that it was made with."""
    steps = plan(stage, records)
    head = [p for name, p in model.named_parameters() if name.startswith(("classifier", "bert.pooler"))]
    body = [p for name, p in model.named_parameters() if not name.startswith(("classifier", "bert.pooler"))]
    optimizer = torch.optim.AdamW(
        [{"params": body, "lr": stage.encoder_rate}, {"params": head, "lr": stage.head_rate}],
        weight_decay=WEIGHT_DECAY,
        fused=True,
    )
    warm_up = max(1, round(WARM_UP * len(steps)))

    def rate_at(step: int) -> float:
        if step < warm_up:
            return step / warm_up
        cosine = 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (len(steps) - warm_up)))
        return FINAL_RATE + (1 - FINAL_RATE) * cosine

    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_at)
    average = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    begun = {name: tensor.clone() for name, tensor in average.items()} if stage.kept else {}
    done, resume = 0, out.with_suffix(".resume.pt")
    if resume.exists():
        state = torch.load(resume, weights_only=True)
        if state["settings"] != settings:
            raise SystemExit(f"{resume} was begun with other settings; remove it to begin anew")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        rate.load_state_dict(state["rate"])
        average, done = state["average"], state["step"]

    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = stage.dropout
    torch.manual_seed(SEED + done)
    positive = positive_weights(labels, records)
    progress = tqdm(steps[done:], initial=done, total=len(steps), unit="step", desc=out.name, mininterval=5.0)
    smooth = {}
    losses = out.with_suffix(".loss.jsonl")
    # Steps after the last checkpoint are made anew.
    kept = [line for line in losses.read_text().splitlines(True) if json.loads(line)["step"] <= done] if done else []
    losses.write_text("".join(kept))
    with losses.open("a") as curve:
        for step, batch in enumerate(progress, done + 1):
            kind, tokens = (
                ("comments", COMMENT_TOKENS) if isinstance(batch[0], Comment) else ("tickets", TICKET_TOKENS)
            )
            generator = random.Random(f"{SEED}{stage.name}{step}")
            texts = [
                record.text if isinstance(record, Comment) else varied(record.subject, record.text, generator)
                for record in batch
            ]
            encoded = tokenizer(texts, padding=True, truncation=True, max_length=tokens, return_tensors="pt")
            logits = forward(model, encoded.input_ids, encoded.attention_mask)
            loss = loss_of(logits, targets_of(batch, labels, second), batch, labels, stage, positive)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            rate.step()
            if step % AVERAGE_STEPS == 0:
                # Short memory at first, so that the weights of the stage's beginning do not linger.
                decay = min(AVERAGE_DECAY, step / (step + 10 * AVERAGE_STEPS))
                for name, tensor in model.state_dict().items():
                    average[name].lerp_(tensor, 1 - decay) if tensor.is_floating_point() else None
            smooth[kind] = 0.98 * smooth.get(kind, loss.item()) + 0.02 * loss.item()
            progress.set_postfix({name: f"{value:.3f}" for name, value in smooth.items()}, refresh=False)
            curve.write(json.dumps({"step": step, "kind": kind, "loss": round(loss.item(), 4)}) + "\n")
            if step % CHECKPOINT_STEPS == 0:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rate": rate.state_dict()}
                part = resume.with_suffix(".part")
                curve.flush()
                torch.save({**state, "average": average, "step": step, "settings": settings}, part)
                part.replace(resume)
    for name, tensor in begun.items():
        average[name].lerp_(tensor, stage.kept) if tensor.is_floating_point() else None
    model.load_state_dict(average)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    # Last: a stage is finished when it says what it was made with.
    (out / SETTINGS).write_text(settings)
    resume.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--public", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    # Weights that learned from a source cannot show how it is read unseen.
    variant = parser.add_mutually_exclusive_group()
    variant.add_argument("--without", metavar="SOURCE", help="train the third stage again without this source")
    variant.add_argument("--begin-with", metavar="BUNDLE", type=Path, help="train the last stage alone, from these weights")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    labels = Labels(goemotions_labels(arguments.public))
    records: dict[str, list[Ticket] | list[Comment]] = {
        "comments": read_goemotions(arguments.public, "train"),
        "authored": split.load(read_authored(), "authored")["train"],
        "real": split.load(read_real(arguments.public), "real")["train"],
    }
    second = {reading.id: reading for name in ("authored", "real") for _, reading in read_readings(name)}
    tokenizer = encoder.tokenizer()
    torch.manual_seed(SEED)
    model, settings = model_with_prior(labels, records), ""
    stages = STAGES
    if arguments.begin_with:
        model = BertForSequenceClassification.from_pretrained(arguments.begin_with, torch_dtype=torch.float32)
        settings = hashlib.sha256((arguments.begin_with / "model.safetensors").read_bytes()).hexdigest()
        stages = STAGES[-1:]
    for stage in stages:
        out = arguments.out / stage.name
        if arguments.without and stage.name == "real":
            out = arguments.out / f"{stage.name}-without-{arguments.without}"
            if arguments.without not in {ticket.origin for ticket in records["real"]}:
                raise SystemExit(f"--without: no real text has the source {arguments.without}")
            left_out = {arguments.without, *RELATED.get(arguments.without, ())}
            records["real"] = [ticket for ticket in records["real"] if ticket.origin not in left_out]
            stage = replace(stage, epochs={source: epochs * WITHOUT_SHARE for source, epochs in stage.epochs.items()})
        settings = settings_of(stage, records, second, settings)
        if not (out / SETTINGS).exists():
            train(model, tokenizer, labels, stage, records, second, settings, out)
        elif (out / SETTINGS).read_text() != settings:
            raise SystemExit(f"{out} was trained with other settings or data; remove it, and what follows it, to train anew")
        if arguments.without and stage.name == "real":
            return
        model = BertForSequenceClassification.from_pretrained(out)


if __name__ == "__main__":
    main()
