"""What hypothesis draws of texts: specs, claims and `config.json` files with a few things wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import yaml
from hypothesis import strategies as st

from tests.any_text import any_text
from tests.fuzz.wrong import BASES, as_json, as_yaml, mutated, scratched
from tscale.catalogue.models import configs, names, text_of

ORACLE: Final = Path(__file__).parent.parent / "oracle" / "cases.jsonl"
TEXTS: Final = [text_of(name).encode() for name in names()]
CLAIMS: Final = (configs() / "claims" / "article.yaml").read_bytes()
CONFIGS: Final = [json.loads(line)["config"] for line in ORACLE.read_text(encoding="utf-8").splitlines()]

spec_data: Final = mutated(st.sampled_from(BASES))
spec_text: Final = st.one_of(
    spec_data.map(as_yaml),
    spec_data.map(as_json),
    scratched(st.sampled_from(TEXTS)),
    scratched(spec_data.map(as_yaml)),
    st.binary(max_size=40),
    any_text(40).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
claims_text: Final = st.one_of(
    mutated(st.just(yaml.safe_load(CLAIMS))).map(as_yaml),
    scratched(st.just(CLAIMS)),
)
config_text: Final = st.one_of(
    mutated(st.sampled_from(CONFIGS)).map(as_json),
    mutated(st.sampled_from(CONFIGS)).map(as_json),
    scratched(st.sampled_from(CONFIGS).map(as_json)),
)
