"""A person's own photos from folder to family: splits kept, changes refused, single networks trained and scored."""

from __future__ import annotations

import json
import os
import shutil
from random import Random

import numpy as np
import pytest
import torch
from driving import drive, write_study
from helpers import invoke, refused, same_weights
from making import folder, picture
from PIL import Image
from safetensors.torch import load_file

import scalesearch as ss
from scalesearch.data.examples import examples
from scalesearch.data.images import center_crop
from scalesearch.data.sources import load, source
from scalesearch.files import save_tensors
from scalesearch.runs.artifacts import write_report
from scalesearch.runs.images import prepare_data, saved_health, saved_source
from scalesearch.runs.single import TrainingSpec, train
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study, parse_recipe
from scalesearch.trials.log import TrialLog
from scalesearch.trials.recipe import RECIPES
from scalesearch.yamlfile import dump

COUNTS = {"cat": 40, "dog": 40, "eel": 40}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def photos(tmp_path):
    return folder(tmp_path / "photos", COUNTS)


def test_a_study_of_a_folder_beside_it(photos, tmp_path):
    """Its classes, channels and splits are the folder's; a report needs the images no more."""
    path = write_study(tmp_path, data={"source": "photos", "val": 0.2}, resolution=16)
    study, out = load_study(path), tmp_path / "run"
    out.mkdir()
    assert study.trained.data.class_names == ("cat", "dog", "eel")
    assert study.adapted_space.sample(0)[1].channels == 3
    assert study.trained.data.size == 20  # the images' own: φ = 2 by resolution alone would want 32
    prepare_data(study.trained.data, study.document["data"], out)
    drive(study, out / "trials.jsonl", Random(0))
    shutil.rmtree(photos)
    (out / "study.yaml").write_text(dump(study.document))  # as a run keeps it
    again = load_study(out / "study.yaml", known_data=saved_source(out))
    assert again.digest == study.digest
    summary = write_report(Driver(again, TrialLog(out / "trials.jsonl")), out)
    assert summary["data"]["images"] == {"train": 78, "val": 24, "test": 18}
    assert summary["data"]["health"]["splits"]["val"] == "cut from all images"
    page = (out / "report.html").read_text()
    assert "120 images in 3 classes" in page
    assert 'href="data.html"' in page
    assert saved_health(out)["images"] == 120
    assert "every score of a search, and which finalist is the base, is of 24 images (cut from all images)" in page


def test_images_that_changed_between_run_and_resume_are_refused_and_nothing_is_lost(photos, tmp_path):
    path = write_study(tmp_path, data="photos", resolution=16)
    out = tmp_path / "run"
    out.mkdir()
    study = load_study(path)
    prepare_data(study.trained.data, study.document["data"], out)
    prepare_data(study.trained.data, study.document["data"], out)  # as it was: nothing to say
    (photos / "cat" / "000.png").unlink()
    picture("dog", 500).save(photos / "dog" / "new.png")
    picture("dog", 501).save(photos / "dog" / "003.png")
    changed = load_study(path)
    with pytest.raises(
        ss.InputError,
        match=r"has changed since the run in .* began: 1 gone \(as cat/000.png\), 1 new "
        r"\(as dog/new.png\), 1 changed \(as dog/003.png\); bring it back",
    ):
        prepare_data(changed.trained.data, changed.document["data"], out)
    assert saved_health(out)["images"] == 120


