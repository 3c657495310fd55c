"""Between the tensors of a Hugging Face folder and Megatron's parameters: whole ones, one at a time."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from qvl.errors import UserError
from qvl.model import weight_map
from qvl.model.folder import Folder
from qvl.model.shape import Shape
from qvl.model.vision import VisionTower

LATEST = 4  # parameters that are kept whole for their next Hugging Face tensor: those of a layer


def parameters(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every parameter of a model by its global Megatron name, and its dimensions."""
    for name in weight_map.language_names(shape):
        yield name, weight_map.dims(name, shape)
    with torch.device("meta"):
        tower = VisionTower(shape.vision)
    for name, parameter in tower.named_parameters():
        yield f"vision.{name}", tuple(parameter.shape)


def check(folder: Folder, shape: Shape) -> None:
    """UserError where the folder lacks a tensor that its config.json implies, or has another shape."""
    seen: dict[str, Tensor] = {}
    for name, dims in parameters(shape):
        found = weight_map.source(name, shape)
        for each in found.names:
            if each not in seen:
                seen[each] = torch.empty(folder.dims(each), device="meta")
        stored = [seen[each] for each in found.names]
        try:
            if found.is_expert and len(stored[0]) != shape.num_experts:
                raise IndexError
            own = [each[0] for each in stored] if found.is_expert else stored
            fits = tuple(weight_map.join(found, own, shape).shape) == dims
        except (IndexError, RuntimeError, TypeError):
            fits = False
        if not fits:
            told = ", ".join(str(tuple(each.shape)) for each in stored)
            raise UserError(
                f"{folder.path}: {', '.join(found.names)} of shape {told}, which is not what "
                "config.json says"
            )


def load(folder: Folder, name: str, shape: Shape) -> Tensor:
    """One parameter, of a folder that `check` has seen. Of many experts only the one's is read."""
    found = weight_map.source(name, shape)
    at = found.expert if found.is_expert else None
    return weight_map.join(found, [folder.get(each, at) for each in found.names], shape)


class Whole(ABC):
    """A model's tensors by their Hugging Face names, put together from wherever its parameters are."""

    def __init__(self, made_of: Iterable[str], folder: Folder, shape: Shape) -> None:
        """made_of: the parameters' global Megatron names. folder: of the tensors' names and shapes."""
        self.folder, self.shape = folder, shape
        self._made_of: dict[str, list[str]] = {}
        for name in made_of:
            for source in weight_map.source(name, shape).names:
                self._made_of.setdefault(source, []).append(name)
        if shape.tied:  # some folders have it all the same
            self._made_of.setdefault(weight_map.TOP[weight_map.HEAD], [weight_map.EMBEDDING])
        self._latest: OrderedDict[str, list[Tensor]] = OrderedDict()

    @abstractmethod
    def put_together(self, name: str) -> Tensor:
        """A parameter, whole."""

    def tensor(self, name: str) -> Tensor:
        """One tensor, as `folder` stores it. UserError for one that the model has not."""
        if name not in self._made_of:
            raise UserError(f"{self.folder.path}: {name} is no tensor of the model in config.json")
        made_of = self._made_of[name]
        found = weight_map.source(made_of[0], self.shape)
        if not found.is_expert:
            place = found.names.index(name) if name in found.names else 0
            return self._split(made_of[0])[place]
        made_of = sorted(made_of, key=lambda each: weight_map.source(each, self.shape).expert)
        turned = weight_map.stored_transposed(found, self.folder.dims(name), self.shape)
        first = self.put_together(made_of[0])
        stacked = first.new_empty(len(made_of), *(first.T if turned else first).shape)
        for expert, each in enumerate(made_of):
            part = self.put_together(each)
            stacked[expert] = part.T if turned else part
        return stacked

    def _split(self, name: str) -> list[Tensor]:
        """The Hugging Face tensors of a parameter, which are mostly asked for one after the other."""
        if name not in self._latest:
            whole = self.put_together(name)
            self._latest[name] = weight_map.split(
                weight_map.source(name, self.shape), whole, self.shape
            )
            if len(self._latest) > LATEST:
                self._latest.popitem(last=False)
        return self._latest[name]
