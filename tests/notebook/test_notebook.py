"""The notebook runs from its first cell to its last, and shows a sweep, an answer and a plot. Skipped where no kernel is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import tscale
from tests.render.html_tree import parse

pytestmark = pytest.mark.slow  # a kernel is started

_FILE = Path(__file__).with_name("sweep.ipynb")
_WEIGHTS = 70_553_706_496 * 2  # parameters of Llama 3.1 70B in its published files, in bf16
_CACHE_OF_A_TOKEN = 2 * 80 * 8 * 128 * 2  # keys and values, layers, key-value heads, their width, bytes of bf16
_BATCH = 4


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each code cell shows, by MIME type."""
    nbformat, nbclient, *_ = (
        pytest.importorskip(name, reason=f"needs {name}")
        for name in ("nbformat", "nbclient", "ipykernel", "pandas", "matplotlib")
    )
    from jupyter_client.kernelspec import KernelSpecManager

    if "python3" not in KernelSpecManager().get_all_specs():
        pytest.skip("needs the kernel python3")
    folder = str(tmp_path_factory.mktemp("notebook"))
    notebook = nbformat.read(_FILE, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
            patch.setenv(name, folder)
        patch.setenv("PYTHONPATH", str(Path(tscale.__file__).parents[1]))
        nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": folder}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(output.output_type != "stream" for cell in cells for output in cell.outputs), "a cell printed or warned"
    return [cell.outputs[-1].data for cell in cells]


def test_the_sweep_has_a_row_a_plan(shown: list[dict[str, Any]]) -> None:
    names, *rows = _rows(shown[0]["text/html"])
    assert names[1:] == ["gpus", "context", "cache_gb", "total_gb", "fits", "ms_per_token_at_least"]
    assert [(row[1], row[2]) for row in rows] == [
        (gpus, context) for gpus in ("2", "4", "8") for context in ("8192", "32768", "131072")
    ]
    for _, gpus, context, cache, total, fits, _ in rows:
        kept = _CACHE_OF_A_TOKEN * int(context) * _BATCH / int(gpus) / 1e9
        assert float(cache) == pytest.approx(kept, abs=1e-5)
        assert float(total) > _WEIGHTS / int(gpus) / 1e9 + kept
        assert fits == str(float(total) < 80)


def test_a_frame_of_the_sweep_gets_faster_with_devices(shown: list[dict[str, Any]]) -> None:
    for _, *times in _rows(shown[1]["text/html"])[2:]:
        two, four, eight = map(float, times)
        assert two > four > eight > 0


def test_an_answer_is_a_table(shown: list[dict[str, Any]]) -> None:
    page = shown[2]["text/html"]
    parse(page)
    cache = _CACHE_OF_A_TOKEN * 32768 * _BATCH / 4 / 1e9
    assert f"{cache:.2f}" in page.replace("\u00a0", " ")
    assert shown[2]["application/json"]["per_device_bytes"]["kv_cache"] == cache * 1e9
    assert shown[2]["text/plain"].startswith("Llama 3.1 70B")
    assert str(int(cache * 1e9)) in shown[3]["text/html"]


def test_a_plot_is_a_picture(shown: list[dict[str, Any]]) -> None:
    picture = ET.fromstring(shown[4]["image/svg+xml"])  # noqa: S314 (of our own making)
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}path"))) > 10


def _rows(page: str) -> list[list[str]]:
    """The cells of a table that pandas shows, its headings first."""
    table = ET.fromstring(page[page.index("<table") : page.index("</table>") + len("</table>")])  # noqa: S314 (of pandas)
    return [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]