def test_mistyped_data_is_located(tmp_path):
    path = write_study(tmp_path, data={"source": "photoz"}, resolution=16)
    message = refused("run", str(path), "--dry-run")
    assert "study.yaml:" in message
    assert 'unknown data set "photoz"' in message
    assert "a path" in message
    path = write_study(tmp_path, data={"source": "digits", "val": 0.3}, resolution=16)
    assert 'data.val: digits has splits and sizes of its own; takes "mirror" alone' in refused(
        "run", str(path), "--dry-run"
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network that tells the three by their colours, trained by the command."""
    base = tmp_path_factory.mktemp("trained")
    photos = folder(base / "photos", {"cat": 60, "dog": 60, "eel": 60})
    out = base / "net"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SCALESEARCH_CACHE", str(base / "cache"))
        done = invoke(
            "train",
            "resnet20_cifar",
            "--data",
            str(photos),
            "--out",
            str(out),
            "--recipe",
            "quick",
            "--set",
            "epochs=4",
            "--set",
            "batch_size=16",
            "--resolution",
            "16",
            "--json",
        )
    return photos, out, done


@pytest.mark.slow
def test_training_leaves_a_model_with_its_weights(trained):
    photos, out, done = trained
    summary = json.loads(done.stdout)
    assert {p.name for p in out.iterdir()} >= {
        "arch.yaml",
        "weights.safetensors",
        "history.jsonl",
        "summary.json",
        "card.md",
        "splits.parquet",
        "data.html",
    }
    assert summary["scores"]["test_accuracy"] > 0.9
    assert summary["data"]["classes"] == ["cat", "dog", "eel"]
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert "val_accuracy" in history[-1]
    assert "epoch 4/4: loss" in done.stderr
    assert "left" in done.stderr
    assert "holds a run of this training; go on with it by --resume" in refused(
        "train",
        "resnet20_cifar",
        "--data",
        str(photos),
        "--out",
        str(out),
        "--recipe",
        "quick",
        "--set",
        "epochs=4",
        "--set",
        "batch_size=16",
        "--resolution",
        "16",
    )
    by_class = json.loads(next((out / "by_class" / "train").iterdir()).read_text())
    assert by_class["classes"] == ["cat", "dog", "eel"]
    assert sum(map(sum, by_class["confusion"])) == 27


@pytest.mark.slow
def test_a_training_gone_on_with_looks_at_its_weights(trained, tmp_path, monkeypatch):
    photos, out, _ = trained
    monkeypatch.setenv("SCALESEARCH_CACHE", str(photos.parent / "cache"))
    shutil.copytree(out, tmp_path / "net")
    weights = tmp_path / "net" / "weights.safetensors"
    again = (
        "train",
        "resnet20_cifar",
        "--data",
        str(photos),
        "--out",
        str(tmp_path / "net"),
        "--recipe",
        "quick",
        "--set",
        "epochs=4",
        "--set",
        "batch_size=16",
        "--resolution",
        "16",
        "--resume",
    )
    shutil.copy(weights, tmp_path / "before.safetensors")
    assert "epoch" not in invoke(*again).stderr
    os.truncate(weights, 100)
    assert "epoch 4/4" in invoke(*again).stderr
    assert same_weights(weights, tmp_path / "before.safetensors")


@pytest.mark.slow
def test_what_it_scored_is_what_everybody_sees(trained):
    """`evaluate`, `predict` and the training prepare images by the same code; turned photos are turned back."""
    photos, out, done = trained
    scores = json.loads(done.stdout)["scores"]
    found = json.loads(invoke("evaluate", str(out), "--data", str(photos), "--json").stdout)
    assert found["top1"] == pytest.approx(scores["test_accuracy"])
    assert found["images"] == 27
    assert found["loss"] == pytest.approx(scores["test_loss"], rel=1e-4)
    shown = examples(str(photos), "test")
    names = [shown.index.names[row] for row in shown.rows]
    files = [str(photos / name) for name in names]
    message = json.loads(invoke("predict", str(out), *files, "--top", "1", "--json").stdout)
    right = [row["top"][0]["name"] == name.split("/")[0] for row, name in zip(message, names)]
    assert np.mean(right) == pytest.approx(scores["test_accuracy"])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = photos.parent / "turned.png"
    upright = photos / names[0]
    Image.open(upright).transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
    both = json.loads(invoke("predict", str(out), str(upright), str(turned), "--top", "3", "--json").stdout)
    assert both[0]["top"] == both[1]["top"]


@pytest.mark.slow
def test_images_that_are_not_square_are_kept_trained_and_predicted_as_high_and_wide_as_asked(photos, tmp_path):
    """One preparation for all: what a training scored is what its weights score, from the file alone."""
    out = tmp_path / "net"
    done = invoke(
        "train",
        "resnet20_cifar",
        "--data",
        str(photos),
        "--out",
        str(out),
        "--recipe",
        "cifar",
        "--set",
        "epochs=3",
        "--set",
        "progressive=0.5",
        "--set",
        "trivial=true",
        "--resolution",
        "12x18",
        "--json",
    )
    summary = json.loads(done.stdout)
    assert summary["resolution"] == [12, 18]
    assert "| resolution | 12×18, 3 channels |" in (out / "card.md").read_text()
    assert source(str(photos), (12, 18)).size == (12, 18)
    (kept,) = load(source(str(photos), (12, 18)))["test"][:1]
    assert kept.shape[1:] == (3, 12, 18)
    name = examples(str(photos), "test").index.names[kept.rows[0]]
    assert np.array_equal(kept.numpy()[0].transpose(1, 2, 0), center_crop(photos / name, (12, 18), 3))
    assert source(str(photos), (40, 60)).size == (20, 30)  # the images have 24 × 20 pixels
    found = json.loads(invoke("evaluate", str(out), "--data", str(photos), "--json").stdout)
    assert found["top1"] == pytest.approx(summary["scores"]["test_accuracy"])
    assert found["loss"] == pytest.approx(summary["scores"]["test_loss"], rel=1e-4)
    assert ss.load(str(out)).sides == (12, 18)
    assert "takes a side from 1 to 8192, or HEIGHTxWIDTH" in refused(
        "train", "resnet20_cifar", "--data", str(photos), "--resolution", "12x"
    )


def test_a_study_of_images_that_are_not_square(photos, tmp_path):
    """γ scales both sides, hand-built networks see the same images; a square is one however it is written."""
    path = write_study(tmp_path, data="photos", resolution=[16, 24])
    study, out = load_study(path), tmp_path / "run"
    assert study.trained.resolution == (16, 24)
    assert study.trained.data.size == (20, 30)
    out.mkdir()
    prepare_data(study.trained.data, study.document["data"], out)
    log = drive(study, out / "trials.jsonl", Random(0))
    sides = {t.name: t.arch["resolution"] for t in log}
    assert sides["mobilenet_v1 (stem and stages.1 stride 1)"] == [16, 24]
    assert sides["base-000"] == [16, 24]
    grown = [tuple(there) for there in sides.values() if there != [16, 24]]
    assert grown
    assert all(abs(width / height - 1.5) < 0.07 for height, width in grown)
    (out / "study.yaml").write_text(dump(study.document))
    again = load_study(out / "study.yaml", known_data=saved_source(out))
    assert again.digest == study.digest
    write_report(Driver(again, TrialLog(out / "trials.jsonl")), out)
    page = (out / "report.html").read_text()
    assert "at 16×24 pixels where not scaled" in page
    assert "kept at 20×30 pixels" in page
    assert load_study(write_study(tmp_path, data="photos", resolution=[16, 16])).trained.resolution == 16
    wrong = write_study(tmp_path, data="photos", resolution=[16, 24, 3])
    assert "study.yaml:" in (message := refused("run", str(wrong), "--dry-run"))
    assert "resolution" in message


@pytest.mark.slow
def test_what_was_trained_on_is_never_tested_on(tmp_path, trained):
    """The splits of a training stay with it: `evaluate` takes them, however it would cut the images anew."""
    photos, out, _ = trained
    shown = examples({"source": str(photos), "seed": 7}, "test", out / "splits.parquet")
    assert shown.rows == examples(str(photos), "test").rows
    other = folder(tmp_path / "other", {"cat": 12, "fox": 12})
    message = refused("evaluate", str(out), "--data", str(other))
    assert "has a class 'fox', and the network has none of that name" in message


@pytest.mark.slow
def test_preparation_can_be_said_otherwise(trained):
    photo = str(next((trained[0] / "cat").iterdir()))

    def shown(*more):
        return json.loads(invoke("predict", str(trained[1]), photo, "--json", *more).stdout)[0]["top"]

    assert shown("--interpolation", "nearest") != shown() != shown("--resize", "24")


@pytest.mark.slow
def test_a_table_of_many_channels_is_trained_on_scored_and_predicted(tmp_path):
    rng, labels = np.random.default_rng(0), np.arange(48) % 2
    images = rng.integers(0, 120, (48, 5, 16, 16), dtype=np.uint8)
    images += (100 * labels[:, None, None, None]).astype(np.uint8)
    np.savez(tmp_path / "t.npz", images=images, labels=labels)
    out, data = tmp_path / "net", str(tmp_path / "t.npz")
    shares = ("--val", "0.1", "--test", "0.4")
    done = invoke(
        "train",
        "resnet20_cifar",
        "--data",
        data,
        "--out",
        str(out),
        "--set",
        "epochs=1",
        "--recipe",
        "quick",
        "--set",
        "batch_size=8",
        *shares,
        "--json",
    )
    summary = json.loads(done.stdout)
    assert summary["data"]["images"] == {"train": 24, "val": 4, "test": 20}
    found = json.loads(invoke("evaluate", str(out), "--data", data, *shares, "--json").stdout)
    assert found["images"] == 20
    assert found["top1"] == pytest.approx(summary["scores"]["test_accuracy"])
    message = json.loads(invoke("predict", str(out), data, "--top", "1", "--json").stdout)
    assert len(message) == 48
    assert message[47]["image"] == f"{data}:47"
    shown = examples({"source": data, "val": 0.1, "test": 0.4}, "test")
    right = [message[row]["top"][0]["class"] == labels[row] for row in shown.rows]
    assert np.mean(right) == pytest.approx(found["top1"])
    picture("cat", 1).save(tmp_path / "photo.png")
    for path in (tmp_path / "photo.png", tmp_path):
        assert "is a photo, and the network takes images of 5 channels" in refused("predict", str(out), str(path))
    np.savez(tmp_path / "grey.npz", images=images[:, 0])
    message = refused("predict", str(out), str(tmp_path / "grey.npz"))
    assert "has images of 1 channel, and the network takes 5" in message


def test_columns_are_named_for_a_training(photos, tmp_path):
    rows = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in sorted(photos.rglob("*.png"))]
    (tmp_path / "t.csv").write_text("\n".join(["where,what", *rows]))
    data = ("--data", str(tmp_path / "t.csv"), "--image", "where", "--label", "what")
    out = str(tmp_path / "net")
    invoke("train", "resnet20_cifar", *data, "--out", out, "--recipe", "quick", "--set", "epochs=1")
    assert json.loads(invoke("evaluate", out, *data, "--json").stdout)["images"] == 18


@pytest.mark.slow
def test_the_folder_is_a_model_wherever_one_is_asked_for(trained, tmp_path):
    _, out, _ = trained
    assert ss.load(out).classes == 3
    assert json.loads(invoke("cost", str(out), "--json").stdout)[0]["params"] > 0
    invoke("export", str(out), "--to", "safetensors", "-o", str(tmp_path / "w.safetensors"))
    shutil.copy(out / "arch.yaml", tmp_path / "arch.yaml")
    message = invoke(
        "predict",
        str(tmp_path / "arch.yaml"),
        str(next((trained[0] / "cat").iterdir())),
        "--weights",
        str(tmp_path / "w.safetensors"),
        "--top",
        "1",
    )
    assert "cat" in message.stdout
    pytest.importorskip("onnxscript")
    invoke("export", str(out), "--to", "onnx", "-o", str(tmp_path / "w.onnx"))
    assert "is a folder without arch.yaml" in refused("cost", str(trained[0]))
    assert "needs weights" in refused("evaluate", "resnet20_cifar", "--data", str(trained[0]))


@pytest.mark.slow
def test_fine_tuning_takes_a_new_head_and_what_the_weights_want(trained, tmp_path):
    """From our own weights: of the head the rows of its classes, frozen stages stay, images are prepared as theirs."""
    _, out, _ = trained
    two = folder(tmp_path / "two", {"cat": 30, "dog": 30}, seed=5)
    tuned = tmp_path / "tuned"
    done = invoke(
        "train",
        str(out / "arch.yaml"),
        "--data",
        str(two),
        "--weights",
        str(out / "weights.safetensors"),
        "--freeze-until",
        "stages.1",
        "--set",
        "epochs=2",
        "--set",
        "batch_size=16",
        "--resolution",
        "16",
        "--out",
        str(tuned),
        "--json",
    )
    summary = json.loads(done.stdout)
    assert summary["recipe"]["layer_decay"] == RECIPES["finetune"].layer_decay
    assert summary["inherited"] == 1
    assert "took the head's rows of 2 of 2 classes by their names" in done.stderr
    before, after = (load_file(folder / "weights.safetensors") for folder in (out, tuned))
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith(("stem.", "stages.0.", "stages.1.")))
    assert after["head.linear.weight"].shape[0] == 2
    assert ss.load(tuned).classes == 2
    assert "freeze_until: takes stem, stages.0" in refused(
        "train", str(out / "arch.yaml"), "--data", str(two), "--freeze-until", "stage1", "--out", str(tmp_path / "x")
    )


@pytest.mark.slow
def test_fine_tuning_that_was_stopped_goes_on_to_the_same_bit_and_ended_is_left_alone(trained, tmp_path):
    """Also where the weights' norms have another eps than the network's own."""
    photos, out, _ = trained
    arch = ss.load(out)
    weights = tmp_path / "w.safetensors"
    save_tensors(load_file(out / "weights.safetensors"), weights, {"norm_eps": "0.001"})
    recipe = parse_recipe({"base": "finetune", "epochs": 3, "batch_size": 16})
    single = TrainingSpec(
        arch, source(str(photos), 16), str(photos), recipe, str(weights), save_every=0.0, resolution=16
    )

    def stop(numbers, epochs):
        if numbers["epoch"] == 2:
            raise KeyboardInterrupt

    train(single, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(single, tmp_path / "cut", on_epoch=stop)
    train(single, tmp_path / "cut", resume=True)
    for file in ("history.jsonl", "arch.yaml"):
        assert (tmp_path / "cut" / file).read_text() == (tmp_path / "whole" / file).read_text()
    assert same_weights(*(tmp_path / name / "weights.safetensors" for name in ("cut", "whole")))
    assert ss.load(tmp_path / "cut").norm_eps == 0.001
    before = (tmp_path / "cut" / "summary.json").stat().st_mtime_ns
    train(single, tmp_path / "cut", resume=True, on_epoch=lambda *_: pytest.fail("trained again"))
    assert (tmp_path / "cut" / "summary.json").stat().st_mtime_ns == before


def test_library_weights_start_trainings_of_small_and_grey_images(tmp_path, torchvision_models):
    """They are loaded into the network as it was, and what fits goes into the one brought to the images."""
    from safetensors.torch import save_file

    save_file(torchvision_models.mobilenet_v3_small().state_dict(), tmp_path / "w.safetensors")
    single = TrainingSpec(
        ss.load("mobilenet_v3_small"),
        source("digits"),
        "digits",
        parse_recipe({"base": "finetune", "epochs": 1, "data_share": 0.1}),
        str(tmp_path / "w.safetensors"),
        resolution=16,
    )
    summary = train(single, tmp_path / "net")
    assert 0.5 < summary["inherited"] < 1
    assert ss.load(tmp_path / "net").channels == 1


def test_peers_weights_are_scored_by_the_names_of_classes(tmp_path, torchvision_models):
    """Ten of ImageNet's classes, told by their names among the thousand."""
    from helpers import liven
    from safetensors.torch import save_file

    model = liven(torchvision_models.squeezenet1_1(num_classes=1000)).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    photos = folder(tmp_path / "photos", {"goldfish": 12, "tench": 12})
    row = json.loads(
        invoke(
            "evaluate",
            "squeezenet1_1",
            "--weights",
            str(tmp_path / "w.safetensors"),
            "--data",
            str(photos),
            "--resolution",
            "64",
            "--split",
            "train",
            "--json",
        ).stdout
    )
    from torchvision.transforms import _presets

    prepare = _presets.ImageClassification(crop_size=64, resize_size=73)
    shown = examples(str(photos), "train")
    names = [shown.index.names[r] for r in shown.rows]
    images = torch.stack([prepare(Image.open(photos / name)) for name in names])
    wanted = torch.tensor([1 if name.startswith("goldfish") else 0 for name in names])
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(model(images), wanted).item()
    assert row["images"] == len(names)
    assert row["loss"] == pytest.approx(loss, rel=1e-3)
    others = folder(tmp_path / "others", {"x": 12, "y": 12})
    assert "has 2 classes, such as 'x', and the network has 1000, with other names" in refused(
        "evaluate",
        "squeezenet1_1",
        "--weights",
        str(tmp_path / "w.safetensors"),
        "--data",
        str(others),
        "--resolution",
        "64",
    )


def test_every_split_is_there_to_score(photos):
    found = load(source(str(photos)))
    assert {split: len(examples(str(photos), split).rows) for split in found} == {
        split: len(labels) for split, (_, labels) in found.items()
    }
    assert len(examples("digits").rows) == 360
