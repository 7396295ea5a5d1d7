"""Which sub-folders of a folder are the splits of a data set, told by their names."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import get_args

from firebox.data.division.listing import Split
from firebox.foundation.problems import listed, setting

KNOWN: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""Names of split folders, in any case."""

_WORDS: dict[Split, str] = {
    "train": r"(?:train(?:ing)?|trn)",
    "validation": r"(?:val(?:id(?:ation)?)?|dev|eval(?:uation)?)",
    "test": r"(?:tests?|testing|holdout|heldout)",
}
"""Words that stand for a split in a longer name."""
_COMPOUND = r"(?:sets?|data|images?|imgs?|val)?"
_ENDINGS: dict[str, Split] = {"Tr": "train", "Va": "validation", "Ts": "test", "Te": "test"}
"""Last parts of names such as imagesTr and imagesTs."""
_GENERIC = re.compile(
    r"\d+|[a-z]|images?|imgs?|photos?|pictures?|pics?|samples?|data|datasets?|sets?|subsets?|splits?|folds?|parts?|folders?"
    r"|labels?|masks?|annotations?|full|small|large|original|raw|cropped|resized|jpe?g|png|px"
)
"""Words that say nothing of what the images show."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Names that may be meant as splits, but don't all say which.

    Args:
        why: what is wrong with the names.
        likely: the folder that each split may be, by its name; never empty. Where none is named like training, it is
            the other folder whose name comes closest.
    """

    why: str
    likely: dict[Split, str]


@dataclass(frozen=True, slots=True)
class _Hint:
    """What a name that looks like a split's says: the split, and the words for what the images show."""

    split: Split
    subject: tuple[str, ...]


def splits_among(names: Collection[str]) -> dict[Split, str] | Doubt:
    """Returns the folder of each split, or a doubt; an empty map if the folders are classes.

    A known name beside any other name is a doubt. So is a name that consists of a split and of words that say nothing
    of what the images show, such as ``train2017`` or ``test_images``. A name that has other words, such as
    ``test_tube``, is one only if another name agrees: ``cats_test`` beside ``cats_train`` or beside ``cats`` alone.

    Args:
        names: names of the sub-folders that hold images.
    """
    known = {name: KNOWN[name.casefold()] for name in names if name.casefold() in KNOWN}
    hints = {name: hint for name in names if (hint := _hint(name)) is not None}
    first = {hint.split: name for name, hint in reversed(hints.items())}
    rest = [name for name in names if name not in hints]
    if rest and first and "train" not in first:
        first["train"] = max(rest, key=_closeness)
    likely = {split: first[split] for split in get_args(Split) if split in first}
    if known and len(known) == len(names):
        twins = [name for name, split in known.items() if list(known.values()).count(split) > 1]
        if twins:
            return Doubt(f"{named(twins)} are the same split", likely)
        if "train" not in known.values():
            return Doubt("there is no folder for training", likely)
        return {split: name for name, split in known.items()}
    if known:
        others = [name for name in names if name not in known]
        are = "is named like a split" if len(known) == 1 else "are named like splits"
        return Doubt(f"{named(known)} {are}, but not {named(others)}", likely)
    suspects = [name for name, hint in hints.items() if not hint.subject] or list(_agreeing(names, hints))
    look = "looks like a split" if len(suspects) == 1 else "look like splits"
    return Doubt(f"{named(suspects)} {look}", likely) if suspects else {}


def _closeness(name: str) -> float:
    return SequenceMatcher(None, name.casefold(), "train").ratio()


def are_divided(names: Collection[str]) -> bool:
    """Whether names stand for two or more splits, whatever lies beside them."""
    return len({hint.split for name in names if (hint := _hint(name)) is not None and not hint.subject}) > 1


def _agreeing(names: Collection[str], hints: dict[str, _Hint]) -> Iterator[str]:
    """Yields the names with a subject that look like splits because of the names beside them."""
    others = {_subject(_tokens(name)) for name in names if name not in hints}
    subjects = {hint.subject for hint in hints.values()}
    several = len({hint.split for hint in hints.values()}) > 1
    for name, hint in hints.items():
        divided = len({other.split for other in hints.values() if other.subject == hint.subject}) > 1
        if divided or (others and others <= subjects) or (several and not others):
            yield name


def _hint(name: str) -> _Hint | None:
    if name.casefold() in KNOWN:
        return _Hint(KNOWN[name.casefold()], ())
    tokens = _tokens(name)
    while len(tokens) > 1 and _is_generic(tokens[-1]) and tokens[-1] not in _ENDINGS:
        tokens.pop()
    while len(tokens) > 1 and _is_generic(tokens[0]):
        tokens.pop(0)
    if not tokens:
        return None
    split = _split(tokens[0])
    if split is not None:
        return _Hint(split, _subject(tokens[1:]))
    split = _split(tokens[-1]) or (_ENDINGS.get(tokens[-1]) if len(_tokens(name)) > 1 else None)
    return None if split is None else _Hint(split, _subject(tokens[:-1]))


def _tokens(name: str) -> list[str]:
    """Divides a name at what is no letter, at digits, and at the capitals of camel case."""
    apart = re.sub(r"(?i)\b(hold|held)[\W_]?out\b", r"\1out", name.replace("_", " "))
    apart = re.sub(r"([^\W\d_])(?=\d)|(\d)(?=[^\W\d_])|([a-z])(?=[A-Z])|([A-Z])(?=[A-Z][a-z])", r"\g<0> ", apart)
    return re.findall(r"[^\W_]+", apart)


def _subject(tokens: list[str]) -> tuple[str, ...]:
    return tuple(token.casefold() for token in tokens if not _is_generic(token) and _split(token) is None)


def _split(token: str) -> Split | None:
    return next((split for split, word in _WORDS.items() if re.fullmatch(word + _COMPOUND, token.casefold())), None)


def _is_generic(token: str) -> bool:
    return _GENERIC.fullmatch(token.casefold()) is not None


def setting_of(splits: Mapping[Split, str]) -> str:
    """Returns the command-line option that names the folders of the splits."""
    fields = ", ".join(f"{split}: {_written(name)}" for split, name in splits.items())
    return setting("datamodule.splits", f"{{{fields}}}")


def _written(name: str) -> str:
    """Returns a name as YAML takes it for a text."""
    plain = re.fullmatch(r"[A-Za-z][\w./-]*", name, re.ASCII) and name.lower() not in ("true", "false", "null")
    return name if plain else json.dumps(name)


def named(folders: Collection[str]) -> str:
    """Returns the names of folders as part of a sentence."""
    return listed([f"{folder}/" for folder in folders])
