"""Write the JSON Schemas of component.toml and task.toml beside this file.

.venv/bin/python docs/schemas.py
"""

from __future__ import annotations

from pathlib import Path

from suture.compiler.manifest import manifest_schema
from suture.compiler.task import task_schema

FILES = {"component.schema.json": manifest_schema, "task.schema.json": task_schema}

if __name__ == "__main__":
    for name, schema in FILES.items():
        (Path(__file__).parent / name).write_text(schema(), encoding="utf-8")
