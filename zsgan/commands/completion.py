"""Shell completion, generated from the parser of the command line."""

import argparse
import shlex
from collections.abc import Mapping
from importlib.resources import files

from zsgan.assets.manifest import assets

_BASH = """_zsgan() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
    local command="${{COMP_WORDS[1]}}"
    if (( COMP_CWORD > 2 )); then
        case "$command" in {groups}) command+=" ${{COMP_WORDS[2]}}";; esac
    fi
    if (( COMP_CWORD == 1 )); then
        words={commands}
    else
        case "$command $previous" in
{values}
            *)
                case "$command" in
{options}
                esac;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -o bashdefault -F _zsgan zsgan
"""
_ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Shell script for the tab completion of ``zsgan``.

    Args:
        parser: parser of the command line, with its commands as subparsers.
        shell: "bash" or "zsh".

    Returns:
        a script that completes commands, options and their named values, and files elsewhere.
    """
    commands = _parts(parser)
    groups = {name: parts for name, sub in commands.items() if (parts := _parts(sub))}
    values, options = [], []
    below = {f"{name} {part}": sub for name, parts in groups.items() for part, sub in parts.items()}
    for name, sub in {**commands, **below}.items():
        words = []
        for action in sub._actions:
            known = _values(action)
            if not action.option_strings:
                words += known
                continue
            words += action.option_strings
            if action.nargs != 0:  # it takes a value: one of these, or a file
                cases = "|".join(f'"{name} {option}"' for option in action.option_strings)
                values.append(f"            {cases}) words={shlex.quote(' '.join(known))};;")
        options.append(f"                    {shlex.quote(name)}) words={shlex.quote(' '.join(words))};;")
    first = [*commands, *(option for a in parser._actions for option in a.option_strings)]
    text = _BASH.format(
        commands=shlex.quote(" ".join(first)),
        groups="|".join(groups),
        values="\n".join(values),
        options="\n".join(options),
    )
    return (_ZSH if shell == "zsh" else "") + text


def _parts(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """The commands of a parser by name; none if it is a command itself."""
    found = (a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return next(found, {})


def _values(action: argparse.Action) -> list[str]:
    named: Mapping[str, list[str]] = {
        "profile": sorted(
            file.name.removesuffix(".yaml")
            for file in (files("zsgan") / "profiles").iterdir()  # zsgan.runs.profiles would load torch
            if file.name.endswith(".yaml")
        ),
        "source": _assets("generator-"),
        "generator": _assets("generator-"),
        "assets": sorted(assets()),
        "clip": [name for name in assets() if name.startswith(("clip-", "ViT-"))],
        "device": ["cpu", "cuda"],
    }
    return [str(choice) for choice in action.choices or named.get(action.dest, [])]


def _assets(prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in assets() if name.startswith(prefix)]
