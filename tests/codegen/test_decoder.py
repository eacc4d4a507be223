import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from suture.codegen.decoder import REQUIREMENT, decoder_source, image_object
from suture.errors import PackageError

INSTALLED = Path(sys.prefix, "share", "suture")


def test_the_pinned_source_is_one_file_of_c():
    assert b"wuffs_png__decoder__decode_frame" in decoder_source()


def test_no_ancillary_chunk_of_a_png_is_read():
    name = rb"wuffs_png__decoder__decode_(actl|chrm|exif|fctl|gama|iccp|srgb|trns)\("
    source = decoder_source()
    assert len(set(re.findall(rb"\n" + name, source))) == 8  # under these names they are there
    assert re.findall(rb"= " + name, source) == []


def test_a_decoder_that_is_not_installed_is_told(tmp_path):
    with pytest.raises(PackageError, match="not installed") as caught:
        decoder_source(tmp_path)
    assert str(caught.value.hint).endswith(f"--requirement {REQUIREMENT} --dest {tmp_path}")


def test_another_decoder_is_refused(tmp_path):
    for path in INSTALLED.iterdir():
        shutil.copy(path, tmp_path)
        with (tmp_path / path.name).open("ab") as file:
            file.write(b"\0")
    with pytest.raises(PackageError, match="not the source distribution that is pinned"):
        decoder_source(tmp_path)


def test_the_object_is_kept_and_the_same_anywhere(target, zig_cache, tmp_path):
    kept = image_object(target, zig_cache)
    made = kept.stat().st_mtime_ns
    assert image_object(target, zig_cache) == kept
    assert kept.stat().st_mtime_ns == made
    assert image_object(target, tmp_path).read_bytes() == kept.read_bytes()


@pytest.mark.parametrize("triple", ["x86_64-linux-musl", "aarch64-linux-musl"])
def test_it_compiles_for_musl(target, zig_cache, triple):
    mcpu = {"x86_64": "x86-64-v3", "aarch64": "neoverse-n1"}[triple.split("-")[0]]
    musl = replace(target, arch=triple.split("-")[0], triple=triple, mcpu=mcpu)
    assert image_object(musl, zig_cache).read_bytes().startswith(b"\x7fELF")
