"""Draws the picture of the floors in docs/design.md, from the code: python docs/make_floors.py [FILE].

The floors and the engine's rooms are those of the import contracts in pyproject.toml, and each box names its files. An
arrow is an import; where an import follows from two others (handlers -> engine -> data), its arrow is left out.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import grimp
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).parent.parent
WIDTH, MARGIN, GAP, PAD = 1200, 24, 30, 10
NAME = FontProperties(family="DejaVu Sans", weight="bold", size=11.5)
FILES = FontProperties(family="DejaVu Sans", size=9.5)
NAME_LINE, FILES_LINE = 22, 18
INK, PALE, ARROW = "#1f2328", "#57606a", "#6e7781"
FACE = "the public face"

PLACES = {
    "experiments": (24, 392), "trainers": (416, 784), "benchmarks": (808, 1176),
    FACE: (416, 784),
    "modules": (24, 470), "handlers": (494, 1120),
    "engine": (24, 1120),
    "data": (24, 700), "models": (724, 1176),
    "foundation": (24, 1176),
}  # fmt: skip
"""From where to where a folder's box reaches; between them are lanes for the arrows that pass a floor."""
COLOURS = ("#fdf0d5", "#e9edc9", "#d8e8f5", "#e4dff2", "#eaeaea")
"""Of the floors, from the top."""
ROOM = "#f4f9fd"


@dataclass(frozen=True, slots=True)
class Box:
    """A box with its name and text, in pixels; y runs down."""

    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Code:
    """What is drawn.

    Args:
        floors: the folders of each floor, from the top.
        rooms: the engine's rooms, from the top.
        files: the names of the files in each folder.
        imports: which folders each folder imports, and which rooms each room, without those that follow from others.
    """

    floors: tuple[tuple[str, ...], ...]
    rooms: tuple[str, ...]
    files: dict[str, list[str]]
    imports: dict[str, set[str]]


def read_code() -> Code:
    """Reads the contracts and the imports."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    floors = tuple(tuple(layer.split(" | ")) for layer in layers[0])
    rooms = tuple(f"engine.{room}" for room in layers[1])
    graph = grimp.build_graph("firebox", cache_dir=None)
    modules = {module: module.removeprefix("firebox.") for module in graph.modules if "." in module}
    packages = {modules[module] for module in modules if graph.find_children(module)}
    files: dict[str, list[str]] = {}
    (data,) = (contract["layers"] for contract in contracts if contract.get("containers") == ["firebox.data"])
    order = [room for layer in data for room in re.findall(r"\w+", layer)]

    def place(name: str) -> tuple[str, int, str]:
        """Where a file is named: the rooms of data as in their contract, all else by name."""
        folder, room, *_ = [*name.split("."), ""]
        return folder, order.index(room) if folder == "data" and room in order else -1, name

    for name in sorted(set(modules.values()) - packages, key=place):
        files.setdefault(name.rpartition(".")[0], []).append(name.rpartition(".")[2])

    folders = [folder for floor in floors for folder in floor]
    imports: dict[str, set[str]] = {name: set() for name in (*folders, *rooms, FACE)}
    for module, name in modules.items():
        for imported in graph.find_modules_directly_imported_by(module):
            other = modules.get(imported, FACE)
            pairs = [(name.partition(".")[0], other.partition(".")[0]), (room_of(name), room_of(other))]
            for importing, target in pairs:
                if importing in imports and target in imports and importing != target:
                    imports[importing].add(target)
    for statement in ast.parse((ROOT / "firebox/__init__.pyi").read_text()).body:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            imports[FACE].add(statement.module.partition(".")[0])
    return Code(floors, rooms, files, {name: direct(name, imports) for name in imports})


def room_of(name: str) -> str:
    """Returns the room of the engine that a module is in, or its folder."""
    return ".".join(name.split(".")[:2]) if name.startswith("engine.") else ""


def direct(name: str, imports: dict[str, set[str]]) -> set[str]:
    """Returns what ``name`` imports, without what is imported by what it imports."""

    def below(start: str) -> set[str]:
        return imports[start].union(*map(below, imports[start]))

    return imports[name] - set().union(*map(below, imports[name]))


class Drawing:
    """A drawing in pixels from the upper left corner; it becomes as high as what is put into it."""

    def __init__(self) -> None:
        self.figure = Figure(dpi=100, facecolor="white")
        self.canvas = FigureCanvasAgg(self.figure)
        self.plot = self.figure.add_axes((0, 0, 1, 1))
        self.plot.set_axis_off()

    def wrapped(self, words: list[str], width: float) -> list[str]:
        """Puts words into lines."""
        lines, measure = [""], self.canvas.get_renderer().get_text_width_height_descent
        for word in words:
            longer = f"{lines[-1]}  {word}" if lines[-1] else word
            if measure(longer, FILES, ismath=False)[0] <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def box(self, box: Box, name: str, lines: list[str], colour: str, *, behind: bool = False) -> None:
        """Draws a box with its name and lines of text, before all arrows or behind them."""
        shape = FancyBboxPatch(
            (box.left, box.top), box.right - box.left, box.bottom - box.top, boxstyle="round,pad=0,rounding_size=6",
            facecolor=colour, edgecolor="#8c959f", linewidth=0.8, zorder=1 if behind else 2,
        )  # fmt: skip
        self.plot.add_patch(shape)
        left, top = box.left + PAD, box.top + 6
        self.plot.text(left, top, name, fontproperties=NAME, color=INK, va="top", zorder=3)
        for number, line in enumerate(lines):
            place = top + NAME_LINE + FILES_LINE * number
            self.plot.text(left, place, line, fontproperties=FILES, color=PALE, va="top", zorder=3, parse_math=False)

    def arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draws an arrow."""
        style = {"arrowstyle": "-|>,head_width=0.22,head_length=0.45", "color": ARROW, "linewidth": 1.3}
        self.plot.annotate(
            "", end, start, arrowprops={**style, "shrinkA": 0, "shrinkB": 1, "mutation_scale": 14}, zorder=1.5
        )

    def save(self, file: Path, height: float) -> None:
        """Writes the drawing as PNG; the same drawing has the same bytes."""
        self.figure.set_size_inches(WIDTH / 100, height / 100)
        self.plot.set(xlim=(0, WIDTH), ylim=(height, 0))
        self.figure.savefig(file, metadata={"Software": None})


