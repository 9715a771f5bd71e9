"""Calibrates a trained checkpoint on the dev texts and writes the bundle that the service loads.

    python models/training/bundle.py --public FOLDER --checkpoint FOLDER --out models/bedside-minilm

Fitted on dev texts only: a scale and an offset for each label (least cross-entropy), folded into the head, so that every
user of the checkpoint gets calibrated probabilities; a threshold for each independent label (best F1, drawn towards the
group's common threshold where a label is rare); and how much more a missed level of urgency costs than a false alarm.
The test side is not read here: `bedside evaluate` measures it through the service's own path.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.optimize import minimize
from sklearn.metrics import cohen_kappa_score, f1_score
from tokenizers import Tokenizer
from tqdm import tqdm
from transformers import AutoTokenizer, BertForSequenceClassification

import onnx_twin
import split
from decisions import CRITICAL, Decisions, scores, sigmoid, softmax, truth_of
from labels import CHOICE_GROUPS, TICKET_GROUPS, Labels
from records import Comment, Ticket, goemotions_labels, read_authored, read_criticals_dev, read_goemotions, read_real
from train import RELATED

NAME, VERSION = "bedside-minilm", "0.3.0"
LICENSE = "Apache-2.0"
# The encoder reads 512, but training showed it no more than 192; in shorter windows it loses less of a long text.
WINDOW_TOKENS = 256
# A label's threshold moves this much towards its group's common one, as if so many positives had voted for that.
THRESHOLD_PRIOR = 8.0
# How strongly a label's own scale and offset are held to its group's scale and to none, in units of log-likelihood.
SCALE_PRIOR, OFFSET_PRIOR = 8.0, 4.0
# On models/data/criticals_dev, of which half are emergencies: at least this share of what is called critical must be, and as
# soon as this share of the emergencies is found, agreement on all other texts decides.
LEAST_CRITICAL_PRECISION, ENOUGH_CRITICAL_RECALL = 0.75, 0.95


def logits_of(model, tokenizer, records: list[Ticket] | list[Comment]) -> np.ndarray:
    """Raw scores, in the order of the records."""
    texts = [record.model_text for record in records]
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


def fitted_scale(logits: np.ndarray, truth: np.ndarray, exclusive: bool) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset of each column with the least cross-entropy, held to a common scale and to no offset."""

    def cross_entropy(z: np.ndarray) -> float:
        if exclusive:
            return float(-np.log(softmax(z)[truth.astype(bool)].clip(1e-9)).sum())
        p = sigmoid(z).clip(1e-9, 1 - 1e-9)
        return float(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).sum())

    def fit(columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """Fits one scale and the columns' offsets, with the rest of the group as it is."""
        z = logits[:, columns] * common

        def loss(free: np.ndarray) -> float:
            held = SCALE_PRIOR * free[0] ** 2 + OFFSET_PRIOR * (free[1:] ** 2).sum()
            moved = z * np.exp(free[0]) + free[1:]
            if exclusive:
                return float(-np.log(softmax(moved)[truth.astype(bool)].clip(1e-9)).sum()) + held
            p, so = sigmoid(moved).clip(1e-9, 1 - 1e-9), truth[:, columns]
            return float(-(so * np.log(p) + (1 - so) * np.log(1 - p)).sum()) + held

        free = minimize(loss, np.zeros(1 + z.shape[1]), method="L-BFGS-B").x
        return np.full(z.shape[1], np.exp(free[0])), free[1:]

    common = float(min(np.geomspace(0.25, 2.0, 60), key=lambda scale: cross_entropy(logits * scale)))
    width = logits.shape[1]
    parts = [fit(slice(0, width))] if exclusive else [fit(slice(column, column + 1)) for column in range(width)]
    scales, offsets = (np.concatenate(values) for values in zip(*parts))
    return scales * common, offsets


def fitted_thresholds(p: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Best F1 per label; the fewer positives a label has, the nearer it stays to the best common threshold."""
    grid = np.arange(0.05, 0.90, 0.01)

    def best(score) -> float:
        values = np.array([score(threshold) for threshold in grid])
        # The middle of the plateau generalises better than its first point.
        return float(grid[values >= values.max() - 1e-3].mean())

    present = truth.sum(0) > 0
    common = best(lambda t: f1_score(truth[:, present], p[:, present] >= t, average="macro", zero_division=0))
    thresholds = []
    for column in range(truth.shape[1]):
        positives = truth[:, column].sum()
        own = best(lambda t: f1_score(truth[:, column], p[:, column] >= t, zero_division=0)) if positives else common
        thresholds.append((positives * own + THRESHOLD_PRIOR * common) / (positives + THRESHOLD_PRIOR))
    return np.array(thresholds).round(4)


def urgency_costs(miss: float, missed_critical: float) -> np.ndarray:
    """Cost of each decision: the square of the distance, times `miss` when the decision is too low, and `missed_critical` on
    top whenever a critical is called anything less. So how sure one has to be of a critical moves no other decision."""
    costs = np.zeros((4, 4))
    for truth in range(4):
        for decision in range(4):
            costs[truth, decision] = (truth - decision) ** 2 * (miss if decision < truth else 1.0)
    costs[CRITICAL, :CRITICAL] += missed_critical
    return costs


def fitted_costs(p: np.ndarray, levels: np.ndarray, plain_p: np.ndarray, plain_levels: np.ndarray) -> np.ndarray:
    """Precise enough on plain emergencies and their look-alikes, then finding enough of them, then with the best agreement
    (quadratic weighted kappa) on all dev texts."""

    def merit(costs: np.ndarray) -> tuple[float, float, float]:
        called = (plain_p @ costs).argmin(1) == CRITICAL
        precision = (plain_levels[called] == CRITICAL).mean() if called.any() else 0.0
        recall = called[plain_levels == CRITICAL].mean()
        kappa = cohen_kappa_score(levels, (p @ costs).argmin(1), weights="quadratic")
        return min(precision, LEAST_CRITICAL_PRECISION), min(recall, ENOUGH_CRITICAL_RECALL), kappa

    misses = (0.6, 0.8, 1.0, 1.25, 1.6, 2.0)
    grid = [urgency_costs(miss, missed) for miss in misses for missed in (0, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32)]
    return max(grid, key=merit)


def calibrate(
    model, labels: Labels, sources: dict[str, tuple[list, np.ndarray]], plain: tuple[list, np.ndarray]
) -> tuple[Decisions, dict[str, float]]:
    """Fits the decisions, folds the calibration into the model's head, and returns what the decisions reach. `plain` are
    emergencies and look-alikes with their logits."""
    scale, offset = np.ones(len(labels.names)), np.zeros(len(labels.names))
    thresholds, costs = {}, np.zeros((4, 4))
    for group in labels.groups:
        records, logits = sources[group]
        span, truth, exclusive = labels.span(group), truth_of(labels, records, group), group in CHOICE_GROUPS
        scale[span], offset[span] = fitted_scale(logits[:, span], truth, exclusive)
        z = logits[:, span] * scale[span] + offset[span]
        if group == "urgency":
            plain_z = plain[1][:, span] * scale[span] + offset[span]
            plain_truth = truth_of(labels, plain[0], group)
            costs = fitted_costs(softmax(z), truth.argmax(1), softmax(plain_z), plain_truth.argmax(1))
        elif not exclusive:
            thresholds[group] = fitted_thresholds(sigmoid(z), truth)
    with torch.no_grad():
        model.classifier.weight.mul_(torch.from_numpy(scale).float().unsqueeze(1))
        model.classifier.bias.mul_(torch.from_numpy(scale).float()).add_(torch.from_numpy(offset).float())
    decisions, measured = Decisions(labels, thresholds, costs), {}
    for group in ("emotion", "goemotions"):
        records, logits = sources[group]
        # The head is linear: the calibration moves scores as it moved the head.
        measured |= scores(decisions, records, logits * scale + offset)
    return decisions, measured


def toml_list(values) -> str:
    return "[" + ", ".join(json.dumps(value) for value in values) + "]"


def write_bundle(out: Path, checkpoint: Path, model, decisions: Decisions, measured: dict[str, float]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    # safetensors makes it readable by its owner only.
    (out / "model.safetensors").chmod(0o644)
    config = json.loads((checkpoint / "config.json").read_text())
    config = {key: value for key, value in config.items() if not key.startswith("_")} | {"torch_dtype": "float16"}
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    # Training leaves the lengths of its last batch in it.
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.enable_truncation(WINDOW_TOKENS)
    tokenizer.no_padding()
    tokenizer.save(str(out / "tokenizer.json"))
    onnx_twin.write(model, out / "model.onnx")
    lines = [
        "# Written by models/training/bundle.py. Calibration, thresholds and costs were fitted on dev texts only; the",
        "# calibration lies in the head's weights, so that the temperatures are 1.",
        "schema = 1",
        f'name = "{NAME}"',
        f'version = "{VERSION}"',
        f'license = "{LICENSE}"',
        'languages = ["eng"]',
        f"window_tokens = {WINDOW_TOKENS}",
        "bf16 = true",
        "",
    ]
    for group, names in decisions.labels.groups.items():
        exclusive = group in CHOICE_GROUPS
        lines += ["[[groups]]", f'name = "{group}"', f"labels = {toml_list(names)}"]
        lines += [f"exclusive = {json.dumps(exclusive)}", "temperature = 1.0"]
        if not exclusive:
            lines.append(f"thresholds = {toml_list(decisions.thresholds[group].tolist())}")
        lines.append("")
    lines += ["# costs[truth][decision], from low to critical.", "[urgency]"]
    lines += [f"costs = [{', '.join(toml_list(row.tolist()) for row in decisions.costs)}]", ""]
    lines += ["# On the dev texts that the decisions were fitted on; for the test side see the model card.", "[scores]"]
    lines += [f"{name} = {value:.4f}" for name, value in measured.items()]
    lines += ["", "[files]"]
    for name in ("config.json", "tokenizer.json", "model.safetensors", "model.onnx"):
        lines.append(f'"{name}" = "{hashlib.sha256((out / name).read_bytes()).hexdigest()}"')
    (out / "bundle.toml").write_text("\n".join(lines) + "\n")


def rounded(model) -> None:
    """The service computes from weights of 16 bits, so decisions and twin are made from them too."""
    model.load_state_dict({name: tensor.half().float() for name, tensor in model.state_dict().items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--public", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of a stage that train.py wrote")
    parser.add_argument("--without", metavar="SOURCE", help="calibrate without this source of real texts")
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder")
    arguments = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    model = BertForSequenceClassification.from_pretrained(arguments.checkpoint, attn_implementation="eager").eval()
    rounded(model)
    labels = Labels(goemotions_labels(arguments.public))
    tickets = split.load(read_authored(), "authored")["dev"]
    left_out = {arguments.without, *RELATED.get(arguments.without, ())}
    tickets += [t for t in split.load(read_real(arguments.public), "real")["dev"] if t.origin not in left_out]
    comments = read_goemotions(arguments.public, "dev")
    sources = dict.fromkeys(TICKET_GROUPS, (tickets, logits_of(model, tokenizer, tickets)))
    sources["goemotions"] = (comments, logits_of(model, tokenizer, comments))
    plain = read_criticals_dev()
    decisions, measured = calibrate(model, labels, sources, (plain, logits_of(model, tokenizer, plain)))
    rounded(model)
    write_bundle(arguments.out, arguments.checkpoint, model, decisions, measured)
    for name, value in measured.items():
        print(f"dev {name} {value:.4f}")


if __name__ == "__main__":
    main()
