"""Calibrates a trained checkpoint on the dev texts and writes the bundle that the service loads.

    python models/training/bundle.py --real FOLDER --goemotions FOLDER --run FOLDER --out models/bedside-minilm

Fitted on dev texts only: a temperature for each label group (least cross-entropy), a threshold for each independent
label (best F1, drawn towards the group's common threshold where a label is rare), and how much more a missed level of
urgency costs than a false alarm. The test side is not read here: `bedside evaluate` measures it through the service's
own path.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.metrics import cohen_kappa_score, f1_score
from tqdm import tqdm
from transformers import AutoTokenizer, BertForSequenceClassification

import split
from labels import CHOICE_GROUPS, TICKET_GROUPS, Labels
from records import URGENCIES, Comment, Ticket, goemotions_labels, read_folder, read_goemotions

NAME, VERSION = "bedside-minilm", "0.1.0"
LICENSE = "Apache-2.0"
# The encoder reads 512, but training showed it no more than 192; in shorter windows it loses less of a long text.
WINDOW_TOKENS = 256
# A label's threshold moves this much towards its group's common one, as if so many positives had voted for that.
THRESHOLD_PRIOR = 8.0
CRITICAL = URGENCIES.index("critical")


def logits_of(model, tokenizer, records: list[Ticket | Comment]) -> np.ndarray:
    """Raw scores, in the order of the records."""
    texts = [record.text if isinstance(record, Comment) else record.model_text for record in records]
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    rows = np.empty((len(texts), model.config.num_labels), dtype=np.float32)
    with torch.inference_mode():
        for start in tqdm(range(0, len(order), 32), unit="batch", desc="scoring"):
            part = order[start : start + 32]
            batch = tokenizer(
                [texts[index] for index in part], padding=True, truncation=True, max_length=512, return_tensors="pt"
            )
            rows[part] = model(**batch).logits.numpy()
    return rows


def probabilities(logits: np.ndarray, temperature: float, exclusive: bool) -> np.ndarray:
    scaled = torch.from_numpy(logits / temperature)
    return (scaled.softmax(1) if exclusive else scaled.sigmoid()).numpy()


def fitted_temperature(logits: np.ndarray, truth: np.ndarray, exclusive: bool) -> float:
    """The temperature with the least cross-entropy, out of a fine grid."""

    def cross_entropy(temperature: float) -> float:
        p = probabilities(logits, temperature, exclusive).clip(1e-7, 1 - 1e-7)
        if exclusive:
            return float(-np.log(p[truth.astype(bool)]).mean())
        return float(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean())

    return round(float(min(np.geomspace(0.5, 4.0, 120), key=cross_entropy)), 4)


def fitted_thresholds(p: np.ndarray, truth: np.ndarray) -> list[float]:
    """Best F1 per label; the fewer positives a label has, the nearer it stays to the best common threshold."""
    grid = np.arange(0.05, 0.90, 0.01)

    def best(score) -> float:
        scores = np.array([score(threshold) for threshold in grid])
        # The middle of the plateau generalises better than its first point.
        return float(grid[scores >= scores.max() - 1e-3].mean())

    present = truth.sum(0) > 0
    common = best(lambda t: f1_score(truth[:, present], p[:, present] >= t, average="macro", zero_division=0))
    thresholds = []
    for column in range(truth.shape[1]):
        positives = truth[:, column].sum()
        own = best(lambda t: f1_score(truth[:, column], p[:, column] >= t, zero_division=0)) if positives else common
        thresholds.append((positives * own + THRESHOLD_PRIOR * common) / (positives + THRESHOLD_PRIOR))
    return [round(float(threshold), 4) for threshold in thresholds]


def urgency_costs(miss: float, miss_critical: float) -> np.ndarray:
    """Cost of each decision: the square of the distance, times `miss` when the decision is too low."""
    costs = np.zeros((4, 4))
    for truth in range(4):
        for decision in range(4):
            factor = 1.0 if decision >= truth else miss_critical if truth == CRITICAL else miss
            costs[truth, decision] = factor * (truth - decision) ** 2
    return costs


def fitted_costs(p: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The costs with the best agreement (quadratic weighted kappa) plus half the recall of critical."""

    def merit(costs: np.ndarray) -> float:
        decided = (p @ costs).argmin(1)
        recall = (decided[levels == CRITICAL] == CRITICAL).mean()
        return cohen_kappa_score(levels, decided, weights="quadratic") + 0.5 * recall

    grid = [urgency_costs(miss, critical) for miss in (0.8, 1.0, 1.3, 1.6) for critical in (1.0, 1.5, 2.0, 3.0, 4.0)]
    return max(grid, key=merit)