def draw(code: Code, file: Path) -> None:
    """Draws the floors."""
    drawing = Drawing()
    boxes: dict[str, Box] = {}
    top = float(MARGIN)
    for number, floor in enumerate(code.floors):
        if "engine" in floor:
            bottom = draw_engine(drawing, code, top, COLOURS[number])
            boxes["engine"] = Box(*PLACES["engine"], top, bottom)
        else:
            bottom = draw_floor(drawing, code, floor, top, COLOURS[number], boxes)
        if number == 0:
            boxes[FACE] = face = Box(*PLACES[FACE], bottom + GAP, bottom + GAP + NAME_LINE + FILES_LINE + 12)
            drawing.box(face, f"firebox/, {FACE}", ["from firebox import Handler, Module, Guard, …"], "white")
            bottom = face.bottom
        top = bottom + GAP
    taken: list[tuple[float, Box]] = []
    for name in boxes:
        for imported in sorted(code.imports[name], key=list(boxes).index):
            place = lane(boxes[name], boxes[imported], list(boxes.values()), taken)
            taken.append((place, Box(place, place, boxes[name].bottom, boxes[imported].top)))
            drawing.arrow((place, boxes[name].bottom), (place, boxes[imported].top))
    drawing.save(file, top - GAP + MARGIN)


def draw_floor(
    drawing: Drawing, code: Code, floor: tuple[str, ...], top: float, colour: str, boxes: dict[str, Box]
) -> float:
    """Draws the folders of a floor, all of the same height, and returns where they end."""
    lines, inner = {}, {}
    for folder in floor:
        left, right = PLACES[folder]
        inside = [name for name in code.files if name.startswith(f"{folder}.")]
        lines[folder] = drawing.wrapped(code.files[folder], right - left - 2 * PAD)
        inner[folder] = {name: drawing.wrapped(code.files[name], right - left - 4 * PAD) for name in inside}

    def height(text: list[str]) -> float:
        return NAME_LINE + FILES_LINE * len(text) + 12

    heights = [height(lines[folder]) + sum(height(text) + PAD for text in inner[folder].values()) for folder in floor]
    bottom = top + max(heights)
    for folder in floor:
        left, right = PLACES[folder]
        boxes[folder] = Box(left, right, top, bottom)
        drawing.box(boxes[folder], f"{folder}/", lines[folder], colour)
        below = top + height(lines[folder])
        for name, text in inner[folder].items():
            box = Box(left + PAD, right - PAD, below, below + height(text))
            drawing.box(box, f"{name.replace('.', '/')}/", text, "#f6f8ea")
            below = box.bottom + PAD
    return bottom


