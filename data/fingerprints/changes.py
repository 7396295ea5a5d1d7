"""How data differs from what a run was trained on: what was added, removed, renamed or replaced, by name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from firebox.data.fingerprints.fingerprint import LEFT_OUT, Files, Fingerprint
from firebox.foundation.problems import printable, shown

SHOWN = 5
"""Number of names that are shown of each kind of change."""


class Changes:
    """What was changed between two fingerprints of a data set.

    Args:
        before: the data that a run was trained on.
        now: the data at present.
    """

    def __init__(self, before: Fingerprint, now: Fingerprint) -> None:
        self.before = before
        self.now = now

    def told(self) -> list[str]:
        """Returns what was changed, a phrase each; an empty list if nothing was."""
        before, now = self.before, self.now
        if before.kind != now.kind:
            return [f"it was known by its {before.kind}, and is now known by its {now.kind}"]
        found = [*self._of_classes(), *(self._of_splits() if self._matched is None else self._of_files(self._matched))]
        if not found and before.digests["names"] != now.digests["names"]:
            found.append(f"the same {now.kind} in another order, or with other labels")
        found += [*self._of_skipped(), *_of_transforms(before.transform, now.transform)]
        if None not in (before.moments, now.moments) and before.moments != now.moments:
            found.append(
                "pixel_range standardised: the mean and deviation of the training images were "
                f"{shown(before.moments)}, now {shown(now.moments)}"
            )
        return found

    def trained_on(self) -> dict[str, int] | None:
        """Returns how many samples that were trained on are now in a split that evaluates; None if that isn't known."""
        matched = self._matched
        if matched is None or matched.before.held is not None or matched.now.held is not None:
            return None
        pairs = [(i, j) for i, j in matched.pairs if not matched.replaced(i, j)]
        moved = Counter(matched.now.splits[j] for i, j in pairs if "train" in matched.before.splits[i])
        counts = {split: sum(n for held, n in moved.items() if split in held) for split in ("validation", "test")}
        return {split: count for split, count in counts.items() if count}

    @cached_property
    def _matched(self) -> _Matched | None:
        before, now = self.before.files, self.now.files
        return None if before is None or now is None else _Matched(self.before, self.now, before, now)

    def _of_classes(self) -> Iterator[str]:
        renamed = {} if self._matched is None else self._matched.classes
        for old, new in renamed.items():
            yield f"class {shown(old)} renamed to {shown(new)}"
        before, now = [renamed.get(name, name) for name in self.before.classes], list(self.now.classes)
        yield from _listed("class added", [name for name in now if name not in before], "classes added")
        yield from _listed("class removed", [name for name in before if name not in now], "classes removed")
        if sorted(before) == sorted(now) and before != now:
            moved = [f"{old} -> {new}" for old, new in zip(before, now, strict=True) if old != new]
            yield from _listed("label means another class", moved, "labels mean other classes")

    def _of_skipped(self) -> Iterator[str]:
        before, now = self.before.skipped, self.now.skipped
        if before is not None and now is not None:
            yield from _listed("now skipped", [name for name in now if name not in before])
            yield from _listed("no longer skipped", [name for name in before if name not in now])

    def _of_splits(self) -> Iterator[str]:
        """Yields the changes of data whose files are not known, or not listed."""
        for split in dict.fromkeys([*self.before.parts, *self.now.parts]):
            before, now = self.before.parts.get(split), self.now.parts.get(split)
            if before is None or now is None:
                yield f"the {split} split {'is new' if before is None else 'is gone'}"
            elif before.samples != now.samples:
                yield f"{split}: {before.samples} samples, now {now.samples}"
            elif before.names != now.names:
                what = "names, sizes or labels" if self.now.kind == "files" else "labels"
                yield f"{split}: other {what} of its {now.samples} samples"
            elif None not in (before.content, now.content) and before.content != now.content:
                yield f"{split}: other content of its {now.samples} samples"

    def _of_files(self, matched: _Matched) -> Iterator[str]:
        before, now = matched.before, matched.now
        yield from _listed("added", [now.names[j] for j in matched.added])
        yield from _listed("removed", [before.names[i] for i in matched.removed])
        yield from _listed("renamed", [f"{before.names[i]} -> {now.names[j]}" for i, j in matched.renamed])
        replaced = [(i, j) for i, j in matched.pairs if matched.replaced(i, j)]
        yield from _listed("replaced", [f"{before.names[i]}: {matched.content(i, j)}" for i, j in replaced])
        yield from _listed(
            "relabelled",
            [
                f"{now.names[j]}: {matched.label(i)} -> {matched.label_now(j)}"
                for i, j in matched.same
                if matched.other_label(i, j)
            ],
        )
        yield from _listed(
            "with another target",
            [f"{now.names[j]}: {matched.target(i, j)}" for i, j in matched.pairs if matched.target(i, j)],
        )
        moved = [(i, j) for i, j in matched.pairs if before.splits[i] != now.splits[j]]
        yield from _listed(
            "now in another split",
            [f"{now.names[j]}: {_split(before.splits[i])} -> {_split(now.splits[j])}" for i, j in moved],
        )


