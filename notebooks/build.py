"""
Run lessons from top to bottom and save them with their outputs.

`python notebooks/build.py 01 03` runs these two, without numbers all of them.
"""

from __future__ import annotations

import base64
import copy
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def lessons(*numbers: str) -> list[Path]:
    """Return the notebooks in order, or only those whose names start with the given numbers."""
    found = sorted(FOLDER.glob("[0-9][0-9]-*.ipynb"))
    unknown = [
        number
        for number in numbers
        if not any(path.name.startswith(f"{number}-") for path in found)
    ]
    if unknown:
        known = ", ".join(path.name[:2] for path in found)
        raise SystemExit(f"There is no lesson {unknown[0]!r}; there are {known}.")
    return [path for path in found if not numbers or path.name[:2] in numbers]


def read(path: Path) -> Any:
    """Read a notebook of format 4."""
    return nbformat.read(path, as_version=4)


def tags(cell: Any) -> list[str]:
    """
    Return the tags of a cell.

    `exercise` is a blank to fill in and `check` its check; the output of a cell that `varies`
    depends on the machine, or on the data that it finds.
    """
    return list(cell.metadata.get("tags", []))


def answer(cell: Any) -> str:
    """Return the code of an answer: the Python block inside the `<details>` of a markdown cell."""
    blocks = re.findall(r"^```python\n(.*?)^```", cell.source, re.MULTILINE | re.DOTALL)
    if cell.cell_type != "markdown" or "<details>" not in cell.source or len(blocks) != 1:
        raise ValueError(
            f"An exercise's answer is one Python block in <details>, not {cell.source[:60]!r}."
        )
    return str(blocks[0]).rstrip()


def answered(notebook: Any) -> Any:
    """
    Return a copy that also runs the given answers.

    An exercise is three cells: the blank, its check, and the answer in `<details>`. In the copy the
    answer's code, and the check once more, come after the check of the blank, as if a reader had
    filled it in.
    """
    full = copy.deepcopy(notebook)
    full.cells = []
    for number, cell in enumerate(notebook.cells):
        full.cells.append(cell)
        if "check" in tags(cell):
            if "exercise" not in tags(notebook.cells[number - 1]):
                raise ValueError(
                    f"A check follows the blank of its exercise: {cell.source[:60]!r} does not."
                )
            given = nbformat.v4.new_code_cell(
                answer(notebook.cells[number + 1]), metadata={"tags": ["answer"]}
            )
            again = nbformat.v4.new_code_cell(cell.source, metadata={"tags": ["checked"]})
            full.cells += [given, again]
    return full


def execute(notebook: Any) -> Any:
    """Run a copy of the notebook in this folder, and return it.

    A cell that raises is a `CellExecutionError`.
    """
    done = copy.deepcopy(notebook)
    options = {"record_timing": False, "coalesce_streams": True}
    here, patience = {"metadata": {"path": str(FOLDER)}}, {"timeout": 600, "startup_timeout": 300}
    client = NotebookClient(done, resources=here, **options, **patience)
    # Small products are no faster with more threads, which wait for each other on a busy machine:
    # a fit of lesson 3 took 4.2 s of two shared CPUs, and 0.05 s of one.
    client.execute(env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    return done


def printed(cell: Any) -> str:
    """Return all words among a code cell's outputs, those on stderr too."""
    words = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        words.append("" if "image/png" in data else output.get("text", data.get("text/plain", "")))
        words += output.get("traceback", [])
    return "\n".join(line.rstrip() for line in "".join(words).splitlines())


def drawn(cells: Any) -> list[str]:
    """Return the PNG files among the outputs of cells, in order, in base64."""
    shown = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return [data["image/png"] for data in shown if "image/png" in data]


def smaller(picture: str) -> str:
    """Return the same PNG in base64 with 128 colours.

    That is enough here, and a third of the size.
    """
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    if image.mode == "P":
        return picture  # it has been here before
    file = io.BytesIO()
    fewer = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    fewer.save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def tidy(notebook: Any) -> None:
    """Make a notebook differ only with reason.

    Ids are numbered by position, versions dropped, and pictures made small.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = nbformat.from_dict({"tags": tags(cell)} if tags(cell) else {})
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = smaller(data["image/png"])
                data.pop("text/plain", None)
                output.metadata = nbformat.from_dict({})


def main(*numbers: str) -> None:
    """Run the lessons, with their answers first, and write each file anew."""
    for path in lessons(*numbers):
        notebook = read(path)
        tidy(notebook)
        verdicts = [
            printed(cell) for cell in execute(answered(notebook)).cells if "checked" in tags(cell)
        ]
        wrong = [words for words in verdicts if not words.endswith(": right")]
        if wrong:
            raise SystemExit(f"{path.name}: {wrong[0]}")
        done = execute(notebook)
        tidy(done)
        nbformat.write(done, path)
        size, pictures = path.stat().st_size // 1024, len(drawn(done.cells))
        print(f"{path.name}: {size} kB, {pictures} pictures, {len(verdicts)} exercises")


if __name__ == "__main__":
    main(*sys.argv[1:])
