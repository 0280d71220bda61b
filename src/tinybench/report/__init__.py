"""One page with all results that opens from disk without a network: data, style and script are written into it."""

import base64
import datetime
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from tinybench.errors import UsageError, command, noticed
from tinybench.recipe import check_run_name
from tinybench.report.boards import make_boards
from tinybench.report.columns import leaderboard_columns
from tinybench.report.records import COSTS, board_record
from tinybench.results.comparison import TABLE
from tinybench.results.published import source_url
from tinybench.results.robustness import COMMAND
from tinybench.results.runs import PUBLISHED, attempt, load_runs, read_table
from tinybench.runtime.files import check_output, write_text

HERE = Path(__file__).parent
SCRIPTS = ("charts.js", "report.js")
MARK = b"<title>tinybench report</title>"  # of page.html, by which an earlier report is known


def build_report(results_dir: Path, output: Path, plan: str = "", *, force: bool = False) -> dict[str, Any]:
    """Write the report on every run below `results_dir`, or below results_dir/plan, and return what it shows.

    Args:
        force: replace whatever file `output` is.

    Raises:
        UsageError: there is no such plan, or no run, or `output` is another file than an earlier report.
        UserError: the page cannot be written.
    """
    check_output(output, force, _is_report)
    content = collect(results_dir, plan)
    write_text(output, render(content))
    return content


def collect(results_dir: Path, plan: str = "") -> dict[str, Any]:
    """All that the page shows, as plain JSON values; `build_report` says what it raises."""
    if plan:
        check_run_name(plan, "plan")
    folder = results_dir / plan
    if not folder.is_dir():
        raise UsageError(f"{folder} does not exist; --results_dir and --plan name the folder that holds the runs")
    with noticed() as notices:
        lines, published = (_lines(results_dir / name) for name in (TABLE, PUBLISHED))
        boards = make_boards(load_runs(results_dir, plan), [line for line in lines if plan in ("", line.get("plan"))])
        records = [board_record(board) for board in boards]
    if not boards:
        hint = notices[0] if notices else f"train one: {command('src/train.py', '--model', 'resnet')}"
        raise UsageError(f"no run in {folder}; {hint}")
    return {
        "plan": plan,
        "built": datetime.date.today().isoformat(),
        "columns": leaderboard_columns(),
        "costs": COSTS,
        "commands": {
            "test": command("src/test.py"),
            "robustness": COMMAND,
            "report": command("src/report.py"),
        },
        "groups": records,
        "problems": notices,
        "published": [row | {"url": source_url(row.get("source", ""))} for row in published],
    }


def _lines(path: Path) -> list[dict[str, str]]:
    table = attempt(read_table, path)
    return [] if table is None else table.to_dict("records")


def _is_report(start: bytes) -> bool:
    return MARK in start


def render(content: dict[str, Any]) -> str:
    """The page: page.html with style, scripts and data put in.

    A policy in its head lets it run nothing but its own script and load nothing at all.
    """
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    style = (HERE / "style.css").read_text(encoding="utf-8")
    parts = {
        "data": _embedded(content),
        "script": script,
        "script_hash": _policy_hash(script),
        "style": style,
        "style_hash": _policy_hash(style),
    }
    # In one pass, so that no text that is put in can be taken for a place to fill.
    page = (HERE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], page)


def _embedded(content: dict[str, Any]) -> str:
    """JSON that can stand in a script element: no name of a class or a run can end the element or open another."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda sign: f"\\u{ord(sign[0]):04x}", text)


def _policy_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
