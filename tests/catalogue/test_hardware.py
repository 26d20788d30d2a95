"""Hardware: what is shipped reads, is dense, and says where it is from; what cannot be is refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from tests.helpers import answer, of_each, run
from tscale.catalogue.hardware import Hardware, Peaks, find_hardware, hardware_names, hardware_text, listed_hardware
from tscale.catalogue.models import known_name
from tscale.errors import TscaleError
from tscale.estimates.capacity import Capacity

SMALL = "name: x\nmemory_gb: 80\nbandwidth_gb_per_s: 2000\nsource: mine\n"


@of_each(listed_hardware())
def test_what_is_shipped_says_when_and_where_from(hardware: object) -> None:
    assert getattr(hardware, "year", None)
    assert getattr(hardware, "source", None)


def test_no_name_means_two_things() -> None:
    called = [name for hardware in listed_hardware() for name in (hardware.name, *hardware.aliases)]
    assert len(called) == len(set(called))
    assert not [name for name in called if known_name(name)]
    assert {hardware.name for hardware in listed_hardware()} == set(hardware_names())


@pytest.mark.parametrize(
    ("name", "bf16", "memory", "bandwidth", "link"),
    [  # as the vendors' pages print them
        ("h100", 989_400_000_000_000, 80 * 10**9, 3350 * 10**9, 450 * 10**9),
        ("a100", 312 * 10**12, 80 * 10**9, 2039 * 10**9, 300 * 10**9),
        ("mi300x", 1_307_400_000_000_000, 192 * 10**9, 5300 * 10**9, 448 * 10**9),
        ("tpu-v4", 275 * 10**12, 32 * 10**9, 1228 * 10**9, 300 * 10**9),
        ("B200", 2250 * 10**12, 180 * 10**9, 8000 * 10**9, 900 * 10**9),
    ],
)
def test_a_device_is_in_whole_units_and_one_direction(
    name: str, bf16: int, memory: int, bandwidth: int, link: int
) -> None:
    device = find_hardware(name).device()
    assert device.flops_per_second["bf16"] == bf16
    assert (device.memory_bytes, device.memory_bytes_per_second) == (memory, bandwidth)
    assert device.link_bytes_per_second == link


CONSUMER = ("apple-", "rtx-3", "rtx-4", "rtx-5", "rx-", "strix-halo", "jetson-")
"""Of machines that nobody joins to a cluster."""
UNSTATED = (
    "ascend-910b", "ascend-910c", "cerebras-wse3", "gh200", "groq-lpu", "h20", "mi300a", "rubin", "tpu-v2", "tpu-v3", "tpu-v4", "tpu-v7",
    "trainium3",
)  # fmt: skip
"""Of which nobody stated what leaves a node; it is asked for where it is needed."""


def test_every_datacentre_accelerator_says_what_joins_its_nodes() -> None:
    """With a source and a grade, or it is among those of which nothing was stated."""
    unknown = []
    for hardware in listed_hardware():
        if hardware.name.startswith(CONSUMER):
            assert hardware.network_gb_per_s is None
        elif hardware.network_gb_per_s is None:
            unknown.append(hardware.name)
        else:
            assert hardware.network_source, hardware.name
    assert sorted(unknown) == list(UNSTATED)


@of_each(listed_hardware())
def test_every_figure_of_a_chip_has_a_grade(hardware: Hardware) -> None:
    """Unless it is graded as unconfirmed in so many words, a figure that is there was read somewhere."""
    graded = yaml.safe_load(hardware_text(hardware.name))["evidence"]
    given = {
        "compute": any(getattr(hardware.dense_tflops, field.name) for field in fields(Peaks)),
        "link": hardware.link_gb_per_s,
        "tdp": hardware.tdp_watts,
        "reported": hardware.reported_mib,
    }
    assert set(graded) == {"memory", "bandwidth"} | {kind for kind, value in given.items() if value}


@pytest.mark.parametrize(
    ("name", "sparse_tops"),
    [("rtx-5090", 3352), ("rtx-5080", 1801), ("rtx-5070-ti", 1406), ("rtx-5070", 988), ("rtx-5060-ti", 759)],
)
def test_a_geforce_s_peaks_are_shares_of_the_tops_that_are_advertised(name: str, sparse_tops: int) -> None:
    """AI TOPS are fp4 with sparsity: half of them dense, an eighth of that in bf16 with fp32 sums."""
    peaks = find_hardware(name).dense_tflops
    assert peaks.fp4 == pytest.approx(sparse_tops / 2, rel=2e-3)
    assert peaks.bf16 == pytest.approx(sparse_tops / 16, rel=2e-3)


@pytest.mark.parametrize("name", ["rtx-4080", "rtx-4070", "rtx-4060-ti"])
def test_an_ada_geforce_is_as_its_largest_sister(name: str) -> None:
    """By the clock and the cores: every peak is the same multiple of fp32, as printed of the RTX 4090."""
    largest, peaks = (find_hardware(one).dense_tflops for one in ("rtx-4090", name))
    for field in fields(Peaks):
        printed, ours = getattr(largest, field.name), getattr(peaks, field.name)
        assert (printed is None) == (ours is None)
        if printed is not None:
            assert ours / peaks.fp32 == pytest.approx(printed / largest.fp32, rel=2e-3)


def test_the_slower_mi350_is_the_faster_at_its_own_clock() -> None:
    """2.2 GHz instead of 2.4, as AMD said at Hot Chips; 4.6 and 9.2 PFLOPS as AMD rounds them."""
    slow, fast = find_hardware("mi350x").dense_tflops, find_hardware("mi355x").dense_tflops
    assert slow.fp8 is not None
    assert slow.fp4 is not None
    assert fast.bf16 is not None
    assert slow.bf16 == pytest.approx(fast.bf16 * 2.2 / 2.4, rel=1e-3)
    assert (round(slow.fp8 / 1000, 1), round(slow.fp4 / 1000, 1)) == (4.6, 9.2)


def test_what_shares_its_memory_says_so() -> None:
    shared = {hardware.name for hardware in listed_hardware() if hardware.unified_memory}
    assert {name for name in hardware_names() if name.startswith("apple-")} < shared
    assert {"dgx-spark", "strix-halo", "mi300a", "jetson-thor"} < shared
    assert not shared & {"h100-sxm", "gh200", "rtx-5090"}


def test_an_operating_system_takes_of_shared_memory() -> None:
    """Of a DGX Spark that has just started CUDA had 101.3 of 121.69 GiB free (the issue that its file cites)."""
    spark = find_hardware("dgx-spark").device()
    usable = Capacity(spark).usable / 2**30
    assert usable == pytest.approx(101.3, abs=0.6)
    assert Capacity(spark).most / 2**30 > 115


def test_what_is_offloaded_passes_the_link_to_the_host() -> None:
    """900 GB/s both ways of NVLink-C2C, and PCIe 4.0 x16, as their makers print them."""
    assert (find_hardware("gh200").host_link_gb_per_s, find_hardware("gh200").host_memory_gb) == (450, 480)
    assert find_hardware("a100").host_link_gb_per_s == 32
    said = run("memory", "llama-3-8b", "--train", "--gpu", "gh200", "--offload", "states").out
    assert (
        "The host of NVIDIA GH200 Grace Hopper 96GB has 480 GB for each device and is reached at 450 GB/s each way."
        in (" ".join(said.split()))
    )


@pytest.mark.parametrize(
    ("name", "devices", "nics", "reduces"),
    [  # GB/s of all NICs of a node, as their vendors print them: 8 x 400 Gb/s and so on; NVLink SHARP from Hopper on
        ("a100", 8, 200, False),
        ("h100", 8, 400, True),
        ("h200", 8, 400, True),
        ("h800", 8, 400, True),
        ("b200", 8, 800, True),
        ("b300", 8, 800, True),
        ("gb200", 72, 7200, True),
        ("gb300", 72, 7200, True),
        ("v100", 8, 50, False),
        ("mi300x", 8, 400, False),
        ("mi250x", 4, 100, False),
        ("gaudi2", 8, 300, False),
        ("gaudi3", 8, 600, False),
        ("trn1", 16, 200, False),
        ("tpu-v5e", 256, 800, False),
        ("tpu-v6e", 256, 3200, False),
    ],
)
def test_a_node_s_nics_are_what_is_printed_of_them(name: str, devices: int, nics: int, reduces: bool) -> None:
    cluster = find_hardware(name).cluster()
    assert cluster.network_bytes_per_second is not None
    assert cluster.devices_per_node == devices
    assert cluster.devices_per_node * cluster.network_bytes_per_second == nics * 10**9
    assert (cluster.switch_reduces, cluster.network_reduces) == (reduces, False)


def test_a_card_that_pcie_alone_joins_sends_what_pcie_does() -> None:
    """One direction of it, so that no server's NICs are faster."""
    for name in ("l4", "l40s", "a10", "a10g", "t4", "rtx-pro-6000"):
        cluster = find_hardware(name).cluster()
        assert cluster.devices_per_node == 1
        assert cluster.network_bytes_per_second == cluster.device.link_bytes_per_second
        assert find_hardware(name).network_is_bus


