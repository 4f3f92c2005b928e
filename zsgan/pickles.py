"""Pickles read as data: their opcodes are interpreted here, and nothing that they name is imported or called.

A pickle is a program for a stack machine that can call any function of any module. This machine knows the
operations that build plain values. What a pickle names has to be in a dictionary of the caller's, and a call
gives what the caller's maker makes of the arguments. Memory and time are linear in the length of the pickle.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

MAX_OPERATIONS = 500_000  # a checkpoint has some 100,000

Makers = Mapping[str, Callable[..., Any]]
"""Allow-list: "module name" -> what stands for a call of it, given the arguments."""


@dataclass(frozen=True)
class Name:
    """A function or class that a pickle names, as "module name"."""

    name: str


@dataclass(eq=False, repr=False)
class Object:
    """A thing that a pickle builds and that stays what it was built from.

    What is in it may be nested so that printing it would never end.

    Attributes:
        args: of the call that would have made it.
        state: what would have been its attributes.
    """

    args: tuple[Any, ...]
    state: Any = None


def opaque(*args: Any) -> Object:
    """Maker of what only has to be held."""
    return Object(args)


_PUSHED = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read(stream: IO[bytes], makers: Makers, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Read one pickle.

    Args:
        stream: positioned at the pickle's start; afterwards just behind its end.
        makers: what the pickle may name.
        persistent: what stands for a persistent id; None where there must be none.

    Returns:
        numbers, strings, bytes, lists (for sets too), tuples, dictionaries, and what the makers gave.

    Raises:
        ValueError: the pickle is damaged, or names or does anything else; nothing was executed.
    """
    machine = _Machine(makers, persistent)
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
            if operation.name == "STOP":
                return machine.pop()
            if count >= MAX_OPERATIONS:
                raise ValueError(f"the pickle has more than {MAX_OPERATIONS} operations")
            machine.do(operation.name, argument)
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise ValueError(f"the pickle is damaged ({type(error).__name__}: {error})") from error
    raise ValueError("the pickle is cut short")


class _Machine:
    def __init__(self, makers: Makers, persistent: Callable[[Any], Any] | None) -> None:
        self.makers, self.persistent = makers, persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks below the marks
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def do(self, operation: str, argument: Any) -> None:
        """Carry out one operation."""
        push = self.stack.append
        match operation:
            case "PROTO" | "FRAME":
                pass
            case name if name in _PUSHED:
                push(argument)
            case name if name in _CONSTANTS:
                push(_CONSTANTS[name])
            case name if name in _TUPLES:
                n = _TUPLES[name]
                if len(self.stack) < n:
                    raise IndexError("the stack is too short")
                self.stack[-n:] = [tuple(self.stack[-n:])]
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                push(self.memo[argument])
            case "MARK":
                self.below.append(self.stack)
                self.stack = []
            case "POP":
                self.pop()
            case "POP_MARK":
                self.since_mark()
            case "EMPTY_LIST" | "EMPTY_SET":
                push([])
            case "EMPTY_DICT":
                push({})
            case "LIST" | "FROZENSET":
                items = self.since_mark()
                self.stack.append(items)
            case "TUPLE":
                items = self.since_mark()
                self.stack.append(tuple(items))
            case "DICT":
                items = self.since_mark()
                self.stack.append({})
                self.set_items(items)
            case "APPEND":
                self.extend([self.pop()])
            case "APPENDS" | "ADDITEMS":
                self.extend(self.since_mark())
            case "SETITEM":
                value, key = self.pop(), self.pop()
                self.set_items([key, value])
            case "SETITEMS":
                self.set_items(self.since_mark())
            case "GLOBAL":
                push(self.named(argument))
            case "STACK_GLOBAL":
                name, module = self.pop(), self.pop()
                if not (isinstance(name, str) and isinstance(module, str)):
                    raise TypeError("a name is no text")  # and tuples of tuples might take for ever to print
                push(self.named(f"{module} {name}"))
            case "REDUCE" | "NEWOBJ":
                arguments, called = self.pop(), self.pop()
                if not isinstance(called, Name) or not isinstance(arguments, tuple):
                    raise TypeError("a call of what is no name")
                push(self.makers[called.name](*arguments))
            case "BUILD":
                state, target = self.pop(), self.stack[-1]
                if isinstance(target, Object):
                    target.state = state
                elif not isinstance(target, dict):  # attributes of a dictionary are of no interest
                    raise TypeError(f"{type(target).__name__} has no attributes")
            case "BINPERSID" if self.persistent is not None:
                push(self.persistent(self.pop()))
            case _:
                raise ValueError(
                    f"the pickle does what no checkpoint does ({operation}); it was not executed"
                )

    def named(self, name: str) -> Name:
        if name not in self.makers:
            raise ValueError(
                f"the pickle names {name.replace(' ', '.')[:200]!r}, which no checkpoint of StyleGAN2 in "
                "PyTorch needs; it was not executed"
            )
        return Name(name)

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError(f"{type(self.stack[-1]).__name__} is no list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        set_items(self.stack[-1], items)


def set_items(target: Any, items: list[Any]) -> None:
    """Put keys and values into a dictionary.

    Args:
        target: the dictionary.
        items: key, value, key, value...

    Raises:
        TypeError: it is no dictionary, a key is neither a string nor a number, or one has no value.
    """
    keys = items[::2]
    if not isinstance(target, dict) or len(items) % 2:
        raise TypeError("items for what is no dictionary")
    # Of other keys, nested tuples, the hash may take for ever.
    if not all(isinstance(key, (str, float)) or (isinstance(key, int) and abs(key) < 2**63) for key in keys):
        raise TypeError("a dictionary's key is neither a string nor a number")
    target.update(zip(keys, items[1::2], strict=True))
