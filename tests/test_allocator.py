"""The allocator: when a command starts itself again, and that nobody notices."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tinybench.runtime import allocator

SOURCE = Path(allocator.__file__).resolve().parents[2]
PROGRAM = f"""
import os, signal, sys, time
sys.path.insert(0, {str(SOURCE)!r})
from tinybench.runtime.allocator import start_again
start_again()
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.argv[1:], flush=True)
if "wait" in sys.argv:
    time.sleep(60)
sys.exit(7)
"""

glibc_only = pytest.mark.skipif(not allocator._is_glibc(), reason="needs glibc")
no_gpu = pytest.mark.skipif(not allocator._computes_on_cpu([]), reason="takes the GPU that is here")


def started(tmp_path, *words, **environment):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    clean = {name: value for name, value in os.environ.items() if name not in (allocator.SWITCH, allocator.TUNABLES)}
    return subprocess.Popen(
        [sys.executable, program, *words], stdout=subprocess.PIPE, text=True, env={**clean, **environment}
    )


@glibc_only
@no_gpu
def test_the_process_starts_again_once_with_its_own_arguments_and_exit_status(tmp_path):
    process = started(tmp_path, "--name", "a b", GLIBC_TUNABLES="glibc.rtld.nns=4")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 7
    pid, rest = out.split(" ", 1)
    assert int(pid) == process.pid
    assert rest.startswith("glibc.rtld.nns=4:glibc.malloc.mmap_threshold=")
    assert rest.endswith("['--name', 'a b']\n")


@glibc_only
@no_gpu
def test_a_signal_reaches_the_process_that_started_again(tmp_path):
    process = started(tmp_path, "wait")
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == -signal.SIGTERM


@glibc_only
@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"TINYBENCH_ALLOCATOR": "system"}, []),
        ({"TINYBENCH_ALLOCATOR": "kept"}, []),
        ({"LD_PRELOAD": "/usr/lib/libjemalloc.so.2"}, []),
        ({"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}, []),
        ({}, ["--device", "cuda"]),
        ({}, ["--device=mps"]),
    ],
)
def test_what_the_user_set_up_is_respected(environment, words):
    assert allocator.changed_environment(environment, ["train.py", *words]) == {}
    assert allocator.changed_environment({}, ["train.py", "--device", "cpu"])


def test_doctor_can_say_which_allocator_there_is():
    assert "jemalloc" in allocator.describe({"LD_PRELOAD": "/usr/lib/libjemalloc.so.2"})
    assert "huge pages" in allocator.describe({"TINYBENCH_ALLOCATOR": "kept"})
    assert "system" in allocator.describe({})