def test_cards_beyond_a_bridge_are_joined_by_the_bus_and_nodes_by_their_nics() -> None:
    assert all(find_hardware(name).network_is_bus for name in ("a100-pcie", "a40", "h100-nvl", "h200-nvl"))
    assert not any(
        find_hardware(name).network_is_bus for name in ("a100", "h100", "b200", "gb300", "mi300x", "tpu-v5e", "m1")
    )


def test_h100_is_its_clock_times_its_tensor_cores() -> None:
    """1,830 MHz x 528 tensor cores x 512 multiply-adds: the dense peak, to the digits that the vendor prints."""
    assert find_hardware("h100").dense_tflops.bf16 == pytest.approx(1830e6 * 528 * 512 * 2 / 1e12, rel=1e-4)


def test_fields_are_changed_from_the_command_line() -> None:
    changed = find_hardware("h100", ["memory_gb=94", "bf16=500"])
    assert (changed.memory_gb, changed.dense_tflops.bf16, changed.dense_tflops.fp8) == (94, 500, 1978.9)
    assert changed.label == "NVIDIA H100 SXM5 80GB with memory_gb=94, bf16=500"


def test_a_file_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL + "dense_tflops: {bf16: 100}\n", encoding="utf-8")
    assert find_hardware(str(path)).device().flops_per_second == {"bf16": 100 * 10**12}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "sparse_tflops: {bf16: 1979}\n",
            'x.yaml:5:1: "sparse_tflops": peaks with structured sparsity are not read: write the dense ones, half of '
            "them, in dense_tflops",
        ),
        (
            "dense_tflops: {bf16: 989.4, fp8: 3958}\n",
            "x.yaml:5:34: dense_tflops.fp8: 3958 is more than twice the 989.4 of 16 bits: write the dense figure, "
            "without sparsity",
        ),
        ("dense_tflops: {bf17: 1}\n", 'x.yaml:5:16: unknown key "bf17": did you mean bf16?'),
        ("tdp_watt: 3\n", 'x.yaml:5:1: unknown key "tdp_watt": did you mean tdp_watts?'),
        ("tdp_watts: -3\n", "x.yaml:5:12: tdp_watts must be a number above 0, not -3"),
        ("evidence: {tdp: rumour}\n", "x.yaml:5:17: evidence.tdp must be "),
        ("reported_mib: 0\n", "x.yaml:5:15: reported_mib must be a number above 0, not 0"),
        ("reported_mib: 81559MiB\n", 'x.yaml:5:15: reported_mib must be a number above 0, not "81559MiB"'),
        (
            "reported_mib: 40960\n",
            "x.yaml:5:15: reported_mib: 40960 MiB are 42.95 GB, too far from a memory_gb of 80: give both of one device",
        ),
        (
            "reported_source: nvidia-smi\n",
            "x.yaml:5:18: reported_source: a source of reported_mib, which is not given: add it, or drop its source",
        ),
        (
            "host_link_gb_per_s: 64\n",
            "x.yaml:5:21: host_link_gb_per_s: a figure of the host needs its source: add host_source",
        ),
        ("host_memory_gb: -1\n", "x.yaml:5:17: host_memory_gb must be a number above 0, not -1"),
        ("unified_memory: some\n", 'x.yaml:5:17: unified_memory must be true or false, not "some"'),
        ("reported_mb: 81559\n", 'x.yaml:5:1: unknown key "reported_mb": did you mean reported_mib?'),
    ],
)
def test_what_cannot_be_is_refused(more: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(SMALL + more, encoding="utf-8")
    with pytest.raises(TscaleError) as refused:
        find_hardware("x.yaml")
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("h10", [], 'no hardware "h10": did you mean h100?'),
        ("qqq", [], 'no hardware "qqq": `tscale list hardware` names those that are shipped; a path to a YAML file'),
        ("h100", ["memory=3"], '--gpu-set memory=3: unknown key "memory": did you mean memory_gb?'),
        ("h100", ["memory_gb"], '--gpu-set takes KEY=VALUE, such as memory_gb=96 or bf16=500, not "memory_gb"'),
        (
            "h100",
            ["switch_reduce=true"],
            '--gpu-set switch_reduce=true: unknown key "switch_reduce": did you mean switch_re',
        ),
        ("h100", ["network_reduces=5"], "--gpu-set network_reduces=5: network_reduces must be true or false, not 5"),
        ("h100", ["network_gb_per_s=-5"], "--gpu-set network_gb_per_s=-5: network_gb_per_s must be a number above 0"),
        ("h100", ["memory_gb=zero"], "--gpu-set memory_gb=zero: memory_gb must be a number above 0"),
        ("h100", ["reported_mib=lots"], "--gpu-set reported_mib=lots: reported_mib must be a number above 0"),
        (
            "h100",
            ["reported_mib=40960"],
            "--gpu-set reported_mib=40960: reported_mib: 40960 MiB are 42.95 GB, too far from a memory_gb of 80: give both",
        ),
        ("none.yaml", [], "none.yaml: cannot be read"),
    ],
)
def test_a_slip_is_told_in_one_line(name: str, changes: list[str], message: str) -> None:
    with pytest.raises(TscaleError) as refused:
        find_hardware(name, changes)
    assert str(refused.value).startswith(message)


