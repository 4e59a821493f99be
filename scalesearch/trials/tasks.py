"""Tasks say what networks are for: a class each, with its score, labels and the commands that use its networks.

Nothing here imports torch. How a task's networks learn is in `training/`, in the file named after the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from scalesearch.arch import Arch, head_task
from scalesearch.errors import InputError
from scalesearch.trials.recipe import Recipe
from scalesearch.trials.score import Score, format_difference, format_score

if TYPE_CHECKING:
    from scalesearch.data import Source


class Task(Protocol):
    """The contract of a task, with the methods that all tasks share.

    Attributes:
        name: The task's name in studies and on heads (`Block.task`).
        score: The metric that networks are compared by, as objectives and reports name it.
        title: The metric as a heading.
        larger: Whether a large score is good.
        percent: Whether the score is a share in [0, 1], shown as a percentage.
        of_images: Whether the score is a share of the images, so that a split's size limits its precision.
        labels: What images are labelled with.
        letterbox: Whether images are shown whole, padded with grey, and not cropped.
        teaches: Whether networks can learn from the outputs of others (distillation).
        fits_head: Whether the head has parts that are fitted to the labels before training (anchors).
        serves_as_backbone: Whether its networks can be the backbone of a detector.
        on_backbone: Whether its networks have a backbone whose weights they can start from.
        recipe: The name of the recipe that suits it; empty for the usual one.
        unused_keys: Keys of recipes that make no sense for its labels.
        class_lists: By number of classes, the name of the well-known list of class names.
        verb: The command that applies a trained network.
        card_commands: The commands that a trained network's model card shows.
        remedy: What to write instead of a network that is for another task; `{0}` is the network's name.
    """

    name: str
    score: str = ""
    title: str = ""
    larger: bool = True
    percent: bool = True
    of_images: bool = True
    labels: Literal["classes", "boxes", ""] = ""
    letterbox: bool = False
    teaches: bool = True
    fits_head: bool = False
    serves_as_backbone: bool = False
    on_backbone: bool = False
    recipe: str = ""
    unused_keys: tuple[str, ...] = ()
    class_lists: ClassVar[Mapping[int, str]] = {}
    verb: str = ""
    card_commands: tuple[str, ...] = ()
    remedy: str = ""

    @property
    def searched(self) -> Score:
        """Returns the score that searches compare: on the validation split, which training does not see."""
        return Score(self.key("val"), "val_loss", self.larger)

    @property
    def tested(self) -> Score:
        """Returns the score that is compared in the end: on the test split, which no search sees."""
        return Score(self.key("test"), "test_loss", self.larger)

    def key(self, split: str) -> str:
        """Returns the score's key among a trial's scores for a split, such as `val_accuracy`."""
        return f"{split}_{self.score}"

    def format(self, value: float) -> str:
        """Returns a score as text."""
        return format_score(value, self.percent)

    def format_difference(self, value: float, half: float | None) -> str:
        """Returns a difference of scores as text, with ± half its interval if `half` is given."""
        return format_difference(value, half, self.percent)

    def images(self, data: Source, split: str) -> int | None:
        """Returns how many images the score is a share of; None if it is no such share."""
        return data.image_count(split) if self.of_images else None

    def takes(self, arch: Arch) -> bool:
        """Returns whether a network's head is for this task."""
        return head_task(arch) == self.name

    def check(self, arch: Arch, place: str) -> None:
        """Raises `InputError`, located at `place`, for a network whose head is for another task."""
        if not self.takes(arch):
            remedy = f"; {self.remedy.format(arch.name)}" if self.remedy and not arch.taps else ""
            raise InputError(f"{arch.name} is for {head_task(arch)}, and the study for {self.name}{remedy}", place)

    def check_recipe(self, recipe: Recipe) -> None:
        """Raises `InputError` for a recipe with a key that makes no sense for this task's labels."""
        if used := next((key for key in self.unused_keys if getattr(recipe, key)), None):
            raise InputError(f"makes no sense for {self.name}; set it to 0, or take a recipe without it", used)


class Classification(Task):
    """Assigns each image to one class; the score is the share of images whose likeliest class is right."""

    name = "classification"
    score = "accuracy"
    title = "Accuracy"
    labels = "classes"
    serves_as_backbone = True
    class_lists: ClassVar[Mapping[int, str]] = {1000: "imagenet"}
    verb = "predict"
    card_commands = ("predict . PHOTO", "evaluate . --data DATA")


class Detection(Task):
    """Finds boxes with classes around the objects in an image; the score is COCO's average precision."""

    name = "detection"
    score = "ap"
    title = "Average precision"
    of_images = False
    labels = "boxes"
    letterbox = True
    teaches = False
    fits_head = True
    on_backbone = True
    recipe = "detect"
    unused_keys = ("cutmix",)
    class_lists: ClassVar[Mapping[int, str]] = {80: "coco", 20: "voc"}
    verb = "detect"
    card_commands = ("detect . PHOTO",)
    remedy = "{0}+yolov8 is a detector on it"


class Untrained(Task):
    """The task of a person's own head; its networks are counted and built, but not trained here."""

    def __init__(self, name: str):
        self.name = name


TASKS: dict[str, Task] = {task.name: task for task in (Classification(), Detection())}


def task_of(arch: Arch) -> Task:
    """Returns the task that a network's head is for."""
    return TASKS.get(head_task(arch)) or Untrained(head_task(arch))