def draw_engine(drawing: Drawing, code: Code, top: float, colour: str) -> float:
    """Draws the engine and its rooms, each below all that import it, and returns where it ends."""
    ranks: dict[str, int] = {}
    for room in code.rooms:
        ranks[room] = 1 + max((ranks[other] for other in ranks if room in code.imports[other]), default=-1)
    left, right = PLACES["engine"][0] + PAD, PLACES["engine"][1] - PAD
    # A row holds its rooms and, between them, the arrows that pass by.
    rows: list[list[tuple[str, str]]] = [[] for _ in range(max(ranks.values()) + 1)]
    for room in code.rooms:
        rows[ranks[room]].append((room, room))
        for imported in sorted(code.imports[room]):
            for between in range(ranks[room] + 1, ranks[imported]):
                rows[between].append((room, imported))
    ends: dict[tuple[str, str], Box] = {}

    def leads(above: tuple[str, str], cell: tuple[str, str]) -> bool:
        """Returns whether an arrow leaves the first cell to arrive at, or to pass, the second one."""
        return above in (cell, (cell[0], cell[0])) or (above[0] == above[1] and cell[1] in code.imports[above[0]])

    below = top + NAME_LINE + 12
    texts: list[tuple[Box, str, list[str]]] = []
    for row in rows:
        # Beneath what imports it.
        row.sort(key=lambda cell: min((end.left for above, end in ends.items() if leads(above, cell)), default=0))
        share = (right - left - GAP * (len(row) - 1)) / len(row)
        lines = {room: texts_of(drawing, code, room, share - 2 * PAD) for room, other in row if room == other}
        bottom = below + NAME_LINE + FILES_LINE * max(map(len, lines.values())) + 12
        for number, cell in enumerate(row):
            start = left + number * (share + GAP)
            ends[cell] = Box(start, start + share, below, bottom)
            if cell[0] == cell[1]:
                texts.append((ends[cell], cell[0], lines[cell[0]]))
        below = bottom + GAP
    bottom = below - GAP + PAD
    drawing.box(Box(*PLACES["engine"], top, bottom), "engine/", [], colour, behind=True)
    for box, room, text in texts:
        drawing.box(box, f"{room.replace('.', '/')}/", text, ROOM)
    for room in code.rooms:
        for imported in sorted(code.imports[room]):
            passed = [(room, imported)] * (ranks[imported] - ranks[room] > 1)
            draw_arrow_through(drawing, [ends[cell] for cell in ((room, room), *passed, (imported, imported))])
    return bottom


def texts_of(drawing: Drawing, code: Code, room: str, width: float) -> list[str]:
    """Returns the lines that name a room's files, then those of the rooms within it."""
    lines = drawing.wrapped(code.files[room], width)
    for inner in (name for name in code.files if name.startswith(f"{room}.")):
        lines += drawing.wrapped([f"{inner.removeprefix(f'{room}.')}/", *code.files[inner]], width)
    return lines


def draw_arrow_through(drawing: Drawing, boxes: list[Box]) -> None:
    """Draws an arrow from the first box to the last one, through the empty cell between them where there is one."""
    narrowest = min(boxes, key=lambda box: box.right - box.left)
    place = (narrowest.left + narrowest.right) / 2
    drawing.arrow((place, boxes[0].bottom), (place, boxes[-1].top))


def lane(start: Box, end: Box, boxes: list[Box], taken: list[tuple[float, Box]]) -> float:
    """Returns an x at which an arrow meets both boxes and none between them, and keeps its distance from others."""
    low, high = max(start.left, end.left) + 16, min(start.right, end.right) - 16
    middle = (low + high) / 2
    between = [box for box in boxes if start.bottom < box.top and box.bottom < end.top]
    beside = [place for place, arrow in taken if arrow.top < end.top and start.bottom < arrow.bottom]

    def free(place: float) -> bool:
        passes = all(not box.left - 12 < place < box.right + 12 for box in between)
        return passes and all(abs(place - other) >= 24 for other in beside)

    places = sorted((float(place) for place in range(int(low), int(high) + 1)), key=lambda place: abs(place - middle))
    # Where there is none, the arrow passes behind what is between.
    return next(filter(free, places), middle)


if __name__ == "__main__":
    draw(read_code(), Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/floors.png")
