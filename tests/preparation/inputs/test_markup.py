"""Manual pages, reStructuredText and catalogs of messages as plain text."""

import pytest

from lmcraft.preparation.inputs.manual_pages import text_of_manual_page
from lmcraft.preparation.inputs.markup import text_of_messages, text_of_rst
from lmcraft.preparation.inputs.source_tree import language_of, license_tag, recognize_license

MAN = r""".\" A comment with words
.TH "LS" "1" "May 2026" GNU "User Commands"
.de XX
hidden macro
..
.SH NAME
ls \- list directory contents
.SH SYNOPSIS
.B ls
[\fI\,OPTION\/\fR]... [\fIFILE\fR]...
.SH DESCRIPTION
.PP
List information about the FILEs
(the current directory by default).
.TP
\fB\-a\fR, \fB\-\-all\fR
do not ignore entries starting with .
.BR dir (1)
.ie n \{\
hidden branch
.\}
.if n shown in a terminal
.nf
  ls  \-l
  ls  \-a
.fi
Caf\['e] \(em na\(:ive \[u2713] \*(lqquoted\*(rq \s-1SMALL\s0.
"""

MDOC = r""".Dd May 1, 2026
.Dt CAT 1
.Os
.Sh NAME
.Nm cat
.Nd concatenate files
.Sh SYNOPSIS
.Nm
.Op Fl n
.Op Ar file ...
.Sh DESCRIPTION
The
.Nm
utility reads files, as
.Xr head 1 ,
does.
.Bl -tag
.It Fl n
Number the lines.
.El
"""


def test_a_manual_page() -> None:
    assert text_of_manual_page(MAN) == (
        "LS(1)\n\nNAME\n\nls - list directory contents\n\nSYNOPSIS\n\nls [OPTION]... [FILE]...\n\nDESCRIPTION\n\n"
        "List information about the FILEs (the current directory by default).\n\n"
        "-a, --all do not ignore entries starting with . dir(1) shown in a terminal\n\n"
        "  ls  -l\n  ls  -a\n\n"
        "Café — naïve ✓ “quoted” SMALL.\n"
    )


def test_a_manual_page_of_bsd() -> None:
    assert text_of_manual_page(MDOC) == (
        "CAT(1)\n\nNAME\n\ncat – concatenate files\n\nSYNOPSIS\n\ncat [-n] [file ...]\n\nDESCRIPTION\n\n"
        "The cat utility reads files, as head(1), does.\n\n-n Number the lines.\n"
    )


@pytest.mark.parametrize(
    "text", ["", ".", ".de\n", ".if n \\{\\", ".ig\nx", "\\", "\\[", ".TH", ".SH", ".Xr", "'", ".It", ".Oc", "\\f"]
)
def test_odd_manual_pages(text: str) -> None:
    assert isinstance(text_of_manual_page(text), str)


def test_restructured_text() -> None:
    text = """.. _label:

=====
Title
=====

.. toctree::
   :maxdepth: 2

   a
   b

See :ref:`the other <page>`, :class:`~a.B`, ``code``, `a link <https://x.org>`_ and **bold** *words*.

.. note::

   Take care.

.. code-block:: python
   :linenos:

   print(2 ** 3 ** 2)

.. A comment
   of two lines

.. function:: open(file)

   Opens it.

Example::

   x = a*b*c

.. [1] A footnote.
"""
    assert text_of_rst(text) == (
        "Title\n\nSee the other, a.B, code, a link and bold words.\n\nNote:\n\n   Take care.\n\n"
        "   print(2 ** 3 ** 2)\n\nopen(file)\n\n   Opens it.\n\nExample:\n\n   x = a*b*c\n\nA footnote.\n"
    )


def test_messages() -> None:
    text = r"""# Copyright
#, fuzzy
msgid ""
msgstr "Language: de\n"

#: a.c:1
msgid "Open \"%s\""
msgstr "Öffne "
"„%s“"

#, fuzzy, c-format
msgid "doubtful"
msgstr "zweifelhaft"

msgctxt "menu"
msgid "file"
msgid_plural "files"
msgstr[0] "Datei"
msgstr[1] "Dateien"
msgid "last"
msgstr ""
#~ msgid "old"
#~ msgstr "alt"
"""
    assert text_of_messages(text) == "Öffne „%s“\n\ndoubtful\n\nDatei\n\nDateien\n\nlast\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Apache License\n   Version 2.0, January 2004", "Apache-2.0"),
        (
            "GNU GENERAL PUBLIC LICENSE\nVersion 2, June 1991 ... the GNU Lesser General Public License, version 2.1",
            "GPL-2.0",
        ),
        ("GNU LESSER GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007", "LGPL-3.0"),
        ("Redistribution and use in source and binary forms, with ... 3. Neither the name of X nor", "BSD-3-Clause"),
        ("Redistribution and use in source and binary forms, with or without modification", "BSD-2-Clause"),
        ("All rights reserved.", ""),
    ],
)
def test_licenses(text: str, name: str) -> None:
    assert recognize_license(text) == name


def test_names_and_tags_of_code() -> None:
    assert [language_of(name) for name in ("a.PY", "dir/Makefile", "b.tar.gz", "CMakeLists.txt", "c", "d.cc")] == (
        ["python", "make", "", "cmake", "", "cpp"]
    )
    assert license_tag("# SPDX-License-Identifier: GPL-2.0-only OR MIT\n") == "GPL-2.0-only OR MIT"
    assert license_tag("/* SPDX-License-Identifier: MIT */") == "MIT"
