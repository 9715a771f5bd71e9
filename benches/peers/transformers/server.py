"""A plain Python gRPC server with transformers and torch: the checkpoint in f32 or bf16, one call is one inference."""

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from triage_service import Bundle, arguments, serve

PRECISIONS = {"f32": torch.float32, "bf16": torch.bfloat16}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--precision", choices=PRECISIONS, default="f32", help="what torch computes in")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    bundle = Bundle(flags.bundle)
    tokenizer = AutoTokenizer.from_pretrained(flags.bundle)
    model = AutoModelForSequenceClassification.from_pretrained(flags.bundle, dtype=PRECISIONS[flags.precision])
    model.eval()

    @torch.inference_mode()
    def score(text: str) -> np.ndarray:
        inputs = tokenizer(text, truncation=True, max_length=bundle.window_tokens, return_tensors="pt")
        return model(**inputs).logits[0].float().numpy()

    serve(bundle, score, flags.port, flags.threads)


if __name__ == "__main__":
    main()
