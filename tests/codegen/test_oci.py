"""Images as others see them: skopeo reads them, umoci unpacks them, the kernel runs them."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
from dataclasses import replace

import numpy as np
import pytest

from suture.codegen.contents import read_contents
from suture.codegen.oci import write_image
from suture.codegen.provenance import attested
from suture.codegen.recipe import Recipe
from suture.codegen.runtime_api import RuntimeApi
from suture.compiler.target import lambda_arm64, lambda_x86_64
from suture.compiler.verify import run_reference
from suture.errors import PackageError

TARGET = lambda_x86_64()
WAIT_S = 30
LABELS = {
    "org.opencontainers.image.title": "net",
    "org.opencontainers.image.version": "7",
    "org.opencontainers.image.description": "net for lambda-x86_64, made by suture with the "
    "backend tvm",
}


@pytest.fixture(scope="module")
def package(conv_model, tvm_backend, pack, tmp_path_factory):
    """A compiled model, its program linked with its own C library."""
    folder = tmp_path_factory.mktemp("build")
    compiled = tvm_backend.compile(conv_model.clone(), TARGET, folder)
    bare = pack(compiled, conv_model, runtime="native", form="oci")
    return attested(bare, Recipe(version="7"))


def tool(name):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    return path


def run(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_same_package_same_bytes(package, tmp_path):
    one = write_image(package, "7", tmp_path / "one")
    shuffled = replace(package, files=dict(reversed(package.files.items())))
    two = write_image(shuffled, "7", tmp_path / "two")
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.digest == two.digest
    assert one.path.name == "net-lambda-x86_64.oci.tar"
    assert one.nbytes == one.path.stat().st_size
    assert one.unzipped_bytes == package.unzipped_bytes


def test_nothing_but_the_package(package, tmp_path):
    image = write_image(package, "7", tmp_path)
    contents = read_contents(image.path)
    assert contents.form == "oci"
    assert set(contents.entries) == set(package.files)
    assert contents.document("model.json")["runtime"] == "native"
    with tarfile.open(image.path) as archive:
        assert {entry.mtime for entry in archive} == {0}
        assert {(entry.uid, entry.gid, entry.uname) for entry in archive} == {(0, 0, "")}


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_skopeo_reads_it(package, tmp_path, form):
    """As an OCI archive, and as docker load would read it."""
    image = write_image(package, "7", tmp_path)
    skopeo = tool("skopeo")
    found = json.loads(run(skopeo, "inspect", f"{form}:{image.path}"))
    assert (found["Architecture"], found["Os"]) == ("amd64", "linux")
    assert found["Labels"] == LABELS
    assert found["Env"] == ["PORT=8080"]
    assert len(found["Layers"]) == 1
    # A copy reads every blob, and compares it with its digest.
    run(skopeo, "--insecure-policy", "copy", f"{form}:{image.path}", f"dir:{tmp_path}/copy")
    assert (tmp_path / "copy" / "manifest.json").is_file()


def test_the_manifest_holds_what_it_should(package, tmp_path):
    image = write_image(package, "7", tmp_path)
    skopeo = tool("skopeo")
    manifest = json.loads(run(skopeo, "inspect", "--raw", f"oci-archive:{image.path}"))
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["annotations"] == LABELS
    config = json.loads(run(skopeo, "inspect", "--config", f"oci-archive:{image.path}"))
    assert config["config"]["Entrypoint"] == ["/bootstrap"]
    assert config["config"]["ExposedPorts"] == {"8080/tcp": {}}
    assert config["config"]["User"] == "65532:65532"
    assert "created" not in config


@pytest.fixture
def bundle(package, tmp_path):
    """The image unpacked by umoci: its root, and what is to be run there."""
    image = write_image(package, "7", tmp_path)
    skopeo, umoci = tool("skopeo"), tool("umoci")
    layout, out = tmp_path / "layout", tmp_path / "bundle"
    source = f"oci-archive:{image.path}"
    run(skopeo, "--insecure-policy", "copy", source, f"oci:{layout}:7")
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    run(umoci, "unpack", *rootless, "--image", f"{layout}:7", out)
    process = json.loads((out / "config.json").read_text("utf-8"))["process"]
    return out / "rootfs", process


def test_unpacked(bundle, package):
    root, process = bundle
    assert {path.name for path in root.iterdir()} == set(package.files)
    assert (root / "bootstrap").stat().st_mode & 0o777 == 0o755
    assert process["args"] == ["/bootstrap"]
    assert process["user"]["uid"] == process["user"]["gid"] == 65532


@pytest.fixture
def start(bundle):
    """Start the image as a container would be: its root, user and environment, no more."""
    root, process = bundle
    environment = dict(entry.partition("=")[::2] for entry in process["env"])
    assert environment["PORT"] == "8080"
    user = process["user"]
    enter = ["chroot", f"--userspec={user['uid']}:{user['gid']}", str(root)]
    if os.geteuid() != 0:
        enter = ["unshare", "--map-root-user", "chroot", str(root)]
    started = []

    def start(**more):
        command = [*enter, *process["args"]]
        started.append(subprocess.Popen(command, env={**environment, **more}))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.wait()


@pytest.fixture
def request_document(conv_model, random_inputs):
    """A request as the Open Inference Protocol has it, and the right answer."""
    inputs = random_inputs(conv_model)
    entry = {"name": "x", "datatype": "FP32", "shape": list(inputs["x"].shape)}
    document = {"inputs": [{**entry, "data": inputs["x"].ravel().tolist()}]}
    return document, run_reference(conv_model, inputs)["logits"]


def test_it_serves_http(start, request_document):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    document, expected = request_document
    process = start(PORT=str(port))
    body = json.dumps(document).encode()
    answer = json.loads(call(port, process, "POST", "/v2/models/net/infer", body))
    assert np.allclose(answer["outputs"][0]["data"], expected.ravel(), rtol=1e-5, atol=1e-5)
    assert json.loads(call(port, process, "GET", "/v2/health/ready")) == {"ready": True}
    process.terminate()
    assert process.wait(WAIT_S) == 0


def test_it_serves_lambda(start, request_document):
    """The same image where Lambda's Runtime API is, whatever the port."""
    document, expected = request_document
    with RuntimeApi(timeout_s=WAIT_S) as api:
        start(AWS_LAMBDA_RUNTIME_API=api.address)
        api.send("r-1", json.dumps(document).encode())
        kinds = [api.messages.get(timeout=WAIT_S) for _ in range(2)]
    assert [message.kind for message in kinds] == ["next", "response"]
    (logits, _) = json.loads(kinds[1].body)["outputs"]
    assert np.allclose(logits["data"], expected.ravel(), rtol=1e-5, atol=1e-5)


