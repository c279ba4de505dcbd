"""R's words: numbers, strings, names, operators."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mvmeta.metafor.nodes import Span, refusal

WORDS = re.compile(
    r"""
    (?P<space>   [ \t\r\f\u00a0]+ | \#[^\n]* )
  | (?P<newline> \n )
  | (?P<raw>     [rR](?P<quote>["'])(?P<dashes>-*)(?:
                   \((?:.|\n)*?\)(?P=dashes)(?P=quote)
                 | \[(?:.|\n)*?\](?P=dashes)(?P=quote)
                 | \{(?:.|\n)*?\}(?P=dashes)(?P=quote) ) )
  | (?P<number>  0[xX][0-9a-fA-F]+L? | (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?L? )
  | (?P<string>  "(?:[^"\\]|\\.|\\\n)*" | '(?:[^'\\]|\\.|\\\n)*' )
  | (?P<quoted>  `[^`\n]+` )
  | (?P<name>    _(?![\w.]) | (?:[^\W\d_]|\.(?!\d))[\w.]* )
  | (?P<operator>
      %[^%\n]*% | <<- | ->> | <- | -> | <= | >= | == | != | \|> | \|\| | && | ::: | :: | \[\[
      | [-+*/^~|&!<>=:?$@()\[\]{},;] )
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """A word of R: its kind, its text without quotes, and where it stands."""

    kind: str
    text: str
    span: Span


def tokenize(text: str) -> Iterator[Token]:
    """Words of an R text; spaces and comments are left out, line ends are "newline".

    Raises
    ------
    SpecificationError
        For a character R does not know there, or a string that does not end.
    """
    position = 0
    while position < len(text):
        found = WORDS.match(text, position)
        if found is None:
            yield _unknown(text, position)
            return
        kind = found.lastgroup or ""
        kind = "raw" if found["raw"] else kind
        if kind != "space":
            yield Token(kind, _content(kind, found), Span(text, *found.span()))
        position = found.end()
    yield Token("end", "", Span(text, len(text), len(text)))


def _unknown(text: str, position: int) -> Token:
    here = Span(text, position, position + 1)
    if text[position] in "\"'`":
        raise refusal(here, "a quotation mark is opened here and not closed")
    raise refusal(here, f"R has no {text[position]!r} in this place")


def _content(kind: str, found: re.Match[str]) -> str:
    text = found[0]
    if kind == "string":
        return _unescaped(text)
    if kind == "raw":
        margin = 2 + len(found["dashes"])
        return text[margin + 1 : -margin]
    return text[1:-1] if kind == "quoted" else text


def _unescaped(text: str) -> str:
    """A string without its escapes, which for all that people write are Python's."""
    try:
        return str(ast.literal_eval(text.replace("\n", "\\n")))
    except (SyntaxError, ValueError):
        return text[1:-1]
