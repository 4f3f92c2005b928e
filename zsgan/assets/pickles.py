"""A safe reader of pickles, which imports and calls nothing that a pickle names.

A pickle is a program for a stack machine that can call any function of any module. This machine implements
only the operations that build values. A call of a name in ``makers`` calls the caller's maker with the
arguments. A call of any other name gives an ``Object``, which only holds the name and the arguments.
Memory and time are linear in the length of the pickle.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

MAX_OPERATIONS = 1_000_000  # a checkpoint has about 100,000

Makers = Mapping[str, Callable[..., Any]]
"""Known names: "module name" -> function that replaces a call of it."""


@dataclass(frozen=True)
class Name:
    """A function or class named in a pickle, as "module name"."""

    name: str


@dataclass(eq=False, repr=False)
class Object:
    """An object that a pickle would build by an unknown call, which is recorded and not made.

    Its parts may be nested so deeply that printing it would never end.

    Attributes:
        name: the function or class that the pickle calls, as "module name".
        args: arguments of that call.
        state: the state that would become its attributes.
    """

    name: str
    args: tuple[Any, ...]
    state: Any = None

    @property
    def refusal(self) -> str:
        """Error message: why it cannot be used."""
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
        stream: positioned at the pickle's start; afterwards at its end.
        makers: known names, see :data:`Makers`.
        persistent: gives the object of a persistent id; None if the pickle must have none.

    Returns:
        numbers, strings, bytes, lists (also for sets), tuples, dictionaries, results of the makers, and
        ``Name`` and ``Object`` for everything unknown.

    Raises:
        ValueError: the pickle is damaged, or has an operation that no checkpoint needs; nothing was executed.
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
                    raise TypeError("a name is not a string")  # not printed: nested tuples may be endless
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
                elif not isinstance(target, dict):  # attributes of dictionaries are ignored
                    raise TypeError(f"{type(target).__name__} has no attributes")
            case "BINPERSID" if self.persistent is not None:
                push(self.persistent(self.pop()))
            case _:
                raise ValueError(
                    f"the pickle does what no checkpoint does ({operation}); it was not executed"
                )

    def called(self, called: Any, arguments: Any) -> Any:
        """The replacement of a call."""
        if not isinstance(called, (Name, Object)) or not isinstance(arguments, tuple):
            raise TypeError("a call of an object that is not a name")
        if isinstance(called, Name) and called.name in self.makers:
            return self.makers[called.name](*arguments)
        return Object(called.name, arguments)

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Object):  # items of unknown objects are ignored
            raise TypeError(f"{type(target).__name__} is no list")

    def set_items(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], Object):
            set_items(self.stack[-1], items)


def set_items(target: Any, items: list[Any]) -> None:
    """Put keys and values into a dictionary.

    Keys other than texts and numbers are replaced by unique objects, since hashing nested tuples may take for
    ever.

    Args:
        target: the dictionary.
        items: key, value, key, value...

    Raises:
        TypeError: the target is not a dictionary, or a key has no value.
    """
    if not isinstance(target, dict) or len(items) % 2:
        raise TypeError("items for an object that is not a dictionary")
    keys = (key if _is_quick(key) else Object("a key", (key,)) for key in items[::2])
    target.update(zip(keys, items[1::2], strict=True))


def _is_quick(key: Any) -> bool:
    """Whether a key is quick to hash."""
    return isinstance(key, (str, bytes, float, type(None))) or (isinstance(key, int) and abs(key) < 2**63)
