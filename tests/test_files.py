"""Outputs: files of something else are not touched, and those that say the same stay as they are."""

import json

import pytest

from tinybench.errors import UsageError
from tinybench.runtime.files import check_output, has_keys, update_json


def test_json_is_known_by_its_keys(tmp_path):
    path = tmp_path / "table.json"
    check_output(path, False, has_keys("environment", "networks"))  # nothing there
    check_output(None, False, has_keys("environment"))  # nothing asked for
    path.write_text('{"target": 5, "environment": {"device": "cpu"}, "networks": []}')
    check_output(path, False, has_keys("environment", "networks"))
    for content in ('{"environment": {}}', "[]", "networks, environment", ""):
        path.write_text(content)
        with pytest.raises(UsageError, match="not written by this command; replace it with --force"):
            check_output(path, False, has_keys("environment", "networks"))
        check_output(path, True, has_keys("environment", "networks"))
    with pytest.raises(UsageError, match="no file"):
        check_output(tmp_path, True, has_keys("environment"))


def test_numbers_in_another_form_are_the_same(tmp_path):
    path = tmp_path / "numbers.json"
    path.write_text(json.dumps({"mean": [0.1 + 0.2, 1.0], "count": 3}, indent=7))
    before = path.read_text()
    update_json(path, {"mean": (0.3, 1), "count": 3})
    assert path.read_text() == before
    update_json(path, {"mean": (0.3001, 1), "count": 3})
    assert json.loads(path.read_text())["mean"] == [0.3001, 1]
    path.write_text("{")
    update_json(path, {})
    assert path.read_text() == "{}\n"
