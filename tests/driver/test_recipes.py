"""What packages say of their making, as whole packages have it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from zipfile import ZipFile

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def test_a_package_of_a_task(compilation, digits):
    (built,) = compilation.built
    with ZipFile(built.written.path) as package:
        files = {name: package.read(name) for name in package.namelist()}
    text = files["sbom.cdx.json"].decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    plan = compilation.planned.chosen.estimate.plan
    stitched = {
        each.partition("@")[0] for each in text.split('"') if each.startswith("digit-")
    }
    assert stitched == set(plan.name.split(" > "))
    statement = json.loads(files.pop("provenance.json"))
    subjects = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    assert subjects == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    definition = statement["predicate"]["buildDefinition"]
    inputs = {
        each["name"]: each["digest"]["sha256"] for each in definition["resolvedDependencies"]
    }
    assert inputs["digits"] == plan.digest
    for name in ("task.toml", "eval.npz", "spoilt.png"):
        assert inputs[name] == hashlib.sha256((digits / name).read_bytes()).hexdigest()
    assert definition["internalParameters"]["passes"][-1]["name"] == "prune-dead-nodes"


def test_other_surroundings_same_bytes(net, cache, tmp_path):
    """Another folder, hash seed, time zone and umask leave the package as it is."""
    digests = set()
    for number in (1, 2):
        home = tmp_path / str(number)
        home.mkdir()
        shutil.copyfile(net, home / "net.onnx")
        done = subprocess.run(
            [
                *(sys.executable, "-c", "from suture.cli import main; main()"),
                *("compile", "net.onnx", "-o", "out", "--backend", "tvm", "--json"),
                *("--cache", str(cache)),
            ],
            cwd=home,
            env={
                **os.environ,
                "PYTHONHASHSEED": str(number),
                "TZ": f"UTC{number}",
                "HOME": str(home),
            },
            umask=0o022 + number,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        digests.add(json.loads(done.stdout)["packages"][0]["digest"])
    assert len(digests) == 1
