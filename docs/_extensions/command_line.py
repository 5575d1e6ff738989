"""Write the reference of the command line from its parsers, onto the page ``command_line``."""

import argparse
import os
import re
from unittest import mock

from fer_sklearn import cli

PAGE = "command_line"
PROGRAM = "fer-sklearn"


def reference() -> str:
    """Return every command with its options, as reStructuredText."""
    # Parsers wrap their texts at the width of the terminal; a page wraps by itself.
    with mock.patch.dict(os.environ, COLUMNS="10000"):
        parser = cli._make_parser()
    (commands,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    table = [".. list-table::\n   :class: commands\n"]
    for choice in commands._choices_actions:
        link = f":ref:`{PROGRAM} {choice.dest} <command-{choice.dest}>`"
        table += [f"   * - {link}\n     - {_escape(choice.help)}"]
    general = [_option(parser, action) for action in parser._actions if action != commands]
    described = map(_command, commands.choices, commands.choices.values())
    return "\n\n".join(["\n".join(table), f".. program:: {PROGRAM}", *general, *described])


def _command(name, parser):
    examples, prose = _split_epilog(parser.epilog or "")
    title = f"{PROGRAM} {name}"
    parts = [f".. _command-{name}:", f"{title}\n{'-' * len(title)}", f".. program:: {title}"]
    parts += [_escape(parser.description), _block(examples)]
    parts += [_escape(paragraph) for paragraph in prose]
    parts += [".. rubric:: Usage", _block(_usage(parser))]
    for group in parser._action_groups:
        actions = [a for a in group._group_actions if not isinstance(a, argparse._HelpAction)]
        if actions:
            title = group.title.removeprefix("positional ")
            parts += [f".. rubric:: {_escape(title[:1].upper() + title[1:])}"]
            parts += [_escape(group.description)] if group.description else []
            parts += [_option(parser, action) for action in actions]
    return "\n\n".join(parts) + "\n"


def _option(parser, action):
    formatter = parser._get_formatter()
    if action.option_strings:
        value = "" if action.nargs == 0 else " " + formatter._format_args(action, _name(action))
        names = ", ".join(action.option_strings) + value
    else:
        names = _name(action)
    about = _escape(formatter._expand_help(action))
    choices = list(action.choices or ())
    if choices and action.metavar and not all(str(choice) in about for choice in choices):
        about += f" (choices: {', '.join(map(str, choices))})"
    return f".. option:: {names}\n\n   {about}"


def _name(action):
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper()


def _usage(parser):
    with mock.patch.dict(os.environ, COLUMNS="90"):
        return parser.format_usage().removeprefix("usage: ").replace("\n       ", "\n")


def _split_epilog(text):
    """Return the examples, and the paragraphs that are not examples."""
    examples, prose = "", []
    for paragraph in text.strip().split("\n\n"):
        if paragraph.startswith("examples:"):
            examples = re.sub(r"(?m)^  ", "", paragraph.partition("\n")[2])
        else:
            prose.append(" ".join(paragraph.split()))
    return examples, prose


def _block(text):
    lines = "".join(f"   {line}\n" for line in text.rstrip().splitlines())
    return f".. code-block:: text\n\n{lines}"


def _escape(text):
    """Return a text as reStructuredText without any markup, and what is typed as literals."""
    text = re.sub(r"([\\*`|_<>])", r"\\\1", " ".join(text.split()))
    return re.sub(r"(?<![\w-])(--[a-zA-Z][\w-]*)", r"``\1``", text)


def append_reference(app, docname, source):
    """Put the reference below the text of its page."""
    if docname == PAGE:
        source[0] += "\n" + reference()


def setup(app):
    """Register the extension with Sphinx."""
    app.connect("source-read", append_reference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
