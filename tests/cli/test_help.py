"""What the command line says of itself, and that it says so without importing compilers."""

import subprocess
import sys

import click
import pytest

from suture.cli import COMMANDS, suture


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_with_its_own_first_sentence(name):
    command = suture.get_command(click.Context(suture), name)
    assert command.get_short_help_str(limit=1000) == COMMANDS[name].help


def test_the_list_is_printed_without_importing_what_is_listed():
    code = (
        "import sys\n"
        "from suture.cli import suture\n"
        "suture(['--help'], standalone_mode=False)\n"
        "print(sorted({'tvm', 'onnx', 'numpy', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout
