"""Print docs/findings.md from the catalogue: redirect it there."""

from __future__ import annotations

import sys
from itertools import groupby

from meltemi.protocols.problem import CODES

HEAD = """# Findings

<!-- Written by scripts/findings_page.py from protocols/problem.py. -->

Everything that Meltemi has to say about your objects is a finding with a stable code: what is
wrong, on which object and field, in which file and line, why, and what to do next. `meltemi
validate`, the log, and the admin endpoint `/findings` show the same ones. **error**: something
that was asked for is not in force. **warning**: it is in force, but look. **info**: good to know.
"""

CHAPTERS = {
    "01": "Reading a document",
    "02": "Services, ports and endpoints",
    "03": "Rules and routes",
    "04": "Policies",
    "05": "Engines and proxies",
    "06": "The cluster",
}


def page() -> str:
    """The whole document."""
    parts = [HEAD]
    for chapter, codes in groupby(sorted(CODES), key=lambda code: code[3:5]):
        parts.append(f"\n## {CHAPTERS[chapter]}\n\n| code | severity | meaning |\n|---|---|---|\n")
        parts += [
            f"| `{code}` | {CODES[code].severity.value} | {CODES[code].title} |\n" for code in codes
        ]
    return "".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
