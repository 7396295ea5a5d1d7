"""The ways out that a message proposes, read as a shell reads them."""

import re
import shlex

_OPTION = re.compile(r"(--set|--resume|--allow-change) (?=\S)")
_WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+""")
_TRAINER = re.compile(r"firebox train (\w+)")


def options(message):
    """Returns the options that a message proposes, each with its value, such as ("--set", "module.loss=mse")."""
    found = []
    for match in _OPTION.finditer(message):
        word = _WORD.match(message, match.end())
        if word is not None:
            (value,) = shlex.split(word[0].rstrip(".,;:"))
            found.append((match[1], value))
    return found


def settings(message):
    """Returns each ``KEY=VALUE`` that a message proposes to set."""
    return [value for option, value in options(message) if option == "--set" and "=" in value]


def trainers_named(message):
    """Returns the trainers that a message proposes to run."""
    return _TRAINER.findall(message)
