"""Configurations: yaml to dataclasses and back, and the errors that name a wrong key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from codec.config import (
    AdditiveConfig,
    BottleneckConfig,
    CodecConfig,
    ProductConfig,
    SeanetConfig,
    SpectralConfig,
    from_mapping,
    read_yaml,
    to_mapping,
)
from codec.errors import CodecError

CONFIGS = [
    CodecConfig("one"),
    CodecConfig("two", 24_000, network=SeanetConfig(dilations=(1, 3, 9), lstm_layers=0)),
    CodecConfig("three", network=SpectralConfig(overlap=160), bottleneck=BottleneckConfig(num_codebooks=3)),
    CodecConfig("four", bottleneck=AdditiveConfig(polish=2, estimator="ema")),
    CodecConfig("five", bottleneck=ProductConfig(rotation=True)),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_yaml_gives_the_same_configuration_back(config: CodecConfig) -> None:
    text = yaml.safe_dump(to_mapping(config))
    assert from_mapping(CodecConfig, yaml.safe_load(text), "file.yaml") == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hopp": 320}, r"x\.yaml: unknown key 'hopp'"),
        ({"hop": "320"}, r"x\.yaml: hop must be of type int, not '320'"),
        ({"hop": True}, r"hop must be of type int"),
        ({"hop": 0}, r"hop must lie in 1\.\.65535, not 0"),
        ({"name": None}, r"name must be of type str"),
        ({"name": "a/b"}, r"not a path"),
        ({"name": ".."}, r"not a path"),
        ({"name": "a\nb"}, r"printable"),
        ({"name": "\ud800"}, r"printable"),
        ({"sample_rate": 1}, r"sample_rate must lie in 8000\.\.192000"),
        ({"network": {"kind": [1]}}, r"unknown kind \[1\]"),
        ({"network": {"blocks": 20000}}, r"blocks must lie in 1\.\.64"),
        ({"network": {"width": 10**19}}, r"width must lie in"),
        ({"network": {"compression": 10**400}}, r"compression is too large"),
        ({"name": "ä" * 17}, r"1 to 32 printable bytes"),
        ({"network": {"kind": "wavelet"}}, r"network: unknown kind 'wavelet', known are spectral, seanet"),
        ({"network": {"kind": "spectral", "wide": 1}}, r"network: unknown key 'wide'"),
        ({"network": {"kind": "seanet", "strides": [2, "4"]}}, r"network: strides must be of type int"),
        ({"network": 3}, r"network must be a mapping"),
        ({"bottleneck": {"codebook_size": 1000}}, r"power of two"),
        ({"bottleneck": {"kind": "magic"}}, r"unknown kind 'magic', known are residual, additive, product"),
        ({"bottleneck": {"kind": "additive", "rotation": True}}, r"bottleneck: unknown key 'rotation'"),
        ({"bottleneck": {"estimator": "hope"}}, r"bottleneck: estimator must be one of nsvq, ste"),
        ({"bottleneck": {"beam": 0}}, r"beam must lie in 1"),
        ({"bottleneck": {"num_codebooks": 0}}, r"num_codebooks must lie in 1"),
        ({"bottleneck": {"kind": "additive", "polish": -1}}, r"polish must not be negative"),
        ({"bottleneck": {"kind": "product", "num_codebooks": 12}}, r"divide the dim of 128, which 12 does"),
        ({"bottleneck": []}, r"bottleneck must be a mapping"),
    ],
)
def test_a_wrong_key_or_value_is_named(change: dict[str, object], message: str) -> None:
    data = to_mapping(CodecConfig("one")) | change
    with pytest.raises(CodecError, match=message):
        from_mapping(CodecConfig, data, "x.yaml")


def test_a_missing_name_is_named() -> None:
    with pytest.raises(CodecError, match="'name' is missing"):
        from_mapping(CodecConfig, {}, "x.yaml")


def test_files_that_hold_no_mapping_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    contents = [b"a: [", b"a: 2024-13-45", b"a: !!int x", b"[" * 3000]
    for content, message in [
        (b"- 1", "mapping"),
        (b"\xff\xfe\x00", "c.yaml"),
        *((content, "no valid yaml") for content in contents),
    ]:
        path.write_bytes(content)
        with pytest.raises(CodecError, match=message):
            read_yaml(path)
    with pytest.raises(CodecError, match="cannot read"):
        read_yaml(tmp_path / "missing.yaml")


@pytest.mark.parametrize(("text", "value"), [("1", 1.0), ("1e-1", 0.1), ("1.0e-1", 0.1), ("1E0", 1.0)])
def test_every_way_to_write_a_number_serves_as_a_float(text: str, value: float) -> None:
    data = to_mapping(CodecConfig("one")) | {"network": yaml.safe_load(f"compression: {text}")}
    assert from_mapping(CodecConfig, data, "x").network == SpectralConfig(compression=value)


@pytest.mark.parametrize("text", ["half", "1e", "nan", "'0.5'"])
def test_a_text_serves_as_no_float(text: str) -> None:
    data = to_mapping(CodecConfig("one")) | {"network": yaml.safe_load(f"compression: {text}")}
    with pytest.raises(CodecError, match="compression must be of type float"):
        from_mapping(CodecConfig, data, "x")
