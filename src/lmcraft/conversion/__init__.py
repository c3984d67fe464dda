"""Converting and describing models: the work of `lmcraft export`, `quantize` and `inspect`.

| file | contents |
|---|---|
| `config` | the settings of export and quantize |
| `model_export` | another number type or format, and the check that the result computes the same |
| `model_quantization` | 8 or 4 bits per weight, and the loss in quality |
| `model_description` | a model's architecture, size and origin, without its weights |
"""
