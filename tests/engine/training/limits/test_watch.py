"""The thread that watches time limits."""

import os
import time
import weakref

from firebox.engine.training.limits.watch import Watch


def test_a_look_keeps_nothing_of_the_calls_that_it_saw():
    class Held:
        pass

    def seen(watch):
        held = Held()
        os.write(watch.wake_up, b"\0")
        time.sleep(0.05)
        return weakref.ref(held)

    watch = Watch()
    try:
        assert seen(watch)() is None
    finally:
        watch.end()
