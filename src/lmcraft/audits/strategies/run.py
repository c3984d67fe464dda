"""Runs a comparison: trains what is missing, measures what is missing, and computes the figures."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from lmcraft.audits.safety.scorer import open_scorer
from lmcraft.audits.strategies.corpus import build_corpus
from lmcraft.audits.strategies.experiment import ExperimentFile, Strategy
from lmcraft.audits.strategies.measurement import Measurement, Meter
from lmcraft.audits.strategies.plan import ATTACK_STEPS, Arm, Planner
from lmcraft.audits.strategies.results import ArmResult, StrategyComparison, summarize
from lmcraft.audits.strategies.stages import Commands, Workshop
from lmcraft.energy import open_meter
from lmcraft.errors import UserError
from lmcraft.json_lines import format_json
from lmcraft.moderation import Moderator

KEY_CHARACTERS = 10
Report = Callable[[int, int, str], object]
"""Called with the number of measured models, their total, and what happens now."""


@dataclass(frozen=True)
class Comparison:
    """An experiment with its folders."""

    file: ExperimentFile
    out: Path
    planner: Planner
    meter: Meter
    workshop: Workshop

    @classmethod
    def open(cls, file: ExperimentFile, out: Path, commands: Commands) -> "Comparison":
        """Write the corpus, and open the scorers.

        Raises:
            UserError: a file, a policy or a tier cannot be used, or the judge is the scorer that filters.
            RunError: a download failed, or a text could not be judged.
        """
        guard, judge = Moderator.open(file.policy), open_scorer(file.judge)
        own, other = ({k: v for k, v in m.fingerprint().items() if k != "policy"} for m in (guard, judge.moderator))
        if shared := [name for name in own if own[name] == other.get(name)]:
            raise UserError(
                f"judge='{file.judge}' and policy='{file.policy}' have the same {' and '.join(shared)}, but a filter cannot "
                "say what it misses: give them other tiers"
            )
        corpus = build_corpus(file.settings.corpus, guard, file.folder, out)
        meter = Meter(corpus, file.settings.measure, judge, guard)
        return cls(file, out, Planner(file, corpus), meter, Workshop(out / "stages", commands))

    def run(self, seeds: Sequence[int], report: Report) -> None:
        """Train and measure what is missing.

        Args:
            seeds: those of the experiment to run; another process may run the others.
            report: shows progress.

        Raises:
            UserError, RunError: a command failed; what is done is kept.
            InterruptedRunError: a signal stopped it; the next call goes on.
        """
        arms = [self.planner.arm(strategy, seed) for seed in seeds for strategy in self.file.strategies]
        work = [(arm, attack) for arm in arms for attack in ("", *self.planner.attacks)]
        for number, (arm, attack) in enumerate(work):
            title = f"{arm.strategy.name}, seed {arm.seed}" + (f", {attack} tuning" if attack else "")
            report(number, len(work), title)
            self._measure(arm, attack)
        report(len(work), len(work), "")

    def _measure(self, arm: Arm, attack: str) -> None:
        measured = self.planner.attacked(arm, attack) if attack else arm
        if (file := self._file(measured)).is_file():
            return
        model, *steering = (self.workshop.run(stage) for stage in measured.stages)
        result = self.meter.measure(
            model,
            steering,
            strength=arm.strategy.steering_strength,
            guarded=arm.guarded,
            seed=arm.seed,
            refusals=not attack,
        )
        result.write(file)

    def _file(self, arm: Arm) -> Path:
        """The file of a measurement, named by everything that it depends on."""
        guard = self.meter.guard.fingerprint() if arm.guarded else None
        contents = [[stage.key for stage in arm.stages], arm.seed, guard, dict(self.meter.fingerprint)]
        if arm.strategy.steering_strength is not None:
            contents.append(arm.strategy.steering_strength)
        key = sha256(format_json(contents).encode()).hexdigest()[:KEY_CHARACTERS]
        return self.out / "measurements" / f"{arm.model.name.replace(' ', '-')}-{key}.json"

    def result(self) -> StrategyComparison:
        """The figures of what has been measured so far.

        Raises:
            UserError: the first strategy has not been measured.
        """
        results = {strategy.name: list(self._results(strategy)) for strategy in self.file.strategies}
        first = results[self.file.strategies[0].name]
        if not first:
            raise UserError(f"strategy '{self.file.strategies[0].name}' has not been measured yet: run its seeds first")
        return StrategyComparison(
            name=self.file.settings.name,
            strategies=[
                summarize(strategy.name, strategy.use, arms, first)
                for strategy in self.file.strategies
                if (arms := results[strategy.name])
            ],
            missing=[
                f"{name}, seed {seed}"
                for name, arms in results.items()
                for seed in self.file.settings.seeds
                if seed not in [arm.seed for arm in arms]
            ],
            notes=self._notes(),
        )

    def _results(self, strategy: Strategy) -> Iterator[ArmResult]:
        for seed in self.file.settings.seeds:
            arm = self.planner.arm(strategy, seed)
            attacked = {
                attack: measurement
                for attack in self.planner.attacks
                if (measurement := Measurement.read(self._file(self.planner.attacked(arm, attack)))) is not None
            }
            trained = Measurement.read(self._file(arm))
            if trained is not None and len(attacked) == len(self.planner.attacks):
                yield ArmResult(seed, trained, attacked, self.workshop.cost(*arm.stages))

    def _notes(self) -> list[str]:
        settings, corpus = self.file.settings, self.meter.corpus
        counts = {name: entry["texts"] for name, entry in corpus.summary.items()}  # type: ignore[index]
        measure = settings.measure
        attack_steps = self.file.tables["attack"].get("max_steps", ATTACK_STEPS)
        return [
            f"Corpus: {counts['corpus']:,} texts, of which the policy refuses {counts['refused']:,}; "
            f"{settings.corpus.toxic_share:.0%} of the characters come from toxic sources.",
            f"Harm: {measure.samples} continuations of up to {measure.max_new_tokens} tokens of each of "
            f"{counts['prompts']:,} prompts, scored by judge {self.meter.judge.hash}, which has no tier of the policy "
            f"{self.meter.guard.policy.identity}.",
            f"Perplexity: of {counts['heldout']:,} clean texts. Attacks: {attack_steps} steps of tuning all weights.",
            "Intervals: 95%, over seeds by Student's t, and over prompts or texts by bootstrap.",
            f"Energy: {open_meter().describe().removeprefix('energy ')}; its interval is in docs/energy.md.",
        ]


def run_comparison(
    file: ExperimentFile,
    out: Path,
    commands: Commands,
    *,
    seeds: Sequence[int] = (),
    report: Report = lambda done, total, title: None,
    announce: Callable[[str], object] = lambda name: None,
) -> StrategyComparison:
    """Train and measure the strategies of an experiment; what is done already is not done again.

    Args:
        file: the experiment.
        out: the folder that holds everything: corpus, models, measurements.
        commands: the functions of `lmcraft pretrain` and `lmcraft finetune`.
        seeds: run only these of the experiment's; none: all.
        report: shows progress.
        announce: called with the name of each training when it starts.

    Raises:
        UserError, RunError: a file, a policy or a command failed; what is done is kept.
        InterruptedRunError: a signal stopped it; the next call goes on.
    """
    for seed in seeds:
        if seed not in file.settings.seeds:
            raise UserError(
                f"seeds: {seed} is none of the experiment's, which are {', '.join(map(str, file.settings.seeds))}"
            )
    out.mkdir(parents=True, exist_ok=True)
    comparison = Comparison.open(file, out, commands)
    comparison = replace(comparison, workshop=replace(comparison.workshop, announce=announce))
    comparison.run(seeds or file.settings.seeds, report)
    return comparison.result()
