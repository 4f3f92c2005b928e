"""The page "Architecture" of the book, made from the package's folders and the first lines of docstrings."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]

FOLDERS = (
    "base", "method", "assets", "networks", "metrics", "menagerie", "rivals", "adaptation", "runs",
    "evaluation", "report", "inversion", "compact", "book", "commands",
)  # fmt: skip
"""The folders of the package in order; a folder imports only from those before it."""

TOP = ("api", "cli")
"""The modules above all folders, in order."""

ADDING = (
    (
        "a loss, a guide or a training loop of your own",
        "zsgan.adaptation.plugged",
        "declare it in a file of yours by `@zsgan.term()`, `@zsgan.guide()` or `@zsgan.trainer()`; "
        "`zsgan table --method FILE.py` makes it a row",
    ),
    (
        "a loss of the package",
        "zsgan.adaptation.terms",
        "write a function of features and an entry in `KINDS`",
    ),
    (
        "a metric",
        "zsgan.evaluation.judges",
        "write it in `zsgan.metrics`, name it in `columns.MEASURES`, and add its column to `Judges`",
    ),
    (
        "a generator format",
        "zsgan.networks.stylegan2.checkpoints",
        "map its names onto ours in `layouts`, and recognise it in `checkpoints`",
    ),
    ("a scenario or a row", "zsgan.runs.profiles", "add an entry to a profile's YAML file; no code changes"),
    ("a row of another kind", "zsgan.adaptation.by_text", "write a `Trainer`: a state, a step and a result"),
    ("a chapter", "zsgan.book.notebooks", "add `book/NN_name.md` and a line to `book/_toc.yml`"),
)
"""Common additions: what to add, the module to start with, and how."""

WALKS = {
    "A setting, from `zsgan adapt --set moment.lambda_cov=1` to the loss": (
        "zsgan.cli:main", "zsgan.base.settings:given", "zsgan.base.yaml_values:value_of", "zsgan.api:adapt",
        "zsgan.runs.profiles:Profile.config", "zsgan.adaptation.config:override", "zsgan.base.settings:merge",
        "zsgan.runs.identity:resolve", "zsgan.runs.run:run", "zsgan.runs.make:make", "zsgan.base.loop:loop",
        "zsgan.adaptation.by_text:Adaptation.step", "zsgan.adaptation.objective:Objective",
        "zsgan.adaptation.terms:KINDS", "zsgan.method.losses:directional_moment_loss",
    ),
    "An image, from `zsgan table` to its FID": (
        "zsgan.cli:main", "zsgan.report.table1:make_table",
        "zsgan.evaluation.measurements:Measurements.table", "zsgan.evaluation.bench:Bench.at",
        "zsgan.base.cache:Cache.json", "zsgan.runs.run:Run.generator",
        "zsgan.networks.sampling:Samples", "zsgan.networks.stylegan2.generator:Generator",
        "zsgan.networks.stylegan2.mapping:MappingNetwork",
        "zsgan.networks.stylegan2.layers:EqualizedLinear", "zsgan.evaluation.judges:Judges.look",
        "zsgan.metrics.extract:extract_all", "zsgan.base.images:batches",
        "zsgan.menagerie.evaluator:Evaluator.embed", "zsgan.evaluation.judges:Judges.closeness",
        "zsgan.evaluation.truth:Drawn.images", "zsgan.menagerie.portraits:Drawing",
        "zsgan.metrics.frechet:frechet_distance", "zsgan.report.tables:table_1",
    ),
}  # fmt: skip
"""What is followed -> the functions and classes that hand it on, in order."""


def page(package: Path = PACKAGE) -> str:
    """The page in MyST Markdown.

    Args:
        package: folder of the package.

    Returns:
        the folders in order, each with a sentence and its modules, common additions, and two walks.
    """
    lines = [
        "# Architecture\n",
        "A folder imports only from those above it in this list; a test checks the imports. "
        "So the code can be read from top to bottom.\n",
    ]
    for folder in FOLDERS:
        lines.append(f"- **{folder}/**: {first_line(package / folder / '__init__.py')}\n")
        modules = [_link(file, package) for file in sorted((package / folder).rglob("*.py"))]
        lines.append(f"  {', '.join(module for module in modules if module)}\n")
    top = " and ".join(f"[`{name}`](api/{name}.md)" for name in TOP)
    lines.append(f"The modules {top} use all of them: the functions of `zsgan`, and the command line.\n")
    lines.append("## Where to add something\n\n| to add | start in | and |\n| --- | --- | --- |")
    lines += [f"| {what} | [`{module}`]({_page(module)}) | {how} |" for what, module, how in ADDING]
    lines.append("\n## Two walks\n")
    for what, calls in WALKS.items():
        lines.append(f"{what}:\n")
        lines += [f"1. [`{call}`]({_page(call.partition(':')[0])})" for call in calls]
        lines.append("")
    return "\n".join(lines) + "\n"


def first_line(file: Path) -> str:
    """The first line of a module's docstring, in Markdown."""
    summary = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n")[0]
    return summary.replace("``", "`").replace(":mod:", "")


def _link(file: Path, package: Path) -> str:
    """A link to the reference of a module; empty for the folder itself."""
    name = ".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
    return f"[`{name.rpartition('.')[2]}`]({_page(name)})" if name.count(".") > 1 else ""


def _page(module: str) -> str:
    return f"api/{module.removeprefix('zsgan.')}.md"
