"""A tuned classifier or reward model at work: texts in, labels with probabilities out."""

from collections.abc import Sequence
from pathlib import Path

import torch

from lmcraft.data.loader import Batch
from lmcraft.errors import UserError
from lmcraft.finetuning.classify import scores
from lmcraft.finetuning.files import Labels, open_tuned
from lmcraft.finetuning.packing import PackedRows
from lmcraft.finetuning.pieces import at_the_end
from lmcraft.finetuning.tokens import Encoder
from lmcraft.model.transformer import Transformer
from lmcraft.model_source import open_model
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training.loop import to_device

ROW = 512


class Classifier:
    """A model with a head, its tokenizer, and what its outputs are called."""

    def __init__(self, transformer: Transformer, tokenizer: Tokenizer, labels: Labels) -> None:
        self.transformer, self.tokenizer, self.labels = transformer.eval(), tokenizer, labels

    @classmethod
    def load(
        cls, address: str | Path, *, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
    ) -> "Classifier":
        """Open what `lmcraft finetune --objective classify` has left.

        Args:
            address: its folder.
            dtype: of weights and activations.
            device: where it runs.

        Raises:
            UserError: there is none, or its files are damaged.
        """
        labels = Labels.load(Path(address))
        with open_model(address) as source:
            model = open_tuned(source, dtype, torch.device(device), head=len(labels.labels))
            return cls(model, source.tokenizer, labels)

    @torch.inference_mode()
    def probabilities(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Of each text, how likely each label is: together they make 1, unless a text can have several.

        Raises:
            UserError: a text is longer than the model's context.
        """
        encoder, most = Encoder(self.tokenizer, ()), self.transformer.config.max_position_embeddings
        pieces = [at_the_end(encoder.text(text).ids, 0) for text in texts]
        if not pieces:
            return []
        if (longest := max(map(len, pieces))) > most:
            raise UserError(f"a text has {longest} tokens, and the model's context {most}: shorten it")
        rows = PackedRows(pieces, max(longest, min(ROW, most)))
        found: dict[int, dict[str, float]] = {}
        for sample, numbers in zip(rows.ordered(), rows.rows, strict=True):
            batch = to_device(Batch.stack([sample]).trim_padding(), self.transformer.device)
            logits, _ = scores(self.transformer, batch, self.labels.pooling)
            shares = logits.sigmoid() if self.labels.several else logits.softmax(dim=1)
            found |= {
                n: dict(zip(self.labels.labels, some, strict=True)) for n, some in zip(numbers, shares.tolist(), strict=True)
            }
        return [found[number] for number in range(len(texts))]

    def classify(self, texts: Sequence[str]) -> list[str]:
        """The likeliest label of each text; where a text can have several, all that are likelier than not, by ", "."""
        return [self.decided(shares) for shares in self.probabilities(texts)]

    def decided(self, shares: dict[str, float]) -> str:
        """What the probabilities of one text say."""
        if self.labels.several:
            return ", ".join(label for label, share in shares.items() if share > 0.5)
        return max(shares, key=lambda label: shares[label])
