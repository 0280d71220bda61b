"""The package as it is installed: what it asks for, its command, and which config.py is read."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tinybench.cli import commands
from tinybench.configuration import config_file, load_recipes

ROOT = Path(__file__).resolve().parents[1]


def listed(path):
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return {str(Requirement(line)) for line in lines if line and not line.startswith("-r")}


def test_the_requirements_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert listed(ROOT / "requirements.txt") == {*project["dependencies"], *extras["notebooks"]}
    tested = ("dev", "docs", "ray", "search", "demo", "wandb", "mlflow", "trackio")
    assert listed(ROOT / "requirements-dev.txt") == {package for extra in tested for package in extras[extra]}


def test_every_command_has_a_door_and_a_module():
    doors = {path.stem for folder in ("src", "plots") for path in (ROOT / folder).glob("*.py")}
    modules = {path.stem for path in Path(commands.__file__).parent.glob("*.py")}
    assert doors == commands.COMMANDS.keys() <= modules


def test_config_py_of_the_current_folder_goes_first_if_it_is_ours(tmp_path, monkeypatch):
    assert config_file() == ROOT / "config.py"
    monkeypatch.chdir(tmp_path)
    Path("config.py").write_text("raise SystemExit('run by mistake')")
    assert config_file() == ROOT / "config.py"
    Path("config.py").write_text("from tinybench.recipe import Recipe\nRECIPES = {'mine': Recipe(model='vit')}\n")
    with pytest.warns(match="recipes are those of .*config.py"):
        assert load_recipes().keys() == {"mine"}


def tinybench(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["tinybench", *words])
    with pytest.raises(SystemExit) as stop:
        commands.main()
    return stop.value.code, *capsys.readouterr()


def test_the_console_command(monkeypatch, capsys):
    assert "complete -o default -F _tinybench tinybench" in tinybench(monkeypatch, capsys, "--completion")[1]
    assert tinybench(monkeypatch, capsys, "--words", "tr", "1")[1].split() == list(commands.COMMANDS)
    assert {"--lr", "--run_name"} < set(tinybench(monkeypatch, capsys, "--words", "train", "2")[1].split())
    assert tinybench(monkeypatch, capsys, "--words", "nothing", "2")[1] == "\n"
    status, out, _ = tinybench(monkeypatch, capsys, "--help")
    assert status == 0
    assert all(f"  {name} " in out for name in commands.COMMANDS)
    assert max(map(len, out.splitlines())) <= 110
    assert tinybench(monkeypatch, capsys, "--version")[1].startswith("tinybench 0.")
    status, _, errors = tinybench(monkeypatch, capsys, "tets")
    assert (status, errors) == (
        2,
        "error: there is no command tets; the closest is test, and tinybench --help lists all\n",
    )
    status, _, errors = tinybench(monkeypatch, capsys, "infer", "--imagee", "x.jpg")
    assert (status, errors.partition(",")[0]) == (
        2,
        "error: there is no flag --imagee; the closest is --image",
    )


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_a_wrong_flag_is_answered_without_torch(name):
    code = f"import sys; sys.argv = ['{name}', '--no_such_flag']; sys.path.insert(0, {str(ROOT / 'src')!r})\n"
    code += "from tinybench.cli.commands import console, import_module\n"
    code += f"try: console.run(lambda: import_module('tinybench.cli.{name}').main())\n"
    code += "except SystemExit as stop: assert stop.code == 2\n"
    code += "assert not {'torch', 'matplotlib', 'pandas'} & sys.modules.keys(), sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("error: there is no flag --no_such_flag; the closest is --")


def test_a_missing_package_is_one_line(tmp_path):
    (tmp_path / "pydantic.py").write_text("raise ModuleNotFoundError('no pydantic', name='pydantic')")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT / 'src')!r}]; sys.argv = ['train']\n"
    code += "from tinybench.cli.commands import start; start('train')"
    environment = {"TINYBENCH_ALLOCATOR": "system"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stderr == "error: the package pydantic is missing; type: python -m pip install -r requirements.txt\n"