def toml_list(values) -> str:
    return "[" + ", ".join(json.dumps(value) for value in values) + "]"


def write_bundle(out: Path, checkpoint: Path, model, groups: list[dict], costs: np.ndarray, scores: dict) -> None:
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    # safetensors makes it readable by its owner only.
    (out / "model.safetensors").chmod(0o644)
    config = json.loads((checkpoint / "config.json").read_text())
    config = {key: value for key, value in config.items() if not key.startswith("_")} | {"torch_dtype": "float16"}
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (out / "tokenizer.json").write_bytes((checkpoint / "tokenizer.json").read_bytes())
    lines = [
        "# Written by models/training/bundle.py. Temperatures, thresholds and costs were fitted on dev texts only.",
        "schema = 1",
        f'name = "{NAME}"',
        f'version = "{VERSION}"',
        f'license = "{LICENSE}"',
        'languages = ["eng"]',
        f"window_tokens = {WINDOW_TOKENS}",
        "bf16 = true",
        "",
    ]
    for group in groups:
        lines += ["[[groups]]", f'name = "{group["name"]}"', f"labels = {toml_list(group['labels'])}"]
        lines += [f"exclusive = {json.dumps(group['exclusive'])}", f"temperature = {group['temperature']}"]
        if not group["exclusive"]:
            lines.append(f"thresholds = {toml_list(group['thresholds'])}")
        lines.append("")
    lines += ["# costs[truth][decision], from low to critical: being too low costs more than being too high.", "[urgency]"]
    lines += [f"costs = [{', '.join(toml_list(row.tolist()) for row in costs)}]", ""]
    lines += ["# On the dev texts that the decisions were fitted on; for the test side see the model card.", "[scores]"]
    lines += [f"{name} = {value:.4f}" for name, value in scores.items()]
    lines += ["", "[files]"]
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        lines.append(f'"{name}" = "{hashlib.sha256((out / name).read_bytes()).hexdigest()}"')
    (out / "bundle.toml").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="folder of labelled real texts")
    parser.add_argument("--goemotions", type=Path, required=True, help="folder of GoEmotions")
    parser.add_argument("--run", type=Path, required=True, help="folder that train.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder")
    arguments = parser.parse_args()

    checkpoint = arguments.run / "checkpoint"
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = BertForSequenceClassification.from_pretrained(checkpoint).eval()
    # The service computes from the rounded weights, so the decisions are fitted to them.
    model.load_state_dict({name: tensor.half().float() for name, tensor in model.state_dict().items()})
    labels = Labels(goemotions_labels(arguments.goemotions))
    tickets = split.load(read_folder(split.DATA / "tickets"), "authored")["dev"]
    tickets += split.load(read_folder(arguments.real), "real")["dev"]
    comments = read_goemotions(arguments.goemotions, "dev")
    sources = dict.fromkeys(TICKET_GROUPS, (tickets, logits_of(model, tokenizer, tickets)))
    sources["goemotions"] = (comments, logits_of(model, tokenizer, comments))

    groups, scores, costs = [], {}, None
    for name, names in labels.groups.items():
        records, logits = sources[name]
        span, exclusive = labels.span(name), name in CHOICE_GROUPS
        truth = torch.stack([labels.targets(record) for record in records])[:, span].numpy()
        temperature = fitted_temperature(logits[:, span], truth, exclusive)
        p = probabilities(logits[:, span], temperature, exclusive)
        group = {"name": name, "labels": names, "exclusive": exclusive, "temperature": temperature}
        if exclusive:
            levels = truth.argmax(1)
            if name == "urgency":
                costs = fitted_costs(p, levels)
                decided = (p @ costs).argmin(1)
                scores["urgency_qwk"] = cohen_kappa_score(levels, decided, weights="quadratic")
                scores["urgency_critical_recall"] = (decided[levels == CRITICAL] == CRITICAL).mean()
        else:
            group["thresholds"] = fitted_thresholds(p, truth)
            decided = p >= np.array(group["thresholds"])
            if name == "emotion":
                # As the service decides: neutral is what is left when no feeling holds.
                decided[:, -1] = ~decided[:, :-1].any(1)
            scores[f"{name}_macro_f1"] = f1_score(truth, decided, average="macro", zero_division=0)
            scores[f"{name}_micro_f1"] = f1_score(truth, decided, average="micro", zero_division=0)
        groups.append(group)
    write_bundle(arguments.out, checkpoint, model, groups, costs, scores)
    for name, value in scores.items():
        print(f"dev {name} {value:.4f}")


if __name__ == "__main__":
    main()
