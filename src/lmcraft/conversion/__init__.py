"""Converting and describing models: the work of `lmcraft export`, `quantize` and `inspect`.

| file | contents |
|---|---|
| `config` | the settings of export and quantize |
| `model_export` | another data type or format, and the check that the result computes the same |
| `quantization` | quantizing a whole model (GPTQ), and measuring the loss in quality |
| `sensitivity` | how much each matrix matters, and which ones get 8 bits among 4 |
| `quantized_folder` | a folder with 8 or 4 bits per weight |
| `model_description` | a model's architecture, size and origin, without its weights |
"""
