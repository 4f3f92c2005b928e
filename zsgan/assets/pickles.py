"""Pickles read as data: their opcodes are interpreted here, and nothing that they name is imported or called.

A pickle is a program for a stack machine that can call any function of any module. This machine knows the
operations that build values. A call of a name that the caller knows gives what the caller's maker makes of
the arguments. A call of any other name gives an ``Object``, which holds name and arguments and does nothing.
Memory and time are linear in the length of the pickle.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

MAX_OPERATIONS = 1_000_000  # a checkpoint has some 100,000

Makers = Mapping[str, Callable[..., Any]]
"""Known names: "module name" -> what stands for a call of it, given the arguments."""


@dataclass(frozen=True)
class Name:
    """A function or class that a pickle names, as "module name"."""

    name: str


@dataclass(eq=False, repr=False)
class Object:
    """A thing that a pickle builds and that stays what it was built from.

    What is in it may be nested so that printing it would never end.

    Attributes:
        name: what the pickle calls to make it, as "module name".
        args: arguments of that call.
        state: what would become its attributes.
    """

    name: str
    args: tuple[Any, ...]
    state: Any = None

    @property
    def refusal(self) -> str:
        """Why it cannot be used, in words."""
        return (
            f"the pickle names {self.name.replace(' ', '.')[:200]!r}, which no checkpoint of StyleGAN2 in "
            "PyTorch needs; it was not executed"
        )


_PUSHED = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read(stream: IO[bytes], makers: Makers, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Read one pickle.

    Args:
        stream: positioned at the pickle's start; afterwards just behind its end.
        makers: what the caller knows of the names in the pickle.
        persistent: what stands for a persistent id; None where there must be none.

    Returns:
        numbers, strings, bytes, lists (for sets too), tuples, dictionaries, what the makers gave, and
        ``Name`` and ``Object`` for all that is unknown.

    Raises:
        ValueError: the pickle is damaged, or does what no pickle on disk does; nothing was executed.
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
            case "DUP":
                push(self.stack[-1])
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
                push(Name(argument))
            case "STACK_GLOBAL":
                name, module = self.pop(), self.pop()
                if not (isinstance(name, str) and isinstance(module, str)):
                    raise TypeError("a name is no text")  # and tuples of tuples might take for ever to print
                push(Name(f"{module} {name}"))
            case "EXT1" | "EXT2" | "EXT4":
                push(Name(f"copyreg extension_{argument}"))
            case "REDUCE" | "NEWOBJ":
                arguments, called = self.pop(), self.pop()
                push(self.called(called, arguments))
            case "NEWOBJ_EX":
                named, arguments, called = self.pop(), self.pop(), self.pop()
                push(self.called(called, (arguments, named)))
            case "INST":
                arguments = self.since_mark()
                self.stack.append(self.called(Name(argument), tuple(arguments)))
            case "OBJ":
                called, *arguments = self.since_mark()
                self.stack.append(self.called(called, tuple(arguments)))
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

    def called(self, called: Any, arguments: Any) -> Any:
        """What stands for a call."""
        if not isinstance(called, (Name, Object)) or not isinstance(arguments, tuple):
            raise TypeError("a call of what is no name")
        if isinstance(called, Name) and called.name in self.makers:
            return self.makers[called.name](*arguments)
        return Object(called.name, arguments)

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Object):  # what is in an unknown object is of no interest
            raise TypeError(f"{type(target).__name__} is no list")

    def set_items(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], Object):
            set_items(self.stack[-1], items)


def set_items(target: Any, items: list[Any]) -> None:
    """Put keys and values into a dictionary.

    Keys other than texts and numbers become objects that are equal to nothing: the hash of nested tuples may
    take for ever.

    Args:
        target: the dictionary.
        items: key, value, key, value...

    Raises:
        TypeError: it is no dictionary, or a key has no value.
    """
    if not isinstance(target, dict) or len(items) % 2:
        raise TypeError("items for what is no dictionary")
    keys = (key if _is_quick(key) else Object("a key", (key,)) for key in items[::2])
    target.update(zip(keys, items[1::2], strict=True))


def _is_quick(key: Any) -> bool:
    """Whether the hash of a key takes no time."""
    return isinstance(key, (str, bytes, float, type(None))) or (isinstance(key, int) and abs(key) < 2**63)
