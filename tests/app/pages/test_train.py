from app.pages.train import can_be_trained


def test_what_a_model_is_not_made_for_is_said_beside_its_field(tiny_wan, tiny_wan_i2v):
    shared = {"parquet": "nowhere", "validation": {"prompts": ["waves"]}}
    problems = can_be_trained({"model": str(tiny_wan_i2v), **shared})
    assert (
        problems["validation.images"]
        == "Wan I2V makes videos from images; name an image for each prompt, or one for all."
    )
    problems = can_be_trained({"model": str(tiny_wan), "workload": "i2v", **shared})
    assert problems["workload"] == "Wan is not made for i2v; choose the workload t2v, or another model."
    assert can_be_trained({"model": str(tiny_wan), **shared}).keys() == {"parquet"}
