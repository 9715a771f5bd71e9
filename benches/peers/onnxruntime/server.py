"""A plain Python gRPC server with ONNX Runtime: the bundle's int8 graph, one call is one inference."""

import numpy as np
import onnxruntime
from tokenizers import Tokenizer
from triage_service import Bundle, arguments, serve


def main() -> None:
    flags = arguments(__doc__).parse_args()
    bundle = Bundle(flags.bundle)
    tokenizer = Tokenizer.from_file(str(flags.bundle / "tokenizer.json"))
    tokenizer.enable_truncation(bundle.window_tokens)
    tokenizer.no_padding()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(flags.bundle / "model.onnx", options, providers=["CPUExecutionProvider"])

    def score(text: str) -> np.ndarray:
        encoding = tokenizer.encode(text)
        inputs = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask}
        (logits,) = session.run(["logits"], {name: np.array([row], np.int64) for name, row in inputs.items()})
        return logits[0]

    serve(bundle, score, flags.port, flags.threads)


if __name__ == "__main__":
    main()
