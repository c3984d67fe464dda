"""Trees of source code: the programming language of a file, and its license."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

LANGUAGES = {  # by suffix
    **dict.fromkeys((".py", ".pyi", ".pyx"), "python"),
    **dict.fromkeys((".c", ".h"), "c"),
    **dict.fromkeys((".cc", ".cpp", ".cxx", ".c++", ".hh", ".hpp", ".hxx", ".ipp", ".inl"), "cpp"),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), "javascript"),
    **dict.fromkeys((".ts", ".tsx", ".mts", ".cts"), "typescript"),
    **dict.fromkeys((".java",), "java") | dict.fromkeys((".kt", ".kts"), "kotlin") | dict.fromkeys((".scala",), "scala"),
    **dict.fromkeys((".go",), "go") | dict.fromkeys((".rs",), "rust") | dict.fromkeys((".swift",), "swift"),
    **dict.fromkeys((".cs",), "csharp") | dict.fromkeys((".fs", ".fsx", ".fsi"), "fsharp") | {".vb": "visualbasic"},
    **dict.fromkeys((".rb", ".rake", ".gemspec"), "ruby") | dict.fromkeys((".php", ".phtml"), "php"),
    **dict.fromkeys((".pl", ".pm", ".t", ".pod"), "perl") | {".lua": "lua", ".tcl": "tcl", ".awk": "awk"},
    **dict.fromkeys((".sh", ".bash", ".zsh", ".ksh"), "shell") | {".fish": "fish", ".ps1": "powershell", ".bat": "batch"},
    **dict.fromkeys((".hs", ".lhs"), "haskell") | dict.fromkeys((".ml", ".mli"), "ocaml") | {".elm": "elm"},
    **dict.fromkeys((".ex", ".exs"), "elixir") | dict.fromkeys((".erl", ".hrl"), "erlang"),
    **dict.fromkeys((".clj", ".cljs", ".cljc"), "clojure") | dict.fromkeys((".lisp", ".lsp", ".cl"), "lisp"),
    **dict.fromkeys((".scm", ".ss", ".rkt"), "scheme") | {".el": "elisp", ".vim": "vim", ".r": "r", ".jl": "julia"},
    **dict.fromkeys((".f", ".f90", ".f95", ".f03", ".for"), "fortran") | dict.fromkeys((".pas", ".pp"), "pascal"),
    **dict.fromkeys((".s", ".asm"), "assembly") | dict.fromkeys((".v", ".sv", ".svh"), "verilog"),
    **dict.fromkeys((".vhd", ".vhdl"), "vhdl") | {".zig": "zig", ".nim": "nim", ".d": "d", ".dart": "dart", ".m": "objc"},
    **dict.fromkeys((".groovy", ".gradle"), "groovy") | {".sql": "sql", ".proto": "protobuf", ".cu": "cuda"},
    **dict.fromkeys((".adb", ".ads"), "ada") | dict.fromkeys((".cob", ".cbl"), "cobol") | {".mm": "objc", ".cmake": "cmake"},
    **dict.fromkeys((".glsl", ".vert", ".frag"), "glsl") | {".tf": "terraform", ".nix": "nix", ".m4": "m4", ".mk": "make"},
    **dict.fromkeys((".css", ".scss", ".sass", ".less"), "css") | {".vue": "vue", ".svelte": "svelte", ".coffee": "coffee"},
}
NAMES = {  # of whole files
    **dict.fromkeys(("makefile", "gnumakefile", "kbuild"), "make"),
    **{"dockerfile": "dockerfile", "cmakelists.txt": "cmake", "rakefile": "ruby", "gemfile": "ruby", "configure.ac": "m4"},
}
LICENSE_FILE = re.compile(r"(?:licen[cs]e|copying|unlicense)(?:[-._].*)?", re.IGNORECASE)
LICENSE_BYTES = 1 << 15  # of a license file that are looked at
TAG_CHARS = 1 << 12  # at the start of a file, where its own license may stand
_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*([A-Za-z0-9.+() -]+)")
# The words by which a license is recognized, the more special ones first.
PHRASES = (
    ("AGPL-3.0", r"gnu affero general public license,? version 3"),
    ("LGPL-3.0", r"gnu lesser general public license,? version 3"),
    ("LGPL-2.1", r"gnu lesser general public license,? version 2\.1"),
    ("LGPL-2.0", r"gnu library general public license,? version 2"),
    ("GPL-3.0", r"gnu general public license,? version 3"),
    ("GPL-2.0", r"gnu general public license,? version 2"),
    ("Apache-2.0", r"apache license,? version 2\.0"),
    ("MPL-2.0", r"mozilla public license,? version 2\.0"),
    ("EPL-2.0", r"eclipse public license - v 2\.0"),
    ("BSL-1.0", r"boost software license - version 1\.0"),
    ("PSF-2.0", r"python software foundation license version 2"),
    ("CC0-1.0", r"cc0 1\.0 universal"),
    ("CC-BY-SA-4.0", r"attribution-sharealike 4\.0 international"),
    ("CC-BY-4.0", r"attribution 4\.0 international"),
    ("Unlicense", r"this is free and unencumbered software released into the public domain"),
    ("ISC", r"permission to use, copy, modify, and(?:/or)? distribute this software for any purpose with or without fee"),
    ("MIT", r"permission is hereby granted, free of charge, to any person obtaining a copy"),
    ("Zlib", r"this software is provided 'as-is', without any express or implied warranty"),
    ("BSD-3-Clause", r"redistribution and use in source and binary forms.*neither the names? of"),
    ("BSD-2-Clause", r"redistribution and use in source and binary forms"),
)
_PHRASES = [(name, re.compile(phrase, re.DOTALL)) for name, phrase in PHRASES]


def language_of(path: str) -> str:
    """The programming language of a file by its name; an empty string if it is none."""
    name = PurePosixPath(path).name.lower()
    return NAMES.get(name) or LANGUAGES.get(PurePosixPath(name).suffix, "")


def license_tag(text: str) -> str:
    """The license that a file names itself, as an SPDX expression; an empty string if it names none."""
    match = _TAG.search(text[:TAG_CHARS])
    return match[1].strip().removesuffix("*/").strip() if match else ""


def recognize_license(text: str) -> str:
    """The SPDX identifier of the text of a license; an empty string if it is not among those recognized here."""
    words = " ".join(re.sub(r"[\s#*;/]+", " ", text).split()).lower()
    matches = [(match.start(), order) for order, (_, phrase) in enumerate(_PHRASES) if (match := phrase.search(words))]
    return license_tag(text) or (_PHRASES[min(matches)[1]][0] if matches else "")


def is_license_file(path: str) -> bool:
    """Whether a file holds the license of its folder, by its name."""
    return LICENSE_FILE.fullmatch(PurePosixPath(path).name) is not None


def nearest_license(path: str, licenses: Mapping[str, str]) -> str:
    """The license of a file: that of the nearest folder above it.

    Args:
        path: of the file.
        licenses: by folder.
    """
    parents: Iterable[PurePosixPath] = PurePosixPath(path).parents
    return next((licenses[str(parent)] for parent in parents if str(parent) in licenses), "")
