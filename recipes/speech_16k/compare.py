"""Train the speech codec shortly with each bottleneck and tabulate what comes out.

    python recipes/speech_16k/compare.py --data FOLDER --noise FOLDER --valid FOLDER

compare.yaml says what is trained; all trainings have the same steps and the same seed. Each one that is
finished is kept in the run folder, so that an interrupted comparison goes on where it was. The table is
printed at the end.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer

from codec.config import from_mapping, read_yaml, to_mapping
from codec.errors import CodecError
from codec.evaluation.metrics import METRICS
from codec.evaluation.statistics import summarize
from codec.model import CodecModel
from codec.training.config import Recipe, read_recipe
from codec.training.validation import ValidationClip, load_clips, reconstruct
from recipes.common.report import table
from recipes.speech_16k.rows import Sources, trained

HERE = Path(__file__).resolve().parent
KEYS = ("steps", "warm_start_steps", "num_codebooks", "bottlenecks")


def read_comparison(path: Path, base: Recipe) -> tuple[dict[str, Recipe], list[int]]:
    """The recipe of each row by name, and the numbers of codebooks to measure.

    Raises CodecError where a key or value of the file is wrong.
    """
    data = read_yaml(path)
    if set(data) != set(KEYS):
        raise CodecError(f"{path} must have the keys {', '.join(KEYS)}, and no others")
    shared = to_mapping(base)
    shared["training"]["max_steps"] = data["steps"]
    shared["training"]["quantization"]["warm_start_steps"] = data["warm_start_steps"]
    recipes = {}
    for name, bottleneck in data["bottlenecks"].items():
        mapping = shared | {"model": shared["model"] | {"bottleneck": bottleneck}}
        recipes[name] = from_mapping(Recipe, mapping, f"{path}: {name}")
    return recipes, data["num_codebooks"]


@torch.no_grad()
def measure(model: CodecModel, clips: list[ValidationClip], num_codebooks: int) -> dict[str, float | None]:
    """PESQ-WB with its 95 % interval, the error of the latents and the time of their search.

    The error is the mean square over the latents' variance, both over all clips; the time is CPU time of one
    thread for a frame, one clip at a time.
    """
    pesq = summarize(
        METRICS["pesq_wb"](
            clip.audio, reconstruct(model, clip.audio, num_codebooks), model.config.sample_rate
        )
        for clip in clips
    )
    latents, decoded, seconds = [], [], 0.0
    for clip in clips:
        padding = model.num_frames(len(clip.audio)) * model.config.hop - len(clip.audio)
        z = model.normalize(model.encoder(F.pad(torch.from_numpy(clip.audio), (0, padding))[None]))
        start = time.thread_time()
        codes = model.bottleneck.encode(z, num_codebooks)
        seconds += time.thread_time() - start
        latents.append(z[0])
        decoded.append(model.bottleneck.decode(codes)[0])
    z, z_q = torch.cat(latents, dim=1), torch.cat(decoded, dim=1)
    return {
        "kbps": num_codebooks * model.bottleneck.bits_per_code * model.frame_rate / 1000,
        "pesq_wb": pesq.mean,
        "pesq_wb_half_width": pesq.half_width,
        "latent_error": float((z - z_q).square().mean() / z.var(dim=1, correction=0).mean()),
        "search_us": 1e6 * seconds / z.shape[1],
    }


def row(recipe: Recipe, folder: Path, sources: Sources, counts: list[int]) -> list[dict[str, Any]]:
    """Train one row, or take up what is there of it, and measure it at each number of codebooks."""
    found = folder / "result.json"
    if found.exists():
        measured: list[dict[str, Any]] = json.loads(found.read_text(encoding="utf-8"))
        return measured
    model = trained(recipe, folder, sources)
    clips = load_clips(sources["valid"], recipe.model.sample_rate)
    measured = [measure(model, clips, count) | {"clips": len(clips)} for count in counts]
    found.write_text(json.dumps(measured, indent=1), encoding="utf-8")
    return measured


def comparison_table(rows: dict[str, list[dict[str, Any]]]) -> str:
    """All rows as a Markdown table: PESQ-WB by bitrate with its 95 % interval over clips, and the rest."""
    rates = [f"{each['kbps']:.1f} kbit/s" for each in next(iter(rows.values()))]
    lines = [
        [
            name,
            *(f"{each['pesq_wb']:.2f} ± {each['pesq_wb_half_width']:.2f}" for each in measured),
            " / ".join(f"{each['latent_error']:.3f}" for each in measured),
            " / ".join(f"{each['search_us']:.0f}" for each in measured),
        ]
        for name, measured in rows.items()
    ]
    return table(["bottleneck, estimator", *rates, "latent error", "search, µs a frame"], lines)


def main(
    data: Annotated[list[str], typer.Option(help="What to train on, as of codec train.")],
    valid: Annotated[list[str], typer.Option(help="Clips to measure on, never trained on.")],
    noise: Annotated[list[str] | None, typer.Option(help="Noise to mix in.")] = None,
    run: Annotated[Path, typer.Option(help="Folder for the trainings.")] = Path("runs/compare_bottlenecks"),
    plan: Annotated[Path, typer.Option(help="What to train.")] = HERE / "compare.yaml",
    config: Annotated[Path, typer.Option(help="The recipe that is shortened.")] = HERE / "config.yaml",
) -> None:
    """Train the speech codec shortly with each bottleneck and tabulate what comes out."""
    try:
        recipes, counts = read_comparison(plan, read_recipe(config))
        sources = {"data": data, "noise": noise or [], "valid": valid}
        rows = {
            name: row(recipe, run / name.replace(", ", "_"), sources, counts)
            for name, recipe in recipes.items()
        }
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    steps = next(iter(recipes.values())).training.max_steps
    print(
        f"{steps} steps each, seed {recipes[next(iter(recipes))].training.seed}\n\n{comparison_table(rows)}"
    )


if __name__ == "__main__":
    typer.run(main)
