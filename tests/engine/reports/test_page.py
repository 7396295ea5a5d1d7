"""Reports: what stands on the page, that it is safe and loads nothing, and how it looks in a browser."""

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy
import pytest
from PIL import Image

from firebox.engine.commands.command_line import main
from firebox.engine.records.recorded import all_recorded
from firebox.engine.reports.curves import curves_of
from firebox.engine.reports.page import page
from firebox.engine.reports.pictures import films_of
from tests.written_runs import a_run

TEXT = """\
seed: SEED
trainer: cae_baseline
datamodule: {name: fashion_mini}
model: {name: cae_baseline, latent_dim: 8}
module: {name: reconstruction, loss: {name: mse}}
optimizer: {name: adam, lr: 0.002}
training: {epochs: 3}
"""
LOG = """\
2026-01-01 10:00:00,000 INFO    begins
2026-01-01 10:00:01,000 WARNING disk is slow
    and full
2026-01-01 10:02:03,000 ERROR   can't write
2026-01-01 10:02:04,000 INFO    ends
"""
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202e\x1b[31m"


def run_of(root, version="a", *, seed=1, text=TEXT, metric="psnr", log=LOG):
    """A run of 27 iterations, two of them resumptions, with pictures of each epoch."""
    rows = [{"iteration": k, "epoch": -(-k // 9), "split": "train", "loss": 1 / k} for k in range(1, 28)]
    rows += [{"iteration": k, "epoch": k // 9, "split": "validation", "loss": 2 / k, metric: k} for k in (9, 18, 27)]
    rows.append({"iteration": 27, "epoch": 3, "split": "test", "loss": 0.125})
    run = a_run(root, text.replace("SEED", str(seed)), version=version, rows=rows)
    environment = {"started": "2026-01-01T10:02:00+0000", "resumed_at": 9, "device": "cuda:0", "epoch_length": 9}
    earlier = [{"started": "2026-01-01T10:00:00+0000", "resumed_at": 0, "device": "cpu", "packages": {"torch": "2.1"}}]
    (run / "environment.json").write_text(json.dumps({**environment, "packages": {"torch": "2.2"}, "earlier": earlier}))
    splits = {"train": {"samples": 1234, "classes": {"Bag": 1200, "Coat": 34}}}
    (run / "data.json").write_text(json.dumps({"classes": ["Bag", "Coat"], "splits": splits, "skipped": []}))
    (run / "log.txt").write_text(log)
    for iteration in (9, 18, 27):
        picture_at(run, iteration, numpy.full((32, 32, 3), (iteration * 9, 30, 200), dtype=numpy.uint8))
    return run


def picture_at(run, iteration, pixels, split="validation", name="reconstruction"):
    path = run / "images" / split / f"iteration_{iteration:08d}_{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text outside of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text, self._inside = [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.text += f" {data}"

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def drawn(text):
    return json.loads(re.search(r'<script type="application/json" id="drawn">(.*?)</script>', text, re.DOTALL)[1])


def test_a_page_says_what_was_trained_on_what_and_how_it_ended(tmp_path):
    text = " ".join(Elements(page(all_recorded([run_of(tmp_path)]))).text.split())
    for expected in (
        "cae_baseline on fashion_mini",
        "completed: done",
        "train 1,234 samples",
        "reconstruction, mse",
        "adam lr 0.002",
        "3 of 3 epochs, 27 iterations",
        "0:00:05",
        "validation/loss 0.0740741 at iteration 27",
        "metric train validation test best validation loss 0.037037 0.0740741 0.125 0.0740741",
        "Bag 1200 Coat 34",
        "Starts 1 resumption ",
        "9 cuda:0 device: cpu → cuda:0, torch: 2.1 → 2.2",
        "disk is slow and full",
        "can't write",
        "latent_dim: 8",
        "pixel_range",
    ):
        assert expected in text, expected
    assert "begins" not in text


def test_several_runs_are_compared_and_their_curves_drawn_over_each_other(tmp_path):
    text = page(all_recorded([run_of(tmp_path, "a", seed=1), run_of(tmp_path, "b", seed=2)]))
    shown = " ".join(Elements(text).text.split())
    assert "2 runs compared" in shown and "seed 1, 2" in shown
    assert [run["name"] for run in drawn(text)] == ["a", "b"]


def test_the_curves_are_those_of_the_rows(tmp_path):
    (run,) = drawn(page(all_recorded([run_of(tmp_path)])))
    series = {(each["metric"], each["split"]): each for each in run["series"]}
    assert series["loss", "train"]["values"] == pytest.approx([1 / k for k in range(1, 28)], rel=1e-5)
    assert series["psnr", "validation"] == {
        "metric": "psnr", "split": "validation", "iterations": [9, 18, 27], "values": [9.0, 18.0, 27.0],
    }  # fmt: skip


def test_a_long_curve_is_averaged_over_stretches(tmp_path):
    rows = [{"iteration": k, "epoch": 1, "split": "train", "loss": float(k)} for k in range(1, 5001)]
    run = a_run(tmp_path, TEXT, rows=[*rows, {"iteration": -1, "epoch": 1, "split": "train", "loss": 1.0}])
    (series,) = curves_of(run / "losses.jsonl")
    assert 512 < len(series.values) <= 1024
    assert series.values == pytest.approx(series.iterations)


def test_pictures_are_in_the_page_as_they_are(tmp_path):
    run = run_of(tmp_path)
    ((film,),) = (each["films"] for each in drawn(page(all_recorded([run]))))
    assert [iteration for iteration, _ in film["frames"]] == [9, 18, 27]
    content = (run / "images/validation/iteration_00000018_reconstruction.png").read_bytes()
    assert film["frames"][1][1] == f"data:image/png;base64,{base64.b64encode(content).decode()}"


def test_a_run_of_fifteen_epochs_stays_below_five_megabytes_and_keeps_its_last_pictures(tmp_path):
    run = run_of(tmp_path)
    shutil.rmtree(run / "images")
    generator = numpy.random.default_rng(0)
    for iteration in range(1, 16):
        picture_at(run, iteration, generator.integers(0, 256, (300, 640, 3), dtype=numpy.uint8))
    text = page(all_recorded([run]))
    assert len(text) < 5_000_000
    (film,) = drawn(text)[0]["films"]
    assert all(url.startswith("data:image/webp") for _, url in film["frames"])
    (thinned,) = films_of(run / "images", 500_000)
    assert thinned.frames[-1][0] == 15
    assert 0 < thinned.left_out == 15 - len(thinned.frames) < 14
    # The control: as they are, they would be too large.
    (whole,) = films_of(run / "images", 10**9)
    assert sum(len(url) for _, url in whole.frames) > 10_000_000


def test_a_page_about_a_hostile_run_has_no_element_and_no_script_but_its_own(tmp_path):
    text = f"seed: 1\nmodel: {{name: {json.dumps(HOSTILE)}, {json.dumps(HOSTILE)}: 3}}\ndatamodule: {{name: b}}\n"
    log = f"2026-01-01 10:00:01,000 WARNING {HOSTILE}\n"
    harmless = Elements(page(all_recorded([run_of(tmp_path / "x"), run_of(tmp_path / "x", "b")])))
    runs = [run_of(tmp_path / "y", version, text=text, metric=HOSTILE, log=log) for version in ("<b>a", "b")]
    (runs[0] / "model_summary.txt").write_text(HOSTILE)
    picture_at(runs[0], 3, numpy.zeros((8, 8, 3), dtype=numpy.uint8), name="<script>")
    shown = page(all_recorded(runs))
    hostile = Elements(shown)
    assert {tag for tag, _ in hostile.found} <= {tag for tag, _ in harmless.found}
    assert len(hostile.of("script")) == len(harmless.of("script")) == 3
    assert not [name for _, attributes in hostile.found for name in attributes if name.startswith("on")]
    assert "alert(1)" in hostile.text, "the text itself is shown"
    assert "\x1b" not in shown and "\u202e" not in shown
    assert drawn(shown)[0]["name"] == "<b>a"


def test_a_page_loads_nothing(tmp_path):
    text = page(all_recorded([run_of(tmp_path)]))
    elements = Elements(text)
    assert not [a for _, attributes in elements.found for a in attributes if a in ("src", "href", "srcset", "action")]
    policy = next(a["content"] for a in elements.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;") and policy.count("sha256-") == 2
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    assert not re.findall(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", text)


def test_a_damaged_run_and_a_picture_that_is_none_are_reported_all_the_same(tmp_path):
    run = run_of(tmp_path)
    for name in ("config.yaml", "losses.jsonl", "environment.json", "data.json", "log.txt"):
        (run / name).write_bytes(b"\xff[")
    (run / "images/validation/iteration_00000001_x.png").write_text("text")
    (run / "images/validation/iteration_00000002_x.png").symlink_to(run / "images/validation/iteration_00000009_x.png")
    text = page(all_recorded([run]))
    assert "not valid YAML" in text
    assert [film["name"] for film in drawn(text)[0]["films"]] == ["reconstruction"]


def test_the_command_writes_the_file_and_refuses_what_is_no_run(tmp_path, capsys):
    run, file = run_of(tmp_path), tmp_path / "reports" / "r.html"
    assert main(["report", str(run), "--output", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert file.read_text().startswith("<!doctype html>")
    assert main(["report", str(tmp_path), "--output", str(tmp_path / "other.html")]) == 2
    assert not (tmp_path / "other.html").exists()
    assert main(["report", str(run), "--output", str(tmp_path)]) == 2
    assert f"--output: can't write {tmp_path}" in capsys.readouterr().err
    before = sorted(tmp_path.iterdir())
    for folder in (str(tmp_path), "/", "."):
        assert main(["report", str(run), "--output", folder]) == 2
        assert f"--output: can't write {folder}: Is a directory" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


MEASURE = """<script>
const picture = document.querySelector("figure img"), slider = document.querySelector(".films input");
const last = picture.src;
slider.value = 0;
slider.dispatchEvent(new Event("input"));
const log = document.getElementById("log"), smoothing = document.getElementById("smoothing");
log.click();
smoothing.value = 0.5;
smoothing.dispatchEvent(new Event("input"));
document.title = JSON.stringify({
  slides: picture.src !== last, caption: document.querySelector("figcaption").textContent,
  wide: document.scrollingElement.scrollWidth > innerWidth, plots: document.querySelectorAll("canvas").length,
  picture: picture.naturalWidth, ground: getComputedStyle(document.body).backgroundColor,
});
</script></body>"""
BROWSER = [
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=5000"),
]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's package chromium")
@pytest.mark.parametrize(("width", "scheme", "ground"), [(1400, 1, "rgb(255, 255, 255)"), (500, 0, "rgb(20, 23, 27)")])
def test_a_browser_shows_curves_and_pictures_narrow_and_wide_in_light_and_dark(tmp_path, width, scheme, ground):
    text = page(all_recorded([run_of(tmp_path, "a"), run_of(tmp_path, "b", seed=2)]))
    # The page's own policy would stop what is measured with here; the picture is taken of the page as it is.
    measured = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", text).replace("</body>", MEASURE)
    (tmp_path / "page.html").write_text(text)
    (tmp_path / "measured.html").write_text(measured)
    command = [*BROWSER, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1600"]
    command.append(f"--blink-settings=preferredColorScheme={scheme}")
    done = subprocess.run(
        [*command, "--dump-dom", f"file://{tmp_path}/measured.html"], capture_output=True, timeout=120, check=True
    )
    title = json.loads(re.search(r"<title>(.*?)</title>", done.stdout.decode())[1].replace("&quot;", '"'))
    assert title == {
        "slides": True, "caption": "validation: reconstruction", "wide": False, "plots": 2, "picture": 32,
        "ground": ground,
    }  # fmt: skip
    shot = tmp_path / "shot.png"
    command += [f"--screenshot={shot}", f"file://{tmp_path}/page.html"]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    colours = {colour: count for count, colour in Image.open(shot).convert("RGB").getcolors(1 << 24)}
    curve = (11, 98, 196) if scheme else (108, 176, 255)
    assert colours.get(curve, 0) > 300, "no curve is on the page"
    assert colours.get((27 * 9, 30, 200), 0) > 500, "no picture is on the page"
