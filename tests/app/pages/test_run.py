from app.pages.run import next_steps
from fastvideo_engine.specs import TrainSpec, Validation


def spec(steps: int, every: int) -> TrainSpec:
    return TrainSpec(model="m/m", parquet="p", steps=steps, validation=Validation(prompts=["a"], every=every))


def test_the_steps_sampled_next_are_those_at_which_training_samples():
    plan = spec(steps=50, every=20)
    due = [step for step in range(51) if plan.validation.is_due(step, 50)]
    assert due == [0, 20, 40, 50]
    assert [next_steps(plan, sampled) for sampled in range(5)] == [due[:3], due[1:], due[2:], due[3:], []]


def test_a_very_long_run_names_few_steps():
    assert next_steps(spec(steps=10_000_000, every=1), 500) == [500, 501, 502]
