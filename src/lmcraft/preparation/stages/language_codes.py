"""The languages that documents can have: codes of the model lid.176, programming languages, and unknown."""

import re

from lmcraft.errors import UserError
from lmcraft.preparation.inputs import source_tree

UNKNOWN = "unknown"
SCRIPT_LANGUAGES = ("en", "ja", "ko", "zh")  # those that scripts alone tell
CODES = """
af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs cv cy da de diq dsb
dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr hsb ht hu hy ia id ie ilo io is it ja jbo
jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl my myv mzn nah
nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh si sk sl so sq sr su
sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf yi yo yue zh
"""
LID176 = frozenset(CODES.split())
PROGRAMMING = frozenset((*source_tree.LANGUAGES.values(), *source_tree.NAMES.values()))
NAMES = {  # and other codes of large languages
    **dict.fromkeys(("english", "eng"), "en"),
    **dict.fromkeys(("chinese", "mandarin", "cmn", "zho", "chi", "cn", "中文", "汉语"), "zh"),
    **dict.fromkeys(("japanese", "jpn", "jp"), "ja") | dict.fromkeys(("korean", "kor", "kr"), "ko"),
    **dict.fromkeys(("german", "deutsch", "deu", "ger"), "de") | dict.fromkeys(("french", "fra", "fre"), "fr"),
    **dict.fromkeys(("spanish", "spa"), "es") | dict.fromkeys(("portuguese", "por"), "pt"),
    **dict.fromkeys(("russian", "rus"), "ru") | dict.fromkeys(("arabic", "ara"), "ar"),
    **dict.fromkeys(("italian", "ita"), "it") | dict.fromkeys(("hindi", "hin"), "hi"),
    **{"py": "python", "js": "javascript", "c++": "cpp", "c#": "csharp", "rs": "rust", "bash": "shell", "": UNKNOWN},
}
ALL = LID176 | PROGRAMMING | {UNKNOWN}


def check_languages(languages: tuple[str, ...], setting: str, *, scripts_only: bool = False) -> None:
    """Check languages of a recipe.

    Args:
        languages: codes, as documents have them.
        setting: that names them, for the error.
        scripts_only: whether the stage `language` tells languages by scripts.

    Raises:
        UserError: no document can have one of them.
    """
    for language in languages:
        if language not in ALL:
            raise UserError(
                f"{setting}={list(languages)}: {language!r} is not a language that documents can have: {_suggest(language)}"
            )
        if scripts_only and language in LID176 and language not in SCRIPT_LANGUAGES:
            raise UserError(
                f"{setting}={list(languages)}: scripts alone do not tell {language!r}, only {', '.join(SCRIPT_LANGUAGES)}: "
                'use model = "lid176" in the stage of kind language'
            )


def _suggest(language: str) -> str:
    lower = language.strip().lower()
    for name in (lower, re.split("[-_]", lower)[0]):
        if (code := NAMES.get(name, name)) in ALL:
            return f"did you mean {code!r}?"
    return "use a code of the model lid.176, such as en or zh, or for code the name of its language, such as python"
