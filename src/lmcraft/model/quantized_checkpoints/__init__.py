"""Quantized checkpoints of other libraries, dequantized tensor by tensor when they are read.

formats               which matrices of a checkpoint are quantized, by its quantization_config
reader                reads a checkpoint with quantized matrices as one without
stored_matrix         `StoredMatrix`: a quantized matrix, the tensors that it is stored in, and how they are decoded
integers              packed integers with scales and zero points, which all integer formats end in
gptq                  GPTQ (AutoGPTQ, GPTQModel, AutoRound)
awq                   AWQ (AutoAWQ, GPTQModel, AutoRound)
float8                8-bit floats with scales per tensor, row or block (DeepSeek, Qwen, FBGEMM)
float4                4-bit floats with scales per group: MXFP4 (gpt-oss), NVFP4 (ModelOpt)
compressed_tensors    LLM Compressor, and the folders of `lmcraft quantize`
bitnet                BitNet's weights of -1, 0 and 1
bitsandbytes          NF4, FP4 and LLM.int8

Where the numbers stay equal, a matrix is decoded to a `QuantizedMatrix`, which the native decode step reads; others become
ordinary floats. Activations are never quantized, also if the checkpoint asks for it.
"""
