"""Texts on which tokenizers are likely to differ."""

from pathlib import Path

TEXTS = [
    "Hello, world! It's 12,345.67 o'clock; we'll see.",
    "人工智能正在改变世界。“你好”，他说——真的吗？",
    "😀👩‍👩‍👧‍👦🇨🇳 é ñ Ω ﷺ 한국어 日本語",
    "def f(x: int) -> int:\n    if x:\n\t\treturn x ** 2  # ok\n\n\n",
    "   leading,   runs \t\t of\u00a0 white \r\n\r\n space   ",
    "don't DON'T I'VE <|endoftext|> <|im_start|>",
    "",
    " ",
    "<h1>Title</h1>\n\n<table><tr><td>1</td></tr>",
    "a" * 100 + " " * 40 + "x" + "\n" * 35,
    "3.14159 1000000 ١٢٣ ⅷ\n    0: 1",
    Path(__file__).read_text(encoding="utf-8"),
]
