"""The table of generation settings: name, type, default, bounds, help and request field of each, in one place.

The command line, the HTTP request models, the chat client, `/api/info` with the settings panel of the chat page,
generation_config.json and docs/generation.md all read it. A new sampler needs a field here and its formula in `sampler`.

Names are Hugging Face's; where it has none, OpenAI's, then llama.cpp's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from lmcraft.inference.setting import Setting, build_table


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """The settings of one generation; the defaults sample from the model's own distribution."""

    max_new_tokens: Annotated[
        int,
        Setting(
            group="length",
            minimum=0,
            request_field="max_tokens",
            request_minimum=1,
            request_maximum=2**31 - 1,
            label="Max tokens",
            label_zh="最大词元数",
            page_help="Limit for one answer; empty: as many as fit in the context.",
            help_zh="单个回答的上限；留空则以上下文长度为限。",
        ),
    ] = 128
    """Maximum number of new tokens; 0: limited only by max_length and the model's context."""
    max_length: Annotated[int, Setting(group="length", minimum=0)] = 0
    """Maximum number of tokens of prompt and continuation together; 0: no such limit. Given alone, it replaces the default
    of max_new_tokens; given both, both apply."""
    min_new_tokens: Annotated[int, Setting(group="length", minimum=0, changes_logits=True)] = 0
    """Number of new tokens before which no end token is chosen; stop strings still end the text."""
    do_sample: Annotated[bool, Setting(group="sampling")] = True
    """Sample each token at random; false: take the most likely one (greedy decoding)."""
    temperature: Annotated[
        float,
        Setting(
            group="sampling",
            minimum=0,
            request_field="temperature",
            request_maximum=100,
            shapes_draw=True,
            label="Temperature",
            label_zh="温度",
            page_help="0 always picks the most likely token; higher values vary more.",
            help_zh="0 表示总是选择概率最高的词元；值越大，回答越多样。",
            slider=(0, 2, 0.05),
        ),
    ] = 1.0
    """Divides the logits: lower is more predictable, higher more varied; 0: always take the most likely token."""
    top_n_sigma: Annotated[
        float,
        Setting(
            group="sampling",
            minimum=0,
            request_field="top_n_sigma",
            request_minimum=-1,
            request_maximum=1000,
            in_vllm=False,
            shapes_draw=True,
            label="Top n sigma",
            label_zh="Top nσ",
            page_help="Keeps tokens whose logit is at most this many standard deviations below the largest; 0 is off.",
            help_zh="只保留 logit 与最大值相差不超过此倍标准差的词元；0 表示关闭。",
            slider=(0, 5, 0.1),
            advanced=True,
        ),
    ] = 0.0
    """Keep tokens whose logit is at most N standard deviations below the largest (arXiv 2411.07641); 0: off."""
    top_k: Annotated[
        int,
        Setting(
            group="sampling",
            minimum=0,
            request_field="top_k",
            request_minimum=-1,
            request_maximum=2**31 - 1,
            shapes_draw=True,
            label="Top k",
            label_zh="Top k",
            page_help="Keeps this many of the most likely tokens; 0 is off.",
            help_zh="只保留概率最高的 k 个词元；0 表示关闭。",
        ),
    ] = 0
    """Keep the K most likely tokens; 0: off."""
    top_p: Annotated[
        float,
        Setting(
            group="sampling",
            above=0,
            maximum=1,
            request_field="top_p",
            shapes_draw=True,
            label="Top p",
            label_zh="Top p",
            page_help="Keeps the most likely tokens whose probabilities add up to this value.",
            help_zh="只保留累计概率达到此值的最可能词元。",
            slider=(0.01, 1, 0.01),
        ),
    ] = 1.0
    """Nucleus sampling: keep the smallest set of tokens whose probabilities add up to P (arXiv 1904.09751); 1: off."""
    min_p: Annotated[
        float,
        Setting(
            group="sampling",
            minimum=0,
            maximum=1,
            request_field="min_p",
            shapes_draw=True,
            label="Min p",
            label_zh="Min p",
            page_help="Keeps tokens at least this likely, relative to the most likely one.",
            help_zh="只保留概率不低于最高概率乘以此值的词元。",
            slider=(0, 1, 0.01),
        ),
    ] = 0.0
    """Keep tokens at least P times as likely as the most likely one (arXiv 2407.01082); 0: off."""
    seed: Annotated[
        int | None,
        Setting(
            group="sampling",
            minimum=0,
            maximum=2**63 - 1,
            request_field="seed",
            request_minimum=-(2**63),
            label="Seed",
            label_zh="随机种子",
            page_help="The same seed gives the same answer; empty: a new seed each time.",
            help_zh="种子相同则回答相同；留空则每次随机。",
        ),
    ] = None
    """Random seed: the same seed gives the same text; unset: a different text each time."""
    repetition_penalty: Annotated[
        float,
        Setting(
            group="penalties",
            above=0,
            request_field="repetition_penalty",
            request_maximum=100,
            changes_logits=True,
            label="Repetition penalty",
            label_zh="重复惩罚",
            page_help="Above 1: makes tokens that already occurred less likely; 1 is off.",
            help_zh="大于 1 时降低已出现词元的概率；1 表示关闭。",
            slider=(0.5, 2, 0.01),
        ),
    ] = 1.0
    """Above 1: makes tokens of the prompt and the continuation less likely (CTRL, arXiv 1909.05858, section 4.1); 1: off."""
    presence_penalty: Annotated[
        float,
        Setting(
            group="penalties",
            request_field="presence_penalty",
            request_minimum=-2,
            request_maximum=2,
            changes_logits=True,
            label="Presence penalty",
            label_zh="存在惩罚",
            page_help="Above 0: favors tokens that have not been used yet.",
            help_zh="大于 0 时更倾向于尚未出现的词元。",
            slider=(-2, 2, 0.1),
        ),
    ] = 0.0
    """Subtracted from the logit of every token that the continuation already contains (OpenAI's definition)."""
    frequency_penalty: Annotated[
        float,
        Setting(
            group="penalties",
            request_field="frequency_penalty",
            request_minimum=-2,
            request_maximum=2,
            changes_logits=True,
            label="Frequency penalty",
            label_zh="频率惩罚",
            page_help="Above 0: the more often a token was used, the less likely it becomes.",
            help_zh="大于 0 时，词元出现次数越多，概率降得越低。",
            slider=(-2, 2, 0.1),
        ),
    ] = 0.0
    """Subtracted from the logit of a token once for each time that the continuation contains it (OpenAI's definition)."""
    dry_multiplier: Annotated[
        float,
        Setting(
            group="penalties",
            minimum=0,
            request_field="dry_multiplier",
            request_maximum=100,
            in_vllm=False,
            changes_logits=True,
            label="DRY multiplier",
            label_zh="DRY 惩罚强度",
            page_help="Penalizes tokens that would extend a repeated passage; 0 is off, 0.8 is usual.",
            help_zh="降低会使重复片段继续变长的词元的概率；0 表示关闭，常用 0.8。",
            slider=(0, 2, 0.05),
            advanced=True,
        ),
    ] = 0.0
    """DRY penalty: a token that would extend a repetition loses dry_multiplier * dry_base ** (length of the repetition -
    dry_allowed_length) of its logit; 0: off, 0.8: usual."""
    dry_base: Annotated[
        float,
        Setting(
            group="penalties",
            minimum=1,
            request_field="dry_base",
            request_maximum=100,
            in_vllm=False,
            label="DRY base",
            label_zh="DRY 底数",
            page_help="How fast the DRY penalty grows with the length of the repetition.",
            help_zh="重复片段每多一个词元，DRY 惩罚增大的倍数。",
            slider=(1, 4, 0.05),
            advanced=True,
        ),
    ] = 1.75
    """Growth of the DRY penalty with each further token of a repetition."""
    dry_allowed_length: Annotated[
        int,
        Setting(
            group="penalties",
            minimum=1,
            request_field="dry_allowed_length",
            request_maximum=2**31 - 1,
            in_vllm=False,
            label="DRY allowed length",
            label_zh="DRY 允许长度",
            page_help="Repetitions shorter than this many tokens are not penalized.",
            help_zh="短于此词元数的重复不受惩罚。",
            advanced=True,
        ),
    ] = 2
    """Shortest repetition, in tokens, whose extension DRY penalizes."""
    dry_penalty_last_n: Annotated[
        int,
        Setting(
            group="penalties",
            minimum=-1,
            request_field="dry_penalty_last_n",
            request_maximum=2**31 - 1,
            in_vllm=False,
            label="DRY window",
            label_zh="DRY 查找范围",
            page_help="How many of the last tokens are searched for repetitions; -1: all of them, 0 is off.",
            help_zh="在最近多少个词元中查找重复；-1 表示全部，0 表示关闭。",
            advanced=True,
        ),
    ] = 64
    """Number of most recent tokens, prompt included, that DRY searches for repetitions; -1: all, 0: off."""
    dry_sequence_breakers: Annotated[
        tuple[str, ...],
        Setting(
            group="penalties",
            request_field="dry_sequence_breakers",
            max_items=16,
            in_vllm=False,
            label="DRY sequence breakers",
            label_zh="DRY 分隔字符串",
            page_help="Repetitions do not extend across these texts. One per line, \\n for a line break.",
            help_zh="重复片段不会跨越这些字符串。每行一个，\\n 表示换行。",
            advanced=True,
        ),
    ] = ("\n", ":", '"', "*")
    """Texts that end a repetition and are never penalized themselves."""
    logit_bias: Annotated[
        Mapping[int, float],
        Setting(
            group="penalties",
            request_field="logit_bias",
            request_minimum=-100,
            request_maximum=100,
            max_items=1024,
            changes_logits=True,
        ),
    ] = field(default_factory=dict)
    """Added to the logits: token id to bias."""
    no_repeat_ngram_size: Annotated[int, Setting(group="penalties", minimum=0, changes_logits=True)] = 0
    """No sequence of this many tokens occurs twice in prompt and continuation together; 0: off."""
    suppress_tokens: Annotated[tuple[int, ...], Setting(group="penalties", changes_logits=True)] = ()
    """Ids of tokens that are never chosen."""
    begin_suppress_tokens: Annotated[tuple[int, ...], Setting(group="penalties", changes_logits=True)] = ()
    """Ids of tokens that are not chosen as the first new token."""
    stop: Annotated[
        tuple[str, ...],
        Setting(
            group="stopping",
            request_field="stop",
            max_items=16,
            hugging_face="stop_strings",
            label="Stop strings",
            label_zh="停止字符串",
            page_help="The answer ends before any of these. One per line, \\n for a line break.",
            help_zh="遇到任意一个即停止。每行一个，\\n 表示换行。",
        ),
    ] = ()
    """Texts that end the continuation, without being part of it."""
    thinking_token_budget: Annotated[
        int,
        Setting(
            group="stopping",
            minimum=-1,
            request_field="thinking_token_budget",
            request_maximum=2**31 - 1,
            label="Thinking budget",
            label_zh="思考预算",
            page_help="The most tokens that a reasoning model thinks before it answers; 0 is none, -1 is no limit.",
            help_zh="推理模型回答前最多思考的词元数；0 表示不思考，-1 表示不限。",
            advanced=True,
        ),
    ] = -1
    """Number of tokens after which a model's thoughts are closed, so that it answers; 0: no thoughts, -1: no limit."""
    json_schema: Annotated[str, Setting(group="structure", request_field="structured_outputs.json")] = ""
    """Constrain the output to JSON that matches this schema."""
    regex: Annotated[str, Setting(group="structure", request_field="structured_outputs.regex")] = ""
    """Constrain the whole output to this regular expression (Rust's syntax)."""
    grammar: Annotated[str, Setting(group="structure", request_field="structured_outputs.grammar")] = ""
    """Constrain the output to this grammar (llguidance's Lark dialect)."""
    num_beams: Annotated[int, Setting(group="beams", minimum=1, maximum=256)] = 1
    """Number of candidates of beam search; 1: no beam search."""
    length_penalty: Annotated[float, Setting(group="beams", minimum=-20, maximum=20)] = 1.0
    """Beam search ranks candidates by log-probability / length ** length_penalty."""
    early_stopping: Annotated[bool | Literal["never"], Setting(group="beams")] = False
    """Beam search ends as soon as num_beams candidates are finished (true), when a better one is unlikely (false), or when a
    better one is impossible (never)."""
    num_return_sequences: Annotated[
        int, Setting(group="beams", minimum=1, maximum=4096, request_field="n", request_maximum=128)
    ] = 1
    """Number of continuations of each prompt."""


