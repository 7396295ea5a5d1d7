"""Runs' directories that tests write by hand, as somebody else may have written them."""

import json

PART = "datamodule: {name: fashion_mini}\nmodel: {name: REFERENCE}\nmodule: {name: reconstruction}\n"
CONFIGURATION = f"trainer: cae_baseline\n{PART}training: {{epochs: 3}}\nhandlers:\n  - REFERENCE: {{keep_best: 1}}\n"


def a_run(root, text, version="a", status=None, rows=()):
    """Writes a run of iterations of nine an epoch, whose configuration is ``text``."""
    run = root / "data" / "model" / version
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(text)
    content = {"status": "completed", "iteration": 27, "reason": "done"} if status is None else status
    (run / "status.json").write_text(content if isinstance(content, str) else json.dumps(content))
    (run / "environment.json").write_text('{"epoch_length": 9}')
    (run / "losses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run