def call(port, process, method, path, body=b""):
    end = time.monotonic() + WAIT_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        try:
            connection.request(method, path, body)
            return connection.getresponse().read()
        except ConnectionRefusedError:
            assert process.poll() is None, "the program stopped"
            assert time.monotonic() < end
            time.sleep(0.02)
        finally:
            connection.close()


def test_arm64(package, tmp_path):
    image = write_image(replace(package, target=lambda_arm64()), "7", tmp_path)
    found = json.loads(run(tool("skopeo"), "inspect", f"oci-archive:{image.path}"))
    assert found["Architecture"] == "arm64"


def test_a_full_disk_leaves_nothing(package, tmp_path, monkeypatch):
    before = write_image(package, "7", tmp_path).path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("suture.codegen.oci._write_tar", full)
    with pytest.raises(PackageError, match="No space left"):
        write_image(package, "8", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["net-lambda-x86_64.oci.tar"]
    assert (tmp_path / "net-lambda-x86_64.oci.tar").read_bytes() == before


@pytest.mark.parametrize("damage", [b"index.json", b"blobs/sha256", None])
def test_a_broken_image(package, tmp_path, damage):
    path = write_image(package, "7", tmp_path).path
    data = path.read_bytes()
    data = data.replace(damage, damage.upper()) if damage else data[: len(data) // 2]
    path.write_bytes(data)
    with pytest.raises(PackageError, match="not a readable package"):
        read_contents(path)
