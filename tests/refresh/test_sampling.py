"""How the samples of a round are drawn."""

from phf.refresh.sampling import from_own_distribution
from phf.sampling.scenarios import build_scenario


def test_samples_are_from_the_whole_distribution_whatever_the_scenario_measures_with():
    """Trained on samples of a nucleus at a low temperature, a model of e-mails wrote nothing but ">" after one round."""
    kwargs = {"do_sample": False, "temperature": 0.7, "top_p": 0.9, "top_k": 50, "min_length": 10, "max_length": 24}
    measured = build_scenario(
        {"name": "a", "prompts_path": "phf:pii", "generate_kwargs": kwargs, "guidance_scale": 2.0}
    )
    scenario = from_own_distribution(measured, 7, 1.0)
    own = {"do_sample": True, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_length": 24}
    assert scenario.generate_kwargs == own
    assert (scenario.guidance_scale, scenario.best_of, len(scenario.prompts())) == (None, 1, 7)
    assert scenario.prompts() == measured.model_copy(update={"num_samples": 7}).prompts()
