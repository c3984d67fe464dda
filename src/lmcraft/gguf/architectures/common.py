"""Keys that most architectures have."""

from lmcraft.gguf.architecture import Config, Key


def same_heads(config: Config) -> int | None:
    return config.get("num_attention_heads")


SIZES = (
    Key("context_length", "max_position_embeddings"),
    Key("embedding_length", "hidden_size"),
    Key("block_count", "num_hidden_layers"),
    Key("feed_forward_length", "intermediate_size"),
    Key("attention.head_count", "num_attention_heads"),
)
KV_HEADS = Key("attention.head_count_kv", "num_key_value_heads", default=same_heads)
RMS = Key("attention.layer_norm_rms_epsilon", "rms_norm_eps", "number")
LLAMA = (*SIZES, KV_HEADS, RMS)
EXPERTS_USED = Key("expert_used_count", "num_experts_per_tok")
NUM_EXPERTS = (Key("expert_count", "num_experts", other="num_local_experts"), EXPERTS_USED)
NUM_LOCAL_EXPERTS = (Key("expert_count", "num_local_experts", other="num_experts"), EXPERTS_USED)
EXPERT_WIDTH = Key("expert_feed_forward_length", "moe_intermediate_size")
SILU = {"hidden_act": "silu"}
SCALINGS = ("default", "linear", "yarn")
LLAMA_SCALINGS = ("default", "linear", "llama3", "yarn")
BIASES = {"attention_bias": "blk.0.attn_q.bias", "mlp_bias": "blk.0.ffn_gate.bias"}
