"""`lmcraft quantize`: quantize a model to 8 or 4 bits per weight, and measure the loss in quality."""

from lmcraft.config import takes_settings
from lmcraft.conversion.config import QuantizeConfig
from lmcraft.folder import ModelFolder


@takes_settings(QuantizeConfig)
def quantize(config: QuantizeConfig) -> ModelFolder:
    """Write the folder, print the loss in quality, and keep it in `lmcraft/quantization.json`.

    Raises:
        UserError: there is no such model or text, the text is too short, the model's matrices do not fit the format, or
            `out` exists.
    """
    from lmcraft.conversion.quantized_folder import write_quantized
    from lmcraft.reports.card import update_card

    config = config.resolved()
    quality = write_quantized(config)
    print(
        f"perplexity {quality.perplexity_before:.2f} -> {quality.perplexity_after:.2f} "
        f"({quality.perplexity_after / quality.perplexity_before - 1:+.1%}), "
        f"KL divergence {quality.kl_divergence:.4f} nats per token, "
        f"same most likely token {quality.agreement:.1%} of {quality.tokens:,} times"
    )
    update_card(config.out)
    print(config.out)
    return ModelFolder(config.out)
