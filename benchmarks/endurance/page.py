"""The page of the trained Breakout, played for minutes in headless Chromium."""

import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.browser import chromium, missing_programs, open_page
from benchmarks.endurance.flatness import slope, slowing
from benchmarks.endurance.miniature import trained_breakout
from utils.command import UserError
from web.exporter import ExportOptions, export_page
from web.runtime import find_runtime
from web.server import serving

STEPS = 100
"""Steps between two looks at the memory."""

PLAYED_STEPS = """
const [numSteps, done] = arguments;
const play = async () => {
  const { player, screen } = await (await import("./page.js")).ready;
  const start = performance.now();
  for (let step = 0; step < numSteps; step++) {
    await player.game.act(step % player.game.model.game.actions.length);
    screen.show(player.game.frame);
  }
  return [(performance.now() - start) / numSteps, performance.memory.usedJSHeapSize / 2 ** 20];
};
play().then(done, (error) => done(String(error)));
"""


def play_page(folder: Path, minutes: float) -> dict[str, Any]:
    """Export the page to a folder and play it; return figures, or why it is skipped.

    Raises:
        UserError: the page stopped.
    """
    if missing := missing_programs():
        return {"skipped": f"{' and '.join(missing)} not installed"}
    try:
        find_runtime()
    except UserError as error:
        return {"skipped": str(error)}
    export_page(trained_breakout(), ExportOptions(folder))
    milliseconds: list[float] = []
    sizes: list[float] = []
    with serving(folder) as url, chromium("--enable-precise-memory-info") as browser:
        open_page(browser, url)
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            played = browser.execute_async_script(PLAYED_STEPS, STEPS)
            if isinstance(played, str):
                raise UserError(f"the page stopped after {STEPS * len(sizes)} steps: {played}")
            milliseconds.append(played[0])
            sizes.append(played[1])
    return {
        "frames": STEPS * len(sizes),
        "mb": round(sizes[-1]),
        "mb_per_1000": round(slope([STEPS * number for number in range(len(sizes))], sizes), 3),
        "median_milliseconds": round(statistics.median(milliseconds), 2),
        "last_tenth_over_first": round(slowing(milliseconds), 3),
    }
