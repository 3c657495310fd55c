"""Convert between the tensors of a Hugging Face folder and Megatron's parameters, one at a time."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from qvl.errors import UserError
from qvl.model import weight_map
from qvl.model.folder import Folder, same_bits
from qvl.model.shape import Shape
from qvl.model.vision import VisionTower

LATEST = 4  # parameters kept for their next Hugging Face tensor: those of one layer


def parameters(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield every parameter of a model: its global Megatron name and its shape."""
    for name in weight_map.language_names(shape):
        yield name, weight_map.dims(name, shape)
    with torch.device("meta"):
        tower = VisionTower(shape.vision)
    for name, parameter in tower.named_parameters():
        yield f"vision.{name}", tuple(parameter.shape)


def check(folder: Folder, shape: Shape) -> None:
    """UserError if a tensor that config.json implies is missing or has a different shape, or if there
    is one that it does not imply."""
    seen: dict[str, Tensor] = {}
    for name, dims in parameters(shape):
        found = weight_map.source(name, shape)
        for each in found.names:
            if each not in seen:
                seen[each] = torch.empty(folder.dims(each), device="meta")
        tensors = [seen[each] for each in found.names]
        try:
            if found.is_expert and len(tensors[0]) != shape.num_experts:
                raise IndexError
            own = [each[0] for each in tensors] if found.is_expert else tensors
            fits = tuple(weight_map.join(found, own, shape).shape) == dims
        except (IndexError, RuntimeError, TypeError):
            fits = False
        if not fits:
            shapes = ", ".join(str(tuple(each.shape)) for each in tensors)
            raise UserError(
                f"{folder.path}: {', '.join(found.names)} of shape {shapes} does not match config.json"
            )
    head = {weight_map.TOP[weight_map.HEAD]}  # some folders store it although it is tied
    for name in folder.names:
        if name not in seen.keys() | head:
            raise _unknown(folder, name)

    _check_head(folder, shape)


def _check_head(folder: Folder, shape: Shape) -> None:
    """UserError for a stored head that is not the embedding, to which config.json ties it: transformers
    would use the one, and training the other."""
    head, embedding = (weight_map.TOP[name] for name in (weight_map.HEAD, weight_map.EMBEDDING))
    if shape.tied and head in folder and not same_bits(folder.get(head), folder.get(embedding)):
        raise UserError(
            f"{folder.path}: config.json ties the head to the embedding, but {head} differs from "
            f"{embedding}; remove it, or set tie_word_embeddings to false"
        )


def load(folder: Folder, name: str, shape: Shape) -> Tensor:
    """One parameter of a folder that passed `check`. Only the slice of its own expert is read."""
    found = weight_map.source(name, shape)
    at = found.expert if found.is_expert else None
    return weight_map.join(found, [folder.get(each, at) for each in found.names], shape)


class MergedTensors(ABC):
    """A model's Hugging Face tensors, merged from its parameters. Subclasses provide these."""

    def __init__(self, names: Iterable[str], folder: Folder, shape: Shape) -> None:
        """names: the parameters' global Megatron names. folder: the tensors' names and shapes."""
        self.folder, self.shape = folder, shape
        self._parameters: dict[str, list[str]] = {}  # by Hugging Face name
        for name in names:
            for source in weight_map.source(name, shape).names:
                self._parameters.setdefault(source, []).append(name)
        if shape.tied:  # some folders store the head nevertheless
            self._parameters.setdefault(weight_map.TOP[weight_map.HEAD], [weight_map.EMBEDDING])
        self._latest: OrderedDict[str, list[Tensor]] = OrderedDict()

    @abstractmethod
    def parameter(self, name: str) -> Tensor:
        """A complete parameter, by its global Megatron name."""

    def tensor(self, name: str) -> Tensor:
        """One tensor, in the shape that `folder` has. UserError if the model has no such tensor."""
        if name not in self._parameters:
            raise _unknown(self.folder, name)
        parts = self._parameters[name]
        found = weight_map.source(parts[0], self.shape)
        if not found.is_expert:
            place = found.names.index(name) if name in found.names else 0
            return self._split(parts[0])[place]
        parts = sorted(parts, key=lambda each: weight_map.source(each, self.shape).expert)
        transposed = weight_map.stored_transposed(found, self.folder.dims(name), self.shape)
        first = self.parameter(parts[0])
        stacked = first.new_empty(len(parts), *(first.T if transposed else first).shape)
        for expert, each in enumerate(parts):
            part = self.parameter(each)
            stacked[expert] = part.T if transposed else part
        return stacked

    def _split(self, name: str) -> list[Tensor]:
        """The Hugging Face tensors of a parameter; cached, because they are mostly read in a row."""
        if name not in self._latest:
            parameter = self.parameter(name)
            self._latest[name] = weight_map.split(
                weight_map.source(name, self.shape), parameter, self.shape
            )
            if len(self._latest) > LATEST:
                self._latest.popitem(last=False)
        return self._latest[name]


def _unknown(folder: Folder, name: str) -> UserError:
    return UserError(f"{folder.path}: {name} is not a tensor of the model in config.json")
