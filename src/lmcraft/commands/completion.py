"""`lmcraft completion`: commands, flags, values and models completed by the shell."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from lmcraft.config import Config, command_config, takes_settings

# cyclopts completes either the words of a program or files; a MODEL is one or the other, and bash ends folders with a slash.
_FILES_TOO = {
    "bash": [
        ('__complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null', '{}; compgen -f -- "$cur"'),
        ("complete -F", "complete -o filenames -F"),
    ],
    "zsh": [("(( ${#_cyc_vals} )) && compadd -d _cyc_disp -a _cyc_vals", "{}\n  _files")],
    "fish": [("    set -q lines[1]; or return", "    set -a lines (__fish_complete_path (commandline -ct))\n{}")],
}


@command_config
@dataclass(frozen=True)
class CompletionConfig(Config):
    """Print the completion script of a shell, or install it for the current user.

    The script knows all commands, flags and choices; write it again after an update of lmcraft.
    """

    shell: Literal["bash", "zsh", "fish"]
    """The shell."""
    _: KW_ONLY
    install: bool = False
    """Write the script where the shell looks for it, and add a line that loads it to ~/.bashrc or ~/.zshrc."""


@takes_settings(CompletionConfig)
def completion(config: CompletionConfig) -> str:
    """Print the script, or where it was installed.

    Returns:
        The script.
    """
    from cyclopts.completion.install import add_to_rc_file, get_default_completion_path

    script = completion_script(config.shell)
    if not config.install:
        print(script, end="")
        return script
    path = get_default_completion_path(config.shell, "lmcraft")
    path.write_text(script, encoding="utf-8")
    if config.shell != "fish":
        add_to_rc_file(path, "lmcraft", config.shell)
    print(f"{path}\nStart a new shell, or run: exec {config.shell}")
    return script


def completion_script(shell: Literal["bash", "zsh", "fish"]) -> str:
    """The script that makes a shell complete the words of `lmcraft`."""
    from lmcraft.commands.app import build_app

    script = build_app().generate_completion(shell=shell)
    for text, replacement in _FILES_TOO[shell]:
        script = script.replace(text, replacement.replace("{}", text))
    return script
