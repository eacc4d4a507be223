"""``suture library``: what components there are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from suture.cli.output import Output, speaking
from suture.compiler.component import Component, Metric, Port
from suture.compiler.library import Library, describe
from suture.compiler.manifest import parse_dependency
from suture.compiler.remote import pull, push
from suture.errors import Location, ManifestError

where = click.option(
    "--library",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("library"),
    show_default=True,
    help="The library's folder.",
)


@click.group()
def library() -> None:
    """Add, list, check and exchange components.

    Example: suture library add net.onnx --name net --port image=image/gray:NCHW:0..1
    """


@library.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name in the library.")
@click.option("--version", default="1.0.0", show_default=True, help="A PEP 440 version.")
@click.option("--provides", default="", help="Capability; the name where not given.")
@click.option("--metric", "metrics", multiple=True, help="DATASET:METRIC=VALUE")
@click.option(
    "--port",
    "ports",
    multiple=True,
    help="PORT=KIND[:LAYOUT][:LOW..HIGH], e.g. image=image/gray:NCHW:0..1",
)
@click.option("--depends", multiple=True, help="NAME or NAME>=1.0,<2")
@click.option("--licence", default="unknown", help="SPDX identifier.")
@click.option("--provenance", default="", help="Where the model comes from.")
@where
@speaking
def add(
    out: Output,
    model: Path,
    name: str,
    version: str,
    provides: str,
    metrics: tuple[str, ...],
    ports: tuple[str, ...],
    depends: tuple[str, ...],
    licence: str,
    provenance: str,
    folder: Path,
) -> None:
    """Read MODEL, write its component.toml and copy both into the library.

    Example: suture library add net.onnx --name net --provides classify
    """
    try:
        dependencies = tuple(parse_dependency(text) for text in depends)
    except ValueError as error:
        raise ManifestError(str(error), at=Location(name, "depends")) from error
    component = describe(
        model,
        name=name,
        version=version,
        provides=provides,
        metrics=tuple(map(read_metric, metrics)),
        depends=dependencies,
        licence=licence,
        provenance=provenance,
    )
    for text in ports:
        component = with_port(component, text)
    added = Library(folder).add(component)
    document = {
        "name": added.name,
        "version": added.version,
        "digest": added.digest,
        "flops": added.resources.flops,
        "params": added.resources.params,
        "peak_bytes": added.resources.peak_bytes,
        "path": str(added.path),
    }
    out.emit(document, lambda: show_component(out, added))


def read_metric(text: str) -> Metric:
    """Read ``DATASET:METRIC=VALUE``."""
    dataset, colon, rest = text.rpartition(":")
    name, equals, value = rest.partition("=")
    try:
        if colon and equals and dataset and name:
            return Metric(dataset, name, float(value))
    except ValueError as error:
        raise ManifestError(
            f"{value!r} is not a number", at=Location("--metric", text)
        ) from error
    raise ManifestError(
        "a metric is written DATASET:METRIC=VALUE",
        at=Location("--metric", text),
        hint="for example: --metric digits-test:accuracy=0.98",
    )


def with_port(component: Component, text: str) -> Component:
    """Return a component with what ``PORT=KIND[:LAYOUT][:LOW..HIGH]`` says of a port."""
    name, _, rest = text.partition("=")
    kind, *more = rest.split(":")
    layout, span = None, None
    for part in more:
        if ".." not in part:
            layout = part
            continue
        low, _, high = part.partition("..")
        try:
            span = (float(low), float(high))
        except ValueError as error:
            raise ManifestError(
                f"{part!r} is not a range", at=Location("--port", text)
            ) from error
    found = False

    def declared(port: Port) -> Port:
        nonlocal found
        if port.name != name:
            return port
        found = True
        return replace(port, kind=kind, layout=layout, range=span)

    inputs = tuple(map(declared, component.inputs))
    outputs = tuple(map(declared, component.outputs))
    if not found:
        known = ", ".join(port.name for port in (*component.inputs, *component.outputs))
        raise ManifestError(
            f"the model has no port {name!r}",
            at=Location("--port", text),
            hint=f"it has {known}",
        )
    return replace(component, inputs=inputs, outputs=outputs)


@library.command("list")
@where
@speaking
def list_(out: Output, folder: Path) -> None:
    """List the components.

    Example: suture library list --library examples/digits/library
    """
    found = list(Library(folder))
    rows = [
        (c.ref, c.provides, c.resources.params, c.resources.flops, c.digest[:12])
        for c in found
    ]
    out.emit(
        {"components": [_document(component) for component in found]},
        lambda: out.table(("component", "provides", "params", "flops", "sha256"), rows),
    )


@library.command()
@click.argument("name")
@where
@speaking
def show(out: Output, name: str, folder: Path) -> None:
    """Show one component, NAME or NAME@VERSION.

    Example: suture library show digit-denoise --library examples/digits/library
    """
    component = Library(folder).get(name)
    out.emit(_document(component), lambda: show_component(out, component))


@library.command()
@where
@speaking
def verify(out: Output, folder: Path) -> None:
    """Check every model against its manifest, and that it loads.

    Example: suture library verify --library examples/digits/library
    """
    store = Library(folder)
    found = list(store)
    for component in found:
        store.verify(component)
    out.emit(
        {"verified": [component.ref for component in found]},
        lambda: out.line(f"{len(found)} components match their manifests"),
    )


@library.command()
@click.argument("name")
@where
@speaking
def remove(out: Output, name: str, folder: Path) -> None:
    """Take NAME or NAME@VERSION out.

    Example: suture library remove net@1.0.0
    """
    gone = Library(folder).remove(name)
    out.emit({"removed": gone.ref}, lambda: out.line(f"removed {gone.ref}"))


@library.command("push")
@click.argument("url")
@where
@speaking
def push_(out: Output, url: str, folder: Path) -> None:
    """Copy what URL lacks to it; any URL that fsspec opens.

    Example: suture library push s3://bucket/library
    """
    sent = [component.ref for component in push(Library(folder), url)]
    out.emit({"pushed": sent}, lambda: out.line(f"pushed {', '.join(sent) or 'nothing'}"))


@library.command("pull")
@click.argument("url")
@where
@speaking
def pull_(out: Output, url: str, folder: Path) -> None:
    """Copy what the library lacks from URL, and verify it.

    Example: suture library pull s3://bucket/library
    """
    got = [component.ref for component in pull(url, Library(folder))]
    out.emit({"pulled": got}, lambda: out.line(f"pulled {', '.join(got) or 'nothing'}"))


def show_component(out: Output, component: Component) -> None:
    """Print a component for people."""
    out.line(f"{component.ref} provides {component.provides}")
    for port in component.inputs:
        out.line(f"  in   {port}")
    for port in component.outputs:
        out.line(f"  out  {port}")
    need = component.resources
    out.line(
        f"  {need.params:,} parameters, {need.flops:,} FLOPs, "
        f"{need.peak_bytes:,} bytes of activations, opset {component.opset}"
    )
    for metric in component.metrics:
        out.line(f"  {metric.name} {metric.value:.4f} on {metric.dataset}")
    out.line(f"  {component.licence}; {component.provenance or 'no provenance'}")
    out.line(f"  sha256 {component.digest}")


def _document(component: Component) -> dict[str, object]:
    return {
        "name": component.name,
        "version": component.version,
        "provides": component.provides,
        "digest": component.digest,
        "inputs": [str(port) for port in component.inputs],
        "outputs": [str(port) for port in component.outputs],
        "params": component.resources.params,
        "flops": component.resources.flops,
        "peak_bytes": component.resources.peak_bytes,
        "metrics": {f"{m.dataset}:{m.name}": m.value for m in component.metrics},
        "depends": [str(dependency) for dependency in component.depends],
        "licence": component.licence,
        "provenance": component.provenance,
    }
