"""Conversations in the files of other programs, read into the form of `Store.export` and written from it.

tree         nodes in any order to messages, each after its parent
open_webui   Open WebUI
chatgpt      ChatGPT's conversations.json
llama_cpp    the page of llama.cpp's server
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from lmcraft.errors import UserError
from lmcraft.server.conversations.exchange import chatgpt, llama_cpp, open_webui

Json = dict[str, Any]
PROGRAMS: Mapping[str, ModuleType] = {"open-webui": open_webui, "chatgpt": chatgpt, "llama.cpp": llama_cpp}
"""Each module recognizes one conversation of its program (`recognizes`), reads it (`read`), and writes one (`write`)."""


def find_program(data: Any) -> str:
    """The program whose file this is, judging by its first conversation; empty if it is none of `PROGRAMS`."""
    first = data[0] if isinstance(data, list) and data else data
    return next((name for name, module in PROGRAMS.items() if isinstance(first, dict) and module.recognizes(first)), "")


def read_conversations(data: list[Any] | Json) -> list[Json]:
    """The conversations of another program's file. What the store has no place for, such as images, is left out.

    Raises:
        UserError: an item is no conversation of that program, or its messages form no tree.
    """
    program = find_program(data)
    conversations = []
    for n, item in enumerate(data if isinstance(data, list) else [data]):
        if not isinstance(item, dict) or not PROGRAMS[program].recognizes(item):
            message = f"conversation {n + 1} of the file is none of {program}'s; remove it, or export the file again"
            raise UserError(message, code="foreign_conversation", values={"number": n + 1, "program": program})
        try:
            conversations.append(PROGRAMS[program].read(item))
        except UserError as error:
            values = {**error.values, "number": n + 1}
            raise UserError(f"conversation {n + 1} of the file: {error}", code=error.code, values=values) from error
    return conversations


def writer(program: str) -> Callable[[Json], Json]:
    """The function that writes a conversation of `Store.export` as an item of a program's file, which is a list of them."""
    write: Callable[[Json], Json] = PROGRAMS[program].write
    return write