def test_a_change_that_is_wrong_is_a_slip_of_the_command_line() -> None:
    """As with --set, whose name it bears where that is how hardware was changed."""
    for change in ("bf16=-5", "bf16=1e400"):
        done = run("train", "gpt3", "--gpu", "h100", "--gpus", "8", "--gpu-set", change)
        assert (done.code, done.err.startswith(f"tscale: --gpu-set {change}: ")) == (2, True)
    assert run("show", "h100", "--set", "memory_gb=0").err.startswith("tscale: --set memory_gb=0: memory_gb must be")


@pytest.mark.parametrize(
    ("figure", "source"), [("reported_mib", "reported_source"), ("price_usd_per_hour", "price_source")]
)
def test_a_figure_that_is_taken_away_takes_its_source_along(figure: str, source: str) -> None:
    changed = find_hardware("h100", [f"{figure}=null"])
    assert (getattr(changed, figure), getattr(changed, source)) == (None, None)


def test_it_is_listed_and_shown() -> None:
    listed = {item["name"]: item for item in answer("list", "hardware")["hardware"]}
    assert set(listed) == set(hardware_names())
    assert listed["h100-sxm"]["memory_bytes"] == 80 * 10**9
    assert run("show", "h100").out.startswith("name: h100-sxm\n")
    assert '"memory_gb": 94' in run("show", "h100", "--set", "memory_gb=94", "--format", "json").out


def test_every_dtype_that_is_read_is_stated_by_some_vendor() -> None:
    stated = {dtype for hardware in listed_hardware() for dtype in hardware.device().flops_per_second}
    assert stated == {field.name for field in fields(Peaks)}
