"""A fine-tuned classifier, loaded for inference: texts in, a probability per label out."""

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from lmcraft.data.loader import Batch
from lmcraft.errors import UserError
from lmcraft.finetuning.encoding import ExampleEncoder
from lmcraft.finetuning.head import HEAD, Labels, head_outputs
from lmcraft.finetuning.packing import PackedRows
from lmcraft.finetuning.tuned_model import open_tuned
from lmcraft.folder import to_path
from lmcraft.inference.damaged_model import damaged_model_error
from lmcraft.model.transformer import Transformer
from lmcraft.model_source import open_model
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training.batch import to_device

ROW_TOKENS = 512
MAX_LABELS_SHOWN = 8


class Classifier:
    """A model with a classification head, its tokenizer and its labels."""

    def __init__(self, transformer: Transformer, tokenizer: Tokenizer, labels: Labels) -> None:
        self.transformer, self.tokenizer, self.labels = transformer.eval(), tokenizer, labels

    def __repr__(self) -> str:
        names = self.labels.names
        shown = ", ".join(names[:MAX_LABELS_SHOWN]) + (", ..." if len(names) > MAX_LABELS_SHOWN else "")
        return f"Classifier({self.transformer.describe()}; {len(names)} labels: {shown})"

    @classmethod
    def load(
        cls, address: str | os.PathLike[str], *, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
    ) -> "Classifier":
        """Load the result of `lmcraft finetune --objective classification`.

        Args:
            address: its folder.
            dtype: of weights and activations.
            device: where it runs.

        Raises:
            UserError: the folder holds no classifier, or its files are damaged.
        """
        labels = Labels.load(to_path(address, "model"))
        with open_model(address) as source:
            model = open_tuned(source, dtype, torch.device(device), head=len(labels.names))
            return cls(model, source.tokenizer, labels)

    @torch.inference_mode()
    def probabilities(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """The probability of each label for each text; they add up to 1, unless a text can have several labels.

        Raises:
            UserError: a text is longer than the model's context.
            RunError: the model's outputs are not numbers.
        """
        context = self.transformer.config.max_position_embeddings
        encoder = ExampleEncoder(self.tokenizer, (), context)
        examples = [encoder.text_with_target(text, 0) for text in texts]
        if not examples:
            return []
        if (longest := max(map(len, examples))) > context:
            raise UserError(f"a text of {longest} tokens does not fit the model's context of {context} tokens: shorten it")
        rows = PackedRows(examples, max(longest, min(ROW_TOKENS, context)))
        results: dict[int, dict[str, float]] = {}
        for sample, numbers in zip(rows.ordered(), rows.rows, strict=True):
            batch = to_device(Batch.stack([sample]).trim_padding(), self.transformer.device)
            outputs, _ = head_outputs(self.transformer, batch, self.labels.pooling)
            if not bool(outputs.isfinite().all()):
                raise damaged_model_error(self.transformer)
            outputs = outputs / self.labels.temperature
            probabilities = outputs.sigmoid() if self.labels.multi_label else outputs.softmax(dim=1)
            for number, row in zip(numbers, probabilities.tolist(), strict=True):
                results[number] = dict(zip(self.labels.names, row, strict=True))
        return [results[number] for number in range(len(texts))]

    def encode(self, text: str) -> list[int]:
        """The tokens that the model reads for a text, as in training.

        Raises:
            UserError: the text has no tokens.
        """
        ids: list[int] = ExampleEncoder(self.tokenizer, ()).text_with_target(text, 0).input_ids.tolist()
        return ids

    @torch.inference_mode()
    def head_probabilities(self, pooled_C: Tensor) -> dict[str, float]:
        """The probability of each label, from the pooled hidden state of a text (`Labels.pooling`), (C,)."""
        head = self.transformer.get_submodule(HEAD)
        outputs_L = head(pooled_C.to(self.transformer.device, self.transformer.compute_dtype)).float()
        outputs_L = outputs_L / self.labels.temperature
        if not bool(outputs_L.isfinite().all()):
            raise damaged_model_error(self.transformer)
        probabilities = outputs_L.sigmoid() if self.labels.multi_label else outputs_L.softmax(dim=0)
        return dict(zip(self.labels.names, probabilities.tolist(), strict=True))

    def classify(self, texts: Sequence[str]) -> list[str]:
        """The most likely label of each text, as `choose_label` gives it."""
        return [self.choose_label(probabilities) for probabilities in self.probabilities(texts)]

    def choose_label(self, probabilities: dict[str, float], threshold: float | None = None) -> str:
        """The label that the probabilities of one text select; empty: none is likely enough.

        If a text can have several labels, all above 50%, joined by ", ".

        Args:
            probabilities: of each label.
            threshold: the least probability of a label; None: `Labels.threshold`.
        """
        if self.labels.multi_label:
            return ", ".join(label for label, probability in probabilities.items() if probability > 0.5)
        label = max(probabilities, key=lambda name: probabilities[name])
        return label if probabilities[label] >= (self.labels.threshold if threshold is None else threshold) else ""