class _Matched:
    """The files of before and of now that are the same, by their names or else by their sizes and content.

    ``pairs`` has their positions, ``renamed`` those of them that have another name for another reason than that their
    class has one, and ``same`` the others.
    """

    def __init__(self, was: Fingerprint, is_now: Fingerprint, before: Files, now: Files) -> None:
        self.before, self.now = before, now
        self._classes, self._classes_now = was.classes, is_now.classes
        at = {name: j for j, name in enumerate(now.names)}
        self.same = [(i, at[name]) for i, name in enumerate(before.names) if name in at]
        self.classes: dict[str, str] = {}
        """The classes that have another name, by their names before."""
        self._leave(self.same)
        self._match_classes()
        self.renamed: list[tuple[int, int]] = []
        for key, key_now in self._likenesses():
            self._match_unique(key, key_now)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return [*self.same, *self.renamed]

    def _leave(self, pairs: Iterable[tuple[int, int]]) -> None:
        old, new = {i for i, _ in pairs}, {j for _, j in pairs}
        self.removed = [i for i in range(len(self.before)) if i not in old]
        self.added = [j for j in range(len(self.now)) if j not in new]

    def _match_classes(self) -> None:
        """Recognises a class under another name by most of its files, whose folder or whose label alone has that name.

        Which name that is, files of the same name and content say.
        """
        gone, new = set(self._classes) - set(self._classes_now), set(self._classes_now) - set(self._classes)
        if not gone or not new:
            return
        own = {
            old: [i for i in range(len(self.before)) if self.label(i) == old] for old in self._classes if old in gone
        }
        key, key_now = next(self._likenesses())
        alike: dict[Hashable, list[int]] = defaultdict(list)
        for j in range(len(self.now)):
            if self.label_now(j) in new:
                alike[key_now(j)].append(j)
        at = {self.now.names[j]: j for places in alike.values() for j in places}
        for old, files in own.items():
            votes = Counter(self.label_now(j) for i in files for j in alike[key(i)])
            name = next((name for name, _ in votes.most_common() if name not in self.classes.values()), None)
            if name is not None:
                names = ((i, (_with_class(self.before.names[i], old, name), self.before.names[i])) for i in files)
                found = [(i, at[known]) for i, both in names for known in both if known in at]
                if 2 * len(found) > len(files):
                    self.classes[old] = name
                    self.same = sorted({*self.same, *found})
        self._leave(self.same)

    def _likenesses(self) -> Iterator[tuple[Callable[[int], Hashable], Callable[[int], Hashable]]]:
        """Yields what tells a file under another name, the surest first."""
        before, now = self.before, self.now
        if before.sha256 is not None and now.sha256 is not None:
            yield before.sha256.__getitem__, now.sha256.__getitem__
            return
        yield (
            lambda i: (PurePosixPath(before.names[i]).name, before.sizes[i]),
            lambda j: (PurePosixPath(now.names[j]).name, now.sizes[j]),
        )
        yield before.sizes.__getitem__, now.sizes.__getitem__

    def _match_unique(self, key: Callable[[int], Hashable], key_now: Callable[[int], Hashable]) -> None:
        olds = {key(i): i for i in self.removed}
        news = {key_now(j): j for j in self.added}
        counts, counts_now = Counter(map(key, self.removed)), Counter(map(key_now, self.added))
        self.renamed += [(i, news[k]) for k, i in olds.items() if counts[k] == 1 and counts_now[k] == 1]
        self._leave(self.pairs)

    def label(self, i: int) -> str | None:
        """Returns the name of a file's class before; None if there are no classes."""
        return self._classes[self.before.labels[i]] if self.before.labels else None

    def label_now(self, j: int) -> str | None:
        """Returns the name of a file's class now; None if there are no classes."""
        return self._classes_now[self.now.labels[j]] if self.now.labels else None

    def other_label(self, i: int, j: int) -> bool:
        """Whether a file has another label, beside another name of its class."""
        old = self.label(i)
        return (None if old is None else self.classes.get(old, old)) != self.label_now(j)

    def target(self, i: int, j: int) -> str:
        """Says how a sample's target differs, beside its label; an empty text if it does not."""
        old = self.before.targets[i] if self.before.targets else "none"
        new = self.now.targets[j] if self.now.targets else "none"
        return "" if old == new else f"{old} -> {new}"

    def replaced(self, i: int, j: int) -> bool:
        """Whether a file has another content, as far as that is known."""
        before, now = self.before, self.now
        if before.sizes[i] != now.sizes[j]:
            return True
        if before.held is not None and now.held is not None and before.held[i] != now.held[j]:
            return True
        return before.sha256 is not None and now.sha256 is not None and before.sha256[i] != now.sha256[j]

    def content(self, i: int, j: int) -> str:
        """Says how the content of a file differs."""
        old, new = self.before.sizes[i], self.now.sizes[j]
        return f"{old} -> {new} bytes" if old != new else f"other content of {new} bytes"


def _with_class(name: str, old: str, new: str) -> str:
    """Returns a file's path with the folder of a class called otherwise."""
    steps = name.split("/")
    places = [place for place, step in enumerate(steps[:-1]) if step == old]
    if places:
        # The class's folder is the first of its name below the split's.
        steps[places[0]] = new
    return "/".join(steps)


def _split(name: str) -> str:
    return "left out" if name == LEFT_OUT else name


def _of_transforms(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*before, *now]):
        if before.get(key) != now.get(key):
            yield f"read otherwise: {key} was {shown(before.get(key))}, now {shown(now.get(key))}"


def _listed(what: str, names: list[str], several: str = "") -> Iterator[str]:
    """Yields how many names there are, with the first of them; nothing if there are none."""
    if names:
        some = ", ".join(map(printable, names[:SHOWN]))
        rest = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield f"{len(names)} {several if several and len(names) > 1 else what} ({some}{rest})"
