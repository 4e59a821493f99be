"""The functions of Python that do what the commands do, and objects as a notebook shows them."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

import scalesearch as ss
from scalesearch.exporting import FORMATS

SPACE = ROOT / "search_spaces" / "small_images.yaml"
COUNT = 5


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> ss.Training:
    """A small network, trained for an epoch on the digits."""
    return ss.train(
        "resnet20_cifar", "digits", tmp_path_factory.mktemp("api") / "net", recipe="quick", epochs=1, resolution=16
    )


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """Five images of the test split, uint8 `(n, height, width, 1)`."""
    from scalesearch.data import load, source

    pixels, _ = load(source("digits", 16))["test"]
    return np.asarray(pixels.store[pixels.rows][:COUNT])


def test_train_leaves_a_folder_and_says_what_came_out(trained):
    files = {"arch.yaml", "weights.safetensors", "summary.json", "card.md", "report.html"}
    assert files <= {path.name for path in trained.folder.iterdir()}
    assert trained.scores == json.loads((trained.folder / "summary.json").read_text())["scores"]
    assert [row["epoch"] for row in trained.history] == [1]
    assert repr(trained).startswith("<Training resnet20_cifar")
    assert trained.trained().arch.classes == 10


def test_the_page_of_a_training_has_curves_confusion_and_images(trained):
    page = (trained.folder / "report.html").read_text()
    assert page.count('class="plot"') == 2
    assert page.count("data:image/webp") == 16 + 12
    assert f"{trained.scores['test_accuracy']:.2%} test accuracy after 1 epoch of 1,077 images" in page
    assert "http" not in page
    assert "flip" not in page  # the digits may not be mirrored
    assert len(page) < 2_000_000


def test_the_hardest_images_are_those_that_the_network_gives_least(trained):
    from scalesearch.data import source
    from scalesearch.training import Normalisation, hardest_images

    found = hardest_images(trained.trained("cpu").network, source("digits", 16), Normalisation(), count=400)
    assert len(found) == 360
    assert [h.probability for h in found] == sorted(h.probability for h in found)
    right = sum(h.actual == h.predicted for h in found) / len(found)
    assert right == pytest.approx(trained.scores["test_accuracy"])


def test_evaluate_scores_the_test_split_as_the_training_did(trained):
    assert ss.evaluate(trained.folder, "digits").top1 == pytest.approx(trained.scores["test_accuracy"])


def test_predict_takes_arrays_pictures_and_files_alike(trained, digits, tmp_path):
    network = ss.load_trained(trained.folder)
    arrays = ss.predict(network, digits, top=3)
    assert [len(p.top) for p in arrays] == [3] * COUNT
    assert all(c.name in (None, str(c.number)) for p in arrays for c in p.top)
    pictures = [Image.fromarray(image[:, :, 0]) for image in digits]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    for images in (list(digits), pictures, tmp_path, [str(tmp_path / f"{n}.png") for n in range(COUNT)]):
        for mine, other in zip(arrays, ss.predict(network, images, top=3), strict=True):
            assert [c.number for c in mine.top] == [c.number for c in other.top]
            assert mine.top[0].probability == pytest.approx(other.top[0].probability, abs=1e-6)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 3)), "takes a path, a Pillow image or uint8 pixels"),
        (np.zeros((8, 8, 7), np.uint8), "has 7 channels, and the network takes 1"),
        (3, "got int"),
        ("nowhere.png", "is no file and no folder"),
    ],
)
def test_an_image_of_another_kind_is_refused(trained, image, message):
    with pytest.raises(ss.InputError, match=message):
        ss.predict(trained.folder, image)


def test_the_options_of_an_opened_network_are_listed_once():
    from scalesearch.api.trained import Opening

    parameters = list(inspect.signature(ss.load_trained).parameters)
    assert list(Opening.__annotations__) == parameters[1:]


def test_detect_takes_arrays_and_names_classes(tmp_path):
    from scalesearch.files import save_tensors

    arch = ss.load("yolov8n", resolution=64, classes=2)
    model = ss.build(arch)
    save_tensors(model.state_dict(), tmp_path / "w.safetensors", {"classes": json.dumps(["cat", "dog"])})
    options = {"weights": tmp_path / "w.safetensors", "confidence": 0.0, "most": 4}
    photo = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "a.png")
    (mine,), (other,) = ss.detect(arch, photo, **options), ss.detect(arch, tmp_path / "a.png", **options)
    assert mine.boxes == other.boxes
    assert (mine.width, mine.height) == (100, 80)
    assert {box.name for box in mine.boxes} <= {"cat", "dog"}
    with pytest.raises(ss.InputError, match="is no detector; predict is for classifiers"):
        ss.detect("resnet18", photo, weights=tmp_path / "w.safetensors")


def test_export_writes_what_the_command_writes(trained, tmp_path):
    assert ss.export(trained.folder, "safetensors", tmp_path / "a.safetensors") == str(tmp_path / "a.safetensors")
    assert "def build" in ss.export("resnet20_cifar", "py")
    with pytest.raises(ss.InputError, match=f"takes {', '.join(FORMATS)}"):
        ss.export(trained.folder, "tflite", tmp_path / "a.tflite")
    with pytest.raises(ss.InputError, match="onnx needs a file"):
        ss.export(trained.folder, "onnx")


def test_dataset_says_what_is_wrong(tmp_path, digits):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number, image in enumerate(digits):
            Image.fromarray(image[:, :, 0]).save(tmp_path / label / f"{number}.png")
    assert ss.dataset(tmp_path).health.images == 2 * COUNT


def test_weights_that_are_missing_are_asked_for():
    with pytest.raises(ss.InputError, match="needs weights"):
        ss.predict("resnet18", np.zeros((8, 8, 3), np.uint8))


def test_a_search_is_a_table_a_figure_and_networks():
    space = ss.load_space(SPACE)
    found = ss.search(space, lambda arch: float(len(arch.stages)), trials=6, objectives=["macs"], with_="random")
    frame = found.frame()
    assert list(frame["macs"]) == [ss.cost(r.arch).macs for r in found.results]
    assert found.best.arch.name == space.name
    assert {trace.name for trace in found.figure().data} == {"trials", "trials, front"}
    assert "\n" not in repr(found)
    assert found._repr_html_().count("<tr>") == 7


@pytest.mark.parametrize(
    "make",
    [
        lambda: ss.load("mobilenet_v2"),
        lambda: ss.load_space(SPACE),
        lambda: ss.cost(ss.load("mobilenet_v2")),
        lambda: ss.load_study("effnet_phi"),
    ],
    ids=["arch", "space", "cost", "study"],
)
def test_objects_have_a_line_and_a_table(make):
    thing = make()
    assert "\n" not in repr(thing)
    assert len(repr(thing)) < 200
    assert thing._repr_html_().startswith("<p>")
    assert "<td>" in thing._repr_html_()


def test_the_table_of_a_network_is_the_papers():
    html = ss.load("mobilenet_v2")._repr_html_()
    assert "<td>mbconv e1 se_ratio" not in html
    for width, depth, stride in ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)):
        assert f"<td>{width}</td><td>{depth}</td><td>{stride}</td>" in html  # Sandler et al. 2018, table 2


def test_a_run_is_a_frame_figures_and_members(finished_table_run):
    run = finished_table_run
    assert len(run.frame()) == len(run.trials)
    assert run.figure("over_trials").data
    with pytest.raises(ss.InputError, match="unknown figure"):
        run.figure("over_trial")
    assert run.family == []
    assert repr(run).startswith("<Run ")


@pytest.fixture(scope="module")
def finished_table_run(tmp_path_factory) -> ss.Run:
    """The run of a study of a small table."""
    folder = tmp_path_factory.mktemp("table")
    rows = [f"{i},{i % 7},{0.5 + 0.01 * ((i * 37) % 40)}" for i in range(60)]
    (folder / "table.csv").write_text("arch,flops,score\n" + "\n".join(rows) + "\n")
    (folder / "study.yaml").write_text(
        "table: {file: table.csv, decisions: [arch], score: score, numbers: [flops]}\nsearch: {trials: 8}\nseeds: [0]\n"
    )
    return ss.run(folder / "study.yaml", folder / "out")


@pytest.mark.parametrize("name", ss.__all__)
def test_every_public_name_is_documented_and_typed(name):
    thing = getattr(ss, name)
    assert inspect.getdoc(thing), name
    if inspect.isfunction(thing):
        assert "return" in thing.__annotations__, name
        parameters = inspect.signature(thing).parameters.values()
        assert all(p.annotation is not p.empty for p in parameters), name


def test_paths_and_names_are_taken_alike(trained):
    assert ss.predict(Path(trained.folder), np.zeros((16, 16), np.uint8))[0].image == "image 0"
