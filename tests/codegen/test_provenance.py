import hashlib
import json
from dataclasses import replace
from importlib.metadata import version

import pytest

from suture import __version__
from suture.codegen.package import Package
from suture.codegen.provenance import PROVENANCE, attested
from suture.codegen.recipe import Recipe, Rewrite, Source
from suture.codegen.sbom import SBOM

RECIPE = Recipe(
    version="7",
    sources=(Source(kind="component", name="blur", version="1.0", digest="b" * 64),),
    options={"backend": "auto", "effort": 0, "sizes": [{"batch": 8}]},
    rewrites=(Rewrite("fold-constants", 9, 7),),
    schedules={"conv_1": "direct-conv{rows=4}"},
    plugins={"my-passes": "3.1"},
)


@pytest.fixture
def package(target, tmp_path):
    library = tmp_path / "libmodel.so"
    library.write_bytes(b"kernels")
    files = {"libmodel.so": library, "model.json": b"{}"}
    return Package(
        name="net",
        target=target,
        backend="tvm",
        runtime="python",
        python="python3.13",
        files=files,
    )


def statement(package):
    return json.loads(attested(package, RECIPE).files[PROVENANCE])


def test_every_other_file_is_a_subject(package):
    made = attested(package, RECIPE)
    assert set(made.files) == {"libmodel.so", "model.json", SBOM, PROVENANCE}
    subjects = {
        each["name"]: each["digest"]["sha256"] for each in statement(package)["subject"]
    }
    assert subjects == {
        "libmodel.so": hashlib.sha256(b"kernels").hexdigest(),
        "model.json": hashlib.sha256(b"{}").hexdigest(),
        SBOM: hashlib.sha256(made.files[SBOM]).hexdigest(),
    }


def test_the_statement(package):
    made = statement(package)
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = made["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {
        **RECIPE.options,
        "package": "zip",
        "target": "lambda-x86_64",
        "memory_mb": 1769,
    }
    assert definition["internalParameters"] == {
        "backend": "tvm",
        "runtime": "python",
        "passes": [{"name": "fold-constants", "nodes_before": 9, "nodes_after": 7}],
        "schedules": {"conv_1": "direct-conv{rows=4}"},
    }
    assert definition["resolvedDependencies"] == [
        {
            "name": "blur",
            "digest": {"sha256": "b" * 64},
            "annotations": {"kind": "component", "version": "1.0"},
        }
    ]
    tools = made["predicate"]["runDetails"]["builder"]["version"]
    assert tools["suture"] == __version__
    assert tools["ziglang"] == version("ziglang")
    assert tools["my-passes"] == "3.1"
    assert "python" not in tools


def test_only_what_has_a_say_is_named(package):
    run = statement(replace(package, backend="ort"))["predicate"]["runDetails"]
    assert "ziglang" not in run["builder"]["version"]
    with_bytecode = replace(package, files={**package.files, "a.pyc": b""})
    run = statement(with_bytecode)["predicate"]["runDetails"]
    assert run["builder"]["version"]["pillow"] == version("pillow")
    assert set(run) == {"builder"}, "no time and no invocation, which differ between runs"


def test_no_path_of_this_machine(package, tmp_path):
    text = attested(package, RECIPE).files[PROVENANCE].decode()
    assert str(tmp_path) not in text
