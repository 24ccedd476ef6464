import re
from contextlib import closing

import numpy as np
import pytest

from tests.synthetic import square_configuration
from training.run_report import write_run_report
from training.validation import EvaluationResult
from utils.logger import RunLogger


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a run that was resumed once, with text that HTML must not take for its own."""
    folder = tmp_path_factory.mktemp("report")
    config = square_configuration(folder, "logging.run_name=Würfel", "data.action_names=['<b>', '&', c]")
    evaluation = EvaluationResult(
        scalars={"eval/reconstruction": 0.25, "eval/actions_used": 3.0},
        images={"reconstruction_full": np.zeros((900, 3000, 3), np.uint8)},
        animation=np.zeros((3, 8, 8, 3), np.uint8),
        actions_in_words="actions that are held move things: 1 (<b>) left",
    )
    for step in (1, 2):
        with closing(RunLogger(config)) as logger:
            logger.log_scalars(step, {"train/loss": 2.0 / step, "train/my_term": 1.0})
            positions = {f"eval/states/{position}": 0.5 for position in range(1, 13)}
            scalars = evaluation.scalars | positions | {"health/actions_collapsed": True}
            if step == 1:
                logger.log_scalars(step, scalars)
    write_run_report(config, 2, evaluation, scalars, ["train longer"])
    return (folder / "results" / "Würfel" / "report.html").read_text(encoding="utf-8")


def test_it_needs_nothing_from_elsewhere(html: str) -> None:
    assert "default-src 'none'" in html
    assert not re.search(r"https?:|<script|<link", html)
    assert set(re.findall(r'src="(data:[\w/+]+);base64', html)) == {"data:image/webp", "data:image/svg+xml"}
    assert html.count("src=") == html.count('src="data:')


def test_it_says_where_the_run_is(html: str) -> None:
    assert "<h1>Training of Würfel</h1>" in html
    assert "Step 2 of 12: held-out L1 0.2500, actions used 3" in html
    assert "<li>train longer</li>" in html
    assert "1 (&lt;b&gt;) left" in html
    assert 'width="2000" height="600" alt="reconstruction full"' in html


def test_it_shows_curves_by_kind(html: str) -> None:
    titles = re.findall("<h2>(.*)</h2>", html)
    assert titles == ["Held-out sequences at step 2", "Training", "On held-out videos", "Warnings", "Configuration"]


def test_it_lists_what_is_not_the_default(html: str) -> None:
    rows = re.findall(r'<td class="name">(.*?)</td><td>(.*?)</td><td>(.*?)</td>', html)
    found = {key: (value, default) for key, value, default in rows}
    assert found["training.max_steps"] == ("12", "300000")
    assert found["training.batching.batch_size"] == ("2", "–")
    assert "training.learning_rate" not in found
    assert "&lt;b&gt;" in found["data.action_names"][0]
