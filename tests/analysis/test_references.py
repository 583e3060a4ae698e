"""Published results beside ours: only where they are asked for, each with its source."""

from helpers import run_command
from records import make_record

from modernet.analysis.references import references
from modernet.analysis.table import build_rows
from modernet.analysis.table_text import to_latex, to_markdown
from modernet.config.search_path import config_files
from modernet.figures.pareto import plot_pareto


def test_every_reference_belongs_to_a_protocol_and_names_setting_and_source():
    protocols = ("imagenet", "cifar100", "tiny_imagenet", "imagenette", "imagewoof")
    assert set(protocols) <= set(config_files("protocol"))
    for protocol in protocols:
        rows = references(protocol)
        assert rows, protocol
        assert all(row.setting and row.source and 50 < row.top1 < 100 for row in rows)
    assert references("cifar10_micro") == ()


def test_references_have_the_values_of_their_sources():
    printed = {(row.network, row.top1_text) for protocol in ("imagenet", "cifar100") for row in references(protocol)}
    assert {
        ("Swin-T", "81.2"),
        ("Swin-B", "83.5"),
        ("ConvNeXt V2-T", "83.0"),
        ("ResNet-50", "78.08"),
        ("ConvNeXt-T", "78.82"),
        ("ConvNeXt-T kernel 3", "81.5"),
        ("ResNeXt-50 32x4d", "81.52"),
    } <= printed


def imagenet_rows():
    return build_rows([make_record(step, 80.0, protocol="imagenet", size="t") for step in ("gelu", "grn", "convnext")])


def test_tables_have_references_only_with_the_flag():
    rows = imagenet_rows()
    for to_text in (to_markdown, to_latex):
        assert "Swin-B" not in to_text(rows)
        assert "Swin-B" in to_text(rows, with_references=True)


def test_pareto_shows_published_networks_with_known_gmacs():
    figure = plot_pareto(imagenet_rows(), published=references("imagenet"))
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {"Swin-T", "ConvNeXt V2-A"} <= texts


def test_references_are_refused_for_formats_of_rows():
    result = run_command("table", "--references", "--csv")
    assert result.returncode == 2
    assert "--references is a table for readers; allowed: Markdown or --latex, got --csv" in result.stderr