SETTINGS: Mapping[str, Setting] = build_table(GenerationSettings)
"""All settings by name, in the order of `GenerationSettings`."""


def panel_settings(*, vllm: bool = False) -> list[dict[str, Any]]:
    """The settings that the chat page shows, as JSON; with `vllm`, only those that vLLM knows."""
    return [setting.as_json() for setting in SETTINGS.values() if setting.label and (setting.in_vllm or not vllm)]


def to_request(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request to `/v1/chat/completions` for these settings; settings that requests lack are left out."""
    body: dict[str, Any] = {}
    for name, value in settings.items():
        outer, _, inner = SETTINGS[name].request_field.partition(".")
        if inner:
            if value:
                body.setdefault(outer, {})[inner] = value
        elif outer and not (SETTINGS[name].group == "length" and value == 0):  # 0 and absence both mean "no limit"
            body[outer] = value
    return body


def markdown_table() -> str:
    """The table of docs/generation.md."""
    lines = ["| setting | default | values | meaning |", "|---|---|---|---|"]
    for setting in SETTINGS.values():
        name = f"`{setting.name}`"
        if setting.request_field not in ("", setting.name):
            name += f" (HTTP: `{setting.request_field}`)"
        if isinstance(setting.default, tuple):
            default = " ".join(f"`{str(item).encode('unicode_escape').decode()}`" for item in setting.default)
        else:
            default = "" if setting.default in (None, "", {}) else f"`{str(setting.default).lower()}`"
        lines.append(f"| {name} | {default} | {_values(setting)} | {setting.help.replace('*', chr(92) + '*')} |")
    return "\n".join(lines) + "\n"


def _values(setting: Setting) -> str:
    """The values that a setting may have, in Markdown."""
    if isinstance(setting.default, bool):
        choices = [choice for literal in get_args(setting.type) for choice in get_args(literal)]
        return ", ".join(["true", "false", *choices])
    request_bounds = [setting.request_minimum, setting.request_maximum]
    if any(bound is not None and abs(bound) < 1e6 for bound in request_bounds):
        lower, upper = ("" if bound is None or abs(bound) > 1e6 else str(bound) for bound in request_bounds)
        limits = [f"at least {lower}" if lower else "", f"at most {upper}" if upper else ""]
        return "; ".join(filter(None, [setting.bounds, f"HTTP: {' and '.join(filter(None, limits))}"]))
    return setting.bounds.replace("*", "\\*")
