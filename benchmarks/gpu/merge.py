"""Filing of a run's results, and the tables of all filed runs in benchmarks/README.md."""

from pathlib import Path

from benchmarks.gpu.schedule import Record, read_run, write_record
from benchmarks.gpu.tables import tables
from utils.command import UserError
from utils.files import replacing
from utils.measurement import RESULTS_DIRECTORY, slug

README = RESULTS_DIRECTORY.parent / "README.md"
BEGIN, END = "<!-- tables of benchmarks.gpu -->\n", "<!-- end of the tables -->\n"
NO_RESULTS = "No card has been measured so far."


def merge(folder: Path, results: Path = RESULTS_DIRECTORY, readme: Path = README) -> Path:
    """File the results of a run under the name of its card, and rewrite the tables.

    A stage without results leaves what was filed before.

    Args:
        folder: what `benchmarks.gpu` has written.
        results: where runs are filed, each in a folder.
        readme: the document with the tables.

    Returns:
        The folder of the filed run.

    Raises:
        UserError: there is no run, it does not tell the card, or it is a rehearsal.
    """
    records = read_run(folder)
    machine = records.get("environment", {}).get("results", {}).get("machine")
    if not machine:
        raise UserError(f"--merge {folder}: there is no environment.json that tells the card; name the folder of a run")
    if any(record["rehearsal"] for record in records.values()):
        raise UserError(f"--merge {folder}: this was a rehearsal, whose figures mean nothing; name the folder of a run")
    filed = results / slug(machine["device"])
    filed.mkdir(parents=True, exist_ok=True)
    for name, record in records.items():
        if record["results"]:
            write_record(filed / f"{name}.json", record)
    with replacing(readme) as file:
        file.write(with_tables(readme.read_text(encoding="utf-8"), results).encode())
    return filed


def filed_runs(results: Path = RESULTS_DIRECTORY) -> list[dict[str, Record]]:
    """Return the records of each filed run."""
    folders = sorted(path.parent for path in results.glob("*/environment.json"))
    return [read_run(folder) for folder in folders]


def with_tables(document: str, results: Path = RESULTS_DIRECTORY) -> str:
    """Return the document with the tables of all filed runs between its two marks."""
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    found = "\n\n".join(tables(run) for run in filed_runs(results)) or NO_RESULTS
    return f"{before}{BEGIN}\n{found}\n\n{END}{after}"
