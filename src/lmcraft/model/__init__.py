"""The network, its weights on disk, and its variants with quantized or adapted layers.

transformer        `Transformer`; token ids to logits
block              one block: a mixer of tokens and a feed-forward layer
layer_inputs       rotary rows, masks and borders of documents, for the blocks
config             `TransformerConfig`, `InitConfig`
setting_checks     types and sizes of settings
parts              settings of parts that most models lack, and `RopeScaling`
uneven_layers      settings of layers that differ in size, share keys or have embeddings of their own
hooks              named points at which functions read or replace activations
attention          grouped-query attention
latent_attention   multi-head latent attention (MLA): the cache keeps one compressed vector per token
mixers             recurrent mixers: linear attention, state spaces, short convolutions
rotary             rotary position embeddings and their scaling
feedforward        feed-forward layers
experts            mixtures of experts
norm               RMSNorm, Gemma's RMSNorm, LayerNorm
kernels            compiled parts of training in float32 on a CPU
products           products in the activations' type, except where the processor would emulate it
packed_linear      products of a few rows, each as it would be alone
linear             a linear layer that computes in its input's dtype
initialization     weight initialization
checkpoint         `Checkpoint`: config.json and the tensors by name
fused_experts      checkpoints whose tensors hold all experts of a layer
language_part      the language model of multimodal checkpoints
storage            model folders: config.json and safetensors
task_head          classifiers and reward models, which write no text
tensor_file        writes a safetensors file
families           translation between Hugging Face model types and `TransformerConfig`
adapter            adapter folders in PEFT's format, and merging them
lora_linear        LoRA and DoRA layers next to the base weights
frozen_linear      frozen layers with 8-bit or 4-bit weights
quantized_matrix   8-bit and 4-bit quantization, GPTQ, and the compressed-tensors format
quantized_checkpoints  checkpoints that other libraries quantized
"""
